// JSON: nothing crashes, and what was read can be quoted and read again.
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const char *text) {
  duel_json_writer measure = {.room = 0}, w = {.room = 0};
  duel_json_text(&measure, NULL, text);
  size_t need = measure.length;
  char *quoted = malloc(need + 1);
  duel_json *again;
  w.dst = quoted;
  w.room = need + 1;
  if (quoted) duel_json_text(&w, NULL, text);
  if (!quoted || w.length != need || strlen(quoted) != need) abort();
  if (duel_json_parse(&again, quoted, need) != DUEL_OK || strcmp(again->text, text) != 0) abort();
  duel_free(again);
  free(quoted);
}

static void walk(const duel_json *v) {
  for (; v; v = v->next) {
    if (v->key) check(v->key);
    if (v->type == DUEL_JSON_STRING) check(v->text);
    walk(v->child);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  duel_json *root;
  if (duel_json_parse(&root, (const char *)bytes, n) == DUEL_OK) walk(root);
  duel_free(root);
  return 0;
}
