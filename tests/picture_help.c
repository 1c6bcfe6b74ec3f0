#include "picture_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

typedef struct sink {
  uint8_t *dst;
  size_t n;
} sink;

static void append(png_structp png, png_bytep bytes, size_t n) {
  sink *s = png_get_io_ptr(png);
  if (s->n + n > PICTURE_ROOM) abort();
  memcpy(s->dst + s->n, bytes, n);
  s->n += n;
}
static void flush(png_structp png) {
  (void)png;
}

size_t make_png(uint8_t dst[PICTURE_ROOM], const png_kind *kind, const uint8_t *rows) {
  static const int samples[7] = {1, 0, 3, 1, 2, 0, 4};
  const size_t stride = ((size_t)kind->width * (size_t)(kind->depth * samples[kind->color]) + 7) / 8;
  sink s = {dst, 0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct(png);
  if (setjmp(png_jmpbuf(png))) abort();
  png_set_write_fn(png, &s, append, flush);
  png_set_IHDR(png, info, (uint32_t)kind->width, (uint32_t)kind->height, kind->depth, kind->color, kind->interlaced, 0,
               0);
  if (kind->color == 3) {
    png_color palette[256];
    for (int i = 0; i < 256; i++) palette[i] = (png_color){(uint8_t)i, (uint8_t)(255 - i), (uint8_t)(i / 2)};
    png_set_PLTE(png, info, palette, 1 << kind->depth);
  }
  if (kind->grey_transparent) {
    png_color_16 grey = {.gray = (uint16_t)(kind->grey_transparent - 1)};
    png_set_tRNS(png, info, NULL, 0, &grey);
  }
  png_write_info(png, info);
  png_bytep *row = malloc((size_t)kind->height * sizeof *row);
  for (int y = 0; y < kind->height; y++) row[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * stride);
  png_write_image(png, row);
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  free(row);
  return s.n;
}

size_t make_jpeg(uint8_t dst[PICTURE_ROOM], int width, int height, int channels, int quality, int progressive,
                 const uint8_t *pixels) {
  struct jpeg_compress_struct j;
  struct jpeg_error_mgr errors;
  unsigned char *bytes = NULL;
  unsigned long n = 0;
  j.err = jpeg_std_error(&errors);
  jpeg_create_compress(&j);
  jpeg_mem_dest(&j, &bytes, &n);
  j.image_width = (JDIMENSION)width;
  j.image_height = (JDIMENSION)height;
  j.input_components = channels;
  j.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&j);
  jpeg_set_quality(&j, quality, TRUE);
  if (progressive) jpeg_simple_progression(&j);
  jpeg_start_compress(&j, TRUE);
  while (j.next_scanline < j.image_height) {
    JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)j.next_scanline * (size_t)(width * channels));
    jpeg_write_scanlines(&j, &row, 1);
  }
  jpeg_finish_compress(&j);
  jpeg_destroy_compress(&j);
  if (n > PICTURE_ROOM) abort();
  memcpy(dst, bytes, n);
  free(bytes);
  return n;
}

void draw_pixels(uint8_t *pixels, int height, int width, int channels, int i) {
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < channels; c++)
        *pixels++ = (uint8_t)((x * (3 + i % 5) + y * (2 + i % 3) + 40 * c + 17 * i) * 2 % 256);
}

void put_word(uint8_t *p, uint32_t word) {
  for (int k = 0; k < 4; k++) p[k] = (uint8_t)(word >> (24 - 8 * k));
}

void mend_chunk(uint8_t *chunk) {
  const uint32_t n = (uint32_t)chunk[0] << 24 | (uint32_t)chunk[1] << 16 | (uint32_t)chunk[2] << 8 | chunk[3];
  put_word(chunk + 8 + n, (uint32_t)crc32(0, chunk + 4, n + 4));
}
