// A duel_recipe as canonical text. Every default is written, in the order of the vocabulary, numbers in their shortest
// form: equal recipes give equal bytes.
#include <string.h>

#include "recipe/parts.h"

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

static void put_text(writer *w, const char *s) {
  size_t n = 6 * strlen(s) + 16; // every byte escaped
  char *shown = duel_pool_alloc(w->pool, n);
  duel_yaml node = {.type = DUEL_YAML_SCALAR, .quoted = true, .text = s};
  w->failed |= !shown;
  if (shown) put(w, duel_yaml_show(shown, n, &node));
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

static void put_seed(writer *w, uint64_t seed) {
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
  put(w, text);
}

static void put_integer(writer *w, double x) {
  char text[32];
  snprintf(text, sizeof text, "%.0f", x);
  put(w, text);
}

static void put_list(writer *w, const duel_key_value *v, void (*one)(writer *, double)) {
  put(w, "[");
  for (int i = 0; i < v->n; i++) {
    if (i) put(w, ", ");
    one(w, v->number[i]);
  }
  put(w, "]");
}

static void put_chosen(writer *w, const duel_chosen *c, bool named);

// On one line.
static void put_value(writer *w, const duel_key *key, const duel_key_value *v) {
  char text[48];
  switch (key->type) {
  case DUEL_KEY_BOOL:
    put(w, v->number[0] != 0 ? "true" : "false");
    break;
  case DUEL_KEY_CHOICE:
    put(w, v->text);
    break;
  case DUEL_KEY_INT:
    put_integer(w, v->number[0]);
    break;
  case DUEL_KEY_INTS:
    put_list(w, v, put_integer);
    break;
  case DUEL_KEY_NUMBERS:
    put_list(w, v, put_number);
    break;
  case DUEL_KEY_TEXT:
    put_text(w, v->text);
    break;
  case DUEL_KEY_SEED:
    put_seed(w, v->seed);
    break;
  case DUEL_KEY_EXTENT:
    duel_extent_text(text, v->number);
    put(w, text);
    break;
  case DUEL_KEY_BYTES:
    duel_bytes_text(text, v->number[0]);
    put(w, text);
    break;
  case DUEL_KEY_LENGTH:
    put_length(w, v->length);
    break;
  case DUEL_KEY_SCHEDULE:
    put_schedule(w, &v->schedule);
    break;
  case DUEL_KEY_INIT:
  case DUEL_KEY_CHOSEN:
    put_chosen(w, v->chosen, true);
    break;
  case DUEL_KEY_SECTION:
    put_chosen(w, v->chosen, false);
    break;
  default:
    put_number(w, v->number[0]);
    break;
  }
}

// How many keys have a value; those of a game stand in `train`.
static int count_keys(const duel_chosen *c) {
  int n = 0;
  for (int k = 0; c->value && c->kind->keys[k].name; k++) n += c->value[k].n > 0;
  return n;
}

// named: {name: adam, lr: 0.1}, or the name alone where it has no keys. Else {half_life: 10 kimg}.
static void put_chosen(writer *w, const duel_chosen *c, bool named) {
  int written = named;
  bool bare = named && !count_keys(c);
  if (!bare) put(w, named ? "{name: " : "{");
  if (named) put(w, c->kind->name);
  for (int k = 0; !bare && c->kind->keys[k].name; k++) {
    if (!c->value[k].n) continue;
    if (written++) put(w, ", ");
    put(w, c->kind->keys[k].name);
    put(w, ": ");
    put_value(w, &c->kind->keys[k], &c->value[k]);
  }
  if (!bare) put(w, "}");
}

// ---- layers

static void indent(writer *w, int depth) {
  for (int i = 0; i < depth; i++) put(w, "  ");
}

static void put_layers(writer *w, const duel_layers *layers, int depth);

static void put_block(writer *w, const duel_layer *l, int depth) {
  int written = 0;
  for (int k = 0; l->kind->keys[k].name; k++) {
    const duel_key *key = &l->kind->keys[k];
    if (!l->value[k].n) continue;
    if (written++) indent(w, depth + 1);
    put(w, key->name);
    if (key->type == DUEL_KEY_LAYERS) {
      put(w, ":\n");
      put_layers(w, l->value[k].layers, depth + 2);
    } else {
      put(w, ": ");
      put_value(w, key, &l->value[k]);
      put(w, "\n");
    }
  }
}

static void put_layers(writer *w, const duel_layers *layers, int depth) {
  for (int i = 0; i < layers->n; i++) {
    const duel_layer *l = &layers->layer[i];
    indent(w, depth);
    put(w, "- ");
    if (duel_kind_is_block(l->kind)) {
      put_block(w, l, depth);
    } else {
      const duel_chosen keys = {l->kind, l->value};
      bool any = count_keys(&keys) > 0;
      put(w, l->kind->name);
      put(w, any ? ": " : l->save ? ":" : "");
      if (any) put_chosen(w, &keys, false);
      put(w, "\n");
    }
    if (!l->save) continue;
    indent(w, depth + 1);
    put(w, "save: ");
    put_text(w, l->save);
    put(w, "\n");
  }
}

// ---- sections

// Whether a net's key differs from that at the top. `ema` there is the generating net's.
static bool is_own(writer *w, const duel_recipe *r, const char *net, const duel_key *key, const duel_key_value *v) {
  const char *generator = ((const duel_game_kind *)(const void *)r->game.kind)->generator;
  const duel_key *top = duel_key_find(r->root.kind->keys, key->name);
  const duel_key_value *standard = top ? &r->root.value[top - r->root.kind->keys] : NULL;
  bool apart = key->type == DUEL_KEY_SECTION && (!generator || strcmp(generator, net) != 0);
  if (!v->n || apart || !standard || !standard->n) return v->n;
  writer own = {.pool = w->pool}, other = {.pool = w->pool};
  put_value(&own, key, v);
  put_value(&other, top, standard);
  w->failed |= own.failed || other.failed;
  return !w->failed && strcmp(own.text, other.text) != 0;
}

static void put_net(writer *w, const duel_recipe *r, const char *name, const duel_chosen *net) {
  bool own[DUEL_NET_EMA + 1] = {false}, any = false;
  for (int k = DUEL_NET_INIT; k <= DUEL_NET_EMA; k++)
    any |= own[k] = is_own(w, r, name, &net->kind->keys[k], &net->value[k]);
  put(w, any ? ":\n  layers:\n" : ":\n");
  put_layers(w, net->value[DUEL_NET_LAYERS].layers, any ? 2 : 1);
  for (int k = DUEL_NET_INIT; k <= DUEL_NET_EMA; k++) {
    if (!own[k]) continue;
    put(w, "  ");
    put(w, net->kind->keys[k].name);
    put(w, ": ");
    put_value(w, &net->kind->keys[k], &net->value[k]);
    put(w, "\n");
  }
}

// name: …, then a line a key.
static void put_lines(writer *w, const duel_chosen *c, bool named) {
  if (named) {
    put(w, "\n  name: ");
    put(w, c->kind->name);
  }
  for (int k = 0; c->kind->keys[k].name; k++) {
    if (!c->value[k].n) continue;
    put(w, "\n  ");
    put(w, c->kind->keys[k].name);
    put(w, ": ");
    put_value(w, &c->kind->keys[k], &c->value[k]);
  }
  put(w, "\n");
}

static void put_entries(writer *w, const duel_key_value *v) {
  for (int i = 0; i < v->n; i++) {
    put(w, "\n  ");
    put(w, v->chosen[i].kind->name);
    put(w, ": ");
    put_chosen(w, &v->chosen[i], false);
  }
  put(w, "\n");
}

char *duel_recipe_text(duel_pool *pool, const duel_recipe *r) {
  writer w = {.pool = pool};
  for (int k = 0; r->root.kind->keys[k].name; k++) {
    const duel_key *key = &r->root.kind->keys[k];
    const duel_key_value *v = &r->root.value[k];
    bool section = key->type == DUEL_KEY_SECTION, chosen = key->type == DUEL_KEY_CHOSEN || key->type == DUEL_KEY_INIT;
    if (!v->n || (section && !count_keys(v->chosen))) continue;
    put(&w, key->name);
    if (key->of == &duel_net_kind) {
      put_net(&w, r, key->name, v->chosen);
      continue;
    }
    put(&w, ":");
    if (key->type == DUEL_KEY_ENTRIES) {
      put_entries(&w, v);
    } else if (section || (chosen && count_keys(v->chosen))) {
      put_lines(&w, v->chosen, chosen);
    } else {
      put(&w, " ");
      put_value(&w, key, v);
      put(&w, "\n");
    }
  }
  return w.failed ? NULL : w.text;
}
