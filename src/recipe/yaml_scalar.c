// Scalars: what YAML 1.2's core schema takes a plain one for, numbers in text and back, and nodes as one line of text.
// libyaml gives text only; nothing here depends on the locale.
#include "recipe/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static bool one_of(const char *text, const char *a, const char *b, const char *c) {
  return !strcmp(text, a) || !strcmp(text, b) || !strcmp(text, c);
}

static bool plain(const duel_yaml *node) {
  return node && node->type == DUEL_YAML_SCALAR && !node->quoted;
}

bool duel_yaml_is_null(const duel_yaml *node) {
  if (!node) return true;
  return plain(node) && (!*node->text || !strcmp(node->text, "~") || one_of(node->text, "null", "Null", "NULL"));
}

bool duel_yaml_bool(const duel_yaml *node, bool *dst) {
  if (!plain(node)) return false;
  bool yes = one_of(node->text, "true", "True", "TRUE");
  if (yes || one_of(node->text, "false", "False", "FALSE")) return *dst = yes, true;
  return false;
}

// [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+. False if it is no integer, or does not fit; then *integer tells which.
static bool magnitude(const char *text, bool *negative, uint64_t *dst, bool *integer) {
  unsigned base = 10;
  *negative = *text == '-';
  *integer = false;
  if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
    base = text[1] == 'o' ? 8 : 16;
    text += 2;
  } else if (*text == '-' || *text == '+') {
    text++;
  }
  if (!*text) return false;
  uint64_t value = 0;
  bool fits = true;
  for (; *text; text++) {
    char c = (char)(*text | 0x20);
    unsigned digit = *text >= '0' && *text <= '9' ? (unsigned)(*text - '0') : c >= 'a' && c <= 'f' ? c - 'a' + 10u : 99;
    if (digit >= base) return false;
    fits = fits && !__builtin_mul_overflow(value, base, &value) && !__builtin_add_overflow(value, digit, &value);
  }
  *integer = true;
  *dst = value;
  return fits;
}

bool duel_yaml_uint(const duel_yaml *node, uint64_t *dst) {
  bool negative, integer;
  uint64_t value;
  if (!plain(node) || !magnitude(node->text, &negative, &value, &integer) || (negative && value)) return false;
  return *dst = value, true;
}

bool duel_yaml_int(const duel_yaml *node, int64_t *dst) {
  bool negative, integer;
  uint64_t value;
  if (!plain(node) || !magnitude(node->text, &negative, &value, &integer)) return false;
  if (value > (uint64_t)INT64_MAX) return false;
  return *dst = negative ? -(int64_t)value : (int64_t)value, true;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
static bool is_float(const char *s) {
  const char *const digits = "0123456789";
  if (*s == '-' || *s == '+') s++;
  size_t whole = strspn(s, digits), part = 0;
  s += whole;
  if (*s == '.') part = strspn(++s, digits);
  s += part;
  if (!whole && !part) return false;
  if (*s == 'e' || *s == 'E') {
    s++;
    if (*s == '-' || *s == '+') s++;
    size_t power = strspn(s, digits);
    if (!power) return false;
    s += power;
  }
  return !*s;
}

bool duel_yaml_number_read(const char *text, double *dst) {
  bool negative, integer;
  uint64_t value;
  if ((text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) && magnitude(text, &negative, &value, &integer))
    return *dst = (double)value, true;
  const double x = is_float(text) ? duel_number_read(text) : (double)NAN;
  return isfinite(x) ? *dst = x, true : false;
}

bool duel_yaml_number(const duel_yaml *node, double *dst) {
  return plain(node) && duel_yaml_number_read(node->text, dst);
}

void duel_yaml_number_text(char dst[DUEL_YAML_NUMBER_BYTES], double x) {
  char text[64];
  x = x == 0 ? 0.0 : x; // -0 is 0
  for (int digits = 1; digits <= 17; digits++) {
    duel_number_text(text, sizeof text, "%.*g", digits, x);
    if (duel_number_read(text) == x) break;
  }
  // Whole numbers of up to 15 digits need no exponent.
  if (fabs(x) < 1e15 && x == floor(x)) duel_number_text(text, sizeof text, "%.0f", x);
  char *point = strchr(text, '.'), *power = strchr(text, 'e');
  int exponent = power ? atoi(power + 1) : 0;
  if (power) *power = 0;
  const char *part = point ? point + 1 : "";
  if (point) *point = 0;
  if (power)
    snprintf(dst, DUEL_YAML_NUMBER_BYTES, "%.20s.%se%+d", text, *part ? part : "0", exponent);
  else
    snprintf(dst, DUEL_YAML_NUMBER_BYTES, "%.20s%s%s", text, point ? "." : "", part);
}

// ---- nodes as text

typedef struct line {
  char *dst;
  size_t n, used;
} line;

static void put(line *l, const char *s, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (l->used + 1 < l->n)
      l->dst[l->used++] = s[i];
    else
      l->used = l->n; // too long: nothing fits any more
}
static void puts_line(line *l, const char *s) {
  put(l, s, strlen(s));
}

// A word that YAML reads as this very text in block and flow context, without quotes.
static bool is_word(const char *s) {
  duel_yaml node = {.type = DUEL_YAML_SCALAR, .text = s};
  bool truth;
  double number;
  if (duel_yaml_is_null(&node) || duel_yaml_bool(&node, &truth) || duel_yaml_number(&node, &number)) return false;
  size_t length = strlen(s);
  const char *const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *const others =
                                                                                          "0123456789_./:$*+-";
  if (!strchr(letters, *s) && !strchr("./$_0123456789", *s)) return false;
  if (s[length - 1] == ':' || !strncmp(s, "...", 3)) return false;
  for (const char *c = s; *c; c++)
    if (!strchr(letters, *c) && !strchr(others, *c)) return false;
  if (!strchr(letters, *s) && strspn(s, "0123456789._+-:eExo") == length)
    return false; // older readers see numbers, dates and times in these
  static const char *const words[] = {"yes", "no", "on", "off", "y", "n"}; // booleans to older readers
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcmp(s, words[i])) return false;
  return true;
}

// Bytes of the UTF-8 character at s and its number; 0 if it is none.
static int decode(const char *s, unsigned *code) {
  int n = duel_utf8_length(s, strnlen(s, 4));
  *code = n <= 1 ? (unsigned char)*s : (unsigned char)*s & (0xFFu >> (n + 1));
  for (int i = 1; i < n; i++) *code = *code << 6 | ((unsigned char)s[i] & 0x3F);
  return n;
}

bool duel_yaml_is_utf8(const char *text) {
  unsigned code;
  for (int n; *text; text += n)
    if ((n = decode(text, &code)) == 0) return false;
  return true;
}

static bool printable(unsigned code) {
  if (code < 0xA0) return code >= 0x20 && code < 0x7F;
  return code != 0x2028 && code != 0x2029 && code != 0xFEFF && (code < 0xD800 || code >= 0xE000) &&
         (code <= 0xFFFD || code > 0xFFFF);
}

static bool all_printable(const char *s) {
  unsigned code;
  for (int n; *s; s += n)
    if ((n = decode(s, &code)) == 0 || !printable(code)) return false;
  return true;
}

static void put_quoted(line *l, const char *s) {
  puts_line(l, "\"");
  for (int n; *s; s += n) {
    unsigned code;
    char escape[16];
    n = decode(s, &code);
    if (n == 0) { // a stray byte
      n = 1;
      code = (unsigned char)*s;
      snprintf(escape, sizeof escape, "\\x%02X", code);
      puts_line(l, escape);
      continue;
    }
    if (code == '"' || code == '\\') puts_line(l, "\\");
    if (printable(code)) {
      put(l, s, (size_t)n);
    } else {
      snprintf(escape, sizeof escape, "\\u%04X", code);
      puts_line(l, code == '\n' ? "\\n" : code == '\t' ? "\\t" : escape);
    }
  }
  puts_line(l, "\"");
}

static void put_text(line *l, const char *s, bool quoted) {
  if (*s && (quoted ? is_word(s) : all_printable(s)))
    puts_line(l, s);
  else
    put_quoted(l, s);
}

static void put_node(line *l, const duel_yaml *node) {
  if (l->used >= l->n) return;
  if (node->type == DUEL_YAML_SCALAR) {
    if (duel_yaml_is_null(node))
      puts_line(l, "null");
    else
      put_text(l, node->text, node->quoted);
    return;
  }
  bool map = node->type == DUEL_YAML_MAP;
  puts_line(l, map ? "{" : "[");
  for (const duel_yaml *item = node->child; item; item = item->next) {
    if (item != node->child) puts_line(l, ", ");
    if (map) {
      put_text(l, item->key, true);
      puts_line(l, ": ");
    }
    put_node(l, item);
  }
  puts_line(l, map ? "}" : "]");
}

const char *duel_yaml_show(char *dst, size_t n, const duel_yaml *node) {
  static const char cut[] = "…";
  line l = {.dst = dst, .n = n};
  put_node(&l, node);
  if (l.used < n) {
    dst[l.used] = 0;
    return dst;
  }
  const size_t end = duel_utf8_whole(dst, n > sizeof cut ? n - sizeof cut : 0);
  snprintf(dst + end, n - end, "%s", cut);
  return dst;
}
