#include "base/text.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool duel_ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  size_t i = 0;
  while (n >= m && i < m && tolower((unsigned char)text[n - m + i]) == tolower((unsigned char)end[i])) i++;
  return n >= m && i == m;
}

bool duel_join(char *dst, size_t n, const char *folder, const char *name) {
  const char *slash = *folder && folder[strlen(folder) - 1] == '/' ? "" : "/";
  return (size_t)snprintf(dst, n, "%s%s%s", folder, slash, name) < n;
}

const char *duel_shell_path(char dst[DUEL_SHELL_PATH], const char *path) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  size_t n = 0;
  snprintf(dst, DUEL_SHELL_PATH, "%s", path);
  if (*path && !path[strspn(path, plain)]) return dst;
  dst[n++] = '\'';
  for (const char *c = path; *c && n + 8 < DUEL_SHELL_PATH; c++) {
    if (*c == '\'') n += (size_t)sprintf(dst + n, "'\\'");
    dst[n++] = *c;
  }
  snprintf(dst + n, DUEL_SHELL_PATH - n, "'");
  return dst;
}

// ---- UTF-8

int duel_utf8_length(const char *s, size_t n) {
  const unsigned char *u = (const unsigned char *)s;
  if (n == 0) return 0;
  if (u[0] < 0x80) return 1;
  int length = u[0] < 0xC2 ? 0 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : u[0] < 0xF5 ? 4 : 0;
  if (length == 0 || (size_t)length > n) return 0;
  // The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF.
  unsigned low = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
  unsigned high = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
  if (u[1] < low || u[1] > high) return 0;
  for (int i = 2; i < length; i++)
    if (u[i] < 0x80 || u[i] > 0xBF) return 0;
  return length;
}

static bool goes_on(char c) { // not a character's first byte
  return ((unsigned char)c & 0xC0) == 0x80;
}

size_t duel_utf8_whole(const char *s, size_t n) {
  size_t lead = n;
  while (lead > 0 && goes_on(s[lead - 1])) lead--;
  if (lead == 0) return n;
  const unsigned char c = (unsigned char)s[lead - 1];
  const size_t more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
  return n - lead < more ? lead - 1 : n;
}

int duel_utf8_count(const char *text) {
  int n = 0;
  for (; *text; text++) n += !goes_on(*text);
  return n;
}

void duel_print_padded(FILE *out, const char *text, int width) {
  const int seen = duel_utf8_count(text);
  fprintf(out, "%s%*s", text, width > seen ? width - seen : 0, "");
}

// ---- numbers

double duel_number_read(const char *text) {
  const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  const double x = c ? strtod_l(text, NULL, c) : (double)NAN;
  if (c) freelocale(c);
  return x;
}

void duel_number_text(char *dst, size_t n, const char *fmt, ...) {
  const char *mark = localeconv()->decimal_point;
  va_list args;
  va_start(args, fmt);
  vsnprintf(dst, n, fmt, args);
  va_end(args);
  char *at = strstr(dst, mark);
  if (!at) return;
  *at = '.';
  memmove(at + 1, at + strlen(mark), strlen(at + strlen(mark)) + 1);
}
