// Device memory: pages of the host's, one mapping an allocation, between two pages that nobody may touch. Pinned
// memory: host memory that is known. Both start as NaN (0xFF).
//
// Invariant: the pages are mapped without rights, and a fault opens those that a kernel or a copy touches, a chunk at a
// time; so a fault of the host's, or in freed memory, or beside an allocation, tells whose it is. Chunks are shut again
// when the work ends; those of large allocations when the host next waits for the device, which costs less. Addresses
// are not used again before thousands of further allocations, so that a stale one faults too.
#include "internal.h"

#include <deque>
#include <errno.h>
#include <map>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace {
constexpr size_t PAGE = 4096, ALIGN = 256, CHUNK = 256 << 10, QUARANTINE = 4096, MOST_OPEN = 1 << 16;
enum chunk_state : unsigned char { FRESH, SHUT, OPEN };

struct allocation {
  char *map; // device: guard page, pages with the memory at their end, guard page
  size_t map_bytes;
  char *p;
  size_t bytes;
  bool pinned, live;
  std::vector<chunk_state> chunk; // of the pages between the guards
};

struct opened {
  allocation *a;
  size_t chunk;
} open_chunks[MOST_OPEN];
size_t n_open;

std::map<uintptr_t, allocation> table; // by p; freed ones of device memory too
std::deque<uintptr_t> quarantine;
size_t in_use;
int depth;              // of kernels and copies under way
struct sigaction usual; // what a fault that is not ours does

allocation *find(const void *p) {
  auto it = table.upper_bound((uintptr_t)p);
  if (it == table.begin()) return nullptr;
  allocation *a = &(--it)->second;
  return (const char *)p <= a->p + a->bytes ? a : nullptr; // an end is allowed: empty tensors have one
}

size_t padded(size_t bytes) {
  return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

char *chunk_start(const allocation *a, size_t i) {
  return a->map + PAGE + i * CHUNK;
}

char *chunk_end(const allocation *a, size_t i) {
  char *end = a->map + a->map_bytes - PAGE;
  return end - chunk_start(a, i) > (ptrdiff_t)CHUNK ? chunk_start(a, i) + CHUNK : end;
}

// What memory holds before anybody has written it; beside the allocation, canaries where ASan does not watch.
void fill_chunk(const allocation *a, size_t i) {
  char *from = chunk_start(a, i), *to = chunk_end(a, i), *p = from > a->p ? from : a->p;
  char *end = to < a->p + a->bytes ? to : a->p + a->bytes;
  if (p < end) memset(p, cuemu_dry() ? 0 : 0xFF, (size_t)(end - p));
#ifndef CUEMU_ASAN
  for (char *c = from; c < to && c < a->p; c++) *c = (char)cuemu_canary(c);
  for (char *c = end < from ? from : end; c < to; c++) *c = (char)cuemu_canary(c);
#endif
}

void open_chunk(allocation *a, size_t i) {
  if (n_open == MOST_OPEN) cuemu_die("more device memory is in use than the emulator can watch");
  mprotect(chunk_start(a, i), (size_t)(chunk_end(a, i) - chunk_start(a, i)), PROT_READ | PROT_WRITE);
  if (a->chunk[i] == FRESH) fill_chunk(a, i);
  a->chunk[i] = OPEN;
  open_chunks[n_open++] = {a, i};
}

void shut_chunks(bool large) {
  size_t kept = 0;
  for (size_t k = 0; k < n_open; k++) {
    const opened o = open_chunks[k];
    if (!large && o.a->bytes > CHUNK) {
      open_chunks[kept++] = o;
      continue;
    }
    mprotect(chunk_start(o.a, o.chunk), (size_t)(chunk_end(o.a, o.chunk) - chunk_start(o.a, o.chunk)), PROT_NONE);
    o.a->chunk[o.chunk] = SHUT;
  }
  n_open = kept;
}

[[noreturn]] void blame(const allocation *a, const char *at) {
  const char *what = !a->live                             ? "use after free"
                     : at < a->p || at >= a->p + a->bytes ? "access outside of device memory"
                                                          : "the host touches device memory";
  cuemu_die("%s: byte %td of an allocation of %zu bytes at %p", what, at - a->p, a->bytes, a->p);
}

// Opens what a kernel or a copy may touch; says whose a forbidden access is; leaves other faults their usual end.
void handle_fault(int signal, const char *at) {
  auto it = table.upper_bound((uintptr_t)at + 2 * PAGE); // memory may begin that far behind the start of its mapping
  while (it != table.begin()) {
    allocation *a = &(--it)->second;
    if (a->pinned) continue;
    if (at >= a->map + a->map_bytes) break;
    if (at < a->map) continue;
    const size_t i = (size_t)(at - a->map - (ptrdiff_t)PAGE) / CHUNK;
    const bool inside = at >= a->map + PAGE && at < a->map + a->map_bytes - PAGE;
    if (depth == 0 || !a->live || !inside || a->chunk[i] == OPEN) blame(a, at);
    open_chunk(a, i);
    return;
  }
  if (cuemu_on_device()) cuemu_die("fault at %p, which is no device memory (or a stack that overran)", at);
  sigaction(signal, &usual, nullptr); // whose turn it is when the fault comes again
}

CUEMU_RAW void on_fault(int signal, siginfo_t *info, void *) {
  const int saved = errno;
  cuemu_hide(true);
  handle_fault(signal, (const char *)info->si_addr);
  cuemu_hide(false);
  errno = saved;
}

// Before each work, since test harnesses have handlers of their own. On another stack, since a fiber's may have
// overrun.
void watch_faults() {
  struct sigaction now;
  sigaction(SIGSEGV, nullptr, &now);
  if (now.sa_sigaction == on_fault) return;
  usual = now;
  stack_t stack;
  sigaltstack(nullptr, &stack);
  if (stack.ss_flags & SS_DISABLE) {
    stack = stack_t();
    stack.ss_size = 256 << 10;
    stack.ss_sp = mmap(nullptr, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp != MAP_FAILED) sigaltstack(&stack, nullptr);
  }
  struct sigaction ours = {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &ours, nullptr);
}

void report_leaks() {
  size_t n = 0;
  for (const auto &entry : table) n += entry.second.live;
  if (n == 0 || cuemu_lost()) return;
  fprintf(stderr, "cuemu: %zu allocations are never freed:", n);
  for (const auto &entry : table)
    if (entry.second.live) fprintf(stderr, " %zu%s", entry.second.bytes, entry.second.pinned ? " (pinned)" : "");
  fprintf(stderr, " bytes\n");
  const char *fatal = getenv("CUEMU_LEAKS");
  if (fatal && !strcmp(fatal, "error")) _exit(66);
}

void forget(uintptr_t key) {
  const allocation *a = &table.at(key);
#ifdef CUEMU_ASAN
  ASAN_UNPOISON_MEMORY_REGION(a->map, a->map_bytes);
#endif
  munmap(a->map, a->map_bytes);
  table.erase(key);
}
} // namespace

size_t cuemu_bytes_in_use() {
  cuemu_lock lock;
  return in_use;
}

// ---- doors
void cuemu_open_memory() {
  if (depth++ == 0) watch_faults();
}

void cuemu_shut_memory() {
  if (--depth == 0) shut_chunks(false);
}

void cuemu_host_waited() {
  if (depth == 0) shut_chunks(true);
}

// ---- checks
cuemu_place_of cuemu_where(const void *p) {
  const allocation *a = find(p);
  return !a ? CUEMU_PAGEABLE : a->pinned ? (a->live ? CUEMU_PINNED : CUEMU_PAGEABLE) : CUEMU_DEVICE;
}

bool cuemu_in_range(const void *p, size_t bytes, const char *what) {
  const allocation *a = find(p);
  if (!a || (!a->pinned && !a->live)) {
    cuemu_note("%s: %p is %s", what, p, a ? "in freed memory" : "no device memory");
    return false;
  }
  if ((size_t)((const char *)p - a->p) + bytes <= a->bytes) return true;
  cuemu_note("%s: %zu bytes at %p, byte %td of an allocation of %zu bytes", what, bytes, p, (const char *)p - a->p,
             a->bytes);
  return false;
}

void cuemu_check_pointer(const cuemu_launch *launch, int index, const void *p) {
  const allocation *a = p ? find(p) : nullptr;
  if (p && !a) cuemu_die("launch of kernel %s: argument %d is %p, which is no device memory", launch->name, index, p);
  if (p && !a->live)
    cuemu_die("launch of kernel %s: argument %d is %p, in memory that was freed: use after free", launch->name, index,
              p);
}

// Bytes beside an allocation that a kernel has overwritten; ASan sees the access itself.
void cuemu_check_canaries(const char *kernel) {
#ifdef CUEMU_ASAN
  (void)kernel;
#else
  for (size_t k = 0; k < n_open; k++) {
    const allocation *a = open_chunks[k].a;
    const char *from = chunk_start(a, open_chunks[k].chunk), *to = chunk_end(a, open_chunks[k].chunk);
    const char *first = a->p - ALIGN > from ? a->p - ALIGN : from;
    for (const char *c = first; c < to; c++) {
      if (c >= a->p && c < a->p + a->bytes) c = a->p + a->bytes;
      if (c < to && *c != (char)cuemu_canary(c))
        cuemu_die("kernel %s has written byte %td of an allocation of %zu bytes", kernel, c - a->p, a->bytes);
    }
  }
#endif
}

// ---- calls
cudaError_t cudaMalloc(void **p, size_t bytes) {
  CUEMU_CALL(CUEMU_MALLOC);
  if (const cudaError_t error = cuemu_forbidden_in_capture()) return cuemu_error(error);
  if (!p) return cuemu_error(cudaErrorInvalidValue);
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  static const int registered = atexit(report_leaks);
  (void)registered;
  if (bytes > cuemu_memory_limit() || padded(in_use + bytes) > cuemu_memory_limit())
    return cuemu_error(cudaErrorMemoryAllocation);
  const size_t pages = (bytes + PAGE - 1) / PAGE * PAGE;
  allocation a = allocation();
  a.map_bytes = pages + 2 * PAGE;
  a.map = (char *)mmap(nullptr, a.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (a.map == MAP_FAILED) return cuemu_error(cudaErrorMemoryAllocation);
  a.p = a.map + PAGE + pages - padded(bytes);
  a.bytes = bytes;
  a.live = true;
  a.chunk.assign((pages + CHUNK - 1) / CHUNK, FRESH);
#ifdef CUEMU_ASAN
  ASAN_POISON_MEMORY_REGION(a.map, (size_t)(a.p - a.map));
  ASAN_POISON_MEMORY_REGION(a.p + bytes, (size_t)(a.map + a.map_bytes - a.p) - bytes);
#endif
  watch_faults();
  table[(uintptr_t)a.p] = a;
  in_use += padded(bytes);
  *p = a.p;
  return cudaSuccess;
}

cudaError_t cudaFree(void *p) {
  CUEMU_CALL(CUEMU_FREE);
  if (!p) return cudaSuccess;
  if (const cudaError_t error = cuemu_forbidden_in_capture()) return cuemu_error(error);
  cuemu_finish_all();
  const auto it = table.find((uintptr_t)p);
  if (it == table.end() || it->second.pinned) {
    cuemu_note("cudaFree: %p is not the start of an allocation", p);
    return cuemu_error(cudaErrorInvalidValue);
  }
  allocation *a = &it->second;
  if (!a->live) cuemu_die("cudaFree: %p is freed a second time", p);
  shut_chunks(true); // it may be among them
  a->live = false;
  in_use -= padded(a->bytes);
#ifdef CUEMU_ASAN
  ASAN_POISON_MEMORY_REGION(a->map, a->map_bytes);
#endif
  madvise(a->map, a->map_bytes, MADV_DONTNEED);
  quarantine.push_back((uintptr_t)p);
  if (quarantine.size() > QUARANTINE) {
    forget(quarantine.front());
    quarantine.pop_front();
  }
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned) {
  CUEMU_CALL(CUEMU_HOST);
  if (const cudaError_t error = cuemu_forbidden_in_capture()) return cuemu_error(error);
  if (!p) return cuemu_error(cudaErrorInvalidValue);
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  allocation a = allocation();
  if (posix_memalign((void **)&a.p, PAGE, bytes)) return cuemu_error(cudaErrorMemoryAllocation);
  memset(a.p, 0xFF, bytes);
  a.bytes = bytes;
  a.pinned = a.live = true;
  table[(uintptr_t)a.p] = a;
  *p = a.p;
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p, size_t bytes, unsigned flags) {
  return cudaHostAlloc(p, bytes, flags);
}

cudaError_t cudaFreeHost(void *p) {
  CUEMU_CALL(CUEMU_FREE);
  if (!p) return cudaSuccess;
  if (const cudaError_t error = cuemu_forbidden_in_capture()) return cuemu_error(error);
  cuemu_finish_all();
  const auto it = table.find((uintptr_t)p);
  if (it == table.end() || !it->second.pinned) {
    cuemu_note("cudaFreeHost: %p is not the start of pinned memory", p);
    return cuemu_error(cudaErrorInvalidValue);
  }
  table.erase(it);
  free(p);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  CUEMU_CALL(CUEMU_QUERY);
  if (!free || !total) return cuemu_error(cudaErrorInvalidValue);
  *total = cuemu_memory_limit();
  *free = *total > in_use ? *total - in_use : 0;
  return cudaSuccess;
}

// ---- copies
namespace {
// The side of a copy that `kind` says is the device's, or the host's, is it, and has the bytes.
bool side_ok(const void *p, size_t bytes, bool device, const char *what) {
  if (!p) return false;
  if (device) return cuemu_in_range(p, bytes, what);
  if (cuemu_where(p) == CUEMU_PINNED) return cuemu_in_range(p, bytes, what);
  if (cuemu_where(p) == CUEMU_PAGEABLE) return true;
  cuemu_note("%s: %p is device memory, which contradicts the copy's direction", what, p);
  return false;
}

void move(void *dst, const void *src, size_t bytes) {
  cuemu_open_memory();
  cuemu_enter_device();
  memmove(dst, src, bytes);
  cuemu_leave_device();
  cuemu_shut_memory();
}

void fill(void *dst, int value, size_t bytes) {
  cuemu_open_memory();
  cuemu_enter_device();
  memset(dst, value, bytes);
  cuemu_leave_device();
  cuemu_shut_memory();
}

cudaError_t copy(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream, bool wait,
                 const char *what) {
  if (bytes == 0) return cudaSuccess;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  const bool guess = kind == cudaMemcpyDefault;
  const bool to =
      guess ? cuemu_where(dst) == CUEMU_DEVICE : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from =
      guess ? cuemu_where(src) == CUEMU_DEVICE : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!side_ok(dst, bytes, to, what) || !side_ok(src, bytes, from, what)) return cudaErrorInvalidValue;
  const bool staged = !from && cuemu_where(src) == CUEMU_PAGEABLE, lands = !to && cuemu_where(dst) == CUEMU_PAGEABLE;
  if (cuemu_capturing(stream) && (staged || lands)) {
    cuemu_note("%s: a capture would keep the address of pageable memory", what);
    return cudaErrorStreamCaptureUnsupported;
  }
  cudaError_t error;
  if (staged && cuemu_lazy()) { // read now, as CUDA does; the device gets it later
    std::string bytes_of((const char *)src, bytes);
    error = cuemu_submit(stream, [dst, bytes_of] { move(dst, bytes_of.data(), bytes_of.size()); });
  } else {
    error = cuemu_submit(stream, [dst, src, bytes] { move(dst, src, bytes); });
  }
  if (error != cudaSuccess || !(wait || lands)) return error;
  if (!wait) cuemu_count_wait(); // pageable memory makes an asynchronous copy wait
  cuemu_finish_stream(stream);
  return cudaSuccess;
}
} // namespace

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  CUEMU_CALL(CUEMU_COPY);
  if (!cuemu_stream_valid(stream)) return cuemu_error(cudaErrorInvalidResourceHandle);
  return cuemu_error(copy(dst, src, bytes, kind, stream, false, "cudaMemcpyAsync"));
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind) {
  cuemu_lock lock;
  cudaError_t error = cuemu_call(CUEMU_COPY);
  if (!error) error = cuemu_call(CUEMU_SYNC);
  if (!error) error = cuemu_forbidden_in_capture();
  return cuemu_error(error ? error : copy(dst, src, bytes, kind, nullptr, true, "cudaMemcpy"));
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream) {
  CUEMU_CALL(CUEMU_COPY);
  if (!cuemu_stream_valid(stream)) return cuemu_error(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  if (!dst || !cuemu_in_range(dst, bytes, "cudaMemset")) return cuemu_error(cudaErrorInvalidValue);
  return cuemu_error(cuemu_submit(stream, [dst, value, bytes] { fill(dst, value, bytes); }));
}

cudaError_t cudaMemset(void *dst, int value, size_t bytes) {
  return cudaMemsetAsync(dst, value, bytes, nullptr);
}
