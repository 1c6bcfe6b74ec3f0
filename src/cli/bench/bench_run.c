// What is measured, and what follows from it: rows, points of --scale, sums of ops.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "progress.h"

// ---- rows

// The row is out of the bench; the library's message says why.
static void give_up(duel_bench_row *r, duel_status status, const char *why) {
  r->status = status;
  snprintf(r->error, sizeof r->error, "%s", why);
  for (char *c = r->error; (c = strchr(c, '\n'));) *c = ' ';
  duel_run_close(r->run);
  r->run = NULL;
}

static int attempt(duel_bench_row *r, duel_status status) {
  char why[sizeof r->error];
  if (status != DUEL_OK) give_up(r, status, duel_cli_with_flags(why, sizeof why, duel_last_error()));
  return status == DUEL_OK;
}

static void tell(const duel_bench *b, const char *what, const char *who) {
  if (b->talk) fprintf(stderr, "\r\033[K%s%s%s", what, *who ? " " : "", who);
}

const duel_bench_row *duel_bench_reference(const duel_bench *b) {
  for (int i = 0; i < b->n; i++)
    if (b->row[i].run) return &b->row[i];
  return NULL;
}

static int64_t item_size(const duel_run_info *info) {
  int64_t size = 1;
  for (int i = 0; i < info->rank; i++) size *= info->dim[i];
  return size;
}

static int64_t weights_of(const duel_run_info *info) {
  int64_t all = 0;
  for (int net = 0; net < info->n_nets; net++) all += info->net[net].parameters;
  return all;
}

static int advance(duel_bench_row *r, int64_t steps, duel_stats *stats) {
  if (steps > (int64_t)DUEL_BENCH_MOST_STEPS - r->done) {
    give_up(r, DUEL_ERR_USAGE, "all repetitions together have more than " DUEL_BENCH_LENGTH "; ask for less");
    return 0;
  }
  r->done += steps;
  return attempt(r, duel_run_advance(r->run, steps)) && attempt(r, duel_run_stats(r->run, stats));
}

// Opens the row's run with room for its times, and takes its first step.
static int begin(const duel_bench *b, duel_bench_row *r, const duel_run_options *o, duel_stats *first) {
  double start = duel_cli_now();
  if (!attempt(r, duel_run_open(&r->run, o)) || !advance(r, 1, first)) return 0;
  r->first_step_s = duel_cli_now() - start;
  r->info = duel_run_describe(r->run);
  if (*r->info.warning) duel_cli_warn(r->info.warning);
  r->images_per_step = 1000 * first->kimg / (double)first->step;
  r->ms = calloc(2 * (size_t)b->repetitions, sizeof *r->ms);
  if (!r->ms) give_up(r, DUEL_ERR_DEVICE, "the results do not fit in memory; ask for less --repetitions");
  r->sorted = r->ms + b->repetitions;
  return r->ms != NULL;
}

static int take_memory(const duel_bench *b, duel_bench_row *r) {
  r->traced = calloc(DUEL_BENCH_TRACES * (size_t)b->warmup, sizeof *r->traced);
  r->items = calloc(DUEL_BENCH_ITEMS * (size_t)item_size(&r->info), sizeof *r->items);
  r->weights = calloc((size_t)weights_of(&r->info) + 1, sizeof *r->weights);
  if (!r->traced || !r->items || !r->weights) {
    give_up(r, DUEL_ERR_DEVICE, "the results do not fit in memory; ask for less --warmup");
    return 0;
  }
  return 1;
}

// The labeled scalars of warm-up step i; 0 stays where a step makes none.
static void take_scalars(const duel_bench *b, duel_bench_row *r, int64_t i) {
  const duel_scalar *scalar;
  int n;
  if (!attempt(r, duel_run_scalars(r->run, 1, &scalar, &n))) return;
  for (int k = 0; k < n; k++) {
    int at = 0;
    while (at < r->n_traces && strcmp(r->trace[at].name, scalar[k].name) != 0) at++;
    if (!scalar[k].label || at == DUEL_BENCH_TRACES) continue;
    duel_bench_trace *t = &r->trace[at];
    if (at == r->n_traces) *t = (duel_bench_trace){scalar[k].name, scalar[k].label, r->traced + at * b->warmup, 0};
    if (at == r->n_traces) r->n_traces++;
    t->value[i] = scalar[k].value;
  }
}

// The trajectory from step 0: what it tells step by step, and the items that the game draws then.
static void warm_up(const duel_bench *b, duel_bench_row *r) {
  tell(b, "warming up", r->asked);
  duel_run_options o = b->options;
  duel_stats stats;
  o.backend = r->asked;
  if (!begin(b, r, &o, &stats) || !take_memory(b, r)) return;
  for (int64_t i = 0; i < b->warmup && r->run; i++)
    if (i == 0 || advance(r, 1, &stats)) take_scalars(b, r, i);
  uint64_t seeds[DUEL_BENCH_ITEMS];
  for (int i = 0; i < DUEL_BENCH_ITEMS; i++) seeds[i] = (uint64_t)i;
  if (r->run && r->info.samples) attempt(r, duel_generate(r->run, seeds, DUEL_BENCH_ITEMS, r->items));
  if (r->run) attempt(r, duel_run_weights(r->run, r->weights));
}

// ms per step of so many steps; negative where they failed.
static double measure(duel_bench_row *r, int64_t steps) {
  duel_stats stats;
  double begin = duel_cli_now();
  if (!advance(r, steps, &stats)) return -1;
  return 1000 * (duel_cli_now() - begin) / (double)steps;
}

// One repetition that does not count, for what a device does only once; or growing ones, to learn how many steps fill
// the time.
static void rehearse(const duel_bench *b, duel_bench_row *r) {
  r->steps = b->steps > 0 ? b->steps : 1;
  double ms = measure(r, r->steps), all = 1000 * b->seconds;
  if (b->steps > 0) return;
  while (ms >= 0 && ms * (double)r->steps < all / 4) ms = measure(r, r->steps *= 2);
  if (ms < 0) return;
  double fill = round(all / ms);
  r->steps = fill < 1 ? 1 : fill < (double)DUEL_BENCH_MOST_STEPS ? (int64_t)fill : (int64_t)DUEL_BENCH_MOST_STEPS;
}

static int ascending(const void *x, const void *y) {
  const double *a = x, *b = y;
  return (*a > *b) - (*a < *b);
}

// Repetitions in a rotating order, then each row's times sorted.
static void take_turns(duel_bench *b, const char *what) {
  char which[96];
  for (int i = 0; i < b->n; i++)
    if (b->row[i].run) rehearse(b, &b->row[i]);
  for (int64_t k = 0; k < b->repetitions; k++) {
    snprintf(which, sizeof which, "%lld of %lld", (long long)k + 1, (long long)b->repetitions);
    tell(b, what, which);
    for (int i = 0; i < b->n; i++) {
      duel_bench_row *r = &b->row[(k + i) % b->n];
      if (r->run) r->ms[k] = measure(r, r->steps);
    }
  }
  for (int i = 0; i < b->n; i++) {
    duel_bench_row *r = &b->row[i];
    if (!r->run) continue;
    memcpy(r->sorted, r->ms, (size_t)b->repetitions * sizeof *r->ms);
    qsort(r->sorted, (size_t)b->repetitions, sizeof *r->sorted, ascending);
  }
}

static void profile(const duel_bench *b, duel_bench_row *r) {
  int64_t steps = r->steps < (int64_t)DUEL_BENCH_MOST_STEPS - r->done ? r->steps : 1;
  tell(b, "timing the ops of", r->asked);
  r->node = calloc((size_t)r->info.step_nodes + 1, sizeof *r->node);
  if (!r->node) {
    give_up(r, DUEL_ERR_DEVICE, "the times of all nodes do not fit in memory");
    return;
  }
  r->done += steps + 1;
  if (attempt(r, duel_run_profile(r->run, 1, r->node))) // the first one makes ready
    attempt(r, duel_run_profile(r->run, steps, r->node));
}

void duel_bench_measure(duel_bench *b) {
  for (int i = 0; i < b->n; i++) warm_up(b, &b->row[i]);
  take_turns(b, "repetition");
  for (int i = 0; i < b->n; i++) {
    duel_bench_row *r = &b->row[i];
    if (b->ops && r->run) profile(b, r);
    tell(b, "measuring the peaks of", r->asked);
    if (r->run && duel_run_peaks(r->run, b->peak_seconds, &r->peaks) != DUEL_OK) {
      duel_cli_with_flags(r->peaks_error, sizeof r->peaks_error, duel_last_error());
      r->peaks = (duel_peaks){0};
    }
  }
  tell(b, "", "");
}

static void close_row(duel_bench_row *r) {
  duel_run_close(r->run);
  free(r->traced);
  free(r->ms);
  free(r->items);
  free(r->weights);
  free(r->node);
}

void duel_bench_close(duel_bench *b) {
  for (int i = 0; i < b->n; i++) close_row(&b->row[i]);
  free(b->point);
}

// ---- batches and threads

// 1, 2, 4 … and the most itself.
static int next_threads(int threads, int most) {
  return threads == most ? 0 : 2 * threads < most ? 2 * threads : most;
}

// One backend with one batch: all numbers of threads take turns.
static void scale_batch(const duel_bench *b, const char *backend, int64_t batch, int most, duel_bench_point *point,
                        int n) {
  static duel_bench turns;
  char text[32], what[64];
  duel_stats stats;
  turns = (duel_bench){.repetitions = b->scale_repetitions, .steps = b->steps, .seconds = b->seconds, .talk = b->talk};
  turns.n = n;
  duel_set set[DUEL_CLI_MAX_SETS + 2];
  duel_run_options o = b->options;
  snprintf(text, sizeof text, "%lld", (long long)batch);
  int n_set = 0;
  for (int i = 0; i < o.n_set; i++) // --batch and --threads are the table's
    if (strcmp(o.set[i].key, "train.batch") != 0 && strcmp(o.set[i].key, "run.threads") != 0) set[n_set++] = o.set[i];
  set[n_set++] = (duel_set){.key = "train.batch", .value = text, .origin = "--scale"};
  o.set = set;
  o.n_set = n_set;
  o.backend = backend;
  for (int i = 0, threads = most ? 1 : 0; i < n; i++, threads = next_threads(threads, most)) {
    duel_bench_row *r = &turns.row[i];
    point[i] = (duel_bench_point){.batch = batch, .threads = threads};
    snprintf(point[i].backend, sizeof point[i].backend, "%s", backend);
    o.threads = threads;
    begin(&turns, r, &o, &stats);
  }
  snprintf(what, sizeof what, "%s, batch %lld: repetition", backend, (long long)batch);
  take_turns(&turns, what);
  for (int i = 0; i < n; i++) {
    const duel_bench_row *r = &turns.row[i];
    snprintf(point[i].error, sizeof point[i].error, "%s", r->error);
    if (!r->run) continue;
    point[i].ms = duel_bench_spread_of(r->sorted, turns.repetitions);
    point[i].images_per_step = r->images_per_step;
  }
  duel_bench_close(&turns);
}

// Compares a backend's points: n for each batch.
static void finish_points(duel_bench_point *point, int batches, int n) {
  for (int i = 0; i < batches * n; i++) {
    duel_bench_point *p = &point[i];
    const duel_bench_point *smallest = &point[i % n], *single = &point[i / n * n];
    if (*p->error) continue;
    p->images_per_sec = 1000 * p->images_per_step / p->ms.median;
    p->us_per_image = 1e6 / p->images_per_sec;
    p->of_smallest = *smallest->error ? NAN : p->us_per_image / smallest->us_per_image;
    p->speedup = *single->error ? NAN : p->images_per_sec / single->images_per_sec;
    p->efficiency = p->threads ? p->speedup / p->threads : p->speedup;
  }
}

int duel_bench_scale(duel_bench *b) {
  int batches = 0;
  for (int64_t batch = 16; batch <= b->batch_max; batch *= 2) batches++;
  b->point = calloc((size_t)b->n * (size_t)batches * DUEL_BENCH_ROWS, sizeof *b->point);
  if (!b->point) return duel_cli_error(DUEL_ERR_DEVICE, "no memory for the points of --scale");
  for (int i = 0; i < b->n; i++) {
    const duel_bench_row *r = &b->row[i];
    int again = 0; // a backend that is asked for twice
    for (int k = 0; r->run && k < i; k++) again |= b->row[k].run && !strcmp(b->row[k].info.backend, r->info.backend);
    if (!r->run || again) continue;
    const int most = r->info.threads;
    int n = 1;
    for (int threads = 1; most && (threads = next_threads(threads, most)) && n < DUEL_BENCH_ROWS;) n++;
    duel_bench_point *first = b->point + b->n_points;
    int64_t batch = 16;
    for (int k = 0; k < batches; k++, batch *= 2) scale_batch(b, r->info.backend, batch, most, first + k * n, n);
    finish_points(first, batches, n);
    b->n_points += batches * n;
  }
  tell(b, "", "");
  return 0;
}

// ---- results

// Quantile p of n sorted numbers, with linear interpolation.
static double quantile(const double *sorted, int64_t n, double p) {
  double at = p * (double)(n - 1);
  int64_t i = (int64_t)at;
  return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

duel_bench_spread duel_bench_spread_of(const double *sorted, int64_t n) {
  return (duel_bench_spread){.median = quantile(sorted, n, 0.5),
                             .min = sorted[0],
                             .q1 = quantile(sorted, n, 0.25),
                             .q3 = quantile(sorted, n, 0.75),
                             .max = sorted[n - 1]};
}

static double largest_difference(const double *x, const double *y, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i] - y[i]));
  return most;
}

// ‖x − y‖ / ‖y‖
static double relative_difference(const float *x, const float *y, int64_t n) {
  double off = 0, all = 0;
  for (int64_t i = 0; i < n; i++) {
    double p = x[i], q = y[i];
    off += (p - q) * (p - q);
    all += q * q;
  }
  return off > 0 ? sqrt(off / all) : 0;
}

void duel_bench_compare(const duel_bench *b, duel_bench_row *r, const duel_bench_row *first) {
  int64_t n = b->repetitions, items = DUEL_BENCH_ITEMS * item_size(&first->info);
  double *ratio = calloc((size_t)n, sizeof *ratio);
  for (int64_t i = 0; ratio && i < n; i++) ratio[i] = first->ms[i] / r->ms[i];
  if (ratio) qsort(ratio, (size_t)n, sizeof *ratio, ascending);
  r->speedup = ratio ? quantile(ratio, n, 0.5) : NAN;
  free(ratio);
  for (int i = 0; i < r->n_traces; i++)
    r->trace[i].difference = largest_difference(r->trace[i].value, first->trace[i].value, b->warmup);
  for (int64_t i = 0; i < items; i++)
    r->difference_items = fmax(r->difference_items, fabs((double)r->items[i] - (double)first->items[i]));
  r->difference_weights = relative_difference(r->weights, first->weights, weights_of(&first->info));
}

// ---- ops

static int longest_first(const void *x, const void *y) {
  const duel_bench_op *a = x, *b = y;
  return (a->seconds < b->seconds) - (a->seconds > b->seconds);
}

int duel_bench_sum_ops(const duel_bench_row *r, duel_bench_op *op) {
  int n = 0;
  for (int i = 0; i < r->info.step_nodes; i++) {
    const duel_node_time *node = &r->node[i];
    int k = 0;
    while (k < n && strcmp(op[k].op, node->op) != 0) k++;
    if (k == n) op[n++] = (duel_bench_op){.op = node->op, .layer = ""};
    op[k].calls++;
    op[k].seconds += node->seconds;
    op[k].flops += node->flops;
    op[k].bytes += node->bytes;
  }
  qsort(op, (size_t)n, sizeof *op, longest_first);
  return n;
}

duel_bench_bound duel_bench_bound_of(const duel_peaks *peaks, const duel_bench_op *o) {
  if (!(peaks->flops > 0 && peaks->bytes > 0 && o->seconds > 0) || o->flops + o->bytes <= 0)
    return (duel_bench_bound){.name = ""};
  double compute = o->flops / peaks->flops, memory = o->bytes / peaks->bytes;
  return (duel_bench_bound){.name = compute > memory ? "compute" : "memory",
                            .share = fmax(compute, memory) / o->seconds};
}
