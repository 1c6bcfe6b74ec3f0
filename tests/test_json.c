// JSON: what is right gives the tree, what is wrong one message with its place; quoting and reading are inverse.
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

#include "base/json.h"
#include "base/mem.h"

// The text lies at the end of its own allocation, so that ASan sees a read behind it.
static duel_status parse(duel_json **root, const char *text, size_t n) {
  char *copy = malloc(n ? n : 1);
  memcpy(copy, text, n);
  duel_status s = duel_json_parse(root, copy, n);
  free(copy);
  return s;
}

static void a_tree(void **state) {
  (void)state;
  static const char text[] = " {\"a\" : [1, -2.5e1,true ,false,null,\"x\"],\n\t\"b\":{},\"c\":[]} \r\n";
  duel_json *root;
  assert_int_equal(parse(&root, text, sizeof text - 1), DUEL_OK);
  assert_int_equal(root->type, DUEL_JSON_OBJECT);
  const duel_json *a = duel_json_get(root, "a"), *v = a->child;
  assert_int_equal(a->type, DUEL_JSON_ARRAY);
  assert_true(v->type == DUEL_JSON_NUMBER && v->is_integer && v->integer == 1 && v->number == 1);
  v = v->next;
  assert_true(v->type == DUEL_JSON_NUMBER && !v->is_integer && v->number == -25 && !strcmp(v->text, "-2.5e1"));
  v = v->next;
  assert_true(v->type == DUEL_JSON_BOOL && v->integer == 1 && !v->is_integer);
  v = v->next;
  assert_true(v->type == DUEL_JSON_BOOL && v->integer == 0);
  v = v->next;
  assert_true(v->type == DUEL_JSON_NULL);
  v = v->next;
  assert_true(v->type == DUEL_JSON_STRING && !strcmp(v->text, "x") && !v->next);
  assert_true(duel_json_get(root, "b")->type == DUEL_JSON_OBJECT && !duel_json_get(root, "b")->child);
  assert_true(duel_json_get(root, "c")->type == DUEL_JSON_ARRAY && !duel_json_get(root, "c")->next);
  assert_null(duel_json_get(root, "d"));
  assert_null(duel_json_get(a, "a"));
  assert_null(duel_json_get(NULL, "a"));
  duel_free(root);
}

static void numbers(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int is_integer;
    int64_t integer;
    double number;
  } cases[] = {{"0", 1, 0, 0},
               {"-0", 1, 0, -0.0},
               {"9223372036854775807", 1, INT64_MAX, 0x1p63},
               {"-9223372036854775808", 1, INT64_MIN, -0x1p63},
               {"9223372036854775808", 0, 0, 0x1p63},
               {"18446744073709551614", 0, 0, 0x1p64},
               {"0.1", 0, 0, 0.1},
               {"1.0", 0, 0, 1},
               {"1E+2", 0, 0, 100},
               {"123456789012345678901234567890e-20", 0, 0, 1234567890.1234567},
               {"5e-324", 0, 0, 0x1p-1074},
               {"1e-999", 0, 0, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_json *v;
    assert_int_equal(parse(&v, cases[i].text, strlen(cases[i].text)), DUEL_OK);
    assert_int_equal(v->is_integer, cases[i].is_integer);
    if (v->is_integer) assert_true(v->integer == cases[i].integer);
    assert_true(v->number == cases[i].number && signbit(v->number) == signbit(cases[i].number));
    assert_string_equal(v->text, cases[i].text);
    duel_free(v);
  }
  if (setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "fr_FR.UTF-8")) { // a comma where C has a point
    duel_json *v;
    assert_int_equal(parse(&v, "2.5", 3), DUEL_OK);
    assert_true(v->number == 2.5);
    duel_free(v);
    setlocale(LC_NUMERIC, "C");
  }
}

static void strings(void **state) {
  (void)state;
  static const struct {
    const char *text, *decoded;
  } cases[] = {{"\"\"", ""},
               {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz"},
               {"\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC"},
               {"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80"},
               {"\"\xF0\x9F\x98\x80\xC3\xA9\x7F\"", "\xF0\x9F\x98\x80\xC3\xA9\x7F"},
               {"\"\\uffff\"", "\xEF\xBF\xBF"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_json *v;
    assert_int_equal(parse(&v, cases[i].text, strlen(cases[i].text)), DUEL_OK);
    assert_string_equal(v->text, cases[i].decoded);
    duel_free(v);
  }
}

static void wrong(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int at; // byte named in the message, -1: not looked at
  } cases[] = {{"", 0},
               {"  ", 2},
               {"{", 1},
               {"[1", 2},
               {"[1,]", 3},
               {"[,1]", 1},
               {"[1 2]", 3},
               {"{\"a\"}", 4},
               {"{\"a\":}", 5},
               {"{\"a\":1,}", 7},
               {"{a:1}", 1},
               {"{\"a\":1 \"b\":2}", 7},
               {"[1}", 2},
               {"1 2", 2},
               {"nul", 0},
               {"nulll", 4},
               {"True", 0},
               {"01", 1},
               {"+1", 0},
               {"-", 0},
               {".5", 0},
               {"1.", 2},
               {"1e", 2},
               {"1e+", 3},
               {"0x10", 1},
               {"NaN", 0},
               {"Infinity", 0},
               {"1e999", 0},
               {"-1e999", 0},
               {"'a'", 0},
               {"\"a", 2},
               {"\"\\", 1},
               {"\"\\q\"", 1},
               {"\"\\u12\"", 1},
               {"\"\\u0000\"", 1},
               {"\"\\ud800\"", 1},
               {"\"\\ud800\\u0041\"", 1},
               {"\"\\udc00\"", 1},
               {"\"a\nb\"", 2},
               {"\"\xff\"", 1},
               {"\"\xC0\x80\"", 1},         // overlong
               {"\"\xE0\x9F\xBF\"", 1},     // overlong
               {"\"\xED\xA0\x80\"", 1},     // a surrogate
               {"\"\xF4\x90\x80\x80\"", 1}, // above U+10FFFF
               {"\"\xF0\x9F\x98\"", 1},     // cut
               {"\xEF\xBB\xBF{}", 0},       // byte order mark
               {"{\"a\":1,\"b\":2,\"a\":1}", -1},
               {"{\"a\":1,\"\\u0061\":1}", -1},
               {"// comment\n1", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_json *v;
    duel_status s = parse(&v, cases[i].text, strlen(cases[i].text));
    if (s != DUEL_ERR_DATA || v) fail_msg("accepted: %s", cases[i].text);
    char place[32];
    snprintf(place, sizeof place, "byte %d:", cases[i].at);
    if (cases[i].at >= 0 && !strstr(duel_last_error(), place))
      fail_msg("%s: expected %s in \"%s\"", cases[i].text, place, duel_last_error());
  }
  duel_json *v;
  assert_int_equal(parse(&v, "[1,\0002]", 6), DUEL_ERR_DATA);
}

static void deep_and_large(void **state) {
  (void)state;
  char deep[200];
  duel_json *v;
  memset(deep, '[', 100);
  memset(deep + 100, ']', 100);
  assert_int_equal(parse(&v, deep, 200), DUEL_ERR_DATA);
  assert_non_null(strstr(duel_last_error(), "deeply"));
  assert_int_equal(parse(&v, deep + 50, 100), DUEL_OK);
  duel_free(v);
  size_t n = 10 << 20;
  char *large = malloc(n);
  memset(large, ',', n);
  assert_int_equal(duel_json_parse(&v, large, n), DUEL_ERR_DATA);
  // Ten thousand keys, all different but the last: found without comparing each with each.
  size_t length = 0;
  large[length++] = '{';
  for (int i = 0; i <= 10000; i++)
    length += (size_t)snprintf(large + length, n - length, "\"key%d\":%d,", i == 10000 ? 77 : i, i);
  large[length - 1] = '}';
  assert_int_equal(duel_json_parse(&v, large, length), DUEL_ERR_DATA);
  assert_non_null(strstr(duel_last_error(), "key77"));
  free(large);
}

// s written as a JSON string; its length.
static size_t quote(char *dst, size_t room, const char *s) {
  duel_json_writer w = {.dst = dst, .room = room};
  duel_json_text(&w, NULL, s);
  return w.length;
}

static void quote_and_read_back(void **state) {
  (void)state;
  char all[256 + 64], quoted[2048];
  for (int i = 1; i < 128; i++) all[i - 1] = (char)i;
  strcpy(all + 127, "\xC2\x80\xE2\x82\xAC\xF0\x9F\x98\x80 G:\n  - dense: 256\n");
  size_t need = quote(NULL, 0, all);
  assert_int_equal(quote(quoted, sizeof quoted, all), need);
  assert_int_equal(strlen(quoted), need);
  duel_json *v;
  assert_int_equal(parse(&v, quoted, need), DUEL_OK);
  assert_string_equal(v->text, all);
  duel_free(v);
  char cut[8] = "???????";
  assert_int_equal(quote(cut, 5, "abcdef"), 8);
  assert_string_equal(cut, "\"abc");
  assert_int_equal(cut[5], '?');
  static const struct {
    const char *text, *written;
  } ugly[] = {{"a\xFF\xC3", "\"a\\ufffd\\ufffd\""},                     // no UTF-8
              {"\xED\xA0\x80", "\"\\ufffd\\ufffd\\ufffd\""},            // a surrogate
              {"\xC0\x80", "\"\\ufffd\\ufffd\""},                       // an overlong zero
              {"\xF4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, // above U+10FFFF
              {"\x7F\x1B[31m", "\"\\u007f\\u001b[31m\""},
              {"\xF0\x9F\x98\x80\xC3\xA9", "\"\xF0\x9F\x98\x80\xC3\xA9\""},
              {"", "\"\""}};
  for (size_t i = 0; i < sizeof ugly / sizeof *ugly; i++) {
    assert_int_equal(quote(quoted, sizeof quoted, ugly[i].text), strlen(ugly[i].written));
    assert_string_equal(quoted, ugly[i].written);
  }
}

static const char written_tree[] =
    "{\"a\":[],\"b\":{},\"c\":[1,-9223372036854775808,18446744073709551615,true,false,null,\"x\"],"
    "\"d\":{\"e\\n\":[[0.5],{\"f\":-0}]},\"g\":1e-05}";

static void write_tree(duel_json_writer *w) {
  duel_json_object(w, NULL);
  duel_json_array(w, "a");
  duel_json_end(w);
  duel_json_object(w, "b");
  duel_json_end(w);
  duel_json_array(w, "c");
  duel_json_integer(w, NULL, 1);
  duel_json_integer(w, NULL, INT64_MIN);
  duel_json_unsigned(w, NULL, UINT64_MAX);
  duel_json_bool(w, NULL, 2);
  duel_json_bool(w, NULL, 0);
  duel_json_number(w, NULL, NAN);
  duel_json_text(w, NULL, "x");
  duel_json_end(w);
  duel_json_object(w, "d");
  duel_json_array(w, "e\n");
  duel_json_array(w, NULL);
  duel_json_number(w, NULL, 0.5);
  duel_json_end(w);
  duel_json_object(w, NULL);
  duel_json_number(w, "f", -0.0);
  duel_json_end(w);
  duel_json_end(w);
  duel_json_end(w);
  duel_json_number(w, "g", 1e-5);
  duel_json_end(w);
}

static void writing(void **state) {
  (void)state;
  char text[256], file[256] = "";
  const size_t length = sizeof written_tree - 1;
  duel_json_writer measure = {.room = 0}, whole = {.dst = text, .room = sizeof text};
  write_tree(&measure);
  write_tree(&whole);
  assert_true(measure.length == length && whole.length == length && whole.depth == 0);
  assert_string_equal(text, written_tree);
  duel_json_writer cut = {.dst = text, .room = 6};
  write_tree(&cut);
  assert_int_equal(cut.length, length);
  assert_string_equal(text, "{\"a\":");
  FILE *out = tmpfile();
  duel_json_writer stream = {.out = out};
  write_tree(&stream);
  rewind(out);
  assert_int_equal(fread(file, 1, sizeof file - 1, out), length);
  assert_string_equal(file, written_tree);
  fclose(out);
  duel_json *v;
  assert_int_equal(parse(&v, file, length), DUEL_OK);
  duel_free(v);
}

// What a number's text reads back as.
static double read_back(double x, char *text, size_t room) {
  duel_json_writer w = {.dst = text, .room = room};
  duel_json *v;
  duel_json_number(&w, NULL, x);
  assert_int_equal(parse(&v, text, w.length), DUEL_OK);
  x = v->type == DUEL_JSON_NUMBER ? v->number : NAN;
  duel_free(v);
  return x;
}

static void written_numbers(void **state) {
  (void)state;
  static const double exact[] = {
      0, -0.0, 1, -25, 0.5, 123456789012, -9007199254740991, 0x1p-149, 3.4028234663852886e38};
  char text[64];
  for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
    assert_true((float)read_back(exact[i], text, sizeof text) == (float)exact[i]);
  assert_true(read_back(123456789012, text, sizeof text) == 123456789012 && !strcmp(text, "123456789012"));
  for (uint32_t i = 0, bits = 0; i < 100000; i++, bits += 42949) { // floats of all sizes
    float x;
    memcpy(&x, &bits, sizeof x);
    if (isfinite(x)) assert_true((float)read_back(x, text, sizeof text) == x);
  }
  assert_true(isnan(read_back(INFINITY, text, sizeof text)) && !strcmp(text, "null"));
  if (setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "fr_FR.UTF-8")) { // a comma where JSON has a point
    read_back(2.5, text, sizeof text);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "2.5");
  }
}

static void without_memory(void **state) {
  (void)state;
  duel_json *v;
  duel_mem_fail_at(1, 0);
  assert_int_equal(parse(&v, "[1]", 3), DUEL_ERR_DEVICE);
  duel_mem_fail_at(0, 0);
  uint64_t before = duel_mem_count();
  assert_int_equal(parse(&v, "[1,[2],{\"a\":3}]", 15), DUEL_OK);
  assert_int_equal(duel_mem_count() - before, 1);
  duel_free(v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_tree),  cmocka_unit_test(numbers),         cmocka_unit_test(strings),
      cmocka_unit_test(wrong),   cmocka_unit_test(deep_and_large),  cmocka_unit_test(quote_and_read_back),
      cmocka_unit_test(writing), cmocka_unit_test(written_numbers), cmocka_unit_test(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
