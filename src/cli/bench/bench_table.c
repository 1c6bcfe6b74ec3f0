// The tables of `duel bench`.
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static void print_row(const duel_bench *b, const duel_bench_row *r) {
  if (!r->run) {
    printf("%-8s not usable: %s\n", r->asked, r->error);
    return;
  }
  char quartiles[64];
  const duel_bench_spread s = duel_bench_spread_of(r->sorted, b->repetitions);
  snprintf(quartiles, sizeof quartiles, "%.3f-%.3f", s.q1, s.q3);
  printf("%-8s %9.3f  %-17s %10.0f %8.2fx %9.1f %8.1f %8.3f s %8.1f MiB  %s\n", r->info.backend, s.median, quartiles,
         1000 * r->images_per_step / s.median, r->speedup, r->info.step_flops / s.median / 1e6,
         r->info.step_bytes / s.median / 1e6, r->first_step_s, (double)r->info.memory_bytes / 1048576, r->info.device);
}

static void print_peaks(const duel_bench *b, const duel_bench_row *r) {
  const duel_peaks *p = &r->peaks;
  if (*r->peaks_error) {
    printf("%-8s not measured: %s\n", r->info.backend, r->peaks_error);
    return;
  }
  const double ms = duel_bench_spread_of(r->sorted, b->repetitions).median;
  char threads[32] = "";
  if (r->info.threads)
    snprintf(threads, sizeof threads, ", %d thread%s", r->info.threads, r->info.threads > 1 ? "s" : "");
  printf("%-8s %7.1f %% of %.1f GFLOP/s, %.1f %% of %.1f GB/s (squares of side %.0f, %.1f MiB a pass%s)\n",
         r->info.backend, 1e5 * r->info.step_flops / ms / p->flops, p->flops / 1e9,
         1e5 * r->info.step_bytes / ms / p->bytes, p->bytes / 1e9, p->square_side, p->pass_bytes / 1048576, threads);
}

static void print_backends(const duel_bench *b, const duel_bench_row *first) {
  const duel_run_info *f = &first->info;
  printf("%s on %s, batch %lld, seed %llu: %.1f MFLOP and %.1f MB a step; %lld repetitions of ", f->recipe, f->data,
         (long long)f->batch, (unsigned long long)f->seed, f->step_flops / 1e6, f->step_bytes / 1e6,
         (long long)b->repetitions);
  if (b->steps > 0)
    printf("%lld steps\n\n", (long long)b->steps);
  else
    printf("about %g s\n\n", b->seconds);
  printf("%-8s %9s  %-17s %10s %9s %9s %8s %10s %12s  %s\n", "backend", "ms/step", "quartiles", "images/s", "speed-up",
         "GFLOP/s", "GB/s", "first step", "memory", "device");
  for (int i = 0; i < b->n; i++) print_row(b, &b->row[i]);
  printf("\nThe step, of the peaks measured here:\n");
  for (int i = 0; i < b->n; i++)
    if (b->row[i].run) print_peaks(b, &b->row[i]);
  for (int i = 0, heading = 0; i < b->n; i++) {
    const duel_bench_row *r = &b->row[i];
    if (!r->run || r == first) continue;
    if (!heading++) {
      printf("\nLargest difference from %s, over the first %lld steps, ", f->backend, (long long)b->warmup);
      if (f->samples) printf("%d items generated then, ", DUEL_BENCH_ITEMS);
      printf("and the weights:\n");
    }
    printf("%-8s ", r->info.backend);
    for (int k = 0; k < r->n_traces; k++) printf("%s %.3g, ", r->trace[k].label, r->trace[k].difference);
    if (f->samples) printf("items %.3g, ", r->difference_items);
    printf("weights %.3g of their norm\n", r->difference_weights);
  }
}

// ---- ops

static void print_op(const duel_bench_row *r, const duel_bench_op *o, double all, const char *name, int wide) {
  const duel_bench_bound bound = duel_bench_bound_of(&r->peaks, o);
  printf("%-*s %6d %9.4f %6.1f %% %9.1f %8.1f", wide, name, o->calls, 1000 * o->seconds, 100 * o->seconds / all,
         o->seconds > 0 ? o->flops / o->seconds / 1e9 : 0, o->seconds > 0 ? o->bytes / o->seconds / 1e9 : 0);
  if (*bound.name)
    printf("  %-8s %5.0f %%\n", bound.name, 100 * bound.share);
  else
    printf("  %-8s %7s\n", "-", "-");
}

static void print_ops(const duel_bench *b, const duel_bench_row *r) {
  const int nodes = r->info.step_nodes;
  duel_bench_op *op = calloc((size_t)nodes + 1, sizeof *op), all = {.op = "all"};
  if (!op) return;
  const int n = duel_bench_sum_ops(r, op);
  int wide = 16;
  for (int i = 0; i < n; i++) {
    all.calls += op[i].calls;
    all.seconds += op[i].seconds;
    all.flops += op[i].flops;
    all.bytes += op[i].bytes;
  }
  for (int i = 0; i < n; i++)
    if ((int)strlen(op[i].op) > wide) wide = (int)strlen(op[i].op);
  printf("\nWhere a step of %s goes (%.3f ms without clocks in it):\n%-*s %6s %9s %8s %9s %8s  %-8s %7s\n",
         r->info.backend, duel_bench_spread_of(r->sorted, b->repetitions).median, wide, "op", "calls", "ms", "share",
         "GFLOP/s", "GB/s", "bound", "of it");
  for (int i = 0; i < n; i++) print_op(r, &op[i], all.seconds, op[i].op, wide);
  print_op(r, &all, all.seconds, "all", wide);
  free(op);
}

static void print_nodes(const duel_bench_row *r) {
  char name[96];
  int wide = 16;
  double all = 0;
  for (int i = 0; i < r->info.step_nodes; i++) {
    const int length = (int)(strlen(r->node[i].op) + strlen(r->node[i].layer)) + 2;
    wide = length > wide ? length : wide;
    all += r->node[i].seconds;
  }
  if (wide >= (int)sizeof name) wide = sizeof name - 1;
  printf("\nThe nodes of a step of %s, in the order in which they run:\n%-*s %6s %9s %8s %9s %8s  %-8s %7s\n",
         r->info.backend, wide, "op, layer", "calls", "ms", "share", "GFLOP/s", "GB/s", "bound", "of it");
  for (int i = 0; i < r->info.step_nodes; i++) {
    const duel_node_time *node = &r->node[i];
    const duel_bench_op o = {.calls = 1, .seconds = node->seconds, .flops = node->flops, .bytes = node->bytes};
    snprintf(name, sizeof name, "%s%s%s", node->op, *node->layer ? ", " : "", node->layer);
    print_op(r, &o, all, name, wide);
  }
}

// ---- batches and threads

static void print_scale(const duel_bench *b) {
  printf("\nBatches and threads, which take turns; repetitions: %lld\n%-8s %6s %8s %9s  %-17s %10s %9s %7s %9s "
         "%10s\n",
         (long long)b->scale_repetitions, "backend", "batch", "threads", "ms/step", "quartiles", "images/s", "us/image",
         "of 16", "speed-up", "efficiency");
  for (int i = 0; i < b->n_points; i++) {
    const duel_bench_point *p = &b->point[i];
    char threads[16] = "-", quartiles[64];
    if (p->threads) snprintf(threads, sizeof threads, "%d", p->threads);
    printf("%-8s %6lld %8s ", p->backend, (long long)p->batch, threads);
    if (*p->error) {
      printf("not usable: %s\n", p->error);
      continue;
    }
    snprintf(quartiles, sizeof quartiles, "%.3f-%.3f", p->ms.q1, p->ms.q3);
    printf("%9.3f  %-17s %10.0f %9.2f %7.2f %8.2fx %8.0f %%\n", p->ms.median, quartiles, p->images_per_sec,
           p->us_per_image, p->of_smallest, p->speedup, 100 * p->efficiency);
  }
}

void duel_bench_print(const duel_bench *b, const duel_bench_row *first) {
  print_backends(b, first);
  for (int i = 0; i < b->n; i++) {
    const duel_bench_row *r = &b->row[i];
    if (!r->run || !r->node) continue;
    print_ops(b, r);
    if (b->nodes) print_nodes(r);
  }
  if (b->point) print_scale(b);
}
