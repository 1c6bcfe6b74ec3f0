// Lists of layers: names, values and blocks become duel_layers, checked against the table of layer kinds.
#include <string.h>

#include "recipe/parts.h"

enum { MAX_NESTING = 32 };

// Of a block any entry may come first.
const duel_yaml *duel_item_layer(const duel_yaml *item) {
  const duel_yaml *first = NULL;
  if (item->type == DUEL_YAML_SCALAR) return duel_yaml_is_null(item) ? NULL : item;
  for (const duel_yaml *entry = item->type == DUEL_YAML_MAP ? item->child : NULL; entry; entry = entry->next) {
    const duel_kind *kind = duel_table_find(&duel_layer_kinds, entry->key);
    if (kind && duel_kind_is_block(kind)) return entry;
    if (!first && strcmp(entry->key, "save")) first = entry;
  }
  return first;
}

const char *duel_item_name(const duel_yaml *item) {
  const duel_yaml *layer = duel_item_layer(item);
  return !layer ? NULL : layer == item ? item->text : layer->key;
}

const duel_kind *duel_item_kind(const duel_yaml *item) {
  const char *name = duel_item_name(item);
  return name ? duel_table_find(&duel_layer_kinds, name) : NULL;
}

static void unknown_layer(duel_reading *rd, const duel_yaml *item, const char *path) {
  const char *known[DUEL_MAX_KNOWN], *name = duel_item_name(item);
  char shown[DUEL_SHOWN], hint[160];
  int n = duel_table_names(&duel_layer_kinds, known, DUEL_MAX_KNOWN);
  duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = name});
  duel_hint(hint, name, known, n);
  if (item->type == DUEL_YAML_MAP)
    duel_problem_key(rd, duel_item_layer(item), "%s: %s: no such layer%s", path, shown, hint);
  else
    duel_problem_value(rd, item, "%s: %s: no such layer%s", path, shown, hint);
}

static void read_save(duel_reading *rd, const duel_yaml *item, const char *path, duel_layer *layer) {
  static const duel_key key = {"save", DUEL_KEY_TEXT, NULL, 0, 0, NULL, "the output's name"};
  const duel_yaml *save = duel_yaml_get(item, key.name);
  duel_key_value value = {0};
  char sub[DUEL_PATH];
  if (duel_yaml_is_null(save)) return;
  snprintf(sub, sizeof sub, "%.150s.%s", path, key.name);
  if (duel_read_single(rd, &key, save, sub, &value)) layer->save = value.text;
}

// What stands beside an ordinary layer's name, save apart, belongs inside.
static bool has_siblings(duel_reading *rd, const duel_yaml *item, const duel_yaml *named, const char *path) {
  char shown[DUEL_SHOWN];
  for (const duel_yaml *entry = item->child; entry; entry = entry->next) {
    if (entry == named || !strcmp(entry->key, "save")) continue;
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = entry->key});
    duel_problem_key(rd, entry, "%s: %s stands beside %s; one layer an item, its keys go inside: %s: {…}", path, shown,
                     named->key, named->key);
    return true;
  }
  return false;
}

// What the block's key `repeat` says, before its lists are counted.
static int64_t copies_of(duel_reading *rd, const duel_kind *kind, const duel_yaml *item, const char *path) {
  const duel_key *key = duel_key_find(kind->keys, "repeat");
  const duel_yaml *repeat = duel_yaml_get(item, "repeat");
  duel_key_value value = {0};
  char sub[DUEL_PATH];
  if (!key || duel_yaml_is_null(repeat)) return 1;
  snprintf(sub, sizeof sub, "%.150s.repeat", path);
  return duel_read_single(rd, key, repeat, sub, &value) ? (int64_t)value.number[0] : 1;
}

static void read_item(duel_reading *rd, const duel_yaml *item, const char *path, duel_layer *layer) {
  char sub[DUEL_PATH], shown[DUEL_SHOWN];
  const duel_yaml *named = duel_item_layer(item);
  if (!named) {
    duel_problem_value(rd, item, "%s: %s is not a layer; a layer is `name` or `name: value`", path,
                       duel_yaml_show(shown, sizeof shown, item));
    return;
  }
  const duel_kind *kind = duel_item_kind(item);
  if (!kind) {
    unknown_layer(rd, item, path);
    return;
  }
  layer->kind = kind;
  if (item->type == DUEL_YAML_MAP) read_save(rd, item, path, layer);
  duel_source from = {.at = item};
  if (duel_kind_is_block(kind)) {
    const int64_t copies = rd->lists.copies;
    rd->lists.copies *= copies_of(rd, kind, item, path);
    from.map = item->type == DUEL_YAML_MAP ? item : NULL;
    from.also = "save";
    layer->value = duel_read_keys(rd, kind, from, path);
    rd->lists.copies = copies;
    return;
  }
  if (item->type == DUEL_YAML_MAP && has_siblings(rd, item, named, path)) return;
  const duel_yaml *value = item->type == DUEL_YAML_MAP && !duel_yaml_is_null(named) ? named : NULL;
  if (value && value->type != DUEL_YAML_MAP && !kind->main_key) {
    duel_problem_value(rd, value, "%s: %s takes no value", path, kind->name);
    return;
  }
  if (value && value->type == DUEL_YAML_MAP)
    from.map = value;
  else
    from.direct = value;
  snprintf(sub, sizeof sub, "%.120s.%s", path, kind->name);
  layer->value = duel_read_keys(rd, kind, from, sub);
}

void duel_read_layers(duel_reading *rd, const duel_yaml *list, const char *path, duel_key_value *v) {
  char sub[DUEL_PATH], shown[DUEL_SHOWN];
  if (list->type != DUEL_YAML_LIST || !list->child) {
    duel_problem_value(rd, list, "%s: %s is not a list of layers", path, duel_yaml_show(shown, sizeof shown, list));
    return;
  }
  int n = duel_yaml_count(list);
  rd->lists.layers += n * rd->lists.copies;
  if (rd->lists.layers > DUEL_MAX_LAYERS || rd->lists.depth > MAX_NESTING) {
    duel_problem_value(rd, list, "%s: too many layers; a net has at most %d, blocks nested %d deep", path,
                       DUEL_MAX_LAYERS, MAX_NESTING);
    return;
  }
  duel_layers *layers = duel_pool_alloc(rd->pool, sizeof *layers);
  duel_layer *layer = duel_pool_alloc(rd->pool, (size_t)n * sizeof *layer);
  *v = (duel_key_value){.n = layers && layer, .layers = layers};
  rd->no_memory |= !v->n;
  if (!v->n) return;
  layers->layer = layer;
  rd->lists.depth++;
  for (const duel_yaml *item = list->child; item; item = item->next, layer++) {
    snprintf(sub, sizeof sub, "%.160s.%d", path, layers->n++);
    *layer = (duel_layer){.path = duel_pool_text(rd->pool, sub, strlen(sub)), .line = item->line, .col = item->col};
    if (!layer->path) rd->no_memory = true;
    read_item(rd, item, sub, layer);
  }
  rd->lists.depth--;
}
