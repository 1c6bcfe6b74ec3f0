// The seam between core and a backend: one const table of calls; which kernels are behind it is the backend's own.
#ifndef DUEL_CORE_BACKEND_H
#define DUEL_CORE_BACKEND_H

#include "core/plan/plan.h"

typedef struct duel_operand {
  void *data;
  duel_dtype dtype;
  duel_shape shape;
} duel_operand;

// Elements of an operand.
static inline int64_t duel_count(const duel_operand *o) {
  return duel_shape_count(o->shape);
}

// One node with its operands resolved: all that a kernel sees. Shapes were validated by core. A kernel may read and
// write only its operands and scratch, and must not allocate.
typedef struct duel_call {
  duel_op op;
  int n_in, n_out;
  const duel_operand *in, *out;
  const duel_attr *attr;
  duel_cost cost; // the op record's, less what the plan has in place already
  void *scratch;  // as many bytes as the backend's scratch() said, aligned to DUEL_ALIGN, contents undefined
  void *ctx;      // what the backend hands its kernels. CUDA: the lane that the call runs on; CPU: NULL
} duel_call;

typedef struct duel_backend duel_backend; // one opened device
typedef struct duel_exec duel_exec;       // plans, prepared to run on it

typedef struct duel_backend_options {
  int threads; // 0: what affinity and the cgroup's quota allow
  int device;
  const char *precision; // NULL: the default
  bool no_capture;       // CUDA: calls are launched one by one, for debugging
} duel_backend_options;

// Memory that the host writes before a step (in) and reads after it (out): each one contiguous block of an arena.
typedef struct duel_feed {
  void *in, *out; // device addresses
  size_t in_bytes, out_bytes;
} duel_feed;

typedef struct duel_backend_api {
  const char *name; // "cpu", "cpu-f64", "cuda"
  duel_dtype real;
  bool host_memory; // device memory is the host's: an arena may lie in memory of the caller's
  duel_status (*open)(duel_backend **b, const duel_backend_options *options);
  void (*close)(duel_backend *b);
  duel_status (*probe)(int device);         // whether it can work at all, and if not why; NULL: always
  const char *(*describe)(duel_backend *b); // "AMD EPYC, 2 threads, x86-64-v4, OpenBLAS 0.3.21 Haswell"
  // What decides the bits, "x86-64-v4, OpenBLAS 0.3.21 Haswell": no host, no threads.
  const char *(*identity)(duel_backend *b);
  bool (*has)(duel_backend *b, duel_op op);                      // a kernel for it
  size_t (*scratch)(duel_backend *b, const duel_call *call);     // bytes that its kernel wants; no data, no cost yet
  double (*room)(duel_backend *b);                               // bytes that can be had yet; 0: unknown
  duel_status (*alloc)(duel_backend *b, size_t bytes, void **p); // aligned to DUEL_ALIGN, zeroed
  void (*free)(duel_backend *b, void *p);
  duel_status (*upload)(duel_backend *b, void *dst, const void *src, size_t bytes);
  duel_status (*download)(duel_backend *b, void *dst, const void *src, size_t bytes);
  // Prepares calls in n_groups groups (as in duel_plan) for running again and again; then runs them once. calls and
  // group_end stay where they are while the program lives; the calls' ctx is the backend's to set. ring: whose steps it
  // may run, or NULL.
  duel_status (*prepare)(duel_backend *b, duel_call *calls, const int *group_end, int n_groups, void *ring,
                         void **program);
  duel_status (*run)(duel_backend *b, void *program);
  void (*release)(duel_backend *b, void *program);
  // A device that works beside the host is fed through a ring, which all programs of a feed share: ahead() steps at
  // most may be submitted and not collected yet. submit copies the inputs of a step that `program` shall run, and
  // returns; collect takes the outputs of the oldest such step: wait for it, or *got tells whether it was there. Steps
  // happen in order. All five are NULL where the host does the work. A ring is closed after its programs were released.
  duel_status (*open_ring)(duel_backend *b, const duel_feed *feed, void **ring);
  void (*close_ring)(duel_backend *b, void *ring);
  int (*ahead)(const void *ring);
  duel_status (*submit)(duel_backend *b, void *ring, void *program, const void *in);
  duel_status (*collect)(duel_backend *b, void *ring, void *out, bool wait, bool *got);
  // Runs a program that waits for nothing once more and adds to seconds[i] what call i took: all calls one after
  // another on a device that would run some side by side. The first time takes what this needs, so that other runs pay
  // nothing.
  duel_status (*profile)(duel_backend *b, void *program, double *seconds);
  // What it does otherwise than it was asked to, with the same results or lesser speed; empty: nothing. NULL: never.
  const char *(*warning)(duel_backend *b);
} duel_backend_api;

// A backend in a library of its own, opened at run time: it shares the program's error message and door to the heap,
// which it is handed here. layout tells two builds that do not fit from each other.
typedef struct duel_host {
  const char *version; // DUEL_VERSION
  size_t layout;       // DUEL_SEAM_LAYOUT
  duel_status (*fail)(duel_status code, const char *text);
  void *(*malloc)(size_t bytes);
  void (*free)(void *p);
} duel_host;
#define DUEL_SEAM_LAYOUT (sizeof(duel_backend_api) + 1000 * sizeof(duel_call) + 1000000 * (size_t)DUEL_OP_COUNT)
// The one symbol of such a library, DUEL_BACKEND_ENTRY: yields its backend, or NULL with the message set.
typedef const duel_backend_api *duel_backend_entry(const duel_host *host);
#define DUEL_BACKEND_ENTRY "duel_backend_entry_point"

// ---- memory of a run: the arenas of its variables, one allocation each
typedef struct duel_memory {
  const duel_backend_api *api;
  duel_backend *backend;
  const duel_vars *vars;
  void *arena[DUEL_ARENA_COUNT]; // WORK: shared by all plans of the run, of the largest one's size
  size_t bytes[DUEL_ARENA_COUNT];
  bool lent; // the arena of data is the caller's
} duel_memory;

// Allocates all arenas (zeroed); work_bytes is the largest plan's. On failure nothing is held.
duel_status duel_memory_open(duel_memory *m, const duel_backend_api *api, duel_backend *b, const duel_vars *vars,
                             size_t work_bytes);
// The same, with the arena of data in memory that the caller holds until close, where the backend's is the host's
// (api->host_memory) and data is not NULL: a large set need not be there twice. That arena is aligned as the caller's
// memory is.
duel_status duel_memory_open_lent(duel_memory *m, const duel_backend_api *api, duel_backend *b, const duel_vars *vars,
                                  size_t work_bytes, void *data);
void duel_memory_measure(duel_memory *m, const duel_vars *vars, size_t work_bytes); // sets bytes, allocates nothing
size_t duel_memory_total(const duel_memory *m);                                     // of all arenas, in bytes
const char *duel_arena_name(duel_arena arena);                                      // "parameters", for messages
void duel_memory_close(duel_memory *m);
void *duel_memory_at(const duel_memory *m, int var);                     // device address of a variable
duel_status duel_memory_write(duel_memory *m, int var, const void *src); // the whole variable
duel_status duel_memory_read(duel_memory *m, int var, void *dst);

// ---- executor
// Rewrites and plans the graph (which it takes over) for the backend: fails naming op and backend where a kernel is
// missing.
duel_status duel_plan_for(duel_plan **plan, duel_graph *graph, unsigned rewrites, const duel_backend_api *api,
                          duel_backend *b);
// Binds plans to memory: n variants of one step, which share all variables, the work memory (m's is that of the
// largest) and the feed. feed NULL: nothing is submitted. One allocation here (of the backend's own besides), none in a
// run. The plans must outlive the exec.
duel_status duel_exec_open(duel_exec **e, duel_plan *const *plan, int n, duel_memory *m, const duel_feed *feed);
duel_status duel_exec_run(duel_exec *e, int variant);
// Writes the inputs of the feed and runs a variant, now or later: at most duel_exec_ahead() steps may wait to be
// collected. Steps happen in the order of their submission, whichever variants they are.
duel_status duel_exec_submit(duel_exec *e, int variant, const void *in);
// The outputs of the oldest step that was not collected yet. Without wait it may be too early: then *got is false.
duel_status duel_exec_collect(duel_exec *e, void *out, bool wait, bool *got);
int duel_exec_ahead(const duel_exec *e); // at least 1
// One step from the feed's inputs to its outputs, with all before it collected; adds to seconds[i] the time of call i.
// Without a feed, both may be NULL. After a variant's first, allocates nothing.
duel_status duel_exec_profile(duel_exec *e, int variant, const void *in, void *out, double *seconds);
void duel_exec_close(duel_exec *e);

#endif
