// A merged tree becomes a duel_recipe: every key is checked against the table, and absent ones get their default.
#include <stddef.h>
#include <string.h>

#include "recipe/parts.h"

enum { SHOWN = 48, PATH = 96, MAX_KEYS = 24 };

static const char *const letter[DUEL_PLAYERS] = {"G", "D"};

// ---- unknown keys

static int keys_of(const char *section, const char *known[MAX_KEYS]) {
  int n = 0;
  for (const duel_field *f = duel_fields; f->section; f++)
    if (!strcmp(f->section, section) && *f->key && n < MAX_KEYS) known[n++] = f->key;
  return n;
}

static bool is_player(const char *key) {
  return !strcmp(key, "G") || !strcmp(key, "D");
}

static void check_keys(duel_reading *rd, const char *section, const duel_yaml *map) {
  const char *known[MAX_KEYS];
  int n = keys_of(section, known);
  char shown[SHOWN], hint[160];
  for (const duel_yaml *item = map->child; item; item = item->next) {
    bool found = false;
    for (int i = 0; i < n; i++) found |= !strcmp(item->key, known[i]);
    if (found) continue;
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = item->key});
    duel_problem_key(rd, item, "%s.%s: no such key%s", section, shown, duel_hint(hint, item->key, known, n));
  }
}

static void check_top(duel_reading *rd) {
  const char *known[MAX_KEYS];
  int n = 0;
  char shown[SHOWN], hint[160];
  for (const duel_section *s = duel_sections; s->name; s++) known[n++] = s->name;
  for (const duel_yaml *item = rd->root->child; item; item = item->next) {
    const duel_section *section = duel_section_find(item->key);
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = item->key});
    if (!section) {
      duel_hint(hint, item->key, known, n);
      duel_problem_key(rd, item, "%s: no such key%s", shown, hint);
    } else if (section->mapping && item->type != DUEL_YAML_MAP && !duel_yaml_is_null(item)) {
      duel_problem_value(rd, item, "%s: %s is not a mapping of keys", section->name,
                         duel_yaml_show(shown, sizeof shown, item));
    }
  }
}

static bool has_content(const duel_yaml *node) {
  if (duel_yaml_is_null(node)) return false;
  if (node->type == DUEL_YAML_SCALAR) return true;
  for (const duel_yaml *item = node->child; item; item = item->next)
    if (has_content(item)) return true;
  return false;
}

// ---- one key

static void read_pair(duel_reading *rd, const duel_field *f, const duel_yaml *node, const char *path, double *dst) {
  char shown[SHOWN];
  if (node->type != DUEL_YAML_LIST || duel_yaml_count(node) != 2) {
    duel_problem_value(rd, node, "%s: %s is not a list of two numbers", path,
                       duel_yaml_show(shown, sizeof shown, node));
    return;
  }
  duel_read_number(rd, node->child, path, f->range, &dst[0]);
  duel_read_number(rd, node->child->next, path, f->range, &dst[1]);
}

static void read_text(duel_reading *rd, const duel_yaml *node, const char *path, char **dst) {
  char shown[SHOWN];
  if (node->type != DUEL_YAML_SCALAR || !*node->text) {
    duel_problem_value(rd, node, "%s: %s is not text", path, duel_yaml_show(shown, sizeof shown, node));
    return;
  }
  *dst = duel_pool_text(rd->pool, node->text, strlen(node->text));
  rd->no_memory |= !*dst;
}

static void read_field(duel_reading *rd, const duel_field *f, const duel_yaml *node, const char *path, void *base) {
  void *dst = (char *)base + f->offset;
  int64_t integer;
  int index;
  char shown[SHOWN];
  switch (f->type) {
  case DUEL_FIELD_INT:
    if (duel_read_int(rd, node, path, f->range, &integer)) *(int *)dst = (int)integer;
    break;
  case DUEL_FIELD_INT64:
    if (duel_read_int(rd, node, path, f->range, &integer)) *(int64_t *)dst = integer;
    break;
  case DUEL_FIELD_SEED:
    if (!duel_yaml_uint(node, dst))
      duel_problem_value(rd, node, "%s: %s is not a whole number from 0 to 18446744073709551615", path,
                         duel_yaml_show(shown, sizeof shown, node));
    break;
  case DUEL_FIELD_NUMBER:
    duel_read_number(rd, node, path, f->range, dst);
    break;
  case DUEL_FIELD_PAIR:
    read_pair(rd, f, node, path, dst);
    break;
  case DUEL_FIELD_TEXT:
    read_text(rd, node, path, dst);
    break;
  case DUEL_FIELD_WORD:
    duel_read_choice(rd, node, path, duel_field_choices(f), &index, dst);
    break;
  case DUEL_FIELD_CHOICE:
    if (duel_read_choice(rd, node, path, f->choices, &index, NULL)) *(int *)dst = index;
    break;
  case DUEL_FIELD_EXTENT:
    duel_read_extent(rd, node, path, f->range, dst);
    break;
  case DUEL_FIELD_BYTES:
    duel_read_bytes(rd, node, path, f->range, dst);
    break;
  case DUEL_FIELD_LENGTH:
    duel_read_length(rd, node, path, !f->range.above_min, dst);
    break;
  case DUEL_FIELD_SCHEDULE:
    duel_read_schedule(rd, node, path, f->range, dst);
    break;
  case DUEL_FIELD_LATER:
    break;
  }
}

// The default of a key as a node.
static const duel_yaml *standard_of(duel_reading *rd, const duel_field *f) {
  duel_yaml *node = duel_pool_alloc(rd->pool, sizeof *node);
  if (node) *node = (duel_yaml){.type = DUEL_YAML_SCALAR, .text = f->standard, .file = f->key};
  if (*f->standard == '[' && duel_yaml_parse_value(&node, rd->pool, f->key, f->standard) != DUEL_OK) node = NULL;
  rd->no_memory |= !node;
  return node;
}

// ---- the optimizers: every key is one value or {G: …, D: …}

static bool per_player(const duel_yaml *node) {
  return node && node->type == DUEL_YAML_MAP && (duel_yaml_get(node, "G") || duel_yaml_get(node, "D"));
}

// The player's share of a key; NULL for its default.
static const duel_yaml *share(duel_reading *rd, const duel_yaml *node, int player, const char *path) {
  if (!per_player(node)) return duel_yaml_is_null(node) ? NULL : node;
  for (const duel_yaml *item = node->child; item; item = item->next)
    if (!is_player(item->key)) duel_problem_key(rd, item, "%s: has G and D, so no other key", path);
  const duel_yaml *own = duel_yaml_get(node, letter[player]);
  if (!own) duel_problem_value(rd, node, "%s: a value for %s is missing", path, letter[player]);
  return duel_yaml_is_null(own) ? NULL : own;
}

// betas belong to adam: naming them is a mistake where no player, or not the one they name, has adam.
static void check_owner(duel_reading *rd, const duel_field *f, const duel_yaml *node, const int adam[DUEL_PLAYERS],
                        const char *path) {
  int wanted = !strcmp(f->only, "adam");
  bool split = per_player(node), used = false;
  for (int p = 0; p < DUEL_PLAYERS; p++) {
    used |= adam[p] == wanted;
    if (split && adam[p] != wanted && !duel_yaml_is_null(duel_yaml_get(node, letter[p])))
      duel_problem_key(rd, duel_yaml_get(node, letter[p]), "%s.%s: only %s has this", path, letter[p], f->only);
  }
  if (!split && !used) duel_problem_key(rd, node, "%s: only %s has this", path, f->only);
}

static void read_optim(duel_reading *rd, const duel_yaml *map, duel_recipe *r) {
  int adam[DUEL_PLAYERS] = {1, 1};
  bool named = true;
  for (const duel_field *f = duel_fields; f->section; f++) {
    if (strcmp(f->section, "optim")) continue;
    char path[PATH], sub[PATH + 8];
    snprintf(path, sizeof path, "optim.%s", f->key);
    const duel_yaml *node = duel_yaml_get(map, f->key);
    for (int p = 0; p < DUEL_PLAYERS; p++) {
      const duel_yaml *own = share(rd, node, p, path);
      if (!own) own = standard_of(rd, f);
      if (!own) return;
      snprintf(sub, sizeof sub, "%s%s%s", path, per_player(node) ? "." : "", per_player(node) ? letter[p] : "");
      bool name = f->offset == offsetof(duel_optim, adam);
      if (name) r->net[p].optim.adam = -1;
      read_field(rd, f, own, sub, &r->net[p].optim);
      if (name) adam[p] = r->net[p].optim.adam;
      named &= adam[p] >= 0;
    }
    if (f->only && named && !duel_yaml_is_null(node)) check_owner(rd, f, node, adam, path);
  }
}

// ---- init: one for both, or G's and D's own

static void read_inits(duel_reading *rd, const duel_yaml *map, duel_recipe *r) {
  duel_yaml shared = {0}, *end = NULL; // the keys that are neither G nor D
  if (map) shared = (duel_yaml){.type = DUEL_YAML_MAP, .file = map->file, .line = map->line, .col = map->col};
  for (const duel_yaml *item = map ? map->child : NULL; item; item = item->next) {
    if (is_player(item->key) || duel_yaml_is_null(item)) continue;
    duel_yaml *copy = duel_pool_alloc(rd->pool, sizeof *copy);
    if (!copy) {
      rd->no_memory = true;
      return;
    }
    *copy = *item;
    copy->next = NULL;
    if (end)
      end->next = copy;
    else
      shared.child = copy;
    end = copy;
  }
  bool any = false;
  for (int p = 0; p < DUEL_PLAYERS; p++) {
    const duel_yaml *own = duel_yaml_get(map, letter[p]);
    r->net[p].init = (duel_init){.name = duel_init_kinds[0].name};
    any |= !duel_yaml_is_null(own);
    if (!duel_yaml_is_null(own))
      duel_read_init(rd, own, p == DUEL_G ? "init.G" : "init.D", &r->net[p].init);
    else if (shared.child)
      duel_read_init(rd, &shared, "init", &r->net[p].init);
  }
  if (any && !shared.child)
    for (int p = 0; p < DUEL_PLAYERS; p++)
      if (!duel_yaml_get(map, letter[p])) duel_problem_value(rd, map, "init: a value for %s is missing", letter[p]);
}

// ---- everything

static void read_section(duel_reading *rd, const char *section, const duel_yaml *map, duel_recipe *r) {
  for (const duel_field *f = duel_fields; f->section; f++) {
    if (strcmp(f->section, section)) continue;
    char path[PATH];
    const duel_yaml *node = *f->key ? duel_yaml_get(map, f->key) : duel_yaml_get(rd->root, section);
    snprintf(path, sizeof path, "%s%s%s", section, *f->key ? "." : "", f->key);
    if (f->type == DUEL_FIELD_LATER) {
      if (has_content(node)) duel_problem_key(rd, node, "%s is not supported by this version of duel", path);
      continue;
    }
    if (duel_yaml_is_null(node) && !f->standard) {
      duel_problem_value(rd, map, "%s: missing (%s)", path, f->help);
      continue;
    }
    if (duel_yaml_is_null(node)) node = standard_of(rd, f);
    if (!node) return;
    const duel_yaml *before = rd->needs_data;
    rd->needs_data = NULL;
    read_field(rd, f, node, path, r);
    if (rd->needs_data && !strcmp(section, "data"))
      duel_problem_value(rd, node, "%s: depends on the data itself", path);
    if (before) rd->needs_data = before;
  }
}

void duel_read_recipe(duel_reading *rd, duel_recipe *r) {
  r->n_nets = DUEL_PLAYERS;
  for (int p = 0; p < DUEL_PLAYERS; p++) r->net[p].name = letter[p];
  check_top(rd);
  duel_read_vars(rd, duel_yaml_get(rd->root, "vars"));
  for (const duel_section *s = duel_sections; s->name; s++) {
    const duel_yaml *node = duel_yaml_get(rd->root, s->name), *map = node;
    if (duel_yaml_is_null(node)) map = NULL;
    if (s->mapping && map && map->type != DUEL_YAML_MAP) continue; // reported
    const char *known[MAX_KEYS];
    bool keys = keys_of(s->name, known) > 0;
    if (!strcmp(s->name, "G") || !strcmp(s->name, "D")) {
      if (map)
        duel_read_layers(rd, map, s->name, &r->net[strcmp(s->name, "G") ? DUEL_D : DUEL_G].layers);
      else
        duel_problem_value(rd, NULL, "%s: missing (the list of layers)", s->name);
    } else if (!strcmp(s->name, "init")) {
      read_inits(rd, map, r);
    } else if (!strcmp(s->name, "ema") && !has_content(map)) {
      continue;
    } else {
      if (map && s->mapping && keys) check_keys(rd, s->name, map);
      if (!strcmp(s->name, "optim"))
        read_optim(rd, map, r);
      else
        read_section(rd, s->name, map, r);
      if (!strcmp(s->name, "ema")) r->net[DUEL_G].ema.on = 1;
    }
  }
}
