// A duel_recipe as canonical text. Every default is written, in the order of the vocabulary, numbers in their shortest
// form: equal recipes give equal bytes.
#include <stdarg.h>
#include <string.h>

#include "recipe/parts.h"

typedef struct writer {
  duel_pool *pool;
  char *text; // in the pool; a new one twice as large when full
  size_t n, cap;
  bool failed;
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  size_t length = (size_t)vsnprintf(NULL, 0, fmt, args);
  if (w->n + length + 1 > w->cap) {
    size_t cap = 2 * w->cap + length + 1024;
    char *grown = duel_pool_alloc(w->pool, cap);
    w->failed |= !grown;
    if (grown && w->n) memcpy(grown, w->text, w->n);
    if (grown) w->text = grown, w->cap = cap;
  }
  if (!w->failed) vsnprintf(w->text + w->n, length + 1, fmt, again);
  if (!w->failed) w->n += length;
  va_end(again);
  va_end(args);
}

// ---- on one line

static void put_number(writer *w, double x) {
  char text[DUEL_YAML_NUMBER_BYTES];
  duel_yaml_number_text(text, x);
  put(w, "%s", text);
}

static void put_text(writer *w, const char *s) {
  size_t n = 6 * strlen(s) + 16; // every byte escaped
  char *shown = duel_pool_alloc(w->pool, n);
  w->failed |= !shown;
  if (shown) put(w, "%s", duel_yaml_show(shown, n, &(duel_yaml){.quoted = true, .text = s}));
}

static void put_length(writer *w, const char *before, duel_length l) {
  char text[48];
  duel_length_text(text, l);
  put(w, "%s%s", before, text);
}

static void put_end(writer *w, bool lengths, double n, duel_unit unit) {
  if (lengths)
    put_length(w, "", (duel_length){n, unit});
  else
    put_number(w, n);
}

static void put_schedule(writer *w, bool lengths, const duel_schedule *s) {
  static const char *const curves[] = {"constant", "linear", "cosine"};
  bool constant = s->curve == DUEL_CURVE_CONSTANT, plain = constant && s->warmup.n == 0;
  if (!plain) put(w, "{from: ");
  put_end(w, lengths, s->from, s->unit);
  if (plain) return;
  if (!constant) put(w, ", to: "), put_end(w, lengths, s->to, s->unit);
  put(w, ", curve: %s", curves[s->curve]);
  if (s->over.n > 0) put_length(w, ", over: ", s->over);
  if (s->warmup.n > 0) put_length(w, ", warmup: ", s->warmup);
  put(w, "}");
}

static void put_list(writer *w, const duel_key_value *v) {
  for (int i = 0; i < v->n; i++) {
    put(w, i ? ", " : "[");
    put_number(w, v->number[i]);
  }
  put(w, "]");
}

static void put_chosen(writer *w, const duel_chosen *c, bool named);

static void put_value(writer *w, const duel_key *key, const duel_key_value *v) {
  char text[48];
  switch (key->type) {
  case DUEL_KEY_INT:
    put(w, "%.0f", v->number[0]);
    break;
  case DUEL_KEY_BOOL:
    put(w, v->number[0] != 0 ? "true" : "false");
    break;
  case DUEL_KEY_CHOICE:
    put(w, "%s", v->text);
    break;
  case DUEL_KEY_INTS:
  case DUEL_KEY_NUMBERS:
    put_list(w, v);
    break;
  case DUEL_KEY_TEXT:
    put_text(w, v->text);
    break;
  case DUEL_KEY_SEED:
    put(w, "%llu", (unsigned long long)v->seed);
    break;
  case DUEL_KEY_EXTENT:
    if (v->number[0] == v->number[1])
      put(w, "%.0f", v->number[0]);
    else
      put(w, "[%.0f, %.0f]", v->number[0], v->number[1]);
    break;
  case DUEL_KEY_BYTES:
    duel_bytes_text(text, v->number[0]);
    put(w, "%s", text);
    break;
  case DUEL_KEY_LENGTH:
    put_length(w, "", v->length);
    break;
  case DUEL_KEY_SCHEDULE:
  case DUEL_KEY_LENGTHS:
    if (v->text)
      put(w, "%s", v->text);
    else
      put_schedule(w, key->type == DUEL_KEY_LENGTHS, &v->schedule);
    break;
  case DUEL_KEY_INIT:
  case DUEL_KEY_CHOSEN:
  case DUEL_KEY_SECTION:
    put_chosen(w, v->chosen, key->type != DUEL_KEY_SECTION);
    break;
  default:
    put_number(w, v->number[0]);
    break;
  }
}

// The next key from k on that has a value, -1 if none has; a game's keys stand in `train`.
static int next_key(const duel_chosen *c, int k) {
  while (c->value && c->kind->keys[k].name && !c->value[k].n) k++;
  return c->value && c->kind->keys[k].name ? k : -1;
}

// named: {name: adam, lr: 0.1}, or the name alone where it has no keys. Else {half_life: 10 kimg}.
static void put_chosen(writer *w, const duel_chosen *c, bool named) {
  int first = next_key(c, 0);
  if (named) put(w, first < 0 ? "%s" : "{name: %s", c->kind->name);
  for (int k = first; k >= 0; k = next_key(c, k + 1)) {
    put(w, "%s%s: ", k > first || named ? ", " : "{", c->kind->keys[k].name);
    put_value(w, &c->kind->keys[k], &c->value[k]);
  }
  if (first >= 0) put(w, "}");
}

// ---- layers

static void put_layers(writer *w, const duel_layers *layers, int depth);

// A line for each key; a list of layers takes more. inline: the first one stands where the line is already begun.
static void put_pairs(writer *w, const duel_chosen *c, int depth, bool inlined) {
  for (int k = next_key(c, 0); k >= 0; k = next_key(c, k + 1)) {
    const duel_key *key = &c->kind->keys[k];
    put(w, "%*s%s:", inlined ? 0 : depth, "", key->name);
    inlined = false;
    if (key->type == DUEL_KEY_LAYERS)
      put_layers(w, c->value[k].layers, depth + 2);
    else
      put(w, " "), put_value(w, key, &c->value[k]), put(w, "\n");
  }
}

// On lines of their own. depth: blanks before a line.
static void put_layers(writer *w, const duel_layers *layers, int depth) {
  put(w, "\n");
  for (const duel_layer *l = layers->layer; l < layers->layer + layers->n; l++) {
    const duel_chosen keys = {l->kind, l->value};
    put(w, "%*s- ", depth, "");
    if (duel_kind_is_block(l->kind)) {
      put_pairs(w, &keys, depth + 2, true);
    } else {
      bool any = next_key(&keys, 0) >= 0;
      put(w, "%s%s", l->kind->name, any ? ": " : l->save ? ":" : "");
      put_chosen(w, &keys, false);
      put(w, "\n");
    }
    if (!l->save) continue;
    put(w, "%*ssave: ", depth + 2, "");
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
  duel_key_value own[DUEL_NET_KEYS] = {net->value[DUEL_NET_LAYERS]};
  bool any = false;
  for (int k = DUEL_NET_INIT; k < DUEL_NET_KEYS; k++) {
    if (!is_own(w, r, name, &net->kind->keys[k], &net->value[k])) continue;
    own[k] = net->value[k];
    any = true;
  }
  if (!any) {
    put_layers(w, own[DUEL_NET_LAYERS].layers, 2);
    return;
  }
  put(w, "\n");
  put_pairs(w, &(duel_chosen){net->kind, own}, 2, false);
}

static void put_entries(writer *w, const duel_key_value *v) {
  put(w, "\n");
  for (int i = 0; i < v->n; i++) {
    put(w, "  %s: ", v->chosen[i].kind->name);
    put_chosen(w, &v->chosen[i], false);
    put(w, "\n");
  }
}

char *duel_recipe_text(duel_pool *pool, const duel_recipe *r) {
  writer w = {.pool = pool};
  for (int k = next_key(&r->root, 0); k >= 0; k = next_key(&r->root, k + 1)) {
    const duel_key *key = &r->root.kind->keys[k];
    const duel_key_value *v = &r->root.value[k];
    bool section = key->type == DUEL_KEY_SECTION, chosen = key->type == DUEL_KEY_CHOSEN || key->type == DUEL_KEY_INIT;
    bool empty = (section || chosen) && next_key(v->chosen, 0) < 0;
    if (section && empty) continue;
    put(&w, "%s:", key->name);
    if (key->of == &duel_net_kind)
      put_net(&w, r, key->name, v->chosen);
    else if (key->type == DUEL_KEY_ENTRIES)
      put_entries(&w, v);
    else if (section || (chosen && !empty))
      put(&w, chosen ? "\n  name: %s\n" : "\n", v->chosen->kind->name), put_pairs(&w, v->chosen, 2, false);
    else
      put(&w, " "), put_value(&w, key, v), put(&w, "\n");
  }
  return w.failed ? NULL : w.text;
}
