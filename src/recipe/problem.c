// Mistakes in a recipe: all of them are collected, in reading order, and reported at once in the order of the file.
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "recipe/parts.h"

enum { MESSAGE_BYTES = 4000, WORD_BYTES = 64 };

// Whether one text is the other, or begins with a net's name before it: "optim.lr: …" and "D.optim.lr: …".
static bool same_text(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  const char *tail = n > m ? a + (n - m) : b + (m - n);
  return !strcmp(tail, n > m ? b : a) && (n == m || tail[-1] == '.');
}

static void add(duel_reading *rd, const char *file, int line, int col, const char *fmt, va_list args) {
  duel_problem p = {.file = file, .line = line, .col = col, .order = rd->problems};
  size_t end = sizeof p.text - 1;
  if (vsnprintf(p.text, sizeof p.text, fmt, args) > (int)end) { // cut, but not within a character
    while (end > 0 && ((unsigned char)p.text[end - 1] & 0xC0) == 0x80) end--;
    if (end > 0 && (unsigned char)p.text[end - 1] >= 0xC0) end--;
    p.text[end] = 0;
  }
  for (int i = 0; i < rd->problems; i++) // one value at the top serves all nets, under their own paths
    if (rd->problem[i].file == file && rd->problem[i].line == line && rd->problem[i].col == col &&
        same_text(rd->problem[i].text, p.text)) {
      if (strlen(p.text) < strlen(rd->problem[i].text)) rd->problem[i] = p;
      return;
    }
  if (rd->problems == DUEL_MAX_PROBLEMS)
    rd->more++;
  else
    rd->problem[rd->problems++] = p;
}

void duel_problem_value(duel_reading *rd, const duel_yaml *at, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  if (!at) at = rd->root;
  add(rd, at->file, at->line, at->col, fmt, args);
  va_end(args);
}

void duel_problem_key(duel_reading *rd, const duel_yaml *at, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  add(rd, at->file, at->key_line, at->key_col, fmt, args);
  va_end(args);
}

static int by_place(const void *a, const void *b) {
  const duel_problem *p = a, *q = b;
  if (!p->line != !q->line) return !p->line - !q->line; // settings after files
  int files = p->file == q->file ? 0 : strcmp(p->file, q->file);
  if (p->line && files) return files;
  if (p->line != q->line) return p->line < q->line ? -1 : 1;
  if (p->col != q->col) return p->col < q->col ? -1 : 1;
  return p->order - q->order;
}

duel_status duel_problems_status(duel_reading *rd) {
  if (rd->no_memory) return duel_fail_memory("reading a recipe", 0);
  if (!rd->problems) return DUEL_OK;
  qsort(rd->problem, (size_t)rd->problems, sizeof *rd->problem, by_place);
  char text[MESSAGE_BYTES], line[512];
  size_t used = 0;
  for (int i = 0; i < rd->problems; i++) {
    const duel_problem *p = &rd->problem[i];
    int n = p->line ? snprintf(line, sizeof line, "%.200s:%d:%d: %s", p->file, p->line, p->col, p->text)
                    : snprintf(line, sizeof line, "%.200s: %s", p->file, p->text);
    if (used + (size_t)n + 32 > sizeof text) {
      rd->more += rd->problems - i;
      break;
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? "\n" : "", line);
  }
  if (rd->more) snprintf(text + used, sizeof text - used, "\n... and %d more", rd->more);
  return duel_fail(DUEL_ERR_USAGE, "%s", text);
}

// Letters to change, add, drop or swap with their neighbour (Damerau's distance, each place touched once); upper and
// lower case are the same.
static int distance(const char *a, const char *b) {
  int n = (int)strlen(a), m = (int)strlen(b);
  int row[3][WORD_BYTES + 1], *before = row[0], *last = row[1], *now = row[2];
  for (int j = 0; j <= m; j++) last[j] = before[j] = j;
  for (int i = 1; i <= n; i++) {
    now[0] = i;
    for (int j = 1; j <= m; j++) {
      int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
      int best = last[j - 1] + (x != y);
      if (last[j] + 1 < best) best = last[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      bool swapped = i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]);
      if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
      now[j] = best;
    }
    int *spare = before;
    before = last, last = now, now = spare;
  }
  return last[m];
}

// A third of the letters may be wrong; or the word is the beginning (3 letters or more) of just one known word.
const char *duel_suggest(const char *word, const char *const *known, int n) {
  const char *best = NULL, *begins = NULL;
  size_t length = strlen(word);
  int least = 0, beginnings = 0;
  if (!length || length > WORD_BYTES) return NULL;
  for (int i = 0; i < n; i++) {
    size_t other = strlen(known[i]);
    if (other > WORD_BYTES) continue;
    int most = (int)(length > other ? length : other) / 3, d = distance(word, known[i]);
    if (most < 1) most = 1;
    if (d <= most && d < (int)other && (!best || d < least)) best = known[i], least = d;
    if (length >= 3 && other > length && !strncmp(word, known[i], length)) begins = known[i], beginnings++;
  }
  return best ? best : beginnings == 1 ? begins : NULL;
}

const char *duel_hint(char dst[160], const char *word, const char *const *known, int n) {
  const char *near = duel_suggest(word, known, n);
  size_t used = 0;
  *dst = 0;
  if (near) {
    snprintf(dst, 160, "; did you mean %s?", near);
    return dst;
  }
  for (int i = 0; i < n && used < 160; i++)
    used += (size_t)snprintf(dst + used, 160 - used, "%s%s",
                             i       ? ", "
                             : n > 1 ? "; there are "
                                     : "; there is ",
                             known[i]);
  if (used >= 160) *dst = 0; // too many to list
  return dst;
}
