#include "recipe_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

const duel_data_shape recipe_images = {.rank = 3, .dim = {1, 28, 28}, .classes = 10},
                      recipe_points = {.rank = 1, .dim = {2}};

duel_recipe *recipe_resolve(duel_recipe_source *source, const duel_data_shape *data) {
  duel_recipe *r, *again;
  if (duel_recipe_resolve(&r, source, data) != DUEL_OK) fail_msg("%s", duel_last_error());
  duel_recipe_source_close(source);
  // Whatever resolves has a text that resolves to the same text, without data.
  if (duel_recipe_load(&source, "again", r->text, NULL, NULL, 0) != DUEL_OK) fail_msg("%s", duel_last_error());
  if (duel_recipe_resolve(&again, source, NULL) != DUEL_OK) fail_msg("%s", duel_last_error());
  assert_string_equal(again->text, r->text);
  duel_recipe_source_close(source);
  duel_recipe_close(again);
  return r;
}

static duel_recipe *resolve_settings(const char *text, const duel_setting *setting, int n) {
  duel_recipe_source *source;
  if (duel_recipe_load(&source, "t", text, NULL, setting, n) != DUEL_OK) fail_msg("%s", duel_last_error());
  return recipe_resolve(source, &recipe_images);
}

duel_recipe *recipe_from(const char *text) {
  return resolve_settings(text, NULL, 0);
}

static int settings(duel_setting setting[16], char buffer[16][256], const char *const *pairs) {
  int n = 0;
  for (; pairs[n]; n++) {
    snprintf(buffer[n], sizeof buffer[n], "%s", pairs[n]);
    char *key = buffer[n], *origin = NULL, *value = strchr(key, '=');
    *value++ = 0;
    if (*key == '-') {
      origin = key;
      key = strchr(key, ' ');
      *key++ = 0;
    }
    setting[n] = (duel_setting){key, value, origin};
  }
  return n;
}

duel_recipe *recipe_set(const char *text, const char *const *pairs) {
  duel_setting setting[16];
  char buffer[16][256];
  return resolve_settings(text, setting, settings(setting, buffer, pairs));
}

// cmocka cuts long messages; the place where they part is what matters.
void recipe_message(const char *expected) {
  const char *message = duel_last_error();
  size_t same = 0;
  while (expected[same] && expected[same] == message[same]) same++;
  if (strcmp(message, expected))
    fail_msg("is  %.200s\n  not %.200s\n  after %.*s", message + same, expected + same, (int)same, message);
}

void recipe_refuses_set(const char *text, const char *message, const char *const *pairs) {
  duel_setting setting[16];
  char buffer[16][256];
  duel_recipe_source *source;
  assert_int_equal(duel_recipe_load(&source, "t", text, NULL, setting, settings(setting, buffer, pairs)),
                   DUEL_ERR_USAGE);
  recipe_message(message);
}

void recipe_refuses(const char *text, const char *message) {
  recipe_refuses_set(text, message, (const char *const[]){NULL});
}

const duel_key_value *value_of(const duel_chosen *c, const char *key) {
  int i = 0;
  while (c->kind->keys[i].name && strcmp(c->kind->keys[i].name, key)) i++;
  if (!c->kind->keys[i].name) fail_msg("%s has no key %s", c->kind->name, key);
  return &c->value[i];
}

const duel_schedule *lr_of(const duel_recipe *r, int net) {
  return &value_of(&r->net[net].optim, "lr")->schedule;
}

bool is_named(const duel_chosen *c, const char *name) {
  return !strcmp(c->kind->name, name);
}

typedef struct listing {
  char *dst;
  size_t n, used;
} listing;

static void list_one(void *ctx, const char *key, const char *was, const char *is) {
  listing *l = ctx;
  if (l->used >= l->n) return;
  l->used += (size_t)snprintf(l->dst + l->used, l->n - l->used, "%s%s: %s -> %s", l->used ? "\n" : "", key, was, is);
}

duel_status recipe_diff(const char *old_text, const char *new_text, char *dst, size_t n) {
  listing l = {.dst = dst, .n = n};
  *dst = 0;
  return duel_recipe_compare(old_text, new_text, list_one, &l);
}
