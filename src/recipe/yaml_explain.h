// What libyaml did not like, in words that tell the cause and the cure: it speaks of tokens, and often points behind
// the place that is wrong.
#ifndef DUEL_RECIPE_YAML_EXPLAIN_H
#define DUEL_RECIPE_YAML_EXPLAIN_H

#include <stddef.h>

typedef struct duel_yaml_fault {
  const char *text; // the file
  size_t n;
  const char *problem, *context; // libyaml's words; context NULL: none
  size_t at, begin;              // bytes up to the problem, and to what was under way there
} duel_yaml_fault;

// Writes the explanation, and moves f->at to what it speaks of.
void duel_yaml_explain(duel_yaml_fault *f, char *dst, size_t n);
// Why these bytes are no YAML at all: another encoding, no text; "" where that does not show at once.
const char *duel_yaml_foreign(const char *text, size_t n);
// Bytes of a character at s that looks like a blank, quote, dash or colon and is none, and what to type in its place;
// 0: it is another.
size_t duel_yaml_lookalike(const char *s, size_t n, const char **name, const char **type);
// Line and column, from 0, of a byte.
void duel_yaml_position(const char *text, size_t at, size_t *line, size_t *col);

#endif
