// Test sets: found beside each kind of training set, named, or taken out of it exactly as specified; in memory and
// streamed alike. Whether labels suffice for a classifier.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/data/dataset.h"
#include "io/records/npy.h"
#include "io_help.h"
#include "oracle.h"
#include "picture_help.h"

// ---- sets

// n images of 2×2; byte k of item i is first + i + 50·k.
static void put_idx(const char *name, int n, int first) {
  uint8_t b[16 + 4 * 256] = {0, 0, 8, 3, 0, 0, (uint8_t)(n >> 8), (uint8_t)n, 0, 0, 0, 2, 0, 0, 0, 2};
  for (int i = 0; i < 4 * n; i++) b[16 + i] = (uint8_t)(first + i / 4 + 50 * (i % 4));
  scratch_put(name, b, 16 + 4 * (size_t)n);
}

// Labels i mod classes.
static void put_labels(const char *name, int n, int classes) {
  uint8_t b[8 + 256] = {0, 0, 8, 1, 0, 0, (uint8_t)(n >> 8), (uint8_t)n};
  for (int i = 0; i < n; i++) b[8 + i] = (uint8_t)(i % classes);
  scratch_put(name, b, 8 + (size_t)n);
}

static void put_cifar(const char *name, int n, int head, int first) {
  static uint8_t record[32 * 3074];
  const int stride = 3072 + head;
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < head; k++) record[i * stride + k] = (uint8_t)((first + i) % 10 + 10 * (head == 2));
    memset(record + i * stride + head, first + i, 3072);
  }
  scratch_put(name, record, (size_t)(n * stride));
}

// A picture of `side`² pixels for each class, in folder/class/.
static void put_pictures(const char *folder, const char *const *classes, int n, int side, int channels, int first) {
  static uint8_t pixels[16 * 16 * 3], file[PICTURE_ROOM];
  char name[128];
  mkdir(scratch(folder), 0777);
  for (int i = 0; i < n; i++) {
    snprintf(name, sizeof name, "%s/%s", folder, classes[i]);
    mkdir(scratch(name), 0777);
    snprintf(name, sizeof name, "%s/%s/%d.png", folder, classes[i], first + i);
    memset(pixels, first + i, sizeof pixels);
    scratch_put(name, file, make_png(file, &(png_kind){side, side, 8, channels == 3 ? 2 : 0, 0, 0}, pixels));
  }
}

static duel_dataset *open_set(const char *name, duel_dataset_options o) {
  duel_dataset *d;
  must(duel_dataset_open_with(&d, name, &o));
  return d;
}

static duel_dataset *open_test(duel_dataset *d, const char *name, duel_dataset_options o) {
  duel_dataset *test;
  must(duel_dataset_open_test(&test, d, name, &o));
  return test;
}

static const duel_dataset_options plain = {.limit = 0}, streamed = {.memory = 1, .threads = 1};

static uint8_t first_byte(const duel_dataset *d, int32_t item) {
  uint8_t bytes[3072];
  assert_true(duel_dataset_item_bytes(d) <= (int64_t)sizeof bytes);
  must(duel_dataset_read(d, &item, 1, bytes));
  return bytes[0];
}

// Opens `data` and its test set, which must have so many items, the first of them beginning with this byte.
static void assert_found(const char *data, duel_dataset_options o, int64_t train, int64_t items, int first) {
  duel_dataset *d = open_set(data, o), *test = open_test(d, NULL, o);
  assert_int_equal(d->items, train);
  assert_int_equal(test->items, items);
  assert_int_equal(test->classes, d->classes);
  assert_int_equal(first_byte(test, 0), first);
  duel_dataset_close(test);
  duel_dataset_close(d);
}

static void assert_no_test(const char *data, const char *name, duel_dataset_options o, const char *part) {
  duel_dataset *d = open_set(data, o), *test;
  duel_status status = duel_dataset_open_test(&test, d, name, &o);
  assert_int_equal(status, DUEL_ERR_DATA);
  assert_null(test);
  assert_message(part);
  duel_dataset_close(d);
}

// ---- beside the set

static void idx(void **state) {
  (void)state;
  put_idx("train-images-idx3-ubyte", 12, 0);
  put_labels("train-labels-idx1-ubyte", 12, 4);
  put_idx("t10k-images-idx3-ubyte", 5, 40);
  put_labels("t10k-labels-idx1-ubyte", 5, 3); // without the last class
  assert_found(scratch(""), plain, 12, 5, 40);
  assert_found(scratch("train-images-idx3-ubyte"), plain, 12, 5, 40);
  assert_found(scratch(""), streamed, 12, 5, 40);
  assert_found(scratch(""), (duel_dataset_options){.limit = 3}, 3, 3, 40); // of each set
  assert_found(scratch("t10k-images-idx3-ubyte"), plain, 4, 1, 40);        // not itself: item 0 is taken out
  put_labels("t10k-labels-idx1-ubyte", 5, 5);
  assert_no_test(scratch(""), NULL, plain, "t10k-images-idx3-ubyte has 5 classes, the training set");
  unlink(scratch("t10k-labels-idx1-ubyte"));
  assert_no_test(scratch(""), NULL, plain, "t10k-images-idx3-ubyte has no labels");
  unlink(scratch("t10k-images-idx3-ubyte"));
  put_idx("letters-train-images.idx", 12, 0);
  put_idx("letters-test-images.idx", 7, 90);
  assert_found(scratch("letters-train-images.idx"), plain, 12, 7, 90);
  put_idx("letters-test-images.idx", 0, 0);
  assert_no_test(scratch("letters-train-images.idx"), NULL, plain, "the test set: ");
}

static void fashion_mnist(void **state) {
  (void)state;
  struct stat st;
  if (stat("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz", &st) != 0) skip();
  duel_dataset *d = open_set("fashion-mnist", plain), *test = open_test(d, NULL, plain);
  assert_true(d->items == 60000 && test->items == 10000 && test->classes == 10);
  assert_memory_equal(test->labels, ((uint8_t[]){9, 2, 1, 1, 6, 1, 4, 6, 5, 7}), 10);
  duel_dataset_close(test);
  duel_dataset_close(d);
}

static void cifar(void **state) {
  (void)state;
  put_cifar("data_batch_1.bin", 10, 1, 0);
  put_cifar("data_batch_2.bin", 10, 1, 10);
  put_cifar("test_batch.bin", 6, 1, 70);
  assert_found(scratch(""), plain, 20, 6, 70);
  assert_found(scratch("data_batch_2.bin"), plain, 10, 6, 70);
  assert_found(scratch(""), (duel_dataset_options){.height = 8, .width = 8, .channels = 1}, 20, 6, 70);
  mkdir(scratch("100"), 0777);
  put_cifar("100/train.bin", 10, 2, 0);
  put_cifar("100/test.bin", 4, 2, 80);
  assert_found(scratch("100"), plain, 10, 4, 80);
  assert_found(scratch("100"), streamed, 10, 4, 80);
}

static void folders(void **state) {
  (void)state;
  static const char *const classes[] = {"cat", "dog", "emu"}, *const others[] = {"cat", "cow", "dog"};
  mkdir(scratch("p"), 0777);
  put_pictures("p/train", classes, 3, 8, 3, 1);
  put_pictures("p/val", classes, 3, 8, 3, 50);
  assert_found(scratch("p/train"), plain, 3, 3, 50);
  put_pictures("p/test", classes, 3, 8, 1, 60); // gray, but what it is compared to is not
  assert_found(scratch("p/train/"), plain, 3, 3, 60);
  assert_found(scratch("p/train"), streamed, 3, 3, 60);
  duel_dataset *d = open_set(scratch("p/train"), plain), *test = open_test(d, NULL, plain);
  for (int i = 0; i < 3; i++) assert_string_equal(d->class_name[i], classes[i]);
  assert_int_equal(test->dim[0], 3);
  duel_dataset_close(test);
  duel_dataset_close(d);
  assert_no_test(scratch("p"), NULL, plain, "are train and its test set, no classes: name ");
  put_pictures("p/few", classes, 2, 8, 3, 1);
  assert_no_test(scratch("p/train"), scratch("p/few"), plain, "has 2 classes, the training set train has 3");
  put_pictures("p/others", others, 3, 8, 3, 1);
  assert_no_test(scratch("p/train"), scratch("p/others"), plain, "\"cow\", of the training set train \"dog\"");
  put_pictures("p/large", classes, 3, 9, 3, 70);
  assert_no_test(scratch("p/train"), scratch("p/large"), plain,
                 "images of 3×9×9 bytes, the training set train images of 3×8×8 bytes: set");
  d = open_set(scratch("p/train"), (duel_dataset_options){.height = 8, .width = 8});
  test = open_test(d, scratch("p/large"), (duel_dataset_options){.height = 8, .width = 8});
  assert_int_equal(first_byte(test, 0), 70);
  duel_dataset_close(test);
  duel_dataset_close(d);
}

static void unlike_sets(void **state) {
  (void)state;
  const float points[4] = {1, 2, 3, 4};
  put_idx("a.idx", 4, 0);
  must(duel_npy_write(scratch("p.npy"), points, 2, (int64_t[]){2, 2}));
  assert_no_test(scratch("a.idx"), scratch("p.npy"), plain,
                 "points of 2 numbers, the training set a images of 1×2×2 bytes");
  assert_no_test(scratch("a.idx"), scratch("none"), plain, "the test set: data set ");
}

// ---- taken out

// The last tenth, rounded up, of a stable sort of the words of purpose 3, t = 2³² − 1 under the key 0.
static void expect_held(int items, bool *held) {
  uint32_t word[256];
  int last = 0;
  for (int i = 0; i < items; i++) {
    uint32_t block[4];
    duel_ref_philox((uint32_t[]){(uint32_t)i / 4, UINT32_MAX, 3, 0}, (uint32_t[]){0, 0}, block);
    word[i] = block[i % 4];
    held[i] = false;
  }
  for (int k = 0; k < (items + 9) / 10; k++) {
    last = -1;
    for (int i = 0; i < items; i++)
      if (!held[i] && (last < 0 || word[i] >= word[last])) last = i;
    held[last] = true;
  }
}

static void assert_split(duel_dataset *d, int items, duel_dataset_options o) {
  bool held[256];
  const uint32_t whole = d->fingerprint;
  assert_int_equal(d->items, items);
  expect_held(items, held);
  duel_dataset *test = open_test(d, NULL, o), *const set[] = {d, test};
  assert_int_equal(test->items, (items + 9) / 10);
  assert_int_equal(d->items + test->items, items);
  assert_int_equal(d->fingerprint, whole);
  int at[2] = {0, 0};
  for (int i = 0; i < items; i++) {
    const int32_t item = at[held[i]]++;
    assert_int_equal(first_byte(set[held[i]], item), i);
    if (d->labels) assert_int_equal(set[held[i]]->labels[item], i % 4);
  }
  duel_dataset_close(d); // the test set stands by itself
  assert_true(held[first_byte(test, 0)]);
  duel_dataset_close(test);
}

static void taken_out(void **state) {
  (void)state;
  put_idx("images.idx", 199, 0);
  put_labels("labels.idx", 199, 4);
  assert_split(open_set(scratch("images.idx"), plain), 199, plain);
  assert_split(open_set(scratch("images.idx"), streamed), 199, streamed);
  assert_split(open_set(scratch("images.idx"), streamed), 199, streamed); // from the cache
  assert_split(open_set(scratch("images.idx"), (duel_dataset_options){.limit = 30}), 30, plain);
  put_idx("few.idx", 2, 0);
  assert_split(open_set(scratch("few.idx"), plain), 2, plain);
  put_idx("one.idx", 1, 0);
  assert_no_test(scratch("one.idx"), NULL, plain, "one has 1 item, too few to take a test set out of it");
}

// The words that the split is made of are no secret: these are the items of a set of 50.
static void as_ever(void **state) {
  (void)state;
  bool held[256];
  expect_held(50, held);
  static const int items[] = {0, 37, 41, 47, 49};
  for (int i = 0; i < 5; i++) assert_true(held[items[i]]);
  duel_dataset *d = open_set("synthetic:ring", plain), *test = open_test(d, NULL, plain);
  assert_true(d->items == 9000 && test->items == 1000 && test->is_float && test->classes == DUEL_RING_MODES);
  duel_dataset_close(test);
  duel_dataset_close(d);
}

// One fingerprint, in memory or not.
static void fingerprints(void **state) {
  (void)state;
  uint32_t fingerprint[2];
  put_idx("images.idx", 40, 0);
  put_labels("labels.idx", 40, 4);
  for (int i = 0; i < 2; i++) {
    duel_dataset *d = open_set(scratch("images.idx"), i ? streamed : plain), *test = open_test(d, NULL, plain);
    fingerprint[i] = test->fingerprint;
    assert_int_not_equal(test->fingerprint, d->fingerprint);
    assert_true((d->values == NULL) == (i == 1) && (test->values == NULL) == (i == 1));
    duel_dataset_close(test);
    duel_dataset_close(d);
  }
  assert_int_equal(fingerprint[0], fingerprint[1]);
}

// ---- labels

static void assert_labels(const char *name, duel_dataset_options o, const char *message) {
  duel_dataset *d = open_set(name, o);
  duel_status status = duel_dataset_check_labels(d);
  if (message) {
    assert_int_equal(status, DUEL_ERR_DATA);
    assert_message(message);
  } else {
    must(status);
  }
  duel_dataset_close(d);
}

static void labels(void **state) {
  (void)state;
  static const char *const classes[] = {"cat", "dog", "emu"};
  put_idx("images.idx", 12, 0);
  assert_labels(scratch("images.idx"), plain, "images has no labels, and the recipe learns from them");
  put_labels("labels.idx", 12, 4);
  assert_labels(scratch("images.idx"), plain, NULL);
  assert_labels(scratch("images.idx"), (duel_dataset_options){.limit = 1}, "images has 1 item, all of one class");
  put_labels("labels.idx", 12, 1);
  assert_labels(scratch("images.idx"), plain, "images has 12 items, all of one class");
  uint8_t gaps[8 + 12] = {0, 0, 8, 1, 0, 0, 0, 12, 1, 2, 1, 2, 1, 2, 4, 1, 2, 1, 2, 1};
  scratch_put("labels.idx", gaps, sizeof gaps);
  assert_labels(scratch("images.idx"), plain, "no item of images is of class 0, of 5 classes");
  put_pictures("p", classes, 3, 8, 3, 1);
  assert_labels(scratch("p"), plain, NULL);
  assert_labels(scratch("p"), (duel_dataset_options){.limit = 2}, "no item of p is of class 2 (emu), of 3 classes");
  put_pictures("one", classes, 1, 8, 3, 1);
  assert_labels(scratch("one"), plain, "one has 1 item, all of one class");
  assert_labels("synthetic:shapes", plain, NULL);
}

// ---- faults

static void without_memory(void **state) {
  (void)state;
  put_idx("images.idx", 40, 0);
  put_labels("labels.idx", 40, 4);
  put_idx("train-images.idx", 40, 0);
  put_idx("test-images.idx", 4, 0);
  const char *const specs[] = {scratch("images.idx"), scratch("train-images.idx")};
  for (int k = 0; k < 4; k++)
    for (uint64_t at = 1;; at++) {
      duel_dataset *d = open_set(specs[k / 2], k % 2 ? streamed : plain), *test;
      duel_mem_fail_at(at, 0);
      duel_status status = duel_dataset_open_test(&test, d, NULL, k % 2 ? &streamed : &plain);
      duel_mem_fail_at(0, 0);
      if (status != DUEL_OK) {
        assert_int_equal(status, DUEL_ERR_DEVICE);
        assert_null(test);
        assert_message("memory");
        for (int i = 0; i < 40; i++) assert_int_equal(first_byte(d, i), i); // whole
      }
      duel_dataset_close(test);
      duel_dataset_close(d);
      if (status != DUEL_OK) continue;
      assert_true(at > 4);
      break;
    }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(idx),         WITH_FOLDER(fashion_mnist),  WITH_FOLDER(cifar),   WITH_FOLDER(folders),
      WITH_FOLDER(unlike_sets), WITH_FOLDER(taken_out),      WITH_FOLDER(as_ever), WITH_FOLDER(fingerprints),
      WITH_FOLDER(labels),      WITH_FOLDER(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
