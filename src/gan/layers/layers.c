// How a net walks its layers, the table of them, and the oldest ones.
#include "gan/layers/layer_kinds.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gan/inits.h"

static const duel_start zeros = {NULL, 0};

bool duel_layer_has_images(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  if (in.rank == 4) return true;
  return duel_graph_refuse(p->g, "%s reads images, but gets %s; put reshape before it", l->kind->name,
                           duel_shape_text(in));
}

// ---- forward functions: x [N, ...] -> [N, ...]

enum { DENSE_OUT, DENSE_BIAS, DENSE_INIT };

static const duel_key keys_dense[] = {
    {"out", DUEL_KEY_INT, NULL, 1, 1 << 24, NULL, "numbers an item"},
    {"bias", DUEL_KEY_BOOL, "true", 0, 0, NULL, "add a learnt bias"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the weights begin, if not as the recipe's init"},
    DUEL_WEIGHT_KEYS,
    {.name = NULL}};

static duel_val forward_dense(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_shape in = duel_val_shape(p->g, x);
  if (in.rank != 2)
    return duel_graph_error(p->g, "dense reads one row of numbers an item, but gets %s; put flatten before it",
                            duel_shape_text(in));
  int64_t inputs = in.dim[1], outputs = duel_layer_int(l, DENSE_OUT);
  const duel_weight w = {.name = "weight", .shape = DUEL_SHAPE(outputs, inputs), .init = DENSE_INIT};
  duel_val weight = duel_layer_weight(p, l, w, inputs, outputs);
  duel_val y = duel_matmul(p->g, x, weight, false, true);
  if (!duel_layer_int(l, DENSE_BIAS)) return y;
  return duel_add(p->g, y, duel_layer_bias(p, l, DENSE_INIT, DUEL_SHAPE(outputs), inputs, outputs));
}
const duel_layer_kind duel_layer_dense = {
    {"dense", "out", keys_dense, "every output from every input: weight [out, in] and bias"}, forward_dense};

static const duel_key keys_leaky_relu[] = {{"slope", DUEL_KEY_NUMBER, "0.01", 0, 1, NULL, "slope of the negative side"},
                                           {.name = NULL}};

static duel_val forward_leaky_relu(duel_pass *p, const duel_layer *l, duel_val x) {
  return duel_leaky_relu(p->g, x, duel_layer_number(l, 0));
}
const duel_layer_kind duel_layer_leaky_relu = {
    {"leaky_relu", "slope", keys_leaky_relu, "x where x > 0, slope·x elsewhere"}, forward_leaky_relu};

static duel_val forward_relu(duel_pass *p, const duel_layer *l, duel_val x) {
  (void)l;
  return duel_leaky_relu(p->g, x, 0);
}
const duel_layer_kind duel_layer_relu = {{"relu", NULL, duel_no_keys, "x where x > 0, 0 elsewhere"}, forward_relu};

static duel_val forward_tanh(duel_pass *p, const duel_layer *l, duel_val x) {
  (void)l;
  return duel_tanh(p->g, x);
}
const duel_layer_kind duel_layer_tanh = {{"tanh", NULL, duel_no_keys, "hyperbolic tangent"}, forward_tanh};

static duel_val forward_sigmoid(duel_pass *p, const duel_layer *l, duel_val x) {
  (void)l;
  return duel_sigmoid(p->g, x);
}
const duel_layer_kind duel_layer_sigmoid = {{"sigmoid", NULL, duel_no_keys, "1/(1 + exp(−x))"}, forward_sigmoid};

static const duel_key keys_batchnorm[] = {DUEL_BATCHNORM_KEYS, DUEL_FROZEN_KEY, {.name = NULL}};

static void sum_up(duel_pass *p, int var, duel_val x, double mul) {
  duel_graph *g = p->g;
  const duel_val sum = duel_mul(g, duel_state(g, var), p->keep);
  duel_assign(g, duel_state(g, var), duel_add(g, sum, duel_affine(g, x, mul / DUEL_STANDING, 0)));
}

// Moves running statistics towards the batch's, of which out[1] and out[2] are mean and biased variance: the mean over
// its shards.
static void advance(duel_pass *p, int mean_var, int var_var, const duel_val out[3], double momentum, double unbias) {
  duel_graph *g = p->g;
  const duel_val mean = duel_shards_mean(p->shards, out[1]), var = duel_shards_mean(p->shards, out[2]);
  duel_val moved[2];
  if (mean == DUEL_NONE) return; // other shards are to come
  if (p->standing) {
    sum_up(p, mean_var, mean, 1);
    sum_up(p, var_var, var, unbias);
    return;
  }
  duel_running(g, duel_state(g, mean_var), duel_state(g, var_var), mean, var, momentum, unbias, moved);
}

duel_val duel_layer_normalize_batch(duel_pass *p, const duel_layer *l, duel_val x, duel_val scale, duel_val shift) {
  duel_graph *g = p->g;
  const duel_shape in = duel_val_shape(g, x);
  const int64_t channels = in.dim[1], samples = duel_shape_count(in) / (channels > 0 ? channels : 1);
  const double eps = duel_layer_number(l, DUEL_BATCHNORM_EPS), momentum = duel_layer_number(l, DUEL_BATCHNORM_MOMENTUM);
  const int mean_var = duel_layer_buffer(p, "running_mean", DUEL_SHAPE(channels), 0);
  const int var_var = duel_layer_buffer(p, "running_var", DUEL_SHAPE(channels), 1);

  if (p->declare || p->train || p->standing) {
    const int64_t shards = p->model->recipe->train.shards;
    if (in.dim[0] == 1 && shards > 1)
      return duel_graph_error(g,
                              "batchnorm in training looks at a shard's rows, and train.shards=%" PRId64
                              " leaves it one; use train.shards=%" PRId64 " or fewer",
                              shards, shards / 2);
    if (samples < 2)
      return duel_graph_error(g,
                              "batchnorm needs at least 2 values a channel in training, but a batch of %s has 1; "
                              "use train.batch=2 or more",
                              duel_shape_text(in));
    duel_val out[3];
    duel_batchnorm(g, x, scale, shift, eps, DUEL_ACT_NONE, 0, out);
    if (!p->declare && !p->again) advance(p, mean_var, var_var, out, momentum, (double)samples / (double)(samples - 1));
    return out[0];
  }
  duel_shape wide = {.rank = in.rank - 1}; // [C, 1, ...]: broadcasts over [N, C, ...]
  wide.dim[0] = channels;
  for (int i = 1; i < wide.rank; i++) wide.dim[i] = 1;
  duel_val mean = duel_state(g, mean_var), var = duel_state(g, var_var);
  duel_val slope = duel_div(g, scale, duel_sqrt(g, duel_affine(g, var, 1, eps)));
  duel_val centered = duel_sub(g, x, duel_reshape(g, mean, wide));
  return duel_add(g, duel_mul(g, centered, duel_reshape(g, slope, wide)), duel_reshape(g, shift, wide));
}

// Ioffe & Szegedy 2015, arXiv:1502.03167. As in PyTorch: the biased variance normalizes, the unbiased one enters the
// running average, running = (1 − momentum)·running + momentum·batch.
static duel_val forward_batchnorm(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_shape in = duel_val_shape(p->g, x);
  if (in.rank < 2) return duel_graph_error(p->g, "batchnorm needs channels, but gets %s", duel_shape_text(in));
  const duel_shape shape = DUEL_SHAPE(in.dim[1]);
  const duel_val scale = duel_layer_parameter(p, "weight", shape, duel_layer_init(l, DUEL_BATCHNORM_INIT, 1), 0, 0);
  const duel_val shift = duel_layer_parameter(p, "bias", shape, zeros, 0, 0);
  return duel_layer_normalize_batch(p, l, x, scale, shift);
}
const duel_layer_kind duel_layer_batchnorm = {
    {"batchnorm", "eps", keys_batchnorm, "each channel to mean 0 and variance 1 over the batch, then scale and shift"},
    forward_batchnorm};

static const duel_key keys_dropout[] = {{"p", DUEL_KEY_NUMBER, "0.5", 0, 0.999, NULL, "share that is dropped"},
                                        {.name = NULL}};

// Srivastava et al. 2014: each value is dropped with probability p and the others grow by 1/(1 − p).
static duel_val forward_dropout(duel_pass *p, const duel_layer *l, duel_val x) {
  double rate = duel_layer_number(l, 0);
  if (!p->train || rate == 0) return x;
  duel_graph *g = p->g;
  duel_val u = duel_layer_draw(p, DUEL_OP_RANDOM_UNIFORM, duel_val_shape(g, x));
  duel_val dropped = duel_less_equal(g, u, duel_constant(g, DUEL_SCALAR, rate));
  duel_val zero = duel_constant(g, DUEL_SCALAR, 0);
  return duel_select(g, dropped, zero, duel_affine(g, x, 1 / (1 - rate), 0));
}
const duel_layer_kind duel_layer_dropout = {{"dropout", "p", keys_dropout, "drops values at random in training"},
                                            forward_dropout};

static duel_val forward_flatten(duel_pass *p, const duel_layer *l, duel_val x) {
  (void)l;
  duel_shape in = duel_val_shape(p->g, x);
  if (in.rank < 1 || in.dim[0] < 1) return DUEL_NONE;
  return duel_reshape(p->g, x, DUEL_SHAPE(in.dim[0], duel_shape_count(in) / in.dim[0]));
}
const duel_layer_kind duel_layer_flatten = {{"flatten", NULL, duel_no_keys, "one row of numbers an item"},
                                            forward_flatten};

static const duel_key keys_reshape[] = {
    {"shape", DUEL_KEY_INTS, NULL, 1, 1 << 24, NULL, "sizes of one item, without the batch"}, {.name = NULL}};

static duel_val forward_reshape(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_shape in = duel_val_shape(p->g, x), out = {.rank = l->value[0].n + 1};
  if (out.rank > DUEL_MAX_RANK) return duel_graph_error(p->g, "reshape to more than %d sizes", DUEL_MAX_RANK - 1);
  out.dim[0] = in.dim[0];
  for (int i = 1; i < out.rank; i++) out.dim[i] = (int64_t)l->value[0].number[i - 1];
  return duel_reshape(p->g, x, out);
}
const duel_layer_kind duel_layer_reshape = {{"reshape", "shape", keys_reshape, "the same numbers in another shape"},
                                            forward_reshape};

// ---- the table

#define ROW(name) &duel_layer_##name,
static const duel_layer_kind *const rows[] = {DUEL_LAYERS(ROW) NULL};
const duel_table duel_layer_kinds = {rows, 0, "layer"};

// ---- walking

void duel_layer_row_add(duel_pass *p, const char *kind, duel_val y, int first) {
  duel_model_net *own = &p->model->net[p->net];
  duel_layer_row *grown = duel_grown(own->row, own->n_rows + 1, &own->cap_rows, sizeof *grown);
  if (!grown) {
    duel_graph_error(p->g, "out of memory for the layer table");
    return;
  }
  own->row = grown;
  duel_layer_row *row = &own->row[own->n_rows++];
  *row = (duel_layer_row){.params = 0};
  snprintf(row->path, sizeof row->path, "%s", p->prefix);
  snprintf(row->kind, sizeof row->kind, "%s", kind);
  duel_shape shape = duel_val_shape(p->g, y);
  row->output.rank = shape.rank > 0 ? shape.rank - 1 : 0;
  for (int i = 0; i < row->output.rank; i++) row->output.dim[i] = shape.dim[i + 1];
  for (int i = first; i < own->n; i++) {
    if (own->param[i].buffer) continue;
    row->params += duel_shape_count(own->param[i].shape);
    row->frozen = own->param[i].frozen;
  }
}

static void save(duel_pass *p, const char *name, duel_val y) {
  int i = 0;
  while (i < p->n_saved && strcmp(p->saved[i].name, name)) i++; // a later one of this name takes its place
  if (i == DUEL_MAX_SAVED) {
    duel_graph_error(p->g, "a net saves more than %d values", DUEL_MAX_SAVED);
    return;
  }
  p->saved[i] = (duel_saved){name, y};
  if (i == p->n_saved) p->n_saved++;
}

duel_val duel_walk(duel_pass *p, const duel_layers *layers, duel_val x) {
  size_t length = strlen(p->prefix);
  for (int i = 0; i < layers->n && x != DUEL_NONE; i++) {
    const duel_layer *l = &layers->layer[i];
    int written = snprintf(p->prefix + length, sizeof p->prefix - length, ".%d", i);
    if (written < 0 || (size_t)written + 32 >= sizeof p->prefix - length) {
      duel_scope(p->g, "%s", p->prefix);
      return duel_graph_error(p->g, "its name is too long; nest fewer blocks");
    }
    int first = p->model->net[p->net].n;
    const bool outer = p->frozen;
    const duel_key_value *frozen = duel_layer_given(l, "frozen");
    if (frozen) p->frozen = frozen->number[0] != 0;
    duel_scope(p->g, "%s %s", p->prefix, l->kind->name);
    x = ((const duel_layer_kind *)(const void *)l->kind)->forward(p, l, x);
    if (p->declare && x != DUEL_NONE && !duel_kind_is_block(l->kind)) duel_layer_row_add(p, l->kind->name, x, first);
    if (l->save && x != DUEL_NONE) save(p, l->save, x);
    p->frozen = outer;
    p->prefix[length] = 0;
  }
  return x;
}

duel_val duel_forward(duel_pass *p, duel_val x) {
  const duel_layers *layers = &p->model->recipe->net[p->net].layers;
  if (!p->declare && !p->view) return DUEL_NONE; // no memory for the views: the graph knows
  p->cursor = p->draws = p->n_saved = 0;
  p->frozen = p->model->recipe->net[p->net].frozen;
  p->classes = DUEL_NONE;
  snprintf(p->prefix, sizeof p->prefix, "%s", p->model->recipe->net[p->net].name);
  x = duel_walk(p, layers, x);
  duel_scope(p->g, "%s", "");
  return x;
}
