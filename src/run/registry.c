// Which backends there are, how each is found, and which one auto takes.
#include "run/registry.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cpu/entry.h"
#include "recipe/recipe.h"

// ---- the CUDA backend: a library of its own, opened once and never closed
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const duel_backend_api *cuda;
static char cuda_error[1024]; // why there is none
static bool cuda_absent;      // this build has none

static duel_status take_message(duel_status code, const char *text) {
  return duel_fail(code, "%s", text);
}

// The folder of what a path names, with its slash; empty if there is none.
static void keep_folder(char *path) {
  char *slash = strrchr(path, '/');
  path[slash ? slash - path + 1 : 0] = 0;
}

enum { PATH_BYTES = PATH_MAX + 256 };

// Whether the library lies in a place below a folder, which ends in a slash.
static bool lies_below(const char *folder, const char *place, char path[PATH_BYTES]) {
  snprintf(path, PATH_BYTES, "%s%slibduel_cuda.so", folder, place);
  return *folder && access(path, F_OK) == 0;
}

// $DUEL_CUDA_LIBRARY; or beside the program, as a build has it; or where an installation puts it: below the folder of
// libduel.so, or as seen from that of the program.
static void *open_library(void) {
  const char *named = getenv("DUEL_CUDA_LIBRARY");
  char folder[PATH_MAX], path[PATH_BYTES];
  Dl_info here;
  if (named && *named) return dlopen(named, RTLD_NOW | RTLD_LOCAL);
  const ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
  folder[n > 0 ? n : 0] = 0;
  keep_folder(folder);
  bool found = lies_below(folder, "", path) || lies_below(folder, DUEL_PLUGINS, path);
  if (!found && dladdr(&once, &here) && here.dli_fname) {
    snprintf(folder, sizeof folder, "%s", here.dli_fname);
    keep_folder(folder);
    found = lies_below(folder, "duel/", path) || lies_below(folder, "", path);
  }
  return dlopen(found ? path : "libduel_cuda.so", RTLD_NOW | RTLD_LOCAL);
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
             cuda_absent ? "this build of duel has no CUDA backend: build it where the CUDA toolkit is, or use "
                           "run.backend=cpu"
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

static duel_status find_cpu(const duel_backend_api **api) {
  *api = &duel_cpu_backend;
  return DUEL_OK;
}

// ---- the list. `worth`: whether auto should try it; NULL: never, but as the last one, which works everywhere.
static const struct {
  const char *name;
  duel_status (*find)(const duel_backend_api **api);
  bool (*worth)(void);
} backends[] = {
#define BACKEND(name, find, worth) {#name, find, worth},
#include "run/backends.def"
#undef BACKEND
};
#define BACKEND(name, find, worth) "|" #name
const char duel_backend_choices[] =
#include "run/backends.def"
    ;
#undef BACKEND
enum { BACKENDS = sizeof backends / sizeof *backends };

const char *duel_backend_name(int i) {
  return i >= 0 && i < BACKENDS ? backends[i].name : NULL;
}

static duel_status choose_best(int device, const duel_backend_api **api, char *why, size_t n) {
  for (int i = 1; i < BACKENDS; i++) {
    if (!backends[i].worth || !backends[i].worth()) continue;
    if (backends[i].find(api) == DUEL_OK && (*api)->probe(device) == DUEL_OK) return DUEL_OK;
    if (!cuda_absent) snprintf(why, n, "the CPU trains, not a GPU: %s", duel_last_error());
  }
  duel_clear_error();
  return find_cpu(api);
}

duel_status duel_backend_choose(const char *name, int device, const duel_backend_api **api, char *why, size_t n) {
  *why = 0;
  if (!strcmp(name, backends[0].name)) return choose_best(device, api, why, n);
  for (int i = 1; i < BACKENDS; i++)
    if (!strcmp(name, backends[i].name)) return backends[i].find(api);
  return duel_fail(DUEL_ERR_USAGE, "'%s' is none of %s", name, duel_backend_choices + 1);
}

duel_status duel_backend_find(const char *name, const duel_backend_api **api) {
  char why[1024];
  return duel_backend_choose(name, 0, api, why, sizeof why);
}
