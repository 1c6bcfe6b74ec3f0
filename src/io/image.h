// Pictures out: grids as PNG.
#ifndef DUEL_IO_IMAGE_H
#define DUEL_IO_IMAGE_H

#include <stdint.h>

#include "base/status.h"

// Values in [-1,1] to 0..255, clipped and rounded; NaN becomes 0. The inverse of x/127.5 − 1.
void duel_to_bytes(uint8_t *dst, const float *src, int64_t n);

// 8-bit PNG, written atomically. pixels [height, width, channels] row-major, channels 1 (gray), 3 (RGB) or 4 (RGBA).
duel_status duel_png_write(const char *path, const uint8_t *pixels, int64_t width, int64_t height, int channels);

// n items of [C,H,W] in [-1,1] (clipped, rounded to 0..255) laid out row by row in `columns` columns. C 1, 3, 4; any
// other C: the first channel. Unfilled cells are black, with four channels transparent.
duel_status duel_grid_write(const char *path, const float *items, int64_t n, int64_t columns, const int64_t dim[3]);

// The same, item after item: of the picture a row of cells lies in memory. n: items in all; path lives until the end.
typedef struct duel_grid duel_grid;
duel_status duel_grid_begin(duel_grid **g, const char *path, int64_t n, int64_t columns, const int64_t dim[3]);
duel_status duel_grid_add(duel_grid *g, const float *items, int64_t n);
duel_status duel_grid_end(duel_grid *g); // all items are there: the file appears
void duel_grid_close(duel_grid *g);      // NULL is fine; without an end there is no file

// n points [n,2] as a scatter plot over [-1.5, 1.5]², size×size grey pixels, real ones (may be NULL) lighter behind.
duel_status duel_scatter_write(const char *path, const float *points, int64_t n, const float *real, int64_t n_real,
                               int size);

#endif
