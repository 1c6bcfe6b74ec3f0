// The self test's harness. Output is TAP. A planted bug runs in a child process, whose end and words tell whether it
// was found.
#ifndef CUEMU_SELFTEST_H
#define CUEMU_SELFTEST_H

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include "cuemu.h"

#if defined(__has_feature)
#define SELFTEST_HAS(x) __has_feature(x)
#else
#define SELFTEST_HAS(x) 0
#endif
constexpr bool WITH_ASAN =
#if defined(__SANITIZE_ADDRESS__) || SELFTEST_HAS(address_sanitizer)
    true;
#else
    false;
#endif
constexpr bool WITH_TSAN =
#if defined(__SANITIZE_THREAD__) || SELFTEST_HAS(thread_sanitizer)
    true;
#else
    false;
#endif
constexpr bool WITH_UBSAN =
#if defined(CUEMU_UBSAN) || SELFTEST_HAS(undefined_behavior_sanitizer)
    true;
#else
    false;
#endif

void check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *why, const char *name);
#define REQUIRE(expr) require((expr), #expr, __FILE__, __LINE__)
void require(bool ok, const char *expr, const char *file, int line); // ends a test's function or child with exit code 3

// Runs fn in a child in each order; it must die with one of the texts ("this|or this") on stderr, or of a sanitizer.
void dies(const char *name, void (*fn)(void), const char *texts);
// Runs fn in a child in each order; in at least one it must call wrong(), or die as a sanitizer does.
void differs(const char *name, void (*fn)(void));
[[noreturn]] void wrong(void);
// Runs fn in a child in each order; nothing may be found.
void clean(const char *name, void (*fn)(void));
extern const char *const ORDERS[3];

// Device memory with these contents; and back. Both wait.
template <class T> T *to_device(const T *src, size_t n) {
  T *p = nullptr;
  REQUIRE(cudaMalloc(&p, n * sizeof(T)) == cudaSuccess);
  if (src) REQUIRE(cudaMemcpy(p, src, n * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  return p;
}
template <class T> void from_device(T *dst, const T *src, size_t n) {
  REQUIRE(cudaMemcpy(dst, src, n * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
}

void test_kernels(void);
void test_planted(void);
void test_runtime(void);
void test_graphs(void);
void test_libraries(void);

// A call of the runtime yields this error.
#define EXPECT(expr, error)                                                                                            \
  do {                                                                                                                 \
    const cudaError_t got_ = (expr);                                                                                   \
    if (got_ != (error)) {                                                                                             \
      fprintf(stderr, "%s:%d: %s gives %s, not %s\n", __FILE__, __LINE__, #expr, cudaGetErrorName(got_),               \
              cudaGetErrorName(error));                                                                                \
      wrong();                                                                                                         \
    }                                                                                                                  \
  } while (0)

#endif
