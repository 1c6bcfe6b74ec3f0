// Zip files: pictures, files of records and arrays in them are the same sets as in a folder; and what no good zip file
// holds is refused.
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

#include "base/mem.h"
#include "io/files/files.h"
#include "io_help.h"
#include "picture_help.h"
#include "set_help.h"
#include "zip_help.h"

static int without_zip(void) {
  return !duel_has_zip();
}

// ---- pictures

enum { PICTURES = 12 };
static uint8_t picture[PICTURES][4096];
static size_t picture_n[PICTURES];
static char picture_name[PICTURES][64];
static zip_part parts[PICTURES + 4];

static void make_pictures(void) {
  static uint8_t pixels[8 * 6 * 3], room[PICTURE_ROOM];
  for (int i = 0; i < PICTURES; i++) {
    draw_pixels(pixels, 8, 6, 3, i);
    picture_n[i] = make_png(room, &(png_kind){6, 8, 8, 2, 0, 0}, pixels);
    memcpy(picture[i], room, picture_n[i]);
    snprintf(picture_name[i], sizeof *picture_name, "%s/%02d.png", i % 3 ? "left" : "right", PICTURES - i);
    parts[i] = (zip_part){.name = picture_name[i], .bytes = picture[i], .n = picture_n[i], .deflated = i % 2};
  }
}

static void put_folder(const char *folder) {
  char path[1024];
  mkdir(scratch(folder), 0777);
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, i ? "left" : "right");
    mkdir(scratch(path), 0777);
  }
  for (int i = 0; i < PICTURES; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, picture_name[i]);
    scratch_put(path, picture[i], picture_n[i]);
  }
}

static void pictures_in_a_zip(void **state) {
  (void)state;
  if (without_zip()) skip();
  make_pictures();
  put_folder("set");
  parts[PICTURES] = (zip_part){.name = "left/.hidden.png", .bytes = "x", .n = 1};
  parts[PICTURES + 1] = (zip_part){.name = "__MACOSX/left/1.png", .bytes = "x", .n = 1};
  parts[PICTURES + 2] = (zip_part){.name = "right/", .bytes = "", .n = 0};
  parts[PICTURES + 3] = (zip_part){.name = "notes.txt", .bytes = "text", .n = 4};
  scratch_zip("set.zip", parts, PICTURES + 4);
  scratch_zip("wrapped.zip",
              (zip_part[]){{.name = "set/left/1.png", .bytes = picture[0], .n = picture_n[0]},
                           {.name = "set/right/2.png", .bytes = picture[1], .n = picture_n[1]},
                           {.name = "set/right/3.png", .bytes = picture[2], .n = picture_n[2]}},
              3);
  duel_dataset *folder = set_open("set", (duel_dataset_options){.limit = 0});
  for (int64_t memory = 0; memory < 2; memory++)
    for (int cached = 0; cached < 2; cached++) {
      duel_dataset *d = set_open("set.zip", (duel_dataset_options){.memory = memory, .threads = 3});
      assert_true(!memory == (d->values != NULL));
      assert_int_equal(d->fingerprint, folder->fingerprint);
      assert_string_equal(d->name, "set");
      assert_true(d->classes == 2 && !strcmp(d->class_name[1], "right"));
      assert_memory_equal(d->labels, folder->labels, PICTURES);
      assert_non_null(strstr(set_notes, "passed over 1 file of "));
      assert_non_null(strstr(set_notes, "notes.txt (text)"));
      duel_dataset_close(d);
      if (cached) unlink(scratch(".set.zip.duel-fb387d1f.cache"));
    }
  duel_dataset_close(folder);
  duel_dataset *d = set_open("set.zip/left", (duel_dataset_options){.limit = 0});
  assert_true(d->items == 8 && d->classes == 0);
  assert_string_equal(d->name, "left");
  duel_dataset_close(d);
  set_refused("set.zip/middle", "set.zip has no file or folder middle in it");
  set_refused("wrapped.zip", "name "); // its classes lie deeper
  d = set_open("wrapped.zip/set/", (duel_dataset_options){.limit = 0});
  assert_true(d->items == 3 && d->classes == 2);
  duel_dataset_close(d);
}

static void parts_in_a_zip(void **state) {
  (void)state;
  if (without_zip()) skip();
  make_pictures();
  const zip_part part[] = {{.name = "set/train/a/0.png", .bytes = picture[0], .n = picture_n[0]},
                           {.name = "set/train/b/1.png", .bytes = picture[1], .n = picture_n[1]},
                           {.name = "set/test/a/2.png", .bytes = picture[2], .n = picture_n[2]},
                           {.name = "set/test/b/3.png", .bytes = picture[3], .n = picture_n[3]}};
  scratch_zip("parts.zip", part, 4);
  duel_dataset *d = set_open("parts.zip/set/train", (duel_dataset_options){.limit = 0}), *test;
  must(duel_dataset_open_test(&test, d, NULL, &(duel_dataset_options){.limit = 0}));
  assert_true(d->items == 2 && test->items == 2 && test->classes == 2);
  assert_memory_not_equal(d->values, test->values, 144);
  duel_dataset_close(test);
  duel_dataset_close(d);
  d = set_open("parts.zip/set", (duel_dataset_options){.limit = 0});
  assert_non_null(strstr(set_notes, "parts.zip/set/train and "));
  assert_int_equal(duel_dataset_open_test(&test, d, NULL, &(duel_dataset_options){.limit = 0}), DUEL_ERR_DATA);
  assert_message("parts.zip/set/train as the data, and the one beside it is found");
  duel_dataset_close(d);
}

static void labels_in_a_zip(void **state) {
  (void)state;
  if (without_zip()) skip();
  static const char json[] = "{\"labels\": [[\"00000/img0.png\", 3], [\"00000/img1.png\", 0]]}";
  make_pictures();
  const zip_part part[] = {{.name = "00000/img1.png", .bytes = picture[1], .n = picture_n[1]},
                           {.name = "dataset.json", .bytes = json, .n = sizeof json - 1},
                           {.name = "00000\\img0.png", .bytes = picture[0], .n = picture_n[0]}};
  scratch_zip("gan.zip", part, 3);
  duel_dataset *d = set_open("gan.zip", (duel_dataset_options){.limit = 0});
  assert_true(d->items == 2 && d->classes == 4 && d->labels[0] == 3 && d->labels[1] == 0);
  duel_dataset_close(d);
}

static void bad_pictures_in_a_zip(void **state) {
  (void)state;
  if (without_zip()) skip();
  make_pictures();
  parts[3].n -= 20;
  parts[7] = (zip_part){.name = picture_name[7], .bytes = "", .n = 0};
  scratch_zip("set.zip", parts, PICTURES);
  set_refused("set.zip", "2 of 12 pictures of ");
  assert_message("set.zip/right/09.png is damaged: it is cut short\n");
  assert_message("set.zip/left/05.png is empty\n");
  duel_dataset *d = set_open("set.zip", (duel_dataset_options){.skip_bad = true});
  assert_int_equal(d->items, 10);
  duel_dataset_close(d);
  size_t n;
  uint8_t *all = scratch_get("set.zip", &n);
  all[60] ^= 8; // of the first entry's bytes: its checksum tells
  scratch_put("set.zip", all, n);
  set_refused("set.zip", "3 of 12 pictures of ");
  assert_message("right/12.png in it cannot be read: CRC error");
  free(all);
}

// ---- records

static size_t gzip(uint8_t *dst, size_t room, const void *src, size_t n) {
  struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
  const size_t size = libdeflate_gzip_compress(c, src, n, dst, room);
  libdeflate_free_compressor(c);
  return size;
}

static void idx_in_a_zip(void **state) {
  (void)state;
  if (without_zip()) skip();
  uint8_t images[16 + 12] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2}, gz[256];
  static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 0, 5, 2};
  for (int i = 0; i < 12; i++) images[16 + i] = (uint8_t)(10 * i);
  const size_t n = gzip(gz, sizeof gz, images, sizeof images);
  for (int kind = 0; kind < 3; kind++) {
    const zip_part part[] = {{.name = kind == 2 ? "train-images-idx3-ubyte/train-images.idx3-ubyte"
                                      : kind    ? "raw/train-images-idx3-ubyte"
                                                : "train-images-idx3-ubyte.gz",
                              .bytes = kind ? images : gz,
                              .n = kind ? sizeof images : n,
                              .deflated = kind == 1},
                             {.name = kind == 2 ? "train-labels-idx1-ubyte/train-labels.idx1-ubyte"
                                      : kind    ? "raw/train-labels-idx1-ubyte"
                                                : "train-labels-idx1-ubyte",
                              .bytes = labels,
                              .n = sizeof labels},
                             {.name = kind == 2 ? "t10k-images-idx3-ubyte/t10k-images.idx3-ubyte" : "read.me",
                              .bytes = images,
                              .n = sizeof images},
                             {.name = kind == 2 ? "t10k-labels-idx1-ubyte/t10k-labels.idx1-ubyte" : "read.it",
                              .bytes = labels,
                              .n = sizeof labels}};
    scratch_zip("digits.zip", part, 4);
    for (int64_t memory = 0; memory < 2; memory++) {
      duel_dataset *d = set_open("digits.zip", (duel_dataset_options){.memory = memory}), *test;
      uint8_t item[4];
      assert_true(d->items == 3 && d->classes == 6 && d->labels[1] == 5);
      must(duel_dataset_read(d, &(int32_t){2}, 1, item));
      assert_memory_equal(item, images + 24, 4);
      if (kind == 2) {
        must(duel_dataset_open_test(&test, d, NULL, &(duel_dataset_options){.memory = memory}));
        assert_int_equal(test->items, 3);
        duel_dataset_close(test);
      }
      duel_dataset_close(d);
      unlink(scratch(".digits.zip.duel-fb387d1f.cache"));
    }
  }
  duel_dataset *d =
      set_open("digits.zip/t10k-images-idx3-ubyte/t10k-images.idx3-ubyte", (duel_dataset_options){.limit = 2});
  assert_true(d->items == 2 && d->labels[1] == 5);
  duel_dataset_close(d);
}

// ---- arrays

static uint8_t array[8][512];

static zip_part npy(int slot, const char *name, const char *descr, const char *shape, const void *bytes, size_t n) {
  uint8_t *at = array[slot];
  memset(at, ' ', 128);
  memcpy(at, "\x93NUMPY\x01\x00\x76\x00", 10);
  const int length =
      snprintf((char *)at + 10, 117, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
  at[10 + length] = ' ';
  at[127] = '\n';
  memcpy(at + 128, bytes, n);
  return (zip_part){.name = name, .bytes = at, .n = 128 + n, .deflated = slot % 2};
}

static void npz(void **state) {
  (void)state;
  if (without_zip()) skip();
  uint8_t x[24], y[3 * 8] = {0};
  for (int i = 0; i < 24; i++) x[i] = (uint8_t)(7 * i);
  y[0] = 2, y[8] = 0, y[16] = 4; // int64
  scratch_zip("m.npz",
              (zip_part[]){npy(0, "x_test.npy", "|u1", "(2, 2, 2)", x + 12, 8),
                           npy(1, "x_train.npy", "|u1", "(3, 2, 2)", x, 12),
                           npy(2, "y_train.npy", "<i8", "(3,)", y, 24), npy(3, "y_test.npy", "<i8", "(2, 1)", y, 16)},
              4);
  for (int64_t memory = 0; memory < 2; memory++) {
    duel_dataset *d = set_open("m.npz", (duel_dataset_options){.memory = memory}), *test;
    uint8_t item[4];
    assert_true(d->items == 3 && d->classes == 5 && d->labels[0] == 2 && d->labels[2] == 4);
    assert_string_equal(d->name, "m");
    assert_non_null(strstr(
        set_notes, "m.npz (x_test, x_train, y_test, y_train) the data are x_train.npy, their labels y_train.npy"));
    must(duel_dataset_read(d, &(int32_t){1}, 1, item));
    assert_memory_equal(item, x + 4, 4);
    must(duel_dataset_open_test(&test, d, NULL, &(duel_dataset_options){.memory = memory}));
    assert_true(test->items == 2 && test->labels[0] == 2 && test->labels[1] == 0);
    duel_dataset_close(test);
    duel_dataset_close(d);
  }
  duel_dataset *d = set_open("m.npz/x_test", (duel_dataset_options){.limit = 0});
  assert_true(d->items == 2 && d->labels[1] == 0);
  assert_string_equal(d->name, "x_test");
  duel_dataset_close(d);
  float f[6] = {-1, 0, 1, 0.5f, 0.25f, 2};
  scratch_zip("one.npz",
              (zip_part[]){npy(0, "whatever.npy", "<f4", "(3, 2)", f, 24), npy(1, "names.npy", "<U2", "(3,)", f, 24)},
              2);
  d = set_open("one.npz", (duel_dataset_options){.limit = 0});
  assert_true(d->is_float && d->rank == 1 && !d->labels && !*set_notes);
  duel_dataset_close(d);
  scratch_zip("two.npz",
              (zip_part[]){npy(0, "cats.npy", "|u1", "(1, 2, 2)", x, 4), npy(1, "dogs.npy", "|u1", "(1, 2, 2)", x, 4)},
              2);
  set_refused("two.npz", "two.npz holds several arrays, cats, dogs: name one of them, as in ");
  assert_message("two.npz/cats");
  scratch_zip("odd.npz", (zip_part[]){npy(0, "x.npy", "<i4", "(1, 2, 2)", x, 16)}, 1);
  set_refused("odd.npz", "odd.npz/x.npy holds <i4 values");
  y[16] = 0, y[17] = 1; // 256
  scratch_zip("m.npz",
              (zip_part[]){npy(0, "images.npy", "|u1", "(3, 2, 2)", x, 12), npy(1, "labels.npy", "<i8", "(3,)", y, 24)},
              2);
  set_refused("m.npz", "labels.npy: label 2 is not from 0 to 255");
}

// ---- what no good zip file holds

static void refused_zips(void **state) {
  (void)state;
  if (without_zip()) skip();
  make_pictures();
  scratch_put("empty.zip", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
  set_refused("empty.zip", "zip file ");
  assert_message("is empty");
  scratch_zip("locked.zip", (zip_part[]){{.name = "1.png", .bytes = picture[0], .n = picture_n[0], .flags = 1}}, 1);
  set_refused("locked.zip", "locked.zip is encrypted: unpack it with its password");
  scratch_zip("text.zip", (zip_part[]){{.name = "a.txt", .bytes = "x", .n = 1}}, 1);
  set_refused("text.zip", "text.zip holds no data but a.txt (text)");
  static const char hdf[] = "\x89HDF\r\n\x1A\n";
  scratch_zip("more.zip", (zip_part[]){{.name = "x/a.h5", .bytes = hdf, .n = sizeof hdf - 1}}, 1);
  set_refused("more.zip", "more.zip holds no pictures: x/a.h5 is an HDF5 file: save its array");
  set_refused("more.zip/x/a.h5", "more.zip/x/a.h5 is an HDF5 file: save its array");
  scratch_zip("twice.zip", (zip_part[]){{.name = "in.zip", .bytes = "PK\3\4", .n = 4}}, 1);
  set_refused("twice.zip", "in.zip is a zip file: unpack ");
  scratch_zip("torch.pt", (zip_part[]){{.name = "archive/data.pkl", .bytes = "x", .n = 1}}, 1);
  set_refused("torch.pt", "torch.pt is a PyTorch file: save its tensor");
  // Sizes that are not true: nothing is allocated on their word.
  scratch_zip("bomb.zip", (zip_part[]){{.name = "1.png", .bytes = picture[0], .n = picture_n[0], .size = 0xFFFFFFF0u}},
              1);
  set_refused("bomb.zip", "bomb.zip");
  static uint8_t zeros[1 << 20];
  scratch_zip("more.zip",
              (zip_part[]){{.name = "1.png", .bytes = zeros, .n = sizeof zeros, .deflated = true, .size = 100}}, 1);
  set_refused("more.zip", "more.zip");
  // Cut anywhere, or with any byte of the end changed.
  scratch_zip("cut.zip", (zip_part[]){{.name = "1.png", .bytes = picture[0], .n = picture_n[0] - 20}}, 1);
  size_t n;
  uint8_t *all = scratch_get("cut.zip", &n);
  for (size_t k = 4; k < n; k += 5) {
    scratch_put("cut.zip", all, k);
    set_refused("cut.zip", "cut.zip");
  }
  for (size_t k = picture_n[0] + 15; k < n; k++) {
    duel_dataset *d;
    all[k] ^= 0x81;
    scratch_put("cut.zip", all, n);
    assert_int_equal(set_try(&d, "cut.zip", (duel_dataset_options){.limit = 0}), DUEL_ERR_DATA); // the picture is cut
    all[k] ^= 0x81;
  }
  free(all);
}

static void without_memory(void **state) {
  (void)state;
  if (without_zip()) skip();
  make_pictures();
  scratch_zip("set.zip", parts, PICTURES);
  for (int64_t memory = 0; memory < 2; memory++)
    for (uint64_t at = 1;; at += 3) {
      duel_dataset *d;
      const duel_dataset_options o = {.memory = memory, .threads = at % 2 ? 1 : 2};
      duel_mem_fail_at(at, 0);
      duel_status status = duel_dataset_open_with(&d, scratch("set.zip"), &o);
      duel_mem_fail_at(0, 0);
      assert_true(status == DUEL_OK || status == DUEL_ERR_DEVICE);
      if (status == DUEL_OK) assert_int_equal(d->items, PICTURES);
      duel_dataset_close(d);
      unlink(scratch(".set.zip.duel-fb387d1f.cache"));
      if (status == DUEL_OK && at > 200) break;
    }
}

static void builds_without_libzip(void **state) {
  (void)state;
  if (duel_has_zip()) skip();
  make_pictures();
  scratch_zip("set.zip", parts, PICTURES);
  set_refused("set.zip", "this build cannot read: install libzip (libzip-dev) and build again");
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(pictures_in_a_zip),     WITH_FOLDER(parts_in_a_zip), WITH_FOLDER(labels_in_a_zip),
      WITH_FOLDER(bad_pictures_in_a_zip), WITH_FOLDER(idx_in_a_zip),   WITH_FOLDER(npz),
      WITH_FOLDER(refused_zips),          WITH_FOLDER(without_memory), WITH_FOLDER(builds_without_libzip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
