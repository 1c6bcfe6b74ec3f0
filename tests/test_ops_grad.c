// Gradients against finite differences, in double precision. For outputs y(x) and seeds u let L = Σ u·y:
//
//   first order   S = vᵀ∇L for a random direction v must be dL/dv by differences,
//   second order  H = wᵀ∇S, differentiated once more by duel_grad, must be dS/dw, with w over both x and u.
//
// The comparison sees signs, and NaN fails. The inputs keep away from kinks: a step that would cross one (which the
// oracle tells) means other random numbers. The problems are the op cases, then whole losses with gradients inside,
// then layers of recipes, by their items and parameters, and penalties, by the parameters of the net that moves.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/entry.h"
#include "gan/layers/layers.h"
#include "gan/penalties.h"
#include "recipe_help.h"
#include "run_case.h"

enum { MAX_IN = 20, MAX_ELEMENTS = 6000 };
static const double step = 2e-5;

typedef struct problem {
  const char *name;
  int n_in, n_out;
  duel_ref in[MAX_IN];
  bool wrt[MAX_IN]; // differentiate by this input
  duel_shape out[DUEL_MAX_OUT];
  void (*build)(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out);
  const void *ctx;
} problem;

static duel_backend *backend;
static int64_t comparisons;
static double worst; // error ÷ tolerance

static duel_ref random_like(duel_shape shape, uint32_t seed) {
  duel_ref t = duel_ref_new(DUEL_F64, shape);
  for (int64_t i = 0; i < t.count; i++) t.data[i] = duel_test_uniform(seed, (uint32_t)i);
  return t;
}

static duel_val weighted(duel_graph *g, duel_val sum, duel_val weight, duel_val x) {
  duel_val term = duel_sum(g, duel_mul(g, weight, x));
  return sum == DUEL_NONE ? term : duel_add(g, sum, term);
}

typedef struct trial {
  duel_rig rig;
  int in[MAX_IN], u[DUEL_MAX_OUT], v[MAX_IN], w[MAX_IN], w_u[DUEL_MAX_OUT], result[4]; // variables
  duel_ref dir_u[DUEL_MAX_OUT], dir_v[MAX_IN], dir_w[MAX_IN], dir_wu[DUEL_MAX_OUT];
  double *at; // room for any one variable
} trial;

enum { LOSS, FIRST, SECOND, SEEDED };

static duel_status input_var(duel_rig *r, duel_dtype dtype, duel_shape shape, int *var) {
  return duel_rig_var(r, DUEL_ARENA_INPUT, dtype == DUEL_F32 || dtype == DUEL_F64 ? DUEL_REAL : (int)dtype, shape,
                      false, var);
}

static duel_status prepare(trial *t, const problem *p, unsigned passes) {
  duel_rig *r = &t->rig;
  DUEL_TRY(duel_rig_open(r, &duel_cpu_f64_backend, backend));
  for (int i = 0; i < p->n_in; i++) {
    DUEL_TRY(input_var(r, p->in[i].dtype, p->in[i].shape, &t->in[i]));
    DUEL_TRY(input_var(r, DUEL_F64, p->in[i].shape, &t->v[i]));
    DUEL_TRY(input_var(r, DUEL_F64, p->in[i].shape, &t->w[i]));
  }
  for (int i = 0; i < p->n_out; i++) {
    DUEL_TRY(input_var(r, DUEL_F64, p->out[i], &t->u[i]));
    DUEL_TRY(input_var(r, DUEL_F64, p->out[i], &t->w_u[i]));
  }
  for (int i = 0; i < 4; i++) DUEL_TRY(duel_rig_var(r, DUEL_ARENA_OUTPUT, DUEL_REAL, DUEL_SCALAR, true, &t->result[i]));
  DUEL_TRY(duel_rig_graph(r));

  duel_graph *g = r->graph;
  duel_val in[MAX_IN], out[DUEL_MAX_OUT], u[DUEL_MAX_OUT], x[MAX_IN + DUEL_MAX_OUT], v[MAX_IN],
      w[MAX_IN + DUEL_MAX_OUT];
  duel_val grad[MAX_IN + DUEL_MAX_OUT], sum[4] = {DUEL_NONE, DUEL_NONE, DUEL_NONE, DUEL_NONE};
  int n = 0;
  for (int i = 0; i < p->n_in; i++) in[i] = duel_input(g, t->in[i]);
  p->build(g, p->ctx, in, out);
  for (int i = 0; i < p->n_out; i++) {
    u[i] = duel_input(g, t->u[i]);
    sum[LOSS] = weighted(g, sum[LOSS], u[i], out[i]);
  }
  for (int i = 0; i < p->n_in; i++)
    if (p->wrt[i]) {
      x[n] = in[i];
      v[n] = duel_input(g, t->v[i]);
      w[n++] = duel_input(g, t->w[i]);
    }
  DUEL_TRY(duel_grad(g, sum[LOSS], n, x, grad));
  for (int i = 0; i < n; i++) sum[FIRST] = weighted(g, sum[FIRST], v[i], grad[i]);
  DUEL_TRY(duel_grad_seeded(g, p->n_out, out, u, n, x, grad));
  sum[SEEDED] = duel_constant(g, DUEL_SCALAR, 0);
  for (int i = 0; i < n; i++)
    if (grad[i] != DUEL_NONE) sum[SEEDED] = weighted(g, sum[SEEDED], v[i], grad[i]);
  for (int i = 0; i < p->n_out; i++) {
    x[n + i] = u[i];
    w[n + i] = duel_input(g, t->w_u[i]);
  }
  n += p->n_out;
  DUEL_TRY(duel_grad(g, sum[FIRST], n, x, grad));
  for (int i = 0; i < n; i++) sum[SECOND] = weighted(g, sum[SECOND], w[i], grad[i]);
  for (int i = 0; i < 4; i++) duel_output(g, t->result[i], sum[i]);
  return duel_rig_start(r, (duel_rig_mode){.rewrites = passes});
}

static void set_moved(trial *t, int var, const duel_ref *base, const duel_ref *direction, double h) {
  for (int64_t i = 0; i < base->count; i++) t->at[i] = base->data[i] + (direction ? h * direction->data[i] : 0);
  duel_rig_set(&t->rig, var, t->at);
}

// Evaluates all four sums at x + h·v (second == false) or at (x, u) + h·w.
static duel_status evaluate(trial *t, const problem *p, bool second, double h, double result[4]) {
  for (int i = 0; i < p->n_in; i++) {
    set_moved(t, t->in[i], &p->in[i], p->wrt[i] ? second ? &t->dir_w[i] : &t->dir_v[i] : NULL, h);
    set_moved(t, t->v[i], &t->dir_v[i], NULL, 0);
    set_moved(t, t->w[i], &t->dir_w[i], NULL, 0);
  }
  for (int i = 0; i < p->n_out; i++) {
    set_moved(t, t->u[i], &t->dir_u[i], second ? &t->dir_wu[i] : NULL, h);
    set_moved(t, t->w_u[i], &t->dir_wu[i], NULL, 0);
  }
  DUEL_TRY(duel_rig_run(&t->rig));
  for (int i = 0; i < 4; i++) duel_rig_get(&t->rig, t->result[i], &result[i]);
  return DUEL_OK;
}

static void agree(const problem *p, const char *what, double got, double want, double scale, int *failures) {
  const double tolerance = 1e-7 * fmax(fabs(got), fabs(want)) + 1e-9 * (1 + fabs(scale));
  const double ratio = fabs(got - want) / tolerance;
  comparisons++;
  if (!(ratio <= worst)) worst = ratio;
  if (ratio <= 1) return;
  print_error("%s: %s is %.12g, by differences %.12g\n", p->name, what, got, want);
  ++*failures;
}

static duel_status compare(trial *t, const problem *p, int *failures) {
  double base[4], at[4][4]; // −2, −1, 1, 2 steps
  static const int steps[] = {-2, -1, 1, 2};
  DUEL_TRY(evaluate(t, p, false, 0, base));
  for (int order = 0; order < 2; order++) {
    for (int i = 0; i < 4; i++) DUEL_TRY(evaluate(t, p, order == 1, steps[i] * step, at[i]));
    const int f = order == 0 ? LOSS : FIRST;
    const double slope = (8 * (at[2][f] - at[1][f]) - (at[3][f] - at[0][f])) / (12 * step); // error O(step⁴)
    agree(p, order == 0 ? "first derivative" : "second derivative", base[order == 0 ? FIRST : SECOND], slope, base[f],
          failures);
  }
  if (!(fabs(base[SEEDED] - base[FIRST]) <= 1e-12 * (1 + fabs(base[FIRST])))) {
    print_error("%s: seeded gradients give %.17g, not %.17g\n", p->name, base[SEEDED], base[FIRST]);
    ++*failures;
  }
  return DUEL_OK;
}

static void draw_directions(trial *t, const problem *p, uint32_t seed) {
  int64_t most = 1;
  for (int i = 0; i < p->n_in; i++) {
    t->dir_v[i] = random_like(p->in[i].shape, seed + 100 + (uint32_t)i);
    t->dir_w[i] = random_like(p->in[i].shape, seed + 200 + (uint32_t)i);
    if (p->in[i].count > most) most = p->in[i].count;
  }
  for (int i = 0; i < p->n_out; i++) {
    t->dir_u[i] = random_like(p->out[i], seed + 300 + (uint32_t)i);
    t->dir_wu[i] = random_like(p->out[i], seed + 400 + (uint32_t)i);
    if (t->dir_u[i].count > most) most = t->dir_u[i].count;
  }
  t->at = test_malloc((size_t)most * sizeof *t->at);
}

static void free_trial(trial *t, const problem *p) {
  for (int i = 0; i < p->n_in; i++) {
    duel_ref_free(&t->dir_v[i]);
    duel_ref_free(&t->dir_w[i]);
  }
  for (int i = 0; i < p->n_out; i++) {
    duel_ref_free(&t->dir_u[i]);
    duel_ref_free(&t->dir_wu[i]);
  }
  test_free(t->at);
  duel_rig_close(&t->rig);
}

static void solve(trial *t, const problem *p, unsigned passes, int *failures) {
  duel_status status = prepare(t, p, passes);
  if (status == DUEL_OK) status = compare(t, p, failures);
  if (status == DUEL_OK) return;
  print_error("%s: %s\n", p->name, duel_last_error());
  ++*failures;
}

// ---- op cases
static void build_case(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out) {
  duel_case_build(g, ctx, in, out);
}

// Ops that have no derivative. Any other op must have cases here.
static bool has_gradient(duel_op op) {
  switch (op) {
  case DUEL_OP_INPUT:
  case DUEL_OP_STATE:
  case DUEL_OP_CONSTANT:
  case DUEL_OP_IOTA:
  case DUEL_OP_AUGMENT:
  case DUEL_OP_LESS_EQUAL:
  case DUEL_OP_RANDOM_NORMAL:
  case DUEL_OP_RANDOM_UNIFORM:
  case DUEL_OP_BATCH:
  case DUEL_OP_ONE_HOT:
  case DUEL_OP_HITS:
  case DUEL_OP_ADAM:
  case DUEL_OP_SGD:
  case DUEL_OP_EMA:
  case DUEL_OP_RUNNING:
  case DUEL_OP_REPORT:
  case DUEL_OP_ASSIGN:
    return false;
  default:
    return true;
  }
}

static bool usable(const duel_case *c) {
  int64_t elements = 0;
  for (int i = 0; i < c->n_in; i++) {
    const bool norm = c->op == DUEL_OP_BATCHNORM || c->op == DUEL_OP_GROUPNORM;
    if (norm && c->in[i].fill == DUEL_FILL_ZERO) return false; // 1/eps⁵ spoils differences
    if (c->op == DUEL_OP_LEAKY_RELU_GRAD && c->in[i].fill == DUEL_FILL_ZERO) return false; // on the kink
    if (c->op == DUEL_OP_SPECTRAL && c->attr.spectral.advance) return false; // it takes u and v for constants
    int64_t n = 1;
    for (int k = 0; k < c->in[i].shape.rank; k++) n *= c->in[i].shape.dim[k];
    elements += n;
  }
  return has_gradient(c->op) && !duel_case_is_extreme(c) && elements <= MAX_ELEMENTS;
}

// Does a step cross the kink of the op's own activation? Its output changes sign there.
static bool crosses(const duel_case *c, const trial *t, const problem *p) {
  const bool leaky =
      (c->op == DUEL_OP_DENSE && c->attr.matmul.act == DUEL_ACT_LEAKY_RELU) ||
      (c->op == DUEL_OP_BATCHNORM && c->attr.batchnorm.act == DUEL_ACT_LEAKY_RELU) ||
      ((c->op == DUEL_OP_CONV2D_ACT || c->op == DUEL_OP_CONV2D_DX_ACT) && c->attr.conv_act.act == DUEL_ACT_LEAKY_RELU);
  if (!leaky) return false;
  duel_ref first[DUEL_MAX_OUT] = {{0}};
  bool crossed = false;
  for (int k = 0; k < 4; k++) {
    duel_ref in[MAX_IN] = {{0}}, out[DUEL_MAX_OUT] = {{0}};
    for (int i = 0; i < p->n_in; i++) {
      in[i] = duel_ref_new(DUEL_F64, p->in[i].shape);
      for (int64_t e = 0; e < in[i].count; e++)
        in[i].data[e] = p->in[i].data[e] + (k % 2 ? 2 : -2) * step * (k / 2 ? t->dir_w[i] : t->dir_v[i]).data[e];
    }
    duel_case_expect(c, in, k ? out : first);
    for (int64_t e = 0; k && e < out[0].count; e++) crossed |= (out[0].data[e] > 0) != (first[0].data[e] > 0);
    for (int i = 0; i < p->n_in; i++) duel_ref_free(&in[i]);
    for (int i = 0; i < DUEL_MAX_OUT; i++) duel_ref_free(&out[i]);
  }
  for (int i = 0; i < DUEL_MAX_OUT; i++) duel_ref_free(&first[i]);
  return crossed;
}

typedef enum verdict { DONE, CROSSES, TOO_LARGE } verdict;

static verdict check_case(const duel_case *c, uint32_t seed, int *failures) {
  char name[256];
  duel_ref out[DUEL_MAX_OUT] = {{0}};
  problem p = {
      .name = duel_case_name(c, name), .n_in = c->n_in, .n_out = duel_case_outputs(c), .build = build_case, .ctx = c};
  for (int i = 0; i < c->n_in; i++) {
    p.in[i] = duel_case_fill(c, i, false, seed);
    p.wrt[i] = duel_case_is_real(c, i) && c->in[i].fill != DUEL_FILL_BINARY && c->in[i].fill != DUEL_FILL_MAP &&
               (c->op != DUEL_OP_SPECTRAL || i == 0);
  }
  duel_case_expect(c, p.in, out);
  for (int i = 0; i < p.n_out; i++) p.out[i] = out[i].shape;
  verdict v = out[0].count > MAX_ELEMENTS ? TOO_LARGE : DONE;
  static const unsigned passes[] = {0, DUEL_REWRITE_ALL};
  for (int i = 0; v == DONE && i < 2; i++) {
    trial t = {0};
    draw_directions(&t, &p, seed * 1000 + (uint32_t)c->id);
    if (crosses(c, &t, &p))
      v = CROSSES;
    else
      solve(&t, &p, passes[i], failures);
    free_trial(&t, &p);
  }
  for (int i = 0; i < c->n_in; i++) duel_ref_free(&p.in[i]);
  for (int i = 0; i < DUEL_MAX_OUT; i++) duel_ref_free(&out[i]);
  return v;
}

static void test_op_cases(void **state) {
  (void)state;
  int n, run = 0, failures = 0, per_op[DUEL_OP_COUNT] = {0}, plain = 0;
  const duel_case *cases = duel_cases(&n);
  for (int i = 0; i < n; i++) {
    if (!usable(&cases[i])) continue;
    verdict v = CROSSES;
    for (uint32_t seed = 1; v == CROSSES && seed < 100; seed++) v = check_case(&cases[i], seed, &failures);
    if (v == TOO_LARGE) continue;
    if (v == CROSSES) {
      char name[256];
      print_error("%s: every draw crosses a kink\n", duel_case_name(&cases[i], name));
      failures++;
    }
    per_op[cases[i].op]++;
    run++;
  }
  for (int op = 0; op < DUEL_OP_COUNT; op++) {
    if (has_gradient((duel_op)op) != (duel_op_records[op]->vjp != duel_no_grad)) {
      print_error("%s: has a gradient or has none, unlike what this test believes\n", duel_op_name((duel_op)op));
      failures++;
    }
    if (has_gradient((duel_op)op) && !per_op[op]) {
      print_error("%s: no case\n", duel_op_name((duel_op)op));
      failures++;
    }
    plain += !has_gradient((duel_op)op);
  }
  print_message("%d cases of %d ops (%d have no derivative), %lld derivatives compared, worst error ÷ tolerance %.2g\n",
                run, DUEL_OP_COUNT - plain, plain, (long long)comparisons, worst);
  assert_true(run > 0);
  assert_int_equal(failures, 0);
}

// ---- whole losses
// Parameters: x [N, K], W1 [K, H], b1 [H], scale [H], shift [H], W2 [H, 1]. Every loss here contains a gradient.
enum { N = 5, K = 3, H = 6, SLAB = 256 };

typedef struct recipe {
  duel_act act;
  bool norm;
} recipe;

static duel_val critic(duel_graph *g, const recipe *r, const duel_val *in, duel_val x) {
  duel_val h = duel_dense(g, x, in[1], in[2], false, false, r->norm ? DUEL_ACT_NONE : r->act, 0.2), bn[3];
  if (r->norm) {
    duel_batchnorm(g, h, in[3], in[4], 1e-5, r->act, 0.2, bn);
    h = bn[0];
  }
  return duel_dense(g, h, in[5], DUEL_NONE, false, false, DUEL_ACT_NONE, 0);
}

static duel_val input_gradient(duel_graph *g, const recipe *r, const duel_val *in, duel_val *score) {
  duel_val grad = DUEL_NONE;
  *score = critic(g, r, in, in[0]);
  duel_grad(g, duel_sum(g, *score), 1, &in[0], &grad);
  return duel_reduce_sum(g, duel_mul(g, grad, grad), 2); // Σ over features of the squares, per sample
}

static void build_gp(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out) { // Gulrajani et al. 2017
  duel_val score, squares = input_gradient(g, ctx, in, &score);
  duel_val excess = duel_affine(g, duel_sqrt(g, duel_affine(g, squares, 1, 1e-12)), 1, -1);
  out[0] = duel_add(g, duel_mean(g, score), duel_affine(g, duel_mean(g, duel_mul(g, excess, excess)), 10, 0));
}

static void build_r1(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out) { // Mescheder et al. 2018
  duel_val score, squares = input_gradient(g, ctx, in, &score);
  out[0] = duel_add(g, duel_bce_logits(g, score, 1), duel_affine(g, duel_mean(g, squares), 0.5, 0));
}

// A player's parameters in one slab, as in training: the gradient of the slab is a pack of gradients. The network is
// used twice, so that gradients add up.
static void build_slab(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out) {
  const duel_val part[] = {in[0],
                           duel_view(g, in[1], 0, DUEL_SHAPE(K, H)),
                           duel_view(g, in[1], 32, DUEL_SHAPE(H)),
                           duel_view(g, in[1], 64, DUEL_SHAPE(H)),
                           duel_view(g, in[1], 96, DUEL_SHAPE(H)),
                           duel_view(g, in[1], 128, DUEL_SHAPE(H, 1))};
  duel_val real = critic(g, ctx, part, in[0]);
  duel_val fake = critic(g, ctx, part, duel_tanh(g, duel_matmul(g, in[0], in[2], false, true)));
  out[0] = duel_add(g, duel_bce_logits(g, real, 0.9), duel_bce_logits(g, fake, 0));
}

// Without fused ops: softmax of broadcast differences, its entropy, a maximum.
static void build_mixture(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out) {
  (void)ctx;
  duel_val difference =
      duel_sub(g, duel_reshape(g, in[0], DUEL_SHAPE(N, 1, K)), duel_reshape(g, in[0], DUEL_SHAPE(1, N, K)));
  duel_val distance = duel_reduce_sum(g, duel_mul(g, difference, difference), 4);
  duel_val shifted = duel_sub(g, distance, duel_reduce_max(g, distance, 2));
  duel_val e = duel_exp(g, shifted), share = duel_div(g, e, duel_reduce_sum(g, e, 2));
  duel_val folded = duel_mul(g, duel_concat(g, 2, (duel_val[]){share, duel_transpose(g, share, (int[]){1, 0, 2})}, 2),
                             duel_softplus(g, share));
  out[0] = duel_sum(g, duel_mul(g, folded, duel_log(g, share)));
}

static void check_loss(const char *name, void (*build)(duel_graph *, const void *, const duel_val *, duel_val *),
                       recipe r, int n_in, const duel_shape *shape, int *failures) {
  static const unsigned passes[] = {0, DUEL_REWRITE_ALL, DUEL_REWRITE_EXPAND};
  for (uint32_t i = 0; i < 9; i++) {
    problem p = {.name = name, .n_in = n_in, .n_out = 1, .out = {DUEL_SCALAR}, .build = build, .ctx = &r};
    for (int k = 0; k < n_in; k++) {
      p.in[k] = random_like(shape[k], i / 3 * 50 + (uint32_t)k);
      p.wrt[k] = true;
    }
    trial t = {0};
    draw_directions(&t, &p, i / 3 * 77);
    solve(&t, &p, passes[i % 3], failures);
    free_trial(&t, &p);
    for (int k = 0; k < n_in; k++) duel_ref_free(&p.in[k]);
  }
}

static void test_losses(void **state) {
  (void)state;
  const duel_shape net[] = {DUEL_SHAPE(N, K), DUEL_SHAPE(K, H), DUEL_SHAPE(H),
                            DUEL_SHAPE(H),    DUEL_SHAPE(H),    DUEL_SHAPE(H, 1)};
  const duel_shape slab[] = {DUEL_SHAPE(N, K), DUEL_SHAPE(SLAB), DUEL_SHAPE(K, K)};
  const recipe leaky = {DUEL_ACT_LEAKY_RELU, false}, smooth = {DUEL_ACT_TANH, false};
  const recipe leaky_norm = {DUEL_ACT_LEAKY_RELU, true}, smooth_norm = {DUEL_ACT_TANH, true},
               sigmoid_norm = {DUEL_ACT_SIGMOID, true};
  int failures = 0;
  const int64_t before = comparisons;
  worst = 0;
  check_loss("gp, leaky_relu", build_gp, leaky, 6, net, &failures);
  check_loss("gp, tanh", build_gp, smooth, 6, net, &failures);
  check_loss("gp, batchnorm tanh", build_gp, smooth_norm, 6, net, &failures);
  check_loss("r1, leaky_relu", build_r1, leaky, 6, net, &failures);
  check_loss("r1, tanh", build_r1, smooth, 6, net, &failures);
  check_loss("r1, batchnorm leaky_relu", build_r1, leaky_norm, 6, net, &failures);
  check_loss("r1, batchnorm tanh", build_r1, smooth_norm, 6, net, &failures);
  check_loss("r1, batchnorm sigmoid", build_r1, sigmoid_norm, 6, net, &failures);
  check_loss("slab, tanh", build_slab, smooth, 3, slab, &failures);
  check_loss("slab, batchnorm leaky_relu", build_slab, leaky_norm, 3, slab, &failures);
  check_loss("mixture", build_mixture, leaky, 1, net, &failures);
  print_message("%lld derivatives of losses compared, worst error ÷ tolerance %.2g\n",
                (long long)(comparisons - before), worst);
  assert_true(comparisons > before);
  assert_int_equal(failures, 0);
}

// ---- layers
// Without running statistics; the inputs keep away from prelu's kink. Labels are 0 to 2.
static const char *const layers[] = {
    "upsample: 2",
    "upsample: {size: [9, 5], mode: bilinear}",
    "pad: {pad: [1, 2, 4, 3], mode: reflect}",
    "pad: [1, 0, 2, 1]",
    "upsample: {scale: [2, 3], mode: fir}",
    "downsample, blur: [1, 2, 1]",
    "avgpool: {kernel: 3, stride: 2, pad: 1}",
    "maxpool: {kernel: [3, 2], stride: [1, 2], pad: [1, 0]}",
    "conv: {out: 4, pad: 1}, global_pool",
    "global_pool: max",
    "minibatch_stddev",
    "minibatch_stddev: {group: 10, channels: 3}",
    "self_attention",
    "conv: {out: 3, equalized: 1.5, lr_mul: 0.5}, tanh",
    "conv: 9, self_attention: {pool: 1}",
    "layernorm",
    "flatten, layernorm: {affine: false}",
    "instancenorm: {affine: true}",
    "conv: 6, groupnorm: {groups: 2}",
    "pixelnorm",
    "silu",
    "gelu",
    "gelu: tanh",
    "prelu",
    "prelu: {channels: true}",
    "residual: [conv: {out: 3, kernel: 3, pad: 1}, tanh]",
    "{residual: [residual: [conv: {out: 3, pad: 1}], conv: {out: 2, stride: 2}], skip: [conv: {out: 2, stride: 2}]}",
    "{residual: [tanh, conv: {out: 3, kernel: 1}], repeat: 3}",
    "{conv: {out: 3, pad: 1}, save: a}, tanh, {conv: {out: 3, pad: 1}, save: b}, add: a, add: b, concat: b",
    "concat: [conv: {out: 2, kernel: 3, pad: 1}, tanh]",
    "{concat: [tanh, {concat: [avgpool: 2, upsample: {size: [5, 7]}]}, conv: {out: 2, kernel: 1}], repeat: 2}",
    "flatten, concat: [dense: 4, tanh]",
    "label: {classes: 3}, conv: {out: 2, kernel: 3}, tanh, label: {embed: 2, classes: 3}",
    "flatten, label: {embed: 3, classes: 3}, dense: 5, tanh, projection: {classes: 3}",
    "flatten, dense: {out: 5, equalized: 1}, silu, projection: {classes: 3, bias: false, equalized: 2, lr_mul: 0.5}",
    "noise, tanh, dropout: 0.3, noise: {channels: true}, silu",
    "{residual: [{tanh: ~, save: a}, conv: {out: 3, pad: 1}, add: a], repeat: 2, save: b}, silu, concat: b",
};

enum { ITEMS, DRAWS, CLASSES, OF_NET }; // inputs: x, the key of draws, labels; then the net's parameters

static void build_layers(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out) {
  duel_model model = *(const duel_model *)ctx;
  duel_val view[MAX_IN];
  memcpy(view, in + OF_NET, (MAX_IN - OF_NET) * sizeof *view);
  duel_shards whole = {.g = g, .n = 1};
  duel_pass pass = {.g = g, .model = &model, .net = 1, .train = true, .key = in[DRAWS], .shards = &whole};
  pass.labels = in[CLASSES];
  pass.view = duel_pass_weights(g, &model.net[1], view, true, false);
  out[0] = duel_forward(&pass, in[ITEMS]);
}

// Whole numbers below 3.
static duel_ref few_like(duel_shape shape) {
  duel_ref t = duel_ref_new(DUEL_I32, shape);
  for (int64_t i = 0; i < t.count; i++) t.data[i] = (double)(i * 7 % 3);
  return t;
}

static void test_layers(void **state) {
  (void)state;
  const int64_t before = comparisons;
  int failures = 0;
  worst = 0;
  for (size_t k = 0; k < sizeof layers / sizeof *layers; k++) {
    char text[512];
    snprintf(text, sizeof text,
             "recipe: 1\ndata: x\nlatent: 1\nG: [dense: 105, reshape: [3, 5, 7]]\nD: [%s, flatten, dense: 1]\n"
             "train: {length: 1, batch: 8}\n",
             layers[k]);
    duel_recipe *r = recipe_from(text);
    duel_vars vars = {0};
    duel_model model;
    assert_int_equal(duel_model_open(&model, r, DUEL_SCALAR, 0, &vars, DUEL_F64), DUEL_OK);
    const duel_model_net *own = &model.net[1];
    assert_true(OF_NET + own->n <= MAX_IN);
    problem p = {.name = layers[k], .n_in = OF_NET + own->n, .n_out = 1, .out = {DUEL_SHAPE(8, 1)}};
    p.build = build_layers;
    p.ctx = &model;
    for (int i = 0; i < p.n_in; i++) {
      p.wrt[i] = i == ITEMS || i >= OF_NET;
      p.in[i] = i == ITEMS ? random_like(DUEL_SHAPE(8, 3, 5, 7), 900)
                : p.wrt[i] ? random_like(own->param[i - OF_NET].shape, 901 + (uint32_t)(i - OF_NET))
                           : few_like(i == DRAWS ? DUEL_SHAPE(4) : DUEL_SHAPE(8));
    }
    for (int i = 0; i < 2; i++) {
      trial t = {0};
      draw_directions(&t, &p, 55);
      solve(&t, &p, i ? DUEL_REWRITE_ALL : 0, &failures);
      free_trial(&t, &p);
    }
    for (int i = 0; i < p.n_in; i++) duel_ref_free(&p.in[i]);
    duel_model_close(&model);
    duel_vars_clear(&vars);
    duel_recipe_close(r);
  }
  print_message("%lld derivatives of layers compared, worst error ÷ tolerance %.2g\n",
                (long long)(comparisons - before), worst);
  assert_int_equal(failures, 0);
}

// ---- penalties
// Beside a loss of D, or of G, on N items; by the parameters of the net that moves.
static const char *const judges[] = {"flatten, dense: 7, tanh, dense: 5, silu, dense: 1",
                                     ("conv: {out: 3, pad: 1}, instancenorm, silu, conv: {out: 2, kernel: 2}, "
                                      "layernorm, tanh, flatten, dense: 1"),
                                     "conv: 4, tanh, minibatch_stddev: {group: 3}, avgpool: 2, flatten, dense: 1"};
static const struct {
  const char *penalty, *augment;
} penalties[] = {{"gp: {}", "null"},
                 {"dragan: {}", "null"},
                 {"r1: auto", "null"},
                 {"r2: {}", "null"},
                 {"lecam: {}", "null"},
                 {"consistency: {z: 1, radius: 0.3}", "null"},
                 {"consistency: {real: 1, fake: 2}", "null"},
                 {"gp: {}, dragan: {}, r1: {}, r2: {}, lecam: {}, consistency: {z: 1}", "null"},
                 {"r1: {}, gp: {}", "{policy: ada, pipe: bgc, p: 0.8, cutout: 1, noise: 1}"},
                 {"r2: {}", "{policy: ada, p: 0.8, filter: sym6}"},
                 {"r1: {}, r2: {}", "diffaugment"}};
enum { REAL, FAKE, Z, KEY, PARAMETERS }; // inputs: items of both sides, latents, the key of draws; of G, then of D

typedef struct penalized {
  const duel_model *model;
  int net; // that moves
} penalized;

static void build_penalties(duel_graph *g, const void *ctx, const duel_val *in, duel_val *out) {
  const penalized *p = ctx;
  duel_model model = *p->model;
  duel_step_vars vars = {.n_every = 0};
  const duel_shards whole = {.g = g, .n = 1};
  duel_step s = {.g = g, .vars = &vars, .m = &model, .r = model.recipe, .key = in[KEY], .shards = whole};
  duel_val view[MAX_IN];
  memcpy(view, in + PARAMETERS, (MAX_IN - PARAMETERS) * sizeof *view);
  s.view[NET_G] = view;
  s.view[NET_D] = view + model.net[NET_G].n;
  for (int i = 0; i < 2; i++) s.lecam[i] = duel_constant(g, DUEL_SCALAR, i ? -0.2 : 0.1);
  duel_penalty_at at = {.net = p->net, .sub_step = 1, .z = in[Z], .real = in[REAL], .fake = in[FAKE]};
  if (p->net == NET_G) at.fake = duel_step_forward(&s, NET_G, at.z);
  at.on_real = duel_step_forward(&s, NET_D, at.real);
  at.on_fake = duel_step_forward(&s, NET_D, at.fake);
  out[0] = duel_sub(g, duel_mean(g, at.on_fake), duel_mean(g, at.on_real));
  for (int i = 0; i < s.r->n_penalties; i++) {
    const duel_chosen *penalty = &s.r->penalty[i];
    duel_penalty_term *term = p->net == NET_G ? duel_penalty_of(penalty)->build_g : duel_penalty_of(penalty)->build;
    if (term) out[0] = duel_add(g, out[0], duel_affine(g, term(&s, penalty, &at), 3, 0));
  }
}

static void check_penalties(const char *judge, const char *penalty, const char *augment, int net, int *failures) {
  static const double key[] = {3, 0, 5, 0};
  char text[512], name[256];
  snprintf(text, sizeof text,
           "recipe: 1\ndata: x\nlatent: 3\nG: [dense: 5, tanh, dense: 96, reshape: [3, 4, 8]]\nD: [%s]\n"
           "train: {length: 1, batch: 6}\npenalty: {%s}\naugment: %s\n",
           judge, penalty, augment);
  snprintf(name, sizeof name, "%s, augment %s, of %s", penalty, augment, net == NET_G ? "G" : judge);
  duel_recipe *r = recipe_from(text);
  duel_vars vars = {0};
  duel_model model;
  assert_int_equal(duel_model_open(&model, r, DUEL_SCALAR, 0, &vars, DUEL_F64), DUEL_OK);
  const penalized ctx = {&model, net};
  problem p = {
      .name = name, .n_in = PARAMETERS, .n_out = 1, .out = {DUEL_SCALAR}, .build = build_penalties, .ctx = &ctx};
  for (int i = 0; i < KEY; i++)
    p.in[i] = random_like(i == Z ? DUEL_SHAPE(6, 3) : DUEL_SHAPE(6, 3, 4, 8), 700 + (uint32_t)i);
  p.in[KEY] = duel_ref_new(DUEL_I32, DUEL_SHAPE(4));
  memcpy(p.in[KEY].data, key, sizeof key);
  for (int owner = 0; owner < 2; owner++)
    for (int i = 0; i < model.net[owner].n; i++) {
      assert_true(p.n_in < MAX_IN);
      p.wrt[p.n_in] = owner == net;
      p.in[p.n_in] = random_like(model.net[owner].param[i].shape, 700 + (uint32_t)p.n_in);
      p.n_in++;
    }
  for (int i = 0; i < 2; i++) {
    trial t = {0};
    draw_directions(&t, &p, 33);
    solve(&t, &p, i ? DUEL_REWRITE_ALL : 0, failures);
    free_trial(&t, &p);
  }
  for (int i = 0; i < p.n_in; i++) duel_ref_free(&p.in[i]);
  duel_model_close(&model);
  duel_vars_clear(&vars);
  duel_recipe_close(r);
}

static void test_penalties(void **state) {
  (void)state;
  const int64_t before = comparisons;
  int failures = 0;
  worst = 0;
  for (size_t k = 0; k < sizeof penalties / sizeof *penalties; k++) {
    for (size_t j = 0; j < sizeof judges / sizeof *judges; j++)
      check_penalties(judges[j], penalties[k].penalty, penalties[k].augment, NET_D, &failures);
    if (strstr(penalties[k].penalty, "z:"))
      check_penalties(judges[0], penalties[k].penalty, penalties[k].augment, NET_G, &failures);
  }
  print_message("%lld derivatives of penalties compared, worst error ÷ tolerance %.2g\n",
                (long long)(comparisons - before), worst);
  assert_int_equal(failures, 0);
}

static int open_backend(void **state) {
  (void)state;
  return duel_cpu_f64_backend.open(&backend, &(duel_backend_options){.threads = 1}) == DUEL_OK ? 0 : -1;
}

static int close_backend(void **state) {
  (void)state;
  duel_cpu_f64_backend.close(backend);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_op_cases), cmocka_unit_test(test_losses),
                                     cmocka_unit_test(test_layers), cmocka_unit_test(test_penalties)};
  return cmocka_run_group_tests_name("gradients", tests, open_backend, close_backend);
}
