// Small questions about text.
#ifndef DUEL_BASE_TEXT_H
#define DUEL_BASE_TEXT_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

// Letters of either case are alike: .PNG is .png.
static inline bool duel_ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  size_t i = 0;
  while (n >= m && i < m && tolower((unsigned char)text[n - m + i]) == tolower((unsigned char)end[i])) i++;
  return n >= m && i == m;
}

#endif
