// The lists G and D: names, values and residual blocks become duel_layers, checked against the table of layer kinds.
#include <math.h>
#include <string.h>

#include "recipe/parts.h"

enum { SHOWN = 48, PATH = 192, MAX_NESTING = 32 };

const duel_layer_kind *duel_layer_find(const char *name) {
  for (const duel_layer_kind *k = duel_layer_kinds; k->name; k++)
    if (!strcmp(k->name, name)) return k;
  return NULL;
}

// ---- initialisers: name, or {name: …, its numbers}

bool duel_read_init(duel_reading *rd, const duel_yaml *node, const char *path, duel_init *dst) {
  const char *known[16];
  int n = 0;
  char shown[SHOWN], hint[160], sub[PATH];
  const duel_yaml *name = node->type == DUEL_YAML_MAP ? duel_yaml_get(node, "name") : node;
  if (duel_yaml_is_null(name) || name->type != DUEL_YAML_SCALAR) {
    duel_problem_value(rd, node, "%s: a name is missing, as in {name: normal, std: 0.02}", path);
    return false;
  }
  const duel_init_kind *kind = duel_init_kinds;
  for (; kind->name && strcmp(kind->name, name->text); kind++) known[n++] = kind->name;
  if (!kind->name) {
    duel_problem_value(rd, name, "%s: %s: no such initialiser%s", path, duel_yaml_show(shown, sizeof shown, name),
                       duel_hint(hint, name->text, known, n));
    return false;
  }
  duel_init init = {.name = kind->name, .std = strcmp(kind->name, "normal") ? 0 : 0.02};
  bool ok = true;
  for (const duel_yaml *item = node->type == DUEL_YAML_MAP ? node->child : NULL; item; item = item->next) {
    if (!strcmp(item->key, "name") || duel_yaml_is_null(item)) continue;
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = item->key});
    snprintf(sub, sizeof sub, "%.120s.%s", path, shown);
    const char *key = NULL;
    int keys = 0;
    for (; keys < 2 && kind->key[keys]; keys++)
      if (!strcmp(item->key, kind->key[keys])) key = kind->key[keys];
    if (!key) {
      duel_problem_key(rd, item, "%s: no such key of %s%s", sub, kind->name,
                       duel_hint(hint, item->key, kind->key, keys));
      ok = false;
      continue;
    }
    duel_range range = {.min = strcmp(key, "std") ? -1e6 : 0, .max = 1e6};
    ok &= duel_read_number(rd, item, sub, range, duel_init_number(&init, key));
  }
  if (!strcmp(kind->name, "constant") &&
      (node->type != DUEL_YAML_MAP || duel_yaml_is_null(duel_yaml_get(node, "value")))) {
    duel_problem_value(rd, node, "%s.value: missing", path);
    ok = false;
  }
  *dst = init;
  return ok;
}

// ---- keys of a layer

static void read_ints(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range,
                      duel_key_value *value) {
  const duel_yaml *item = node->type == DUEL_YAML_LIST ? node->child : node;
  bool list = node->type == DUEL_YAML_LIST;
  int count = list ? duel_yaml_count(node) : 1;
  if (count < 1 || count > DUEL_MAX_LIST) {
    duel_problem_value(rd, node, "%s: a list of 1 to %d whole numbers is due, this has %d", path, DUEL_MAX_LIST, count);
    return;
  }
  for (; item; item = list ? item->next : NULL) {
    int64_t number = 1;
    duel_read_int(rd, item, path, range, &number);
    value->number[value->n++] = (double)number;
  }
}

// node NULL: the key is absent.
static void read_key(duel_reading *rd, const duel_key *key, const duel_yaml *node, const duel_yaml *layer,
                     const char *path, duel_key_value *value) {
  char sub[PATH];
  snprintf(sub, sizeof sub, "%.140s.%s", path, key->name);
  duel_yaml standard = {
      .type = DUEL_YAML_SCALAR, .text = key->standard, .file = layer->file, .line = layer->line, .col = layer->col};
  if (!node && !key->standard) duel_problem_value(rd, layer, "%s: missing (%s)", sub, key->help);
  if (!node && (!key->standard || !*key->standard)) return;
  if (!node) node = &standard;
  duel_range range = {.min = key->min, .max = key->max};
  int64_t integer = 1;
  bool truth = false;
  int choice = 0;
  switch (key->type) {
  case DUEL_KEY_INT:
    duel_read_int(rd, node, sub, range, &integer);
    value->number[0] = (double)integer;
    break;
  case DUEL_KEY_NUMBER:
    duel_read_number(rd, node, sub, range, &value->number[0]);
    break;
  case DUEL_KEY_BOOL:
    duel_read_bool(rd, node, sub, &truth);
    value->number[0] = truth;
    break;
  case DUEL_KEY_CHOICE:
    duel_read_choice(rd, node, sub, key->choices, &choice, NULL);
    value->number[0] = choice;
    break;
  case DUEL_KEY_INTS:
    read_ints(rd, node, sub, range, value);
    return;
  case DUEL_KEY_INIT:
    duel_read_init(rd, node, sub, &value->init);
    break;
  }
  value->n = 1;
}

// value: what stands behind the layer's name; NULL or null: nothing.
static void read_kind(duel_reading *rd, const duel_layer_kind *kind, const duel_yaml *value, const duel_yaml *item,
                      const char *path, duel_layer *layer) {
  char named[PATH], shown[SHOWN], hint[160];
  const char *known[DUEL_MAX_KEYS];
  int n = 0;
  layer->kind = kind;
  snprintf(named, sizeof named, "%.120s.%s", path, kind->name);
  for (const duel_key *key = kind->keys; key->name; key++) known[n++] = key->name;
  bool map = !duel_yaml_is_null(value) && value->type == DUEL_YAML_MAP;
  bool direct = !duel_yaml_is_null(value) && !map;
  if (direct && !kind->main_key) {
    duel_problem_value(rd, value, "%s: %s takes no value", path, kind->name);
    return;
  }
  for (const duel_yaml *entry = map ? value->child : NULL; entry; entry = entry->next) {
    bool found = false;
    for (int i = 0; i < n; i++) found |= !strcmp(entry->key, known[i]);
    if (found) continue;
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = entry->key});
    duel_problem_key(rd, entry, "%s.%s: no such key%s", named, shown,
                     n ? duel_hint(hint, entry->key, known, n) : "; this layer has none");
  }
  for (int i = 0; i < n; i++) {
    const duel_yaml *node = map                                           ? duel_yaml_get(value, known[i])
                            : direct && !strcmp(known[i], kind->main_key) ? value
                                                                          : NULL;
    read_key(rd, &kind->keys[i], duel_yaml_is_null(node) ? NULL : node, item, named, &layer->value[i]);
  }
}

// ---- items

typedef struct place { // of a list of layers
  const char *path;    // "G", "G.2.residual"
  int depth;           // residual blocks around it
  int64_t copies;      // of this list, all repeats around it multiplied
  int64_t *total;      // layers of the player so far, copies counted
} place;

static void read_list(duel_reading *rd, const duel_yaml *list, place at, duel_layers *dst);

static duel_layers *read_part(duel_reading *rd, const duel_yaml *list, place at, const char *path, const char *name) {
  char sub[PATH];
  snprintf(sub, sizeof sub, "%.150s.%s", path, name);
  duel_layers *layers = duel_pool_alloc(rd->pool, sizeof *layers);
  if (!layers) return rd->no_memory = true, NULL;
  at.path = sub;
  at.depth++;
  read_list(rd, list, at, layers);
  return layers;
}

static void read_residual(duel_reading *rd, const duel_yaml *item, place at, const char *path, duel_layer *layer) {
  static const char *const known[] = {"residual", "skip", "repeat"};
  char shown[SHOWN], hint[160], sub[PATH];
  for (const duel_yaml *entry = item->child; entry; entry = entry->next) {
    bool found = false;
    for (int i = 0; i < 3; i++) found |= !strcmp(entry->key, known[i]);
    if (found) continue;
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = entry->key});
    duel_problem_key(rd, entry, "%s.%s: no such key of a residual block%s", path, shown,
                     duel_hint(hint, entry->key, known, 3));
  }
  layer->repeat = 1;
  const duel_yaml *repeat = duel_yaml_get(item, "repeat"), *skip = duel_yaml_get(item, "skip");
  int64_t copies = 1;
  snprintf(sub, sizeof sub, "%.150s.repeat", path);
  if (!duel_yaml_is_null(repeat)) duel_read_int(rd, repeat, sub, (duel_range){.min = 1, .max = 1000}, &copies);
  layer->repeat = (int)copies;
  at.copies *= copies;
  layer->body = read_part(rd, duel_yaml_get(item, "residual"), at, path, "residual");
  if (!duel_yaml_is_null(skip)) layer->skip = read_part(rd, skip, at, path, "skip");
}

static void unknown_layer(duel_reading *rd, const duel_yaml *at, bool key, const char *path, const char *name) {
  const char *known[128];
  int n = 0;
  char shown[SHOWN], hint[160];
  known[n++] = "residual";
  for (const duel_layer_kind *k = duel_layer_kinds; k->name && n < 128; k++) known[n++] = k->name;
  duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = name});
  duel_hint(hint, name, known, n);
  if (key)
    duel_problem_key(rd, at, "%s: %s: no such layer%s", path, shown, hint);
  else
    duel_problem_value(rd, at, "%s: %s: no such layer%s", path, shown, hint);
}

static void read_item(duel_reading *rd, const duel_yaml *item, place at, const char *path, duel_layer *layer) {
  char shown[SHOWN];
  const duel_layer_kind *kind;
  if (item->type == DUEL_YAML_SCALAR && !duel_yaml_is_null(item)) {
    kind = duel_layer_find(item->text);
    if (kind)
      read_kind(rd, kind, NULL, item, path, layer);
    else if (!strcmp(item->text, "residual"))
      duel_problem_value(rd, item, "%s: residual needs a list of layers", path);
    else
      unknown_layer(rd, item, false, path, item->text);
    return;
  }
  if (duel_yaml_get(item, "residual")) {
    read_residual(rd, item, at, path, layer);
    return;
  }
  if (item->type != DUEL_YAML_MAP || !item->child) {
    duel_problem_value(rd, item, "%s: %s is not a layer; a layer is `name` or `name: value`", path,
                       duel_yaml_show(shown, sizeof shown, item));
    return;
  }
  kind = duel_layer_find(item->child->key);
  if (!kind) {
    unknown_layer(rd, item->child, true, path, item->child->key);
  } else if (item->child->next) {
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = item->child->next->key});
    duel_problem_key(rd, item->child->next, "%s: %s stands beside %s; one layer an item, its keys go inside: %s: {…}",
                     path, shown, kind->name, kind->name);
  } else {
    read_kind(rd, kind, item->child, item, path, layer);
  }
}

static void read_list(duel_reading *rd, const duel_yaml *list, place at, duel_layers *dst) {
  char path[PATH], shown[SHOWN];
  if (!list || list->type != DUEL_YAML_LIST || !list->child) {
    duel_problem_value(rd, list, "%s: %s is not a list of layers", at.path,
                       list ? duel_yaml_show(shown, sizeof shown, list) : "null");
    return;
  }
  int n = duel_yaml_count(list);
  *at.total += n * at.copies;
  if (*at.total > DUEL_MAX_LAYERS || at.depth > MAX_NESTING) {
    duel_problem_value(rd, list, "%s: too many layers; a player has at most %d, blocks nested %d deep", at.path,
                       DUEL_MAX_LAYERS, MAX_NESTING);
    return;
  }
  dst->layer = duel_pool_alloc(rd->pool, (size_t)n * sizeof *dst->layer);
  if (!dst->layer) {
    rd->no_memory = true;
    return;
  }
  for (const duel_yaml *item = list->child; item; item = item->next) {
    duel_layer *layer = &dst->layer[dst->n];
    snprintf(path, sizeof path, "%.160s.%d", at.path, dst->n);
    layer->path = duel_pool_text(rd->pool, path, strlen(path));
    if (!layer->path) {
      rd->no_memory = true;
      return;
    }
    layer->line = item->line;
    layer->col = item->col;
    dst->n++;
    read_item(rd, item, at, path, layer);
  }
}

void duel_read_layers(duel_reading *rd, const duel_yaml *list, const char *path, duel_layers *dst) {
  int64_t total = 0;
  read_list(rd, list, (place){.path = path, .copies = 1, .total = &total}, dst);
}
