// Layers that know classes: label, projection, class_batchnorm read the items' labels, auxiliary tells them. Each knows
// how many classes there are by its key, whose standard is the data's number, so that a checkpoint draws without the
// data.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gan/games/game.h"
#include "gan/inits.h"
#include "gan/layers/layer_kinds.h"

#define CLASSES_KEY                                                                                                    \
  { "classes", DUEL_KEY_INT, "$classes", 1, 1 << 20, NULL, "how many classes there are" }

// Whether there are labels to read, in a pass that computes. False: the error is recorded.
static bool has_labels(duel_pass *p) {
  if (p->declare || p->labels != DUEL_NONE) return true;
  return duel_graph_refuse(p->g, "the game %s gives its nets no labels", p->model->game->kind.kind.name);
}

// Labels of other classes than the data's would be out of range. False: the error is recorded.
static bool classes_fit(duel_pass *p, int64_t classes) {
  const int64_t of_data = p->model->classes, before = p->model->labels;
  if (of_data > 0 && of_data != classes)
    return duel_graph_refuse(p->g, "the data have %" PRId64 " classes, not %" PRId64 "; set classes: $classes", of_data,
                             classes);
  if (before > 0 && before != classes)
    return duel_graph_refuse(p->g, "other layers know %" PRId64 " classes, this one %" PRId64, before, classes);
  p->model->labels = classes;
  return true;
}

// The rows of a table [classes, ...] that the labels name. No label is known while the model is declared.
static duel_val rows_of(duel_pass *p, duel_val table, int64_t rows) {
  duel_shape shape = duel_val_shape(p->g, table);
  if (table == DUEL_NONE) return DUEL_NONE;
  if (!p->declare) return duel_embedding(p->g, table, p->labels);
  shape.dim[0] = rows;
  return duel_constant(p->g, shape, 0);
}

// [N, C] as [N, C, 1, ...], which broadcasts over x.
static duel_val beside(duel_graph *g, duel_val y, duel_val x) {
  duel_shape shape = duel_val_shape(g, y);
  const int rank = duel_val_shape(g, x).rank;
  while (shape.rank < rank) shape.dim[shape.rank++] = 1;
  return duel_reshape(g, y, shape);
}

// ---- label: Mirza and Osindero 2014, arXiv:1411.1784
enum { LABEL_EMBED, LABEL_CLASSES, LABEL_INIT };
static const duel_key keys_label[] = {{"embed", DUEL_KEY_INT, "0", 0, 1 << 24, NULL,
                                       "numbers of a learnt row for each class; 0: a 1 at the class, else 0"},
                                      CLASSES_KEY,
                                      {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the rows begin, if not as N(0, 1)"},
                                      DUEL_FROZEN_KEY,
                                      {.name = NULL}};

static duel_val forward_label(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_graph *g = p->g;
  duel_shape in = duel_val_shape(g, x);
  const int64_t classes = duel_layer_int(l, LABEL_CLASSES), embed = duel_layer_int(l, LABEL_EMBED);
  if (in.rank < 2) return duel_graph_error(g, "label needs items of numbers, but gets %s", duel_shape_text(in));
  if (!classes_fit(p, classes) || !has_labels(p)) return DUEL_NONE;
  duel_val y;
  if (embed > 0) {
    const duel_chosen *own = l->value[LABEL_INIT].chosen;
    const duel_start start = {own ? own : &duel_init_standard_normal, 0};
    y = rows_of(p, duel_layer_parameter(p, "weight", DUEL_SHAPE(classes, embed), start, classes, embed), in.dim[0]);
  } else {
    y = p->declare ? duel_constant(g, DUEL_SHAPE(in.dim[0], classes), 0) : duel_one_hot(g, p->labels, classes);
  }
  if (y == DUEL_NONE) return DUEL_NONE;
  in.dim[1] = embed > 0 ? embed : classes;
  return duel_concat(g, 2, (duel_val[]){x, duel_broadcast(g, beside(g, y, x), in)}, 1);
}
const duel_layer_kind duel_layer_label = {
    {"label", "embed", keys_label, "puts the item's class behind its numbers or channels"}, forward_label};

// ---- projection: Miyato and Koyama 2018, arXiv:1802.05637, equation 4
enum { PROJECTION_CLASSES, PROJECTION_BIAS, PROJECTION_INIT };
static const duel_key keys_projection[] = {
    CLASSES_KEY,
    {"bias", DUEL_KEY_BOOL, "true", 0, 0, NULL, "add a learnt bias"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how the weights begin, if not as the recipe's init"},
    DUEL_WEIGHT_KEYS,
    {.name = NULL}};

// x·w + b + x·E[class], with w [1, F] and E [classes, F].
static duel_val forward_projection(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_graph *g = p->g;
  const duel_shape in = duel_val_shape(g, x);
  const int64_t classes = duel_layer_int(l, PROJECTION_CLASSES);
  if (in.rank != 2)
    return duel_graph_error(
        g, "projection reads one row of numbers an item, but gets %s; put global_pool or flatten before it",
        duel_shape_text(in));
  if (!classes_fit(p, classes) || !has_labels(p)) return DUEL_NONE;
  const int64_t inputs = in.dim[1];
  const duel_weight w = {.name = "weight", .shape = DUEL_SHAPE(1, inputs), .init = PROJECTION_INIT};
  const duel_weight e = {.name = "embedding.weight", .shape = DUEL_SHAPE(classes, inputs), .init = PROJECTION_INIT};
  duel_val y = duel_matmul(g, x, duel_layer_weight(p, l, w, inputs, 1), false, true);
  if (duel_layer_int(l, PROJECTION_BIAS))
    y = duel_add(g, y, duel_layer_bias(p, l, PROJECTION_INIT, DUEL_SHAPE(1), inputs, 1));
  const duel_val row = rows_of(p, duel_layer_weight(p, l, e, inputs, classes), in.dim[0]);
  return duel_add(g, y, duel_reduce_sum(g, duel_mul(g, x, row), 1u << 1));
}
const duel_layer_kind duel_layer_projection = {
    {"projection", "classes", keys_projection,
     "one number an item: a dense one, and how far it points along its class"},
    forward_projection};

// ---- class_batchnorm: Dumoulin et al. 2017, arXiv:1610.07629; for GANs Miyato and Koyama 2018
static const duel_key keys_class_batchnorm[] = {DUEL_BATCHNORM_KEYS, CLASSES_KEY, DUEL_FROZEN_KEY, {.name = NULL}};
enum { NORM_CLASSES = DUEL_BATCHNORM_OWN };

// Statistics are those of the whole batch; scale and shift [classes, C] are the class's.
static duel_val forward_class_batchnorm(duel_pass *p, const duel_layer *l, duel_val x) {
  duel_graph *g = p->g;
  const duel_shape in = duel_val_shape(g, x);
  const int64_t classes = duel_layer_int(l, NORM_CLASSES);
  if (in.rank < 2) return duel_graph_error(g, "class_batchnorm needs channels, but gets %s", duel_shape_text(in));
  if (!classes_fit(p, classes) || !has_labels(p)) return DUEL_NONE;
  const duel_shape table = DUEL_SHAPE(classes, in.dim[1]), channels = DUEL_SHAPE(in.dim[1]);
  const duel_val scale = duel_layer_parameter(p, "weight", table, duel_layer_init(l, DUEL_BATCHNORM_INIT, 1), 0, 0);
  const duel_val shift = duel_layer_parameter(p, "bias", table, (duel_start){NULL, 0}, 0, 0);
  const duel_val y = duel_layer_normalize_batch(p, l, x, duel_constant(g, channels, 1), duel_constant(g, channels, 0));
  if (y == DUEL_NONE || scale == DUEL_NONE || shift == DUEL_NONE) return DUEL_NONE;
  const duel_val a = beside(g, rows_of(p, scale, in.dim[0]), x), b = beside(g, rows_of(p, shift, in.dim[0]), x);
  return duel_add(g, duel_mul(g, y, a), b);
}
const duel_layer_kind duel_layer_class_batchnorm = {
    {"class_batchnorm", "eps", keys_class_batchnorm, "batchnorm with a scale and a shift for each class"},
    forward_class_batchnorm};

// ---- auxiliary: Odena, Olah and Shlens 2017, arXiv:1610.09585
enum { AUXILIARY, AUXILIARY_WEIGHT, AUXILIARY_GENERATOR, AUXILIARY_FAKES };
static const duel_key keys_auxiliary[] = {
    {"auxiliary", DUEL_KEY_LAYERS, NULL, 0, 0, NULL, "a list of layers that yields one logit a class"},
    {"weight", DUEL_KEY_NUMBER, "1", 0, 1e6, NULL, "of the cross-entropy in D's loss"},
    {"generator", DUEL_KEY_NUMBER, "1", 0, 1e6, NULL, "of that of G's items in G's loss"},
    {"fakes", DUEL_KEY_BOOL, "true", 0, 0, NULL, "D's loss has that of fakes too, by the class they were asked for"},
    DUEL_FROZEN_KEY,
    {.name = NULL}};

// The list's output goes to the loss; x goes on as it is.
static duel_val forward_auxiliary(duel_pass *p, const duel_layer *l, duel_val x) {
  const size_t length = strlen(p->prefix);
  const char *net = p->model->recipe->net[p->net].name;
  if (p->net == p->model->game->samples)
    return duel_graph_error(p->g, "auxiliary judges items: it belongs in a net that reads them, not in %s", net);
  if (p->classes != DUEL_NONE) return duel_graph_error(p->g, "%s has a second auxiliary; leave one out", net);
  snprintf(p->prefix + length, sizeof p->prefix - length, ".auxiliary");
  const duel_val y = duel_walk(p, l->value[AUXILIARY].layers, x);
  p->prefix[length] = 0;
  if (y == DUEL_NONE) return DUEL_NONE;
  duel_scope(p->g, "%s auxiliary", p->prefix);
  const duel_shape out = duel_val_shape(p->g, y);
  if (out.rank != 2)
    return duel_graph_refuse(p->g,
                             "auxiliary yields %s, but must yield one number a class; let it end with dense: $classes",
                             duel_shape_text(out));
  if (!classes_fit(p, out.dim[1])) return DUEL_NONE;
  p->model->net[p->net].auxiliary = (duel_auxiliary){.weight = duel_layer_number(l, AUXILIARY_WEIGHT),
                                                     .generator = duel_layer_number(l, AUXILIARY_GENERATOR),
                                                     .fakes = duel_layer_int(l, AUXILIARY_FAKES)};
  p->classes = y;
  return x;
}
const duel_layer_kind duel_layer_auxiliary = {
    {"auxiliary", "auxiliary", keys_auxiliary,
     "a classifier beside D's output: its cross-entropy is part of both losses"},
    forward_auxiliary};
