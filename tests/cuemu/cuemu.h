// The tests' side of the emulator: what to make fail, what ran, in which order. Plain C, found by dlsym in a library
// that has the emulator inside. The same as environment variables, read once:
//
//   CUEMU_ORDER    forward | reverse | random[:SEED]     threads of a block, blocks, and work that nothing orders
//   CUEMU_STREAMS  eager | lazy                          lazy: work runs only when something waits for it
//   CUEMU_FAIL     KIND:N[:forever|:sticky]              the N-th call of a kind from now on fails
//   CUEMU_MEMORY   bytes                                 of the device
//   CUEMU_SUMS     forward | split                       order in which products add: of k; or 8 runs of it, in pairs
//   CUEMU_DEVICES  how many, or the capability of each:  9.0,7.5 (default 9.0); below 7.5 there is no code for it
//   CUEMU_DRIVER   old                                   the driver is older than the runtime
//   CUEMU_TRACE    file of what ran: a line a
//                    kernel   offset in the library, grid, block, name
//                    product  m n k transA transB lda ldb ldc count strideA strideB strideC, 1 if C is read; as cuBLAS
//                    graph    nodes of one that is launched; "end" behind what it ran
//                    mark     a recorded event that is itself a node of a graph
//   CUEMU_DRY      1                                     kernels and products are traced and do not run, memory starts
//                                                        as zeros: a step's launches at once
//
// Kinds of calls: malloc, free, host (pinned memory), launch, graph (launches of one), capture (begin, end,
// instantiate), copy (and set), sync (calls that wait for the device), stream, event, cublas, and any (but free).
// CUEMU_LEAKS=error: memory that is never freed ends the process with code 66; otherwise it is only reported.
#ifndef CUEMU_H
#define CUEMU_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)
int cuemu_set_order(const char *order);     // 0: not understood
int cuemu_set_streams(const char *streams); // 0: not understood
int cuemu_set_sums(const char *order);      // 0: not understood
int cuemu_set_devices(const char *list);    // as CUEMU_DEVICES. 0: not understood
// The n-th call of a kind from now on fails: how NULL or "once", "forever" from then on, or "sticky" with an error that
// stays. kind NULL: nothing fails any more. 0: not understood.
int cuemu_fail(const char *kind, unsigned long long n, const char *how);
unsigned long long cuemu_count(const char *kind); // calls since the start or the last reset; kernels: also in graphs
void cuemu_reset_counts(void);
size_t cuemu_bytes_in_use(void);     // device memory
void cuemu_set_memory(size_t bytes); // the device has
// Nodes of the graph instantiated last that do not just follow the one before them: 0 in a straight line.
unsigned long long cuemu_branches(void);
#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
