// Transparency as data: items of four channels from pictures and arrays, how they are resized, and what becomes of
// them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/data/dataset.h"
#include "io/resample.h"
#include "io_help.h"
#include "picture_help.h"

static uint8_t file[PICTURE_ROOM];

static uint32_t noise(uint32_t i) {
  i = (i ^ i >> 15) * 2654435761u;
  return (i ^ i >> 13) * 2246822519u >> 24;
}

// ---- resizing

// Channel c of the result, or NAN where nothing of it is seen.
static double oracle(const uint8_t *rgba, int h, int w, int H, int W, int y, int x, int c) {
  const double sy = (double)h / H, sx = (double)w / W, ry = sy > 1 ? sy : 1, rx = sx > 1 ? sx : 1;
  double sum = 0, seen = 0, all = 0;
  for (int i = 0; i < h; i++)
    for (int j = 0; j < w; j++) {
      const double wy = 1 - fabs(i + 0.5 - (y + 0.5) * sy) / ry, wx = 1 - fabs(j + 0.5 - (x + 0.5) * sx) / rx;
      const uint8_t *p = rgba + 4 * (i * w + j);
      if (wy <= 0 || wx <= 0) continue;
      all += wy * wx;
      seen += wy * wx * p[3];
      sum += wy * wx * p[3] * p[c];
    }
  return c == 3 ? seen / all : seen > 0 ? sum / seen : NAN;
}

static void colors_count_as_they_are_seen(void **state) {
  (void)state;
  static const int sizes[][4] = {{28, 28, 32, 32}, {28, 28, 14, 14}, {7, 50, 5, 5},
                                 {1, 1, 4, 3},     {33, 20, 1, 1},   {9, 6, 6, 6}};
  duel_resampler r = {.line = NULL};
  static uint8_t rgba[4 * 64 * 64], planes[4 * 64 * 64], dst[4 * 40 * 40], other[4 * 40 * 40];
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
    const int h = sizes[k][0], w = sizes[k][1], H = sizes[k][2], W = sizes[k][3];
    for (int i = 0; i < 4 * h * w; i++) {
      rgba[i] = (uint8_t)noise((uint32_t)i + 7919 * (uint32_t)k);
      if (i % 4 == 3 && rgba[i] < 100) rgba[i] = rgba[i] < 60 ? 0 : 1; // much is invisible, or nearly
      planes[i % 4 * h * w + i / 4] = rgba[i];
    }
    const duel_frame frame = {.height = H, .width = W, .channels = 4};
    must(duel_resample(&r, dst, &frame, &(duel_pixels){rgba, h, w, 4, 1, 4 * w, 4}));
    for (int c = 0; c < 4; c++)
      for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
          const double want = oracle(rgba, h, w, H, W, y, x, c), got = dst[(c * H + y) * W + x];
          if (isnan(want) ? got != 0 : !(fabs(want - got) <= 0.51))
            fail_msg("%d×%d to %d×%d: %g, not %g at %d, %d of channel %d", h, w, H, W, got, want, y, x, c);
        }
    must(duel_resample(&r, other, &frame, &(duel_pixels){planes, h, w, 4, h * w, w, 1}));
    assert_memory_equal(dst, other, 4 * H * W);
  }
  // Red beside a green that is invisible: no green bleeds into it.
  for (int i = 0; i < 8 * 8; i++) memcpy(rgba + 4 * i, i % 8 < 3 ? "\xFF\0\0\xFF" : "\0\xFF\0\0", 4);
  must(duel_resample(&r, dst, &(duel_frame){5, 5, false, 4}, &(duel_pixels){rgba, 8, 8, 4, 1, 32, 4}));
  for (int i = 0; i < 25; i++) {
    const bool seen = dst[75 + i] > 0;
    assert_true(dst[i] == (seen ? 255 : 0) && dst[25 + i] == 0 && dst[50 + i] == 0);
  }
  assert_true(dst[75] == 255 && dst[75 + 4] == 0);
  duel_resampler_close(&r);
}

static void from_and_to_other_channels(void **state) {
  (void)state;
  duel_resampler r = {.line = NULL};
  uint8_t dst[4 * 16];
  const uint8_t rgba[8] = {10, 20, 30, 255, 200, 100, 0, 128}, rgb[6] = {10, 20, 30, 200, 100, 50}, gray[2] = {7, 9};
  const duel_frame four = {1, 2, false, 4};
  must(duel_resample(&r, dst, &four, &(duel_pixels){rgba, 1, 2, 4, 1, 8, 4})); // as they are
  assert_memory_equal(dst, ((uint8_t[]){10, 200, 20, 100, 30, 0, 255, 128}), 8);
  must(duel_resample(&r, dst, &four, &(duel_pixels){rgb, 1, 2, 3, 1, 6, 3}));
  assert_memory_equal(dst, ((uint8_t[]){10, 200, 20, 100, 30, 50, 255, 255}), 8);
  must(duel_resample(&r, dst, &four, &(duel_pixels){gray, 1, 2, 1, 0, 2, 1}));
  assert_memory_equal(dst, ((uint8_t[]){7, 9, 7, 9, 7, 9, 255, 255}), 8);
  must(duel_resample(&r, dst, &(duel_frame){2, 4, false, 4}, &(duel_pixels){gray, 1, 2, 1, 0, 2, 1}));
  for (int i = 24; i < 32; i++) assert_int_equal(dst[i], 255);
  must(duel_resample(&r, dst, &(duel_frame){1, 2, false, 3}, &(duel_pixels){rgba, 1, 2, 4, 1, 8, 4})); // over white
  assert_memory_equal(dst, ((uint8_t[]){10, 227, 20, 177, 30, 127}), 6);
  must(duel_resample(&r, dst, &(duel_frame){1, 2, false, 1}, &(duel_pixels){rgba, 1, 2, 4, 1, 8, 4}));
  assert_memory_equal(dst, ((uint8_t[]){18, 186}), 2); // 18.15; .299·227 + .587·177 + .114·127 = 186.25
  duel_resampler_close(&r);
}

// ---- sets

static void put_png(const char *name, int color, const char *bytes) { // of one row of two pixels
  scratch_put(name, file, make_png(file, &(png_kind){2, 1, 8, color, 0, 0}, (const uint8_t *)bytes));
}

static void assert_items(const char *name, duel_dataset_options o, int channels, int items, const uint8_t *want) {
  duel_dataset *d;
  uint8_t item[16];
  must(duel_dataset_open_with(&d, scratch(name), &o));
  assert_true(d->items == items && d->rank == 3 && d->dim[0] == channels && d->dim[2] == 2);
  const int64_t bytes = duel_dataset_item_bytes(d);
  for (int32_t i = 0; i < items; i++) {
    must(duel_dataset_read(d, &i, 1, item));
    assert_memory_equal(item, want + i * bytes, (size_t)bytes);
  }
  duel_dataset_close(d);
}

static void pictures(void **state) {
  (void)state;
  mkdir(scratch("p"), 0777);
  put_png("p/0.png", 6, "\1\2\3\xFF\4\5\6\0");
  put_png("p/1.png", 2, "\1\2\3\4\5\6");
  put_png("p/2.png", 0, "\7\x08");
  put_png("p/3.png", 4, "\7\x80\x08\x01");
  put_png("p/4.png", 3, "\2\3");
  const uint8_t four[5 * 8] = {1, 4, 2,   5,   3, 6, 255, 0, 1, 4, 2,   5, 3, 6, 255, 255, 7, 8, 7,   8,
                               7, 8, 255, 255, 7, 8, 7,   8, 7, 8, 128, 1, 2, 3, 253, 252, 1, 1, 255, 255};
  assert_items("p", (duel_dataset_options){.channels = 4}, 4, 5, four);
  const uint8_t three[5 * 6] = {1, 255, 2, 255, 3,   255, 1,   4,   2,   5, 3, 6,   7,   8, 7,
                                8, 7,   8, 131, 254, 131, 254, 131, 254, 2, 3, 253, 252, 1, 1};
  assert_items("p", (duel_dataset_options){.channels = 0}, 3, 5, three); // as they are: over white
}

static void put_npy(const char *name, const char *shape, const uint8_t *values, size_t n) {
  uint8_t bytes[256] = "\x93NUMPY\1\0\x76\0";
  snprintf((char *)bytes + 10, 119, "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }", shape);
  const size_t length = strlen((char *)bytes + 10);
  memset(bytes + 10 + length, ' ', 118 - length);
  bytes[127] = '\n';
  memcpy(bytes + 128, values, n);
  scratch_put(name, bytes, 128 + n);
}

static void arrays(void **state) {
  (void)state;
  const uint8_t planes[16] = {1, 4, 9, 8, 2, 5, 7, 6, 3, 6, 5, 4, 255, 0, 255, 255};
  const uint8_t white[12] = {1, 255, 9, 8, 2, 255, 7, 6, 3, 255, 5, 4};
  put_npy("planes.npy", "(1, 4, 2, 2)", planes, 16);
  for (int channels = 0; channels < 8; channels += 4)
    assert_items("planes.npy", (duel_dataset_options){.channels = channels}, 4, 1, planes);
  assert_items("planes.npy", (duel_dataset_options){.channels = 3}, 3, 1, white);
  duel_dataset *d;
  const uint8_t tall[24] = {1, 2, 3, 255, 4, 5, 6, 0};
  put_npy("tall.npy", "(1, 2, 3, 4)", tall, 24);
  must(duel_dataset_open(&d, scratch("tall.npy"), 0));
  uint8_t item[24];
  must(duel_dataset_read(d, &(int32_t){0}, 1, item));
  assert_true(d->dim[0] == 4 && d->dim[1] == 2 && d->dim[2] == 3 && item[0] == 1 && item[1] == 4 && item[6] == 2 &&
              item[18] == 255 && item[19] == 0);
  duel_dataset_close(d);
  const uint8_t opaque[16] = {1, 4, 1, 4, 1, 4, 255, 255, 2, 5, 2, 5, 2, 5, 255, 255};
  put_npy("gray.npy", "(2, 1, 2)", (const uint8_t *)"\1\4\2\5", 4);
  assert_items("gray.npy", (duel_dataset_options){.channels = 4}, 4, 2, opaque);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(colors_count_as_they_are_seen),
      cmocka_unit_test(from_and_to_other_channels),
      cmocka_unit_test_setup_teardown(pictures, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(arrays, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
