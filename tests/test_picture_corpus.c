// Pictures of all kinds against the pixels that Pillow sees in them (tests/pictures/make.py says how they were made).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "io/picture.h"
#include "io_help.h"

typedef struct entry {
  char name[64];
  int height, width, channels, tolerance, n;
  uint8_t *bytes, *flat, *rgba;
} entry;

static uint8_t *take(gzFile f, size_t n) {
  uint8_t *bytes = malloc(n);
  assert_int_equal(gzread(f, bytes, (unsigned)n), (int)n);
  return bytes;
}

static bool next(gzFile f, entry *e) {
  char line[128];
  if (!gzgets(f, line, sizeof line)) return false;
  assert_int_equal(
      sscanf(line, "%63s %d %d %d %d %d", e->name, &e->height, &e->width, &e->channels, &e->tolerance, &e->n), 6);
  e->bytes = take(f, (size_t)e->n);
  e->flat = take(f, (size_t)(e->height * e->width * e->channels));
  e->rgba = take(f, (size_t)(e->height * e->width * 4));
  return true;
}

static void forget(entry *e) {
  free(e->bytes);
  free(e->flat);
  free(e->rgba);
}

static int compare(const entry *e, bool rgba) { // how many are wrong
  duel_picture p;
  const int channels = rgba ? 4 : e->channels;
  const uint8_t *want = rgba ? e->rgba : e->flat;
  if (duel_picture_decode(&p, e->name, e->bytes, (size_t)e->n, rgba) != DUEL_OK) {
    print_error("%s: %s\n", e->name, duel_last_error());
    return 1;
  }
  int bad = 0;
  if (p.height != e->height || p.width != e->width || p.channels != channels) {
    print_error("%s: %d×%d×%d instead of %d×%d×%d\n", e->name, (int)p.height, (int)p.width, p.channels, e->height,
                e->width, channels);
    bad = 1;
  }
  for (int i = 0; !bad && i < e->height * e->width * channels; i++)
    if (abs(p.pixels[i] - want[i]) > e->tolerance) {
      print_error("%s%s: %d instead of %d in row %d, column %d, channel %d\n", e->name, rgba ? " as RGBA" : "",
                  p.pixels[i], want[i], i / channels / e->width, i / channels % e->width, i % channels);
      bad = 1;
    }
  duel_free(p.pixels);
  return bad;
}

// Some first bytes are enough, and say the same as all of them.
static int probe(const entry *e) {
  duel_picture p = {0};
  bool more = true;
  for (size_t n = 64; more; n += 64) {
    const size_t now = n < (size_t)e->n ? n : (size_t)e->n;
    uint8_t *copy = malloc(now); // a sanitizer sees what is read behind it
    memcpy(copy, e->bytes, now);
    const duel_status status = duel_picture_probe(&p, e->name, copy, now, (size_t)e->n, &more);
    free(copy);
    if (status != DUEL_OK) return 0; // compare() says why
  }
  // Where the file says behind its pixels how the camera was held, its first bytes do not tell.
  if (strstr(e->name, "late") || (p.height == e->height && p.width == e->width && p.channels == e->channels)) return 0;
  print_error("%s: its header says %d×%d×%d\n", e->name, (int)p.height, (int)p.width, p.channels);
  return 1;
}

// With e for each picture of a format that this build reads; returns how many of the others there are.
static int for_each(void (*work)(const entry *e)) {
  char path[1024];
  snprintf(path, sizeof path, "%s/tests/pictures/corpus.gz", getenv("DUEL_SOURCE"));
  gzFile f = gzopen(path, "rb");
  assert_non_null(f);
  int skipped = 0;
  for (entry e; next(f, &e); forget(&e)) {
    const duel_picture_format *format = duel_picture_of(e.bytes, (size_t)e.n);
    assert_non_null(format);
    assert_ptr_equal(format, duel_picture_named(e.name));
    if (format->read)
      work(&e);
    else
      skipped++;
  }
  gzclose(f);
  return skipped;
}

static int compared, bad;
static void check(const entry *e) {
  bad += probe(e) + compare(e, false) + compare(e, true);
  compared++;
}
static void the_corpus(void **state) {
  (void)state;
  compared = bad = 0;
  const int skipped = for_each(check);
  print_message("%d pictures compared, %d of formats that this build does not read\n", compared, skipped);
  assert_true(compared >= 187); // PNG, JPEG, BMP and PNM are always there
  assert_int_equal(bad, 0);
}

// ---- damage: another picture, or an error that names the file

static void try(const entry *e, const uint8_t *bytes, size_t n) {
  duel_picture p;
  uint8_t *copy = malloc(n ? n : 1); // a sanitizer sees what is read behind it
  memcpy(copy, bytes, n);
  const duel_status status = duel_picture_decode(&p, e->name, copy, n, n % 2);
  free(copy);
  if (status != DUEL_OK) {
    assert_int_equal(status, DUEL_ERR_DATA);
    assert_null(p.pixels);
    assert_message(e->name);
  }
  duel_free(p.pixels);
}
static void harm(const entry *e) {
  const size_t n = (size_t)e->n;
  for (size_t k = 0; k < n; k += k < 64 ? 5 : n / 16 + 1) try(e, e->bytes, k);
  for (size_t k = 8; k < n; k += k < 64 ? 3 : n / 16 + 1) {
    e->bytes[k] ^= (uint8_t)(1 << k % 8);
    try(e, e->bytes, n);
    e->bytes[k] ^= (uint8_t)(1 << k % 8);
  }
}
static void damage(void **state) {
  (void)state;
  for_each(harm);
}

// Cut within its pixels, no picture is taken for whole: what was there is a third.
static void cut(const entry *e) {
  duel_picture p;
  if (strstr(e->name, "size-") || strstr(e->name, "late")) return;
  if (duel_picture_decode(&p, e->name, e->bytes, (size_t)e->n / 3, false) == DUEL_OK)
    fail_msg("%s: a third is enough", e->name);
}
static void cut_short(void **state) {
  (void)state;
  for_each(cut);
}

static void starve(const entry *e) {
  for (uint64_t at = 1;; at++) {
    duel_picture p;
    duel_mem_fail_at(at, 0);
    const duel_status status = duel_picture_decode(&p, e->name, e->bytes, (size_t)e->n, at % 2);
    duel_mem_fail_at(0, 0);
    duel_free(p.pixels);
    if (status == DUEL_OK) break;
    assert_int_equal(status, DUEL_ERR_DEVICE);
    assert_message("memory");
  }
}
static void without_memory(void **state) {
  (void)state;
  for_each(starve);
}

// A small file that says that it is large: nothing is allocated on its word.
static void large(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int n;
    const char *bytes, *says;
  } files[] = {
      {"x.bmp", 54, "BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\0\x40\0\0\0\x20\0\0\1\0\x18\0",
       "16384×8192 pixels (width×height), more"},
      {"x.bmp", 54, "BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\0\0\0\x80\0\0\0\x80\1\0\x18\0",
       "a picture of -2147483648×2147483648"},
      {"x.bmp", 54, "BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0\0\0\0\0\1\0\x18\0", "16×0 pixels"},
      {"x.gif", 26, "GIF89a\xFF\xFF\xFF\xFF\0\0\0,\0\0\0\0\1\0\1\0\0\2\2\x44\1",
       "65535×65535 pixels (width×height), more"},
      {"x.pgm", 30, "P5 99999999999999999999 7 255\n", "9999999999×7 pixels (width×height), more than it can hold"},
      {"x.pgm", 20, "P6 9999 9999 65535\n", "9999×9999 pixels (width×height), more than it can hold"},
      {"x.tif", 56,
       "II*\0\x08\0\0\0\4\0\0\1\4\0\1\0\0\0\0\0\2\0\1\1\4\0\1\0\0\0\0\0\1\0\3\1\3\0\1\0\0\0\1\0\0\0\x11\1\4\0\1\0",
       "x.tif"},
      {"x.webp", 30, "RIFF\x16\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\xFF\xFF\x0F\xFF\xFF\x0F", "x.webp"},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    uint8_t *bytes = calloc((size_t)files[i].n, 1);
    memcpy(bytes, files[i].bytes, (size_t)files[i].n < 30 ? (size_t)files[i].n : 30);
    if (!duel_picture_of(bytes, (size_t)files[i].n)->read) {
      free(bytes);
      continue;
    }
    duel_picture p;
    const uint64_t before = duel_mem_count();
    assert_int_equal(duel_picture_decode(&p, files[i].name, bytes, (size_t)files[i].n, false), DUEL_ERR_DATA);
    assert_message(files[i].says);
    assert_int_equal(duel_mem_count(), before);
    free(bytes);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_corpus),     cmocka_unit_test(damage), cmocka_unit_test(cut_short),
      cmocka_unit_test(without_memory), cmocka_unit_test(large),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
