// JSON: a strict reader into a tree (RFC 8259, duplicate keys refused, depth and size limited). The writer is in
// duel.h.
#ifndef DUEL_BASE_JSON_H
#define DUEL_BASE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum duel_json_type {
  DUEL_JSON_NULL,
  DUEL_JSON_BOOL,
  DUEL_JSON_NUMBER,
  DUEL_JSON_STRING,
  DUEL_JSON_ARRAY,
  DUEL_JSON_OBJECT
} duel_json_type;

typedef struct duel_json {
  duel_json_type type;
  const char *key;  // in an object
  const char *text; // string: decoded, zero-terminated, no inner NUL; number: as written
  int is_integer;   // number: fits integer
  int64_t integer;  // bool: 0 or 1
  double number;
  struct duel_json *child, *next; // array or object members in order
} duel_json;

// One allocation holds the tree; duel_free(*root) ends it. Errors: DUEL_ERR_DATA with byte offset.
duel_status duel_json_parse(duel_json **root, const char *text, size_t n);
const duel_json *duel_json_get(const duel_json *object, const char *key); // NULL if absent

#endif
