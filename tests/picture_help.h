// Pictures for tests, encoded in memory by libpng and libjpeg themselves.
#ifndef PICTURE_HELP_H
#define PICTURE_HELP_H

#include <stddef.h>
#include <stdint.h>

enum { PICTURE_ROOM = 1 << 17 };

typedef struct png_kind {
  int width, height;
  int depth, color; // as in IHDR: color 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
  int interlaced;
  int grey_transparent; // 1 + the grey value that is transparent, 0: none
} png_kind;

// Raw rows as the PNG holds them (big-endian 16 bits, packed below 8); the palette is i -> (i, 255 − i, i/2).
size_t make_png(uint8_t dst[PICTURE_ROOM], const png_kind *kind, const uint8_t *rows);
// channels 1, 3 (RGB) or 4 (CMYK); pixels [height, width, channels].
size_t make_jpeg(uint8_t dst[PICTURE_ROOM], int width, int height, int channels, int quality, int progressive,
                 const uint8_t *pixels);
// A picture of the number i: smooth, and different for each.
void draw_pixels(uint8_t *pixels, int height, int width, int channels, int i);
// Big-endian at p, and the CRC of the PNG chunk that begins at `chunk` mended.
void put_word(uint8_t *p, uint32_t word);
void mend_chunk(uint8_t *chunk);

#endif
