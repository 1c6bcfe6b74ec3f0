// What the files of `duel bench` share: a row is one run that is measured, a bench the rows that take turns.
//
//   bench.c   flags; the order of things      bench_run.c   measuring      bench_table.c, bench_json.c
#ifndef DUEL_CLI_BENCH_H
#define DUEL_CLI_BENCH_H

#include "options.h"

enum { DUEL_BENCH_MOST_BATCH = 1 << 20, DUEL_BENCH_BACKENDS = 8, DUEL_BENCH_ROWS = 16, DUEL_BENCH_ITEMS = 64 };
enum { DUEL_BENCH_TRACES = 4 };
#define DUEL_BENCH_LENGTH "4000000000 steps" // the length of every run here
static const uint64_t DUEL_BENCH_MOST_STEPS = 4000000000;

typedef struct duel_bench_trace { // a scalar that lines for people show, step by step
  const char *name, *label;
  double *value; // [warmup]
  double difference;
} duel_bench_trace;

typedef struct duel_bench_row {
  char asked[8]; // a word of --backend
  duel_run *run; // NULL: not usable, or closed again; status and error say why it is not
  duel_status status;
  char error[1024];
  duel_run_info info;
  int64_t done, steps;    // steps so far, and of a repetition
  double images_per_step; // real ones
  double first_step_s;
  int n_traces;
  duel_bench_trace trace[DUEL_BENCH_TRACES]; // of a GAN its two losses
  double *traced;                            // [DUEL_BENCH_TRACES, warmup]: their values
  float *items, *weights; // [DUEL_BENCH_ITEMS, item] of a game that draws any, [parameters], after the warm-up
  double *ms, *sorted;    // [repetitions] per step, in order and sorted
  double speedup, difference_items, difference_weights;
  duel_peaks peaks; // zeros: not measured, for which peaks_error is the reason
  char peaks_error[512];
  duel_node_time *node; // [info.step_nodes]; NULL without --ops
} duel_bench_row;

typedef struct duel_bench_spread {
  double median, min, q1, q3, max;
} duel_bench_spread;

typedef struct duel_bench_point { // of --scale
  char backend[8];
  int64_t batch;
  int threads;      // 0: a device does the work
  char error[1024]; // "": usable
  duel_bench_spread ms;
  double images_per_step;
  double images_per_sec, us_per_image;
  double of_smallest;         // µs an image, over those of the smallest batch with as many threads
  double speedup, efficiency; // images/s over those of one thread, and that a thread
} duel_bench_point;

typedef struct duel_bench {
  duel_run_options options;
  int64_t warmup, repetitions, steps; // steps 0: as many as fill `seconds`
  double seconds, peak_seconds;
  int talk; // to a terminal on stderr
  int ops, nodes;
  int n;
  duel_bench_row row[DUEL_BENCH_ROWS];
  int64_t batch_max; // of --scale
  int64_t scale_repetitions;
  duel_bench_point *point; // NULL without --scale
  int n_points;
} duel_bench;

// The times of one op's calls in a step, or of one node.
typedef struct duel_bench_op {
  const char *op, *layer;
  int calls;
  double seconds, flops, bytes;
} duel_bench_op;

typedef struct duel_bench_bound {
  const char *name; // "compute", "memory"; "" where there are no peaks, or nothing that they bound
  double share;     // of the time, what it would take at that peak
} duel_bench_bound;

// ---- bench_run.c
void duel_bench_measure(duel_bench *b); // all rows: warm-up, repetitions in turns, peaks, ops
int duel_bench_scale(duel_bench *b);    // fills point; an exit code
void duel_bench_close(duel_bench *b);
const duel_bench_row *duel_bench_reference(const duel_bench *b); // the first row that is usable, NULL: none
void duel_bench_compare(const duel_bench *b, duel_bench_row *r, const duel_bench_row *first);
duel_bench_spread duel_bench_spread_of(const double *sorted, int64_t n);
int duel_bench_sum_ops(const duel_bench_row *r,
                       duel_bench_op *op); // [info.step_nodes], longest first; returns how many
duel_bench_bound duel_bench_bound_of(const duel_peaks *peaks, const duel_bench_op *o);

// ---- what is made of it
void duel_bench_print(const duel_bench *b, const duel_bench_row *first);
void duel_bench_json(FILE *out, const duel_bench *b, const duel_bench_row *first);

#endif
