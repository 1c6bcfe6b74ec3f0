// What the command says on stderr, and the library's texts with flags in them.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

enum { TEXT_BYTES = 12288 }; // the library's longest message, and flags
static const char *program = "duel";

void duel_cli_set_program(const char *argv0) {
  const char *outer = getenv("DUEL_COMMAND"); // set by ./run to its own name, so that printed lines can be pasted
  program = outer && *outer ? outer : argv0 && *argv0 ? argv0 : "duel";
}

const char *duel_cli_program(void) {
  return program;
}

void duel_cli_complain(const char *kind, const char *color, const char *fmt, va_list ap) {
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  int plain = (no_color && *no_color) || (term && !strcmp(term, "dumb")) || !isatty(STDERR_FILENO);
  fflush(stdout);
  fprintf(stderr, "duel: %s%s:%s ", plain ? "" : color, kind, plain ? "" : "\033[0m");
  duel_cli_vput(stderr, fmt, ap);
  fputc('\n', stderr);
}

// Names of files and words of the user's may hold anything; control characters do not reach a terminal.
void duel_cli_vput(FILE *out, const char *fmt, va_list ap) {
  char text[TEXT_BYTES];
  vsnprintf(text, sizeof text, fmt, ap);
  for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
    const int c1 = c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0; // of two bytes
    if ((*c < 0x20 && *c != '\n') || *c == 0x7F || c1)
      fprintf(out, "\\x%02x", *(c += c1));
    else
      fputc(*c, out);
  }
}

void duel_cli_put(FILE *out, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  duel_cli_vput(out, fmt, ap);
  va_end(ap);
}

int duel_cli_error(int code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  duel_cli_complain("error", "\033[1;31m", fmt, ap);
  va_end(ap);
  return code;
}

static void warn(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  duel_cli_complain("warning", "\033[1;33m", fmt, ap);
  va_end(ap);
}

// ---- the library's texts

static const duel_cli_option *flags; // of the present command; NULL: none yet

void duel_cli_set_flags(const duel_cli_option *options) {
  flags = options;
}

typedef struct line { // what does not fit is cut off
  char *dst;
  size_t n, length;
} line;

static void put(line *l, const char *bytes, size_t n) {
  for (; n > 0 && l->length + 1 < l->n; n--) l->dst[l->length++] = *bytes++;
  l->dst[l->length] = 0;
}

static int is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

// Length of the name that begins at `at`, "data.limit"; 0 if none does: in the middle of one, of a flag, of a path.
static size_t name_at(const char *text, const char *at) {
  size_t n = 0;
  if (at > text && (is_name(at[-1]) || strchr("/-", at[-1]))) return 0;
  while (is_name(at[n])) n++;
  while (n > 0 && at[n - 1] == '.') n--; // the sentence ends
  return n;
}

// Length of "=64", "=[48,64]" or "={name: normal, std: 0.02}" behind a key.
static size_t value_at(const char *at) {
  static const char *const end[] = {"]\n", "}\n"};
  if (*at != '=') return 0;
  const int which = at[1] == '[' ? 0 : at[1] == '{' ? 1 : -1;
  const size_t list = which >= 0 ? strcspn(at, end[which]) : 0;
  return list && at[list] == *end[which] ? list + 1 : strcspn(at, " ,;)\n");
}

static const duel_cli_option *flag_of(const char *key, size_t n) {
  for (const duel_cli_option *o = flags; o && o->name; o++)
    if (o->key && strlen(o->key) == n && !memcmp(o->key, key, n)) return o;
  return NULL;
}

// " (--limit)" behind a key, or " (--backend cpu)" where it has a value. Not where ':' follows, for there the key or
// the setting is what the sentence is about; nor where the text has the flag already; nor behind plain words and in
// paths.
static void put_flag(line *l, const char *text, const char *key, size_t n, size_t value) {
  const duel_cli_option *o = flag_of(key, n);
  char flag[32];
  if (!o || !memchr(key, '.', n) || key[n] == '/' || key[n] == ':' || (value && key[n + value - 1] == ':')) return;
  snprintf(flag, sizeof flag, "--%s", o->name);
  if (strstr(text, flag)) return;
  put(l, " (", 2);
  put(l, flag, strlen(flag));
  if (value > 1 && o->value) {
    put(l, " ", 1);
    put(l, key + n + 1, value - 1);
  }
  put(l, ")", 1);
}

// Writes "--set data.size=64" for "data.size=64", where the command takes it and has no flag for the key; in quotes
// where a shell would take the value apart.
static int put_set(line *l, const char *text, const char *key, size_t n, size_t value) {
  static const char set[] = "--set ";
  const size_t length = sizeof set - 1;
  int takes = 0;
  for (const duel_cli_option *o = flags; o && o->name; o++) takes |= o->kind == DUEL_CLI_SET;
  if (value < 2 || !takes || flag_of(key, n) || !memchr(key, '.', n) || strchr("./", *key) ||
      key[n + value - 1] == ':' || memchr(key + n, '/', value) ||
      ((size_t)(key - text) >= length && !strncmp(key - length, set, length)))
    return 0;
  const int apart = memchr(key, ' ', n + value) != NULL;
  put(l, set, length);
  if (apart) put(l, "\"", 1);
  put(l, key, n + value);
  if (apart) put(l, "\"", 1);
  return 1;
}

const char *duel_cli_with_flags(char *dst, size_t n, const char *text) {
  static const char field[] = "options.";
  const size_t skip = sizeof field - 1;
  line l = {dst, n, 0};
  *dst = 0;
  for (const char *at = text; *at;) {
    const size_t name = name_at(text, at);
    if (name > skip && !strncmp(at, field, skip)) {
      put(&l, "--", 2);
      for (size_t i = skip; i < name; i++) put(&l, at[i] == '_' ? "-" : &at[i], 1);
      at += name;
      continue;
    }
    const size_t value = name ? value_at(at + name) : 0;
    if (!value || !put_set(&l, text, at, name, value)) {
      put(&l, at, name + value > 0 ? name + value : 1);
      if (name) put_flag(&l, text, at, name, value);
    }
    at += name + value > 0 ? name + value : 1;
  }
  return dst;
}

void duel_cli_warn(const char *text) {
  char whole[TEXT_BYTES];
  warn("%s", duel_cli_with_flags(whole, sizeof whole, text));
}

int duel_cli_failed(duel_status status) {
  char whole[TEXT_BYTES];
  const char *message = duel_last_error();
  return duel_cli_error((int)status, "%s",
                        *message ? duel_cli_with_flags(whole, sizeof whole, message) : "failed without a message");
}

// ---- words for a shell

static int is_control(const char *word) {
  for (; *word; word++)
    if ((unsigned char)*word < 0x20 || *word == 0x7F) return 1;
  return 0;
}

void duel_cli_shell_word(FILE *out, const char *word) {
  if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%")]) {
    fputs(word, out);
    return;
  }
  const int escaped = is_control(word); // bash's and zsh's quotes, which have a spelling for all of them
  fputs(escaped ? "$'" : "'", out);
  for (; *word; word++)
    if (escaped && ((unsigned char)*word < 0x20 || *word == 0x7F))
      fprintf(out, "\\x%02x", (unsigned char)*word);
    else if (escaped && (*word == '\'' || *word == '\\'))
      fprintf(out, "\\%c", *word);
    else if (*word == '\'')
      fputs("'\\''", out);
    else
      fputc(*word, out);
  fputc('\'', out);
}
