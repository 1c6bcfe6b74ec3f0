// The two variants (variants.h): A is short, B draws, multiplies and needs more work memory; each has a constant of its
// own, so that a step shows which of them it was.
#include "variants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/rewrites/rewrites.h"

enum { N = DUEL_VARIANTS_N, OUT = DUEL_VARIANTS_OUT };

typedef struct rig {
  const duel_backend_api *api;
  duel_backend *backend;
  duel_vars vars;
  int key, x, state, out; // the inputs follow each other
  duel_plan *plan[2];
  duel_memory memory;
  duel_feed feed;
  unsigned char block[1024]; // a step's inputs
} rig;

static duel_status declare(rig *r) {
  DUEL_TRY(duel_vars_add(&r->vars, DUEL_ARENA_INPUT, "key", DUEL_I32, DUEL_SHAPE(4), &r->key));
  DUEL_TRY(duel_vars_add(&r->vars, DUEL_ARENA_INPUT, "x", r->api->real, DUEL_SHAPE(N), &r->x));
  DUEL_TRY(duel_vars_add(&r->vars, DUEL_ARENA_PARAM, "state", r->api->real, DUEL_SHAPE(N), &r->state));
  return duel_vars_add(&r->vars, DUEL_ARENA_OUTPUT, "out", r->api->real, DUEL_SHAPE(OUT), &r->out);
}

static duel_status plan_variant(rig *r, bool second) {
  duel_graph *g;
  DUEL_TRY(duel_graph_open(&g, &r->vars, r->api->real));
  const duel_val x = duel_input(g, r->x), old = duel_state(g, r->state);
  duel_val next;
  if (second) {
    const duel_val draw = duel_random_normal(g, duel_input(g, r->key), 2, 0, DUEL_SHAPE(N));
    const duel_val square =
        duel_matmul(g, duel_reshape(g, old, DUEL_SHAPE(N, 1)), duel_reshape(g, x, DUEL_SHAPE(1, N)), false, false);
    const duel_val sums = duel_reshape(g, duel_reduce_sum(g, duel_tanh(g, square), 2), DUEL_SHAPE(N));
    next = duel_add(g, duel_affine(g, old, 0.9, 0), duel_affine(g, duel_add(g, draw, sums), 0.1, 0));
  } else {
    next = duel_tanh(g, duel_add(g, duel_affine(g, old, 0.5, 0), x));
  }
  const duel_val parts[] = {next, duel_constant(g, DUEL_SHAPE(OUT - N), second ? 2 : 1)};
  duel_assign(g, old, next);
  duel_output(g, r->out, duel_concat(g, 2, parts, 0));
  const duel_status status = duel_graph_status(g);
  if (status == DUEL_OK) return duel_plan_for(&r->plan[second], g, DUEL_REWRITE_ALL, r->api, r->backend);
  duel_graph_close(g);
  return status;
}

static duel_status open_rig(rig *r, const duel_backend_options *options) {
  DUEL_TRY(r->api->open(&r->backend, options));
  DUEL_TRY(declare(r));
  for (int i = 0; i < 2; i++) DUEL_TRY(plan_variant(r, i));
  const size_t a = r->plan[0]->work_bytes, b = r->plan[1]->work_bytes;
  assert_true(a < b);
  DUEL_TRY(duel_memory_open(&r->memory, r->api, r->backend, &r->vars, b));
  float state[N];
  for (int i = 0; i < N; i++) state[i] = (float)(i - 18) / 16;
  DUEL_TRY(duel_memory_write(&r->memory, r->state, state));
  const duel_var *key = &r->vars.var[r->key], *x = &r->vars.var[r->x];
  r->feed = (duel_feed){.in = duel_memory_at(&r->memory, r->key),
                        .out = duel_memory_at(&r->memory, r->out),
                        .in_bytes = x->offset + x->bytes - key->offset,
                        .out_bytes = r->vars.var[r->out].bytes};
  assert_true(r->feed.in_bytes <= sizeof r->block);
  return DUEL_OK;
}

static void close_rig(rig *r) {
  if (r->memory.api) duel_memory_close(&r->memory);
  for (int i = 0; i < 2; i++) duel_plan_close(r->plan[i]);
  duel_vars_clear(&r->vars);
  if (r->backend) r->api->close(r->backend);
}

static void fill_block(rig *r, int step) {
  const int32_t key[4] = {5, 0, step, 0};
  float x[N];
  for (int i = 0; i < N; i++) x[i] = (float)((step * 7 + i * 3) % 11 - 5) / 8;
  memcpy(r->block, key, sizeof key);
  memcpy(r->block + r->vars.var[r->x].offset - r->vars.var[r->key].offset, x, sizeof x);
}

// ---- the ways
static duel_status run_alone(rig *r, const char *pattern, duel_variants_result *result) {
  for (int step = 0; pattern[step]; step++) {
    duel_exec *e;
    bool got = false;
    DUEL_TRY(duel_exec_open(&e, &r->plan[pattern[step] - 'A'], 1, &r->memory, &r->feed));
    fill_block(r, step);
    duel_status status = duel_exec_submit(e, 0, r->block);
    if (status == DUEL_OK) status = duel_exec_collect(e, result->out[step], true, &got);
    duel_exec_close(e);
    DUEL_TRY(status);
    assert_true(got);
  }
  return DUEL_OK;
}

static duel_status collect_to(duel_exec *e, int *collected, int end, duel_variants_result *result) {
  while (*collected < end) {
    bool got = false;
    DUEL_TRY(duel_exec_collect(e, result->out[*collected], true, &got));
    assert_true(got);
    ++*collected;
  }
  return DUEL_OK;
}

static duel_status run_together(rig *r, duel_exec *e, const char *pattern, bool profiled, int ahead,
                                duel_variants_result *result) {
  int collected = 0, step = 0;
  if (ahead > duel_exec_ahead(e)) ahead = duel_exec_ahead(e);
  for (; pattern[step]; step++) {
    const int variant = pattern[step] - 'A';
    fill_block(r, step);
    if (profiled && step % 3 == 2) {
      double seconds[64] = {0};
      assert_true(r->plan[variant]->n_order <= 64);
      DUEL_TRY(collect_to(e, &collected, step, result));
      DUEL_TRY(duel_exec_profile(e, variant, r->block, result->out[collected++], seconds));
      continue;
    }
    DUEL_TRY(collect_to(e, &collected, step + 1 - ahead, result));
    DUEL_TRY(duel_exec_submit(e, variant, r->block));
  }
  return collect_to(e, &collected, step, result);
}

static duel_status run_rig(rig *r, const char *pattern, duel_variants_way way, int ahead,
                           duel_variants_result *result) {
  if (way == DUEL_ALONE) {
    DUEL_TRY(run_alone(r, pattern, result));
  } else {
    duel_exec *e;
    DUEL_TRY(duel_exec_open(&e, r->plan, 2, &r->memory, &r->feed));
    const duel_status status = run_together(r, e, pattern, way == DUEL_PROFILED, ahead, result);
    duel_exec_close(e);
    DUEL_TRY(status);
  }
  return duel_memory_read(&r->memory, r->state, result->state);
}

duel_status duel_variants_run(const duel_backend_api *api, const duel_backend_options *options, const char *pattern,
                              duel_variants_way way, int ahead, duel_variants_result *result, char warning[256]) {
  rig r = {.api = api};
  memset(result, 0, sizeof *result);
  assert_true(strlen(pattern) <= DUEL_VARIANTS_STEPS);
  duel_status status = open_rig(&r, options);
  if (status == DUEL_OK) status = run_rig(&r, pattern, way, ahead, result);
  if (warning) snprintf(warning, 256, "%s", r.backend && api->warning ? api->warning(r.backend) : "");
  close_rig(&r);
  return status;
}

void duel_variants_check(const duel_backend_api *api, const duel_backend_options *options, const char *pattern) {
  static const struct {
    duel_variants_way way;
    int ahead;
  } ways[] = {{DUEL_TOGETHER, 1}, {DUEL_TOGETHER, 3}, {DUEL_TOGETHER, 11}, {DUEL_TOGETHER, 64}, {DUEL_PROFILED, 5}};
  static duel_variants_result want, got;
  if (duel_variants_run(api, options, pattern, DUEL_ALONE, 1, &want, NULL) != DUEL_OK)
    fail_msg("%s", duel_last_error());
  for (int i = 0; pattern[i]; i++) assert_true(want.out[i][OUT - 1] == (float)(pattern[i] - 'A' + 1));
  for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
    if (duel_variants_run(api, options, pattern, ways[k].way, ways[k].ahead, &got, NULL) != DUEL_OK)
      fail_msg("%s, %d ahead: %s", pattern, ways[k].ahead, duel_last_error());
    for (int i = 0; pattern[i]; i++)
      if (memcmp(got.out[i], want.out[i], sizeof got.out[i]))
        fail_msg("%s, way %d, %d ahead: the outputs of step %d differ", pattern, (int)ways[k].way, ways[k].ahead, i);
    assert_memory_equal(got.state, want.state, sizeof got.state);
  }
}
