// JSON, written member by member: every object and array that duel prints or keeps comes from here.
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

static void put(duel_json_writer *w, const char *bytes, size_t n) {
  if (w->out) fwrite(bytes, 1, n, w->out);
  for (size_t i = 0; !w->out && i < n && w->length + i + 1 < w->room; i++) {
    w->dst[w->length + i] = bytes[i];
    w->dst[w->length + i + 1] = 0;
  }
  w->length += n;
}

static void put_text(duel_json_writer *w, const char *s) {
  static const char special[] = "\"\\\b\f\n\r\t", name[] = "\"\\bfnrt";
  char escape[8];
  put(w, "\"", 1);
  for (size_t left = strlen(s), bytes; left > 0; s += bytes, left -= bytes) {
    const unsigned char c = (unsigned char)*s;
    const char *known = strchr(special, c);
    bytes = (size_t)duel_utf8_length(s, left);
    if (bytes == 0) {
      put(w, "\\ufffd", 6);
      bytes = 1;
    } else if (known) {
      put(w, (char[]){'\\', name[known - special]}, 2);
    } else if (c < 0x20 || c == 0x7f) {
      snprintf(escape, sizeof escape, "\\u%04x", c);
      put(w, escape, 6);
    } else {
      put(w, s, bytes);
    }
  }
  put(w, "\"", 1);
}

// The comma before a member, and its key.
static void begin(duel_json_writer *w, const char *key) {
  const uint64_t bit = UINT64_C(1) << w->depth;
  assert(!key ==
         (w->depth == 0 || (w->is_array & bit))); // an object's members have keys, an array's and a lone value not
  if (w->has_members & bit) put(w, ",", 1);
  w->has_members |= bit;
  if (!key) return;
  put_text(w, key);
  put(w, ":", 1);
}

static void open_level(duel_json_writer *w, const char *key, int is_array) {
  begin(w, key);
  put(w, is_array ? "[" : "{", 1);
  w->depth++;
  assert(w->depth < 64);
  const uint64_t bit = UINT64_C(1) << w->depth;
  w->has_members &= ~bit;
  w->is_array = is_array ? w->is_array | bit : w->is_array & ~bit;
}

void duel_json_object(duel_json_writer *w, const char *key) {
  open_level(w, key, 0);
}

void duel_json_array(duel_json_writer *w, const char *key) {
  open_level(w, key, 1);
}

void duel_json_end(duel_json_writer *w) {
  assert(w->depth > 0);
  put(w, w->is_array >> w->depth & 1 ? "]" : "}", 1);
  w->depth--;
}

void duel_json_text(duel_json_writer *w, const char *key, const char *text) {
  begin(w, key);
  put_text(w, text);
}

void duel_json_bool(duel_json_writer *w, const char *key, int value) {
  begin(w, key);
  put(w, value ? "true" : "false", value ? 4 : 5);
}

void duel_json_integer(duel_json_writer *w, const char *key, int64_t value) {
  char text[24];
  begin(w, key);
  put(w, text, (size_t)snprintf(text, sizeof text, "%" PRId64, value));
}

void duel_json_unsigned(duel_json_writer *w, const char *key, uint64_t value) {
  char text[24];
  begin(w, key);
  put(w, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, value));
}

void duel_json_number(duel_json_writer *w, const char *key, double value) {
  const int whole = fabs(value) < 0x1p53 && value == floor(value);
  char text[40];
  begin(w, key);
  if (!isfinite(value)) {
    put(w, "null", 4);
    return;
  }
  duel_number_text(text, sizeof text, whole ? "%.0f" : "%.9g", value);
  put(w, text, strlen(text));
}
