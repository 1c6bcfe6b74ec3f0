// Runs graphs under guard, on any backend. A rig holds variables with guards of 1024 floats between them and one graph.
// Before every run all memory is poisoned with NaN and the variables get their
// contents; after it, whatever the graph has no right to write must be as it was: read-only variables, guards,
// alignment gaps, and work memory outside of the planned places.
#ifndef DUEL_TESTS_RUN_CASE_H
#define DUEL_TESTS_RUN_CASE_H

#include "cases.h"
#include "compare.h"
#include "core/backend.h"
#include "core/rewrites/rewrites.h"

typedef struct duel_rig {
  const duel_backend_api *api;
  duel_backend *backend;
  duel_vars own;         // variables added by duel_rig_var
  const duel_vars *vars; // these, or the caller's
  duel_graph *graph;     // what the caller builds, until duel_rig_start
  bool *writable;        // per variable
  duel_plan *plan;
  duel_memory memory;
  duel_exec *exec;
  unsigned char *before[DUEL_ARENA_COUNT], *after[DUEL_ARENA_COUNT]; // images of the arenas around a run
  unsigned char *planned;                                            // per byte of WORK: 1 if it belongs to a place
} duel_rig;

typedef struct duel_rig_mode {
  unsigned rewrites; // DUEL_REWRITE_*
  bool no_reuse;     // every buffer has its own place, with guards between them; else memory as in production
} duel_rig_mode;

// Order of calls: open; var …; graph, and build on rig->graph; start; then set …, run, get … as often as wanted; close
// (also after a failure).
duel_status duel_rig_open(duel_rig *r, const duel_backend_api *api, duel_backend *b);
duel_status duel_rig_var(duel_rig *r, duel_arena arena, int dtype, duel_shape shape, bool writable, int *var);
duel_status duel_rig_graph(duel_rig *r);
// Instead of open, var and graph: a graph on the caller's variables, without guards between them. Takes the graph.
duel_status duel_rig_adopt(duel_rig *r, const duel_backend_api *api, duel_backend *b, const duel_vars *vars,
                           duel_graph *graph);
duel_status duel_rig_start(duel_rig *r, duel_rig_mode mode);
void duel_rig_set(duel_rig *r, int var, const double *src); // contents at the start of every run from now on
duel_status duel_rig_run(duel_rig *r);
void duel_rig_get(const duel_rig *r, int var, double *dst); // contents after the last run
void duel_rig_close(duel_rig *r);

typedef struct duel_case_mode {
  duel_rig_mode rig;
  bool copy_inputs; // inputs are copied into work memory first, so that ops may take their storage
} duel_case_mode;

// Runs one case. want gives the outputs' shapes, which the graph must agree with; out gets their contents, to be freed.
duel_status duel_case_run(const duel_case *c, const duel_backend_api *api, duel_backend *b, duel_case_mode mode,
                          const duel_ref *in, const duel_ref *want, duel_ref *out);

// The outputs' types, shapes and counts as the graph has them; the oracle has its own, but takes its time.
void duel_case_shapes(const duel_case *c, duel_ref *want);

// The backends under test that compute in float: those of the environment's DUEL_TEST_BACKENDS ("cpu,cuda"), else cpu.
extern const duel_backend_api *duel_test_backends[];
extern int duel_test_backends_n;

#endif
