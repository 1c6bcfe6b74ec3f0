// safetensors: vectors of the format's own tests, round trips, and every damage that a small file can suffer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"
#include "io_help.h"

static duel_status parse(duel_tensor_file *f, const void *bytes, size_t n) {
  uint8_t *copy = duel_malloc(n);
  assert_non_null(copy);
  memcpy(copy, bytes, n);
  return duel_tensors_parse(f, "file", copy, n);
}

// A file of that header, padded with spaces to a multiple of 8, and n bytes of data 0, 1, 2, …
static duel_status parse_header(duel_tensor_file *f, const char *header, size_t n) {
  size_t text = strlen(header), padded = (text + 7) / 8 * 8;
  uint8_t *bytes = duel_calloc(8 + padded + n, 1);
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((uint64_t)padded >> 8 * i);
  memset(bytes + 8, ' ', padded);
  memcpy(bytes + 8, header, text);
  for (size_t i = 0; i < n; i++) bytes[8 + padded + i] = (uint8_t)i;
  return duel_tensors_parse(f, "file", bytes, 8 + padded + n);
}

static void a_known_file(void **state) {
  (void)state;
  uint8_t bytes[8 + 96 + 16] = {96};
  const float values[4] = {1, 2, 3, 4};
  memset(bytes + 8, ' ', 96);
  static const char header[] =
      "{\"__metadata__\":{\"format\":\"duel\"},\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
  memcpy(bytes + 8, header, sizeof header - 1);
  memcpy(bytes + 8 + 96, values, 16);
  duel_tensor_file f;
  assert_int_equal(parse(&f, bytes, sizeof bytes), DUEL_OK);
  assert_true(f.n == 1 && f.n_meta == 1);
  const duel_entry *w = duel_tensors_find(&f, "w");
  assert_true(w && w->dtype == DUEL_F32 && w->rank == 2 && w->dim[0] == 2 && w->dim[1] == 2 && w->bytes == 16);
  assert_memory_equal(w->data, values, 16);
  assert_string_equal(duel_tensors_meta(&f, "format"), "duel");
  assert_null(duel_tensors_meta(&f, "w"));
  assert_null(duel_tensors_find(&f, "format"));
  duel_tensors_close(&f);
  for (size_t n = 0; n < sizeof bytes; n++) { // cut anywhere
    assert_int_equal(parse(&f, bytes, n), DUEL_ERR_DATA);
    assert_true(f.bytes == NULL && f.n == 0);
  }
}

#define T(fields) "{\"t\":{" fields "}}"
#define SHAPED(shape, begin_end) T("\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" begin_end)

static void accepted(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t data;
    int n;
  } cases[] = {
      {"{}", 0, 0},
      {"{\"__metadata__\":{}}", 0, 0},
      {SHAPED("[]", "[0,4]"), 4, 1},
      {SHAPED("[2,0,3]", "[0,0]"), 0, 1},
      {SHAPED("[1,1,1,1,1,1,1,2]", "[0,8]"), 8, 1},
      {"{ \"t\" : {\"shape\":[1],\"data_offsets\":[0, 8],\"dtype\":\"\\u00464\" } }", 8, -1}, // "F4" is unknown
      {"{\"t\":{\"shape\":[1],\"data_offsets\":[0, 8],\"dtype\":\"\\u004664\" } }", 8, 1},
      // In any order; an empty tensor where another begins.
      {"{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]},\"e\":{\"dtype\":\"U8\",\"shape\":[0],"
       "\"data_offsets\":[4,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
       7, 3},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_tensor_file f;
    duel_status s = parse_header(&f, cases[i].header, cases[i].data);
    if (cases[i].n < 0) {
      assert_int_equal(s, DUEL_ERR_DATA);
      continue;
    }
    if (s != DUEL_OK) fail_msg("%s: %s", cases[i].header, duel_last_error());
    assert_int_equal(f.n, cases[i].n);
    duel_tensors_close(&f);
  }
}

static void refused(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t data;
    const char *message;
  } cases[] = {
      {"[]", 0, "no JSON object"},
      {" {}", 0, "no JSON object"},
      {"{}\n", 0, "no JSON object"},
      {"{", 0, "no JSON object"},
      {"{\"a\" }", 0, "JSON, byte"},
      {"{}", 1, "1 bytes of data"},
      {"{\"__metadata__\":null}", 0, "no object"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "metadata a is no string"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
      {"{\"t\":1}", 0, "needs dtype"},
      {"{\"t\":{}}", 0, "needs dtype"},
      {"{\"a\\nb\":{}}", 0, "control"},
      {T("\"dtype\":\"F32\",\"shape\":[1]"), 4, "needs dtype"},
      {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0"), 4, "nothing else"},
      {T("\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, "twice"},
      {T("\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, "is f32;"},
      {T("\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]"), 4, "is F16;"},
      {T("\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]"), 4, "needs dtype"},
      {SHAPED("1", "[0,4]"), 4, "needs dtype"},
      {SHAPED("[-1]", "[0,4]"), 4, "proper shape"},
      {SHAPED("[1.0]", "[0,4]"), 4, "proper shape"},
      {SHAPED("[\"1\"]", "[0,4]"), 4, "proper shape"},
      {SHAPED("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "proper shape"},
      {SHAPED("[2,18446744073709551614]", "[0,4]"), 4, "proper shape"},
      {SHAPED("[2,9223372036854775807]", "[0,4]"), 4, "cannot have 4 bytes"},
      {SHAPED("[4294967296,4294967296]", "[0,0]"), 0, "cannot have 0 bytes"},
      {SHAPED("[1]", "[0]"), 4, "proper data_offsets"},
      {SHAPED("[1]", "[]"), 4, "proper data_offsets"},
      {SHAPED("[1]", "[0,4,4]"), 4, "proper data_offsets"},
      {SHAPED("[1]", "[4,0]"), 4, "proper data_offsets"},
      {SHAPED("[1]", "[-4,0]"), 4, "proper data_offsets"},
      {SHAPED("[1]", "[0.0,4]"), 4, "proper data_offsets"},
      {SHAPED("[1]", "[0,8]"), 8, "cannot have 8 bytes"},
      {SHAPED("[2]", "[0,8]"), 4, "cut short"},
      {SHAPED("[1]", "[9223372036854775803,9223372036854775807]"), 4, "cut short"},
      {SHAPED("[1]", "[4,8]"), 8, "begins at byte 4"},
      {SHAPED("[1]", "[0,4]"), 8, "8 bytes of data"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
       3, "tensor b begins at byte 1 of the data, expected 2"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
       "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}",
       5, "aligned"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
       1, "twice"},
      {"{\"__metadata__\":{\"crc32c\":\"00000000\"}}", 0, "checksum is"},
      {"{\"__metadata__\":{\"crc32c\":\"0000000\"}}", 0, "8 hex digits"},
      {"{\"__metadata__\":{\"crc32c\" :\"00000000\"}}", 0, "8 hex digits"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    duel_tensor_file f;
    duel_status s = parse_header(&f, cases[i].header, cases[i].data);
    if (s != DUEL_ERR_DATA) fail_msg("accepted: %s", cases[i].header);
    assert_message("file");
    if (!strstr(duel_last_error(), cases[i].message))
      fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].header, duel_last_error(), cases[i].message);
  }
  static const struct {
    const char *bytes;
    size_t n;
  } raw[] = {{"", 0},
             {"\1\0\0\0\0\0\0", 7},
             {"\0\0\0\0\0\0\0\0", 8},
             {"\1\0\0\0\0\0\0\0{", 9},
             {"\1\0\0\0\0\0\0\0\xff", 9},
             {"<\0\0\0\0\xff\xff\xff\xff{}", 11},
             {"<\0\0\0\0\0\0\0", 8},
             {"\2\0\0\1\0\0\0\0{}", 10},
             {"\x04\0\0\0\0\0\0\0{}\0\0", 12}}; // padded with zeros
  for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
    duel_tensor_file f;
    assert_int_equal(parse(&f, raw[i].bytes, raw[i].n), DUEL_ERR_DATA);
  }
}

// ---- writing

static const float weight[6] = {1, -2, 3.5f, 0, 1e-40f, 6};
static const double moments[2] = {1, 2};
static const uint8_t small[3] = {7, 8, 9};
static const int32_t counts[1] = {-5};
static const uint16_t halves[2] = {0x3F80, 0x4000};
static const char recipe[] = "G:\n  - dense: 256 # \"quoted\" \\ \x01 \xC3\xA9\n\"crc32c\":\"01234567\"\n";

static const duel_entry entries[] = {
    {"G.0.weight", DUEL_F32, 2, {2, 3}, weight, 24},
    {"u", DUEL_U8, 1, {3}, small, 3},
    {"n", DUEL_I32, 0, {0}, counts, 4},
    {"h", DUEL_BF16, 1, {2}, halves, 4},
    {"m", DUEL_F64, 1, {2}, moments, 16},
    {"empty", DUEL_F32, 2, {0, 4}, weight, 0},
    {"D.\xC3\xA9\"x\\", DUEL_F32, 1, {1}, weight, 4},
};
enum { ENTRIES = sizeof entries / sizeof *entries };
static const duel_meta metadata[] = {{"step", "18446744073709551615"}, {"recipe", recipe}, {"", ""}};

static duel_status write_it(void) {
  return duel_tensors_write(scratch("a"), entries, ENTRIES, metadata, 3);
}

static void assert_same(const duel_tensor_file *f) {
  assert_int_equal(f->n, ENTRIES);
  for (int i = 0; i < ENTRIES; i++) {
    const duel_entry *e = duel_tensors_find(f, entries[i].name);
    assert_non_null(e);
    assert_true(e->dtype == entries[i].dtype && e->rank == entries[i].rank && e->bytes == entries[i].bytes);
    assert_memory_equal(e->dim, entries[i].dim, sizeof e->dim);
    if (e->bytes) assert_memory_equal(e->data, entries[i].data, e->bytes);
    assert_int_equal((uintptr_t)e->data % duel_dtype_size(e->dtype), 0);
  }
  assert_int_equal(f->n_meta, 4);
  for (int i = 0; i < 3; i++) assert_string_equal(duel_tensors_meta(f, metadata[i].key), metadata[i].value);
}

static void round_trip(void **state) {
  (void)state;
  duel_tensor_file f;
  assert_int_equal(write_it(), DUEL_OK);
  assert_int_equal(duel_tensors_read(&f, scratch("a")), DUEL_OK);
  assert_same(&f);
  // The reference's order: dtypes by alignment, largest first, then names.
  static const char *const order[] = {"m", "D.\xC3\xA9\"x\\", "G.0.weight", "empty", "n", "h", "u"};
  for (int i = 0; i < ENTRIES; i++) assert_string_equal(f.entry[i].name, order[i]);
  duel_tensors_close(&f);
  size_t n;
  uint8_t *b = scratch_get("a", &n);
  assert_int_equal((8 + b[0] + 256 * b[1]) % 64, 0);
  assert_memory_equal(b + 8, "{\"__metadata__\":{\"step\":", 24);
  free(b);
  assert_int_equal(duel_tensors_write(scratch("a"), NULL, 0, NULL, 0), DUEL_OK); // nothing at all
  assert_int_equal(duel_tensors_read(&f, scratch("a")), DUEL_OK);
  assert_int_equal(f.n, 0);
  duel_tensors_close(&f);
  assert_int_equal(duel_tensors_read(&f, scratch("none")), DUEL_ERR_DATA);
}

static void damaged_anywhere(void **state) {
  (void)state;
  size_t n;
  duel_tensor_file f;
  assert_int_equal(write_it(), DUEL_OK);
  uint8_t *b = scratch_get("a", &n);
  for (size_t cut = 0; cut < n; cut++) assert_int_equal(parse(&f, b, cut), DUEL_ERR_DATA);
  for (size_t i = 0; i < n; i++)
    for (int bit = 0; bit < 8; bit++) {
      b[i] ^= (uint8_t)(1 << bit);
      duel_status s = parse(&f, b, n);
      // Only where the damage hits the key "crc32c" itself is the file one without a checksum.
      if (s == DUEL_OK) {
        assert_null(duel_tensors_meta(&f, "crc32c"));
        duel_tensors_close(&f);
      }
      b[i] ^= (uint8_t)(1 << bit);
    }
  assert_int_equal(parse(&f, b, n), DUEL_OK);
  duel_tensors_close(&f);
  b[n - 1] ^= 1;
  assert_int_equal(parse(&f, b, n), DUEL_ERR_DATA);
  assert_message("corrupt");
  free(b);
}

static void not_written(void **state) {
  (void)state;
  static const struct {
    duel_entry entry[2];
    int n;
  } cases[] = {
      {{{"a", DUEL_F32, 1, {2}, weight, 4}}, 1},
      {{{"a\n", DUEL_F32, 1, {1}, weight, 4}}, 1},
      {{{"a\xFF", DUEL_F32, 1, {1}, weight, 4}}, 1},
      {{{"__metadata__", DUEL_F32, 1, {1}, weight, 4}}, 1},
      {{{"a", DUEL_F32, 1, {-1}, weight, 4}}, 1},
      {{{"a", DUEL_F32, 9, {1}, weight, 4}}, 1},
      {{{"a", DUEL_F32, 1, {1}, weight, 4}, {"a", DUEL_I32, 1, {1}, counts, 4}}, 2},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(duel_tensors_write(scratch("a"), cases[i].entry, cases[i].n, NULL, 0), DUEL_ERR_INTERNAL);
  assert_int_equal(scratch_count(), 0);
}

static void with_faults(void **state) {
  (void)state;
  duel_tensor_file f;
  for (int all = 0; all < 2; all++)
    for (int at = 1;; at++) { // the file that is there stays whole
      assert_int_equal(duel_tensors_write(scratch("a"), entries, 1, NULL, 0), DUEL_OK);
      fault_begin(FAULT_ERROR, at, all, ENOSPC);
      duel_status s = write_it();
      long calls = fault_end();
      assert_true(s == DUEL_OK || s == DUEL_ERR_IO);
      assert_int_equal(duel_tensors_read(&f, scratch("a")), DUEL_OK);
      assert_int_equal(f.n, strchr(fault_log(), 'F') ? ENTRIES : 1);
      duel_tensors_close(&f);
      if (calls < at) break;
    }
}

static void without_memory(void **state) {
  (void)state;
  duel_tensor_file f;
  for (int all = 0; all < 2; all++)
    for (uint64_t at = 1, failures = 0;; at++, failures++) {
      assert_int_equal(duel_tensors_write(scratch("a"), entries, 1, NULL, 0), DUEL_OK);
      duel_mem_fail_at(at, all);
      duel_status s = write_it();
      if (s == DUEL_OK) s = duel_tensors_read(&f, scratch("a"));
      duel_mem_fail_at(0, 0);
      if (s == DUEL_OK) {
        assert_same(&f);
        duel_tensors_close(&f);
        assert_int_equal(failures, 6); // order, parts, header; file, JSON, entries
        break;
      }
      assert_int_equal(s, DUEL_ERR_DEVICE);
    }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_known_file), cmocka_unit_test(accepted),    cmocka_unit_test(refused),
      WITH_FOLDER(round_trip),        WITH_FOLDER(damaged_anywhere), WITH_FOLDER(not_written),
      WITH_FOLDER(with_faults),       WITH_FOLDER(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
