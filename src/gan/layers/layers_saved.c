// Layers that read what an earlier layer of the net kept under a name (`save: NAME`).
#include <stdio.h>
#include <string.h>

#include "gan/layers/layer_kinds.h"

static const duel_key keys_saved[] = {{"from", DUEL_KEY_TEXT, NULL, 0, 0, NULL, "the name under which it was saved"},
                                      {.name = NULL}};

// DUEL_NONE: the error is recorded.
static duel_val saved(duel_pass *p, const duel_layer *l) {
  const char *name = l->value[0].text;
  char there[200] = "nothing";
  size_t used = 0;
  for (int i = 0; i < p->n_saved; i++) {
    if (!strcmp(p->saved[i].name, name)) return p->saved[i].value;
    if (used < sizeof there)
      used += (size_t)snprintf(there + used, sizeof there - used, "%s%s", i ? ", " : "", p->saved[i].name);
  }
  return duel_graph_error(p->g, "no layer before it has `save: %s`; saved is %s", name, there);
}

static duel_val forward_add(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_val other = saved(p, l);
  if (other == DUEL_NONE) return DUEL_NONE;
  const duel_shape a = duel_val_shape(p->g, x), b = duel_val_shape(p->g, other);
  if (!duel_shape_equal(a, b))
    return duel_graph_error(p->g, "add needs equal shapes, but gets %s and, from %s, %s", duel_shape_text(a),
                            l->value[0].text, duel_shape_text(b));
  return duel_add(p->g, x, other);
}
const duel_layer_kind duel_layer_add = {{"add", "from", keys_saved, "adds what an earlier layer saved"}, forward_add};

bool duel_layer_joins(duel_shape a, duel_shape b) {
  if (a.rank >= 2 && b.rank == a.rank) b.dim[1] = a.dim[1];
  return a.rank >= 2 && duel_shape_equal(a, b);
}

static duel_val forward_concat(duel_pass *p, const duel_layer *l, duel_val x) {
  const duel_val other = saved(p, l);
  if (other == DUEL_NONE) return DUEL_NONE;
  const duel_shape a = duel_val_shape(p->g, x), b = duel_val_shape(p->g, other);
  if (!duel_layer_joins(a, b))
    return duel_graph_error(p->g, "concat needs shapes that differ in channels alone, but gets %s and, from %s, %s",
                            duel_shape_text(a), l->value[0].text, duel_shape_text(b));
  return duel_concat(p->g, 2, (duel_val[]){x, other}, 1);
}
const duel_layer_kind duel_layer_concat = {
    {"concat", "from", keys_saved, "the channels of what an earlier layer saved, behind its own"}, forward_concat};
