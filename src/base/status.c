// The thread's error message: one fixed buffer a thread, so that reporting a failure never allocates.
#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { MESSAGE_BYTES = 8192 }; // a path of PATH_MAX and a sentence about it

static _Thread_local char message[MESSAGE_BYTES];

// lines: those of the text count, too.
static void make_plain(char *dst, size_t room, const char *text, bool lines) {
  size_t at = 0;
  for (const unsigned char *s = (const unsigned char *)text; *s;) {
    char piece[8];
    size_t n = (size_t)duel_utf8_length((const char *)s, strnlen((const char *)s, 4)), length = n;
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
  if (vsnprintf(text, sizeof text, fmt, args) >= (int)sizeof text) text[duel_utf8_whole(text, sizeof text - 1)] = 0;
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
