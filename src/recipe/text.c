// A duel_recipe as canonical text, and what differs between two such texts. Every default is written, in the order of
// the table of keys, numbers in their shortest form: equal recipes give equal bytes.
#include <string.h>

#include "base/mem.h"
#include "recipe/parts.h"

enum { LINE = 512 };

typedef struct writer {
  duel_pool *pool;
  char *text; // in the pool; doubled when full
  size_t n, cap;
  bool failed;
} writer;

static void put(writer *w, const char *s) {
  size_t length = strlen(s);
  if (w->failed) return;
  if (w->n + length + 1 > w->cap) {
    size_t cap = w->cap ? 2 * w->cap : 4096;
    while (cap < w->n + length + 1) cap *= 2;
    char *grown = duel_pool_alloc(w->pool, cap);
    if (!grown) {
      w->failed = true;
      return;
    }
    if (w->n) memcpy(grown, w->text, w->n);
    w->text = grown;
    w->cap = cap;
  }
  memcpy(w->text + w->n, s, length + 1);
  w->n += length;
}

static void put_number(writer *w, double x) {
  char text[DUEL_YAML_NUMBER_BYTES];
  duel_yaml_number_text(text, x);
  put(w, text);
}

static void put_integer(writer *w, int64_t x) {
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)x);
  put(w, text);
}

static void put_text(writer *w, const char *s) {
  size_t n = 6 * strlen(s) + 16; // every byte escaped
  char *shown = duel_pool_alloc(w->pool, n);
  duel_yaml node = {.type = DUEL_YAML_SCALAR, .quoted = true, .text = s};
  w->failed |= !shown;
  if (shown) put(w, duel_yaml_show(shown, n, &node));
}

static void put_init(writer *w, const duel_init *init) {
  const duel_init_kind *kind = duel_init_kinds;
  while (kind->name && strcmp(kind->name, init->name)) kind++;
  if (!kind->name || !kind->key[0]) {
    put(w, init->name);
    return;
  }
  put(w, "{name: ");
  put(w, init->name);
  for (int i = 0; i < 2 && kind->key[i]; i++) {
    duel_init copy = *init;
    put(w, ", ");
    put(w, kind->key[i]);
    put(w, ": ");
    put_number(w, *duel_init_number(&copy, kind->key[i]));
  }
  put(w, "}");
}

static void put_length(writer *w, duel_length l) {
  char text[48];
  duel_length_text(text, l);
  put(w, text);
}

static void put_schedule(writer *w, const duel_schedule *s) {
  static const char *const curves[] = {"constant", "linear", "cosine"};
  bool constant = s->curve == DUEL_CURVE_CONSTANT;
  if (constant && s->warmup.n == 0) {
    put_number(w, s->from);
    return;
  }
  put(w, "{from: ");
  put_number(w, s->from);
  if (!constant) {
    put(w, ", to: ");
    put_number(w, s->to);
  }
  put(w, ", curve: ");
  put(w, curves[s->curve]);
  if (s->over.n > 0) {
    put(w, ", over: ");
    put_length(w, s->over);
  }
  if (s->warmup.n > 0) {
    put(w, ", warmup: ");
    put_length(w, s->warmup);
  }
  put(w, "}");
}

static void put_choice(writer *w, const char *choices, int index) {
  for (; index > 0; index--) choices = strchr(choices, '|') + 1;
  char word[32];
  snprintf(word, sizeof word, "%.*s", (int)strcspn(choices, "|"), choices);
  put(w, word);
}

static void put_field(writer *w, const duel_field *f, const void *base) {
  const void *at = (const char *)base + f->offset;
  char text[48];
  switch (f->type) {
  case DUEL_FIELD_INT:
    put_integer(w, *(const int *)at);
    break;
  case DUEL_FIELD_INT64:
    put_integer(w, *(const int64_t *)at);
    break;
  case DUEL_FIELD_SEED:
    snprintf(text, sizeof text, "%llu", (unsigned long long)*(const uint64_t *)at);
    put(w, text);
    break;
  case DUEL_FIELD_NUMBER:
    put_number(w, *(const double *)at);
    break;
  case DUEL_FIELD_PAIR:
    put(w, "[");
    put_number(w, ((const double *)at)[0]);
    put(w, ", ");
    put_number(w, ((const double *)at)[1]);
    put(w, "]");
    break;
  case DUEL_FIELD_TEXT:
    put_text(w, *(char *const *)at);
    break;
  case DUEL_FIELD_WORD:
    put(w, *(char *const *)at);
    break;
  case DUEL_FIELD_CHOICE:
    put_choice(w, f->choices, *(const int *)at);
    break;
  case DUEL_FIELD_EXTENT:
    duel_extent_text(text, at);
    put(w, text);
    break;
  case DUEL_FIELD_BYTES:
    duel_bytes_text(text, *(const int64_t *)at);
    put(w, text);
    break;
  case DUEL_FIELD_LENGTH:
    put_length(w, *(const duel_length *)at);
    break;
  case DUEL_FIELD_SCHEDULE:
    put_schedule(w, at);
    break;
  case DUEL_FIELD_LATER:
    break;
  }
}

// ---- layers

static void indent(writer *w, int depth) {
  for (int i = 0; i < depth; i++) put(w, "  ");
}

static void put_key(writer *w, const duel_key *key, const duel_key_value *value) {
  put(w, key->name);
  put(w, ": ");
  if (key->type == DUEL_KEY_INTS) put(w, "[");
  for (int i = 0; i < value->n; i++) {
    if (i) put(w, ", ");
    if (key->type == DUEL_KEY_INIT)
      put_init(w, &value->init);
    else if (key->type == DUEL_KEY_BOOL)
      put(w, value->number[i] != 0 ? "true" : "false");
    else if (key->type == DUEL_KEY_CHOICE)
      put_choice(w, key->choices, (int)value->number[i]);
    else
      put_number(w, value->number[i]);
  }
  if (key->type == DUEL_KEY_INTS) put(w, "]");
}

static void put_layers(writer *w, const duel_layers *layers, int depth) {
  for (int i = 0; i < layers->n; i++) {
    const duel_layer *l = &layers->layer[i];
    indent(w, depth);
    put(w, "- ");
    if (!l->kind) {
      put(w, "residual:\n");
      put_layers(w, l->body, depth + 2);
      if (l->skip) {
        indent(w, depth + 1);
        put(w, "skip:\n");
        put_layers(w, l->skip, depth + 2);
      }
      indent(w, depth + 1);
      put(w, "repeat: ");
      put_integer(w, l->repeat);
      put(w, "\n");
      continue;
    }
    put(w, l->kind->name);
    int written = 0;
    for (int k = 0; l->kind->keys[k].name; k++) {
      if (l->value[k].n == 0) continue;
      put(w, written++ ? ", " : ": {");
      put_key(w, &l->kind->keys[k], &l->value[k]);
    }
    put(w, written ? "}\n" : "\n");
  }
}

// ---- sections

static void put_inits(writer *w, const duel_recipe *r) {
  const duel_init *g = &r->net[DUEL_G].init, *d = &r->net[DUEL_D].init;
  bool same = !strcmp(g->name, d->name) && g->mean == d->mean && g->std == d->std && g->value == d->value;
  put(w, "init: ");
  if (!same) put(w, "{G: ");
  put_init(w, g);
  if (!same) {
    put(w, ", D: ");
    put_init(w, d);
    put(w, "}");
  }
  put(w, "\n");
}

// One value where both players that have the key agree, else {G: …, D: …}.
static void put_optim_field(writer *w, const duel_field *f, const duel_recipe *r) {
  writer each[DUEL_PLAYERS] = {{.pool = w->pool}, {.pool = w->pool}};
  int has[DUEL_PLAYERS];
  for (int p = 0; p < DUEL_PLAYERS; p++) {
    has[p] = !f->only || (strcmp(f->only, "adam") == 0) == r->net[p].optim.adam;
    put_field(&each[p], f, &r->net[p].optim);
    w->failed |= each[p].failed;
  }
  if (w->failed || (!has[DUEL_G] && !has[DUEL_D])) return;
  put(w, "  ");
  put(w, f->key);
  put(w, ": ");
  bool split = has[DUEL_G] && has[DUEL_D] && strcmp(each[DUEL_G].text, each[DUEL_D].text);
  if (split) put(w, "{G: ");
  put(w, each[has[DUEL_G] ? DUEL_G : DUEL_D].text);
  if (split) {
    put(w, ", D: ");
    put(w, each[DUEL_D].text);
    put(w, "}");
  }
  put(w, "\n");
}

static void put_section(writer *w, const char *section, const duel_recipe *r) {
  bool optim = !strcmp(section, "optim"), begun = false;
  if (!strcmp(section, "ema") && !r->net[DUEL_G].ema.on) return;
  for (const duel_field *f = duel_fields; f->section; f++) {
    if (strcmp(f->section, section) || f->type == DUEL_FIELD_LATER) continue;
    if (!begun) {
      put(w, section);
      put(w, *f->key ? ":\n" : ": ");
    }
    begun = true;
    if (optim) {
      put_optim_field(w, f, r);
      continue;
    }
    if (*f->key) {
      put(w, "  ");
      put(w, f->key);
      put(w, ": ");
    }
    put_field(w, f, r);
    put(w, "\n");
  }
}

char *duel_recipe_text(duel_pool *pool, const duel_recipe *r) {
  writer w = {.pool = pool};
  for (const duel_section *s = duel_sections; s->name; s++) {
    if (!strcmp(s->name, "recipe")) {
      put(&w, "recipe: ");
      put_integer(&w, DUEL_RECIPE_VERSION);
      put(&w, "\n");
    } else if (!strcmp(s->name, "G") || !strcmp(s->name, "D")) {
      put(&w, s->name);
      put(&w, ":\n");
      put_layers(&w, &r->net[strcmp(s->name, "G") ? DUEL_D : DUEL_G].layers, 1);
    } else if (!strcmp(s->name, "init")) {
      put_inits(&w, r);
    } else {
      put_section(&w, s->name, r);
    }
  }
  return w.failed ? NULL : w.text;
}

// ---- comparing

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

static void compare(const comparison *c, const char *path, const duel_yaml *a, const duel_yaml *b) {
  char was[LINE / 2], is[LINE / 2], sub[LINE];
  const char *point = *path ? "." : "";
  const duel_yaml *only = a ? a : b; // where the other is absent: a section comes key by key
  if (a && b && duel_yaml_equal(a, b)) return;
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

duel_status duel_recipe_compare(const char *old_text, const char *new_text,
                                void (*each)(void *ctx, const char *key, const char *was, const char *is), void *ctx) {
  if (!strcmp(old_text, new_text)) return DUEL_OK;
  duel_pool pool = {0};
  duel_yaml *a, *b;
  comparison c = {each, ctx};
  duel_status status = duel_yaml_parse(&a, &pool, "old recipe", old_text, strlen(old_text));
  if (status == DUEL_OK) status = duel_yaml_parse(&b, &pool, "new recipe", new_text, strlen(new_text));
  if (status == DUEL_OK) compare(&c, "", a, b);
  duel_pool_close(&pool);
  return status;
}

typedef struct listing {
  char *dst;
  size_t n, used;
  int more;
} listing;

static void list_one(void *ctx, const char *key, const char *was, const char *is) {
  listing *l = ctx;
  char line[2 * LINE];
  size_t length = (size_t)snprintf(line, sizeof line, "%s: %s -> %s", key, was, is);
  if (l->more || l->used + length + 24 > l->n) {
    l->more++;
    return;
  }
  l->used += (size_t)snprintf(l->dst + l->used, l->n - l->used, "%s%s", l->used ? "\n" : "", line);
}

duel_status duel_recipe_diff(const char *old_text, const char *new_text, char *dst, size_t n) {
  listing l = {.dst = dst, .n = n};
  *dst = 0;
  DUEL_TRY(duel_recipe_compare(old_text, new_text, list_one, &l));
  if (l.more) snprintf(dst + l.used, n - l.used, "%sand %d more", l.used ? "\n" : "", l.more);
  return DUEL_OK;
}
