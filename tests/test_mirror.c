// data.transpose and data.mirror: on every kind of data, in memory and streamed alike; and that no twin of an item of
// the test set is trained on.
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

#include "base/mem.h"
#include "io/data/dataset.h"
#include "io/records/npy.h"
#include "io_help.h"
#include "picture_help.h"

enum { ITEMS = 25, H = 5, W = 4, MOST = 3072 };

static duel_dataset *open_set(const char *name, duel_dataset_options o) {
  duel_dataset *d;
  must(duel_dataset_open_with(&d, strncmp(name, "synthetic:", 10) ? scratch(name) : name, &o));
  return d;
}

static void refused(duel_status code, const char *name, duel_dataset_options o, const char *part) {
  duel_dataset *d;
  assert_int_equal(duel_dataset_open_with(&d, strncmp(name, "synthetic:", 10) ? scratch(name) : name, &o), code);
  assert_null(d);
  assert_message(part);
}

// ---- sets of images of 5×4 (height×width)

static uint8_t value(int item, int c, int y, int x) {
  return (uint8_t)(10 * item + 100 * c + 7 * y + x);
}

static void put_idx(void) {
  uint8_t b[16 + ITEMS * H * W] = {0, 0, 8, 3, 0, 0, 0, ITEMS, 0, 0, 0, H, 0, 0, 0, W}, gz[1024];
  uint8_t labels[8 + ITEMS] = {0, 0, 8, 1, 0, 0, 0, ITEMS};
  for (int i = 0; i < ITEMS; i++) {
    labels[8 + i] = (uint8_t)(i % 3);
    for (int k = 0; k < H * W; k++) b[16 + i * H * W + k] = value(i, 0, k / W, k % W);
  }
  mkdir(scratch("idx"), 0777);
  mkdir(scratch("gz"), 0777);
  struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
  scratch_put("gz/images.gz", gz, libdeflate_gzip_compress(c, b, sizeof b, gz, sizeof gz));
  libdeflate_free_compressor(c);
  scratch_put("idx/images", b, sizeof b);
  scratch_put("idx/labels", labels, sizeof labels);
  scratch_put("gz/labels", labels, sizeof labels);
}

static void put_pictures(void) {
  static uint8_t file[PICTURE_ROOM];
  uint8_t pixels[H * W * 3];
  char name[64];
  mkdir(scratch("p"), 0777);
  for (int i = 0; i < ITEMS; i++) {
    for (int k = 0; k < H * W * 3; k++) pixels[k] = value(i, k % 3, k / 3 / W, k / 3 % W);
    snprintf(name, sizeof name, "p/%c", 'a' + i % 3);
    mkdir(scratch(name), 0777);
    snprintf(name, sizeof name, "p/%c/%02d.png", 'a' + i % 3, i);
    scratch_put(name, file, make_png(file, &(png_kind){W, H, 8, 2, 0, 0}, pixels));
  }
}

// C channels, first or last.
static void put_floats(const char *name, int channels, bool last) {
  float v[ITEMS * H * W * 3];
  int n = 0;
  for (int i = 0; i < ITEMS; i++)
    for (int k = 0; k < H * W * channels; k++) {
      const int c = last ? k % channels : k / (H * W), at = last ? k / channels : k % (H * W);
      v[n++] = value(i, c, at / W, at % W);
    }
  must(duel_npy_write(scratch(name), v, 4,
                      last ? (int64_t[]){ITEMS, H, W, channels} : (int64_t[]){ITEMS, channels, H, W}));
}

// What item i of a set should be, whose number in the files is `file`.
static void assert_item(const duel_dataset *d, int32_t i, int file, bool transposed, bool flipped) {
  float item[MOST];
  must(duel_dataset_read(d, &i, 1, item));
  const int h = transposed ? W : H, w = transposed ? H : W;
  assert_true(d->dim[1] == h && d->dim[2] == w);
  for (int c = 0; c < d->dim[0]; c++)
    for (int y = 0; y < h; y++)
      for (int x = 0; x < w; x++) {
        const int column = flipped ? w - 1 - x : x, at = (c * h + y) * w + x;
        const uint8_t wanted = transposed ? value(file, c, column, y) : value(file, c, y, column);
        assert_int_equal(d->is_float ? (int)item[at] : ((uint8_t *)item)[at], wanted);
      }
}

static const char *const sets[] = {"idx", "gz", "p", "first.npy", "last.npy"};
enum { SETS = 5 };
// The number in the files of item i: pictures are sorted by their folders.
static int file_of(const char *set, int i) {
  if (strcmp(set, "p")) return i;
  for (int c = 0; c < 3; c++)
    for (int k = c; k < ITEMS; k += 3)
      if (i-- == 0) return k;
  return -1;
}

static void put_sets(void) {
  put_idx();
  put_pictures();
  put_floats("first.npy", 3, false);
  put_floats("last.npy", 3, true);
}

// ---- transpose, mirror, both

static void all_kinds(void **state) {
  (void)state;
  put_sets();
  for (int k = 0; k < SETS; k++)
    for (int how = 0; how < 4; how++) {
      const bool transpose = how & 1, mirror = how & 2;
      uint32_t fingerprint[2];
      for (int64_t memory = 0; memory < 2; memory++) {
        duel_dataset *d =
            open_set(sets[k], (duel_dataset_options){.transpose = transpose, .mirror = mirror, .memory = memory});
        assert_true((d->values != NULL) == !memory);
        assert_int_equal(d->items, mirror ? 2 * ITEMS : ITEMS);
        for (int i = 0; i < d->items; i++) {
          assert_item(d, i, file_of(sets[k], i % ITEMS), transpose, i >= ITEMS);
          if (d->labels) assert_int_equal(d->labels[i], file_of(sets[k], i % ITEMS) % 3);
        }
        assert_true((k < 3) == (d->labels != NULL));
        fingerprint[memory] = d->fingerprint;
        duel_dataset_close(d);
      }
      assert_int_equal(fingerprint[0], fingerprint[1]);
      duel_dataset *plain = open_set(sets[k], (duel_dataset_options){.limit = 0});
      assert_true((plain->fingerprint == fingerprint[0]) == (how == 0));
      duel_dataset_close(plain);
    }
}

static void with_a_size(void **state) {
  (void)state;
  put_sets();
  duel_dataset *a = open_set("p", (duel_dataset_options){.transpose = true, .height = 4, .width = 5});
  assert_item(a, 0, 0, true, false); // the size that it has then
  duel_dataset_close(a);
  a = open_set("idx", (duel_dataset_options){.transpose = true, .height = 8, .width = 10, .channels = 3});
  assert_true(a->dim[0] == 3 && a->dim[1] == 8 && a->dim[2] == 10);
  duel_dataset_close(a);
  a = open_set("idx", (duel_dataset_options){.mirror = true, .limit = 2}); // two of the files
  assert_int_equal(a->items, 4);
  assert_item(a, 3, 1, false, true);
  duel_dataset_close(a);
  a = open_set("idx", (duel_dataset_options){.mirror = true, .memory = 2 * ITEMS * H * W - 1}); // twins take room, too
  assert_null(a->values);
  duel_dataset_close(a);
}

static void refusals(void **state) {
  (void)state;
  float v[6] = {0};
  must(duel_npy_write(scratch("points.npy"), v, 2, (int64_t[]){3, 2}));
  refused(DUEL_ERR_USAGE, "points.npy", (duel_dataset_options){.mirror = true},
          "data.mirror is for images; points holds points");
  refused(DUEL_ERR_USAGE, "points.npy", (duel_dataset_options){.transpose = true}, "data.transpose is for images");
  refused(DUEL_ERR_USAGE, "synthetic:ring", (duel_dataset_options){.mirror = true}, "data.mirror is for images");
  refused(DUEL_ERR_USAGE, "synthetic:shapes", (duel_dataset_options){.transpose = true},
          "is made at a size of its own");
  duel_dataset *d = open_set("synthetic:shapes", (duel_dataset_options){.mirror = true, .limit = 5});
  const uint8_t *item = (const uint8_t *)d->values + 784 + 28 * 14, *twin = item + 5 * 784;
  assert_int_equal(d->items, 10);
  for (int x = 0; x < 28; x++) assert_int_equal(item[x], twin[27 - x]);
  duel_dataset_close(d);
}

// ---- the test set of a mirrored set: its items' twins are in neither

static void held_out(void **state) {
  (void)state;
  put_sets();
  for (int k = 0; k < SETS; k++)
    for (int64_t memory = 0; memory < 2; memory++) {
      const duel_dataset_options o = {.memory = memory}, both = {.memory = memory, .mirror = true};
      duel_dataset *plain = open_set(sets[k], o), *mirrored = open_set(sets[k], both), *test, *held;
      const uint32_t whole = mirrored->fingerprint;
      must(duel_dataset_open_test(&test, plain, NULL, &o));
      must(duel_dataset_open_test(&held, mirrored, NULL, &both));
      assert_true(held->items == 3 && test->items == 3 && held->fingerprint == test->fingerprint);
      assert_int_equal(mirrored->items, 2 * plain->items);
      assert_int_equal(mirrored->fingerprint, whole);
      float a[MOST], b[MOST];
      const size_t bytes = (size_t)duel_dataset_item_bytes(plain);
      for (int32_t i = 0; i < 2 * plain->items; i++) {
        const int32_t first = i % (int32_t)plain->items;
        must(duel_dataset_read(plain, &first, 1, a));
        must(duel_dataset_read(mirrored, &i, 1, b));
        if (i == first) assert_memory_equal(a, b, bytes);
        if (plain->labels) assert_int_equal(plain->labels[first], mirrored->labels[i]);
        for (int64_t at = 0; at < plain->item_count && i != first; at++) {
          const int64_t from = at / W * W + W - 1 - at % W;
          if (plain->is_float)
            assert_true(a[from] == b[at]);
          else
            assert_int_equal(((uint8_t *)a)[from], ((uint8_t *)b)[at]);
        }
      }
      for (int32_t i = 0; i < 3; i++) {
        must(duel_dataset_read(test, &i, 1, a));
        must(duel_dataset_read(held, &i, 1, b));
        assert_memory_equal(a, b, bytes);
      }
      duel_dataset_close(held);
      duel_dataset_close(test);
      duel_dataset_close(mirrored);
      duel_dataset_close(plain);
    }
}

// One that is named, or found beside the set, is not mirrored.
static void named_test_sets(void **state) {
  (void)state;
  put_sets();
  const duel_dataset_options o = {.mirror = true, .transpose = true};
  duel_dataset *d = open_set("idx", o), *test;
  must(duel_dataset_open_test(&test, d, scratch("gz"), &o));
  assert_int_equal(test->items, ITEMS);
  assert_item(test, 1, 1, true, false);
  duel_dataset_close(test);
  duel_dataset_close(d);
}

static void without_memory(void **state) {
  (void)state;
  put_sets();
  for (int k = 0; k < SETS; k++)
    for (uint64_t at = 1;; at++) {
      duel_dataset *d;
      const duel_dataset_options o = {.transpose = true, .mirror = true, .threads = 1};
      duel_mem_fail_at(at, 0);
      const duel_status status = duel_dataset_open_with(&d, scratch(sets[k]), &o);
      duel_mem_fail_at(0, 0);
      if (status != DUEL_OK && status != DUEL_ERR_DEVICE) fail_msg("%s", duel_last_error());
      if (status == DUEL_OK) assert_int_equal(d->items, 2 * ITEMS);
      duel_dataset_close(d);
      if (status == DUEL_OK && at > 60) break;
    }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(all_kinds), WITH_FOLDER(with_a_size),     WITH_FOLDER(refusals),
      WITH_FOLDER(held_out),  WITH_FOLDER(named_test_sets), WITH_FOLDER(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
