// NPY, CIFAR and large gzip files: read as numpy and the sets' authors write them, or refused; streamed as in memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "io/data/dataset.h"
#include "io/records/npy.h"
#include "io_help.h"

static duel_dataset *open_set(const char *name, duel_dataset_options o) {
  duel_dataset *d;
  if (duel_dataset_open_with(&d, scratch(name), &o) != DUEL_OK) fail_msg("%s", duel_last_error());
  return d;
}

static void assert_refused_as(duel_status expected, const char *name, duel_dataset_options o, const char *part) {
  duel_dataset *d;
  duel_status s = duel_dataset_open_with(&d, scratch(name), &o);
  if (s == DUEL_OK) fail_msg("%s was accepted; wanted \"%s\"", name, part);
  assert_message(part);
  assert_int_equal(s, expected);
  assert_null(d);
}
static void assert_refused(const char *name, const char *part) {
  assert_refused_as(DUEL_ERR_DATA, name, (duel_dataset_options){.limit = 0}, part);
}

static void assert_shape(const duel_dataset *d, int64_t items, int64_t C, int64_t H, int64_t W) {
  assert_true(d->items == items && d->rank == 3 && d->dim[0] == C && d->dim[1] == H && d->dim[2] == W);
  assert_int_equal(d->item_count, C * H * W);
}

// ---- NPY

static size_t put_npy(const char *name, const char *dict, const void *values, size_t n) {
  static uint8_t file[1 << 16];
  const size_t length = strlen(dict), head = (10 + length + 1 + 63) / 64 * 64;
  memset(file, ' ', head);
  memcpy(file, "\x93NUMPY\x01\x00", 8);
  file[8] = (uint8_t)((head - 10) & 255);
  file[9] = (uint8_t)((head - 10) >> 8);
  memcpy(file + 10, dict, length);
  file[head - 1] = '\n';
  memcpy(file + head, values, n);
  scratch_put(name, file, head + n);
  return head + n;
}

static uint8_t bytes[4096];

static void put_bytes(const char *shape) {
  char dict[160];
  size_t n = 1;
  for (const char *p = shape; *p; p++)
    if (*p >= '0' && *p <= '9') n *= strtoul(p, (char **)&p, 10), p--;
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7 + i / 256);
  snprintf(dict, sizeof dict, "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }", shape);
  put_npy("a.npy", dict, bytes, n);
}

static void npy_layouts(void **state) {
  (void)state;
  put_bytes("(4, 5, 6)");
  duel_dataset *d = open_set("a.npy", (duel_dataset_options){.limit = 3});
  assert_string_equal(d->name, "a");
  assert_shape(d, 3, 1, 5, 6);
  assert_memory_equal(d->values, bytes, 90);
  duel_dataset_close(d);
  put_bytes("(4, 3, 5, 6)");
  d = open_set("a.npy", (duel_dataset_options){.limit = 0});
  assert_shape(d, 4, 3, 5, 6);
  assert_memory_equal(d->values, bytes, 360);
  duel_dataset_close(d);
  put_bytes("(4, 5, 6, 3)");
  d = open_set("a.npy", (duel_dataset_options){.limit = 0});
  assert_shape(d, 4, 3, 5, 6);
  for (int i = 0; i < 4; i++)
    for (int c = 0; c < 3; c++)
      for (int k = 0; k < 30; k++)
        assert_int_equal(((uint8_t *)d->values)[i * 90 + c * 30 + k], bytes[i * 90 + k * 3 + c]);
  duel_dataset_close(d);
  put_bytes("(2, 3, 5, 1)"); // both fit: channels first
  d = open_set("a.npy", (duel_dataset_options){.limit = 0});
  assert_shape(d, 2, 3, 5, 1);
  duel_dataset_close(d);
  // Framed: half the size, and grey.
  put_bytes("(2, 6, 8, 3)");
  d = open_set("a.npy", (duel_dataset_options){.height = 3, .width = 4, .channels = 1});
  assert_shape(d, 2, 1, 3, 4);
  duel_dataset_close(d);
}

static void npy_floats(void **state) {
  (void)state;
  float v[12];
  for (int i = 0; i < 12; i++) v[i] = (float)i / 4 - 1;
  assert_int_equal(duel_npy_write(scratch("p.npy"), v, 2, (int64_t[]){6, 2}), DUEL_OK);
  duel_dataset *d = open_set("p.npy", (duel_dataset_options){.limit = 0});
  assert_true(d->is_float && d->rank == 1 && d->dim[0] == 2 && d->items == 6);
  assert_memory_equal(d->values, v, sizeof v);
  duel_dataset_close(d);
  assert_int_equal(duel_npy_write(scratch("p.npy"), v, 4, (int64_t[]){1, 2, 2, 3}), DUEL_OK);
  d = open_set("p.npy", (duel_dataset_options){.limit = 0});
  assert_shape(d, 1, 3, 2, 2);
  for (int c = 0; c < 3; c++)
    for (int k = 0; k < 4; k++) assert_true(((float *)d->values)[c * 4 + k] == v[k * 3 + c]);
  duel_dataset_close(d);
  assert_refused_as(DUEL_ERR_USAGE, "p.npy", (duel_dataset_options){.height = 4, .width = 4},
                    "data.size and data.channels are for images of bytes");
  uint32_t big[12];
  for (int i = 0; i < 12; i++) {
    memcpy(&big[i], &v[i], 4);
    big[i] = __builtin_bswap32(big[i]);
  }
  put_npy("b.npy", "{'descr':'>f4','shape':(3,4),'fortran_order':False}", big, sizeof big);
  d = open_set("b.npy", (duel_dataset_options){.limit = 0});
  assert_memory_equal(d->values, v, sizeof v);
  duel_dataset_close(d);
  big[7] = 0x0000807F; // infinite
  put_npy("b.npy", "{'descr':'>f4','shape':(3,4),'fortran_order':False}", big, sizeof big);
  assert_refused("b.npy", "value 3 of item 1 is inf");
}

// float64, float16 and bool, in both orders of bytes.
static void npy_other_numbers(void **state) {
  (void)state;
  static const double wide[4] = {-1, 0.25, 3, 1e-3};
  static const uint16_t half[6] = {0xBC00, 0x3400, 0x4200, 0x0001, 0x8000, 0x7BFF};
  static const float halves[6] = {-1, 0.25f, 3, 5.9604645e-8f, -0.0f, 65504};
  put_npy("a.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", wide, sizeof wide);
  duel_dataset *d = open_set("a.npy", (duel_dataset_options){.limit = 0});
  assert_true(d->is_float && d->rank == 1 && d->items == 2);
  for (int i = 0; i < 4; i++) assert_true(((float *)d->values)[i] == (float)wide[i]);
  duel_dataset_close(d);
  for (int big = 0; big < 2; big++) {
    uint16_t h[6];
    for (int i = 0; i < 6; i++) h[i] = big ? __builtin_bswap16(half[i]) : half[i];
    put_npy("a.npy",
            big ? "{'descr': '>f2', 'fortran_order': False, 'shape': (3, 2), }"
                : "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 2), }",
            h, sizeof h);
    d = open_set("a.npy", (duel_dataset_options){.memory = big});
    float v[6];
    must(duel_dataset_read(d, (int32_t[]){0, 1, 2}, 3, v));
    assert_memory_equal(v, halves, sizeof v);
    duel_dataset_close(d);
  }
  put_npy("a.npy", "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 1), }", (uint16_t[]){0x7C00}, 2);
  assert_refused("a.npy", "is inf");
  put_npy("a.npy", "{'descr': '|b1', 'fortran_order': False, 'shape': (2, 1, 3), }", "\0\1\1\1\0\0", 6);
  d = open_set("a.npy", (duel_dataset_options){.limit = 0});
  assert_shape(d, 2, 1, 1, 3);
  assert_memory_equal(d->values, ((uint8_t[]){0, 255, 255, 255, 0, 0}), 6);
  duel_dataset_close(d);
}

static void npy_refused(void **state) {
  (void)state;
  static const struct {
    const char *dict;
    size_t n;
    const char *message;
  } cases[] = {
      {"{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2, 2), }", 64, "n.save('fixed.npy', x.astype('uint8'))"},
      {"{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2, 2), }", 16, "(x / 257).round().astype('uint8')"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2, 2), }", 64, "n.abs(x).astype('float32')"},
      {"{'descr': '<f16', 'fortran_order': False, 'shape': (2, 2), }", 64, "x.astype('float32')"},
      {"{'descr': '<U7', 'fortran_order': False, 'shape': (2, 2), }", 112, "it holds no pictures"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 32,
       "allow_pickle=True); n.save('fixed.npy', n.stack(list(x)))"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (), }", 32,
       "holds one Python object, such as a dict: save the array"},
      {"{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 2), }", 8, "n.ascontiguousarray(x)"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }", 4, "holds 2×2 values; images are N×H×W"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 784), }", 1568, "x.reshape(-1, 28, 28)"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3072), }", 3072, "x.reshape(-1, 3, 32, 32)"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (8, 8, 3), }", 192,
       "may be one picture H×W×C, or N×H×W (then x[:, None] is clear)"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4, 3, 5), }", 240, "x.transpose(3, 0, 1, 2)"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 4, 4, 3), }", 192, "x.reshape(-1, *x.shape[2:])"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (8,), }", 8, "images are N×H×W"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (), }", 1, "images are N×H×W"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2, 2), }", 8, "with C 1, 3 or 4"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 2, 2), }", 0, "holds nothing"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }", 11, "cut short: 3×2×2 values need"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }", 13, "header and data do not match"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 8), }", 13, "more than can be"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 1, 4), }", 13, "as numpy.save writes"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 1, 4), }", 13, "as numpy.save writes"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (8), }", 8, "as numpy.save writes"},
      {"{'descr': '|u1', 'fortran_order': False, }", 8, "as numpy.save writes"},
      {"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2)}", 8, "as numpy.save writes"},
      {"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2, 2, 2)}", 8, "as numpy.save writes"},
      {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2)} import os", 8, "as numpy.save writes"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_npy("a.npy", cases[i].dict, bytes, cases[i].n);
    assert_refused("a.npy", cases[i].message);
  }
  size_t n;
  put_bytes("(2, 2, 2)");
  uint8_t *all = scratch_get("a.npy", &n);
  for (size_t k = 0; k < n; k++) {
    scratch_put("a.npy", all, k);
    assert_refused("a.npy", "a.npy");
  }
  all[6] = 4;
  scratch_put("a.npy", all, n);
  assert_refused("a.npy", "NPY version 4");
  all[6] = 2;
  all[10] = all[11] = 0xFF;
  scratch_put("a.npy", all, n);
  assert_refused("a.npy", "says that its header takes");
  free(all);
}

// ---- CIFAR

static void put_cifar(const char *name, int records, int head) {
  static uint8_t r[5 * 3074];
  for (int i = 0; i < records; i++) {
    uint8_t *p = r + i * (3072 + head);
    if (head == 2) *p++ = 19;
    *p++ = (uint8_t)(i + (head == 2 ? 90 : 0));
    for (int k = 0; k < 3072; k++) p[k] = (uint8_t)(i + k);
  }
  scratch_put(name, r, (size_t)(records * (3072 + head)));
}

static void cifar(void **state) {
  (void)state;
  put_cifar("c.bin", 4, 1);
  duel_dataset *d = open_set("c.bin", (duel_dataset_options){.limit = 0});
  assert_string_equal(d->name, "c");
  assert_shape(d, 4, 3, 32, 32);
  assert_int_equal(d->classes, 10);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(d->labels[i], i);
    for (int k = 0; k < 3072; k++) assert_int_equal(((uint8_t *)d->values)[i * 3072 + k], (uint8_t)(i + k));
  }
  duel_dataset_close(d);
  put_cifar("c.bin", 3, 2);
  d = open_set("c.bin", (duel_dataset_options){.limit = 2});
  assert_true(d->items == 2 && d->classes == 100 && d->labels[1] == 91);
  duel_dataset_close(d);
  // The folder as it is unpacked: the training batches, in order.
  mkdir(scratch("cifar"), 0777);
  put_cifar("cifar/data_batch_2.bin", 1, 1);
  put_cifar("cifar/data_batch_1.bin", 4, 1);
  put_cifar("cifar/test_batch.bin", 3, 1);
  scratch_put("cifar/readme.html", "x", 1);
  for (int64_t memory = 0; memory < 2; memory++) {
    d = open_set("cifar", (duel_dataset_options){.memory = memory});
    assert_true(d->items == 5 && d->labels[3] == 3 && d->labels[4] == 0);
    uint8_t item[3072];
    assert_int_equal(duel_dataset_read(d, &(int32_t){3}, 1, item), DUEL_OK);
    assert_int_equal(item[1], 4);
    duel_dataset_close(d);
  }
  put_cifar("cifar/data_batch_3.bin", 3, 2);
  assert_refused("cifar", "hold items of different kinds");
  scratch_put("c.bin", bytes, 3072);
  assert_refused("c.bin", "holds 3072 bytes, which is no whole number of CIFAR-10 records");
  scratch_put("c.bin", bytes, 0);
  assert_refused("c.bin", "holds 0 bytes");
  put_cifar("c.bin", 2, 1);
  size_t n;
  uint8_t *all = scratch_get("c.bin", &n);
  all[3073] = 10;
  scratch_put("c.bin", all, n);
  assert_refused("c.bin", "the label of item 1 is 10; CIFAR-10 has 10 classes");
  free(all);
}

// ---- gzip, too large to be inflated into memory

static void streamed_gzip(void **state) {
  (void)state;
  enum { N = 500, SIZE = 28 * 28, ROOM = 16 + N * SIZE };
  uint8_t *idx = malloc(ROOM), *gz = malloc(2 * ROOM), labels[8 + N] = {0, 0, 8, 1, 0, 0, N >> 8, N & 255};
  memcpy(idx, (uint8_t[]){0, 0, 8, 3, 0, 0, N >> 8, N & 255, 0, 0, 0, 28, 0, 0, 0, 28}, 16);
  for (int i = 0; i < N * SIZE; i++) idx[16 + i] = (uint8_t)((i * 2654435761u >> 13) & (i / 300));
  for (int i = 0; i < N; i++) labels[8 + i] = (uint8_t)(i % 7);
  struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
  const size_t half = 16 + N / 2 * SIZE; // two members
  size_t n = libdeflate_gzip_compress(c, idx, half, gz, 2 * ROOM);
  n += libdeflate_gzip_compress(c, idx + half, ROOM - half, gz + n, 2 * ROOM - n);
  libdeflate_free_compressor(c);
  scratch_put("train-images-idx3-ubyte.gz", gz, n);
  scratch_put("train-labels-idx1-ubyte", labels, sizeof labels);
  duel_dataset *a = open_set("", (duel_dataset_options){.limit = 0});
  duel_dataset *b = open_set("", (duel_dataset_options){.memory = 1000}), *again;
  assert_true(a->values && !b->values);
  assert_true(a->items == N && b->items == N && a->classes == 7 && b->classes == 7);
  assert_int_equal(a->fingerprint, b->fingerprint);
  assert_memory_equal(a->labels, b->labels, N);
  uint8_t item[SIZE];
  for (int32_t i = 0; i < N; i++) {
    assert_int_equal(duel_dataset_read(b, &i, 1, item), DUEL_OK);
    assert_memory_equal(item, idx + 16 + i * SIZE, SIZE);
  }
  again = open_set("", (duel_dataset_options){.memory = 1000}); // from the cache
  assert_int_equal(again->fingerprint, a->fingerprint);
  duel_dataset_close(again);
  duel_dataset_close(b);
  duel_dataset_close(a);
  for (size_t cut = n - 1; cut > n / 2; cut -= n / 10) {
    scratch_put("x.gz", gz, cut);
    assert_refused_as(DUEL_ERR_DATA, "x.gz", (duel_dataset_options){.memory = 1000}, "x.gz");
  }
  gz[n / 3] ^= 16;
  scratch_put("x.gz", gz, n);
  assert_refused_as(DUEL_ERR_DATA, "x.gz", (duel_dataset_options){.memory = 1000}, "x.gz is corrupt");
  free(idx);
  free(gz);
}

static void joined_crcs(void **state) {
  (void)state;
  for (size_t n = 0; n < 300; n = 2 * n + 1)
    for (size_t m = 0; m < 300; m += 37) {
      duel_crc32c_joint joint;
      duel_crc32c_join(&joint, n);
      const uint32_t a = duel_crc32c(0, bytes, m), b = duel_crc32c(0, bytes + m, n);
      assert_int_equal(duel_crc32c_joined(&joint, a, b), duel_crc32c_portable(0, bytes, m + n));
    }
}

static void synthetic_sets_stay_as_they_are(void **state) {
  (void)state;
  duel_dataset *d;
  const duel_dataset_options o = {.height = 32, .width = 32}, small = {.memory = 1};
  assert_int_equal(duel_dataset_open_with(&d, "synthetic:shapes", &o), DUEL_ERR_USAGE);
  assert_message("synthetic:shapes is made at a size of its own");
  assert_int_equal(duel_dataset_open_with(&d, "synthetic:shapes", &small), DUEL_OK);
  assert_non_null(d->values);
  duel_dataset_close(d);
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(npy_layouts),
      WITH_FOLDER(npy_floats),
      WITH_FOLDER(npy_other_numbers),
      WITH_FOLDER(npy_refused),
      WITH_FOLDER(cifar),
      WITH_FOLDER(streamed_gzip),
      cmocka_unit_test(joined_crcs),
      cmocka_unit_test(synthetic_sets_stay_as_they_are),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
