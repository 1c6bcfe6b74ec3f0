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

static void the_corpus(void **state) {
  (void)state;
  char path[1024];
  snprintf(path, sizeof path, "%s/tests/pictures/corpus.gz", getenv("DUEL_SOURCE"));
  gzFile f = gzopen(path, "rb");
  assert_non_null(f);
  int compared = 0, skipped = 0, bad = 0;
  for (entry e; next(f, &e); forget(&e)) {
    const duel_picture_format *format = duel_picture_of(e.bytes, (size_t)e.n);
    assert_non_null(format);
    assert_ptr_equal(format, duel_picture_named(e.name));
    if (!format->read) { // its library is not there
      skipped++;
      continue;
    }
    bad += probe(&e) + compare(&e, false) + compare(&e, true);
    compared++;
  }
  gzclose(f);
  print_message("%d pictures compared, %d of formats that this build does not read\n", compared, skipped);
  assert_true(compared >= 100);
  assert_int_equal(bad, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_corpus)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
