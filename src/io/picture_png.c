// PNG through libpng. It reports errors by longjmp; invariant: decode() is the only frame that it jumps to, and all
// that lives on lies in the source or the picture.
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/picture.h"

typedef struct source {
  jmp_buf out;
  char error[160];
  bool no_memory;
  const uint8_t *bytes;
  size_t n, at;
} source;

static void on_error(png_structp png, png_const_charp message) {
  source *s = png_get_error_ptr(png);
  snprintf(s->error, sizeof s->error, "%s", message);
  longjmp(s->out, 1);
}
static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message; // of chunks that are not used here
}
static png_voidp take(png_structp png, png_alloc_size_t n) {
  source *s = png_get_mem_ptr(png);
  void *p = duel_malloc(n);
  if (!p) s->no_memory = true;
  return p;
}
static void give(png_structp png, png_voidp p) {
  (void)png;
  duel_free(p);
}

static void read_bytes(png_structp png, png_bytep dst, size_t n) {
  source *s = png_get_io_ptr(png);
  if (n > s->n - s->at) png_error(png, "it is cut short");
  memcpy(dst, s->bytes + s->at, n);
  s->at += n;
}

// [n, channels] with the last one alpha becomes [n, channels − 1] over white.
static void flatten(uint8_t *pixels, int64_t n, int channels) {
  uint8_t *dst = pixels;
  for (const uint8_t *p = pixels; n > 0; n--, p += channels) {
    const int alpha = p[channels - 1];
    for (int c = 0; c < channels - 1; c++) *dst++ = (uint8_t)((p[c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
}

static int decode(source *s, png_structp png, png_infop info, duel_picture *p) {
  if (setjmp(s->out)) return 0;
  png_set_user_limits(png, DUEL_PICTURE_SIDE, DUEL_PICTURE_SIDE);
  png_set_read_fn(png, s, read_bytes);
  png_read_info(png, info);
  const int color = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (png_get_valid(png, info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
  if (depth == 16) png_set_scale_16(png);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const int channels = png_get_channels(png, info);
  const size_t row = png_get_rowbytes(png, info);
  if (channels != p->channels && channels != p->channels + 1) png_error(png, "its channels make no sense");
  p->pixels = duel_malloc(row * (size_t)p->height);
  if (!p->pixels) {
    s->no_memory = true;
    png_error(png, "out of memory");
  }
  for (int pass = 0; pass < passes; pass++)
    for (int64_t y = 0; y < p->height; y++) png_read_row(png, p->pixels + (size_t)y * row, NULL);
  png_read_end(png, NULL);
  if (channels > p->channels) flatten(p->pixels, p->height * p->width, channels);
  return 1;
}

duel_status duel_png_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n) {
  source s = {.bytes = bytes, .n = n};
  // Making the two structs cannot jump: libpng returns NULL where it lacks memory.
  png_structp png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &s, on_error, on_warning, &s, take, give);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  duel_status status = DUEL_OK;
  if (!info || (!decode(&s, png, info, p) && s.no_memory))
    status = duel_fail_memory(path, n);
  else if (*s.error)
    status = duel_fail(DUEL_ERR_DATA, "%s is damaged: %s", path, s.error);
  if (png) png_destroy_read_struct(&png, &info, NULL);
  return status;
}
