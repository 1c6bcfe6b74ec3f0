// Lists of layers: names, values and blocks become duel_layers, checked against the table of layer kinds.
#include <string.h>

#include "recipe/parts.h"

enum { MAX_NESTING = 32 };

// The row of a layer's name. Of two rows of that name, the block is for a list.
static const duel_kind *row_of(const char *name, const duel_yaml *value) {
  const duel_kind *kind, *found = NULL;
  for (int i = 0; (kind = duel_table_at(&duel_layer_kinds, i)); i++) {
    if (strcmp(kind->name, name) != 0) continue;
    if (!found || duel_kind_is_block(kind) == (value->type == DUEL_YAML_LIST)) found = kind;
  }
  return found;
}

// Which entry of an item names its layer; NULL: none does. A plain name is its own; of a block any entry may come
// first.
static const duel_yaml *layer_of(const duel_yaml *item) {
  const duel_yaml *first = NULL;
  if (item->type == DUEL_YAML_SCALAR) return duel_yaml_is_null(item) ? NULL : item;
  for (const duel_yaml *entry = item->type == DUEL_YAML_MAP ? item->child : NULL; entry; entry = entry->next) {
    const duel_kind *kind = row_of(entry->key, entry);
    if (kind && duel_kind_is_block(kind)) return entry;
    if (!first && strcmp(entry->key, "save")) first = entry;
  }
  return first;
}

const char *duel_item_name(const duel_yaml *item) {
  const duel_yaml *layer = layer_of(item);
  return !layer ? NULL : layer == item ? item->text : layer->key;
}

const duel_kind *duel_item_kind(const duel_yaml *item) {
  const char *name = duel_item_name(item);
  return name ? row_of(name, layer_of(item)) : NULL;
}

static bool unknown_layer(const duel_place *p) {
  const char *name = duel_item_name(p->node), *shown = duel_shown_key(p->rd, name);
  const char *colon = strchr(name, ':');
  if (colon && colon[1]) return duel_problem_of(p, "a blank is missing after the ':' of %s", shown);
  const char *hint = duel_hint_row(p->rd, name, &duel_layer_kinds);
  if (p->node->type != DUEL_YAML_MAP) return duel_problem_of(p, "%s: no such layer%s", shown, hint);
  return duel_problem_key(p->rd, layer_of(p->node), "%s: %s: no such layer%s", p->path, shown, hint);
}

// What stands beside an ordinary layer's name, save apart, belongs inside.
static bool has_siblings(const duel_place *p, const duel_yaml *named) {
  for (const duel_yaml *entry = p->node->child; entry; entry = entry->next) {
    if (entry == named || !strcmp(entry->key, "save")) continue;
    duel_problem_key(p->rd, entry, "%s: %s stands beside %s; one layer an item, its keys go inside: %s: {…}", p->path,
                     duel_shown_key(p->rd, entry->key), named->key, named->key);
    return true;
  }
  return false;
}

// One key of an item that is read apart from its others; *v is as it was if it is absent or wrong.
static void read_one(const duel_place *p, const duel_key *key, duel_key_value *v) {
  const duel_place below = {p->rd, duel_yaml_get(p->node, key->name), duel_phrase(p->rd, "%s.%s", p->path, key->name)};
  duel_key_value value;
  if (!duel_yaml_is_null(below.node) && duel_read_single(&below, key, &value)) *v = value;
}

// A block's keys stand beside its name, and its `repeat` counts before its lists do.
static duel_key_value *read_block(const duel_place *p, const duel_kind *kind) {
  const int64_t outer = p->rd->lists.copies;
  const duel_key *repeat = duel_key_find(kind->keys, "repeat");
  duel_key_value copies = {.number = {1}};
  if (repeat) read_one(p, repeat, &copies);
  p->rd->lists.copies *= (int64_t)copies.number[0];
  duel_key_value *value = duel_read_keys(p, kind, p->node->type == DUEL_YAML_MAP ? p->node : NULL, "save");
  p->rd->lists.copies = outer;
  return value;
}

static bool read_item(const duel_place *p, duel_layer *layer) {
  static const duel_key save = {"save", DUEL_KEY_TEXT, NULL, 0, 0, NULL, "the output's name"};
  const duel_yaml *named = layer_of(p->node);
  duel_key_value saved = {0};
  if (!named)
    return duel_problem_of(p, "%s is not a layer; a layer is `name` or `name: value`", duel_shown(p->rd, p->node));
  const duel_kind *kind = layer->kind = duel_item_kind(p->node);
  if (!kind) return unknown_layer(p);
  const bool map = p->node->type == DUEL_YAML_MAP;
  read_one(p, &save, &saved);
  layer->save = saved.text;
  if (duel_kind_is_block(kind)) return (layer->value = read_block(p, kind)) != NULL;
  if (map && has_siblings(p, named)) return false;
  const duel_yaml *value = map && !duel_yaml_is_null(named) ? named : NULL;
  if (value && value->type != DUEL_YAML_MAP && !kind->main_key)
    return duel_problem_value(p->rd, value, "%s: %s takes no value", p->path, kind->name);
  const duel_place inside = {p->rd, p->node, duel_phrase(p->rd, "%s.%s", p->path, kind->name)};
  return (layer->value = duel_read_keys(&inside, kind, value, NULL)) != NULL;
}

bool duel_read_layers(const duel_place *p, duel_key_value *v) {
  duel_reading *rd = p->rd;
  if (p->node->type != DUEL_YAML_LIST || !p->node->child)
    return duel_problem_of(p, "%s is not a list of layers", duel_shown(rd, p->node));
  const int n = duel_yaml_count(p->node);
  rd->lists.layers += n * rd->lists.copies;
  if (rd->lists.layers > DUEL_MAX_LAYERS || rd->lists.depth > MAX_NESTING)
    return duel_problem_of(p, "too many layers; a net has at most %d, blocks nested %d deep", DUEL_MAX_LAYERS,
                           MAX_NESTING);
  duel_layers *layers = duel_room(rd, sizeof *layers);
  duel_layer *layer = duel_room(rd, (size_t)n * sizeof *layer);
  if (!layers || !layer) return false;
  *layers = (duel_layers){layer, n};
  *v = (duel_key_value){.n = 1, .layers = layers};
  rd->lists.depth++;
  int k = 0;
  for (const duel_yaml *item = p->node->child; item; item = item->next, layer++) {
    const duel_place below = {rd, item, duel_phrase(rd, "%s.%d", p->path, k++)};
    *layer = (duel_layer){.path = below.path, .line = item->line, .col = item->col};
    read_item(&below, layer);
  }
  rd->lists.depth--;
  return true;
}
