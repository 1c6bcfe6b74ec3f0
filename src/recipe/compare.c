// What differs between two resolved recipes.
#include <string.h>

#include "recipe/parts.h"

enum { LINE = 512 };

typedef struct comparison {
  void (*each)(void *ctx, const char *key, const char *was, const char *is);
  void *ctx;
} comparison;

static bool scalars_only(const duel_yaml *node) {
  for (const duel_yaml *item = node->child; item; item = item->next)
    if (item->type != DUEL_YAML_SCALAR) return false;
  return true;
}

static bool share_a_key(const duel_yaml *a, const duel_yaml *b) {
  for (const duel_yaml *item = a->child; item; item = item->next)
    if (duel_yaml_get(b, item->key)) return true;
  return false;
}

static void compare(const comparison *c, const char *path, const duel_yaml *a, const duel_yaml *b);

// Key by key; either may be absent. The layers of a net go by its own name: item k of G is G.k.
static void compare_maps(const comparison *c, const char *path, const duel_yaml *a, const duel_yaml *b) {
  const duel_yaml *maps[2] = {a, b};
  for (int k = 0; k < 2; k++)
    for (const duel_yaml *item = maps[k] ? maps[k]->child : NULL; item; item = item->next) {
      const duel_yaml *x = k ? duel_yaml_get(a, item->key) : item, *y = k ? item : duel_yaml_get(b, item->key);
      bool layers = *path && !strchr(path, '.') && !strcmp(item->key, duel_net_kind.main_key);
      char sub[LINE];
      snprintf(sub, sizeof sub, "%.400s%s%.64s", path, *path && !layers ? "." : "", layers ? "" : item->key);
      if (!k || !x) compare(c, sub, x, y);
    }
}

static void compare_lists(const comparison *c, const char *path, const duel_yaml *a, const duel_yaml *b) {
  const duel_yaml *x = a->child, *y = b->child;
  for (int i = 0; x || y; i++) {
    char sub[LINE];
    snprintf(sub, sizeof sub, "%.400s%s%d", path, *path ? "." : "", i);
    compare(c, sub, x, y);
    x = x ? x->next : NULL;
    y = y ? y->next : NULL;
  }
}

static void compare(const comparison *c, const char *path, const duel_yaml *a, const duel_yaml *b) {
  const bool outer = !strchr(path, '.');
  if (a && b && duel_yaml_equal(a, b)) return;
  if (outer && a && b && a->type != b->type && (a->type == DUEL_YAML_LIST || b->type == DUEL_YAML_LIST)) {
    // Two nets, one of them a list alone.
    duel_yaml list = a->type == DUEL_YAML_LIST ? *a : *b;
    const duel_yaml net = {.type = DUEL_YAML_MAP, .child = &list};
    list.key = duel_net_kind.main_key;
    list.next = NULL;
    compare_maps(c, path, a->type == DUEL_YAML_LIST ? &net : a, b->type == DUEL_YAML_LIST ? &net : b);
    return;
  }
  const duel_yaml *any = a ? a : b;
  const bool both = a && b && a->type == b->type;
  const bool maps = any->type == DUEL_YAML_MAP && (both ? share_a_key(a, b) : outer && (!a || !b));
  const bool lists = both && a->type == DUEL_YAML_LIST && (outer || !scalars_only(a) || !scalars_only(b));
  char was[LINE / 2], is[LINE / 2];
  if (maps)
    compare_maps(c, path, a, b);
  else if (lists)
    compare_lists(c, path, a, b);
  else
    c->each(c->ctx, path, a ? duel_yaml_show(was, sizeof was, a) : "(none)",
            b ? duel_yaml_show(is, sizeof is, b) : "(none)");
}

// The text's tree, with the defaults of keys that came after it.
static duel_status complete(duel_yaml **root, duel_pool *pool, const char *label, const char *text) {
  duel_recipe_source *source;
  duel_recipe *r = NULL;
  DUEL_TRY(duel_recipe_load(&source, label, text, NULL, NULL, 0));
  duel_status status = duel_recipe_resolve(&r, source, NULL);
  duel_recipe_source_close(source);
  if (status == DUEL_OK) status = duel_yaml_parse(root, pool, label, r->text, strlen(r->text));
  duel_recipe_close(r);
  return status;
}

duel_status duel_recipe_compare(const char *old_text, const char *new_text,
                                void (*each)(void *ctx, const char *key, const char *was, const char *is), void *ctx) {
  if (!strcmp(old_text, new_text)) return DUEL_OK;
  duel_pool pool = {0};
  duel_yaml *a, *b;
  comparison c = {each, ctx};
  duel_status status = complete(&a, &pool, "old recipe", old_text);
  if (status == DUEL_OK) status = complete(&b, &pool, "new recipe", new_text);
  if (status == DUEL_OK) compare(&c, "", a, b);
  duel_pool_close(&pool);
  return status;
}
