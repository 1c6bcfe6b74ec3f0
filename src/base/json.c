// JSON (RFC 8259): a strict recursive reader into one block of memory.
//
// The block is [nodes][scratch][text]. It is sized before parsing: a value follows the start, a '[', a '{' or a ','
// outside strings, so their number bounds the nodes; and decoded text never outgrows the source. DEPTH bounds the
// recursion.
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { DEPTH = 64, MOST_NODES = 1 << 22 };

typedef struct parser {
  const char *text;
  size_t n, at;
  duel_json *next_node;
  const duel_json **scratch; // an object's members, to be sorted by key; as many as nodes
  char *out;                 // where the next decoded text goes
} parser;

static duel_status parse_value(parser *p, int depth, duel_json *v);

static duel_status fail_at(size_t at, const char *what) {
  return duel_fail(DUEL_ERR_DATA, "JSON, byte %zu: %s", at, what);
}

static int peek(const parser *p) {
  return p->at < p->n ? (unsigned char)p->text[p->at] : -1;
}

static int accept(parser *p, char c) {
  if (peek(p) != c) return 0;
  p->at++;
  return 1;
}

static void skip_space(parser *p) {
  while (accept(p, ' ') || accept(p, '\t') || accept(p, '\n') || accept(p, '\r')) {}
}

// ---- strings

static int hex4(parser *p, uint32_t *code) {
  *code = 0;
  for (int i = 0; i < 4; i++, p->at++) {
    int c = peek(p);
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (c < 0 || digit < 0) return 0;
    *code = *code * 16 + (uint32_t)digit;
  }
  return 1;
}

static void put_utf8(parser *p, uint32_t code) {
  if (code < 0x80) {
    *p->out++ = (char)code;
    return;
  }
  int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
  *p->out++ = (char)(lead[more] | code >> 6 * more);
  while (more-- > 0) *p->out++ = (char)(0x80 | (code >> 6 * more & 0x3F));
}

static duel_status parse_escape(parser *p) { // after the backslash
  static const char name[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
  size_t start = p->at - 1;
  int c = peek(p);
  const char *known = c > 0 ? strchr(name, c) : NULL;
  p->at++;
  if (known) {
    *p->out++ = meaning[known - name];
    return DUEL_OK;
  }
  uint32_t code, low;
  if (c != 'u' || !hex4(p, &code)) return fail_at(start, "no such escape");
  if (code == 0) return fail_at(start, "a zero character is not accepted");
  if (code >= 0xD800 && code < 0xE000) {
    if (code >= 0xDC00 || !accept(p, '\\') || !accept(p, 'u') || !hex4(p, &low) || low < 0xDC00 || low > 0xDFFF)
      return fail_at(start, "half of a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  put_utf8(p, code);
  return DUEL_OK;
}

static duel_status parse_string(parser *p, const char **text) {
  if (!accept(p, '"')) return fail_at(p->at, "expected a string");
  *text = p->out;
  for (;;) {
    int c = peek(p);
    if (c < 0) return fail_at(p->at, "the text ends inside a string");
    if (c < 0x20) return fail_at(p->at, "a control character stands in a string");
    if (accept(p, '"')) break;
    if (accept(p, '\\')) {
      DUEL_TRY(parse_escape(p));
      continue;
    }
    int length = duel_utf8_length(p->text + p->at, p->n - p->at);
    if (length == 0) return fail_at(p->at, "not UTF-8");
    memcpy(p->out, p->text + p->at, (size_t)length);
    p->out += length;
    p->at += (size_t)length;
  }
  *p->out++ = 0;
  return DUEL_OK;
}

// ---- values

static int skip_digits(parser *p) {
  size_t start = p->at;
  while (peek(p) >= '0' && peek(p) <= '9') p->at++;
  return p->at > start;
}

static duel_status parse_number(parser *p, duel_json *v) {
  size_t start = p->at;
  int whole = 1;
  accept(p, '-');
  if (!accept(p, '0') && !skip_digits(p)) return fail_at(start, "expected a value");
  if (accept(p, '.')) {
    whole = 0;
    if (!skip_digits(p)) return fail_at(p->at, "expected a digit");
  }
  if (accept(p, 'e') || accept(p, 'E')) {
    whole = 0;
    if (!accept(p, '-')) accept(p, '+');
    if (!skip_digits(p)) return fail_at(p->at, "expected a digit");
  }
  size_t length = p->at - start;
  v->type = DUEL_JSON_NUMBER;
  v->text = memcpy(p->out, p->text + start, length);
  p->out += length;
  *p->out++ = 0;
  v->number = duel_number_read(v->text);
  if (!isfinite(v->number)) return fail_at(start, "the number is too large");
  errno = 0;
  v->integer = whole ? strtoll(v->text, NULL, 10) : 0;
  v->is_integer = whole && errno == 0;
  return DUEL_OK;
}

static int by_key(const void *a, const void *b) {
  return strcmp((*(const duel_json *const *)a)->key, (*(const duel_json *const *)b)->key);
}

static duel_status check_unique(parser *p, const duel_json *object, size_t end) {
  size_t n = 0;
  for (const duel_json *m = object->child; m; m = m->next) p->scratch[n++] = m;
  qsort(p->scratch, n, sizeof *p->scratch, by_key);
  for (size_t i = 1; i < n; i++)
    if (!strcmp(p->scratch[i - 1]->key, p->scratch[i]->key))
      return duel_fail(DUEL_ERR_DATA, "JSON, object before byte %zu: key \"%.100s\" stands twice", end,
                       p->scratch[i]->key);
  return DUEL_OK;
}

static duel_status parse_children(parser *p, int depth, duel_json *v, char close) {
  duel_json **tail = &v->child;
  int is_object = close == '}';
  v->type = is_object ? DUEL_JSON_OBJECT : DUEL_JSON_ARRAY;
  if (depth == DEPTH) return fail_at(p->at, "nested too deeply");
  p->at++;
  skip_space(p);
  if (accept(p, close)) return DUEL_OK;
  do {
    duel_json *child = p->next_node++;
    memset(child, 0, sizeof *child);
    skip_space(p);
    if (is_object) {
      DUEL_TRY(parse_string(p, &child->key));
      skip_space(p);
      if (!accept(p, ':')) return fail_at(p->at, "expected ':'");
    }
    DUEL_TRY(parse_value(p, depth + 1, child));
    *tail = child;
    tail = &child->next;
    skip_space(p);
  } while (accept(p, ','));
  if (!accept(p, close)) return fail_at(p->at, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
  return is_object ? check_unique(p, v, p->at) : DUEL_OK;
}

static duel_status parse_value(parser *p, int depth, duel_json *v) {
  static const struct {
    const char *word;
    duel_json_type type;
    int value;
  } words[] = {{"true", DUEL_JSON_BOOL, 1}, {"false", DUEL_JSON_BOOL, 0}, {"null", DUEL_JSON_NULL, 0}};
  skip_space(p);
  int c = peek(p);
  if (c == '{') return parse_children(p, depth, v, '}');
  if (c == '[') return parse_children(p, depth, v, ']');
  if (c == '"') {
    v->type = DUEL_JSON_STRING;
    return parse_string(p, &v->text);
  }
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t length = strlen(words[i].word);
    if (p->n - p->at < length || memcmp(p->text + p->at, words[i].word, length) != 0) continue;
    p->at += length;
    v->type = words[i].type;
    v->integer = words[i].value;
    return DUEL_OK;
  }
  return parse_number(p, v);
}

static size_t bound_nodes(const char *text, size_t n) {
  size_t nodes = 1;
  for (size_t i = 0; i < n; i++) {
    if (text[i] == '"')
      for (i++; i < n && text[i] != '"'; i++) i += text[i] == '\\';
    else
      nodes += text[i] == ',' || text[i] == '[' || text[i] == '{';
  }
  return nodes;
}

duel_status duel_json_parse(duel_json **root, const char *text, size_t n) {
  *root = NULL;
  size_t nodes = bound_nodes(text, n);
  if (nodes > MOST_NODES) return duel_fail(DUEL_ERR_DATA, "JSON: more than the %d values that are read", MOST_NODES);
  size_t bytes = nodes * (sizeof(duel_json) + sizeof(duel_json *)) + n + 1; // + 1: a number at the very end
  duel_json *block = duel_malloc(bytes);
  if (!block) return duel_fail_memory("JSON", bytes);
  parser p = {.text = text, .n = n, .next_node = block + 1, .scratch = (const duel_json **)(block + nodes)};
  p.out = (char *)(p.scratch + nodes);
  memset(block, 0, sizeof *block);
  duel_status s = parse_value(&p, 0, block);
  skip_space(&p);
  if (s == DUEL_OK && p.at < n) s = fail_at(p.at, "something follows the value");
  if (s == DUEL_OK)
    *root = block;
  else
    duel_free(block);
  return s;
}

const duel_json *duel_json_get(const duel_json *object, const char *key) {
  if (!object || object->type != DUEL_JSON_OBJECT) return NULL;
  const duel_json *m = object->child;
  while (m && strcmp(m->key, key) != 0) m = m->next;
  return m;
}
