// How layers ask for tensors: declared on the first walk, looked up by position on all later ones. And what stands
// between a parameter in its slab and the value that a layer reads: the scale of an equalized learning rate, and
// spectral normalization.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "gan/inits.h"
#include "gan/layers/layer_kinds.h"

// The next tensor of the net. NULL: the error is recorded.
static duel_param *next_tensor(duel_pass *p, const char *name, duel_shape shape) {
  duel_model_net *own = &p->model->net[p->net];
  if (p->declare) {
    duel_param *grown = duel_grown(own->param, own->n + 1, &own->cap, sizeof *grown);
    if (!grown) {
      duel_graph_error(p->g, "out of memory for the model's tensors");
      return NULL;
    }
    own->param = grown;
    duel_param *t = &own->param[own->n];
    *t = (duel_param){.shape = shape, .var = -1, .ema_var = -1, .frozen = p->frozen, .scale = 1, .start_scale = 1};
    int length = snprintf(t->name, sizeof t->name, "%s.%s", p->prefix, name);
    if (length < 0 || (size_t)length >= sizeof t->name) {
      duel_graph_error(p->g, "the tensor name %s.%s is too long", p->prefix, name);
      return NULL;
    }
    own->n++;
  }
  return &own->param[p->cursor++];
}

duel_val duel_layer_parameter(duel_pass *p, const char *name, duel_shape shape, duel_start start, int64_t fan_in,
                              int64_t fan_out) {
  int64_t count;
  if (!duel_shape_checked_count(shape, &count)) // before anybody multiplies the sizes
    return duel_graph_error(p->g, "%s has too many numbers (%s)", name, duel_shape_text(shape));
  duel_param *t = next_tensor(p, name, shape);
  if (!t) return DUEL_NONE;
  if (!p->declare) return p->view[p->cursor - 1];
  if (start.init && duel_init_of(start.init)->matrix && shape.rank < 2)
    return duel_graph_error(p->g, "%s is for weights of two and more dimensions, and %s is %s; give it another init",
                            start.init->kind->name, name, duel_shape_text(shape));
  t->start = start;
  t->fan_in = fan_in;
  t->fan_out = fan_out;
  return duel_constant(p->g, shape, 0);
}

int duel_layer_buffer(duel_pass *p, const char *name, duel_shape shape, double value) {
  duel_param *t = next_tensor(p, name, shape);
  if (!t) return -1;
  if (p->declare) {
    t->buffer = true;
    t->start = (duel_start){NULL, value};
    return -1;
  }
  return p->ema ? t->ema_var : t->var;
}

duel_val duel_layer_draw(duel_pass *p, duel_op op, duel_shape shape) {
  const uint32_t k = (uint32_t)(4096 * p->number + p->draws++);
  return duel_shards_draw(p->shards, op, p->key, DUEL_PURPOSE_NOISE, k, shape);
}

// ---- weights of products

const duel_key_value *duel_layer_given(const duel_layer *l, const char *name) {
  for (int i = 0; l->kind->keys[i].name; i++)
    if (!strcmp(l->kind->keys[i].name, name)) return l->value[i].n ? &l->value[i] : NULL;
  return NULL;
}

// A number of the layer or, without it, the net's.
static double number_of(const duel_layer *l, const char *name, double net) {
  const duel_key_value *own = duel_layer_given(l, name);
  return own ? own->number[0] : net;
}

// u [rows] and v [the rest] behind their weight.
static void declare_vectors(duel_pass *p, const duel_weight *w) {
  const int64_t rows = w->shape.dim[w->axis];
  const duel_shape shape[2] = {DUEL_SHAPE(rows), DUEL_SHAPE(duel_shape_count(w->shape) / rows)};
  for (int i = 0; i < 2; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s_%c", w->name, "uv"[i]);
    duel_param *t = next_tensor(p, name, shape[i]);
    if (t) t->buffer = t->vector = true;
  }
}

// What the recipe says of a weight that it is not to be as it is.
static void hold(duel_pass *p, const duel_layer *l, const duel_weight *w, int64_t inputs) {
  const duel_net *net = &p->model->recipe->net[p->net];
  duel_model_net *own = &p->model->net[p->net];
  duel_param *t = &own->param[p->cursor - 1];
  const double gain = number_of(l, "equalized", net->equalized), lr_mul = number_of(l, "lr_mul", net->lr_mul);
  t->axis = w->axis;
  t->spectral = number_of(l, "spectral", net->constraint != NULL) != 0;
  t->scale = gain > 0 ? lr_mul * gain / sqrt((double)inputs) : lr_mul;
  t->start_scale = 1 / lr_mul;
  if (gain > 0 && !l->value[w->init].chosen) t->start.init = &duel_init_standard_normal;
  own->scaled |= t->scale != 1;
  if (t->spectral && (gain > 0 || lr_mul != 1))
    duel_graph_error(p->g, "spectral norm takes out again what %s scales; leave one of them out",
                     gain > 0 ? "equalized" : "lr_mul");
  if (t->spectral) declare_vectors(p, w);
}

duel_val duel_layer_weight(duel_pass *p, const duel_layer *l, duel_weight w, int64_t fan_in, int64_t fan_out) {
  const duel_val value = duel_layer_parameter(p, w.name, w.shape, duel_layer_weights(p, l, w.init), fan_in, fan_out);
  if (value == DUEL_NONE) return DUEL_NONE;
  if (p->declare)
    hold(p, l, &w, w.inputs ? w.inputs : fan_in);
  else if (p->model->net[p->net].param[p->cursor - 1].spectral)
    p->cursor += 2;
  return value;
}

duel_val duel_layer_bias(duel_pass *p, const duel_layer *l, int init, duel_shape shape, int64_t fan_in,
                         int64_t fan_out) {
  const duel_start zeros = {NULL, 0}, weights = duel_layer_weights(p, l, init);
  const duel_net *net = &p->model->recipe->net[p->net];
  const bool drawn = duel_init_of(weights.init)->biases && number_of(l, "equalized", net->equalized) == 0;
  const duel_val value = duel_layer_parameter(p, "bias", shape, drawn ? weights : zeros, fan_in, fan_out);
  duel_model_net *own = &p->model->net[p->net];
  if (!p->declare || value == DUEL_NONE) return value;
  duel_param *t = &own->param[p->cursor - 1];
  t->scale = number_of(l, "lr_mul", net->lr_mul);
  t->start_scale = 1 / t->scale;
  own->scaled |= t->scale != 1;
  return value;
}

// ---- what a pass reads

duel_val *duel_parameters(duel_graph *g, const duel_model_net *own, bool ema) {
  duel_val *view = duel_graph_alloc(g, (size_t)own->n * sizeof *view);
  if (!view) return NULL;
  const int learnt = ema ? own->ema : own->slab, frozen = ema ? own->frozen_ema : own->frozen;
  const duel_val slab[2] = {learnt < 0 ? DUEL_NONE : duel_state(g, learnt),
                            frozen < 0 ? DUEL_NONE : duel_state(g, frozen)};
  for (int i = 0; i < own->n; i++) {
    const duel_param *p = &own->param[i];
    view[i] = p->buffer ? DUEL_NONE : duel_view(g, slab[p->frozen], p->offset, p->shape);
  }
  return view;
}

// A weight by its largest singular value. The vectors that belong to it become the newest ones, at vector[0] and
// vector[1].
static duel_val normalized(duel_graph *g, const duel_param *p, duel_val w, duel_val slab, bool advance,
                           duel_val vector[2]) {
  duel_val out[4];
  for (int k = 0; k < 2; k++) vector[k] = duel_view(g, slab, p[1 + k].offset, p[1 + k].shape);
  duel_spectral(g, w, vector[0], vector[1], p->axis, advance, out);
  memcpy(vector, out + 1, 2 * sizeof *vector);
  return out[0];
}

bool duel_has_pass_weights(const duel_model_net *own) {
  return own->vectors >= 0 || own->scaled;
}

duel_val *duel_pass_weights(duel_graph *g, const duel_model_net *own, duel_val *view, bool train, bool ema) {
  if (!view || !duel_has_pass_weights(own)) return view;
  const size_t n = (size_t)own->n;
  duel_val *read = duel_graph_alloc(g, n * sizeof *read), *vector = duel_graph_alloc(g, n * sizeof *vector);
  int64_t *offset = duel_graph_alloc(g, n * sizeof *offset);
  if (!read || !vector || !offset) return NULL;
  duel_val slab = DUEL_NONE;
  if (own->vectors >= 0) slab = duel_state(g, ema ? own->vectors_ema : own->vectors);
  int vectors = 0;
  for (int i = 0; i < own->n; i++) {
    const duel_param *p = &own->param[i];
    duel_scope(g, "%s", p->name);
    read[i] = p->scale != 1 ? duel_affine(g, view[i], p->scale, 0) : view[i];
    if (!p->spectral) continue;
    for (int k = 0; k < 2; k++) offset[vectors + k] = p[1 + k].offset;
    read[i] = normalized(g, p, view[i], slab, train, &vector[vectors]);
    vectors += 2;
  }
  if (train && vectors) duel_assign(g, slab, duel_pack(g, vectors, vector, offset, own->vectors_size));
  duel_scope(g, "%s", "");
  return read;
}
