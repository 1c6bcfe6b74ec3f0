// What everything stands on: the thread's message, the door to the heap, shapes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/tensor.h"

static void messages_carry_context(void **state) {
  (void)state;
  assert_int_equal(duel_fail(DUEL_ERR_DATA, "line %d", 7), DUEL_ERR_DATA);
  assert_int_equal(duel_context(DUEL_OK, "x"), DUEL_OK);
  assert_int_equal(duel_context(DUEL_ERR_DATA, "file %s", "a.idx"), DUEL_ERR_DATA);
  assert_string_equal(duel_last_error(), "file a.idx: line 7");
  duel_fail(DUEL_ERR_IO, "%s again", duel_last_error());
  assert_string_equal(duel_last_error(), "file a.idx: line 7 again");
  char *longer = duel_malloc(20001);
  for (int i = 0; i < 20000; i += 2) memcpy(longer + i, "×", 2);
  longer[20000] = 0;
  for (int shift = 0; shift < 2; shift++) { // never half a character
    duel_fail(DUEL_ERR_IO, "%s%s", shift ? "-" : "", longer);
    assert_int_equal((strlen(duel_last_error()) - (size_t)shift) % 2, 0);
  }
  duel_free(longer);
  duel_clear_error();
  assert_string_equal(duel_last_error(), "");
  assert_string_equal(duel_version(), DUEL_VERSION);
}

// Names of files may hold anything; what is told of them goes to terminals.
static void messages_are_plain(void **state) {
  (void)state;
  static const struct {
    const char *name, *plain;
  } names[] = {{"a\x1b[31mb.jpg", "a\\x1b[31mb.jpg"},
               {"a\nduel: error: b", "a\\x0aduel: error: b"},
               {"\r\t\x07\x7f", "\\x0d\\x09\\x07\\x7f"},
               {"\xC3\xA4\xE2\x80\xA6\xF0\x9F\x90\x88", "\xC3\xA4\xE2\x80\xA6\xF0\x9F\x90\x88"},
               {"\xC2\x9B"
                "31m",
                "\\x9b31m"},
               {"\xFF\xE4.png", "\\xff\\xe4.png"},
               {"\xC0\x8A\xED\xA0\x80", "\\xc0\\x8a\\xed\\xa0\\x80"},
               {"\xE2\x80", "\\xe2\\x80"}};
  char text[64];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    duel_fail(DUEL_ERR_DATA, "%s", names[i].name);
    assert_string_equal(duel_last_error(), names[i].plain);
    duel_plain(text, sizeof text, "%s", names[i].name);
    assert_string_equal(text, names[i].plain);
  }
  duel_fail(DUEL_ERR_DATA, "two:\n%s" DUEL_LINE "%s", "a\nb", "c"); // lines of the format, and those that are meant
  assert_string_equal(duel_last_error(), "two:\na\\x0ab\nc");
  duel_fail(DUEL_ERR_DATA, "%s!", duel_last_error()); // of a message
  assert_string_equal(duel_last_error(), "two:\na\\x0ab\nc!");
  duel_context(DUEL_ERR_DATA, "set %s", "\n");
  assert_string_equal(duel_last_error(), "set \\x0a: two:\na\\x0ab\nc!");
  snprintf(text, sizeof text, "%s", duel_last_error());
  duel_fail_again(DUEL_ERR_DATA, text);
  assert_string_equal(duel_last_error(), text);
  duel_plain(text, 6, "%s", "abc\x1b"); // cut before what does not fit
  assert_string_equal(text, "abc");
  duel_clear_error();
}

static void memory_can_be_made_to_fail(void **state) {
  (void)state;
  duel_mem_fail_at(2, 0);
  char *a = duel_strdup("abc"), *b = duel_format("%d%s", 12, "x"), *c = duel_format("%d%s", 12, "x");
  assert_true(a && !b && c);
  assert_string_equal(c, "12x");
  duel_mem_fail_at(1, 1);
  assert_null(duel_realloc(a, 100));
  assert_null(duel_malloc_aligned(256, 100));
  duel_mem_fail_at(0, 0);
  assert_string_equal(a, "abc"); // a failed realloc leaves the block alone
  assert_null(duel_calloc(SIZE_MAX / 2, 3));
  void *aligned = duel_malloc_aligned(256, 100);
  assert_int_equal((uintptr_t)aligned % 256, 0);
  duel_free(aligned), duel_free(a), duel_free(c);
}

static void shapes_print_and_broadcast(void **state) {
  (void)state;
  assert_string_equal(duel_shape_text(DUEL_SHAPE(64, 1, 28, 28)), "64×1×28×28");
  assert_string_equal(duel_shape_text(DUEL_SCALAR), "scalar");
  int64_t lowest[DUEL_MAX_RANK] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
  assert_int_equal(strlen(duel_shape_text(duel_shape_of(6, lowest))), 6 * 20 + 5 * 2);
  duel_shape s;
  assert_true(duel_shape_broadcast(DUEL_SHAPE(3, 1), DUEL_SHAPE(2, 1, 4), &s));
  assert_true(duel_shape_equal(s, DUEL_SHAPE(2, 3, 4)));
  assert_false(duel_shape_broadcast(DUEL_SHAPE(3), DUEL_SHAPE(2), &s));
  assert_int_equal(duel_dtype_size(DUEL_BF16), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_carry_context),
      cmocka_unit_test(messages_are_plain),
      cmocka_unit_test(memory_can_be_made_to_fail),
      cmocka_unit_test(shapes_print_and_broadcast),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
