// Devices, errors, counts and faults, and the launch of a kernel with the checks that CUDA makes.
#include "internal.h"

#include <dlfcn.h>
#include <map>
#include <memory>
#include <mutex>
#include <stdarg.h>
#include <vector>

namespace {
std::recursive_mutex mutex;
thread_local cudaError_t last_error;
cudaError_t sticky; // every call yields it, and nothing takes it away

const char *const kind_names[] = {"malloc", "free", "host",   "launch", "graph",  "capture",
                                  "copy",   "sync", "stream", "event",  "cublas", "query"};
unsigned long long counts[CUEMU_KINDS], kernels;

enum { NOT, ONCE, FOREVER, STICKY } fault;
int fault_kind = -1; // CUEMU_KINDS: any
unsigned long long fault_in;

bool lazy;
bool split;
size_t memory = (size_t)8 << 30;
constexpr int OLDEST = 75; // what "this build" has code for, as major · 10 + minor, and for all newer ones
std::vector<int> devices = {90};
thread_local int current; // device
bool old_driver;
FILE *trace;
bool dry;

std::map<const void *, int> dynamic_limit; // of kernels that were given one

// What each kind of call fails with when a test says so.
cudaError_t error_of(cuemu_kind kind) {
  switch (kind) {
  case CUEMU_MALLOC:
  case CUEMU_HOST:
  case CUEMU_GRAPH:
  case CUEMU_STREAM:
  case CUEMU_EVENT:
    return cudaErrorMemoryAllocation;
  case CUEMU_LAUNCH:
    return cudaErrorLaunchOutOfResources;
  case CUEMU_CAPTURE:
    return cudaErrorStreamCaptureUnsupported;
  case CUEMU_SYNC:
    return cudaErrorLaunchFailure;
  default:
    return cudaErrorUnknown;
  }
}

void read_environment() {
  static bool done;
  if (done) return;
  done = true;
  const char *order = getenv("CUEMU_ORDER"), *streams = getenv("CUEMU_STREAMS"), *fail = getenv("CUEMU_FAIL");
  const char *bytes = getenv("CUEMU_MEMORY"), *count = getenv("CUEMU_DEVICES"), *driver = getenv("CUEMU_DRIVER");
  if (order && !cuemu_set_order(order)) cuemu_die("CUEMU_ORDER is forward, reverse or random:SEED, not %s", order);
  if (streams && !cuemu_set_streams(streams)) cuemu_die("CUEMU_STREAMS is eager or lazy, not %s", streams);
  const char *sums = getenv("CUEMU_SUMS");
  if (sums && !cuemu_set_sums(sums)) cuemu_die("CUEMU_SUMS is forward or split, not %s", sums);
  if (bytes) memory = (size_t)strtoull(bytes, nullptr, 10);
  if (count && !cuemu_set_devices(count))
    cuemu_die("CUEMU_DEVICES is a number, or capabilities as in 9.0,7.5, not %s", count);
  old_driver = driver && !strcmp(driver, "old");
  const char *path = getenv("CUEMU_TRACE");
  if (path && !(trace = fopen(path, "w"))) cuemu_die("CUEMU_TRACE: %s cannot be written", path);
  const char *only = getenv("CUEMU_DRY");
  dry = only && !strcmp(only, "1");
  if (fail) {
    char kind[16] = "", how[16] = "once";
    unsigned long long n = 0;
    if (sscanf(fail, "%15[a-z]:%llu:%15[a-z]", kind, &n, how) < 2 || !cuemu_fail(kind, n, how))
      cuemu_die("CUEMU_FAIL is KIND:N, KIND:N:forever or KIND:N:sticky, not %s", fail);
  }
}
} // namespace

cuemu_lock::cuemu_lock() {
  mutex.lock();
  cuemu_hide(true);
  read_environment();
}
cuemu_lock::~cuemu_lock() {
  cuemu_hide(false);
  mutex.unlock();
}

void cuemu_note(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fprintf(stderr, "cuemu: ");
  vfprintf(stderr, fmt, args);
  fprintf(stderr, "\n");
  va_end(args);
}

void cuemu_trace(const char *fmt, ...) {
  if (!trace) return;
  va_list args;
  va_start(args, fmt);
  vfprintf(trace, fmt, args);
  va_end(args);
}

// ---- the tests' controls
int cuemu_set_order(const char *order) {
  unsigned long long seed = 1;
  if (!strcmp(order, "forward"))
    cuemu_the_order = CUEMU_FORWARD;
  else if (!strcmp(order, "reverse"))
    cuemu_the_order = CUEMU_REVERSE;
  else if (!strcmp(order, "random") || sscanf(order, "random:%llu", &seed) == 1)
    cuemu_the_order = CUEMU_RANDOM;
  else
    return 0;
  cuemu_seed(seed);
  return 1;
}

int cuemu_set_streams(const char *streams) {
  const bool want = !strcmp(streams, "lazy");
  if (!want && strcmp(streams, "eager")) return 0;
  cuemu_lock lock;
  cuemu_finish_all();
  lazy = want;
  return 1;
}

int cuemu_set_sums(const char *order) {
  const bool want = !strcmp(order, "split");
  if (!want && strcmp(order, "forward")) return 0;
  cuemu_lock lock;
  split = want;
  return 1;
}

int cuemu_set_devices(const char *list) {
  std::vector<int> found;
  int n = 0, major = 0, minor = 0, read = 0;
  if (!strchr(list, '.')) {
    if (sscanf(list, "%d%n", &n, &read) != 1 || n < 0 || list[read]) return 0;
    found.assign((size_t)n, 90);
  }
  for (const char *at = list; n == 0 && strchr(list, '.'); at += read + 1) {
    if (sscanf(at, "%d.%d%n", &major, &minor, &read) != 2) return 0;
    found.push_back(10 * major + minor);
    if (at[read] != ',' && at[read]) return 0;
    if (!at[read]) break;
  }
  cuemu_lock lock;
  devices = found;
  return 1;
}

int cuemu_fail(const char *kind, unsigned long long n, const char *how) {
  cuemu_lock lock;
  fault = NOT;
  if (!kind) return 1;
  fault_kind = !strcmp(kind, "any") ? CUEMU_KINDS : -1;
  for (int k = 0; k < CUEMU_QUERY; k++)
    if (!strcmp(kind, kind_names[k])) fault_kind = k;
  fault_in = n;
  fault = !how || !strcmp(how, "once") ? ONCE
          : !strcmp(how, "forever")    ? FOREVER
          : !strcmp(how, "sticky")     ? STICKY
                                       : NOT;
  return n > 0 && fault_kind >= 0 && fault != NOT;
}

unsigned long long cuemu_count(const char *kind) {
  cuemu_lock lock;
  if (!strcmp(kind, "kernels")) return kernels;
  unsigned long long all = 0;
  for (int k = 0; k < CUEMU_KINDS; k++) {
    if (!strcmp(kind, kind_names[k])) return counts[k];
    all += counts[k];
  }
  return all;
}

void cuemu_reset_counts() {
  cuemu_lock lock;
  kernels = 0;
  memset(counts, 0, sizeof counts);
}

bool cuemu_dry() {
  return dry;
}
bool cuemu_lazy() {
  return lazy;
}
bool cuemu_split_sums() {
  return split;
}
int cuemu_device() {
  return current;
}
size_t cuemu_memory_limit() {
  return memory;
}

void cuemu_set_memory(size_t bytes) {
  cuemu_lock lock;
  memory = bytes;
}
void cuemu_ran_kernel() {
  kernels++;
}
void cuemu_count_wait() {
  counts[CUEMU_SYNC]++;
}
bool cuemu_lost() {
  return sticky != cudaSuccess;
}

// ---- errors
cudaError_t cuemu_error(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t cuemu_call(cuemu_kind kind) {
  if (cuemu_on_device()) cuemu_die("a kernel calls the runtime");
  if (old_driver) return cudaErrorInsufficientDriver;
  if (devices.empty()) return cudaErrorNoDevice;
  if (sticky) return sticky;
  counts[kind]++;
  const bool any = fault_kind == CUEMU_KINDS && kind != CUEMU_FREE; // giving back fails only where a test says so
  if (fault == NOT || kind == CUEMU_QUERY || (!any && fault_kind != (int)kind)) return cudaSuccess;
  if (fault_in > 1) {
    fault_in--;
    return cudaSuccess;
  }
  if (fault == STICKY) return sticky = cudaErrorIllegalAddress;
  if (fault == ONCE) fault = NOT;
  return error_of(kind);
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = sticky ? sticky : last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  return sticky ? sticky : last_error;
}

#define CUEMU_CASE_NAME(name, value, text)                                                                             \
  case name:                                                                                                           \
    return #name;
#define CUEMU_CASE_TEXT(name, value, text)                                                                             \
  case name:                                                                                                           \
    return text;
const char *cudaGetErrorName(cudaError_t error) {
  switch (error) { CUEMU_ERRORS(CUEMU_CASE_NAME) }
  return "unrecognized error code";
}
const char *cudaGetErrorString(cudaError_t error) {
  switch (error) { CUEMU_ERRORS(CUEMU_CASE_TEXT) }
  return "unrecognized error code";
}

// ---- devices
cudaError_t cudaDriverGetVersion(int *version) {
  cuemu_lock lock;
  if (!version) return cuemu_error(cudaErrorInvalidValue);
  *version = old_driver ? 11040 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  if (!version) return cuemu_error(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
  if (!count) return cuemu_error(cudaErrorInvalidValue);
  *count = 0;
  CUEMU_CALL(CUEMU_QUERY);
  *count = (int)devices.size();
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  CUEMU_CALL(CUEMU_QUERY);
  if (device < 0 || device >= (int)devices.size()) return cuemu_error(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
  CUEMU_CALL(CUEMU_QUERY);
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device) {
  CUEMU_CALL(CUEMU_QUERY);
  if (!prop) return cuemu_error(cudaErrorInvalidValue);
  if (device < 0 || device >= (int)devices.size()) return cuemu_error(cudaErrorInvalidDevice);
  memset(prop, 0, sizeof *prop);
  snprintf(prop->name, sizeof prop->name, "Emulated GPU");
  prop->totalGlobalMem = memory;
  prop->sharedMemPerBlock = CUEMU_STATIC_SHARED;
  prop->sharedMemPerBlockOptin = CUEMU_MOST_SHARED;
  prop->sharedMemPerMultiprocessor = CUEMU_MOST_SHARED + 1024;
  prop->regsPerBlock = 65536;
  prop->warpSize = 32;
  prop->maxThreadsPerBlock = 1024;
  prop->maxThreadsPerMultiProcessor = 2048;
  const int threads[] = {1024, 1024, 64}, grid[] = {2147483647, 65535, 65535};
  memcpy(prop->maxThreadsDim, threads, sizeof threads);
  memcpy(prop->maxGridSize, grid, sizeof grid);
  prop->totalConstMem = 65536;
  prop->major = devices[(size_t)device] / 10;
  prop->minor = devices[(size_t)device] % 10;
  prop->multiProcessorCount = 4;
  prop->concurrentKernels = 1;
  prop->memoryBusWidth = 64;
  prop->l2CacheSize = 1 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attr, int device) {
  cudaDeviceProp prop;
  if (!value) return cuemu_error(cudaErrorInvalidValue);
  if (const cudaError_t error = cudaGetDeviceProperties(&prop, device)) return error;
  switch (attr) {
  case cudaDevAttrMaxThreadsPerBlock:
    *value = prop.maxThreadsPerBlock;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlock:
    *value = (int)prop.sharedMemPerBlock;
    break;
  case cudaDevAttrWarpSize:
    *value = prop.warpSize;
    break;
  case cudaDevAttrClockRate:
  case cudaDevAttrMemoryClockRate:
    *value = 1000000; // kHz
    break;
  case cudaDevAttrMultiProcessorCount:
    *value = prop.multiProcessorCount;
    break;
  case cudaDevAttrGlobalMemoryBusWidth:
    *value = prop.memoryBusWidth;
    break;
  case cudaDevAttrL2CacheSize:
    *value = prop.l2CacheSize;
    break;
  case cudaDevAttrMaxThreadsPerMultiProcessor:
    *value = prop.maxThreadsPerMultiProcessor;
    break;
  case cudaDevAttrComputeCapabilityMajor:
    *value = prop.major;
    break;
  case cudaDevAttrComputeCapabilityMinor:
    *value = prop.minor;
    break;
  case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
    *value = (int)prop.sharedMemPerMultiprocessor;
    break;
  case cudaDevAttrMaxSharedMemoryPerBlockOptin:
    *value = (int)prop.sharedMemPerBlockOptin;
    break;
  default:
    return cuemu_error(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

// ---- kernels
static bool has_code() {
  return current < (int)devices.size() && devices[(size_t)current] >= OLDEST;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attr, int value) {
  CUEMU_CALL(CUEMU_QUERY);
  if (!kernel || value < 0 || (attr == cudaFuncAttributeMaxDynamicSharedMemorySize && value > (int)CUEMU_MOST_SHARED))
    return cuemu_error(cudaErrorInvalidValue);
  if (attr == cudaFuncAttributeMaxDynamicSharedMemorySize) dynamic_limit[kernel] = value;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attr, const void *kernel) {
  CUEMU_CALL(CUEMU_QUERY);
  if (!attr || !kernel) return cuemu_error(cudaErrorInvalidValue);
  if (!has_code()) return cuemu_error(cudaErrorNoKernelImageForDevice);
  memset(attr, 0, sizeof *attr);
  attr->maxThreadsPerBlock = 1024;
  attr->numRegs = 32;
  attr->ptxVersion = attr->binaryVersion = 90;
  const auto limit = dynamic_limit.find(kernel);
  attr->maxDynamicSharedSizeBytes = limit == dynamic_limit.end() ? (int)CUEMU_STATIC_SHARED : limit->second;
  return cudaSuccess;
}

static cudaError_t check_launch(const cuemu_launch *l) {
  const dim3 g = l->grid, b = l->block;
  const bool block_ok =
      b.x >= 1 && b.y >= 1 && b.z >= 1 && b.x <= 1024 && b.y <= 1024 && b.z <= 64 && (uint64_t)b.x * b.y * b.z <= 1024;
  const bool grid_ok = g.x >= 1 && g.y >= 1 && g.z >= 1 && g.x <= 2147483647u && g.y <= 65535 && g.z <= 65535;
  if (!block_ok || !grid_ok) return cudaErrorInvalidConfiguration;
  const auto limit = dynamic_limit.find(l->kernel);
  const size_t most = limit == dynamic_limit.end() || limit->second < (int)CUEMU_STATIC_SHARED
                          ? (size_t)CUEMU_STATIC_SHARED
                          : (size_t)limit->second;
  return l->smem > most ? cudaErrorInvalidValue : cudaSuccess;
}

static void run_launch(const cuemu_launch *l) {
  cuemu_ran_kernel();
  Dl_info library; // which instance of a template it is, the symbol at this offset tells
  if (trace && dladdr(l->kernel, &library))
    cuemu_trace("kernel %tx %ux%ux%u %ux%ux%u %s\n", (const char *)l->kernel - (const char *)library.dli_fbase,
                l->grid.x, l->grid.y, l->grid.z, l->block.x, l->block.y, l->block.z, l->name);
  if (dry) return;
  l->check(l); // again: memory may have been freed since
  cuemu_open_memory();
  cuemu_enter_device();
  cuemu_run(l);
  cuemu_leave_device();
  cuemu_check_canaries(l->name);
  cuemu_shut_memory();
}

void cuemu_start(const cuemu_launch *l, cudaStream_t stream) {
  cuemu_lock lock;
  const std::shared_ptr<void> args(l->args, l->drop);
  cudaError_t error = cuemu_call(CUEMU_LAUNCH);
  if (!error && !has_code()) error = cudaErrorNoKernelImageForDevice;
  if (!error) error = check_launch(l);
  if (!error && (!cuemu_stream_valid(stream) || !cuemu_on_current(stream))) error = cudaErrorInvalidResourceHandle;
  if (!error) {
    l->check(l);
    error = cuemu_submit(stream, [launch = *l, args] { run_launch(&launch); });
  }
  cuemu_error(error);
}
