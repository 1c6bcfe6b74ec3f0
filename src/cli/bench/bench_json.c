// The results of `duel bench` as one JSON object; --help lists its fields.
#include <stdlib.h>

#include "bench.h"

typedef duel_json_writer writer;

static void json_list(writer *w, const char *key, const double *x, int64_t n) {
  duel_json_array(w, key);
  for (int64_t i = 0; i < n; i++) duel_json_number(w, NULL, x[i]);
  duel_json_end(w);
}

static void json_spread(writer *w, duel_bench_spread s) {
  duel_json_object(w, "ms_per_step");
  duel_json_number(w, "median", s.median);
  duel_json_number(w, "min", s.min);
  duel_json_number(w, "q1", s.q1);
  duel_json_number(w, "q3", s.q3);
  duel_json_number(w, "max", s.max);
  duel_json_end(w);
}

static void json_peaks(writer *w, const duel_bench_row *r, double ms) {
  const duel_peaks *p = &r->peaks;
  if (*r->peaks_error) {
    duel_json_text(w, "peaks_error", r->peaks_error);
    return;
  }
  duel_json_number(w, "peak_gflops", p->flops / 1e9);
  duel_json_number(w, "of_peak_gflops", 1000 * r->info.step_flops / ms / p->flops);
  duel_json_number(w, "peak_square", p->square_side);
  duel_json_number(w, "peak_gbytes_per_sec", p->bytes / 1e9);
  duel_json_number(w, "of_peak_gbytes", 1000 * r->info.step_bytes / ms / p->bytes);
  duel_json_number(w, "peak_pass_bytes", p->pass_bytes);
}

static void json_op(writer *w, const duel_bench_row *r, const duel_bench_op *o, double all) {
  const duel_bench_bound bound = duel_bench_bound_of(&r->peaks, o);
  duel_json_object(w, NULL);
  duel_json_text(w, "op", o->op);
  if (o->layer) duel_json_text(w, "layer", o->layer);
  duel_json_integer(w, "calls", o->calls);
  duel_json_number(w, "flops", o->flops);
  duel_json_number(w, "bytes", o->bytes);
  duel_json_number(w, "ms", 1000 * o->seconds);
  duel_json_number(w, "share", o->seconds / all);
  duel_json_number(w, "gflops", o->flops / o->seconds / 1e9);
  duel_json_number(w, "gbytes_per_sec", o->bytes / o->seconds / 1e9);
  if (*bound.name) {
    duel_json_text(w, "bound", bound.name);
    duel_json_number(w, "of_bound", bound.share);
  }
  duel_json_end(w);
}

static void json_ops(writer *w, const duel_bench_row *r) {
  const int nodes = r->info.step_nodes;
  duel_bench_op *op = calloc((size_t)nodes + 1, sizeof *op);
  if (!op) return;
  double all = 0;
  const int n = duel_bench_sum_ops(r, op);
  for (int i = 0; i < n; i++) all += op[i].seconds;
  duel_json_number(w, "ops_ms", 1000 * all);
  duel_json_array(w, "ops");
  for (int i = 0; i < n; i++) {
    op[i].layer = NULL;
    json_op(w, r, &op[i], all);
  }
  duel_json_end(w);
  duel_json_array(w, "nodes");
  for (int i = 0; i < nodes; i++) {
    const duel_node_time *t = &r->node[i];
    json_op(w, r, &(duel_bench_op){t->op, t->layer, 1, t->seconds, t->flops, t->bytes}, all);
  }
  duel_json_end(w);
  free(op);
}

static void json_usable_row(writer *w, const duel_bench *b, const duel_bench_row *r) {
  const int64_t n = b->repetitions;
  const duel_bench_spread s = duel_bench_spread_of(r->sorted, n);
  duel_json_text(w, "device", r->info.device);
  duel_json_integer(w, "threads", r->info.threads);
  duel_json_integer(w, "steps_per_repetition", r->steps);
  json_list(w, "ms", r->ms, n);
  json_spread(w, s);
  duel_json_number(w, "images_per_sec", 1000 * r->images_per_step / s.median);
  duel_json_number(w, "speedup", r->speedup);
  duel_json_number(w, "step_flops", r->info.step_flops);
  duel_json_number(w, "step_bytes", r->info.step_bytes);
  duel_json_number(w, "gflops", r->info.step_flops / s.median / 1e6);
  duel_json_number(w, "gbytes_per_sec", r->info.step_bytes / s.median / 1e6);
  json_peaks(w, r, s.median);
  duel_json_number(w, "first_step_s", r->first_step_s);
  duel_json_unsigned(w, "memory_bytes", r->info.memory_bytes);
  for (int i = 0; i < r->n_traces; i++) json_list(w, r->trace[i].name, r->trace[i].value, b->warmup);
  duel_json_object(w, "difference");
  for (int i = 0; i < r->n_traces; i++) duel_json_number(w, r->trace[i].name, r->trace[i].difference);
  if (r->info.samples) duel_json_number(w, "items", r->difference_items);
  duel_json_number(w, "weights", r->difference_weights);
  duel_json_end(w);
  if (r->node) json_ops(w, r);
}

static void json_row(writer *w, const duel_bench *b, const duel_bench_row *r) {
  duel_json_object(w, NULL);
  duel_json_text(w, "backend", r->run ? r->info.backend : r->asked);
  duel_json_bool(w, "usable", r->run != NULL);
  if (r->run)
    json_usable_row(w, b, r);
  else
    duel_json_text(w, "error", r->error);
  duel_json_end(w);
}

static void json_point(writer *w, const duel_bench_point *p) {
  duel_json_object(w, NULL);
  duel_json_text(w, "backend", p->backend);
  duel_json_integer(w, "batch", p->batch);
  duel_json_integer(w, "threads", p->threads);
  duel_json_bool(w, "usable", !*p->error);
  if (*p->error) {
    duel_json_text(w, "error", p->error);
  } else {
    json_spread(w, p->ms);
    duel_json_number(w, "images_per_sec", p->images_per_sec);
    duel_json_number(w, "us_per_image", p->us_per_image);
    duel_json_number(w, "of_smallest_batch", p->of_smallest);
    duel_json_number(w, "speedup", p->speedup);
    duel_json_number(w, "efficiency", p->efficiency);
  }
  duel_json_end(w);
}

void duel_bench_json(FILE *out, const duel_bench *b, const duel_bench_row *first) {
  const duel_run_info *f = &first->info;
  writer w = {.out = out};
  duel_json_object(&w, NULL);
  duel_json_text(&w, "version", duel_version());
  duel_json_text(&w, "recipe", f->recipe);
  duel_json_text(&w, "data", f->data);
  duel_json_integer(&w, "items", f->items);
  duel_json_integer(&w, "batch", f->batch);
  duel_json_unsigned(&w, "seed", f->seed);
  duel_json_number(&w, "images_per_step", first->images_per_step);
  duel_json_integer(&w, "warmup_steps", b->warmup);
  duel_json_integer(&w, "repetitions", b->repetitions);
  duel_json_array(&w, "backends");
  for (int i = 0; i < b->n; i++) json_row(&w, b, &b->row[i]);
  duel_json_end(&w);
  if (b->n_points) {
    duel_json_integer(&w, "scale_repetitions", b->scale_repetitions);
    duel_json_array(&w, "scale");
    for (int i = 0; i < b->n_points; i++) json_point(&w, &b->point[i]);
    duel_json_end(&w);
  }
  duel_json_end(&w);
  fputc('\n', out);
}
