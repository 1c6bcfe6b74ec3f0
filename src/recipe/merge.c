// Base, recipe and settings become one tree. It is normal in three ways, so that later merges and the reader see one
// form only: a section is a mapping (`loss: bce` is {name: bce}); `optim: {G: {lr: x}}` is {lr: {G: x, D: …}}; null
// stays where it was written, means "absent" and is skipped by the reader.
#include <stdlib.h>
#include <string.h>

#include "recipe/parts.h"

enum { MAX_PARTS = 80, SHOWN = 64 };

// ---- trees

static duel_yaml *new_node(duel_reading *rd, duel_yaml_type type, const duel_yaml *at) {
  duel_yaml *node = duel_pool_alloc(rd->pool, sizeof *node);
  if (!node) return rd->no_memory = true, NULL;
  *node = (duel_yaml){.type = type, .text = type == DUEL_YAML_SCALAR ? "" : NULL};
  node->file = at->file, node->line = at->line, node->col = at->col;
  node->key_line = at->key_line, node->key_col = at->key_col;
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

// Puts a copy of the node's head (its children are shared) under key; an old value leaves, its place stays.
static duel_yaml *put(duel_reading *rd, duel_yaml *map, const char *key, const duel_yaml *value) {
  duel_yaml *old = duel_yaml_get(map, key), *after = NULL;
  if (!value) return NULL;
  if (old) {
    after = old->next;
  } else {
    old = new_node(rd, DUEL_YAML_SCALAR, value);
    if (!old) return NULL;
    duel_yaml **end = &map->child;
    while (*end) end = &(*end)->next;
    *end = old;
  }
  *old = *value;
  old->key = key;
  old->next = after;
  return old;
}

// Makes a mapping of the node, in place: null becomes empty; anything else becomes {main: it}.
static bool open_map(duel_reading *rd, duel_yaml *node, const char *main) {
  if (node->type == DUEL_YAML_MAP) return true;
  duel_yaml *inner = NULL;
  if (!duel_yaml_is_null(node)) {
    if (!main) return false;
    inner = new_node(rd, node->type, node);
    if (!inner) return false;
    *inner = *node;
    inner->key = main;
    inner->next = NULL;
  }
  node->type = DUEL_YAML_MAP;
  node->text = NULL;
  node->child = inner;
  return true;
}

// ---- sections

// Whether a new main value differs from the one that stands there, so that its siblings no longer belong to it.
static bool main_changes(const char *section, const char *main, const duel_yaml *old, const duel_yaml *value) {
  if (duel_yaml_is_null(value)) return false;
  const duel_yaml *was = duel_yaml_get(old, main);
  if (!duel_yaml_is_null(was)) return !duel_yaml_equal(was, value);
  for (const duel_field *f = duel_fields; f->section; f++)
    if (!strcmp(f->section, section) && !strcmp(f->key, main) && f->standard && value->type == DUEL_YAML_SCALAR)
      return strcmp(f->standard, value->text);
  return true;
}

static bool is_split(const duel_yaml *node) {
  return node && node->type == DUEL_YAML_MAP && (duel_yaml_get(node, "G") || duel_yaml_get(node, "D"));
}

// {G: v, D: v} from v; a share that was never given is null, the default.
static bool split(duel_reading *rd, duel_yaml *section, const char *key, const duel_yaml *at) {
  duel_yaml *old = duel_yaml_get(section, key);
  if (is_split(old)) return true;
  duel_yaml *both = new_node(rd, DUEL_YAML_MAP, old ? old : at);
  if (!both) return false;
  for (int p = 0; p < DUEL_PLAYERS; p++)
    if (!put(rd, both, p == DUEL_G ? "G" : "D", old ? copy_tree(rd, old) : new_node(rd, DUEL_YAML_SCALAR, at)))
      return false;
  return put(rd, section, key, both);
}

// optim: {G: {lr: x}} becomes optim: {lr: {G: x, D: as before}}.
static void spread_players(duel_reading *rd, duel_yaml *optim) {
  for (int p = 0; p < DUEL_PLAYERS; p++) {
    const char *player = p == DUEL_G ? "G" : "D";
    duel_yaml *own = duel_yaml_get(optim, player);
    if (duel_yaml_is_null(own)) continue;
    if (own->type == DUEL_YAML_LIST || !open_map(rd, own, "name")) continue; // the reader reports it
    for (duel_yaml *item = own->child, *next; item; item = next) {
      next = item->next;
      if (!split(rd, optim, item->key, item) || !put(rd, duel_yaml_get(optim, item->key), player, item)) return;
    }
    duel_yaml **at = &optim->child;
    while (*at && strcmp((*at)->key, player)) at = &(*at)->next;
    if (*at) *at = (*at)->next;
  }
}

// Merges one section of a document: keys replace keys, a scalar or a new main value replaces the whole.
static void merge_section(duel_reading *rd, duel_yaml *into, const duel_section *section, duel_yaml *value) {
  duel_yaml *old = duel_yaml_get(into, section->name);
  bool scalar = value->type == DUEL_YAML_SCALAR && !duel_yaml_is_null(value) && section->main;
  if (scalar && !open_map(rd, value, section->main)) return;
  bool merge = !scalar && value->type == DUEL_YAML_MAP && old && old->type == DUEL_YAML_MAP &&
               !(section->main && main_changes(section->name, section->main, old, duel_yaml_get(value, section->main)));
  if (!merge) old = put(rd, into, section->name, value);
  for (duel_yaml *item = merge ? value->child : NULL, *next; item; item = next) {
    next = item->next;
    put(rd, old, item->key, item);
  }
  if (old && old->type == DUEL_YAML_MAP && !strcmp(section->name, "optim")) spread_players(rd, old);
}

bool duel_merge_document(duel_reading *rd, duel_yaml **into, duel_yaml *document) {
  if (!*into) *into = new_node(rd, DUEL_YAML_MAP, document);
  if (!*into) return false;
  (*into)->file = document->file, (*into)->line = document->line, (*into)->col = document->col;
  for (duel_yaml *item = document->child, *next; item; item = next) {
    next = item->next;
    const duel_section *section = duel_section_find(item->key);
    if (!strcmp(item->key, "base")) continue;
    if (section && section->mapping)
      merge_section(rd, *into, section, item);
    else
      put(rd, *into, item->key, item);
  }
  return !rd->no_memory;
}

// ---- settings

typedef struct change {
  const char *origin; // "--set train.batch=64", "--batch"
  bool flag;
  const char *part[MAX_PARTS]; // "train", "batch"
  int n, order;
  bool main;  // names the section's main key: goes first, since it may drop siblings
  bool whole; // a scalar for a section: drops its siblings even if it is the same
  duel_yaml *value;
  const char *key; // full spelling, "loss.name" for `loss`
  struct change *next;
} change;

// The layer that a path such as G.2.residual.3 leads to. Reports why not.
static duel_yaml *find_item(duel_reading *rd, duel_yaml *list, const change *c, int *at) {
  char path[160] = "";
  size_t used = (size_t)snprintf(path, sizeof path, "%.20s", c->part[0]);
  for (int i = 1;; i++) {
    const char *part = c->part[i];
    if (!list || list->type != DUEL_YAML_LIST) {
      duel_problem_value(rd, c->value, "%s is not a list of layers", path);
      return NULL;
    }
    int count = duel_yaml_count(list), index = 0;
    bool number = strspn(part, "0123456789") == strlen(part) && strlen(part) < 7;
    duel_yaml *item = list->child;
    if (number)
      for (index = atoi(part); item && index > 0; index--) item = item->next;
    if (!number || !item) {
      duel_problem_value(rd, c->value, "%s has no item %.40s; there are %s.0 to %s.%d", path, part, path, path,
                         count - 1);
      return NULL;
    }
    used += (size_t)snprintf(path + used, sizeof path - used, ".%s", part);
    bool residual = duel_yaml_get(item, "residual") != NULL;
    bool list_next =
        residual && i + 2 < c->n && (!strcmp(c->part[i + 1], "residual") || !strcmp(c->part[i + 1], "skip"));
    if (!list_next || used > sizeof path - 40) {
      *at = i + 1;
      return item;
    }
    i++;
    used += (size_t)snprintf(path + used, sizeof path - used, ".%s", c->part[i]);
    list = duel_yaml_get(item, c->part[i]);
  }
}

// The name of a layer item; NULL if it is none.
static const char *item_name(const duel_yaml *item) {
  if (item->type == DUEL_YAML_SCALAR) return item->text;
  return item->type == DUEL_YAML_MAP && item->child && !item->child->next ? item->child->key : NULL;
}

static void set_layer(duel_reading *rd, duel_yaml *root, const change *c) {
  int at;
  duel_yaml *item = find_item(rd, duel_yaml_get(root, c->part[0]), c, &at);
  if (!item) return;
  if (at == c->n) { // the whole item
    duel_yaml *next = item->next;
    if (duel_yaml_is_null(c->value)) {
      duel_problem_value(rd, c->value, "an item of a list cannot be taken away");
      return;
    }
    *item = *c->value;
    item->next = next;
    return;
  }
  const char *part = c->part[at], *name = item_name(item);
  if (duel_yaml_get(item, "residual")) {
    if (at + 1 == c->n && (!strcmp(part, "residual") || !strcmp(part, "skip") || !strcmp(part, "repeat")))
      put(rd, item, part, c->value);
    else if (*part >= '0' && *part <= '9')
      duel_problem_value(rd, c->value, "copies of a residual block share one recipe: leave the %s out", part);
    else
      duel_problem_value(rd, c->value, "a residual block has residual, skip and repeat, but no %.40s", part);
    return;
  }
  if (!name || strcmp(name, part)) {
    duel_problem_value(rd, c->value, "this layer is %.40s, not %.40s", name ? name : "not one name", part);
    return;
  }
  if (item->type == DUEL_YAML_SCALAR) {
    duel_yaml *empty = new_node(rd, DUEL_YAML_SCALAR, item);
    item->type = DUEL_YAML_MAP;
    item->child = NULL;
    if (!empty || !put(rd, item, name, empty)) return;
  }
  const duel_layer_kind *kind = duel_layer_find(name);
  duel_yaml *value = item->child;
  if (at + 1 == c->n) {
    put(rd, item, name, c->value);
    return;
  }
  if (!open_map(rd, value, kind ? kind->main_key : NULL)) {
    duel_problem_value(rd, c->value, "%.40s takes no keys", name);
    return;
  }
  const char *key = c->part[at + 1];
  if (at + 2 == c->n) {
    put(rd, value, key, c->value);
    return;
  }
  duel_yaml *inner = duel_yaml_get(value, key); // an initialiser's own keys
  if (at + 3 == c->n && inner && !strcmp(key, "init") && open_map(rd, inner, "name"))
    put(rd, inner, c->part[at + 2], c->value);
  else
    duel_problem_value(rd, c->value, "there is nothing below %.40s", key);
}

// init.G, init.G.std: what both had becomes G's own before a part of it changes.
static void set_init(duel_reading *rd, duel_yaml *init, const change *c) {
  const char *player = c->part[1];
  if (!duel_yaml_get(init, "name") && !duel_yaml_get(init, player[0] == 'G' ? "D" : "G")) {
    duel_yaml *name = new_node(rd, DUEL_YAML_SCALAR, c->value);
    if (!name) return;
    name->text = duel_init_kinds[0].name;
    put(rd, init, "name", name);
  }
  if (c->n == 2) {
    put(rd, init, player, c->value);
    return;
  }
  if (duel_yaml_is_null(duel_yaml_get(init, player))) {
    duel_yaml *own = new_node(rd, DUEL_YAML_MAP, c->value);
    for (const duel_yaml *item = init->child; own && item; item = item->next)
      if (strcmp(item->key, "G") && strcmp(item->key, "D") && !put(rd, own, item->key, item)) return;
    if (!own || !put(rd, init, player, own)) return;
  }
  duel_yaml *own = duel_yaml_get(init, player);
  if (c->n == 3 && open_map(rd, own, "name"))
    put(rd, own, c->part[2], c->value);
  else
    duel_problem_value(rd, c->value, "there is nothing below %.40s", c->part[2]);
}

// optim.lr.G, optim.lr.from, optim.lr.G.from
static void set_optim(duel_reading *rd, duel_yaml *optim, const change *c) {
  const char *key = c->part[1], *part = c->part[2];
  duel_yaml *node = duel_yaml_get(optim, key);
  int at = 2;
  if (!strcmp(part, "G") || !strcmp(part, "D")) {
    if (!split(rd, optim, key, c->value)) return;
    duel_yaml *both = duel_yaml_get(optim, key);
    node = duel_yaml_get(both, part);
    if (c->n == 3 || !node) {
      put(rd, both, part, c->value);
      return;
    }
    part = c->part[++at];
  } else if (is_split(node)) {
    duel_problem_value(rd, c->value, "optim.%.40s has a value for G and one for D: say which", key);
    return;
  }
  bool below = at + 1 == c->n && !strcmp(key, "lr"); // a schedule's own keys
  if (below && !node) node = put(rd, optim, key, new_node(rd, DUEL_YAML_MAP, c->value));
  if (below && node && open_map(rd, node, "from"))
    put(rd, node, part, c->value);
  else
    duel_problem_value(rd, c->value, "there is nothing below optim.%.40s", key);
}

static void set_section(duel_reading *rd, duel_yaml *root, const duel_section *section, const change *c) {
  duel_yaml *map = duel_yaml_get(root, section->name);
  if (!map) map = put(rd, root, section->name, new_node(rd, DUEL_YAML_MAP, c->value));
  if (!map || !open_map(rd, map, section->main)) return; // a list: the reader reports it
  const char *key = c->part[1];
  bool init = !strcmp(section->name, "init"), optim = !strcmp(section->name, "optim");
  if (init && (!strcmp(key, "G") || !strcmp(key, "D"))) {
    set_init(rd, map, c);
  } else if (c->n == 2) {
    if (!strcmp(section->name, "vars") && duel_yaml_is_null(duel_yaml_get(map, key))) {
      const char *known[32];
      int n = 0;
      char hint[160];
      for (const duel_yaml *item = map->child; item && n < 32; item = item->next) known[n++] = item->key;
      duel_problem_value(rd, c->value, "vars.%.40s: the recipe has no such name%s", key,
                         duel_hint(hint, key, known, n));
      return;
    }
    bool changes = c->main && (c->whole || main_changes(section->name, section->main, map, c->value));
    if (changes) map->child = NULL;
    put(rd, map, key, c->value);
    if (optim) spread_players(rd, map);
  } else if (optim) {
    set_optim(rd, map, c);
  } else { // only keys of later versions have more below; the reader reports those, and unknown ones
    const duel_field *field = duel_fields;
    while (field->section && (strcmp(field->section, section->name) || strcmp(field->key, key))) field++;
    bool plain = field->section && field->type != DUEL_FIELD_LATER;
    duel_yaml *inner = plain ? NULL : duel_yaml_get(map, key);
    if (!inner && !plain) inner = put(rd, map, key, new_node(rd, DUEL_YAML_MAP, c->value));
    if (inner && open_map(rd, inner, NULL))
      put(rd, inner, c->part[2], c->value);
    else
      duel_problem_value(rd, c->value, "there is nothing below %s.%.40s", section->name, key);
  }
}

static void apply(duel_reading *rd, duel_yaml *root, const change *c) {
  const duel_section *section = duel_section_find(c->part[0]);
  bool player = !strcmp(c->part[0], "G") || !strcmp(c->part[0], "D");
  if (section && (!strcmp(section->name, "recipe") || !strcmp(section->name, "base")))
    duel_problem_value(rd, c->value, "%s belongs to a file and cannot be set", section->name);
  else if (c->n > 1 && player)
    set_layer(rd, root, c);
  else if (c->n > 1 && section && section->mapping)
    set_section(rd, root, section, c);
  else if (c->n > 1 && section)
    duel_problem_value(rd, c->value, "there is nothing below %s", section->name);
  else
    put(rd, root, c->part[0], c->value);
}

// ---- from key=value to changes

static bool split_key(duel_reading *rd, change *c, const char *key) {
  char *rest = duel_pool_text(rd->pool, key, strlen(key));
  if (!rest) return rd->no_memory = true, false;
  for (char *part; (part = strsep(&rest, "."));) {
    if (c->n == MAX_PARTS || !*part) {
      duel_problem_value(rd, c->value, "a key is names and numbers with points between them, such as optim.lr");
      return false;
    }
    c->part[c->n++] = part;
  }
  if (c->n > 2 && !strcmp(c->part[0], "optim") && (!strcmp(c->part[1], "G") || !strcmp(c->part[1], "D"))) {
    const char *player = c->part[1];
    c->part[1] = c->part[2];
    c->part[2] = player;
  }
  return true;
}

// The key in full, so that `loss` and loss.name meet.
static const char *full_key(duel_reading *rd, const change *c) {
  char key[512];
  size_t used = 0;
  for (int i = 0; i < c->n && used < sizeof key; i++)
    used += (size_t)snprintf(key + used, sizeof key - used, "%s%s", i ? "." : "", c->part[i]);
  const duel_layer_kind *kind = c->n > 2 ? duel_layer_find(c->part[c->n - 1]) : NULL;
  bool player = !strcmp(c->part[0], "G") || !strcmp(c->part[0], "D");
  if (kind && player && kind->main_key && c->value->type != DUEL_YAML_MAP && used < sizeof key)
    snprintf(key + used, sizeof key - used, ".%s", kind->main_key);
  return duel_pool_text(rd->pool, key, strlen(key));
}

// Outer keys before inner ones, main keys before their siblings; otherwise in the order given.
static void insert(change **list, change *c) {
  while (*list && ((*list)->n < c->n || ((*list)->n == c->n && (*list)->main >= c->main))) list = &(*list)->next;
  c->next = *list;
  *list = c;
}

static void check_conflicts(duel_reading *rd, const change *list, const change *c) {
  for (const change *other = list; other; other = other->next) {
    if (strcmp(other->key, c->key)) continue;
    if (other->flag != c->flag)
      duel_problem_value(rd, c->value, "%s is also set by %s; give one of them", c->key, other->origin);
    else if (!duel_yaml_equal(other->value, c->value))
      duel_problem_value(rd, c->value, "%s is set differently by %s", c->key, other->origin);
  }
}

static void add_change(duel_reading *rd, change **list, const change *from) {
  change *c = duel_pool_alloc(rd->pool, sizeof *c);
  if (!c) {
    rd->no_memory = true;
    return;
  }
  *c = *from;
  const duel_section *section = duel_section_find(c->part[0]);
  if (c->n == 1 && section && section->mapping && section->main && c->value->type == DUEL_YAML_SCALAR &&
      !duel_yaml_is_null(c->value)) {
    c->part[c->n++] = section->main;
    c->whole = true;
  }
  c->main = c->n == 2 && section && section->main && !strcmp(c->part[1], section->main);
  c->key = full_key(rd, c);
  if (!c->key) {
    rd->no_memory = true;
    return;
  }
  check_conflicts(rd, *list, c);
  insert(list, c);
}

// A mapping for a section is one change a key.
static void add_setting(duel_reading *rd, change **list, const duel_setting *setting) {
  change c = {.flag = setting->origin && strcmp(setting->origin, "--set")};
  char key[SHOWN], value[SHOWN] = "";
  duel_yaml_show(key, sizeof key, &(duel_yaml){.text = setting->key});
  if (*setting->value) duel_yaml_show(value, sizeof value, &(duel_yaml){.text = setting->value});
  c.origin = c.flag ? duel_pool_text(rd->pool, setting->origin, strlen(setting->origin))
                    : duel_pool_format(rd->pool, "--set %s=%s", key, value);
  if (!c.origin) {
    rd->no_memory = true;
    return;
  }
  bool text_key = !strcmp(setting->key, "data") || !strcmp(setting->key, "data.path");
  if (c.flag && text_key) { // a path from the command line is no YAML
    c.value = duel_pool_alloc(rd->pool, sizeof *c.value);
    char *copy = duel_pool_text(rd->pool, setting->value, strlen(setting->value));
    if (c.value) *c.value = (duel_yaml){.type = DUEL_YAML_SCALAR, .quoted = true, .text = copy, .file = c.origin};
    if (!copy) c.value = NULL;
    rd->no_memory |= !c.value;
    if (c.value && !duel_yaml_is_utf8(copy)) duel_problem_value(rd, c.value, "data.path: a name that is not UTF-8");
  } else {
    duel_status status = duel_yaml_parse_value(&c.value, rd->pool, c.origin, setting->value);
    rd->no_memory |= status == DUEL_ERR_DEVICE;
    if (status == DUEL_ERR_USAGE) { // its message begins with the origin; so will the problem's
      duel_yaml at = {.file = c.origin};
      duel_problem_value(rd, &at, "%s", duel_last_error() + strlen(c.origin) + 2);
    }
    if (status != DUEL_OK) return;
  }
  if (rd->no_memory || !split_key(rd, &c, setting->key)) return;
  const duel_section *section = duel_section_find(c.part[0]);
  if (c.n > 1 || !section || !section->mapping || c.value->type != DUEL_YAML_MAP) {
    add_change(rd, list, &c);
    return;
  }
  c.n = 2;
  for (duel_yaml *item = c.value->child; item; item = item->next) {
    change one = c;
    one.part[1] = item->key;
    one.value = item;
    add_change(rd, list, &one);
  }
}

void duel_merge_settings(duel_reading *rd, duel_yaml *root, const duel_setting *setting, int n) {
  change *list = NULL;
  for (int i = 0; i < n && !rd->no_memory; i++) add_setting(rd, &list, &setting[i]);
  for (const change *c = list; c && !rd->no_memory; c = c->next) apply(rd, root, c);
}
