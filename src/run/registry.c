#include "run/registry.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

// ---- the CUDA backend: a library of its own, opened once and never closed
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const duel_backend_api *cuda;
static char cuda_error[1024]; // why there is none
static bool cuda_absent;      // this build has none

static duel_status take_message(duel_status code, const char *text) {
  return duel_fail(code, "%s", text);
}

// $DUEL_CUDA_LIBRARY; or beside the program; or where an installation has it.
static void *open_library(void) {
  static const char *const places[] = {"", "../lib/", "../lib/duel/"};
  const char *named = getenv("DUEL_CUDA_LIBRARY");
  char program[PATH_MAX], path[PATH_MAX + 64];
  if (named && *named) return dlopen(named, RTLD_NOW | RTLD_LOCAL);
  const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  program[n > 0 ? n : 0] = 0;
  char *slash = strrchr(program, '/');
  if (slash) slash[1] = 0;
  for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
    snprintf(path, sizeof path, "%s%slibduel_cuda.so", program, places[i]);
    if (access(path, F_OK) == 0) return dlopen(path, RTLD_NOW | RTLD_LOCAL);
  }
  return dlopen("libduel_cuda.so", RTLD_NOW | RTLD_LOCAL);
}

static void open_cuda(void) {
  static const duel_host host = {.version = DUEL_VERSION,
                                 .layout = DUEL_SEAM_LAYOUT,
                                 .fail = take_message,
                                 .malloc = duel_malloc,
                                 .free = duel_free};
  void *library = open_library();
  if (!library) {
    const char *why = dlerror();
    cuda_absent = why && strstr(why, "libduel_cuda.so: cannot open shared object file");
    snprintf(cuda_error, sizeof cuda_error, "%s%s",
             cuda_absent
                 ? "this build of duel has no CUDA backend: build it where the CUDA toolkit is, or use --backend cpu"
                 : "the CUDA backend does not load: ",
             cuda_absent ? ""
             : why       ? why
                         : "no reason given");
    return;
  }
  void *symbol = dlsym(library, DUEL_BACKEND_ENTRY);
  duel_backend_entry *entry;
  memcpy(&entry, &symbol, sizeof entry);
  cuda = entry ? entry(&host) : NULL;
  if (!cuda) snprintf(cuda_error, sizeof cuda_error, "%s", entry ? duel_last_error() : "libduel_cuda.so is not duel's");
}

static duel_status find_cuda(const duel_backend_api **api) {
  pthread_once(&once, open_cuda);
  *api = cuda;
  return cuda ? DUEL_OK : duel_fail(DUEL_ERR_DEVICE, "%s", cuda_error);
}

// Whether it is worth looking for a GPU: opening CUDA's libraries takes a quarter of a second.
static bool has_driver(void) {
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver) dlclose(driver);
  return driver != NULL;
}

duel_status duel_backend_choose(const char *name, int device, const duel_backend_api **api, char *why, size_t n) {
  const bool automatic = !strcmp(name, "auto");
  snprintf(why, n, "%s", "");
  if (!strcmp(name, "cuda")) return find_cuda(api);
  if (automatic && has_driver()) {
    if (find_cuda(api) == DUEL_OK && (*api)->probe(device) == DUEL_OK) return DUEL_OK;
    if (!cuda_absent) snprintf(why, n, "the CPU trains, not a GPU: %s", duel_last_error());
  }
  *api = &duel_cpu_backend;
  if (automatic) duel_clear_error();
  if (automatic || !strcmp(name, "cpu")) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE, "backend '%s': no such backend; there are auto, cpu and cuda", name);
}

duel_status duel_backend_find(const char *name, const duel_backend_api **api) {
  char why[1024];
  return duel_backend_choose(name, 0, api, why, sizeof why);
}
