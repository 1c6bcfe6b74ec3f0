// Mistakes in a recipe: all of them are collected, in reading order, and reported at once in the order of the file.
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "recipe/parts.h"

enum { MESSAGE_BYTES = 4000, WORD_BYTES = 64 };

// Whether one text is the other, or begins with a net's name before it: "optim.lr: …" and "D.optim.lr: …".
static bool same_text(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  const char *tail = n > m ? a + (n - m) : b + (m - n);
  return !strcmp(tail, n > m ? b : a) && (n == m || tail[-1] == '.');
}

// path: in front of the text; NULL: none. Yields false.
static bool add(duel_reading *rd, duel_problem p, const char *path, const char *fmt, va_list args) {
  const size_t end = sizeof p.text - 1;
  int named = path ? snprintf(p.text, sizeof p.text / 2, "%s: ", path) : 0;
  if (named > (int)end / 2) named = (int)end / 2;
  if (vsnprintf(p.text + named, sizeof p.text - (size_t)named, fmt, args) + named > (int)end)
    p.text[duel_utf8_whole(p.text, end)] = 0;
  p.order = rd->problems;
  for (int i = 0; i < rd->problems; i++) { // one value at the top serves all nets, under their own paths
    duel_problem *old = &rd->problem[i];
    if (old->file != p.file || old->line != p.line || old->col != p.col || !same_text(old->text, p.text)) continue;
    if (strlen(p.text) < strlen(old->text)) *old = p;
    return false;
  }
  if (rd->problems == DUEL_MAX_PROBLEMS)
    rd->more++;
  else
    rd->problem[rd->problems++] = p;
  return false;
}

bool duel_problem_of(const duel_place *p, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  add(p->rd, (duel_problem){.file = p->node->file, .line = p->node->line, .col = p->node->col}, p->path, fmt, args);
  va_end(args);
  return false;
}

bool duel_problem_value(duel_reading *rd, const duel_yaml *at, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  add(rd, (duel_problem){.file = at->file, .line = at->line, .col = at->col}, NULL, fmt, args);
  va_end(args);
  return false;
}

bool duel_problem_key(duel_reading *rd, const duel_yaml *at, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  add(rd, (duel_problem){.file = at->file, .line = at->key_line, .col = at->key_col}, NULL, fmt, args);
  va_end(args);
  return false;
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
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? DUEL_LINE : "", line);
  }
  if (rd->more) snprintf(text + used, sizeof text - used, DUEL_LINE "... and %d more", rd->more);
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

const char *duel_hint(duel_reading *rd, const char *word, const char *const *known, int n) {
  char list[160];
  size_t used = 0;
  const char *near = duel_suggest(word, known, n);
  if (near) return duel_phrase(rd, "; did you mean %s?", near);
  for (int i = 0; i < n && used < sizeof list; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", known[i]);
  if (!n || used >= sizeof list - 12) return ""; // too many to list
  return duel_phrase(rd, n > 1 ? "; there are %s" : "; there is %s", list);
}

const char *duel_hint_row(duel_reading *rd, const char *word, const duel_table *table) {
  const char *known[DUEL_MAX_KNOWN];
  return duel_hint(rd, word, known, duel_table_names(table, known, DUEL_MAX_KNOWN));
}

// ---- what messages are made of

void *duel_room(duel_reading *rd, size_t bytes) {
  void *room = duel_pool_alloc(rd->pool, bytes);
  rd->no_memory |= !room;
  return room;
}

const char *duel_kept(duel_reading *rd, const char *text) {
  rd->no_memory |= !text;
  return text ? text : "";
}

const char *duel_shown(duel_reading *rd, const duel_yaml *node) {
  char shown[DUEL_SHOWN];
  return duel_phrase(rd, "%s", duel_yaml_show(shown, sizeof shown, node));
}

const char *duel_shown_key(duel_reading *rd, const char *key) {
  return duel_shown(rd, &(duel_yaml){.text = key});
}
