// Base, recipe and settings become one tree. One function merges a value into what stands there, led by the vocabulary:
// maps merge at every depth, values and lists replace, a value in a map's place sets its main key, null stays as null
// (the reader takes it for absent). A setting G.3.leaky_relu.slope=0.1 is merged as {G: {3: {leaky_relu: {slope:
// 0.1}}}}. Such steps of a path are maps that count as quoted; only they reach into lists.
#include <stdlib.h>
#include <string.h>

#include "recipe/parts.h"

enum { MAX_PARTS = 80 };

// ---- trees

static duel_yaml *new_node(duel_reading *rd, duel_yaml_type type, const duel_yaml *at) {
  duel_yaml *node = duel_room(rd, sizeof *node);
  if (!node) return NULL;
  *node = *at;
  node->type = type;
  node->quoted = false;
  node->text = type == DUEL_YAML_SCALAR ? "" : NULL;
  node->key = NULL;
  node->child = node->next = NULL;
  return node;
}

static duel_yaml *copy_tree(duel_reading *rd, const duel_yaml *node) {
  duel_yaml *copy = new_node(rd, node->type, node);
  if (!copy) return NULL;
  *copy = *node;
  copy->child = copy->next = NULL;
  duel_yaml **end = &copy->child;
  for (const duel_yaml *item = node->child; item; item = item->next) {
    *end = copy_tree(rd, item);
    if (!*end) return NULL;
    end = &(*end)->next;
  }
  return copy;
}

static bool is_step(const duel_yaml *node) {
  return node->type == DUEL_YAML_MAP && node->quoted;
}

// The value's head (its children are shared) in the slot's place.
static void replace(duel_yaml *slot, const duel_yaml *value) {
  duel_yaml *next = slot->next;
  const char *key = slot->key;
  *slot = *value;
  slot->next = next;
  slot->key = key;
}

// The child under key; a new one is null and stands where `at` does.
static duel_yaml *slot_of(duel_reading *rd, duel_yaml *map, const char *key, const duel_yaml *at) {
  duel_yaml **end = &map->child;
  while (*end && strcmp((*end)->key, key)) end = &(*end)->next;
  if (!*end && (*end = new_node(rd, DUEL_YAML_SCALAR, at))) (*end)->key = key;
  return *end;
}

// The node becomes {main: node}, in place; null becomes {}.
static bool write_out(duel_reading *rd, duel_yaml *node, const char *main) {
  duel_yaml *inner = NULL;
  if (!duel_yaml_is_null(node)) {
    inner = new_node(rd, node->type, node);
    if (!inner) return false;
    *inner = *node;
    inner->key = main;
    inner->next = NULL;
  }
  node->type = DUEL_YAML_MAP;
  node->text = NULL;
  node->quoted = false;
  node->child = inner;
  return true;
}

// ---- the vocabulary, one step down

static const duel_key plain = {.name = NULL};

// The key that a value in this one's place stands for; NULL: none.
static const char *main_of(const duel_key *word) {
  if (word->type == DUEL_KEY_SECTION) return ((const duel_kind *)word->of)->main_key;
  return word->type == DUEL_KEY_CHOSEN || word->type == DUEL_KEY_INIT ? "name" : NULL;
}

static const char *name_in(const duel_key *word, const duel_yaml *map) {
  const duel_yaml *name = duel_yaml_get(map, "name");
  return duel_yaml_is_null(name)          ? duel_table_at(duel_key_table(word), 0)->name
         : name->type == DUEL_YAML_SCALAR ? name->text
                                          : "";
}

// What `name` is in a map of this kind; a word for one entry or layer is made in *room. &plain: nothing that is known.
static const duel_key *step(const duel_key *word, const duel_yaml *map, const char *name, duel_key *room) {
  const duel_kind *kind = NULL;
  const duel_key *key = NULL;
  *room = (duel_key){.name = name, .type = DUEL_KEY_SECTION};
  switch (word->type) {
  case DUEL_KEY_SECTION:
    kind = word->of;
    break;
  case DUEL_KEY_INIT:
  case DUEL_KEY_CHOSEN:
    kind = duel_table_find(duel_key_table(word), name_in(word, map));
    break;
  case DUEL_KEY_ENTRIES:
    room->of = duel_table_find(word->of, name);
    key = room->of ? room : NULL;
    break;
  case DUEL_KEY_LAYERS:
    room->type = DUEL_KEY_ITEM;
    key = room;
    break;
  case DUEL_KEY_ITEM: // a block's keys stand beside its name, another layer's below it
    kind = duel_item_kind(map);
    if (!kind || duel_kind_is_block(kind)) break;
    room->of = kind;
    key = strcmp(name, kind->name) != 0 ? NULL : room;
    kind = NULL;
    break;
  default:
    break;
  }
  if (kind) key = duel_key_find(kind->keys, name);
  return key ? key : &plain;
}

// ---- merging

static void merge(duel_reading *rd, duel_yaml *slot, const duel_key *word, duel_yaml *value, const char *path);

static void merge_child(duel_reading *rd, duel_yaml *slot, const duel_key *word, duel_yaml *child, const char *path) {
  duel_key room;
  const duel_key *below = step(word, slot, child->key, &room);
  duel_yaml *inner = slot_of(rd, slot, child->key, child);
  if (inner) merge(rd, inner, below, child, duel_path(rd, path, word->of, child->key));
}

// Steps into a list: {3: …}.
static void merge_list(duel_reading *rd, duel_yaml *list, const duel_yaml *steps, const char *path) {
  static const duel_key item_word = {.name = "item", .type = DUEL_KEY_ITEM};
  const bool conflicts = rd->conflicts;
  rd->conflicts = false; // a list is a value: what goes into it comes after it
  for (duel_yaml *child = steps->child; child; child = child->next) {
    bool number = strspn(child->key, "0123456789") == strlen(child->key) && strlen(child->key) < 7;
    duel_yaml *item = list->child;
    for (int i = number ? atoi(child->key) : 0; item && i > 0; i--) item = item->next;
    if (number && item)
      merge(rd, item, &item_word, child, duel_phrase(rd, "%s.%s", path, child->key));
    else
      duel_problem_value(rd, child, "%s has no item %.40s; there are %s.0 to %s.%d", path, child->key, path, path,
                         duel_yaml_count(list) - 1);
  }
  rd->conflicts = conflicts;
}

// Steps into a layer: {leaky_relu: …}, of a block {residual: …} or {repeat: …}.
static void merge_item(duel_reading *rd, duel_yaml *item, const duel_key *word, duel_yaml *steps, const char *path) {
  const char *name = duel_item_name(item);
  const duel_kind *kind = duel_item_kind(item);
  bool block = kind && duel_kind_is_block(kind);
  for (duel_yaml *child = steps->child; child; child = child->next) {
    bool known = !strcmp(child->key, "save") ||
                 (block ? duel_key_find(kind->keys, child->key) != NULL : name && !strcmp(name, child->key));
    if (known && item->type == DUEL_YAML_SCALAR) {
      duel_yaml *none = new_node(rd, DUEL_YAML_SCALAR, item);
      if (!none) return;
      none->key = name;
      item->type = DUEL_YAML_MAP;
      item->child = none;
    }
    if (known)
      merge_child(rd, item, word, child, path);
    else if (block && *child->key >= '0' && *child->key <= '9')
      duel_problem_value(rd, child, "copies of a block share one recipe: leave the %s out", child->key);
    else if (kind && duel_key_find(kind->keys, child->key))
      duel_problem_value(rd, child, "%s is %.40s; set %s.%.40s.%.40s", path, name, path, name, child->key);
    else
      duel_problem_value(rd, child, "%s is %.40s and has no %.40s", path, name ? name : "not one layer", child->key);
  }
}

// Within settings, two that say different things of one key.
static void check_conflict(duel_reading *rd, const duel_yaml *old, const duel_yaml *value, const char *path) {
  if (!rd->conflicts || old->file == value->file || duel_yaml_is_null(old)) return;
  bool flag = strncmp(old->file, "--set ", 6) != 0;
  if (flag != (strncmp(value->file, "--set ", 6) != 0))
    duel_problem_value(rd, value, "%s is also set by %s; give one of them", path, old->file);
  else if (!duel_yaml_equal(old, value))
    duel_problem_value(rd, value, "%s is set differently by %s; give one of them", path, old->file);
}

// Only names that the recipe has can be set.
static bool is_new_name(duel_reading *rd, const duel_yaml *vars, const duel_yaml *value, const char *path) {
  const char *known[DUEL_MAX_KNOWN];
  int n = 0;
  if (!rd->settings || !duel_yaml_is_null(duel_yaml_get(vars, value->key))) return false;
  for (const duel_yaml *item = vars->child; item && n < DUEL_MAX_KNOWN; item = item->next) known[n++] = item->key;
  duel_problem_value(rd, value, "%s.%.40s: the recipe has no such name%s", path, value->key,
                     duel_hint(rd, value->key, known, n));
  return true;
}

static bool is_curve(const duel_key *word) {
  return word->type == DUEL_KEY_SCHEDULE || word->type == DUEL_KEY_LENGTHS;
}

static void merge_map(duel_reading *rd, duel_yaml *slot, const duel_key *word, duel_yaml *value, const char *path) {
  const char *main = is_curve(word) ? "from" : main_of(word);
  if (duel_yaml_is_null(slot)) {
    duel_yaml empty = *value;
    empty.child = NULL;
    replace(slot, &empty);
  } else if (slot->type != DUEL_YAML_MAP && !main) {
    replace(slot, value);
    return;
  } else if (slot->type != DUEL_YAML_MAP && !write_out(rd, slot, main)) {
    return;
  }
  // A name comes first: where it changes, the other keys were another's.
  duel_yaml *name = duel_key_table(word) && main && !rd->conflicts ? duel_yaml_get(value, main) : NULL;
  if (duel_yaml_is_null(name)) name = NULL;
  if (name && (name->type != DUEL_YAML_SCALAR || strcmp(name_in(word, slot), name->text) != 0)) slot->child = NULL;
  if (name) merge_child(rd, slot, word, name, path);
  for (duel_yaml *child = value->child; child; child = child->next) {
    bool left_out = word->type == DUEL_KEY_NAMES && is_new_name(rd, slot, child, path);
    if (child != name && !left_out) merge_child(rd, slot, word, child, path);
  }
}

static bool takes_keys(const duel_key *word) {
  return main_of(word) || word->type == DUEL_KEY_SECTION || word->type == DUEL_KEY_ENTRIES ||
         word->type == DUEL_KEY_NAMES || is_curve(word);
}

// The mistake in merging these, if it is one of a path; the reader finds those of values.
static bool leads_nowhere(duel_reading *rd, const duel_key *word, const duel_yaml *value, const char *path) {
  if (rd->conflicts) return false;
  if (word->type == DUEL_KEY_ITEM && duel_yaml_is_null(value))
    return !duel_problem_value(rd, value, "an item of a list cannot be taken away");
  if (!is_step(value) || !word->name) return false;
  if (word->type == DUEL_KEY_LAYERS) return !duel_problem_value(rd, value, "%s is not a list of layers", path);
  for (const char *const *net = rd->game->nets; *net; net++)
    if (duel_yaml_get(value, *net)) return false; // the reader shows where that stands
  return !duel_problem_value(rd, value, "there is nothing below %s", path);
}

// {dense: 400} or dense on a dense: its other keys stay, as those of a section do. Another layer replaces it.
static bool is_same_layer(const duel_reading *rd, const duel_yaml *item, const duel_yaml *value) {
  const char *is = duel_item_name(item), *name = duel_item_name(value);
  return !rd->conflicts && is && name && !strcmp(is, name) && duel_item_kind(item) == duel_item_kind(value);
}

static void merge(duel_reading *rd, duel_yaml *slot, const duel_key *word, duel_yaml *value, const char *path) {
  bool steps = is_step(value), list = word->type == DUEL_KEY_LAYERS, item = word->type == DUEL_KEY_ITEM;
  bool both_step = steps && (is_step(slot) || (rd->conflicts && duel_yaml_is_null(slot)));
  if (rd->no_memory) return;
  if (value->type != DUEL_YAML_MAP && main_of(word) && !duel_yaml_is_null(value)) {
    duel_yaml written = *value;
    if (write_out(rd, &written, main_of(word))) merge_map(rd, slot, word, &written, path);
  } else if (both_step || (value->type == DUEL_YAML_MAP && takes_keys(word))) {
    merge_map(rd, slot, word, value, path);
  } else if (list && steps && slot->type == DUEL_YAML_LIST) {
    merge_list(rd, slot, value, path);
  } else if (item && (steps || is_same_layer(rd, slot, value))) {
    merge_item(rd, slot, word, value, path);
  } else if (!leads_nowhere(rd, word, value, path)) {
    check_conflict(rd, slot, value, path);
    replace(slot, value);
  }
}

void duel_merge_document(duel_reading *rd, duel_yaml **into, duel_yaml *document) {
  if (!*into) *into = new_node(rd, DUEL_YAML_MAP, document);
  if (!*into) return;
  (*into)->file = document->file, (*into)->line = document->line, (*into)->col = document->col;
  for (duel_yaml *item = document->child; item; item = item->next)
    if (strcmp(item->key, "base") != 0) merge_child(rd, *into, rd->words, item, "");
}

void duel_merge_defaults(duel_reading *rd, duel_yaml *root) {
  for (const char *const *name = rd->game->nets; *name; name++) {
    duel_yaml *net = duel_yaml_get(root, *name);
    bool generates = rd->game->generator && !strcmp(*name, rd->game->generator);
    for (int k = DUEL_NET_INIT; k <= (generates ? DUEL_NET_EMA : DUEL_NET_OPTIM) && net; k++) {
      const duel_key *word = &duel_net_kind.keys[k];
      duel_yaml *own = duel_yaml_get(net, word->name), *top = duel_yaml_get(root, word->name);
      if (duel_yaml_is_null(own) || duel_yaml_is_null(top)) continue;
      duel_yaml *both = copy_tree(rd, top);
      if (!both) return;
      merge(rd, both, word, own, word->name);
      replace(own, both);
    }
  }
}

// ---- settings

// The value of a setting. A path from the command line is no YAML.
static duel_yaml *value_of(duel_reading *rd, const duel_setting *setting) {
  bool flag = setting->origin && strcmp(setting->origin, "--set") != 0;
  bool verbatim = flag && (!strcmp(setting->key, "data") || !strcmp(setting->key, "data.path"));
  char key[64], shown[64] = "";
  duel_yaml_show(key, sizeof key, &(duel_yaml){.text = setting->key});
  if (*setting->value) duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = setting->value});
  const char *origin = flag ? duel_phrase(rd, "%s", setting->origin) : duel_phrase(rd, "--set %s=%s", key, shown);
  const duel_yaml at = {.file = origin};
  duel_yaml *value = NULL;
  if (verbatim) {
    if (!duel_yaml_is_utf8(setting->value))
      duel_problem_value(rd, &at, "data.path: a name that is not UTF-8; rename it, or name a link to it");
    value = new_node(rd, DUEL_YAML_SCALAR, &at);
    if (value) value->quoted = true, value->text = duel_phrase(rd, "%s", setting->value);
    return value;
  }
  duel_status status = duel_yaml_parse_value(&value, rd->pool, origin, setting->value);
  rd->no_memory |= status == DUEL_ERR_DEVICE;
  if (status == DUEL_ERR_USAGE) // its message begins with the origin; so will the problem's
    duel_problem_value(rd, &at, "%s", duel_last_error() + strlen(origin) + 2);
  return status == DUEL_OK ? value : NULL;
}

// The key's parts, "train" and "batch"; 0: it is none that can be set.
static int split_key(duel_reading *rd, const duel_yaml *at, const char *key, const char *part[MAX_PARTS]) {
  char *rest = duel_pool_text(rd->pool, key, strlen(key));
  int n = 0;
  rd->no_memory |= !rest;
  for (char *next; (next = strsep(&rest, "."));) {
    if (n == MAX_PARTS || !*next)
      return duel_problem_value(rd, at, "a key is names and numbers with points between them, such as optim.lr");
    part[n++] = next;
    const duel_key *top = n > 1 ? NULL : duel_key_find(((const duel_kind *)rd->words->of)->keys, next);
    if (top && top->of == &duel_net_kind && rest && *rest >= '0' && *rest <= '9')
      part[n++] = duel_net_kind.main_key; // G.3 is an item of its layers
  }
  if (n && (!strcmp(part[0], "recipe") || !strcmp(part[0], "base")))
    return duel_problem_value(rd, at, "%s belongs to a file and cannot be set", part[0]);
  return n;
}

// {train: {batch: value}}, and how deep the value is; NULL: the setting is a mistake.
static duel_yaml *steps_to(duel_reading *rd, const duel_setting *setting, int *depth) {
  const char *part[MAX_PARTS];
  duel_yaml *node = value_of(rd, setting);
  *depth = node ? split_key(rd, node, setting->key, part) : 0;
  for (int i = *depth - 1; i >= 0 && node; i--) {
    duel_yaml *map = new_node(rd, DUEL_YAML_MAP, node);
    if (!map) return NULL;
    map->quoted = true;
    map->child = node;
    node->key = part[i];
    node = map;
  }
  return *depth ? node : NULL;
}

void duel_merge_settings(duel_reading *rd, duel_yaml *root, const duel_setting *setting, int n) {
  duel_yaml *all = new_node(rd, DUEL_YAML_MAP, root), **steps = duel_room(rd, (size_t)(n + 1) * sizeof *steps);
  int *depth = duel_room(rd, (size_t)(n + 1) * sizeof *depth);
  for (int i = 0; i < n && !rd->no_memory; i++) steps[i] = steps_to(rd, &setting[i], &depth[i]);
  if (rd->no_memory) return;
  all->quoted = true;
  rd->conflicts = true;
  for (int d = 1; d <= MAX_PARTS; d++) // outer keys before inner ones; otherwise in the order given
    for (int i = 0; i < n; i++)
      if (steps[i] && depth[i] == d) merge(rd, all, rd->words, steps[i], "");
  rd->conflicts = false;
  rd->settings = true;
  merge(rd, root, rd->words, all, "");
  rd->settings = false;
}
