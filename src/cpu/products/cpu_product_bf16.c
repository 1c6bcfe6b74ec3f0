// A product of two matrices on one thread, with the factors rounded to bf16 (cpu_unit.h): compiled at those levels in
// the place of cpu_product.c. Both sides are packed as units: one along the lanes of the result, panel by panel, the
// other row by row. As much of the depth is packed at a time as stays in the second-level cache.
#include "cpu/products/cpu_product.h"

enum {
  DEPTH = 256,   // packed at a time, and summed
  STRETCH = 128, // rows
  WIDTH = 256,   // lanes
  UNITS = DEPTH / DUEL_UNIT,
  HEIGHT = STRETCH + DUEL_GEMM_ROWS, // blocks read whole columns of rows
};

// units [n, ld]: n units along the depth of `count` elements from i on, where i runs along a row of memory.
static void pack_along(const duel_side *side, int64_t i, int64_t count, int64_t t, int64_t depth, duel_gemm_unit *units,
                       int64_t ld) {
  for (int64_t d = 0; d < depth; d += DUEL_UNIT, units += ld) {
    const real *first = duel_side_at(side, i, t + d);
    duel_pack_units(count, first, d + 1 < depth ? first + side->ld : NULL, units);
  }
}

// rows: [rows, UNITS] where the depth runs along memory, else [UNITS, HEIGHT].
static void pack_rows(const duel_side *side, int64_t i, int64_t rows, int64_t t, int64_t depth,
                      duel_gemm_unit *packed) {
  if (!side->deep)
    pack_along(side, i, rows, t, depth, packed, HEIGHT);
  else
    for (int64_t r = 0; r < rows; r++)
      duel_pack_elements(depth, duel_side_at(side, i + r, t), (duel_packed *)(packed + r * UNITS));
}

// panel [units, DUEL_GEMM_LANES], zeros beyond `lanes`.
static void pack_panel(const duel_side *side, int64_t i, int64_t lanes, int64_t t, int64_t depth,
                       duel_gemm_unit *panel) {
  const int64_t n = duel_units_of(depth);
  if (lanes < DUEL_GEMM_LANES) memset(panel, 0, (size_t)(n * DUEL_GEMM_LANES) * sizeof *panel);
  if (!side->deep) {
    pack_along(side, i, lanes, t, depth, panel, DUEL_GEMM_LANES);
    return;
  }
  duel_gemm_unit rows[DUEL_GEMM_LANES * UNITS];
  pack_rows(side, i, lanes, t, depth, rows);
  duel_transpose_to(lanes, n, (const real *)rows, UNITS, (real *)panel, DUEL_GEMM_LANES);
}

// c [height, DUEL_GEMM_LANES], ldc apart, = or += the packed rows times the panel.
static void multiply(bool deep, int64_t height, int64_t units, const duel_gemm_unit *rows, const duel_gemm_unit *panel,
                     bool add, real *c, int64_t ldc) {
  for (int64_t r = 0; r < height; r += DUEL_GEMM_ROWS, c += DUEL_GEMM_ROWS * ldc) {
    const int n = (int)duel_min(DUEL_GEMM_ROWS, height - r);
    if (!deep) {
      duel_gemm_columns(n, &(duel_gemm_left){1, units, HEIGHT, &rows}, r, panel, DUEL_GEMM_LANES, add, c, ldc);
      continue;
    }
    const duel_packed *row[DUEL_GEMM_ROWS];
    real *dst[DUEL_GEMM_ROWS];
    for (int j = 0; j < n; j++) row[j] = (const duel_packed *)(rows + (r + j) * UNITS), dst[j] = c + j * ldc;
    duel_gemm_rows(n, units, row, panel, add, dst);
  }
}

void duel_product(int64_t m, int64_t n, int64_t k, duel_factor a, duel_factor b, real *c, int64_t ldc) {
  const duel_sides s = duel_sides_of(m, n, a, b);
  const bool turned = s.turned;
  const int64_t rows = s.rows, columns = s.columns;
  duel_gemm_unit left[HEIGHT * UNITS], right[WIDTH * UNITS];
  real results[STRETCH * WIDTH];
  for (int64_t i = 0; i < columns; i += WIDTH) {
    const int64_t width = duel_min(WIDTH, columns - i);
    const bool direct = !turned && width % DUEL_GEMM_LANES == 0;
    for (int64_t r = 0; r < rows; r += STRETCH) {
      const int64_t height = duel_min(STRETCH, rows - r);
      real *dst = direct ? c + r * ldc + i : results;
      const int64_t ld = direct ? ldc : WIDTH;
      for (int64_t t = 0; t < k; t += DEPTH) {
        const int64_t depth = duel_min(DEPTH, k - t);
        pack_rows(&s.by_rows, r, height, t, depth, left);
        for (int64_t j = 0; j < width; j += DUEL_GEMM_LANES) {
          duel_gemm_unit *panel = right + j * UNITS;
          if (r == 0 || k > DEPTH)
            pack_panel(&s.by_lanes, i + j, duel_min(DUEL_GEMM_LANES, width - j), t, depth, panel);
          multiply(s.by_rows.deep, height, duel_units_of(depth), left, panel, t > 0, dst + j, ld);
        }
      }
      if (turned)
        duel_transpose_to(height, width, results, WIDTH, c + i * ldc + r, ldc);
      else if (!direct)
        for (int64_t j = 0; j < height; j++)
          memcpy(c + (r + j) * ldc + i, results + j * WIDTH, (size_t)width * sizeof *c);
    }
  }
}
