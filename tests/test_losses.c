// Losses on a few logits: their formulas, that D's two sides apart (d_update: separate) are its sides together, and
// what their rows say.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/entry.h"
#include "gan/losses.h"
#include "io_help.h"
#include "recipe_help.h"
#include "run_case.h"

enum { N = 5 };
static const double real[N] = {-2, -0.5, 0.25, 1, 3}, fake[N] = {2, 0.5, -0.75, -1, -4};

static double softplus(double x) {
  return log1p(exp(x));
}
static double relu(double x) {
  return x > 0 ? x : 0;
}

// D's terms and G's loss, of logits together and apart: {real, fake, real apart, fake apart, g}.
static void compute(const char *text, double dst[5]) {
  char recipe[512];
  snprintf(recipe, sizeof recipe, "%sloss: %s\n", HEAD, text);
  duel_recipe *r = recipe_from(recipe);
  const duel_loss *loss = duel_loss_of(&r->loss);
  duel_backend *b;
  duel_rig rig;
  int in[2], out[5];
  must(duel_cpu_f64_backend.open(&b, &(duel_backend_options){.threads = 1}));
  must(duel_rig_open(&rig, &duel_cpu_f64_backend, b));
  for (int i = 0; i < 2; i++) must(duel_rig_var(&rig, DUEL_ARENA_INPUT, DUEL_REAL, DUEL_SHAPE(N, 1), false, &in[i]));
  for (int i = 0; i < 5; i++) must(duel_rig_var(&rig, DUEL_ARENA_OUTPUT, DUEL_REAL, DUEL_SCALAR, true, &out[i]));
  must(duel_rig_graph(&rig));
  duel_graph *g = rig.graph;
  const duel_val x = duel_input(g, in[0]), y = duel_input(g, in[1]);
  const duel_loss_terms both = loss->d(g, x, y, &r->loss);
  const duel_loss_terms on_real = loss->d(g, x, DUEL_NONE, &r->loss), on_fake = loss->d(g, DUEL_NONE, y, &r->loss);
  assert_true(on_real.fake == DUEL_NONE && on_fake.real == DUEL_NONE);
  const duel_val value[5] = {both.real, both.fake, on_real.real, on_fake.fake, loss->g(g, DUEL_NONE, y, &r->loss)};
  for (int i = 0; i < 5; i++) duel_output(g, out[i], value[i]);
  must(duel_rig_start(&rig, (duel_rig_mode){.rewrites = 0}));
  duel_rig_set(&rig, in[0], real);
  duel_rig_set(&rig, in[1], fake);
  must(duel_rig_run(&rig));
  for (int i = 0; i < 5; i++) duel_rig_get(&rig, out[i], &dst[i]);
  duel_rig_close(&rig);
  duel_cpu_f64_backend.close(b);
  duel_recipe_close(r);
}

static void near(double got, double want) {
  if (!(fabs(got - want) <= 1e-14 * fmax(1, fabs(want)))) fail_msg("%.17g is not %.17g", got, want);
}

static void bce(void **state) {
  (void)state;
  double got[5], want[3] = {0};
  compute("{name: bce, label_smoothing: 0.1}", got);
  for (int i = 0; i < N; i++) {
    want[0] += (0.9 * softplus(-real[i]) + 0.1 * softplus(real[i])) / N;
    want[1] += softplus(fake[i]) / N;
    want[2] += softplus(-fake[i]) / N;
  }
  near(got[0], want[0]), near(got[2], want[0]);
  near(got[1], want[1]), near(got[3], want[1]);
  near(got[4], want[2]);
}

static void hinge(void **state) {
  (void)state;
  double got[5], want[3] = {0};
  compute("hinge", got);
  for (int i = 0; i < N; i++) {
    want[0] += relu(1 - real[i]) / N;
    want[1] += relu(1 + fake[i]) / N;
    want[2] -= fake[i] / N;
  }
  near(got[0], want[0]), near(got[2], want[0]);
  near(got[1], want[1]), near(got[3], want[1]);
  near(got[4], want[2]);
}

// A loss that compares the two sides is refused where they come apart.
static void rows(void **state) {
  (void)state;
  const duel_kind *kind;
  duel_loss pairs = {.kind = {.name = "pairs"}, .joint = true};
  for (int i = 0; (kind = duel_table_at(&duel_losses, i)); i++) {
    assert_true(kind == duel_table_find(&duel_losses, kind->name) && strlen(kind->help) > 0);
    assert_int_equal(duel_loss_check((const duel_loss *)(const void *)kind, false), DUEL_OK);
  }
  assert_null(duel_table_find(&duel_losses, "pairs"));
  assert_int_equal(duel_loss_check(&pairs, false), DUEL_OK);
  assert_int_equal(duel_loss_check(&pairs, true), DUEL_ERR_USAGE);
  recipe_message("loss pairs compares real items with fakes, but train.d_update: separate shows D one after the other; "
                 "set train.d_update=joint");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(bce), cmocka_unit_test(hinge), cmocka_unit_test(rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
