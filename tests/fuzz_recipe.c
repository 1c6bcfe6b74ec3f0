// Recipes: nothing crashes or hangs, and whatever resolves has a text that resolves to itself and differs from itself
// in nothing. Behind a line "#set" stand settings, key=value a line; those that begin with '-' come from a flag.
#include <stdlib.h>
#include <string.h>

#include "recipe/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MOST_SETTINGS = 8 };

static int read_settings(char *text, duel_setting *setting) {
  char *rest = strstr(text, "\n#set\n");
  int count = 0;
  if (!rest) return 0;
  *rest = 0;
  rest += 6;
  for (char *line; count < MOST_SETTINGS && (line = strsep(&rest, "\n"));) {
    char *value = strchr(line, '=');
    if (!value) continue;
    *value++ = 0;
    setting[count++] = (duel_setting){line + (*line == '-'), value, *line == '-' ? "--flag" : NULL};
  }
  return count;
}

static duel_recipe *resolve(const char *text, const duel_setting *setting, int count, const duel_data_shape *data) {
  duel_recipe_source *source;
  duel_recipe *r = NULL;
  if (duel_recipe_load(&source, "fuzz", text, NULL, setting, count) != DUEL_OK) return NULL;
  if (duel_recipe_resolve(&r, source, data) != DUEL_OK) r = NULL;
  duel_recipe_source_close(source);
  return r;
}

static void differs(void *ctx, const char *key, const char *was, const char *is) {
  (void)ctx, (void)key, (void)was, (void)is;
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  static const duel_data_shape images = {.rank = 3, .dim = {1, 28, 28}, .classes = 10};
  duel_setting setting[MOST_SETTINGS];
  char *text = malloc(n + 1);
  if (!text) abort();
  memcpy(text, bytes, n);
  text[n] = 0;
  int count = read_settings(text, setting);
  if (strstr(text, "/dev/")) return free(text), 0; // a base that never ends
  duel_recipe *r = resolve(text, setting, count, &images);
  free(text);
  if (!r) {
    const char *message = duel_last_error();
    if (!*message || strlen(message) > 4096) abort();
    return 0;
  }
  duel_recipe *again = resolve(r->text, NULL, 0, NULL);
  if (!again || strcmp(again->text, r->text) != 0) abort();
  if (duel_recipe_compare(r->text, again->text, differs, NULL) != DUEL_OK) abort();
  const duel_schedule *lr = &r->net[0].optim.value[0].schedule;
  if (duel_length_steps(r->train.length, r->train.batch, 60000) < 1) abort();
  double rate = duel_schedule_at(lr, 1000, 5000, r->train.batch, 60000);
  if (!(rate >= 0 && rate <= 1e6)) abort();
  duel_recipe_close(again);
  duel_recipe_close(r);
  return 0;
}
