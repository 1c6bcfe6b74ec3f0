// The thread's error message: one fixed buffer a thread, so that reporting a failure never allocates.
#include "base/status.h"

#include <stdarg.h>
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

// Formats aside first: an argument may be duel_last_error() itself.
static void set_message(const char *fmt, va_list args) {
  char text[MESSAGE_BYTES];
  if (vsnprintf(text, sizeof text, fmt, args) >= (int)sizeof text) drop_half_character(text);
  memcpy(message, text, strlen(text) + 1);
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
  size_t n = strlen(message);
  if (snprintf(message + n, sizeof message - n, ": %s", old) >= (int)(sizeof message - n)) drop_half_character(message);
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
