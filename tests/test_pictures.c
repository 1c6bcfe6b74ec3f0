// Pictures: every kind of PNG and JPEG decoded or refused, resampling against a double oracle, folders and their cache.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "io/data/cache.h"
#include "io/data/dataset.h"
#include "io/picture.h"
#include "io/resample.h"
#include "io_help.h"
#include "picture_help.h"

static uint8_t file[PICTURE_ROOM], pixels[1 << 16];

static int setup(void **state) {
  scratch_setup(state);
  setenv("XDG_CACHE_HOME", scratch("cache-home"), 1);
  return 0;
}
// ---- kinds of pictures

static duel_picture decode(size_t n, int height, int width, int channels) {
  duel_picture p;
  must(duel_picture_decode(&p, "p", file, n, false));
  assert_true(p.height == height && p.width == width && p.channels == channels);
  return p;
}

static void assert_pixel(const duel_picture *p, int y, int x, int r, int g, int b) {
  const uint8_t *at = p->pixels + ((int64_t)y * p->width + x) * p->channels;
  const int expected[3] = {r, g, b};
  for (int c = 0; c < p->channels; c++) assert_int_equal(at[c], expected[c]);
}

static void png_kinds(void **state) {
  (void)state;
  duel_picture p;
  for (int interlaced = 0; interlaced < 2; interlaced++) {
    draw_pixels(pixels, 9, 13, 3, 1);
    p = decode(make_png(file, &(png_kind){13, 9, 8, 2, interlaced, 0}, pixels), 9, 13, 3);
    assert_memory_equal(p.pixels, pixels, 9 * 13 * 3);
    duel_free(p.pixels);
    p = decode(make_png(file, &(png_kind){13, 9, 8, 0, interlaced, 0}, pixels), 9, 13, 1);
    assert_memory_equal(p.pixels, pixels, 9 * 13);
    duel_free(p.pixels);
  }
  // 16 bits are rounded, not cut: 0x7F80 is 127.5.
  p = decode(make_png(file, &(png_kind){4, 1, 16, 0, 0, 0}, (const uint8_t *)"\x00\x00\xFF\xFF\x7F\x40\x7F\x90"), 1, 4,
             1);
  assert_memory_equal(p.pixels, ((uint8_t[]){0, 255, 127, 127}), 4);
  duel_free(p.pixels);
  p = decode(make_png(file, &(png_kind){4, 1, 2, 0, 0, 0}, (const uint8_t *)"\x1B"), 1, 4, 1); // 0 1 2 3
  assert_memory_equal(p.pixels, ((uint8_t[]){0, 85, 170, 255}), 4);
  duel_free(p.pixels);
  p = decode(make_png(file, &(png_kind){2, 1, 4, 3, 0, 0}, (const uint8_t *)"\x3A"), 1, 2, 3);
  assert_pixel(&p, 0, 0, 3, 252, 1);
  assert_pixel(&p, 0, 1, 10, 245, 5);
  duel_free(p.pixels);
  // Alpha over white.
  p = decode(make_png(file, &(png_kind){3, 1, 8, 6, 0, 0}, (const uint8_t *)"\1\2\3\xFF\1\2\3\0\0\x64\xC8\x80"), 1, 3,
             3);
  assert_pixel(&p, 0, 0, 1, 2, 3);
  assert_pixel(&p, 0, 1, 255, 255, 255);
  assert_pixel(&p, 0, 2, 127, 177, 227);
  duel_free(p.pixels);
  p = decode(make_png(file, &(png_kind){2, 1, 8, 4, 0, 0}, (const uint8_t *)"\7\xFF\0\x80"), 1, 2, 1);
  assert_memory_equal(p.pixels, ((uint8_t[]){7, 127}), 2);
  duel_free(p.pixels);
  p = decode(make_png(file, &(png_kind){2, 1, 8, 0, 0, 8}, (const uint8_t *)"\7\x08"), 1, 2, 1);
  assert_memory_equal(p.pixels, ((uint8_t[]){255, 8}), 2);
  duel_free(p.pixels);
}

// The number of 0..255 that is nearest to above/below, found by search.
static int nearest(int64_t above, int64_t below) {
  static int last;
  while (2 * llabs((last + 1) * below - above) <= llabs(2 * (last * below - above)) && last < 255) last++;
  while (2 * llabs((last - 1) * below - above) < llabs(2 * (last * below - above)) && last > 0) last--;
  return last;
}

// Every 16-bit gray, and every 8-bit gray over white with every alpha.
static void png_rounding(void **state) {
  (void)state;
  static uint8_t rows[1 << 17];
  for (int v = 0; v < 1 << 16; v++) rows[2 * v] = (uint8_t)(v >> 8), rows[2 * v + 1] = (uint8_t)v;
  for (int deep = 0; deep < 2; deep++) {
    duel_picture p =
        decode(make_png(file, &(png_kind){256, 256, deep ? 16 : 8, deep ? 0 : 4, 0, 0}, rows), 256, 256, 1);
    for (int v = 0; v < 1 << 16; v++) {
      const int gray = v >> 8, alpha = v & 255;
      const int want = deep ? nearest((int64_t)v * 255, 65535) : nearest(gray * alpha + 255 * (255 - alpha), 255);
      assert_int_equal(p.pixels[v], want);
    }
    duel_free(p.pixels);
  }
  // 16 bits with alpha are rounded once: first to 8 bits, then over white would be another number for some of these.
  for (int round = 0; round < 64; round++) {
    for (int k = 0; k < 4 * 4096; k++) rows[k] = (uint8_t)((k * 2654435761u + (unsigned)round * 40503u) >> 13);
    duel_picture p = decode(make_png(file, &(png_kind){64, 64, 16, 4, 0, 0}, rows), 64, 64, 1);
    for (int k = 0; k < 4096; k++) {
      const int64_t gray = rows[4 * k] << 8 | rows[4 * k + 1], alpha = rows[4 * k + 2] << 8 | rows[4 * k + 3];
      assert_int_equal(p.pixels[k], nearest(255 * (gray * alpha + 65535 * (65535 - alpha)), 65535LL * 65535));
    }
    duel_free(p.pixels);
  }
}

static void jpeg_kinds(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    const int channels = i & 1 ? 3 : 1, progressive = i >> 1;
    for (int k = 0; k < 24 * 40 * channels; k++) pixels[k] = (uint8_t)(k / channels % 40 * 3 + 30 * (k % channels));
    duel_picture p = decode(make_jpeg(file, 40, 24, channels, 95, progressive, pixels), 24, 40, channels);
    for (int k = 0; k < 24 * 40 * channels; k++) assert_in_range(p.pixels[k] + 12 - pixels[k], 0, 24);
    duel_free(p.pixels);
  }
}

// ---- damage

static void assert_refused(size_t n, const char *part) {
  duel_picture p;
  uint64_t before = duel_mem_count();
  uint8_t *copy = malloc(n ? n : 1); // a sanitizer sees what is read behind it
  memcpy(copy, file, n);
  duel_status status = duel_picture_decode(&p, "dir/p.png", copy, n, false);
  free(copy);
  if (status == DUEL_OK) fail_msg("accepted; wanted \"%s\"", part);
  assert_int_equal(status, DUEL_ERR_DATA);
  assert_null(p.pixels);
  assert_message("dir/p.png");
  assert_message(part);
  assert_true(duel_mem_count() - before < 100);
}

static size_t some_png(void) {
  draw_pixels(pixels, 16, 16, 3, 5);
  return make_png(file, &(png_kind){16, 16, 8, 2, 0, 0}, pixels);
}
static size_t some_jpeg(int progressive) {
  draw_pixels(pixels, 16, 16, 3, 5);
  return make_jpeg(file, 16, 16, 3, 90, progressive, pixels);
}
static size_t sized_png(uint32_t width, uint32_t height) {
  const size_t n = some_png();
  put_word(file + 16, width);
  put_word(file + 20, height);
  mend_chunk(file + 8);
  return n;
}

static void malformed(void **state) {
  (void)state;
  size_t n = some_png();
  for (size_t k = 0; k < n; k++)
    assert_refused(k, k == 0 ? "empty" : k < 8 ? "no picture, whatever its name says" : "");
  for (int progressive = 0; progressive < 2; progressive++) {
    n = some_jpeg(progressive);
    for (size_t k = 0; k + 2 < n; k++) assert_refused(k, ""); // the last two bytes mark the end
  }
  assert_refused(sized_png(0, 0), "0×0");
  assert_refused(sized_png(16, 0), "16×0");
  assert_refused(sized_png(100000, 100000), "100000×100000");
  assert_refused(sized_png(0xFFFFFFFF, 1), "4294967295×1");
  assert_refused(sized_png(5000, 5000), "more than it can hold");
  assert_refused(sized_png(17, 16), "damaged");
  n = some_png();
  file[25] = 5; // no such color type
  mend_chunk(file + 8);
  assert_refused(n, "makes no sense");
  n = some_png();
  file[n - 30] ^= 1; // within the data: the CRC tells
  assert_refused(n, "damaged");
  n = some_jpeg(0);
  uint8_t *frame = file;
  while (frame[0] != 0xFF || frame[1] != 0xC0) frame++;
  frame[4] = 12;
  assert_refused(n, "12 bits a sample");
  frame[4] = 8;
  frame[9] = 2;
  assert_refused(n, "2 color components");
  frame[9] = 3;
  frame[5] = frame[6] = 0;
  assert_refused(n, "16×0");
  frame[5] = frame[7] = 0xFF;
  assert_refused(n, "more");
  memcpy(file, "qoif, which is not read here", 28);
  assert_refused(28, "a QOI picture, which is not read here: convert it to PNG");
  memcpy(file, "\xFF\xD8\xFF\xD9\0\2\0\0", 8);
  assert_refused(8, "JPEG without a header");
}

// Any flipped bit: another picture or an error, nothing else.
static void flipped_bits(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    const size_t n = kind == 0 ? some_png() : some_jpeg(kind - 1);
    for (size_t i = 0; i < n; i++)
      for (int bit = 0; bit < 8; bit += 3) {
        duel_picture p;
        file[i] ^= (uint8_t)(1 << bit);
        duel_status status = duel_picture_decode(&p, "p", file, n, false);
        assert_true(status == DUEL_OK || status == DUEL_ERR_DATA);
        duel_free(p.pixels);
        file[i] ^= (uint8_t)(1 << bit);
      }
  }
}

static void without_memory(void **state) {
  (void)state;
  for (int kind = 0; kind < 2; kind++)
    for (uint64_t at = 1;; at++) {
      duel_picture p;
      const size_t n = kind == 0 ? some_png() : some_jpeg(0);
      duel_mem_fail_at(at, 0);
      duel_status status = duel_picture_decode(&p, "p", file, n, false);
      duel_mem_fail_at(0, 0);
      duel_free(p.pixels);
      if (status == DUEL_OK && at > 1) break; // libjpeg has a heap of its own
      assert_int_equal(status, DUEL_ERR_DEVICE);
      assert_message("memory");
    }
}

// ---- resampling

static double oracle(const uint8_t *src, int h, int w, int y0, int x0, int ch, int cw, int H, int W, int y, int x) {
  (void)h;
  const double sy = (double)ch / H, sx = (double)cw / W, ry = sy > 1 ? sy : 1, rx = sx > 1 ? sx : 1;
  double sum = 0, all = 0;
  for (int i = 0; i < ch; i++)
    for (int j = 0; j < cw; j++) {
      const double wy = 1 - fabs(i + 0.5 - (y + 0.5) * sy) / ry, wx = 1 - fabs(j + 0.5 - (x + 0.5) * sx) / rx;
      if (wy <= 0 || wx <= 0) continue;
      sum += wy * wx * src[(y0 + i) * w + x0 + j];
      all += wy * wx;
    }
  return sum / all;
}

static void resampling(void **state) {
  (void)state;
  static const int sizes[][4] = {{28, 28, 32, 32}, {28, 28, 14, 14}, {7, 50, 5, 5}, {1, 1, 4, 3},
                                 {33, 20, 1, 1},   {20, 33, 40, 24}, {6, 6, 6, 6},  {9, 6, 6, 6}};
  duel_resampler r = {.line = NULL};
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
    for (int crop = 0; crop < 2; crop++) {
      const int h = sizes[k][0], w = sizes[k][1], H = sizes[k][2], W = sizes[k][3];
      uint8_t dst[40 * 40];
      for (int i = 0; i < h * w; i++) pixels[i] = (uint8_t)(i * i * 31 + 7 * i);
      int ch = h, cw = w;
      if (crop && w * H > h * W) cw = (int)lround((double)h * W / H);
      if (crop && w * H < h * W) ch = (int)lround((double)w * H / W);
      const duel_frame frame = {.height = H, .width = W, .crop = crop, .channels = 1};
      must(duel_resample(&r, dst, &frame, &(duel_pixels){pixels, h, w, 1, 0, w, 1}));
      for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
          const double d = oracle(pixels, h, w, (h - ch) / 2, (w - cw) / 2, ch, cw, H, W, y, x) - dst[y * W + x];
          if (fabs(d) > 0.51) fail_msg("%d×%d to %d×%d: off by %g at %d, %d", h, w, H, W, d, y, x);
        }
    }
  // Interleaved color to planes, to grey, and grey to color.
  uint8_t rgb[6] = {10, 20, 30, 200, 100, 50}, dst[6];
  must(duel_resample(&r, dst, &(duel_frame){1, 2, false, 3}, &(duel_pixels){rgb, 1, 2, 3, 1, 6, 3}));
  assert_memory_equal(dst, ((uint8_t[]){10, 200, 20, 100, 30, 50}), 6);
  must(duel_resample(&r, dst, &(duel_frame){1, 2, false, 1}, &(duel_pixels){rgb, 1, 2, 3, 1, 6, 3}));
  assert_memory_equal(dst, ((uint8_t[]){18, 124}), 2); // 18.15, 124.2
  must(duel_resample(&r, dst, &(duel_frame){1, 2, false, 3}, &(duel_pixels){rgb, 1, 2, 1, 0, 2, 1}));
  assert_memory_equal(dst, ((uint8_t[]){10, 20, 10, 20, 10, 20}), 6);
  duel_resampler_close(&r);
}

// ---- folders

static void put_png(const char *name, int height, int width, int channels, int i) {
  draw_pixels(pixels, height, width, channels, i);
  scratch_put(name, file, make_png(file, &(png_kind){width, height, 8, channels == 3 ? 2 : 0, 0, 0}, pixels));
}

// Two classes of 6 pictures of 12×10 (height×width), one of them deeper, one JPEG by content.
static void put_folder(void) {
  mkdir(scratch("p"), 0777);
  mkdir(scratch("p/a b"), 0777);
  mkdir(scratch("p/a"), 0777);
  mkdir(scratch("p/a/deep"), 0777);
  put_png("p/a b/0.png", 12, 10, 3, 0);
  put_png("p/a b/1", 12, 10, 1, 1);
  put_png("p/a/2.png", 12, 10, 3, 2);
  put_png("p/a/3.png", 12, 10, 3, 3);
  put_png("p/a/deep/4.png", 12, 10, 3, 4);
  draw_pixels(pixels, 12, 10, 3, 5);
  scratch_put("p/a/deep/5.png", file, make_jpeg(file, 10, 12, 3, 100, 0, pixels));
  scratch_put("p/.hidden", "x", 1);
  scratch_put("p/a/.hidden", "x", 1);
}

typedef struct heard {
  int decoded;
  char notes[4096];
} heard;

static void hear_progress(void *ctx, const char *what, int64_t done, int64_t items) {
  heard *h = ctx;
  assert_true(done >= 0 && done <= items);
  if (!strcmp(what, "Decoding") || !strcmp(what, "Writing the cache")) h->decoded += done == items;
}
static void hear_note(void *ctx, const char *text) {
  heard *h = ctx;
  strncat(h->notes, text, sizeof h->notes - strlen(h->notes) - 1);
}

static duel_dataset *open_set(const char *name, duel_dataset_options o, heard *h) {
  duel_dataset *d;
  *h = (heard){0};
  o.progress = hear_progress;
  o.note = hear_note;
  o.ctx = h;
  must(duel_dataset_open_with(&d, scratch(name), &o));
  return d;
}

static void assert_item(const duel_dataset *d, int at, int channels, int i) {
  uint8_t item[3 * 12 * 10];
  draw_pixels(pixels, 12, 10, channels, i);
  must(duel_dataset_read(d, &(int32_t){at}, 1, item));
  for (int c = 0; c < 3; c++)
    for (int k = 0; k < 120; k++) assert_int_equal(item[c * 120 + k], pixels[k * channels + (channels == 3 ? c : 0)]);
}

static void assert_folder(const duel_dataset *d) {
  assert_string_equal(d->name, "p");
  assert_true(d->items == 6 && d->rank == 3 && d->dim[0] == 3 && d->dim[1] == 12 && d->dim[2] == 10 && !d->is_float);
  assert_memory_equal(d->labels, ((uint8_t[]){1, 1, 0, 0, 0, 0}), 6); // "a" before "a b", but "a b/" before "a/"
  assert_int_equal(d->classes, 2);
  for (int i = 0; i < 5; i++) assert_item(d, i, i == 1 ? 1 : 3, i);
}

static uint32_t fingerprint_of(const duel_dataset *d) {
  const int64_t head[7] = {d->items, d->rank, d->dim[0], d->dim[1], d->dim[2], d->is_float, d->labels != NULL};
  uint32_t crc = duel_crc32c_portable(0, head, sizeof head);
  uint8_t item[3 * 64 * 64];
  for (int32_t i = 0; i < d->items; i++) {
    must(duel_dataset_read(d, &i, 1, item));
    crc = duel_crc32c_portable(crc, item, (size_t)duel_dataset_item_bytes(d));
  }
  return d->labels ? duel_crc32c_portable(crc, d->labels, (size_t)d->items) : crc;
}

static int cache_files(const char *folder, char *path) { // how many, and the path of one
  char command[256], line[PATH_MAX];
  int n = 0;
  snprintf(command, sizeof command, "find '%s' -name '*.cache'", scratch(folder));
  FILE *f = popen(command, "r");
  for (; fgets(line, sizeof line, f); n++) {
    line[strcspn(line, "\n")] = 0;
    if (path) strcpy(path, line);
  }
  pclose(f);
  return n;
}

static void a_folder_and_its_cache(void **state) {
  (void)state;
  heard h;
  put_folder();
  for (int64_t memory = 0; memory < 2; memory++) { // 1: nothing fits
    char path[PATH_MAX];
    duel_dataset *d = open_set("p", (duel_dataset_options){.memory = memory, .threads = 3}, &h);
    assert_int_equal(h.decoded, 1);
    assert_true((d->values != NULL) == !memory);
    assert_folder(d);
    assert_int_equal(d->fingerprint, fingerprint_of(d));
    assert_int_equal(cache_files("p", path), 1);
    const uint32_t fingerprint = d->fingerprint;
    duel_dataset_close(d);
    for (int64_t again = 0; again < 2; again++) {
      d = open_set("p", (duel_dataset_options){.memory = again}, &h);
      assert_true(h.decoded == 0 && !*h.notes);
      assert_true((d->values != NULL) == !again && d->fingerprint == fingerprint);
      assert_folder(d);
      duel_dataset_close(d);
    }
    unlink(path);
  }
}

static void sizes_and_channels(void **state) {
  (void)state;
  heard h;
  put_folder();
  duel_dataset *d = open_set("p", (duel_dataset_options){.height = 5, .width = 7, .channels = 1}, &h);
  assert_true(d->dim[0] == 1 && d->dim[1] == 5 && d->dim[2] == 7);
  duel_dataset_close(d);
  d = open_set("p", (duel_dataset_options){.limit = 1}, &h);
  assert_true(d->items == 1 && d->labels[0] == 1 && d->classes == 2 && d->dim[0] == 3);
  duel_dataset_close(d);
  assert_int_equal(cache_files("p", NULL), 2); // each its own
  put_png("p/a/6.png", 12, 11, 3, 6);
  assert_int_equal(duel_dataset_open(&d, scratch("p"), 0), DUEL_ERR_DATA);
  assert_message("a b/0.png has 12×10 pixels (height×width), a/6.png 12×11; set data.size");
  d = open_set("p", (duel_dataset_options){.height = 8, .width = 8, .stretch = true}, &h);
  assert_true(d->items == 7);
  duel_dataset_close(d);
  put_png("p/7.png", 12, 10, 3, 6); // outside of all classes
  d = open_set("p", (duel_dataset_options){.height = 8, .width = 8}, &h);
  assert_true(d->items == 8 && !d->labels && d->classes == 0);
  duel_dataset_close(d);
}

static void flip(const char *path, long at) {
  FILE *f = fopen(path, "r+b");
  assert_true(f && fseek(f, at, at < 0 ? SEEK_END : SEEK_SET) == 0);
  const int c = getc(f);
  fseek(f, -1, SEEK_CUR);
  putc(c ^ 4, f);
  fclose(f);
}

static void a_cache_goes_bad(void **state) {
  (void)state;
  heard h;
  char path[PATH_MAX];
  put_folder();
  duel_dataset_close(open_set("p", (duel_dataset_options){.limit = 0}, &h));
  cache_files("p", path);
  static const long at[] = {0, 10, 20, 30, 40, 80, 4096, 5000, -1, -20};
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    flip(path, at[i]);
    duel_dataset *d = open_set("p", (duel_dataset_options){.threads = 1}, &h);
    assert_int_equal(h.decoded, 1);
    assert_non_null(strstr(h.notes, "is made anew"));
    assert_folder(d);
    duel_dataset_close(d);
  }
  assert_int_equal(truncate(path, 5000), 0);
  duel_dataset *d = open_set("p", (duel_dataset_options){.threads = 1}, &h);
  assert_non_null(strstr(h.notes, "is damaged and is made anew"));
  duel_dataset_close(d);
  put_png("p/a/2.png", 12, 10, 1, 9); // another file
  d = open_set("p", (duel_dataset_options){.threads = 1}, &h);
  assert_non_null(strstr(h.notes, "is out of date and is made anew"));
  assert_item(d, 2, 1, 9);
  duel_dataset_close(d);
  // Streamed, damage shows when the item is read.
  d = open_set("p", (duel_dataset_options){.memory = 1}, &h);
  uint8_t item[360];
  must(duel_dataset_read(d, &(int32_t){0}, 1, item));
  flip(path, 4096 + 360 + 7);
  must(duel_dataset_read(d, &(int32_t){0}, 1, item));
  assert_int_equal(duel_dataset_read(d, &(int32_t){1}, 1, item), DUEL_ERR_DATA);
  assert_message("was damaged (in item 1): remove it");
  duel_dataset_close(d);
}

static void where_caches_go(void **state) {
  (void)state;
  duel_cache_place place = {"/nowhere/at/all/.x", ""};
  char path[PATH_MAX];
  snprintf(place.home, sizeof place.home, "%s", scratch("cache-home/duel/p.cache"));
  must(duel_cache_write(&place, path, &(duel_part){"cache", 5}, 1));
  assert_string_equal(path, place.home);
  assert_int_equal(access(scratch("cache-home/duel"), F_OK), 0);
  place.home[0] = 0;
  assert_int_equal(duel_cache_write(&place, path, &(duel_part){"cache", 5}, 1), DUEL_ERR_IO);
  assert_message("no place for a cache");
  if (geteuid() == 0) return; // may write anywhere
  heard h;
  put_folder();
  chmod(scratch("p"), 0500);
  for (int i = 0; i < 2; i++) {
    duel_dataset *d = open_set("p", (duel_dataset_options){.limit = 0}, &h);
    assert_true(h.decoded == !i);
    assert_folder(d);
    duel_dataset_close(d);
  }
  assert_true(cache_files("p", NULL) == 0 && cache_files("cache-home", NULL) == 1);
}

static void bad_folders(void **state) {
  (void)state;
  duel_dataset *d;
  mkdir(scratch("p"), 0777);
  assert_int_equal(duel_dataset_open(&d, scratch("p"), 0), DUEL_ERR_DATA);
  assert_message("p is empty; data are a folder of pictures");
  put_png("p/0.png", 12, 10, 3, 0);
  put_png("p/images2.png", 12, 10, 3, 0); // no IDX file, for all its name
  scratch_put("p/1.png", "no picture", 10);
  scratch_put("p/2.png", "nor this", 8);
  for (int threads = 1; threads < 5; threads++) {
    const duel_dataset_options o = {.threads = threads};
    assert_int_equal(duel_dataset_open_with(&d, scratch("p"), &o), DUEL_ERR_DATA);
    assert_message("2 of 4 pictures of ");
    assert_message("p/1.png is no picture, whatever its name says");
    assert_message("p/2.png is no picture, whatever its name says");
    assert_null(d);
  }
  unlink(scratch("p/1.png"));
  draw_pixels(pixels, 12, 10, 3, 0);
  const size_t n = make_png(file, &(png_kind){10, 12, 8, 2, 0, 0}, pixels);
  scratch_put("p/2.png", file, n - 20); // its header is fine
  for (int64_t memory = 0; memory < 2; memory++) {
    const duel_dataset_options o = {.memory = memory};
    assert_int_equal(duel_dataset_open_with(&d, scratch("p"), &o), DUEL_ERR_DATA);
    assert_message("p/2.png is damaged: it is cut short");
    assert_int_equal(cache_files("p", NULL), 0);
  }
  assert_int_equal(duel_dataset_open(&d, scratch("p/0.png"), 0), DUEL_ERR_DATA);
  assert_message("is a single picture: name the folder");
}

static void faults(void **state) {
  (void)state;
  put_folder();
  const int files = open_files();
  for (int64_t memory = 0; memory < 2; memory++)
    for (int at = 1;; at++) {
      duel_dataset *d;
      char path[PATH_MAX] = "";
      heard h;
      const duel_dataset_options o = {.memory = memory, .threads = 1, .note = hear_note, .ctx = &h};
      h = (heard){0};
      fault_begin(FAULT_ERROR, at, 0, EIO);
      duel_status s = duel_dataset_open_with(&d, scratch("p"), &o);
      const long calls = fault_end();
      assert_true(s == DUEL_ERR_IO || s == DUEL_OK);
      if (s == DUEL_OK) assert_folder(d);
      duel_dataset_close(d);
      assert_int_equal(open_files(), files);
      d = open_set("p", o, &h); // a cache that is there is whole
      assert_folder(d);
      duel_dataset_close(d);
      assert_true(cache_files("", NULL) > 0); // beside the pictures or, where that failed, at home
      while (cache_files("", path) > 0) unlink(path);
      if (calls < at) break;
    }
}

static void folders_without_memory(void **state) {
  (void)state;
  put_folder();
  for (int64_t memory = 0; memory < 2; memory++)
    for (uint64_t at = 1;; at++) {
      duel_dataset *d;
      char path[PATH_MAX];
      const duel_dataset_options o = {.memory = memory, .threads = at % 2 ? 1 : 2};
      duel_mem_fail_at(at, 0);
      duel_status s = duel_dataset_open_with(&d, scratch("p"), &o);
      duel_mem_fail_at(0, 0);
      assert_true(s == DUEL_OK || s == DUEL_ERR_DEVICE);
      if (s == DUEL_OK) assert_folder(d);
      duel_dataset_close(d);
      if (cache_files("p", path)) unlink(path);
      if (s == DUEL_OK && at > 200) break;
    }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(png_kinds),   cmocka_unit_test(png_rounding),      cmocka_unit_test(jpeg_kinds),
      cmocka_unit_test(malformed),   cmocka_unit_test(flipped_bits),      cmocka_unit_test(without_memory),
      cmocka_unit_test(resampling),  WITH_FOLDER(a_folder_and_its_cache), WITH_FOLDER(sizes_and_channels),
      WITH_FOLDER(a_cache_goes_bad), WITH_FOLDER(where_caches_go),        WITH_FOLDER(bad_folders),
      WITH_FOLDER(faults),           WITH_FOLDER(folders_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
