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

static int64_t elements(const duel_case *c) {
  int64_t count = 0;
  for (int i = 0; i < c->n_in; i++) count += duel_shape_count(c->in[i].shape);
  return count;
}

static void leave_out_the_large(int64_t most) {
  int kept = 0;
  for (int i = 0; i < n_list; i++)
    if (elements(&list[i]) <= most) list[kept++] = list[i];
  n_list = kept;
}

const duel_case *duel_cases(int *n) {
  if (!list) {
    duel_cases_elementwise();
    duel_cases_movement();
    duel_cases_product();
    duel_cases_conv();
    duel_cases_norm();
    duel_cases_spectral();
    duel_cases_resample();
    duel_cases_warp();
    duel_cases_other();
    const char *most = getenv("DUEL_TEST_MOST");
    if (most && *most) leave_out_the_large(atoll(most));
  }
  *n = n_list;
  return list;
}

// ---- what an op's results owe
static const duel_op_rule rules[DUEL_OP_COUNT] = {
    [DUEL_OP_INPUT] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_STATE] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_CONSTANT] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_IOTA] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_RESHAPE] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_VIEW] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_PACK] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_TRANSPOSE] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_SLICE] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_PAD] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_REFLECT2D] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_REFLECT2D_DX] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_CONCAT] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_BROADCAST] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_ADD] = {.rounding = DUEL_ROUNDS_ONCE, .whole = true, .same = true},
    [DUEL_OP_SUB] = {.rounding = DUEL_ROUNDS_ONCE, .whole = true, .same = true},
    [DUEL_OP_MUL] = {.rounding = DUEL_ROUNDS_ONCE, .whole = true, .same = true},
    [DUEL_OP_DIV] = {.rounding = DUEL_ROUNDS_ONCE},
    [DUEL_OP_LESS_EQUAL] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_SELECT] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_AFFINE] = {.rounding = DUEL_ROUNDS_FEW, .whole = true},
    [DUEL_OP_EXP] = {.rounding = DUEL_ROUNDS_FUNCTION},
    [DUEL_OP_LOG] = {.rounding = DUEL_ROUNDS_FUNCTION},
    [DUEL_OP_SQRT] = {.rounding = DUEL_ROUNDS_ONCE},
    [DUEL_OP_TANH] = {.rounding = DUEL_ROUNDS_FUNCTION},
    [DUEL_OP_SIGMOID] = {.rounding = DUEL_ROUNDS_FUNCTION},
    [DUEL_OP_SOFTPLUS] = {.rounding = DUEL_ROUNDS_FUNCTION},
    [DUEL_OP_ERF] = {.rounding = DUEL_ROUNDS_FUNCTION},
    [DUEL_OP_LEAKY_RELU] = {.rounding = DUEL_ROUNDS_ONCE, .whole = true},
    [DUEL_OP_TANH_GRAD] = {.rounding = DUEL_ROUNDS_FEW, .whole = true},
    [DUEL_OP_SIGMOID_GRAD] = {.rounding = DUEL_ROUNDS_FEW, .whole = true},
    [DUEL_OP_LEAKY_RELU_GRAD] = {.rounding = DUEL_ROUNDS_ONCE, .whole = true},
    [DUEL_OP_REDUCE_SUM] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_REDUCE_MAX] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_MATMUL] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_CONV2D] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_CONV2D_DX] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_CONV2D_DW] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_RESAMPLE2D] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_RESAMPLE2D_DX] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_WARP2D] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_WARP2D_DX] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_MAXPOOL2D] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_MAXPOOL2D_DX] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_RANDOM_NORMAL] = {.rounding = DUEL_ROUNDS_NORMAL, .same = true},
    [DUEL_OP_RANDOM_UNIFORM] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_AUGMENT] = {.rounding = DUEL_ROUNDS_DRAWS},
    [DUEL_OP_BATCH] = {.rounding = DUEL_ROUNDS_BYTES, .whole = true, .same = true},
    [DUEL_OP_EMBEDDING] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_EMBEDDING_GRAD] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_ONE_HOT] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_DENSE] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_MATMUL_GRAD] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_CONV2D_ACT] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_CONV2D_DX_ACT] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_CONV2D_DX_GRAD] = {.rounding = DUEL_ROUNDS_SUM, .whole = true},
    [DUEL_OP_BATCHNORM] = {.rounding = DUEL_ROUNDS_SUM},
    [DUEL_OP_BATCHNORM_GRAD] = {.rounding = DUEL_ROUNDS_SUM},
    [DUEL_OP_GROUPNORM] = {.rounding = DUEL_ROUNDS_SUM},
    [DUEL_OP_GROUPNORM_GRAD] = {.rounding = DUEL_ROUNDS_SUM},
    [DUEL_OP_SPECTRAL] = {.rounding = DUEL_ROUNDS_SUM},
    [DUEL_OP_SPECTRAL_GRAD] = {.rounding = DUEL_ROUNDS_SUM},
    [DUEL_OP_BCE_LOGITS] = {.rounding = DUEL_ROUNDS_CANCELS},
    [DUEL_OP_BCE_LOGITS_GRAD] = {.rounding = DUEL_ROUNDS_CANCELS},
    [DUEL_OP_SOFTMAX_CE] = {.rounding = DUEL_ROUNDS_CANCELS},
    [DUEL_OP_SOFTMAX_CE_GRAD] = {.rounding = DUEL_ROUNDS_CANCELS},
    [DUEL_OP_HITS] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
    [DUEL_OP_ADAM] = {.rounding = DUEL_ROUNDS_UPDATE},
    [DUEL_OP_SGD] = {.rounding = DUEL_ROUNDS_UPDATE},
    [DUEL_OP_EMA] = {.rounding = DUEL_ROUNDS_FEW},
    [DUEL_OP_RUNNING] = {.rounding = DUEL_ROUNDS_FEW},
    [DUEL_OP_REPORT] = {.rounding = DUEL_ROUNDS_CANCELS},
    [DUEL_OP_ASSIGN] = {.rounding = DUEL_ROUNDS_EQUAL, .whole = true, .same = true},
};

duel_op_rule duel_rule_of(duel_op op) {
  if (rules[op].rounding == 0) abort(); // a new op without a row
  return rules[op];
}

int duel_case_outputs(const duel_case *c) {
  return duel_op_records[c->op]->n_out;
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
    if (c->in[i].fill == DUEL_FILL_EXTREME || c->in[i].fill == DUEL_FILL_LARGE ||
        c->in[i].fill == DUEL_FILL_WILD_INDEX || c->in[i].fill == DUEL_FILL_MAP_WILD)
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
  for (int64_t t = 0; t < r->fir.taps; t++)
    if (!is_dyadic(r->fir.tap[t])) return false;
  if (r->mode == DUEL_FIR) return is_dyadic(r->fir.gain);
  if (r->mode == DUEL_AVERAGE) return is_dyadic(1.0 / (double)(r->window.kernel[0] * r->window.kernel[1]));
  return is_dyadic(0.5 / (double)r->size[0]) && is_dyadic(0.5 / (double)r->size[1]);
}

// Of a fused op: whether its activation takes whole numbers to dyadic ones.
static bool is_dyadic_act(int act, double slope) {
  return act == DUEL_ACT_NONE || (act == DUEL_ACT_LEAKY_RELU && is_dyadic(slope));
}

bool duel_case_is_exact(const duel_case *c) {
  switch (c->op) {
  case DUEL_OP_DENSE:
    return is_dyadic_act(c->attr.matmul.act, c->attr.matmul.slope);
  case DUEL_OP_CONV2D_ACT:
  case DUEL_OP_CONV2D_DX_ACT:
    return is_dyadic_act(c->attr.conv_act.act, c->attr.conv_act.slope);
  case DUEL_OP_CONV2D_DX_GRAD: // the slopes of tanh and sigmoid are whole where their result is
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
  default:
    return duel_rule_of(c->op).whole;
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
  else if (at < 200 && (c->op == DUEL_OP_SPECTRAL || c->op == DUEL_OP_SPECTRAL_GRAD))
    snprintf(text + at, 256 - at, " axis %d%s", c->attr.spectral.axis, c->attr.spectral.advance ? " advance" : "");
  else if (at < 200 && c->shape.rank)
    snprintf(text + at, 256 - at, " -> %s", duel_shape_text(c->shape));
  else if (at < 200 && (c->op == DUEL_OP_REDUCE_SUM || c->op == DUEL_OP_REDUCE_MAX))
    snprintf(text + at, 256 - at, " axes %#x", c->attr.reduce.axes);
  return text;
}

void duel_case_build(duel_graph *g, const duel_case *c, const duel_val *in, duel_val *out) {
  if (c->op == DUEL_OP_INPUT || c->op == DUEL_OP_STATE) { // which are in[0]
    out[0] = in[0];
    return;
  }
  const duel_node *n = duel_node_add(g, c->op, c->n_in, in, &c->attr, &c->shape);
  for (int i = 0; i < duel_case_outputs(c); i++) out[i] = n ? n->out[i] : DUEL_NONE;
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
  default: // maps are filled as a whole
    break;
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
  if (c->op == DUEL_OP_SOFTMAX_CE || c->op == DUEL_OP_SOFTMAX_CE_GRAD || c->op == DUEL_OP_HITS)
    return c->in[0].shape.dim[1]; // classes
  return c->op == DUEL_OP_ONE_HOT ? c->shape.dim[1] : c->in[0].shape.dim[0];
}

duel_ref duel_case_fill(const duel_case *c, int input, bool integer, uint32_t seed) {
  const duel_case_in *in = &c->in[input];
  duel_ref t = duel_ref_new((duel_dtype)(in->dtype == DUEL_REAL ? DUEL_F32 : in->dtype), in->shape);
  const uint32_t s = fill_seed(c, input, seed);
  if (in->fill >= DUEL_FILL_MAP) {
    duel_fill_maps(&t, in->fill, c->in[0].shape, integer, s);
    for (int64_t i = 0; i < t.count; i++) t.data[i] = (double)(float)t.data[i];
    return t;
  }
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
