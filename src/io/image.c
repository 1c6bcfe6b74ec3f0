// PNG through libpng, encoded in memory so that the file appears whole.
//
// libpng reports errors by longjmp. Invariant: encode() is the only frame that it jumps to, and nothing there changes
// between setjmp and the jump except what the sink points to, so that all is freed in one place.
#include "io/image.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "io/file.h"

typedef struct sink {
  jmp_buf out;
  char error[160];
  uint8_t *bytes;
  size_t n, room;
} sink;

static void on_error(png_structp png, png_const_charp message) {
  sink *s = png_get_error_ptr(png);
  snprintf(s->error, sizeof s->error, "%s", message);
  longjmp(s->out, 1);
}
static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message; // none concerns a file that we make ourselves
}
static png_voidp take(png_structp png, png_alloc_size_t n) {
  (void)png;
  return duel_malloc(n);
}
static void give(png_structp png, png_voidp p) {
  (void)png;
  duel_free(p);
}

static void append(png_structp png, png_bytep bytes, size_t n) {
  sink *s = png_get_io_ptr(png);
  if (n > s->room - s->n) {
    size_t room = 2 * s->room > s->n + n ? 2 * s->room : s->n + n;
    uint8_t *larger = duel_realloc(s->bytes, room);
    if (!larger) png_error(png, "out of memory");
    s->bytes = larger;
    s->room = room;
  }
  memcpy(s->bytes + s->n, bytes, n);
  s->n += n;
}
static void flush(png_structp png) {
  (void)png;
}

static int encode(sink *s, png_structp png, png_infop info, const uint8_t *pixels, uint32_t width, uint32_t height,
                  int channels) {
  if (setjmp(s->out)) return 0;
  png_set_write_fn(png, s, append, flush);
  // On grids of images runs of one value are all that LZ77 finds: looking for nothing else takes half the time of
  // level 1, a fifth of the default's, and the file is no larger. Filters cost time and size.
  png_set_compression_level(png, 1);
  png_set_compression_strategy(png, Z_RLE);
  png_set_filter(png, 0, PNG_FILTER_NONE);
  png_set_IHDR(png, info, width, height, 8, channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (uint32_t y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * width * (size_t)channels);
  png_write_end(png, NULL);
  return 1;
}

duel_status duel_png_write(const char *path, const uint8_t *pixels, int64_t width, int64_t height, int channels) {
  enum { MOST = 1000000 }; // libpng's own limit
  if (width < 1 || height < 1 || width > MOST || height > MOST)
    return duel_fail(DUEL_ERR_USAGE, "%s: a PNG cannot have %lld×%lld pixels; write fewer, or .npy, or a folder", path,
                     (long long)width, (long long)height);
  sink s = {.room = 65536};
  s.bytes = duel_malloc(s.room);
  if (!s.bytes) return duel_fail_memory(path, s.room);
  // Making the two structs cannot jump: libpng returns NULL where it lacks memory.
  png_structp png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &s, on_error, on_warning, NULL, take, give);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  duel_status status;
  if (!info)
    status = duel_fail_memory(path, s.room);
  else if (!encode(&s, png, info, pixels, (uint32_t)width, (uint32_t)height, channels))
    status = duel_fail(DUEL_ERR_DEVICE, "cannot make the picture %s: %s", path, s.error);
  else
    status = duel_file_write(path, s.bytes, s.n);
  if (png) png_destroy_write_struct(&png, &info);
  duel_free(s.bytes);
  return status;
}

void duel_to_bytes(uint8_t *dst, const float *src, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    float v = src[i] * 127.5f + 128.0f; // the half that rounds is in 128; NaN becomes 0
    dst[i] = !(v > 0) ? 0 : v >= 255 ? 255 : (uint8_t)v;
  }
}

duel_status duel_grid_write(const char *path, const float *items, int64_t n, int64_t columns, const int64_t dim[3]) {
  int64_t C = dim[0], H = dim[1], W = dim[2], channels = C == 3 ? 3 : 1;
  if (n < 1 || columns < 1 || C < 1 || H < 1 || W < 1)
    return duel_fail(DUEL_ERR_INTERNAL, "%s: a grid of nothing", path);
  if (columns > n) columns = n;
  int64_t rows = (n + columns - 1) / columns, width, height, bytes;
  if (__builtin_mul_overflow(columns, W, &width) || __builtin_mul_overflow(rows, H, &height) ||
      __builtin_mul_overflow(width, height, &bytes) || __builtin_mul_overflow(bytes, channels, &bytes))
    return duel_fail(DUEL_ERR_USAGE, "%s: %lld items of %lld×%lld pixels are too many for one picture", path,
                     (long long)n, (long long)H, (long long)W);
  uint8_t *pixels = duel_calloc((size_t)bytes, 1), *row = duel_malloc((size_t)W);
  duel_status s = pixels && row ? DUEL_OK : duel_fail_memory(path, (size_t)bytes);
  for (int64_t i = 0; s == DUEL_OK && i < n; i++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t y = 0; y < H; y++) {
        uint8_t *dst = pixels + (((i / columns) * H + y) * width + (i % columns) * W) * channels + c;
        duel_to_bytes(row, items + ((i * C + c) * H + y) * W, W);
        for (int64_t x = 0; x < W; x++) dst[x * channels] = row[x];
      }
  if (s == DUEL_OK) s = duel_png_write(path, pixels, width, height, (int)channels);
  duel_free(row);
  duel_free(pixels);
  return s;
}

// A square dot per point, y upwards; points outside or not finite are left out.
static void plot(uint8_t *pixels, int size, const float *points, int64_t n, uint8_t grey) {
  int side = size / 256 + 1;
  for (int64_t i = 0; i < n; i++) {
    float x = (points[2 * i] + 1.5f) * (float)size / 3, y = (1.5f - points[2 * i + 1]) * (float)size / 3;
    if (!(x >= 0 && y >= 0 && x < (float)size && y < (float)size)) continue;
    for (int dy = 0; dy < side; dy++)
      for (int dx = 0; dx < side; dx++) {
        int px = (int)x - side / 2 + dx, py = (int)y - side / 2 + dy;
        if (px >= 0 && py >= 0 && px < size && py < size) pixels[(int64_t)py * size + px] = grey;
      }
  }
}

duel_status duel_scatter_write(const char *path, const float *points, int64_t n, const float *real, int64_t n_real,
                               int size) {
  if (size < 1) return duel_fail(DUEL_ERR_INTERNAL, "%s: a plot of no size", path);
  size_t bytes = (size_t)size * (size_t)size;
  uint8_t *pixels = duel_malloc(bytes);
  if (!pixels) return duel_fail_memory(path, bytes);
  memset(pixels, 255, bytes);
  if (real) plot(pixels, size, real, n_real, 200);
  plot(pixels, size, points, n, 0);
  duel_status s = duel_png_write(path, pixels, size, size, 1);
  duel_free(pixels);
  return s;
}
