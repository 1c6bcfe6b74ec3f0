// The case list: its storage, its fillings and its builders. The cases themselves are in cases_*.c, one file a family.
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static duel_case *list;
static int n_list, cap_list;

duel_case *duel_case_add(duel_op op, int n_in) {
  if (n_list == cap_list) {
    cap_list = cap_list ? 2 * cap_list : 256;
    list = realloc(list, (size_t)cap_list * sizeof *list);
    if (!list) abort();
  }
  duel_case *c = &list[n_list];
  memset(c, 0, sizeof *c);
  c->id = n_list++;
  c->op = op;
  c->n_in = n_in;
  for (int i = 0; i < DUEL_CASE_MAX_IN; i++) c->in[i].dtype = DUEL_REAL;
  return c;
}

duel_case *duel_case_add1(duel_op op, duel_shape a, duel_fill fill) {
  duel_case *c = duel_case_add(op, 1);
  c->in[0].shape = a;
  c->in[0].fill = fill;
  return c;
}

duel_case *duel_case_add2(duel_op op, duel_shape a, duel_fill fill_a, duel_shape b, duel_fill fill_b) {
  duel_case *c = duel_case_add1(op, a, fill_a);
  c->n_in = 2;
  c->in[1].shape = b;
  c->in[1].fill = fill_b;
  return c;
}

const duel_case *duel_cases(int *n) {
  if (!list) {
    duel_cases_elementwise();
    duel_cases_movement();
    duel_cases_product();
    duel_cases_conv();
    duel_cases_norm();
    duel_cases_resample();
    duel_cases_other();
  }
  *n = n_list;
  return list;
}

int duel_case_outputs(const duel_case *c) {
  static const int n_out[] = {
#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out) n_out,
#include "core/ops/ops.def"
#undef DUEL_OP
  };
  return n_out[c->op];
}

bool duel_case_is_state(const duel_case *c, int input) {
  switch (c->op) {
  case DUEL_OP_ADAM:
    return input < 3;
  case DUEL_OP_SGD:
  case DUEL_OP_RUNNING:
    return input < 2;
  case DUEL_OP_STATE:
  case DUEL_OP_EMA:
  case DUEL_OP_REPORT:
  case DUEL_OP_ASSIGN:
    return input == 0;
  default:
    return false;
  }
}

bool duel_case_is_real(const duel_case *c, int input) {
  return c->in[input].dtype == DUEL_REAL;
}

bool duel_case_is_extreme(const duel_case *c) {
  for (int i = 0; i < c->n_in; i++)
    if (c->in[i].fill == DUEL_FILL_EXTREME || c->in[i].fill == DUEL_FILL_LARGE || c->in[i].fill == DUEL_FILL_WILD_INDEX)
      return true;
  return false;
}

static bool is_dyadic(double x) {
  return x * 1024 == floor(x * 1024);
}

// Are all weights of an image's resampling dyadic?
static bool is_dyadic_resampling(const duel_case *c) {
  const duel_resampling *r = &c->attr.resample;
  if (r->mode == DUEL_NEAREST) return true;
  if (r->mode == DUEL_AVERAGE) return is_dyadic(1.0 / (double)(r->window.kernel[0] * r->window.kernel[1]));
  return is_dyadic(0.5 / (double)r->size[0]) && is_dyadic(0.5 / (double)r->size[1]);
}

bool duel_case_is_exact(const duel_case *c) {
  switch (c->op) {
  case DUEL_OP_DENSE:
    return c->attr.matmul.act == DUEL_ACT_NONE ||
           (c->attr.matmul.act == DUEL_ACT_LEAKY_RELU && is_dyadic(c->attr.matmul.slope));
  case DUEL_OP_CONV2D_ACT:
  case DUEL_OP_CONV2D_DX_ACT:
    return c->attr.conv_act.act == DUEL_ACT_NONE ||
           (c->attr.conv_act.act == DUEL_ACT_LEAKY_RELU && is_dyadic(c->attr.conv_act.slope));
  case DUEL_OP_CONV2D_DX_GRAD:
    return c->attr.conv_act.act != DUEL_ACT_LEAKY_RELU || is_dyadic(c->attr.conv_act.slope);
  case DUEL_OP_MATMUL_GRAD:
    return c->attr.matmul.act != DUEL_ACT_LEAKY_RELU || is_dyadic(c->attr.matmul.slope);
  case DUEL_OP_LEAKY_RELU:
  case DUEL_OP_LEAKY_RELU_GRAD:
    return !duel_case_is_extreme(c) && is_dyadic(c->attr.leaky.slope);
  case DUEL_OP_AFFINE:
    return is_dyadic(c->attr.affine.mul) && is_dyadic(c->attr.affine.add);
  case DUEL_OP_BATCH:
    return c->in[0].dtype != DUEL_U8;
  case DUEL_OP_RESAMPLE2D:
  case DUEL_OP_RESAMPLE2D_DX:
    return is_dyadic_resampling(c);
  case DUEL_OP_DIV:
  case DUEL_OP_EXP:
  case DUEL_OP_LOG:
  case DUEL_OP_SQRT:
  case DUEL_OP_TANH:
  case DUEL_OP_SIGMOID:
  case DUEL_OP_SOFTPLUS:
  case DUEL_OP_ERF:
  case DUEL_OP_RANDOM_NORMAL:
  case DUEL_OP_BATCHNORM:
  case DUEL_OP_BATCHNORM_GRAD:
  case DUEL_OP_GROUPNORM:
  case DUEL_OP_GROUPNORM_GRAD:
  case DUEL_OP_BCE_LOGITS:
  case DUEL_OP_BCE_LOGITS_GRAD:
  case DUEL_OP_ADAM:
  case DUEL_OP_SGD:
  case DUEL_OP_EMA:
  case DUEL_OP_RUNNING:
  case DUEL_OP_REPORT:
    return false;
  default:
    return true;
  }
}

const char *duel_case_name(const duel_case *c, char text[256]) {
  static const char *const acts[] = {"", " leaky_relu", " tanh", " sigmoid"};
  size_t at = (size_t)snprintf(text, 256, "#%d %s [", c->id, duel_op_name(c->op));
  for (int i = 0; i < c->n_in && at < 200; i++)
    at += (size_t)snprintf(text + at, 256 - at, "%s%s", i ? ", " : "", duel_shape_text(c->in[i].shape));
  if (at < 200) at += (size_t)snprintf(text + at, 256 - at, "]");
  if (at < 200 && (c->op == DUEL_OP_MATMUL || c->op == DUEL_OP_DENSE || c->op == DUEL_OP_MATMUL_GRAD))
    snprintf(text + at, 256 - at, " %c%c%s", c->attr.matmul.trans_a ? 't' : 'n', c->attr.matmul.trans_b ? 't' : 'n',
             acts[c->attr.matmul.act]);
  else if (at < 200 &&
           (c->op == DUEL_OP_CONV2D_ACT || c->op == DUEL_OP_CONV2D_DX_ACT || c->op == DUEL_OP_CONV2D_DX_GRAD))
    snprintf(text + at, 256 - at, "%s", acts[c->attr.conv_act.act]);
  else if (at < 200 && (c->op == DUEL_OP_BATCHNORM || c->op == DUEL_OP_BATCHNORM_GRAD))
    snprintf(text + at, 256 - at, "%s", acts[c->attr.batchnorm.act]);
  else if (at < 200 && (c->op == DUEL_OP_GROUPNORM || c->op == DUEL_OP_GROUPNORM_GRAD))
    snprintf(text + at, 256 - at, " groups %d", (int)c->attr.groupnorm.groups);
  else if (at < 200 && c->shape.rank)
    snprintf(text + at, 256 - at, " -> %s", duel_shape_text(c->shape));
  else if (at < 200 && (c->op == DUEL_OP_REDUCE_SUM || c->op == DUEL_OP_REDUCE_MAX))
    snprintf(text + at, 256 - at, " axes %#x", c->attr.reduce.axes);
  return text;
}

void duel_case_build(duel_graph *g, const duel_case *c, const duel_val *in, duel_val *out) {
  const duel_attr *a = &c->attr;
  switch (c->op) {
  case DUEL_OP_INPUT:
  case DUEL_OP_STATE:
    out[0] = in[0];
    break;
  case DUEL_OP_CONSTANT:
    out[0] = duel_constant(g, c->shape, a->constant.value);
    break;
  case DUEL_OP_RESHAPE:
    out[0] = duel_reshape(g, in[0], c->shape);
    break;
  case DUEL_OP_VIEW:
    out[0] = duel_view(g, in[0], a->view.offset, c->shape);
    break;
  case DUEL_OP_PACK:
    out[0] = duel_pack(g, c->n_in, in, a->pack.offset, a->pack.count);
    break;
  case DUEL_OP_TRANSPOSE:
    out[0] = duel_transpose(g, in[0], a->transpose.perm);
    break;
  case DUEL_OP_SLICE:
    out[0] = duel_slice(g, in[0], a->slice.start, c->shape);
    break;
  case DUEL_OP_PAD:
    out[0] = duel_pad(g, in[0], a->pad.before, c->shape);
    break;
  case DUEL_OP_CONCAT:
    out[0] = duel_concat(g, c->n_in, in, a->concat.axis);
    break;
  case DUEL_OP_BROADCAST:
    out[0] = duel_broadcast(g, in[0], c->shape);
    break;
  case DUEL_OP_ADD:
    out[0] = duel_add(g, in[0], in[1]);
    break;
  case DUEL_OP_SUB:
    out[0] = duel_sub(g, in[0], in[1]);
    break;
  case DUEL_OP_MUL:
    out[0] = duel_mul(g, in[0], in[1]);
    break;
  case DUEL_OP_DIV:
    out[0] = duel_div(g, in[0], in[1]);
    break;
  case DUEL_OP_LESS_EQUAL:
    out[0] = duel_less_equal(g, in[0], in[1]);
    break;
  case DUEL_OP_SELECT:
    out[0] = duel_select(g, in[0], in[1], in[2]);
    break;
  case DUEL_OP_AFFINE:
    out[0] = duel_affine(g, in[0], a->affine.mul, a->affine.add);
    break;
  case DUEL_OP_EXP:
    out[0] = duel_exp(g, in[0]);
    break;
  case DUEL_OP_LOG:
    out[0] = duel_log(g, in[0]);
    break;
  case DUEL_OP_SQRT:
    out[0] = duel_sqrt(g, in[0]);
    break;
  case DUEL_OP_TANH:
    out[0] = duel_tanh(g, in[0]);
    break;
  case DUEL_OP_SIGMOID:
    out[0] = duel_sigmoid(g, in[0]);
    break;
  case DUEL_OP_SOFTPLUS:
    out[0] = duel_softplus(g, in[0]);
    break;
  case DUEL_OP_ERF:
    out[0] = duel_erf(g, in[0]);
    break;
  case DUEL_OP_LEAKY_RELU:
    out[0] = duel_leaky_relu(g, in[0], a->leaky.slope);
    break;
  case DUEL_OP_TANH_GRAD:
    out[0] = duel_tanh_grad(g, in[0], in[1]);
    break;
  case DUEL_OP_SIGMOID_GRAD:
    out[0] = duel_sigmoid_grad(g, in[0], in[1]);
    break;
  case DUEL_OP_LEAKY_RELU_GRAD:
    out[0] = duel_leaky_relu_grad(g, in[0], in[1], a->leaky.slope);
    break;
  case DUEL_OP_REDUCE_SUM:
    out[0] = duel_reduce_sum(g, in[0], a->reduce.axes);
    break;
  case DUEL_OP_REDUCE_MAX:
    out[0] = duel_reduce_max(g, in[0], a->reduce.axes);
    break;
  case DUEL_OP_MATMUL:
    out[0] = duel_matmul(g, in[0], in[1], a->matmul.trans_a, a->matmul.trans_b);
    break;
  case DUEL_OP_CONV2D:
    out[0] = duel_conv2d(g, in[0], in[1], &a->conv);
    break;
  case DUEL_OP_CONV2D_DX:
    out[0] = duel_conv2d_dx(g, in[0], in[1], &a->conv, c->shape);
    break;
  case DUEL_OP_CONV2D_ACT:
    out[0] = duel_conv2d_act(g, in[0], in[1], c->n_in == 3 ? in[2] : DUEL_NONE, &a->conv, (duel_act)a->conv_act.act,
                             a->conv_act.slope);
    break;
  case DUEL_OP_CONV2D_DX_ACT:
    out[0] = duel_conv2d_dx_act(g, in[0], in[1], c->n_in == 3 ? in[2] : DUEL_NONE, &a->conv, c->shape,
                                (duel_act)a->conv_act.act, a->conv_act.slope);
    break;
  case DUEL_OP_CONV2D_DX_GRAD:
    out[0] = duel_conv2d_dx_grad(g, in[0], in[1], in[2], &a->conv, (duel_act)a->conv_act.act, a->conv_act.slope);
    break;
  case DUEL_OP_CONV2D_DW:
    out[0] = duel_conv2d_dw(g, in[0], in[1], &a->conv, c->shape);
    break;
  case DUEL_OP_RESAMPLE2D:
    out[0] = duel_resample2d(g, in[0], &a->resample);
    break;
  case DUEL_OP_RESAMPLE2D_DX:
    out[0] = duel_resample2d_dx(g, in[0], &a->resample, c->shape);
    break;
  case DUEL_OP_MAXPOOL2D:
    out[0] = duel_maxpool2d(g, in[0], in[1], &a->window);
    break;
  case DUEL_OP_MAXPOOL2D_DX:
    out[0] = duel_maxpool2d_dx(g, in[0], in[1], &a->window);
    break;
  case DUEL_OP_RANDOM_NORMAL:
    out[0] = duel_random_normal(g, in[0], a->random.purpose, a->random.k, c->shape);
    break;
  case DUEL_OP_RANDOM_UNIFORM:
    out[0] = duel_random_uniform(g, in[0], a->random.purpose, a->random.k, c->shape);
    break;
  case DUEL_OP_BATCH:
    out[0] = duel_batch(g, in[0], in[1]);
    break;
  case DUEL_OP_EMBEDDING:
    out[0] = duel_embedding(g, in[0], in[1]);
    break;
  case DUEL_OP_EMBEDDING_GRAD:
    out[0] = duel_embedding_grad(g, in[0], in[1], c->shape.dim[0]);
    break;
  case DUEL_OP_ONE_HOT:
    out[0] = duel_one_hot(g, in[0], c->shape.dim[1]);
    break;
  case DUEL_OP_DENSE:
    out[0] = duel_dense(g, in[0], in[1], c->n_in == 3 ? in[2] : DUEL_NONE, a->matmul.trans_a, a->matmul.trans_b,
                        (duel_act)a->matmul.act, a->matmul.slope);
    break;
  case DUEL_OP_MATMUL_GRAD:
    duel_matmul_grad(g, in[0], in[1], in[2], a->matmul.trans_a, a->matmul.trans_b, (duel_act)a->matmul.act,
                     a->matmul.slope, out);
    break;
  case DUEL_OP_BATCHNORM:
    duel_batchnorm(g, in[0], in[1], in[2], a->batchnorm.eps, (duel_act)a->batchnorm.act, a->batchnorm.slope, out);
    break;
  case DUEL_OP_BATCHNORM_GRAD:
    duel_batchnorm_grad(g, in[0], in[1], in[2], in[3], in[4], in[5], a->batchnorm.eps, (duel_act)a->batchnorm.act,
                        a->batchnorm.slope, out);
    break;
  case DUEL_OP_GROUPNORM:
    duel_groupnorm(g, in[0], in[1], in[2], a->groupnorm.groups, a->groupnorm.eps, out);
    break;
  case DUEL_OP_GROUPNORM_GRAD:
    duel_groupnorm_grad(g, in[0], in[1], in[2], in[3], in[4], a->groupnorm.groups, a->groupnorm.eps, out);
    break;
  case DUEL_OP_BCE_LOGITS:
    out[0] = duel_bce_logits(g, in[0], a->bce.target);
    break;
  case DUEL_OP_BCE_LOGITS_GRAD:
    out[0] = duel_bce_logits_grad(g, in[0], in[1], a->bce.target);
    break;
  case DUEL_OP_ADAM: // by no builder: they know no gaps
  case DUEL_OP_SGD: {
    const duel_node *n = duel_node_add(g, c->op, c->n_in, in, a, NULL);
    for (int i = 0; i < duel_case_outputs(c); i++) out[i] = n ? n->out[i] : DUEL_NONE;
    break;
  }
  case DUEL_OP_RUNNING:
    duel_running(g, in[0], in[1], in[2], in[3], a->running.weight, a->running.unbias, out);
    break;
  case DUEL_OP_REPORT:
    out[0] = duel_report(g, in[0], c->n_in - 1, in + 1, a->report.term);
    break;
  case DUEL_OP_EMA:
    out[0] = duel_ema(g, in[0], in[1], in[2]);
    break;
  case DUEL_OP_ASSIGN:
    out[0] = duel_assign(g, in[0], in[1]);
    break;
  default:
    duel_graph_error(g, "no builder for op %d in the case list", (int)c->op);
  }
}

// ---- fillings

uint32_t duel_test_hash(uint32_t a, uint32_t b) { // two rounds of a 32-bit finalizer
  uint32_t h = a * UINT32_C(0x9E3779B1) + b;
  for (int i = 0; i < 2; i++) {
    h = (h ^ h >> 16) * UINT32_C(0x85EBCA6B);
    h = (h ^ h >> 13) * UINT32_C(0xC2B2AE35);
  }
  return h ^ h >> 16;
}

double duel_test_uniform(uint32_t seed, uint32_t i) {
  return (duel_test_hash(seed, i) >> 8) * 0x1p-23 - 1;
}

static const double
    extreme[] =
        {
            0,   -0.0, 1e-30, -1e-30, 1e-10, -1e-10, 1e-4, -1e-4,    0.5,       -0.5, 1,
            -1,  10,   -10,   80,     -80,   87,     -87,  88.5,     -88.5,     89,   -89,
            100, -100, 1e4,   -1e4,   1e30,  -1e30,  0.1,  INFINITY, -INFINITY, NAN}; // the last three are not finite

static double element(duel_fill fill, uint32_t seed, uint32_t i, int64_t count, int64_t items) {
  static const float adam[] = {0.1f, 31.622f, 1e-8f, 0.995f, 0.5f, 0.5f, 0.999f, 0.001f};
  static const float sgd[] = {0.1f, 0, 0, 0.995f, 0.9f, 0, 0, 0};
  enum { N_EXTREME = sizeof extreme / sizeof *extreme };
  const double u = duel_test_uniform(seed, i);
  const uint32_t word = duel_test_hash(seed, i);
  switch (fill) {
  case DUEL_FILL_UNIFORM:
    return u;
  case DUEL_FILL_AWAY:
    return u < 0 ? 0.9 * u - 0.1 : 0.9 * u + 0.1;
  case DUEL_FILL_POSITIVE:
    return 1.125 + 0.875 * u;
  case DUEL_FILL_UNIT:
    return 0.5 + 0.45 * u;
  case DUEL_FILL_WIDE:
    return 12 * u;
  case DUEL_FILL_OFFSET:
    return 100 + u;
  case DUEL_FILL_DISTINCT:
    return (double)(i * INT64_C(7919) % count) / (double)count * 2 - 1; // 7919 is prime
  case DUEL_FILL_BINARY:
    return word & 1;
  case DUEL_FILL_ZERO:
    return 0;
  case DUEL_FILL_EXTREME:
    return extreme[(i + i / N_EXTREME) % N_EXTREME]; // each value meets each vector lane
  case DUEL_FILL_LARGE:
    return extreme[(i + i / N_EXTREME) % (N_EXTREME - 3)];
  case DUEL_FILL_INDEX:
    return (double)(word % (uint32_t)items);
  case DUEL_FILL_WILD_INDEX: {
    const int32_t wild[] = {-1, INT32_MIN, INT32_MAX, (int32_t)items, (int32_t)items + 3, -7};
    return word % 5 ? (double)(word % (uint32_t)items) : wild[word / 5 % 6];
  }
  case DUEL_FILL_BYTE:
    return word & 255;
  case DUEL_FILL_KEY:
    return i < 3 ? (int32_t)word : 0;
  case DUEL_FILL_ADAM:
    return (double)adam[i];
  case DUEL_FILL_SGD:
    return (double)sgd[i];
  }
  abort();
}

// From what the case is, not from its place in the list: new ops and cases leave the numbers of the others as they are.
static uint32_t fill_seed(const duel_case *c, int input, uint32_t seed) {
  uint32_t s = duel_test_hash((uint32_t)input, seed);
  for (const char *name = duel_op_name(c->op); *name; name++) s = duel_test_hash(s, (unsigned char)*name);
  for (int i = 0; i < c->n_in; i++)
    for (int k = 0; k < c->in[i].shape.rank; k++) s = duel_test_hash(s, (uint32_t)c->in[i].shape.dim[k]);
  return s;
}

// How many rows an index may name.
static int64_t rows_of(const duel_case *c) {
  if (c->op == DUEL_OP_EMBEDDING_GRAD) return c->shape.dim[0];
  return c->op == DUEL_OP_ONE_HOT ? c->shape.dim[1] : c->in[0].shape.dim[0];
}

duel_ref duel_case_fill(const duel_case *c, int input, bool integer, uint32_t seed) {
  const duel_case_in *in = &c->in[input];
  duel_ref t = duel_ref_new((duel_dtype)(in->dtype == DUEL_REAL ? DUEL_F32 : in->dtype), in->shape);
  const uint32_t s = fill_seed(c, input, seed);
  for (int64_t i = 0; i < t.count; i++) {
    if (integer && in->dtype == DUEL_REAL)
      t.data[i] = (int)(duel_test_hash(s, (uint32_t)i) % 9) - 4;
    else
      t.data[i] = element(in->fill, s, (uint32_t)i, t.count, rows_of(c));
    if (in->dtype == DUEL_REAL) t.data[i] = (double)(float)t.data[i];
  }
  return t;
}

void duel_case_expect(const duel_case *c, const duel_ref *in, duel_ref *out) {
  if (duel_ref_op(c->op, &c->attr, c->n_in, in, &c->shape, out)) return;
  if (c->n_in != 1) abort(); // only the leaves compute nothing
  out[0] = duel_ref_new(in[0].dtype, in[0].shape);
  memcpy(out[0].data, in[0].data, sizeof(double) * (size_t)in[0].count);
}
