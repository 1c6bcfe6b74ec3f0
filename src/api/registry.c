#include "api/registry.h"

#include <string.h>

duel_status duel_backend_find(const char *name, const duel_backend_api **api) {
  if (!strcmp(name, "auto") || !strcmp(name, "cpu")) {
    *api = &duel_cpu_backend;
    return DUEL_OK;
  }
  if (!strcmp(name, "cuda"))
    return duel_fail(DUEL_ERR_DEVICE, "this build of duel has no CUDA backend; use --backend cpu");
  return duel_fail(DUEL_ERR_USAGE, "backend '%s': no such backend; there are auto, cpu and cuda", name);
}
