// YAML: a strict reader into a tree whose nodes know where they stand, with scalars as YAML 1.2's core schema has them
// (yes and on are text, 0o17 is 15). One document; no anchors, aliases, tags or directives; no duplicate keys; UTF-8;
// at most DUEL_YAML_MAX_BYTES, DUEL_YAML_MAX_NODES nodes, nested DUEL_YAML_MAX_DEPTH deep, DUEL_YAML_MAX_KEYS a
// mapping.
#ifndef DUEL_RECIPE_YAML_H
#define DUEL_RECIPE_YAML_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"

enum {
  DUEL_YAML_MAX_BYTES = 1 << 20,
  DUEL_YAML_MAX_NODES = 100000,
  DUEL_YAML_MAX_DEPTH = 64,
  DUEL_YAML_MAX_KEYS = 1000,
};

typedef enum duel_yaml_type { DUEL_YAML_SCALAR, DUEL_YAML_LIST, DUEL_YAML_MAP } duel_yaml_type;

typedef struct duel_yaml {
  duel_yaml_type type;
  bool quoted;                    // scalar: written with quotes or as a block, so always text
  const char *text;               // scalar: UTF-8, no zero inside
  const char *key;                // in a map; not empty
  const char *file;               // named in messages
  int line, col;                  // of the value, from 1; line 0: messages name the file alone
  int key_line, key_col;          // of the key
  struct duel_yaml *child, *next; // items of a list or map, in order
} duel_yaml;

// Reads n bytes as one document into pool. `file` is kept by reference. USAGE errors begin with file:line:col.
// An empty document is an error.
duel_status duel_yaml_parse(duel_yaml **root, duel_pool *pool, const char *file, const char *text, size_t n);
// The same for a value that stands in no file (`origin` "--set train.batch=64"): marks are line 0, and an empty text is
// null.
duel_status duel_yaml_parse_value(duel_yaml **root, duel_pool *pool, const char *origin, const char *text);

duel_yaml *duel_yaml_get(const duel_yaml *map, const char *key); // NULL if absent, or if map is no map
int duel_yaml_count(const duel_yaml *node);                      // items of a list or map
bool duel_yaml_equal(const duel_yaml *a, const duel_yaml *b);    // same values; order of keys does not matter

// What a plain scalar is. Each yields false, and leaves dst alone, if the node is something else or does not fit.
bool duel_yaml_is_null(const duel_yaml *node); // NULL is null too
bool duel_yaml_bool(const duel_yaml *node, bool *dst);
bool duel_yaml_int(const duel_yaml *node, int64_t *dst);
bool duel_yaml_uint(const duel_yaml *node, uint64_t *dst);
bool duel_yaml_number(const duel_yaml *node, double *dst); // an integer too; never infinite, never NaN

// Numbers as text and back, with a point in any locale. Text of a number: the shortest that reads back as x, in a form
// that YAML 1.1 takes for a number too (1.0e-8). Text must be a number of the core schema as a whole.
enum { DUEL_YAML_NUMBER_BYTES = 32 };
void duel_yaml_number_text(char dst[DUEL_YAML_NUMBER_BYTES], double x);
bool duel_yaml_number_read(const char *text, double *dst);

bool duel_yaml_is_utf8(const char *text);

// The node in flow style on one line, for messages and writers; at most n bytes with the zero (cut short with "…").
// Plain text stands there as it was written; quoted text keeps its quotes where YAML would read it as something else.
// Yields dst.
const char *duel_yaml_show(char *dst, size_t n, const duel_yaml *node);

#endif
