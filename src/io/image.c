// PNG through libpng, row by row: a small picture is encoded in memory, a large one into a draft of its file.
//
// libpng reports errors by longjmp. Invariant: whatever calls it sets the writer's jump first and returns from there,
// and nothing changes between setjmp and the jump but what the writer points to, so that all is freed in one place.
#include "io/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/png_calls.h"

enum { BUFFER = 1 << 20 };

typedef struct writer {
  duel_png_calls calls;
  duel_status status; // of the file
  const char *path;
  png_structp png;
  png_infop info;
  duel_draft draft; // of a picture that is larger than the buffer
  bool drafted;
  int64_t at; // bytes in the draft
  size_t n;
  uint8_t bytes[BUFFER];
} writer;

static duel_status put(writer *w, const uint8_t *bytes, size_t n) {
  if (!w->drafted) DUEL_TRY(duel_draft_begin(&w->draft, w->path, 0));
  w->drafted = true;
  DUEL_TRY(duel_draft_put(&w->draft, bytes, n, w->at));
  w->at += (int64_t)n;
  return DUEL_OK;
}

static void append(png_structp png, png_bytep bytes, size_t n) {
  writer *w = png_get_io_ptr(png);
  if (n > BUFFER - w->n) {
    w->status = put(w, w->bytes, w->n);
    w->n = 0;
  }
  if (w->status == DUEL_OK && n > BUFFER) w->status = put(w, bytes, n);
  if (w->status != DUEL_OK) png_error(png, "the file cannot be written");
  if (n > BUFFER) return;
  memcpy(w->bytes + w->n, bytes, n);
  w->n += n;
}
static void flush(png_structp png) {
  (void)png;
}

static duel_status failed(const writer *w) {
  if (w->status != DUEL_OK) return w->status;
  return duel_fail(DUEL_ERR_DEVICE, "cannot make the picture %s: %s", w->path, w->calls.error);
}

static duel_status write_head(writer *w, uint32_t width, uint32_t height, int channels) {
  if (setjmp(w->calls.out)) return failed(w);
  png_set_write_fn(w->png, w, append, flush);
  // On grids of images runs of one value are all that LZ77 finds: looking for nothing else takes half the time of
  // level 1, a fifth of the default's, and the file is no larger. Filters cost time and size.
  png_set_compression_level(w->png, 1);
  png_set_compression_strategy(w->png, Z_RLE);
  png_set_filter(w->png, 0, PNG_FILTER_NONE);
  const int color = channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA : channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY;
  png_set_IHDR(w->png, w->info, width, height, 8, color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(w->png, w->info);
  return DUEL_OK;
}

static duel_status write_rows(writer *w, const uint8_t *pixels, int64_t rows, size_t row_bytes) {
  if (setjmp(w->calls.out)) return failed(w);
  for (int64_t y = 0; y < rows; y++) png_write_row(w->png, pixels + (size_t)y * row_bytes);
  return DUEL_OK;
}

static duel_status write_end(writer *w) {
  if (setjmp(w->calls.out)) return failed(w);
  png_write_end(w->png, NULL);
  return DUEL_OK;
}

static void close_writer(writer *w) {
  if (!w) return;
  if (w->png) png_destroy_write_struct(&w->png, &w->info);
  if (w->drafted) duel_draft_drop(&w->draft);
  duel_free(w);
}

static duel_status open_writer(writer **result, const char *path, int64_t width, int64_t height, int channels) {
  enum { MOST = 1000000 }; // libpng's own limit
  *result = NULL;
  if (width < 1 || height < 1 || width > MOST || height > MOST)
    return duel_fail(DUEL_ERR_USAGE, "%s: a PNG cannot have %lld×%lld pixels; write fewer, or .npy, or a folder", path,
                     (long long)width, (long long)height);
  writer *w = duel_malloc(sizeof *w);
  if (!w) return duel_fail_memory(path, sizeof *w);
  w->status = DUEL_OK;
  w->path = path;
  w->drafted = false;
  w->at = 0;
  w->n = 0;
  // Making the two structs cannot jump: libpng returns NULL where it lacks memory.
  w->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &w->calls, duel_png_on_error, duel_png_on_warning,
                                     &w->calls, duel_png_take, duel_png_give);
  w->info = w->png ? png_create_info_struct(w->png) : NULL;
  duel_status status =
      w->info ? write_head(w, (uint32_t)width, (uint32_t)height, channels) : duel_fail_memory(path, sizeof *w);
  if (status == DUEL_OK)
    *result = w;
  else
    close_writer(w);
  return status;
}

// A picture that fits in the buffer is written at once, with all that duel_file_write does.
static duel_status finish(writer *w) {
  DUEL_TRY(write_end(w));
  if (!w->drafted) return duel_file_write(w->path, w->bytes, w->n);
  DUEL_TRY(put(w, w->bytes, w->n));
  return duel_draft_commit(&w->draft);
}

duel_status duel_png_write(const char *path, const uint8_t *pixels, int64_t width, int64_t height, int channels) {
  writer *w;
  DUEL_TRY(open_writer(&w, path, width, height, channels));
  duel_status status = write_rows(w, pixels, height, (size_t)(width * channels));
  if (status == DUEL_OK) status = finish(w);
  close_writer(w);
  return status;
}

void duel_to_bytes(uint8_t *dst, const float *src, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    float v = src[i] * 127.5f + 128.0f; // the half that rounds is in 128; NaN becomes 0
    dst[i] = !(v > 0) ? 0 : v >= 255 ? 255 : (uint8_t)v;
  }
}

// ---- grids

struct duel_grid {
  writer *out;
  uint8_t *cells, *line; // one row of cells, and one channel's line of an item
  int64_t columns, dim[3], channels, width;
  int64_t filled; // cells of the row
};

static duel_status grid_of(duel_grid *g, const char *path, int64_t n, int64_t columns) {
  const int64_t H = g->dim[1], W = g->dim[2];
  g->columns = columns < n ? columns : n;
  g->channels = g->dim[0] == 3 || g->dim[0] == 4 ? g->dim[0] : 1;
  int64_t height, bytes;
  if (__builtin_mul_overflow(g->columns, W, &g->width) ||
      __builtin_mul_overflow((n + g->columns - 1) / g->columns, H, &height) ||
      __builtin_mul_overflow(g->width, height, &bytes) || __builtin_mul_overflow(bytes, g->channels, &bytes))
    return duel_fail(DUEL_ERR_USAGE, "%s: %lld items of %lld×%lld pixels are too many for one picture", path,
                     (long long)n, (long long)H, (long long)W);
  DUEL_TRY(open_writer(&g->out, path, g->width, height, (int)g->channels));
  const size_t row = (size_t)(g->width * H * g->channels);
  g->cells = duel_calloc(row, 1);
  g->line = duel_malloc((size_t)W);
  return g->cells && g->line ? DUEL_OK : duel_fail_memory(path, row);
}

duel_status duel_grid_begin(duel_grid **grid, const char *path, int64_t n, int64_t columns, const int64_t dim[3]) {
  *grid = NULL;
  if (n < 1 || columns < 1 || dim[0] < 1 || dim[1] < 1 || dim[2] < 1)
    return duel_fail(DUEL_ERR_INTERNAL, "%s: a grid of nothing", path);
  duel_grid *g = duel_calloc(1, sizeof *g);
  if (!g) return duel_fail_memory(path, sizeof *g);
  memcpy(g->dim, dim, sizeof g->dim);
  const duel_status status = grid_of(g, path, n, columns);
  if (status == DUEL_OK)
    *grid = g;
  else
    duel_grid_close(g);
  return status;
}

static void draw_cell(duel_grid *g, const float *item) {
  const int64_t H = g->dim[1], W = g->dim[2];
  for (int64_t c = 0; c < g->channels; c++)
    for (int64_t y = 0; y < H; y++, item += W) {
      uint8_t *dst = g->cells + (y * g->width + g->filled * W) * g->channels + c;
      duel_to_bytes(g->line, item, W);
      for (int64_t x = 0; x < W; x++) dst[x * g->channels] = g->line[x];
    }
}

static duel_status write_cells(duel_grid *g) {
  const size_t line = (size_t)(g->width * g->channels);
  g->filled = 0;
  DUEL_TRY(write_rows(g->out, g->cells, g->dim[1], line));
  memset(g->cells, 0, line * (size_t)g->dim[1]);
  return DUEL_OK;
}

duel_status duel_grid_add(duel_grid *g, const float *items, int64_t n) {
  const int64_t item = g->dim[0] * g->dim[1] * g->dim[2];
  for (int64_t i = 0; i < n; i++) {
    draw_cell(g, items + i * item);
    if (++g->filled == g->columns) DUEL_TRY(write_cells(g));
  }
  return DUEL_OK;
}

duel_status duel_grid_end(duel_grid *g) {
  if (g->filled > 0) DUEL_TRY(write_cells(g));
  return finish(g->out);
}

void duel_grid_close(duel_grid *g) {
  if (!g) return;
  close_writer(g->out);
  duel_free(g->cells);
  duel_free(g->line);
  duel_free(g);
}

duel_status duel_grid_write(const char *path, const float *items, int64_t n, int64_t columns, const int64_t dim[3]) {
  duel_grid *g;
  DUEL_TRY(duel_grid_begin(&g, path, n, columns, dim));
  duel_status status = duel_grid_add(g, items, n);
  if (status == DUEL_OK) status = duel_grid_end(g);
  duel_grid_close(g);
  return status;
}

// ---- points

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
