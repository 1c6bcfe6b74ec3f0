// The thread's error message: one fixed buffer a thread, so that reporting a failure never allocates.
#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 8192 }; // a path of PATH_MAX and a sentence about it

static _Thread_local char message[MESSAGE_BYTES];

// A cut in the middle of a UTF-8 character would leave half of it.
static void drop_half_character(char *s) {
  size_t n = strlen(s), lead = n;
  while (lead > 0 && ((unsigned char)s[lead - 1] & 0xC0) == 0x80) lead--;
  if (lead == 0) return;
  unsigned char c = (unsigned char)s[lead - 1];
  size_t need = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
  if (n - lead < need) s[lead - 1] = 0;
}

// Length of the UTF-8 character at s: 1..4, or 0 if it is none. A zero ends s.
static size_t character(const unsigned char *s) {
  const size_t n = s[0] < 0x80                   ? 1
                   : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
                   : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
                   : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                                 : 0;
  for (size_t i = 1; i < n; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0; // too long, a surrogate
  return (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F) ? 0 : n;
}

// lines: those of the text count, too.
static void make_plain(char *dst, size_t room, const char *text, bool lines) {
  size_t at = 0;
  for (const unsigned char *s = (const unsigned char *)text; *s;) {
    char piece[8];
    size_t n = character(s), length = n;
    if (*s == DUEL_LINE[0] || (*s == '\n' && lines)) {
      piece[0] = '\n';
    } else if (n == 0 || *s < 0x20 || *s == 0x7F || (*s == 0xC2 && s[1] < 0xA0)) { // C1 controls are two bytes
      length = (size_t)snprintf(piece, sizeof piece, "\\x%02x", n == 2 ? s[1] : *s);
    } else {
      memcpy(piece, s, n);
    }
    if (at + length + 1 > room) break;
    memcpy(dst + at, piece, length);
    at += length;
    s += n ? n : 1;
  }
  dst[at] = 0;
}

void duel_vplain(char *dst, size_t room, const char *fmt, va_list args) {
  char text[MESSAGE_BYTES], lines[1024];
  size_t n = strlen(fmt);
  if (n < sizeof lines) { // else a line of it looks like an argument's
    memcpy(lines, fmt, n + 1);
    for (char *c = lines; (c = strchr(c, '\n')) != NULL;) *c = DUEL_LINE[0];
    fmt = lines;
  }
  if (vsnprintf(text, sizeof text, fmt, args) >= (int)sizeof text) drop_half_character(text);
  make_plain(dst, room, text, false);
}

void duel_plain(char *dst, size_t room, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  duel_vplain(dst, room, fmt, args);
  va_end(args);
}

// Formats aside first: an argument may be duel_last_error() itself, whose lines are a message's.
static void set_message(const char *fmt, va_list args) {
  char text[MESSAGE_BYTES];
  for (char *c = message; (c = strchr(c, '\n')) != NULL;) *c = DUEL_LINE[0];
  duel_vplain(text, sizeof text, fmt, args);
  memcpy(message, text, strlen(text) + 1);
}

duel_status duel_fail_again(duel_status code, const char *text) {
  char plain[MESSAGE_BYTES];
  make_plain(plain, sizeof plain, text, true);
  memcpy(message, plain, strlen(plain) + 1);
  return code;
}

duel_status duel_fail(duel_status code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  set_message(fmt, args);
  va_end(args);
  return code;
}

duel_status duel_context(duel_status code, const char *fmt, ...) {
  if (code == DUEL_OK) return code;
  char old[MESSAGE_BYTES];
  memcpy(old, message, sizeof old);
  va_list args;
  va_start(args, fmt);
  set_message(fmt, args);
  va_end(args);
  const size_t n = strlen(message);
  snprintf(message + n, sizeof message - n, "%.2s", ": ");
  if (n + 2 < sizeof message) make_plain(message + n + 2, sizeof message - n - 2, old, true);
  return code;
}

duel_status duel_fail_memory(const char *what, size_t bytes) {
  return duel_fail(DUEL_ERR_DEVICE, "out of memory: cannot allocate %zu bytes for %s", bytes, what);
}

void duel_clear_error(void) {
  message[0] = 0;
}

const char *duel_last_error(void) {
  return message;
}

const char *duel_version(void) {
  return DUEL_VERSION;
}
