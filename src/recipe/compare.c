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

// Two nets, one of them a list alone: item k of G is G.k.
static void compare_net(const comparison *c, const char *path, const duel_yaml *a, const duel_yaml *b) {
  char sub[LINE];
  const duel_yaml *maps[2] = {a, b}, *layers[2];
  for (int i = 0; i < 2; i++) layers[i] = maps[i]->type == DUEL_YAML_MAP ? duel_yaml_get(maps[i], "layers") : maps[i];
  compare(c, path, layers[0], layers[1]);
  for (const duel_key *key = duel_net_kind.keys + 1; key->name; key++) {
    const duel_yaml *x = duel_yaml_get(a, key->name), *y = duel_yaml_get(b, key->name);
    snprintf(sub, sizeof sub, "%.400s.%.64s", path, key->name);
    if (x || y) compare(c, sub, x, y);
  }
}

static void compare(const comparison *c, const char *path, const duel_yaml *a, const duel_yaml *b) {
  char was[LINE / 2], is[LINE / 2], sub[LINE];
  const char *point = *path ? "." : "";
  const duel_yaml *only = a ? a : b; // where the other is absent: a section comes key by key
  if (a && b && duel_yaml_equal(a, b)) return;
  if (a && b && !strchr(path, '.') && (duel_yaml_get(a, "layers") || duel_yaml_get(b, "layers"))) {
    compare_net(c, path, a, b);
    return;
  }
  if ((!a || !b) && only->type == DUEL_YAML_MAP && !strchr(path, '.')) {
    for (const duel_yaml *item = only->child; item; item = item->next) {
      snprintf(sub, sizeof sub, "%.400s.%.64s", path, item->key);
      compare(c, sub, a ? item : NULL, b ? item : NULL);
    }
    return;
  }
  if (a && b && a->type == DUEL_YAML_MAP && b->type == DUEL_YAML_MAP && share_a_key(a, b)) {
    for (const duel_yaml *item = a->child; item; item = item->next) {
      snprintf(sub, sizeof sub, "%.400s%s%.64s", path, point, item->key);
      compare(c, sub, item, duel_yaml_get(b, item->key));
    }
    for (const duel_yaml *item = b->child; item; item = item->next) {
      snprintf(sub, sizeof sub, "%.400s%s%.64s", path, point, item->key);
      if (!duel_yaml_get(a, item->key)) compare(c, sub, NULL, item);
    }
    return;
  }
  bool lists = a && b && a->type == DUEL_YAML_LIST && b->type == DUEL_YAML_LIST;
  if (lists && !(scalars_only(a) && scalars_only(b) && strchr(path, '.'))) {
    const duel_yaml *x = a->child, *y = b->child;
    for (int i = 0; x || y; i++) {
      snprintf(sub, sizeof sub, "%.400s%s%d", path, point, i);
      compare(c, sub, x, y);
      x = x ? x->next : NULL;
      y = y ? y->next : NULL;
    }
    return;
  }
  c->each(c->ctx, path, a ? duel_yaml_show(was, sizeof was, a) : "(none)",
          b ? duel_yaml_show(is, sizeof is, b) : "(none)");
}

// The text's tree, with the defaults of keys that came after it.
static duel_status complete(duel_yaml **root, duel_pool *pool, const char *label, const char *text) {
  duel_recipe_source *source;
  duel_recipe *r = NULL;
  DUEL_TRY(duel_recipe_load_text(&source, label, text, NULL, 0));
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
