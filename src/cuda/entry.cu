// The library's one symbol, and what its files share with the program that opened it: the error message and the heap.
// Core's own status.c and mem.c are not in this library, for each would keep a second message and a second count.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cuda/cuda.h"

static const duel_host *host;
static thread_local char said[2048];

extern const duel_backend_api duel_cuda_backend;

extern "C" DUEL_API const duel_backend_api *duel_backend_entry_point(const duel_host *opened_by) {
  host = opened_by;
  if (strcmp(host->version, DUEL_VERSION) == 0 && host->layout == DUEL_SEAM_LAYOUT) return &duel_cuda_backend;
  duel_fail(DUEL_ERR_DEVICE,
            "libduel_cuda.so is of duel %s, this is %s (or both were built apart); build them together", DUEL_VERSION,
            host->version);
  return NULL;
}

const char *duel_cuda_said(void) {
  return said;
}

extern "C" {

duel_status duel_fail(duel_status code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  vsnprintf(said, sizeof said, fmt, args);
  va_end(args);
  return host->fail(code, said);
}

duel_status duel_fail_memory(const char *what, size_t bytes) {
  return duel_fail(DUEL_ERR_DEVICE, "out of memory: %zu bytes for %s", bytes, what);
}

void *duel_malloc(size_t bytes) {
  return host->malloc(bytes);
}

void duel_free(void *p) {
  host->free(p);
}
}
