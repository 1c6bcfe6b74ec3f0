// YAML: what is right gives the tree with its places, what is wrong one message with its place; scalars are those of
// YAML 1.2's core schema; numbers and text survive being written and read.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "recipe/yaml.h"

// The text lies at the end of its own allocation, so that ASan sees a read behind it.
static duel_status parse_bytes(duel_yaml **root, duel_pool *pool, const char *text, size_t n) {
  char *copy = calloc(1, n ? n : 1);
  memcpy(copy, text, n);
  duel_status s = duel_yaml_parse(root, pool, "f", copy, n);
  free(copy);
  return s;
}

static duel_yaml *parse(duel_pool *pool, const char *text) {
  duel_yaml *root;
  if (parse_bytes(&root, pool, text, strlen(text)) != DUEL_OK) fail_msg("%s: %s", text, duel_last_error());
  return root;
}

static void refuses_bytes(const char *text, size_t n, const char *message) {
  duel_pool pool = {0};
  duel_yaml *root;
  assert_int_equal(parse_bytes(&root, &pool, text, n), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), message);
  duel_pool_close(&pool);
}
static void refuses(const char *text, const char *message) {
  refuses_bytes(text, strlen(text), message);
}

static void a_tree(void **state) {
  (void)state;
  duel_pool pool = {0};
  duel_yaml *root = parse(&pool, "# comment\na: 1\nbé: [x, \"y z\", {c: ~}]\nd:\n  - - deep\n  - |\n    block\n");
  assert_int_equal(root->type, DUEL_YAML_MAP);
  assert_true(duel_yaml_count(root) == 3 && root->line == 2 && root->col == 1 && !strcmp(root->file, "f"));
  duel_yaml *a = duel_yaml_get(root, "a"), *b = duel_yaml_get(root, "bé"), *d = duel_yaml_get(root, "d");
  assert_true(a->line == 2 && a->col == 4 && a->key_line == 2 && a->key_col == 1 && !a->quoted);
  assert_true(b->type == DUEL_YAML_LIST && b->line == 3 && b->col == 5); // columns count characters
  assert_true(b->child->next->quoted && !strcmp(b->child->next->text, "y z") && b->child->next->col == 9);
  duel_yaml *c = duel_yaml_get(b->child->next->next, "c");
  assert_true(duel_yaml_is_null(c) && c->key_col == 17 && c->col == 20);
  assert_true(d->child->type == DUEL_YAML_LIST && !strcmp(d->child->child->text, "deep"));
  assert_true(d->child->next->quoted && !strcmp(d->child->next->text, "block\n"));
  assert_null(duel_yaml_get(root, "e"));
  assert_null(duel_yaml_get(a, "e"));
  assert_null(duel_yaml_get(NULL, "e"));
  duel_pool_close(&pool);
}

static void ways_to_write_the_same(void **state) {
  (void)state;
  duel_pool pool = {0};
  duel_yaml *a = parse(&pool, "x: [1, 0x10]\ny: {k: 0.5, l: ~}\n"),
            *b = parse(&pool, "y:\n  l:\n  k: 5e-1\nx:\n  - 1\n  - 0o20\n");
  assert_true(duel_yaml_equal(a, b));
  const char *others[] = {"x: [1, 16]", "x: [0x10, 1]\ny: {k: 0.5, l: ~}",  "x: [1, 16]\ny: {k: 0.5, m: ~}",
                          "[1]",        "x: [1, 16, 3]\ny: {k: 0.5, l: ~}", "x: 1\ny: {k: 0.5, l: ~}"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(duel_yaml_equal(a, parse(&pool, others[i])));
  assert_false(duel_yaml_equal(parse(&pool, "18446744073709551615"), parse(&pool, "18446744073709551614")));
  assert_true(duel_yaml_equal(parse(&pool, "1"), parse(&pool, "1.0")));
  assert_false(duel_yaml_equal(parse(&pool, "one"), parse(&pool, "two")));
  duel_pool_close(&pool);
}

static void strictness(void **state) {
  (void)state;
  refuses("", "f:1:1: the file is empty; begin with `recipe: 1`");
  refuses("# nothing\n\n", "f:1:1: the file is empty; begin with `recipe: 1`");
  refuses("a: 1\nb: 2\na: 3\n", "f:3:1: a stands here twice; first in line 1: leave one out");
  refuses("a: {b: 1, b: 2}\n", "f:1:11: b stands here twice; first in line 1: leave one out");
  refuses("a: &x 1\n", "f:1:4: anchors (&name) are not part of this format; text that begins with & stands in quotes");
  refuses("a: &x [1]\n",
          "f:1:4: anchors (&name) are not part of this format; text that begins with & stands in quotes");
  refuses("a: &x {}\n", "f:1:4: anchors (&name) are not part of this format; text that begins with & stands in quotes");
  refuses("a: *x\n", "f:1:4: aliases (*name) are not part of this format; write the value again, or text in quotes");
  refuses("a: !!str 1\n", "f:1:4: tags (!name) are not part of this format; leave it out");
  refuses("a: !x [1]\n", "f:1:4: tags (!name) are not part of this format; leave it out");
  refuses("a: !x {}\n", "f:1:4: tags (!name) are not part of this format; leave it out");
  refuses("a: 1\n---\nb: 2\n",
          "f:2:1: a second document begins here; one file holds one: take this line away, or what follows");
  refuses("%YAML 1.1\n---\na: 1\n", "f:1:1: directives (%NAME) are not part of this format; leave it out");
  refuses("%TAG ! tag:x,2000:\n---\na: 1\n", "f:1:1: directives (%NAME) are not part of this format; leave it out");
  refuses("? [a]\n: 1\n", "f:1:3: a key is a word; here a list or mapping begins");
  refuses("{a: 1}: 2\n", "f:1:1: a key is a word; here a list or mapping begins");
  refuses("\"\": 1\n", "f:1:1: a key is missing before ':'");
  refuses("a: \"\\0\"\n", "f:1:4: text may not hold a zero character");
}

// What people type that is no YAML: the message tells the cause, where it is, and what to type. Each cure is tried.
static void causes_and_cures(void **state) {
  (void)state;
  static const struct {
    const char *text, *message, *cured;
  } cases[] = {
      {"a:\n\t- b\n", "2:1: a tab: YAML is indented with blanks", "a:\n  - b\n"},
      {"a: 1\n\tb: 2\n", "2:1: a tab: YAML is indented with blanks", "a: 1\nb: 2\n"},
      {"a:\n  b: 1\n  \tc: 2\n", "3:3: a tab: YAML is indented with blanks", "a:\n  b: 1\n  c: 2\n"},
      {"a:\r\n  - b\r\n\t- c\r\n", "3:1: a tab: YAML is indented with blanks", "a:\r\n  - b\r\n  - c\r\n"},
      {"a: |\n\tx\n", "2:1: a tab: YAML is indented with blanks", "a: |\n x\n"},
      {"a: [1, 2\nb: 3\n", "2:2: ',' or ']' is due here: '[' of line 1 is not closed", "a: [1, 2]\nb: 3\n"},
      {"a: {x: 1\n", "2:1: ',' or '}' is due here: '{' of line 1 is not closed", "a: {x: 1}\n"},
      {"a: \"x\nb: 3\n", "1:4: the quote that opens here is not closed", "a: \"x\"\nb: 3\n"},
      {"c: 1\na: 'x\nb: 3\n", "2:4: the quote that opens here is not closed", "c: 1\na: 'x'\nb: 3\n"},
      {"a: 'it's'\n", "1:8: the value ends before this: put all of it in quotes, or take this away", "a: \"it's\"\n"},
      {"a: \"C:\\photos\"\n", "1:7: in double quotes \\ begins an escape: write \\\\, or use single quotes",
       "a: 'C:\\photos'\n"},
      {"a:1\nb: 2\n", "1:2: a blank is missing after the ':' of a", "a: 1\nb: 2\n"},
      {"b: 2\na:1\n", "2:2: a blank is missing after the ':' of a", "b: 2\na: 1\n"},
      {"b: {lr:0.1, c: 2}\n", "1:5: a blank is missing after the ':' of lr:0.1", "b: {lr: 0.1, c: 2}\n"},
      {"a\nb: 2\n", "1:2: a ':' is missing after a", "a:\nb: 2\n"},
      {"b: 2\na = 3\nc: 4\n", "2:2: '=' gives no value here: write a: …", "b: 2\na: 3\nc: 4\n"},
      {"a:\n  - b\n  -c\n", "3:3: a blank is missing after '-'", "a:\n  - b\n  - c\n"},
      {"a:\n  -b: 1\n  - c\n", "2:3: a blank is missing after '-'", "a:\n  - b: 1\n  - c\n"},
      {"a: b: c\n",
       "1:5: a second ':' in one line: put text that has one in quotes, and keys on lines of their own or in {}",
       "a: {b: c}\n"},
      {"a: 1\n b: 2\n",
       "2:2: this line is indented deeper than line 1, which has a value already: begin both in one column",
       "a: 1\nb: 2\n"},
      {"a:\n   b: 2\n  c: 3\n",
       "3:3: a key is due in column 1, where line 1 has one: indent this line as its neighbors",
       "a:\n  b: 2\n  c: 3\n"},
      {"a:\n  - b: 1\n  c: 2\n",
       "3:3: an item of the list of line 2 is due: begin it with '- ', or indent this line as what it belongs to",
       "a:\n  - b: 1\n  - c: 2\n"},
      {" a: 1\nb: 2\n", "2:1: the recipe has ended before this line: indent it as the first one", " a: 1\n b: 2\n"},
      {"a: - 1\n", "1:4: a list's '-' begins a line of its own; in one line a list is [a, b]", "a: [1]\n"},
      {"a: @x\n", "1:4: no value begins with this character: put the value in quotes", "a: '@x'\n"},
      {"a: %x\n", "1:4: no value begins with this character: put the value in quotes", "a: '%x'\n"},
      {"a: ]\n", "1:4: a value is due here; text that begins with this character stands in quotes", "a: ']'\n"},
      {"a: | x\n", "1:6: text after | and > begins on the next line, deeper; put other text in quotes", "a: '| x'\n"},
      {"<<: 1\n", "1:1: merging (<<) is not part of this format; base names a parent", "base: x\n"},
      {"a:\xc2\xa0x\nb: 1\n", "1:3: a no-break space (U+00A0): type a blank in its place", "a: x\nb: 1\n"},
      {"\xc2\xa0\xc2\xa0"
       "b: 1\n",
       "1:1: a no-break space (U+00A0): type a blank in its place, or put the text in quotes", "  b: 1\n"},
      {"a: \xe2\x80\x9cx\xe2\x80\x9d\n",
       "1:4: a typographic quote (U+201C): type \" in its place, or put the text in quotes", "a: \"x\"\n"},
      {"a\xef\xbc\x9a 1\nb: 2\n", "1:2: a wide colon (U+FF1A): type : in its place", "a: 1\nb: 2\n"},
      {"a: 1\n\xef\xbb\xbf"
       "b: 1\n",
       "2:1: a byte-order mark (U+FEFF), which does not show: take it out", "a: 1\nb: 1\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_pool pool = {0};
    char message[256];
    snprintf(message, sizeof message, "f:%s", cases[i].message);
    refuses(cases[i].text, message);
    parse(&pool, cases[i].cured);
    duel_pool_close(&pool);
  }
  duel_pool pool = {0}; // what is meant may have any character
  parse(&pool, "a: ./my\xe2\x80\xaf"
               "photos\nb: '\xe2\x80\x9cx'\nc: [1,\n\t2]\nd:\tx # \xc2\xa0\n");
  duel_pool_close(&pool);
}

static void bytes_that_are_no_text(void **state) {
  (void)state;
  refuses("a: 1\nbb: \xff\n", "f:2:5: not UTF-8 (invalid leading UTF-8 octet): save the file as UTF-8");
  refuses("é: \xc3(", "f:1:5: not UTF-8 (invalid trailing UTF-8 octet): save the file as UTF-8");
  refuses("a: \xed\xa0\x80", "f:1:4: a character that YAML does not allow (U+D800): take it out");
  refuses_bytes("a: 1\0", 5, "f:1:1: no text: a recipe is a text file in UTF-8");
  refuses("a: \033[31m", "f:1:4: a character that YAML does not allow (U+001B): take it out");
  refuses_bytes("\xff\xfe\x61\0", 4, "f:1:1: the file is in UTF-16: save it as UTF-8");
  refuses_bytes("a\0:\0 \0001\0", 8, "f:1:1: the file is in UTF-16: save it as UTF-8");
  duel_pool pool = {0};
  duel_yaml *bom = parse(&pool, "\xef\xbb\xbf"
                                "a: 1\nb: 2\n");
  assert_int_equal(duel_yaml_count(bom), 2);
  assert_non_null(duel_yaml_get(bom, "b"));
  duel_pool_close(&pool);
}

static void bounds(void **state) {
  (void)state;
  size_t n = DUEL_YAML_MAX_BYTES + 1;
  char *text = malloc(n + 1);
  char message[96];

  memset(text, '#', n);
  snprintf(message, sizeof message, "f: %zu bytes are too many; the most is %d", n, DUEL_YAML_MAX_BYTES);
  refuses_bytes(text, n, message);

  memset(text, '[', 65);
  refuses_bytes(text, 65, "f:1:65: nested too deeply");
  memset(text + 64, ']', 64);
  duel_pool pool = {0};
  duel_yaml *root;
  assert_int_equal(parse_bytes(&root, &pool, text, 128), DUEL_OK);
  duel_pool_close(&pool);
  for (int i = 0; i < 70; i++) memcpy(text + 2 * i, "- ", 2);
  refuses_bytes(text, 140, "f:1:129: nested too deeply");
  memset(text, '[', n - 1);
  refuses_bytes(text, n - 1, "f:1:65: nested too deeply");
  for (size_t i = 0; i < n / 2; i++) memcpy(text + 2 * i, "{a", 2);
  assert_int_equal(parse_bytes(&root, &pool, text, n - 1), DUEL_ERR_USAGE);
  duel_pool_close(&pool);

  text[0] = '[';
  for (size_t i = 1; i < 2 * DUEL_YAML_MAX_NODES; i += 2) memcpy(text + i, "1,", 2);
  text[2 * DUEL_YAML_MAX_NODES] = ']';
  refuses_bytes(text, 2 * DUEL_YAML_MAX_NODES + 1, "f:1:200000: too many values in one file");
  text[2 * DUEL_YAML_MAX_NODES - 2] = ']';
  assert_int_equal(parse_bytes(&root, &pool, text, 2 * DUEL_YAML_MAX_NODES - 1), DUEL_OK);
  duel_pool_close(&pool);

  size_t used = 0;
  for (int i = 0; i <= DUEL_YAML_MAX_KEYS; i++) used += (size_t)sprintf(text + used, "k%d:\n", i);
  refuses_bytes(text, used, "f:1001:1: too many keys in one mapping");
  free(text);
}

static void scalars(void **state) {
  (void)state;
  static const struct {
    const char *text;
    char kind; // null, bool, int, number, text
    double value;
  } cases[] = {
      {"", 'n', 0},        {"~", 'n', 0},       {"null", 'n', 0},     {"Null", 'n', 0},  {"NULL", 'n', 0},
      {"nULL", 't', 0},    {"true", 'b', 1},    {"True", 'b', 1},     {"FALSE", 'b', 0}, {"yes", 't', 0},
      {"no", 't', 0},      {"on", 't', 0},      {"Off", 't', 0},      {"y", 't', 0},     {"0", 'i', 0},
      {"-12", 'i', -12},   {"+12", 'i', 12},    {"012", 'i', 12},     {"0o17", 'i', 15}, {"0x1F", 'i', 31},
      {"0o8", 't', 0},     {"0xg", 't', 0},     {"0x", 't', 0},       {"0b1", 't', 0},   {"1_000", 't', 0},
      {"-0x1", 't', 0},    {"1:30", 't', 0},    {"1.5", 'f', 1.5},    {".5", 'f', 0.5},  {"5.", 'f', 5},
      {"-1e3", 'f', -1e3}, {"1e-8", 'f', 1e-8}, {"1.0E+2", 'f', 100}, {"1e", 't', 0},    {".", 't', 0},
      {"-", 't', 0},       {"+", 't', 0},       {".inf", 't', 0},     {"-.Inf", 't', 0}, {".nan", 't', 0},
      {"1e999", 't', 0},   {"nan", 't', 0},     {"infinity", 't', 0}, {"0x1p3", 't', 0}, {"1e5x", 't', 0},
      {"e5", 't', 0},      {"1e-999", 'f', 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_yaml node = {.text = cases[i].text};
    bool truth;
    int64_t integer;
    double number;
    char kind = cases[i].kind;
    assert_int_equal(duel_yaml_is_null(&node), kind == 'n');
    assert_int_equal(duel_yaml_bool(&node, &truth), kind == 'b');
    assert_int_equal(duel_yaml_int(&node, &integer), kind == 'i');
    assert_int_equal(duel_yaml_number(&node, &number), kind == 'i' || kind == 'f');
    if (kind == 'b') assert_int_equal(truth, cases[i].value);
    if (kind == 'i') assert_true((double)integer == cases[i].value);
    if (kind == 'i' || kind == 'f') assert_true(number == cases[i].value);
    node.quoted = true;
    assert_false(duel_yaml_is_null(&node) || duel_yaml_bool(&node, &truth) || duel_yaml_int(&node, &integer) ||
                 duel_yaml_number(&node, &number));
  }
}

static void the_ends_of_integers(void **state) {
  (void)state;
  int64_t integer = 7;
  uint64_t natural = 7;
  duel_yaml node = {.text = "9223372036854775807"};
  assert_true(duel_yaml_int(&node, &integer) && integer == INT64_MAX);
  node.text = "9223372036854775808";
  assert_false(duel_yaml_int(&node, &integer));
  assert_true(duel_yaml_uint(&node, &natural) && natural == UINT64_C(1) << 63);
  node.text = "18446744073709551615";
  assert_true(duel_yaml_uint(&node, &natural) && natural == UINT64_MAX);
  node.text = "0xffffffffffffffff";
  assert_true(duel_yaml_uint(&node, &natural) && natural == UINT64_MAX);
  natural = 7;
  node.text = "18446744073709551616";
  assert_false(duel_yaml_uint(&node, &natural));
  node.text = "-1";
  assert_false(duel_yaml_uint(&node, &natural));
  assert_int_equal(natural, 7);
  node.text = "-0";
  assert_true(duel_yaml_uint(&node, &natural) && natural == 0);
}

static void numbers_come_back(void **state) {
  (void)state;
  static const struct {
    double x;
    const char *text;
  } cases[] = {{0, "0"},
               {-0.0, "0"},
               {1, "1"},
               {-64, "-64"},
               {0.2, "0.2"},
               {0.0002, "0.0002"},
               {1e-8, "1.0e-8"},
               {1e15, "1.0e+15"},
               {1e14, "100000000000000"},
               {0.1 + 0.2, "0.30000000000000004"},
               {1.5e300, "1.5e+300"},
               {-2.5e-7, "-2.5e-7"}};
  char text[DUEL_YAML_NUMBER_BYTES];
  double x;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_yaml_number_text(text, cases[i].x);
    assert_string_equal(text, cases[i].text);
  }
  uint64_t random = 1;
  for (int i = 0; i < 100000; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    double value;
    memcpy(&value, &random, sizeof value);
    if (!isfinite(value)) continue;
    duel_yaml_number_text(text, value);
    assert_true(duel_yaml_number_read(text, &x) && x == value);
  }
}

static void no_locale(void **state) {
  (void)state;
  if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "de_DE.utf8")) skip();
  char text[DUEL_YAML_NUMBER_BYTES];
  double x;
  duel_yaml_number_text(text, 2.5e-7);
  bool read = duel_yaml_number_read("0.25", &x), comma = duel_yaml_number_read("0,25", &x);
  setlocale(LC_NUMERIC, "C");
  assert_string_equal(text, "2.5e-7");
  assert_true(read && x == 0.25 && !comma);
}

static void shown(void **state) {
  (void)state;
  duel_pool pool = {0};
  char dst[96];
  duel_yaml *root =
      parse(&pool, "a: [1, yes, 'yes', \"1\", ~]\nb c: {d: fashion-mnist, e: ./x/y.idx, f: synthetic:ring}\n");
  assert_string_equal(
      duel_yaml_show(dst, sizeof dst, root),
      "{a: [1, yes, \"yes\", \"1\", null], \"b c\": {d: fashion-mnist, e: ./x/y.idx, f: synthetic:ring}}");
  assert_string_equal(duel_yaml_show(dst, 12, root), "{a: [1, …");
  assert_string_equal(duel_yaml_show(dst, 8, parse(&pool, "äääääää")), "ää…"); // no half character
  assert_string_equal(duel_yaml_show(dst, 4, root), "…");

  // Any text comes back as it was, whatever its letters.
  static const char *const texts[] = {
      "",       " ",    "a b",  "a: b",    "a #b", "#",    "-",    "- a",        "[",        "]x",
      "{}",     "&a",   "*a",   "!a",      "%a",   "@",    "`",    "\"",         "'",        "\\",
      "a\nb",   "\t",   "\r\n", "\033[0m", "\x7f", "é",    "日本", "\U0001F600", "\xc2\x85", "\u2028x",
      "\ufeff", "true", "null", "~",       "1e5",  "0x1F", "1:30", "2001-01-01", "...",      "---",
      "yes",    "x:",   ":x",   "a,b",     "?",    "? a",  "|",    ">",          "$C*$H",    "./a b/c.npy",
      "=",      "<<",   "_",    "1_000",   "n",    "0o7"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char text[160];
    duel_yaml node = {.text = texts[i], .quoted = true};
    snprintf(text, sizeof text, "[{k: %s}, %s]", duel_yaml_show(dst, sizeof dst, &node), dst);
    duel_yaml *back = parse(&pool, text);
    for (const duel_yaml *item = back->child->child; item;
         item = item == back->child->child ? back->child->next : NULL) {
      double x;
      bool truth;
      assert_string_equal(item->text, texts[i]);
      assert_false(duel_yaml_is_null(item) || duel_yaml_number(item, &x) || duel_yaml_bool(item, &truth));
    }
  }
  duel_pool_close(&pool);
}

static void a_value_without_a_file(void **state) {
  (void)state;
  duel_pool pool = {0};
  duel_yaml *node;
  assert_int_equal(duel_yaml_parse_value(&node, &pool, "--set a=", ""), DUEL_OK);
  assert_true(duel_yaml_is_null(node) && node->line == 0 && !strcmp(node->file, "--set a="));
  assert_int_equal(duel_yaml_parse_value(&node, &pool, "--set a={b: 1}", "{b: 1}"), DUEL_OK);
  assert_true(node->line == 0 && node->child->line == 0 && node->child->key_line == 0);
  assert_int_equal(duel_yaml_parse_value(&node, &pool, "--set a=[1", "[1"), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), "--set a=[1: ',' or ']' is due here: '[' of line 1 is not closed");
  assert_int_equal(duel_yaml_parse_value(&node, &pool, "--set a=…", "{b: 1, b: 1}"), DUEL_ERR_USAGE);
  assert_string_equal(duel_last_error(), "--set a=…: a key stands there twice: leave one out");
  duel_pool_close(&pool);
}

static void without_memory(void **state) {
  (void)state;
  static char text[40000] = "a: [";
  for (size_t used = 4; used < sizeof text - 8; used += 4) memcpy(text + used, "xyz,", 4);
  strcat(text, "]\n");
  duel_status status = DUEL_ERR_DEVICE;
  for (uint64_t at = 1; status != DUEL_OK; at++) {
    duel_pool pool = {0};
    duel_yaml *root;
    duel_mem_fail_at(at, 0);
    status = parse_bytes(&root, &pool, text, strlen(text));
    duel_mem_fail_at(0, 0);
    assert_true(status == DUEL_OK || status == DUEL_ERR_DEVICE);
    assert_true(at < 1000);
    duel_pool_close(&pool);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_tree),
      cmocka_unit_test(ways_to_write_the_same),
      cmocka_unit_test(strictness),
      cmocka_unit_test(causes_and_cures),
      cmocka_unit_test(bytes_that_are_no_text),
      cmocka_unit_test(bounds),
      cmocka_unit_test(scalars),
      cmocka_unit_test(the_ends_of_integers),
      cmocka_unit_test(numbers_come_back),
      cmocka_unit_test(no_locale),
      cmocka_unit_test(shown),
      cmocka_unit_test(a_value_without_a_file),
      cmocka_unit_test(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
