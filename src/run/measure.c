// duel.h, "measuring": where a step's time goes, and what the device could do at best. Both run compiled plans with a
// clock at each call (duel_exec_profile), so that all backends are measured alike.
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/rewrites/rewrites.h"
#include "run/run.h"

duel_status duel_run_profile(duel_run *run, int64_t steps, duel_node_time *node) {
  duel_trainer *t = run->trainer;
  const duel_plan *plan = t->variant[0].plan;
  if (steps < 1 || steps > t->steps - t->step)
    return duel_fail(DUEL_ERR_USAGE, "a profile of %lld steps: %lld are left", (long long)steps,
                     (long long)(t->steps - t->step));
  const size_t n = plan ? (size_t)plan->n_order : 0;
  double *seconds = duel_calloc(n + 1, sizeof *seconds);
  if (!seconds) return duel_fail_memory("the times of a step", n * sizeof *seconds);
  const duel_status status = duel_trainer_profile(t, steps, seconds);
  for (size_t i = 0; i < n && status == DUEL_OK; i++) {
    const duel_cost cost = duel_plan_cost(plan, plan->order[i]);
    node[i] = (duel_node_time){.op = duel_op_name(plan->order[i]->op),
                               .layer = plan->order[i]->label,
                               .seconds = seconds[i] / (double)steps,
                               .flops = cost.flops,
                               .bytes = cost.bytes};
  }
  duel_free(seconds);
  return status;
}

// ---- peaks: small plans of a few large calls, each as good as its fastest run

typedef struct probe { // what one size takes
  duel_vars vars;
  duel_graph *graph;
  duel_plan *plan;
  duel_memory memory;
  duel_exec *exec;
  double *seconds; // per call
} probe;

typedef duel_status probe_graph(probe *p, int64_t side);

static duel_status declare(probe *p, duel_arena arena, const char *name, duel_shape shape, int *var) {
  return duel_vars_add(&p->vars, arena, name, DUEL_F32, shape, var);
}

// x = a·b, then w∘x as a convolution of 1×1 kernels: 2·side³ FLOPs each. The copy of the result is the third call.
static duel_status products(probe *p, int64_t side) {
  const int64_t image = side < 1024 ? 8 : 16, n = side / (image * image);
  const duel_shape square = DUEL_SHAPE(side, side), images = DUEL_SHAPE(n, side, image, image);
  int a, b, w, y;
  DUEL_TRY(declare(p, DUEL_ARENA_INPUT, "a", square, &a));
  DUEL_TRY(declare(p, DUEL_ARENA_INPUT, "b", square, &b));
  DUEL_TRY(declare(p, DUEL_ARENA_INPUT, "w", DUEL_SHAPE(side, side, 1, 1), &w));
  DUEL_TRY(declare(p, DUEL_ARENA_OUTPUT, "y", images, &y));
  DUEL_TRY(duel_graph_open(&p->graph, &p->vars, DUEL_F32));
  duel_graph *g = p->graph;
  const duel_conv plain = {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
  duel_val x = duel_reshape(g, duel_matmul(g, duel_input(g, a), duel_input(g, b), false, false), images);
  duel_output(g, y, duel_conv2d(g, x, duel_input(g, w), &plain));
  return duel_graph_status(g);
}

// A copy from one array to another, and a running average of one in the other: 8 and 12 bytes a number.
static duel_status passes(probe *p, int64_t side) {
  const duel_shape array = DUEL_SHAPE(side, side);
  int a, b, c, w;
  DUEL_TRY(declare(p, DUEL_ARENA_INPUT, "a", array, &a));
  DUEL_TRY(declare(p, DUEL_ARENA_OUTPUT, "b", array, &b));
  DUEL_TRY(declare(p, DUEL_ARENA_PARAM, "c", array, &c));
  DUEL_TRY(declare(p, DUEL_ARENA_INPUT, "w", DUEL_SCALAR, &w));
  DUEL_TRY(duel_graph_open(&p->graph, &p->vars, DUEL_F32));
  duel_graph *g = p->graph;
  duel_output(g, b, duel_input(g, a));
  duel_ema(g, duel_state(g, c), duel_input(g, a), duel_input(g, w));
  return duel_graph_status(g);
}

// Numbers of all sizes in −1 … 1: some devices are faster with zeros.
static duel_status fill_inputs(probe *p) {
  for (int v = 0; v < p->vars.n; v++) {
    const duel_var *var = &p->vars.var[v];
    if (var->arena != DUEL_ARENA_INPUT) continue;
    float *x = duel_malloc(var->bytes);
    if (!x) return duel_fail_memory("a measurement", var->bytes);
    uint32_t state = 1;
    for (size_t i = 0; i < var->bytes / sizeof *x; i++) {
      state = state * 1664525U + 1013904223U;
      x[i] = (float)(int32_t)state * 0x1p-31F;
    }
    const duel_status status = duel_memory_write(&p->memory, v, x);
    duel_free(x);
    DUEL_TRY(status);
  }
  return DUEL_OK;
}

static duel_status open_probe(probe *p, const duel_trainer *t, probe_graph *build, int64_t side) {
  DUEL_TRY(build(p, side));
  duel_graph *given = p->graph;
  p->graph = NULL;
  DUEL_TRY(duel_plan_for(&p->plan, given, DUEL_REWRITE_ALL, t->api, t->backend));
  DUEL_TRY(duel_memory_open(&p->memory, t->api, t->backend, &p->vars, p->plan->work_bytes));
  DUEL_TRY(fill_inputs(p));
  DUEL_TRY(duel_exec_open(&p->exec, &p->plan, 1, &p->memory, NULL));
  p->seconds = duel_calloc((size_t)p->plan->n_order, sizeof *p->seconds);
  return p->seconds ? DUEL_OK : duel_fail_memory("a measurement", (size_t)p->plan->n_order * sizeof *p->seconds);
}

static void close_probe(probe *p) {
  duel_free(p->seconds);
  duel_exec_close(p->exec);
  if (p->memory.api) duel_memory_close(&p->memory);
  duel_plan_close(p->plan);
  duel_graph_close(p->graph);
  duel_vars_clear(&p->vars);
}

typedef struct probed {
  double flops, bytes; // a second: the best of any call
  double pass;         // seconds of the fastest run
} probed;

// The best rates of `runs` runs after one that does not count.
static duel_status run_probe(probe *p, int runs, probed *best) {
  const int n = p->plan->n_order;
  best->pass = 1e30;
  for (int k = 0; k <= runs; k++) {
    double pass = 0;
    memset(p->seconds, 0, (size_t)n * sizeof *p->seconds);
    DUEL_TRY(duel_exec_profile(p->exec, 0, NULL, NULL, p->seconds));
    for (int i = 0; i < n; i++) {
      const duel_cost cost = duel_plan_cost(p->plan, p->plan->order[i]);
      pass += p->seconds[i];
      if (k == 0 || p->seconds[i] <= 0) continue;
      if (cost.flops / p->seconds[i] > best->flops) best->flops = cost.flops / p->seconds[i];
      if (cost.bytes / p->seconds[i] > best->bytes) best->bytes = cost.bytes / p->seconds[i];
    }
    if (k == 0) best->pass = pass; // until there is a better one
    if (k > 0 && pass < best->pass) best->pass = pass;
  }
  return DUEL_OK;
}

static duel_status measure(const duel_trainer *t, probe_graph *build, int64_t side, int runs, probed *best) {
  probe p = {0};
  *best = (probed){0};
  duel_status status = open_probe(&p, t, build, side);
  if (status == DUEL_OK) status = run_probe(&p, runs, best);
  close_probe(&p);
  return status;
}

enum { RUNS = 5 };

// Doubles the side as long as a run is that much shorter than what is left to spend.
static bool grows(const probed *p, double growth, double seconds) {
  return p->pass * growth * (RUNS + 1) < seconds;
}

duel_status duel_run_peaks(duel_run *run, double seconds, duel_peaks *peaks) {
  const duel_trainer *t = run->trainer;
  const bool host = t->api->host_memory;
  const double room = t->api->room ? t->api->room(t->backend) : 0;
  probed best;
  *peaks = (duel_peaks){0};
  DUEL_TRY(duel_trainer_settle(run->trainer));
  for (int64_t side = 256; side <= (host ? 4096 : 16384); side *= 2) {
    if (room > 0 && 20.0 * (double)(side * side) > room / 2) break;
    DUEL_TRY(measure(t, products, side, RUNS, &best));
    if (best.flops > peaks->flops) peaks->flops = best.flops;
    peaks->square_side = (double)side;
    if (!grows(&best, 8, seconds)) break;
  }
  // Small arrays lie in caches: the largest ones count, together at least twice a host's last-level cache.
  const long cache = host ? sysconf(_SC_LEVEL3_CACHE_SIZE) : 0;
  const double enough = host ? 2 * (cache > (64 << 20) ? (double)cache : (double)(64 << 20)) : 0x1p31;
  for (int64_t side = 512;; side *= 2) {
    if (room > 0 && 12.0 * (double)(side * side) > room / 2) break;
    DUEL_TRY(measure(t, passes, side, RUNS, &best));
    peaks->bytes = best.bytes;
    peaks->pass_bytes = 12.0 * (double)(side * side);
    if (peaks->pass_bytes >= enough || !grows(&best, 4, seconds)) break;
  }
  return DUEL_OK;
}
