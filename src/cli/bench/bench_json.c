// The results of `duel bench` as one JSON object; --help lists its fields.
#include <stdlib.h>

#include "bench.h"

static void key_of(FILE *out, const char *key) {
  fprintf(out, ",\"%s\":", key);
}

static void json_field(FILE *out, const char *key, double value) {
  key_of(out, key);
  duel_cli_json_number(out, value);
}

static void json_text(FILE *out, const char *key, const char *text) {
  key_of(out, key);
  duel_cli_json_string(out, text);
}

static void json_list(FILE *out, const char *key, const double *x, int64_t n) {
  key_of(out, key);
  for (int64_t i = 0; i < n; i++) {
    fputc(i ? ',' : '[', out);
    duel_cli_json_number(out, x[i]);
  }
  fputs(n ? "]" : "[]", out);
}

static void json_spread(FILE *out, duel_bench_spread s) {
  fputs(",\"ms_per_step\":{\"median\":", out);
  duel_cli_json_number(out, s.median);
  json_field(out, "min", s.min);
  json_field(out, "q1", s.q1);
  json_field(out, "q3", s.q3);
  json_field(out, "max", s.max);
  fputc('}', out);
}

static void json_peaks(FILE *out, const duel_bench_row *r, double ms) {
  const duel_peaks *p = &r->peaks;
  if (*r->peaks_error) {
    json_text(out, "peaks_error", r->peaks_error);
    return;
  }
  json_field(out, "peak_gflops", p->flops / 1e9);
  json_field(out, "of_peak_gflops", 1000 * r->info.step_flops / ms / p->flops);
  json_field(out, "peak_square", p->square_side);
  json_field(out, "peak_gbytes_per_sec", p->bytes / 1e9);
  json_field(out, "of_peak_gbytes", 1000 * r->info.step_bytes / ms / p->bytes);
  json_field(out, "peak_pass_bytes", p->pass_bytes);
}

static void json_op(FILE *out, const duel_bench_row *r, const duel_bench_op *o, double all) {
  const duel_bench_bound bound = duel_bench_bound_of(&r->peaks, o);
  fputs("{\"op\":", out);
  duel_cli_json_string(out, o->op);
  if (o->layer) json_text(out, "layer", o->layer);
  fprintf(out, ",\"calls\":%d,\"flops\":%.0f,\"bytes\":%.0f", o->calls, o->flops, o->bytes);
  json_field(out, "ms", 1000 * o->seconds);
  json_field(out, "share", o->seconds / all);
  json_field(out, "gflops", o->flops / o->seconds / 1e9);
  json_field(out, "gbytes_per_sec", o->bytes / o->seconds / 1e9);
  if (*bound.name) {
    json_text(out, "bound", bound.name);
    json_field(out, "of_bound", bound.share);
  }
  fputc('}', out);
}

static void json_ops(FILE *out, const duel_bench_row *r) {
  const int nodes = r->info.step_nodes;
  duel_bench_op *op = calloc((size_t)nodes + 1, sizeof *op);
  if (!op) return;
  double all = 0;
  const int n = duel_bench_sum_ops(r, op);
  for (int i = 0; i < n; i++) all += op[i].seconds;
  json_field(out, "ops_ms", 1000 * all);
  for (int i = 0; i < n; i++) {
    fputs(i ? "," : ",\"ops\":[", out);
    op[i].layer = NULL;
    json_op(out, r, &op[i], all);
  }
  for (int i = 0; i < nodes; i++) {
    const duel_node_time *t = &r->node[i];
    fputs(i ? "," : "],\"nodes\":[", out);
    json_op(out, r, &(duel_bench_op){t->op, t->layer, 1, t->seconds, t->flops, t->bytes}, all);
  }
  fputc(']', out);
  free(op);
}

static void json_row(FILE *out, const duel_bench *b, const duel_bench_row *r) {
  const int64_t n = b->repetitions;
  fputs("{\"backend\":", out);
  duel_cli_json_string(out, r->run ? r->info.backend : r->asked);
  fprintf(out, ",\"usable\":%s", r->run ? "true" : "false");
  if (!r->run) {
    json_text(out, "error", r->error);
    fputc('}', out);
    return;
  }
  const duel_bench_spread s = duel_bench_spread_of(r->sorted, n);
  json_text(out, "device", r->info.device);
  fprintf(out, ",\"threads\":%d,\"steps_per_repetition\":%lld", r->info.threads, (long long)r->steps);
  json_list(out, "ms", r->ms, n);
  json_spread(out, s);
  json_field(out, "images_per_sec", 1000 * r->images_per_step / s.median);
  json_field(out, "speedup", r->speedup);
  fprintf(out, ",\"step_flops\":%.0f,\"step_bytes\":%.0f", r->info.step_flops, r->info.step_bytes);
  json_field(out, "gflops", r->info.step_flops / s.median / 1e6);
  json_field(out, "gbytes_per_sec", r->info.step_bytes / s.median / 1e6);
  json_peaks(out, r, s.median);
  json_field(out, "first_step_s", r->first_step_s);
  fprintf(out, ",\"memory_bytes\":%zu", r->info.memory_bytes);
  json_list(out, "d_loss", r->d_loss, b->warmup);
  json_list(out, "g_loss", r->g_loss, b->warmup);
  fputs(",\"difference\":{\"d_loss\":", out);
  duel_cli_json_number(out, r->difference_d);
  json_field(out, "g_loss", r->difference_g);
  json_field(out, "items", r->difference_items);
  json_field(out, "weights", r->difference_weights);
  fputc('}', out);
  if (r->node) json_ops(out, r);
  fputc('}', out);
}

static void json_point(FILE *out, const duel_bench_point *p) {
  fputs("{\"backend\":", out);
  duel_cli_json_string(out, p->backend);
  fprintf(out, ",\"batch\":%lld,\"threads\":%d,\"usable\":%s", (long long)p->batch, p->threads,
          *p->error ? "false" : "true");
  if (*p->error) {
    json_text(out, "error", p->error);
  } else {
    json_spread(out, p->ms);
    json_field(out, "images_per_sec", p->images_per_sec);
    json_field(out, "us_per_image", p->us_per_image);
    json_field(out, "of_smallest_batch", p->of_smallest);
    json_field(out, "speedup", p->speedup);
    json_field(out, "efficiency", p->efficiency);
  }
  fputc('}', out);
}

void duel_bench_json(FILE *out, const duel_bench *b, const duel_bench_row *first) {
  const duel_run_info *f = &first->info;
  fputs("{\"version\":", out);
  duel_cli_json_string(out, duel_version());
  json_text(out, "recipe", f->recipe);
  json_text(out, "data", f->data);
  fprintf(out,
          ",\"items\":%lld,\"batch\":%lld,\"seed\":%llu,\"images_per_step\":%.0f,\"warmup_steps\":%lld,"
          "\"repetitions\":%lld,\"backends\":[",
          (long long)f->items, (long long)f->batch, (unsigned long long)f->seed, first->images_per_step,
          (long long)b->warmup, (long long)b->repetitions);
  for (int i = 0; i < b->n; i++) {
    if (i) fputc(',', out);
    json_row(out, b, &b->row[i]);
  }
  fputc(']', out);
  for (int i = 0; i < b->n_points; i++) {
    fputs(i ? "," : ",\"scale\":[", out);
    json_point(out, &b->point[i]);
  }
  fputs(b->n_points ? "]}\n" : "}\n", out);
}
