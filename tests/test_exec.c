// Compiling a plan for a backend, binding it to memory and running it; and everything that can fail on the way.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/backend.h"
#include "core/rewrites/rewrites.h"
#include "cpu/entry.h"
#include "mini_gan.h"
#include "plan_check.h"
#include "small_graph.h"
#include "variants.h"

// ---- a backend that computes nothing
static int allocations_left, open_allocations, prepared, released;

static bool fake_has(duel_backend *b, duel_op op) {
  (void)b;
  assert_int_not_equal(duel_op_records[op]->kind, DUEL_KIND_NONE);
  return op != DUEL_OP_LOG;
}
static size_t fake_scratch(duel_backend *b, const duel_call *call) {
  (void)b;
  for (int i = 0; i < call->n_in; i++) assert_null(call->in[i].data);
  return call->n_in == 3 ? 640 : 0;
}
static duel_status fake_alloc(duel_backend *b, size_t bytes, void **p) {
  (void)b;
  if (allocations_left-- == 0) return duel_fail(DUEL_ERR_DEVICE, "no such memory");
  *p = duel_malloc_aligned(DUEL_ALIGN, bytes);
  if (!*p) return duel_fail_memory("an arena", bytes);
  memset(*p, 0, bytes);
  open_allocations++;
  return DUEL_OK;
}
static void fake_free(duel_backend *b, void *p) {
  (void)b;
  open_allocations--;
  duel_free(p);
}
static duel_status fake_upload(duel_backend *b, void *dst, const void *src, size_t bytes) {
  (void)b;
  memcpy(dst, src, bytes);
  return DUEL_OK;
}
static const duel_call *prepared_calls[2]; // the last ones
static duel_status fake_prepare(duel_backend *b, duel_call *calls, const int *group_end, int n_groups, void *ring,
                                void **program) {
  (void)b;
  assert_null(ring);
  if (n_groups && group_end[0] == 0) return DUEL_ERR_INTERNAL;
  prepared_calls[0] = prepared_calls[1];
  prepared_calls[1] = calls;
  *program = duel_malloc(1);
  if (!*program) return duel_fail_memory("a program", 1);
  prepared++;
  return DUEL_OK;
}
static duel_status fake_go(duel_backend *b, void *program) {
  (void)b;
  return program ? DUEL_OK : DUEL_ERR_INTERNAL;
}
static void fake_release(duel_backend *b, void *program) {
  (void)b;
  released++;
  duel_free(program);
}
static const duel_backend_api fake = {.name = "fake",
                                      .real = DUEL_F32,
                                      .host_memory = true,
                                      .has = fake_has,
                                      .scratch = fake_scratch,
                                      .alloc = fake_alloc,
                                      .free = fake_free,
                                      .upload = fake_upload,
                                      .download = fake_upload,
                                      .prepare = fake_prepare,
                                      .run = fake_go,
                                      .release = fake_release};

static void test_a_missing_kernel_is_named(void **state) {
  (void)state;
  duel_scope(small_graph, "D.3 log");
  small_keep(duel_log(small_graph, small_input("x", DUEL_SHAPE(4))));
  duel_plan *p;
  assert_int_equal(duel_plan_for(&p, small_graph, DUEL_REWRITE_ALL, &fake, NULL), DUEL_ERR_DEVICE);
  small_graph = NULL;
  assert_null(p);
  assert_string_equal(duel_last_error(), "D.3 log: op log has no kernel on backend fake");
}

// Call i of a plan, as variant v's, points to where the plan has its operands.
static void check_call(const duel_plan *p, int i, const duel_memory *memory, int v) {
  const duel_call *call = &prepared_calls[v][i];
  const duel_node *node = p->order[i];
  assert_int_equal(call->op, node->op);
  assert_ptr_equal(call->attr, &node->attr);
  assert_int_equal(call->n_in, node->n_in);
  assert_int_equal(call->n_out, node->n_out);
  const duel_cost cost = duel_plan_cost(p, node);
  assert_true(call->cost.flops == cost.flops && call->cost.bytes == cost.bytes);
  for (int k = 0; k < node->n_in + node->n_out; k++) {
    const duel_operand *o = k < node->n_in ? &call->in[k] : &call->out[k - node->n_in];
    duel_val value = k < node->n_in ? node->in[k] : node->out[k - node->n_in];
    const duel_place *at = &p->place[value];
    assert_true(at->offset + at->bytes <= memory->bytes[at->arena]);
    assert_ptr_equal(o->data, (char *)memory->arena[at->arena] + at->offset);
    assert_true(duel_shape_equal(o->shape, p->graph->value[value].shape));
    assert_int_equal(o->dtype, p->graph->value[value].dtype);
  }
  if (p->scratch_bytes[i]) {
    assert_int_equal(p->scratch_bytes[i], 640);
    assert_ptr_equal(call->scratch, (char *)memory->arena[DUEL_ARENA_WORK] + p->scratch[i]);
  } else {
    assert_null(call->scratch);
  }
}

static void test_calls_point_into_memory(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_plan *p;
  duel_memory memory;
  duel_exec *e;
  allocations_left = 100;
  assert_int_equal(duel_plan_for(&p, mini_gan_step(&m), DUEL_REWRITE_ALL, &fake, NULL), DUEL_OK);
  check_plan(p);
  assert_int_equal(duel_memory_open(&memory, &fake, NULL, &m.vars, p->work_bytes), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, (duel_plan *[]){p, p}, 2, &memory, NULL), DUEL_OK);
  for (int i = 0; i < 2 * p->n_order; i++) check_call(p, i % p->n_order, &memory, i / p->n_order);
  float coef[24], back[24];
  for (int i = 0; i < 24; i++) coef[i] = (float)i;
  assert_int_equal(duel_memory_write(&memory, m.coef, coef), DUEL_OK);
  assert_int_equal(duel_memory_read(&memory, m.coef, back), DUEL_OK);
  assert_memory_equal(coef, back, sizeof coef);
  uint64_t before = duel_mem_count();
  for (int v = 0; v < 2; v++) assert_int_equal(duel_exec_run(e, v), DUEL_OK);
  assert_int_equal(duel_mem_count(), before);
  duel_exec_close(e);
  duel_memory_close(&memory);
  assert_int_equal(open_allocations, 0);
  assert_int_equal(duel_memory_open(&memory, &fake, NULL, &m.vars, p->work_bytes - 256), DUEL_OK);
  assert_int_equal(duel_exec_open(&e, &p, 1, &memory, NULL), DUEL_ERR_INTERNAL);
  assert_null(e);
  duel_memory_close(&memory);
  duel_plan_close(p);
  mini_gan_clear(&m);
}

static void test_lack_of_device_memory(void **state) {
  (void)state;
  mini_gan m = mini_gan_small(DUEL_F32);
  assert_int_equal(mini_gan_declare(&m), DUEL_OK);
  duel_memory memory;
  for (int i = 0; i < 7; i++) {
    allocations_left = i;
    assert_int_equal(duel_memory_open(&memory, &fake, NULL, &m.vars, (size_t)1 << 20), DUEL_ERR_DEVICE);
    assert_non_null(strstr(duel_last_error(), "fake needs "));
    assert_non_null(strstr(duel_last_error(), "no such memory"));
    assert_int_equal(open_allocations, 0);
  }
  assert_non_null(strstr(duel_last_error(), "needs 1.0 MiB for work memory ("));
  assert_non_null(strstr(duel_last_error(), "; use a smaller batch"));
  mini_gan_clear(&m);
}

// Everything from the first variable to a run; false: out of memory.
static bool whole_way(void) {
  mini_gan m = mini_gan_small(DUEL_F32);
  duel_plan *p = NULL;
  duel_memory memory = {0};
  duel_exec *e = NULL;
  duel_status status = mini_gan_declare(&m);
  duel_graph *step = status == DUEL_OK ? mini_gan_step(&m) : NULL;
  status = step ? duel_plan_for(&p, step, DUEL_REWRITE_ALL | DUEL_REWRITE_EXPAND, &fake, NULL) : DUEL_ERR_DEVICE;
  if (status == DUEL_OK) status = duel_memory_open(&memory, &fake, NULL, &m.vars, p->work_bytes);
  if (status == DUEL_OK) {
    status = duel_exec_open(&e, (duel_plan *[]){p, p}, 2, &memory, NULL); // the second variant may fail alone
    if (status == DUEL_OK) status = duel_exec_run(e, 1);
    duel_exec_close(e);
    duel_memory_close(&memory);
  }
  if (status != DUEL_OK) {
    assert_int_equal(status, DUEL_ERR_DEVICE);
    if (!strstr(duel_last_error(), "out of memory")) fail_msg("the message is '%s'", duel_last_error());
  }
  duel_plan_close(p);
  mini_gan_clear(&m);
  return status == DUEL_OK;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  allocations_left = 1 << 30;
  uint64_t before = duel_mem_count();
  assert_true(whole_way());
  uint64_t all = duel_mem_count() - before;
  assert_true(all > 50);
  for (uint64_t n = 1; n <= all; n++) {
    for (int forever = 0; forever < 2; forever++) {
      duel_clear_error();
      duel_mem_fail_at(n, forever);
      bool ok = whole_way();
      duel_mem_fail_at(0, 0);
      if (ok) fail_msg("allocation %" PRIu64 " failed and nobody noticed", n);
      assert_int_equal(open_allocations, 0);
      assert_int_equal(prepared, released);
    }
  }
}

static void test_variants_share_a_step(void **state) {
  (void)state;
  static const char *const patterns[] = {"A", "BBBB", "ABABABAB", "AAABAAABAAAB", "BAABBBAAAABBBBBAAAAAA"};
  for (int threads = 1; threads <= 2; threads++)
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
      duel_variants_check(&duel_cpu_backend, &(duel_backend_options){.threads = threads}, patterns[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      SMALL_TEST(a_missing_kernel_is_named),
      SMALL_TEST(calls_point_into_memory),
      SMALL_TEST(lack_of_device_memory),
      SMALL_TEST(every_allocation_may_fail),
      cmocka_unit_test(test_variants_share_a_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
