// The seams between the emulator's own files:
//   scheduler.cpp  runs one kernel on fibers (fiber.h): barriers, warps, shared memory
//   memory.cpp     device and pinned memory: a table, guards, checks, copies
//   runtime.cpp    devices, errors, faults and counts, launching
//   stream.cpp     streams, events, work now or later    graph.cpp   capture and replay
//   clocks.cpp     what orders what, for ThreadSanitizer     cublas.cpp   matrix products
#ifndef CUEMU_INTERNAL_H
#define CUEMU_INTERNAL_H

#include "cuda_runtime.h"

#include "cuemu.h"

#include <functional>
#include <vector>

#if defined(__has_feature)
#define CUEMU_HAS(x) __has_feature(x)
#else
#define CUEMU_HAS(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || CUEMU_HAS(address_sanitizer)
#define CUEMU_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || CUEMU_HAS(thread_sanitizer)
#define CUEMU_TSAN 1
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_read_range(void *p, long bytes); // as GCC has declared them
extern "C" void __tsan_write_range(void *p, long bytes);
extern "C" void AnnotateIgnoreReadsBegin(const char *file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char *file, int line);
extern "C" void AnnotateIgnoreWritesBegin(const char *file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char *file, int line);
#endif

// Code that runs on both sides of a switch of stacks, or that sanitizers must not see.
#if defined(__clang__)
#define CUEMU_RAW __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define CUEMU_RAW __attribute__((noinline, no_sanitize("address", "thread")))
#endif

#ifdef CUEMU_TSAN
constexpr bool CUEMU_CLOCKS = true;
#else
constexpr bool CUEMU_CLOCKS = false;
#endif
struct cuemu_clock { // see clocks.cpp below
  void *fiber = nullptr;
  std::vector<char *> before; // acquired when work begins
  char after = 0;             // released when it ends
};

#pragma GCC visibility push(hidden)
// ---- scheduler.cpp
enum cuemu_order { CUEMU_FORWARD, CUEMU_REVERSE, CUEMU_RANDOM };
extern cuemu_order cuemu_the_order;
uint64_t cuemu_random(void);
void cuemu_seed(uint64_t seed);
void cuemu_run(const cuemu_launch *launch); // the whole grid, to its end
bool cuemu_on_device(void);                 // within a kernel

enum : size_t { CUEMU_STATIC_SHARED = 48 << 10, CUEMU_MOST_SHARED = 227 << 10 };

// ---- clocks.cpp: what orders work, as ThreadSanitizer shall see it; nothing to other builds. To it each stream and
// each node of a graph is a thread, which only what orders it in CUDA orders: the calls that gave it work, events,
// edges. The emulator itself, under its lock, is hidden from it.
extern cuemu_clock *cuemu_executing;        // whoever runs a work sets it
void cuemu_start_clock(cuemu_clock *clock); // before other work could order it: it begins with the host's past
void cuemu_enter_device(void);              // around what a work does to memory
void cuemu_leave_device(void);
void cuemu_announce(const void *p, size_t bytes, bool write); // a work's access that is made where it is not seen
void cuemu_release(char *moment);
void cuemu_acquire(char *moment);
void cuemu_hide(bool hidden);

// ---- memory.cpp
// What lies beside an allocation where ASan does not watch: NaN to whoever reads it, and not what anybody writes.
static inline unsigned char cuemu_canary(const void *at) {
  return (uintptr_t)at % 4 == 3 ? 0xFF : 0xA5;
}
// Between open and shut, which nest, device memory may be touched; cuemu_host_waited shuts what shut leaves open.
void cuemu_open_memory(void);
void cuemu_shut_memory(void);
void cuemu_host_waited(void);
enum cuemu_place_of { CUEMU_PAGEABLE, CUEMU_PINNED, CUEMU_DEVICE };
cuemu_place_of cuemu_where(const void *p);
// Whether [p, p + bytes) lies in one allocation; if not, a note to stderr begins with `what`.
bool cuemu_in_range(const void *p, size_t bytes, const char *what);
void cuemu_check_canaries(const char *kernel);

// ---- runtime.cpp
enum cuemu_kind {
  CUEMU_MALLOC,
  CUEMU_FREE,
  CUEMU_HOST,
  CUEMU_LAUNCH,
  CUEMU_GRAPH,
  CUEMU_CAPTURE,
  CUEMU_COPY,
  CUEMU_SYNC,
  CUEMU_STREAM,
  CUEMU_EVENT,
  CUEMU_CUBLAS,
  CUEMU_QUERY, // changes nothing: never fails by order
  CUEMU_KINDS
};
struct cuemu_lock { // held by every call: the emulator does one thing at a time
  cuemu_lock();
  ~cuemu_lock();
};
cudaError_t cuemu_error(cudaError_t error); // makes it the last error of this thread
// The start of every call: counts it; the error that it shall fail with, if any.
cudaError_t cuemu_call(cuemu_kind kind);
#define CUEMU_CALL(kind)                                                                                               \
  cuemu_lock lock;                                                                                                     \
  if (const cudaError_t error_ = cuemu_call(kind)) return cuemu_error(error_)
void cuemu_ran_kernel(void);
void cuemu_count_wait(void); // a wait that is no call of its own
bool cuemu_lost(void);       // a sticky error has come
size_t cuemu_memory_limit(void);
bool cuemu_lazy(void);
bool cuemu_dry(void); // what is launched is traced and does not run
bool cuemu_split_sums(void);
int cuemu_device(void);                                                      // this thread's
void cuemu_note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // one line to stderr
// A line of the file CUEMU_TRACE, if there is one.
void cuemu_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// ---- stream.cpp
// Runs now (eager), later (lazy) or at each replay (within a capture). A capture takes no pageable memory.
cudaError_t cuemu_submit(cudaStream_t stream, std::function<void()> run);
cudaError_t cuemu_forbidden_in_capture(void); // for calls that a capture which is not relaxed forbids
bool cuemu_capturing(cudaStream_t stream);
bool cuemu_stream_valid(cudaStream_t stream);
bool cuemu_on_current(cudaStream_t stream); // whether this thread's device is the stream's
void cuemu_finish_stream(cudaStream_t stream);
void cuemu_finish_all(void);
#pragma GCC visibility pop

#endif
