// Data sets: IDX and gzip in every state of damage, the finding of files, the synthetic sets bit by bit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "io/data/dataset.h"
#include "io/gzip.h"
#include "io/records/idx.h"
#include "io_help.h"

static void assert_refused(const char *spec, const char *part) {
  duel_dataset *d;
  duel_status s = duel_dataset_open(&d, spec, 0);
  if (s == DUEL_OK) fail_msg("%s was accepted", spec);
  assert_int_equal(s, DUEL_ERR_DATA);
  assert_null(d);
  assert_message(part);
}

// An IDX file: header, then bytes 0, 1, 2, …
static size_t make_idx(uint8_t *dst, int type, int rank, const uint32_t *dim, size_t n) {
  memcpy(dst, (uint8_t[]){0, 0, (uint8_t)type, (uint8_t)rank}, 4);
  for (int i = 0; i < rank; i++)
    for (int k = 0; k < 4; k++) dst[4 + 4 * i + k] = (uint8_t)(dim[i] >> (24 - 8 * k));
  size_t header = 4 + 4 * (size_t)rank;
  for (size_t i = 0; i < n; i++) dst[header + i] = (uint8_t)i;
  return header + n;
}

static size_t compress(uint8_t *dst, size_t room, const uint8_t *src, size_t n) {
  struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
  size_t size = libdeflate_gzip_compress(c, src, n, dst, room);
  libdeflate_free_compressor(c);
  assert_true(size > 0);
  return size;
}

// 3 images of 2×2 and labels 0, 5, 2 as train-images… and train-labels…
static void put_small_set(int gz) {
  static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 0, 5, 2};
  uint8_t b[64], z[128];
  size_t n = make_idx(b, 8, 3, (uint32_t[]){3, 2, 2}, 12);
  if (gz) {
    scratch_put("train-images-idx3-ubyte.gz", z, compress(z, sizeof z, b, n));
    scratch_put("train-labels-idx1-ubyte.gz", z, compress(z, sizeof z, labels, sizeof labels));
  } else {
    scratch_put("train-images-idx3-ubyte", b, n);
    scratch_put("train-labels-idx1-ubyte", labels, sizeof labels);
  }
}

static void assert_small_set(duel_dataset *d, const char *name, int64_t items) {
  assert_string_equal(d->name, name);
  assert_true(d->items == items && d->rank == 3 && d->dim[0] == 1 && d->dim[1] == 2 && d->dim[2] == 2);
  assert_true(d->item_count == 4 && !d->is_float && d->classes == 6);
  for (int i = 0; i < 4 * items; i++) assert_int_equal(((uint8_t *)d->values)[i], i);
  assert_memory_equal(d->labels, ((uint8_t[]){0, 5, 2}), (size_t)items);
}

static uint32_t word(const void *p) {
  uint32_t w;
  memcpy(&w, p, 4);
  return w;
}

// ---- IDX

static void files_and_folders(void **state) {
  (void)state;
  static const char *const specs[2] = {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"};
  uint32_t fingerprint[2];
  for (int gz = 0; gz < 2; gz++) {
    put_small_set(gz);
    duel_dataset *d;
    assert_int_equal(duel_dataset_open(&d, scratch(specs[gz]), 0), DUEL_OK);
    assert_small_set(d, "train-images", 3);
    fingerprint[gz] = d->fingerprint;
    duel_dataset_close(d);
    assert_int_equal(duel_dataset_open(&d, scratch(""), 0), DUEL_OK);
    assert_small_set(d, strrchr(scratch(""), '/') + 1, 3);
    assert_int_equal(d->fingerprint, fingerprint[gz]);
    duel_dataset_close(d);
    assert_int_equal(duel_dataset_open(&d, scratch(specs[gz]), 2), DUEL_OK); // the first two
    assert_small_set(d, "train-images", 2);
    assert_int_not_equal(d->fingerprint, fingerprint[gz]);
    duel_dataset_close(d);
    assert_int_equal(duel_dataset_open(&d, scratch(specs[gz]), 99), DUEL_OK);
    assert_small_set(d, "train-images", 3);
    duel_dataset_close(d);
  }
  assert_int_equal(fingerprint[0], fingerprint[1]);
  // The fingerprint is a promise: checkpoints hold it.
  const int64_t head[7] = {3, 3, 1, 2, 2, 0, 1};
  uint8_t all[56 + 12 + 3];
  memcpy(all, head, 56);
  for (int i = 0; i < 12; i++) all[56 + i] = (uint8_t)i;
  memcpy(all + 68, (uint8_t[]){0, 5, 2}, 3);
  assert_int_equal(fingerprint[0], duel_crc32c_portable(0, all, sizeof all));
}

static void other_shapes(void **state) {
  (void)state;
  uint8_t b[128];
  duel_dataset *d;
  scratch_put("color.idx", b, make_idx(b, 8, 4, (uint32_t[]){2, 3, 1, 4}, 24));
  assert_int_equal(duel_dataset_open(&d, scratch("color.idx"), 0), DUEL_OK);
  assert_string_equal(d->name, "color");
  assert_true(d->items == 2 && d->rank == 3 && d->dim[0] == 3 && d->dim[1] == 1 && d->dim[2] == 4);
  assert_true(d->item_count == 12 && !d->labels && d->classes == 0);
  duel_dataset_close(d);
  size_t n = make_idx(b, 0x0D, 2, (uint32_t[]){2, 3}, 24);
  memcpy(b + 12, (uint8_t[]){0x3F, 0x80, 0, 0, 0xC0, 0x20, 0, 0}, 8); // 1, -2.5
  scratch_put("my points!.idx", b, n);
  assert_int_equal(duel_dataset_open(&d, scratch("my points!.idx"), 1), DUEL_OK);
  assert_string_equal(d->name, "my-points-");
  assert_true(d->items == 1 && d->rank == 1 && d->dim[0] == 3 && d->is_float);
  assert_true(((float *)d->values)[0] == 1 && ((float *)d->values)[1] == -2.5f);
  assert_int_equal(word((float *)d->values + 2), 0x08090A0B);
  duel_dataset_close(d);
  scratch_put("f.idx", b, make_idx(b, 0x0D, 3, (uint32_t[]){1, 2, 2}, 16));
  assert_int_equal(duel_dataset_open(&d, scratch("f.idx"), 0), DUEL_OK);
  assert_true(d->rank == 3 && d->dim[0] == 1 && d->is_float);
  duel_dataset_close(d);
}

static void cut_at_every_length(void **state) {
  (void)state;
  uint8_t b[64], z[128];
  size_t n = make_idx(b, 8, 3, (uint32_t[]){3, 2, 2}, 12);
  for (size_t k = 0; k < n; k++) {
    scratch_put("a", b, k);
    assert_refused(scratch("a"), k == 0 ? "empty" : k < 16 ? "header" : "cut short");
  }
  scratch_put("a", b, 25);
  assert_refused(scratch("a"), "3×2×2 values need 28 bytes, it holds 25 and ends in item 2");
  b[n] = 0;
  scratch_put("a", b, n + 1);
  assert_refused(scratch("a"), "holds 29 bytes, 3×2×2 values need 28");
  size_t zn = compress(z, sizeof z, b, n);
  for (size_t k = 0; k < zn; k++) {
    scratch_put("a", z, k);
    assert_refused(scratch("a"), "a");
  }
}

static void header_bits(void **state) {
  (void)state;
  uint8_t b[64], z[128], back[128];
  size_t n = make_idx(b, 8, 3, (uint32_t[]){3, 2, 2}, 12), zn = compress(z, sizeof z, b, n);
  for (size_t i = 0; i < 16; i++)
    for (int bit = 0; bit < 8; bit++) {
      memcpy(back, b, n);
      back[i] ^= (uint8_t)(1 << bit);
      scratch_put("a", back, n);
      assert_refused(scratch("a"), "a");
    }
  for (size_t i = 0; i < zn; i++)
    for (int bit = 0; bit < 8; bit++) { // refused, or meaningless: the header's date, a block's padding
      duel_dataset *d;
      memcpy(back, z, zn);
      back[i] ^= (uint8_t)(1 << bit);
      scratch_put("a", back, zn);
      duel_status s = duel_dataset_open(&d, scratch("a"), 0);
      assert_true(s == DUEL_ERR_DATA || s == DUEL_OK);
      if (s == DUEL_OK) assert_memory_equal(d->values, b + 16, 12);
      duel_dataset_close(d);
    }
}

static void wrong_headers(void **state) {
  (void)state;
  uint8_t b[64];
  static const struct {
    int type, rank;
    uint32_t dim[4];
    size_t n;
    const char *message;
  } cases[] = {
      {8, 3, {0, 2, 2}, 0, "holds nothing: its header says 0×2×2"},
      {8, 3, {2, 0, 2}, 0, "holds nothing"},
      {8, 1, {3}, 3, "3 single values, perhaps labels"},
      {13, 1, {3}, 12, "3 single values,"},
      {8, 2, {3, 4}, 12, "images are N×H×W"},
      {8, 0, {0}, 0, "no IDX file"},
      {9, 3, {1, 2, 2}, 4, "signed bytes"},
      {11, 3, {1, 1, 2}, 4, "16-bit"},
      {12, 3, {1, 1, 1}, 4, "32-bit"},
      {14, 3, {1, 1, 1}, 8, "float64"},
      {7, 3, {1, 2, 2}, 4, "no IDX file: it begins with 00 00 07 03"},
      {8, 3, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, 4, "more than can be"},
      {8, 4, {0x80000000, 0x80000000, 2, 1}, 4, "more than can be"},
      {13, 2, {0x80000000, 0x40000000}, 8, "more than can be"},
      {8, 3, {0xFFFFFFFF, 28, 28}, 4, "need 3367254359296 bytes, it holds 20 and ends in item 0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    scratch_put("a", b, make_idx(b, cases[i].type, cases[i].rank, cases[i].dim, cases[i].n));
    assert_refused(scratch("a"), cases[i].message);
  }
  scratch_put("a", b, make_idx(b, 8, 5, (uint32_t[]){1, 1, 1, 1, 1}, 1));
  assert_refused(scratch("a"), "5 dimensions");
  size_t n = make_idx(b, 0x0D, 2, (uint32_t[]){2, 2}, 16);
  memcpy(b + 12 + 12, (uint8_t[]){0x7F, 0xC0, 0, 0}, 4);
  scratch_put("a", b, n);
  assert_refused(scratch("a"), "value 1 of item 1 is nan");
}

// ---- gzip

static void gzip_members_and_claims(void **state) {
  (void)state;
  static uint8_t zeros[1 << 20], z[1 << 16];
  uint8_t *out;
  size_t size, n = compress(z, sizeof z, zeros, sizeof zeros);
  assert_true(n < 2000);
  assert_int_equal(duel_gunzip("z", z, n, sizeof zeros, &out, &size), DUEL_OK);
  assert_int_equal(size, sizeof zeros);
  duel_free(out);
  assert_int_equal(duel_gunzip("z", z, n, sizeof zeros - 1, &out, &size), DUEL_ERR_DATA);
  assert_message("more than the 1048575 bytes allowed");
  // Several members, the last one small: the size at the end says only 5.
  size_t two = n + compress(z + n, sizeof z - n, (const uint8_t *)"hello", 5);
  assert_int_equal(duel_gunzip("z", z, two, SIZE_MAX, &out, &size), DUEL_OK);
  assert_int_equal(size, sizeof zeros + 5);
  assert_memory_equal(out + sizeof zeros, "hello", 5);
  duel_free(out);
  z[two] = 'x';
  assert_int_equal(duel_gunzip("z", z, two + 1, SIZE_MAX, &out, &size), DUEL_ERR_DATA);
  assert_null(out);
  // A claim of 4 GiB in a small file gets no more than that file can hold.
  uint64_t before = duel_mem_count();
  memset(z + n - 4, 0xFF, 4);
  assert_int_equal(duel_gunzip("z", z, n, SIZE_MAX, &out, &size), DUEL_ERR_DATA);
  assert_int_equal(duel_mem_count() - before, 1);
  memset(z + n - 4, 0, 4); // a claim of nothing
  assert_int_equal(duel_gunzip("z", z, n, SIZE_MAX, &out, &size), DUEL_ERR_DATA);
  assert_int_equal(duel_gunzip("z", (const uint8_t *)"\x1f\x8b", 2, SIZE_MAX, &out, &size), DUEL_ERR_DATA);
  assert_message("cut short");
}

// ---- finding

static void labels_must_fit(void **state) {
  (void)state;
  put_small_set(0);
  uint8_t b[64];
  scratch_put("train-labels-idx1-ubyte", b, make_idx(b, 8, 1, (uint32_t[]){4}, 4));
  assert_refused(scratch("train-images-idx3-ubyte"), "holds 4 labels");
  assert_message("3 items");
  scratch_put("train-labels-idx1-ubyte", b, make_idx(b, 8, 2, (uint32_t[]){3, 1}, 3));
  assert_refused(scratch("train-images-idx3-ubyte"), "holds no labels: it is 3×1 u8");
  scratch_put("train-labels-idx1-ubyte", b, 0);
  assert_refused(scratch("train-images-idx3-ubyte"), "labels-idx1-ubyte is empty");
  unlink(scratch("train-labels-idx1-ubyte"));
  duel_dataset *d;
  assert_int_equal(duel_dataset_open(&d, scratch("train-images-idx3-ubyte"), 0), DUEL_OK);
  assert_true(!d->labels && d->classes == 0);
  duel_dataset_close(d);
}

static void which_file_of_a_folder(void **state) {
  (void)state;
  uint8_t b[64];
  duel_dataset *d;
  assert_refused(scratch(""), "is empty");
  mkdir(scratch("images"), 0777); // a folder of that name is none
  assert_refused(scratch(""), "is empty");
  scratch_put("t10k-images-idx3-ubyte", b, make_idx(b, 8, 3, (uint32_t[]){1, 2, 2}, 4));
  assert_int_equal(duel_dataset_open(&d, scratch(""), 0), DUEL_OK);
  assert_int_equal(d->items, 1);
  duel_dataset_close(d);
  put_small_set(1);
  put_small_set(0); // both .gz and plain: one set
  assert_int_equal(duel_dataset_open(&d, scratch(""), 0), DUEL_OK);
  assert_int_equal(d->items, 3);
  duel_dataset_close(d);
  scratch_put("more-train-images.idx", "1 images/001.png", 16); // text, whatever it is called
  assert_int_equal(duel_dataset_open(&d, scratch(""), 0), DUEL_OK);
  duel_dataset_close(d);
  scratch_put("other-train-images.idx", b, 20);
  assert_refused(scratch(""), "several images files, other-train-images.idx and train-images-idx3-ubyte");
}

static void names(void **state) {
  (void)state;
  duel_dataset *d;
  put_small_set(1);
  setenv("DUEL_DATA", scratch(""), 1); // the files themselves
  assert_int_equal(duel_dataset_open(&d, "fashion-mnist", 0), DUEL_OK);
  assert_small_set(d, "fashion-mnist", 3);
  duel_dataset_close(d);
  mkdir(scratch("fashion-mnist"), 0777); // the folder that holds it comes first
  assert_refused("fashion-mnist", "is empty");
  mkdir(scratch("digits"), 0777);
  assert_int_equal(rename(scratch("train-images-idx3-ubyte.gz"), scratch("digits/images.gz")), 0);
  assert_int_equal(duel_dataset_open(&d, "digits", 0), DUEL_OK);
  assert_string_equal(d->name, "digits");
  duel_dataset_close(d);
  unsetenv("DUEL_DATA");
  assert_refused("digits", "fashion-mnist, synthetic:ring, synthetic:grid and synthetic:shapes are known by name");
  assert_refused("./none", "data set ./none: no such file");
  assert_int_equal(duel_dataset_open(&d, "", 0), DUEL_ERR_USAGE);
  assert_int_equal(duel_dataset_open(&d, NULL, 0), DUEL_ERR_USAGE);
  assert_int_equal(duel_dataset_open(&d, "synthetic:ring", -1), DUEL_ERR_USAGE);
  assert_int_equal(duel_dataset_open(&d, "synthetic:square", 0), DUEL_ERR_USAGE);
  assert_message("synthetic:ring, synthetic:grid and synthetic:shapes are made here");
  assert_refused("/dev/zero", "device");
  duel_dataset_close(NULL);
}

static void fashion_mnist(void **state) {
  (void)state;
  struct stat st;
  if (stat("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz", &st) != 0) skip();
  duel_dataset *d;
  assert_int_equal(duel_dataset_open(&d, "fashion-mnist", 0), DUEL_OK);
  assert_string_equal(d->name, "fashion-mnist");
  assert_true(d->items == 60000 && d->classes == 10 && d->item_count == 784);
  assert_memory_equal(d->labels, ((uint8_t[]){9, 0, 0, 3, 0, 2, 7, 2, 5, 5}), 10);
  assert_int_equal(d->fingerprint, 0x7bf87c20);
  duel_dataset_close(d);
}

// ---- synthetic

// Item i belongs to mode i mod modes, whose center center() gives; the fingerprint holds every bit.
static void check_points(const char *spec, int modes, double sigma, void (*center)(int mode, double at[2]),
                         uint32_t fingerprint) {
  duel_dataset *d;
  assert_int_equal(duel_dataset_open(&d, spec, 0), DUEL_OK);
  assert_string_equal(d->name, strchr(spec, ':') + 1);
  assert_true(d->items == 10000 && d->rank == 1 && d->dim[0] == 2 && d->is_float && d->classes == modes);
  double sum[2] = {0, 0}, square = 0;
  const float *v = d->values;
  for (int i = 0; i < 10000; i++) {
    double at[2];
    center(d->labels[i], at);
    const double x = v[2 * i] - at[0], y = v[2 * i + 1] - at[1];
    assert_true(d->labels[i] == i % modes && hypot(x, y) < 6 * sigma);
    sum[0] += x;
    sum[1] += y;
    square += x * x + y * y;
  }
  assert_true(fabs(sum[0]) < 10000 * 0.05 * sigma && fabs(sum[1]) < 10000 * 0.05 * sigma);
  assert_true(fabs(sqrt(square / 20000) / sigma - 1) < 0.02);
  assert_int_equal(d->fingerprint, fingerprint);
  duel_dataset_close(d);
  assert_int_equal(duel_dataset_open(&d, spec, 10), DUEL_OK);
  assert_true(d->items == 10 && d->classes == modes);
  duel_dataset_close(d);
}

static void on_ring(int mode, double at[2]) {
  const double angle = 2 * 3.14159265358979323846 * mode / DUEL_RING_MODES;
  at[0] = cos(angle);
  at[1] = sin(angle);
}
static void ring(void **state) {
  (void)state;
  check_points("synthetic:ring", DUEL_RING_MODES, DUEL_RING_SIGMA, on_ring, 0x5cf04762);
}

static void on_grid(int mode, double at[2]) {
  at[0] = mode % 5 - 2;
  at[1] = mode / 5 - 2;
}
static void grid(void **state) {
  (void)state;
  check_points("synthetic:grid", DUEL_GRID_MODES, DUEL_GRID_SIGMA, on_grid, 0xb21d0ebb);
}

static void shapes(void **state) {
  (void)state;
  duel_dataset *d;
  assert_int_equal(duel_dataset_open(&d, "synthetic:shapes", 0), DUEL_OK);
  assert_string_equal(d->name, "shapes");
  assert_true(d->items == 10000 && d->rank == 3 && d->dim[0] == 1 && d->dim[1] == 28 && d->dim[2] == 28);
  assert_true(!d->is_float && d->classes == 4);
  const uint8_t *p = d->values;
  for (int i = 0; i < 10000; i++, p += 784) {
    int ink = 0, edge = 0;
    for (int k = 0; k < 28; k++) edge += p[k] + p[27 * 28 + k] + p[28 * k] + p[28 * k + 27];
    for (int k = 0; k < 784; k++) ink += p[k];
    assert_int_equal(edge, 0); // whole, off the border
    assert_in_range(ink / 255, 20, 330);
    assert_int_equal(d->labels[i], i % 4);
  }
  assert_int_equal(d->fingerprint, 0x8bd23d42);
  duel_dataset_close(d);
}

// ---- faults

static void without_memory(void **state) {
  (void)state;
  put_small_set(1);
  const char *specs[] = {scratch("train-images-idx3-ubyte.gz"), "synthetic:ring", "synthetic:grid", "synthetic:shapes"};
  for (int k = 0; k < 3; k++)
    for (int all = 0; all < 2; all++)
      for (uint64_t at = 1;; at++) {
        duel_dataset *d;
        duel_mem_fail_at(at, all);
        duel_status s = duel_dataset_open(&d, specs[k], 2);
        duel_mem_fail_at(0, 0);
        if (s == DUEL_OK) {
          assert_int_equal(d->items, 2);
          duel_dataset_close(d);
          assert_true(at > 3);
          break;
        }
        assert_int_equal(s, DUEL_ERR_DEVICE);
        assert_null(d);
        assert_message("memory");
      }
}

static void with_faults(void **state) {
  (void)state;
  put_small_set(1);
  int files = open_files();
  for (int all = 0; all < 2; all++)
    for (int at = 1;; at++) {
      duel_dataset *d;
      fault_begin(FAULT_ERROR, at, all, EIO);
      duel_status s = duel_dataset_open(&d, scratch(""), 0);
      long calls = fault_end();
      assert_true(s == DUEL_ERR_IO || s == DUEL_OK); // closing a file that was read may fail
      duel_dataset_close(d);
      assert_int_equal(open_files(), files);
      if (calls < at) break;
    }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(files_and_folders),
      WITH_FOLDER(other_shapes),
      WITH_FOLDER(cut_at_every_length),
      WITH_FOLDER(header_bits),
      WITH_FOLDER(wrong_headers),
      WITH_FOLDER(gzip_members_and_claims),
      WITH_FOLDER(labels_must_fit),
      WITH_FOLDER(which_file_of_a_folder),
      WITH_FOLDER(names),
      WITH_FOLDER(fashion_mnist),
      cmocka_unit_test(ring),
      cmocka_unit_test(grid),
      cmocka_unit_test(shapes),
      WITH_FOLDER(without_memory),
      WITH_FOLDER(with_faults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
