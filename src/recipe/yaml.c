// libyaml's events become a tree. The tree is built with a stack of fixed size, so that no input makes anything recurse
// deeper than DUEL_YAML_MAX_DEPTH; every refusal names the place.
#include "recipe/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "recipe/yaml_explain.h"

typedef struct open_node { // a list or mapping under way
  duel_yaml *node, **end;  // where its next child goes
  const char *key;         // a mapping's key that waits for its value
  int key_line, key_col, keys;
} open_node;

typedef struct reader {
  yaml_parser_t parser;
  duel_pool *pool;
  const char *file;
  const char *text;
  size_t length;
  bool value; // stands in no file: no marks
  int nodes, depth;
  duel_yaml *root;
  open_node open[DUEL_YAML_MAX_DEPTH];
} reader;

DUEL_PRINTF(3, 4) static duel_status fail_at(const reader *r, yaml_mark_t mark, const char *fmt, ...) {
  char problem[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(problem, sizeof problem, fmt, args);
  va_end(args);
  if (r->value) return duel_fail(DUEL_ERR_USAGE, "%s: %s", r->file, problem);
  return duel_fail(DUEL_ERR_USAGE, "%s:%zu:%zu: %s", r->file, mark.line + 1, mark.column + 1, problem);
}

static yaml_mark_t mark_of(const reader *r, size_t byte) {
  yaml_mark_t mark = {0};
  duel_yaml_position(r->text, byte, &mark.line, &mark.column);
  return mark;
}

// Bytes of the first `index` characters.
static size_t bytes_of(const reader *r, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < r->length; index--) do
      at++;
    while (at < r->length && ((unsigned char)r->text[at] & 0xC0) == 0x80);
  return at;
}

// Bytes that are no characters of YAML, which the reader meets before it parses.
static duel_status fail_reader(const reader *r, const char *problem) {
  const size_t at = r->parser.problem_offset < r->length ? r->parser.problem_offset : r->length;
  if (strstr(problem, "UTF-8"))
    return fail_at(r, mark_of(r, at), "not UTF-8 (%s)%s", problem, r->value ? "" : ": save the file as UTF-8");
  return fail_at(r, mark_of(r, at), "a character that YAML does not allow (U+%04X): take it out",
                 (unsigned)r->parser.problem_value);
}

// What libyaml itself did not like. It gives a byte offset for wrong bytes, and marks for the rest.
static duel_status fail_parser(const reader *r) {
  const yaml_parser_t *p = &r->parser;
  if (p->error == YAML_MEMORY_ERROR) return duel_fail_memory("reading YAML", r->length);
  if (p->error == YAML_READER_ERROR) return fail_reader(r, p->problem ? p->problem : "");
  duel_yaml_fault f = {.text = r->text,
                       .n = r->length,
                       .problem = p->problem,
                       .context = p->context,
                       .at = bytes_of(r, p->problem_mark.index),
                       .begin = bytes_of(r, p->context ? p->context_mark.index : p->problem_mark.index)};
  char text[200];
  duel_yaml_explain(&f, text, sizeof text);
  return fail_at(r, mark_of(r, f.at), "%s", text);
}

static open_node *innermost(reader *r) {
  return r->depth ? &r->open[r->depth - 1] : NULL;
}

// A new node goes under the innermost open one; a scalar there may be a key.
static duel_status add(reader *r, duel_yaml_type type, yaml_mark_t mark, duel_yaml **made) {
  if (++r->nodes > DUEL_YAML_MAX_NODES) return fail_at(r, mark, "too many values in one file");
  duel_yaml *node = duel_pool_alloc(r->pool, sizeof *node);
  if (!node) return duel_fail_memory("a YAML node", sizeof *node);
  node->type = type;
  node->file = r->file;
  if (!r->value) {
    node->line = (int)mark.line + 1;
    node->col = (int)mark.column + 1;
  }
  *made = node;
  open_node *parent = innermost(r);
  if (!parent) {
    r->root = node;
    return DUEL_OK;
  }
  node->key = parent->key;
  node->key_line = parent->key_line;
  node->key_col = parent->key_col;
  parent->key = NULL;
  *parent->end = node;
  parent->end = &node->next;
  return DUEL_OK;
}

static bool wants_key(reader *r) {
  const open_node *parent = innermost(r);
  return parent && parent->node->type == DUEL_YAML_MAP && !parent->key;
}

static duel_status begin_node(reader *r, duel_yaml_type type, yaml_mark_t mark) {
  if (wants_key(r)) return fail_at(r, mark, "a key is a word; here a list or mapping begins");
  if (r->depth == DUEL_YAML_MAX_DEPTH) return fail_at(r, mark, "nested too deeply");
  duel_yaml *node = NULL;
  DUEL_TRY(add(r, type, mark, &node));
  r->open[r->depth++] = (open_node){.node = node, .end = &node->child};
  return DUEL_OK;
}

static duel_status add_key(reader *r, const char *key, yaml_mark_t mark) {
  open_node *map = innermost(r);
  if (!*key) return fail_at(r, mark, "a key is missing before ':'");
  if (!strcmp(key, "<<")) return fail_at(r, mark, "merging (<<) is not part of this format; base names a parent");
  const duel_yaml *same = duel_yaml_get(map->node, key);
  if (same && r->value) return fail_at(r, mark, "a key stands there twice: leave one out");
  if (same) return fail_at(r, mark, "%.40s stands here twice; first in line %d: leave one out", key, same->key_line);
  if (++map->keys > DUEL_YAML_MAX_KEYS) return fail_at(r, mark, "too many keys in one mapping");
  map->key = key;
  map->key_line = r->value ? 0 : (int)mark.line + 1;
  map->key_col = r->value ? 0 : (int)mark.column + 1;
  return DUEL_OK;
}

// A character that only looks like YAML's own becomes part of the text around it: at its ends that is a mistake, and
// within a key anywhere.
static duel_status check_plain(const reader *r, yaml_mark_t mark, const char *text, size_t n, bool key) {
  const char *name, *type;
  for (size_t at = 0; at < n; at++) {
    const size_t length = duel_yaml_lookalike(text + at, n - at, &name, &type);
    if (!length || (!key && at > 0 && at + length < n)) continue;
    if (!type) return fail_at(r, mark, "%s, which does not show: take it out", name);
    return fail_at(r, mark, "%s: type %s in its place, or put the text in quotes", name, type);
  }
  if (!key || !memchr(text, ':', n)) return DUEL_OK;
  return fail_at(r, mark, "a blank is missing after the ':' of %.*s", n < 40 ? (int)n : 40, text);
}

static duel_status scalar(reader *r, const yaml_event_t *event) {
  const char *value = (const char *)event->data.scalar.value;
  size_t length = event->data.scalar.length;
  if (memchr(value, 0, length)) return fail_at(r, event->start_mark, "text may not hold a zero character");
  if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
    DUEL_TRY(check_plain(r, event->start_mark, value, length, wants_key(r)));
  const char *text = duel_pool_text(r->pool, value, length);
  if (!text) return duel_fail_memory("YAML text", length);
  if (wants_key(r)) return add_key(r, text, event->start_mark);
  duel_yaml *node;
  DUEL_TRY(add(r, DUEL_YAML_SCALAR, event->start_mark, &node));
  node->text = text;
  node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
  return DUEL_OK;
}

// Of a scalar, a list or a mapping: libyaml's three structures begin alike.
static duel_status check_properties(const reader *r, const yaml_event_t *event) {
  if (event->data.scalar.anchor)
    return fail_at(r, event->start_mark,
                   "anchors (&name) are not part of this format; text that begins with & stands in quotes");
  if (event->data.scalar.tag)
    return fail_at(r, event->start_mark, "tags (!name) are not part of this format; leave it out");
  return DUEL_OK;
}

static duel_status handle(reader *r, const yaml_event_t *event) {
  yaml_mark_t mark = event->start_mark;
  switch (event->type) {
  case YAML_DOCUMENT_START_EVENT:
    if (r->root)
      return fail_at(r, mark,
                     "a second document begins here; one file holds one: take this line away, or what follows");
    if (event->data.document_start.version_directive ||
        event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
      return fail_at(r, mark, "directives (%%NAME) are not part of this format; leave it out");
    return DUEL_OK;
  case YAML_ALIAS_EVENT:
    return fail_at(r, mark, "aliases (*name) are not part of this format; write the value again, or text in quotes");
  case YAML_SCALAR_EVENT:
    DUEL_TRY(check_properties(r, event));
    return scalar(r, event);
  case YAML_SEQUENCE_START_EVENT:
  case YAML_MAPPING_START_EVENT:
    DUEL_TRY(check_properties(r, event));
    return begin_node(r, event->type == YAML_MAPPING_START_EVENT ? DUEL_YAML_MAP : DUEL_YAML_LIST, mark);
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT:
    r->depth--;
    return DUEL_OK;
  default:
    return DUEL_OK;
  }
}

static duel_status read_events(reader *r) {
  for (;;) {
    yaml_event_t event;
    if (!yaml_parser_parse(&r->parser, &event)) return fail_parser(r);
    bool end = event.type == YAML_STREAM_END_EVENT;
    duel_status status = handle(r, &event);
    yaml_event_delete(&event);
    if (status != DUEL_OK || end) return status;
  }
}

static duel_status parse(reader *r, const char *text, size_t n) {
  if (n > DUEL_YAML_MAX_BYTES)
    return duel_fail(DUEL_ERR_USAGE, "%s: %zu bytes are too many; the most is %d", r->file, n, DUEL_YAML_MAX_BYTES);
  const char *foreign = duel_yaml_foreign(text, n);
  if (*foreign) return fail_at(r, (yaml_mark_t){0}, "%s", foreign);
  r->text = text;
  r->length = n;
  if (!yaml_parser_initialize(&r->parser)) {
    yaml_parser_delete(&r->parser);
    return duel_fail_memory("the YAML parser", 0);
  }
  yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, n);
  duel_status status = read_events(r);
  yaml_parser_delete(&r->parser);
  return status;
}

duel_status duel_yaml_parse(duel_yaml **root, duel_pool *pool, const char *file, const char *text, size_t n) {
  static const char mark[] = "\xEF\xBB\xBF"; // some editors begin a file so; libyaml would count it as a column
  reader r = {.pool = pool, .file = file};
  size_t skip = n >= 3 && !memcmp(text, mark, 3) ? 3 : 0;
  DUEL_TRY(parse(&r, text + skip, n - skip));
  if (!r.root) return duel_fail(DUEL_ERR_USAGE, "%s:1:1: the file is empty; begin with `recipe: 1`", file);
  *root = r.root;
  return DUEL_OK;
}

duel_status duel_yaml_parse_value(duel_yaml **root, duel_pool *pool, const char *origin, const char *text) {
  reader r = {.pool = pool, .file = origin, .value = true};
  DUEL_TRY(parse(&r, text, strlen(text)));
  if (!r.root) {
    DUEL_TRY(add(&r, DUEL_YAML_SCALAR, (yaml_mark_t){0}, &r.root));
    r.root->text = "";
  }
  *root = r.root;
  return DUEL_OK;
}

duel_yaml *duel_yaml_get(const duel_yaml *map, const char *key) {
  if (!map || map->type != DUEL_YAML_MAP) return NULL;
  for (duel_yaml *item = map->child; item; item = item->next)
    if (!strcmp(item->key, key)) return item;
  return NULL;
}

int duel_yaml_count(const duel_yaml *node) {
  int n = 0;
  for (const duel_yaml *item = node->child; item; item = item->next) n++;
  return n;
}

bool duel_yaml_equal(const duel_yaml *a, const duel_yaml *b) {
  if (a->type != b->type) return false;
  if (a->type == DUEL_YAML_SCALAR) {
    uint64_t m, n;
    double x, y;
    if (!strcmp(a->text, b->text) || (duel_yaml_is_null(a) && duel_yaml_is_null(b))) return true;
    if (duel_yaml_uint(a, &m) && duel_yaml_uint(b, &n)) return m == n; // doubles would merge large ones
    return duel_yaml_number(a, &x) && duel_yaml_number(b, &y) && x == y;
  }
  if (duel_yaml_count(a) != duel_yaml_count(b)) return false;
  for (const duel_yaml *x = a->child, *y = b->child; x; x = x->next, y = y->next) {
    const duel_yaml *other = a->type == DUEL_YAML_MAP ? duel_yaml_get(b, x->key) : y;
    if (!other || !duel_yaml_equal(x, other)) return false;
  }
  return true;
}
