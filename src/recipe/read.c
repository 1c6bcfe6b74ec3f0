// A merged tree becomes values: every key is checked against the vocabulary, and absent ones get their default.
#include <string.h>

#include "recipe/parts.h"

static bool not_a_map(const duel_place *p) {
  return duel_problem_of(p, "%s is not a mapping of keys", duel_shown(p->rd, p->node));
}

// ---- unknown keys

// Settings of one net once stood as optim: {lr: {G: x}}: whoever writes that is shown the present spelling.
static bool tells_of_a_net(const duel_place *p) {
  duel_reading *rd = p->rd;
  bool told = false;
  const char *top = duel_phrase(rd, "%.*s", (int)strcspn(p->path, "."), p->path);
  if (p->node->type != DUEL_YAML_MAP || !duel_key_find(duel_net_kind.keys, top)) return false;
  for (const char *const *net = rd->game->nets; *net; net++) {
    const duel_yaml *entry = duel_yaml_get(p->node, *net);
    if (!entry) continue;
    char own[384];
    size_t used = 0;
    int depth = 1;
    for (const char *c = p->path; *c && used < sizeof own / 2; c++, depth += *c == '.')
      used += (size_t)snprintf(own + used, sizeof own - used, *c == '.' ? ": {" : "%c", *c);
    duel_problem_key(rd, entry, "%s.%s: a net's own setting stands in the net: %s: {%s: %s%.*s", p->path, *net, *net,
                     own, duel_shown(rd, entry), depth, "}}}}}}}}");
    told = true;
  }
  return told;
}

static bool told_by_the_game(duel_reading *rd, const duel_yaml *entry) {
  static const char *const others[] = {"latent", "loss", "penalty", "ema"};
  int n = 0;
  for (int i = 0; i < 4; i++) {
    if (strcmp(entry->key, others[i])) continue;
    duel_problem_key(rd, entry, "%s: the game %s has no such key; leave it out", others[i], rd->game->kind.name);
    return true;
  }
  if (entry->type != DUEL_YAML_LIST && !duel_yaml_get(entry, "layers")) return false;
  while (n < DUEL_MAX_NETS && rd->game->nets[n]) n++;
  duel_problem_key(rd, entry, "%s: the game %s has no such net%s", duel_shown_key(rd, entry->key), rd->game->kind.name,
                   duel_hint(rd, entry->key, rd->game->nets, n));
  return true;
}

static void check_keys(const duel_place *at, const duel_kind *kind, const duel_yaml *map, const char *also) {
  const char *known[DUEL_MAX_KNOWN];
  const bool chosen = also && !strcmp(also, "name");
  int n = 0;
  if (also) known[n++] = also;
  for (const duel_key *key = kind->keys; key->name; key++) known[n++] = key->name;
  for (const duel_yaml *entry = map->child; entry; entry = entry->next) {
    bool found = false;
    for (int i = 0; i < n; i++) found |= !strcmp(entry->key, known[i]);
    if (found || (!*at->path && told_by_the_game(at->rd, entry))) continue;
    const char *hint = duel_hint(at->rd, entry->key, known + chosen, n - chosen),
               *game = duel_game_with(at->path, entry->key);
    if (game)
      duel_problem_key(at->rd, entry, "%s.%s: the game %s has no such key, %s has; leave it out%s", at->path,
                       duel_shown_key(at->rd, entry->key), at->rd->game->kind.name, game, hint);
    else
      duel_problem_key(at->rd, entry, "%s%s%s: no such key%s%s%s", at->path, *at->path ? "." : "",
                       duel_shown_key(at->rd, entry->key), chosen ? " of " : "", chosen ? kind->name : "",
                       n > chosen ? hint : "; it has none");
  }
}

// ---- values of many keys. there: false where the key is absent; then p->node is where it is missed

static bool read_kind(const duel_place *p, bool there, const duel_kind *kind, duel_chosen *dst) {
  if (there && p->node->type != DUEL_YAML_MAP && !kind->main_key) return not_a_map(p);
  if (kind == &duel_net_kind) p->rd->lists.depth = 0, p->rd->lists.copies = 1, p->rd->lists.layers = 0;
  *dst = (duel_chosen){kind, duel_read_keys(p, kind, there ? p->node : NULL, NULL)};
  return dst->value;
}

// The name and keys of a row of the key's table.
static bool read_row(const duel_place *p, bool there, const duel_table *table, duel_chosen *dst) {
  static const duel_kind bare = {"a game", NULL, duel_no_keys, NULL};
  const duel_yaml *node = there ? p->node : NULL, *map = node && node->type == DUEL_YAML_MAP ? node : NULL,
                  *name = map ? duel_yaml_get(map, "name") : node;
  const duel_kind *kind = duel_table_at(table, 0);
  if (!duel_yaml_is_null(name)) {
    const duel_place named = {p->rd, name, duel_phrase(p->rd, "%s.name", p->path)};
    const char *word = name->type == DUEL_YAML_SCALAR ? name->text : "";
    if (tells_of_a_net(&named)) return false;
    kind = duel_table_find(table, word);
    if (!kind)
      return duel_problem_value(p->rd, name, "%s: %s: no such %s%s", p->path, duel_shown(p->rd, name), table->what,
                                duel_hint_row(p->rd, word, table));
  }
  *dst = (duel_chosen){.kind = kind};
  if (table != &duel_game_kinds)
    dst->value = duel_read_keys(p, kind, map, "name");
  else if (map)
    check_keys(p, &bare, map, "name"); // a game's keys stand in `train`
  return true;
}

static bool read_entries(const duel_place *p, const duel_table *table, duel_key_value *v) {
  const char *known[DUEL_MAX_KNOWN];
  const int n = duel_table_names(table, known, DUEL_MAX_KNOWN);
  if (p->node->type != DUEL_YAML_MAP) return not_a_map(p);
  for (const duel_yaml *entry = p->node->child; entry; entry = entry->next)
    if (!duel_table_find(table, entry->key))
      duel_problem_key(p->rd, entry, "%s.%s: no such %s%s", p->path, duel_shown_key(p->rd, entry->key), table->what,
                       duel_hint(p->rd, entry->key, known, n));
  duel_chosen *chosen = duel_room(p->rd, (size_t)(n + 1) * sizeof *chosen);
  *v = (duel_key_value){.chosen = chosen};
  for (int i = 0; i < n && chosen; i++) { // in the table's order
    const duel_yaml *entry = duel_yaml_get(p->node, known[i]);
    const duel_place below = {p->rd, entry, duel_phrase(p->rd, "%s.%s", p->path, known[i])};
    if (!duel_yaml_is_null(entry) && read_kind(&below, true, duel_table_at(table, i), &chosen[v->n])) v->n++;
  }
  return true;
}

// ---- one key

// The default of a key as a node.
static const duel_yaml *standard_of(duel_reading *rd, const duel_key *key, const duel_yaml *at) {
  duel_yaml *node = duel_room(rd, sizeof *node);
  if (node) *node = (duel_yaml){.type = DUEL_YAML_SCALAR, .text = key->standard};
  if (*key->standard == '[' && duel_yaml_parse_value(&node, rd->pool, key->name, key->standard) != DUEL_OK) node = NULL;
  rd->no_memory |= !node;
  if (node) node->file = at->file, node->line = at->line, node->col = at->col;
  return node;
}

static void read_key(const duel_place *p, bool there, const duel_key *key, duel_key_value *v) {
  const duel_table *table = duel_key_table(key);
  if ((!there && key->standard && !*key->standard) || (there && tells_of_a_net(p))) return;
  if (key->type == DUEL_KEY_SECTION || (table && key->type != DUEL_KEY_ENTRIES)) {
    duel_chosen *chosen = duel_room(p->rd, sizeof *chosen);
    if (chosen && (table ? read_row(p, there, table, chosen) : read_kind(p, there, key->of, chosen)))
      *v = (duel_key_value){.n = 1, .chosen = chosen};
  } else if (!there && !key->standard) {
    duel_problem_of(p, "missing (%s)", key->help);
  } else if (key->type == DUEL_KEY_NAMES) {
    if (p->node->type != DUEL_YAML_MAP) not_a_map(p);
  } else if (key->type == DUEL_KEY_ENTRIES) {
    read_entries(p, table, v);
  } else if (key->type == DUEL_KEY_LAYERS) {
    duel_read_layers(p, v);
  } else {
    const duel_place value = {p->rd, there ? p->node : standard_of(p->rd, key, p->node), p->path};
    if (value.node) duel_read_single(&value, key, v);
  }
}

duel_key_value *duel_read_keys(const duel_place *at, const duel_kind *kind, const duel_yaml *node, const char *also) {
  duel_reading *rd = at->rd;
  const bool map = node && node->type == DUEL_YAML_MAP, data = !strcmp(at->path, "data");
  int n = 0;
  while (kind->keys[n].name) n++;
  duel_key_value *value = duel_room(rd, (size_t)(n + 1) * sizeof *value);
  if (!value) return NULL;
  if (map) check_keys(at, kind, node, also);
  for (int i = 0; i < n; i++) {
    const duel_key *key = &kind->keys[i];
    const duel_yaml *own = map ? duel_yaml_get(node, key->name) : NULL;
    if (node && !map && !strcmp(key->name, kind->main_key)) own = node;
    const bool there = !duel_yaml_is_null(own);
    const duel_place below = {rd, there ? own : at->node, duel_path(rd, at->path, kind, key->name)};
    const duel_yaml *before = rd->needs_data;
    if (data) rd->needs_data = NULL;
    read_key(&below, there, key, &value[i]);
    if (!data) continue;
    if (rd->needs_data) duel_problem_of(&below, "depends on the data itself");
    rd->needs_data = before;
  }
  return value;
}

const char *duel_path(duel_reading *rd, const char *path, const duel_kind *kind, const char *name) {
  if (kind == &duel_net_kind && !strcmp(name, kind->main_key)) return path;
  return duel_phrase(rd, "%s%s%s", path, *path ? "." : "", name);
}

void duel_read_recipe(duel_reading *rd, duel_recipe *r) {
  const duel_place whole = {rd, rd->root, ""};
  rd->game = duel_game_named(rd->root);
  rd->words = duel_vocabulary(rd->pool, rd->game);
  rd->no_memory |= !rd->words;
  if (rd->no_memory) return;
  duel_read_vars(rd, duel_yaml_get(rd->root, "vars"));
  r->root = (duel_chosen){rd->words->of, duel_read_keys(&whole, rd->words->of, rd->root, NULL)};
  if (!rd->problems && !rd->no_memory) duel_take_fields(r, rd->game);
}
