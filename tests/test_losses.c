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

static void near(double got, double want) {
  if (!(fabs(got - want) <= 1e-14 * fmax(1, fabs(want))) && !(isnan(got) && isnan(want)))
    fail_msg("%.17g is not %.17g", got, want);
}

typedef struct computed {
  double real, fake, pairs, g; // NaN: the loss has no such term
} computed;

static duel_logits logits(duel_val x, duel_val y) {
  duel_logits all = duel_no_logits;
  all.real = x;
  all.fake = y;
  return all;
}

// What D and G descend by the loss; that it is the same with D's sides apart, if they may be, with no label flipped,
// and with the same share of each row.
static computed compute(const char *text) {
  char recipe[512];
  snprintf(recipe, sizeof recipe, "%sloss: %s\n", HEAD, text);
  duel_recipe *r = recipe_from(recipe);
  const duel_loss *loss = duel_loss_of(&r->loss);
  duel_backend *b;
  duel_rig rig;
  enum { VALUES = 9 };
  int in[2], out[VALUES];
  must(duel_cpu_f64_backend.open(&b, &(duel_backend_options){.threads = 1}));
  must(duel_rig_open(&rig, &duel_cpu_f64_backend, b));
  for (int i = 0; i < 2; i++) must(duel_rig_var(&rig, DUEL_ARENA_INPUT, DUEL_REAL, DUEL_SHAPE(N, 1), false, &in[i]));
  for (int i = 0; i < VALUES; i++) must(duel_rig_var(&rig, DUEL_ARENA_OUTPUT, DUEL_REAL, DUEL_SCALAR, true, &out[i]));
  must(duel_rig_graph(&rig));
  duel_graph *g = rig.graph;
  const duel_val x = duel_input(g, in[0]), y = duel_input(g, in[1]);
  const duel_loss_terms both = loss->d(g, logits(x, y), &r->loss);
  duel_loss_terms on_real = both, on_fake = both;
  if (!loss->compares) {
    on_real = loss->d(g, logits(x, DUEL_NONE), &r->loss);
    on_fake = loss->d(g, logits(DUEL_NONE, y), &r->loss);
    assert_true(on_real.fake == DUEL_NONE && on_fake.real == DUEL_NONE);
  }
  const duel_val g_loss = loss->g(g, logits(loss->compares ? x : DUEL_NONE, y), &r->loss);
  duel_logits same = logits(x, y);
  same.flip_real = same.flip_fake = duel_constant(g, DUEL_SHAPE(N, 1), 0);
  same.share = duel_constant(g, DUEL_SHAPE(N, 1), 1.0 / N);
  const duel_loss_terms none_flipped = loss->d(g, same, &r->loss);
  const duel_val value[VALUES] = {both.real,
                                  both.fake,
                                  both.pairs,
                                  g_loss,
                                  on_real.real,
                                  on_fake.fake,
                                  none_flipped.real,
                                  none_flipped.fake,
                                  loss->g(g, same, &r->loss)};
  double got[VALUES];
  for (int i = 0; i < VALUES; i++)
    duel_output(g, out[i], value[i] == DUEL_NONE ? duel_constant(g, DUEL_SCALAR, 0) : value[i]);
  must(duel_rig_start(&rig, (duel_rig_mode){.rewrites = 0}));
  duel_rig_set(&rig, in[0], real);
  duel_rig_set(&rig, in[1], fake);
  must(duel_rig_run(&rig));
  for (int i = 0; i < VALUES; i++) {
    duel_rig_get(&rig, out[i], &got[i]);
    if (value[i] == DUEL_NONE) got[i] = (double)NAN;
  }
  duel_rig_close(&rig);
  duel_cpu_f64_backend.close(b);
  duel_recipe_close(r);
  if (!isnan(got[0])) {
    assert_true(got[0] == got[4] && got[1] == got[5]);
    near(got[6], got[0]), near(got[7], got[1]);
  }
  near(got[8], got[3]);
  return (computed){got[0], got[1], got[2], got[3]};
}

static void check(const char *text, computed want) {
  const computed got = compute(text);
  near(got.real, want.real), near(got.fake, want.fake), near(got.pairs, want.pairs), near(got.g, want.g);
}

static const computed no_pairs = {.pairs = (double)NAN};

static void bce(void **state) {
  (void)state;
  computed want = no_pairs, minimax = no_pairs;
  for (int i = 0; i < N; i++) {
    want.real += (0.9 * softplus(-real[i]) + 0.1 * softplus(real[i])) / N;
    want.fake += softplus(fake[i]) / N;
    want.g += softplus(-fake[i]) / N;
    minimax.real += softplus(-real[i]) / N;
    minimax.g -= softplus(fake[i]) / N;
  }
  minimax.fake = want.fake;
  check("{name: bce, label_smoothing: 0.1}", want);
  check("{name: bce, generator: minimax}", minimax);
}

static void lsgan(void **state) {
  (void)state;
  computed want = no_pairs;
  for (int i = 0; i < N; i++) {
    want.real += (real[i] - 0.75) * (real[i] - 0.75) / 2 / N;
    want.fake += fake[i] * fake[i] / 2 / N;
    want.g += (fake[i] - 1) * (fake[i] - 1) / 2 / N;
  }
  check("{name: lsgan, label_smoothing: 0.25}", want);
}

static void hinge(void **state) {
  (void)state;
  computed want = no_pairs;
  for (int i = 0; i < N; i++) {
    want.real += relu(1 - real[i]) / N;
    want.fake += relu(1 + fake[i]) / N;
    want.g -= fake[i] / N;
  }
  check("hinge", want);
}

static void wasserstein(void **state) {
  (void)state;
  computed want = no_pairs;
  for (int i = 0; i < N; i++) {
    want.real -= real[i] / N;
    want.fake += fake[i] / N;
    want.g -= fake[i] / N;
  }
  check("wasserstein", want);
}

static void relativistic(void **state) {
  (void)state;
  computed pairs = {.real = (double)NAN, .fake = (double)NAN}, means = no_pairs;
  double mean_real = 0, mean_fake = 0;
  for (int i = 0; i < N; i++) mean_real += real[i] / N, mean_fake += fake[i] / N;
  for (int i = 0; i < N; i++) {
    pairs.pairs += softplus(-(real[i] - fake[i])) / N;
    pairs.g += softplus(-(fake[i] - real[i])) / N;
    means.real += softplus(-(real[i] - mean_fake)) / 2 / N;
    means.fake += softplus(fake[i] - mean_real) / 2 / N;
    means.g += (softplus(real[i] - mean_fake) + softplus(-(fake[i] - mean_real))) / 2 / N;
  }
  check("rpgan", pairs);
  check("ragan", means);
}

// A loss that compares the two sides is refused where they come apart.
static void rows(void **state) {
  (void)state;
  const duel_kind *kind;
  for (int i = 0; (kind = duel_table_at(&duel_losses, i)); i++) {
    const duel_loss *loss = (const duel_loss *)(const void *)kind;
    assert_true(kind == duel_table_find(&duel_losses, kind->name) && strlen(kind->help) > 0);
    assert_int_equal(duel_loss_check(loss, false), DUEL_OK);
    assert_int_equal(duel_loss_check(loss, true), loss->compares ? DUEL_ERR_USAGE : DUEL_OK);
  }
  assert_int_equal(duel_loss_check((const duel_loss *)(const void *)duel_table_find(&duel_losses, "rpgan"), true),
                   DUEL_ERR_USAGE);
  recipe_message("loss rpgan compares real items with fakes, but train.d_update: separate shows D one after the other; "
                 "set train.d_update=joint");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(bce),          cmocka_unit_test(lsgan),
                                     cmocka_unit_test(hinge),        cmocka_unit_test(wasserstein),
                                     cmocka_unit_test(relativistic), cmocka_unit_test(rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
