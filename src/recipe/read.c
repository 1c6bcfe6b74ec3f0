// A merged tree becomes values: every key is checked against the vocabulary, and absent ones get their default.
#include <string.h>

#include "recipe/parts.h"

static void not_a_map(duel_reading *rd, const duel_yaml *node, const char *path) {
  char shown[DUEL_SHOWN];
  duel_problem_value(rd, node, "%s: %s is not a mapping of keys", path, duel_yaml_show(shown, sizeof shown, node));
}

// ---- unknown keys

// Settings of one net once stood as optim: {lr: {G: x}}: whoever writes that is shown the present spelling.
static bool tells_of_a_net(duel_reading *rd, const duel_yaml *map, const char *path) {
  char top[DUEL_SHOWN], own[2 * DUEL_PATH], shown[DUEL_SHOWN];
  bool told = false;
  snprintf(top, sizeof top, "%.*s", (int)strcspn(path, "."), path);
  if (map->type != DUEL_YAML_MAP || !duel_key_find(duel_net_kind.keys, top)) return false;
  for (const char *const *net = rd->game->nets; *net; net++) {
    const duel_yaml *entry = duel_yaml_get(map, *net);
    if (!entry) continue;
    size_t used = 0;
    int depth = 1;
    for (const char *c = path; *c && used < DUEL_PATH; c++, depth += *c == '.')
      used += (size_t)snprintf(own + used, sizeof own - used, *c == '.' ? ": {" : "%c", *c);
    duel_yaml_show(shown, sizeof shown, entry);
    duel_problem_key(rd, entry, "%s.%s: a net's own setting stands in the net: %s: {%s: %s%.*s", path, *net, *net, own,
                     shown, depth, "}}}}}}}}");
    told = true;
  }
  return told;
}

static bool told_by_the_game(duel_reading *rd, const duel_yaml *entry) {
  static const char *const others[] = {"latent", "loss", "penalty", "ema"};
  const char *known[DUEL_MAX_NETS + 1];
  char hint[160], shown[DUEL_SHOWN];
  int n = 0;
  while (n < DUEL_MAX_NETS && rd->game->nets[n]) known[n] = rd->game->nets[n], n++;
  for (int i = 0; i < 4; i++) {
    if (strcmp(entry->key, others[i])) continue;
    duel_problem_key(rd, entry, "%s: the game %s has no such key; leave it out", others[i], rd->game->kind.name);
    return true;
  }
  if (entry->type != DUEL_YAML_LIST && !duel_yaml_get(entry, "layers")) return false;
  duel_problem_key(rd, entry, "%s: the game %s has no such net%s",
                   duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = entry->key}), rd->game->kind.name,
                   duel_hint(hint, entry->key, known, n));
  return true;
}

static void check_keys(duel_reading *rd, const duel_kind *kind, const duel_source *from, const char *path) {
  const char *known[DUEL_MAX_KNOWN];
  char shown[DUEL_SHOWN], hint[160];
  int n = 0;
  if (from->also) known[n++] = from->also;
  for (const duel_key *key = kind->keys; key->name; key++) known[n++] = key->name;
  for (const duel_yaml *entry = from->map ? from->map->child : NULL; entry; entry = entry->next) {
    bool found = false;
    for (int i = 0; i < n; i++) found |= !strcmp(entry->key, known[i]);
    if (found || (!*path && told_by_the_game(rd, entry))) continue;
    bool chosen = from->also && !strcmp(from->also, "name");
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = entry->key});
    duel_hint(hint, entry->key, known + chosen, n - chosen);
    const char *game = duel_game_with(path, entry->key);
    if (game)
      duel_problem_key(rd, entry, "%s.%s: the game %s has no such key, %s has; leave it out%s", path, shown,
                       rd->game->kind.name, game, hint);
    else
      duel_problem_key(rd, entry, "%s%s%s: no such key%s%s%s", path, *path ? "." : "", shown, chosen ? " of " : "",
                       chosen ? kind->name : "", n > chosen ? hint : "; it has none");
  }
}

// ---- values of many keys

// The name and keys of a row of the key's table.
static void read_chosen(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                        duel_key_value *v) {
  const duel_table *table = duel_key_table(key);
  const duel_kind *kind = duel_table_at(table, 0);
  const duel_yaml *map = node && node->type == DUEL_YAML_MAP ? node : NULL,
                  *name = map ? duel_yaml_get(map, "name") : node;
  char shown[DUEL_SHOWN], hint[160], sub[DUEL_PATH];
  snprintf(sub, sizeof sub, "%.150s.name", path);
  if (!duel_yaml_is_null(name)) {
    const char *known[DUEL_MAX_KNOWN];
    int n = duel_table_names(table, known, DUEL_MAX_KNOWN);
    if (tells_of_a_net(rd, name, sub)) return;
    duel_yaml_show(shown, sizeof shown, name);
    const char *word = name->type == DUEL_YAML_SCALAR ? name->text : "";
    kind = duel_table_find(table, word);
    if (!kind) {
      duel_problem_value(rd, name, "%s: %s: no such %s%s", path, shown, table->what, duel_hint(hint, word, known, n));
      return;
    }
  }
  duel_chosen *chosen = duel_pool_alloc(rd->pool, sizeof *chosen);
  rd->no_memory |= !chosen;
  if (!chosen) return;
  const duel_source from = {.map = map, .at = node ? node : rd->root, .also = "name"};
  bool game = table == &duel_game_kinds; // whose keys stand in `train`
  static const duel_kind bare = {"a game", NULL, duel_no_keys, NULL};
  if (game && map) check_keys(rd, &bare, &from, path);
  *chosen = (duel_chosen){kind, game ? NULL : duel_read_keys(rd, kind, from, path)};
  *v = (duel_key_value){.n = 1, .chosen = chosen};
}

static bool read_kind(duel_reading *rd, const duel_kind *kind, const duel_yaml *node, const duel_yaml *at,
                      const char *path, duel_chosen *dst) {
  duel_source from = {.at = node ? node : at};
  if (node && node->type != DUEL_YAML_MAP && !kind->main_key) return not_a_map(rd, node, path), false;
  if (node && node->type == DUEL_YAML_MAP)
    from.map = node;
  else
    from.direct = node;
  if (kind == &duel_net_kind) rd->lists.depth = 0, rd->lists.copies = 1, rd->lists.layers = 0;
  *dst = (duel_chosen){kind, duel_read_keys(rd, kind, from, path)};
  return dst->value;
}

static void read_section(duel_reading *rd, const duel_kind *kind, const duel_yaml *node, const duel_yaml *at,
                         const char *path, duel_key_value *v) {
  duel_chosen *chosen = duel_pool_alloc(rd->pool, sizeof *chosen);
  rd->no_memory |= !chosen;
  if (chosen && read_kind(rd, kind, node, at, path, chosen)) *v = (duel_key_value){.n = 1, .chosen = chosen};
}

static void read_entries(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                         duel_key_value *v) {
  const duel_table *table = key->of;
  const char *known[DUEL_MAX_KNOWN];
  char shown[DUEL_SHOWN], hint[160], sub[DUEL_PATH];
  int n = duel_table_names(table, known, DUEL_MAX_KNOWN);
  if (node->type != DUEL_YAML_MAP) {
    not_a_map(rd, node, path);
    return;
  }
  for (const duel_yaml *entry = node->child; entry; entry = entry->next)
    if (!duel_table_find(table, entry->key))
      duel_problem_key(rd, entry, "%s.%s: no such %s%s", path,
                       duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = entry->key}), table->what,
                       duel_hint(hint, entry->key, known, n));
  duel_chosen *chosen = duel_pool_alloc(rd->pool, (size_t)(n + 1) * sizeof *chosen);
  rd->no_memory |= !chosen;
  *v = (duel_key_value){.chosen = chosen};
  for (int i = 0; i < n && chosen; i++) { // in the table's order
    const duel_yaml *entry = duel_yaml_get(node, known[i]);
    snprintf(sub, sizeof sub, "%.120s.%s", path, known[i]);
    if (!duel_yaml_is_null(entry) && read_kind(rd, duel_table_at(table, i), entry, node, sub, &chosen[v->n])) v->n++;
  }
}

// ---- one key

// The default of a key as a node.
static const duel_yaml *standard_of(duel_reading *rd, const duel_key *key, const duel_yaml *at) {
  duel_yaml *node = duel_pool_alloc(rd->pool, sizeof *node);
  if (node) *node = (duel_yaml){.type = DUEL_YAML_SCALAR, .text = key->standard};
  if (*key->standard == '[' && duel_yaml_parse_value(&node, rd->pool, key->name, key->standard) != DUEL_OK) node = NULL;
  rd->no_memory |= !node;
  if (node) node->file = at->file, node->line = at->line, node->col = at->col;
  return node;
}

// node NULL: the key is absent.
static void read_key(duel_reading *rd, const duel_key *key, const duel_yaml *node, const duel_yaml *at,
                     const char *path, duel_key_value *v) {
  bool chosen = key->type == DUEL_KEY_INIT || key->type == DUEL_KEY_CHOSEN;
  if (!node && key->standard && !*key->standard) return;
  if (node && tells_of_a_net(rd, node, path)) return;
  if (key->type == DUEL_KEY_NAMES) {
    if (node->type != DUEL_YAML_MAP) not_a_map(rd, node, path);
  } else if (chosen) {
    read_chosen(rd, key, node, path, v);
  } else if (key->type == DUEL_KEY_SECTION) {
    read_section(rd, key->of, node, at, path, v);
  } else if (!node && !key->standard) {
    duel_problem_value(rd, at, "%s: missing (%s)", path, key->help);
  } else if (key->type == DUEL_KEY_ENTRIES) {
    read_entries(rd, key, node, path, v);
  } else if (key->type == DUEL_KEY_LAYERS) {
    duel_read_layers(rd, node, path, v);
  } else {
    if (!node) node = standard_of(rd, key, at);
    if (node) duel_read_single(rd, key, node, path, v);
  }
}

duel_key_value *duel_read_keys(duel_reading *rd, const duel_kind *kind, duel_source from, const char *path) {
  int n = 0;
  while (kind->keys[n].name) n++;
  duel_key_value *value = duel_pool_alloc(rd->pool, (size_t)(n + 1) * sizeof *value);
  rd->no_memory |= !value;
  if (!value) return NULL;
  check_keys(rd, kind, &from, path);
  for (int i = 0; i < n; i++) {
    const duel_key *key = &kind->keys[i];
    const duel_yaml *node = from.map ? duel_yaml_get(from.map, key->name) : NULL;
    if (from.direct && !strcmp(key->name, kind->main_key)) node = from.direct;
    if (duel_yaml_is_null(node)) node = NULL;
    char sub[DUEL_PATH];
    bool list_of_net = kind == &duel_net_kind && i == DUEL_NET_LAYERS; // item k of G is G.k
    snprintf(sub, sizeof sub, "%.140s%s%s", path, *path && !list_of_net ? "." : "", list_of_net ? "" : key->name);
    const duel_yaml *before = rd->needs_data;
    const bool data = !strcmp(path, "data");
    if (data) rd->needs_data = NULL;
    read_key(rd, key, node, from.at, sub, &value[i]);
    if (!data) continue;
    if (rd->needs_data) duel_problem_value(rd, node, "%s: depends on the data itself", sub);
    rd->needs_data = before;
  }
  return value;
}

void duel_read_recipe(duel_reading *rd, duel_recipe *r) {
  rd->game = duel_game_named(rd->root);
  rd->words = duel_vocabulary(rd->pool, rd->game);
  rd->no_memory |= !rd->words;
  if (rd->no_memory) return;
  const duel_kind *kind = rd->words->of;
  duel_read_vars(rd, duel_yaml_get(rd->root, "vars"));
  r->root = (duel_chosen){kind, duel_read_keys(rd, kind, (duel_source){.map = rd->root, .at = rd->root}, "")};
  if (!rd->problems && !rd->no_memory) duel_take_fields(r, rd->game);
}
