// Transposing, for kernels that want channels innermost: blocks of vectors in registers, the rest element by element.
#include "cpu/products/cpu_gemm.h"

// A vector is made of lanes of 16 bytes, and shuffling within them is cheap. So blocks of SQUARE × SQUARE elements are
// transposed in all lanes at once, and then the lanes among each other.
#ifdef DUEL_REAL_IS_double
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 2)
#define HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#elif DUEL_VECTOR_BYTES == 64
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define EVEN_LANES(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_LANES(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#elif DUEL_VECTOR_BYTES == 32
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define EVEN_LANES(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define ODD_LANES(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#else
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#endif

enum { SQUARE = 16 / (int)sizeof(real) }; // elements of a lane

// SQUARE vectors: what is row i and column j of lane l becomes row j and column i of it.
DUEL_INLINE void transpose_within_lanes(duel_vector *v) {
  const duel_vector a = LOW(v[0], v[1]), b = HIGH(v[0], v[1]);
#ifdef DUEL_REAL_IS_double
  v[0] = a, v[1] = b;
#else
  const duel_vector c = LOW(v[2], v[3]), d = HIGH(v[2], v[3]);
  v[0] = LOW_PAIRS(a, c), v[1] = HIGH_PAIRS(a, c);
  v[2] = LOW_PAIRS(b, d), v[3] = HIGH_PAIRS(b, d);
#endif
}

#ifdef EVEN_LANES
// As many vectors as each has lanes, SQUARE apart: lane l of vector i becomes lane i of vector l.
DUEL_INLINE void transpose_lanes(duel_vector *v) {
#if DUEL_VECTOR_BYTES == 64
  const duel_vector a = EVEN_LANES(v[0], v[SQUARE]), b = ODD_LANES(v[0], v[SQUARE]);
  const duel_vector c = EVEN_LANES(v[2 * SQUARE], v[3 * SQUARE]), d = ODD_LANES(v[2 * SQUARE], v[3 * SQUARE]);
  v[0] = EVEN_LANES(a, c), v[2 * SQUARE] = ODD_LANES(a, c);
  v[SQUARE] = EVEN_LANES(b, d), v[3 * SQUARE] = ODD_LANES(b, d);
#else
  const duel_vector a = EVEN_LANES(v[0], v[SQUARE]), b = ODD_LANES(v[0], v[SQUARE]);
  v[0] = a, v[SQUARE] = b;
#endif
}
#else
DUEL_INLINE void transpose_lanes(duel_vector *v) { // there is but one
  (void)v;
}
#endif

// What a later call reads or writes may be asked for from memory meanwhile.
enum { NOTHING, READS, WRITES };

DUEL_INLINE void transpose_block(const real *src, int64_t ld, real *const *dst, int asks, int64_t later) {
  duel_vector v[DUEL_VECTOR_WIDTH];
  for (int i = 0; i < DUEL_VECTOR_WIDTH; i++) {
    if (asks == READS) __builtin_prefetch(src + i * ld + later, 0, 2);
    v[i] = duel_vector_load(src + i * ld);
  }
  for (int i = 0; i < DUEL_VECTOR_WIDTH; i += SQUARE) transpose_within_lanes(v + i);
  for (int i = 0; i < SQUARE; i++) transpose_lanes(v + i);
  for (int i = 0; i < DUEL_VECTOR_WIDTH; i++) {
    duel_vector_store(dst[i], v[i]);
    if (asks == WRITES) __builtin_prefetch(dst[i] + later, 1, 2);
  }
}

DUEL_INLINE void transpose_as(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, duel_lines lines,
                              int asks, int64_t later) {
  const int64_t whole = rows / DUEL_VECTOR_WIDTH * DUEL_VECTOR_WIDTH;
  int64_t i = 0, j = 0; // of column i·lines.n + j
  for (int64_t column = 0; column < columns;) {
    real *to[DUEL_VECTOR_WIDTH];
    const int64_t n = duel_min(DUEL_VECTOR_WIDTH, columns - column);
    for (int64_t k = 0; k < n; k++) {
      to[k] = dst + i * lines.line + j * lines.row;
      if (++j == lines.n) i++, j = 0;
    }
    if (n == DUEL_VECTOR_WIDTH)
      for (int64_t r = 0; r < whole; r += DUEL_VECTOR_WIDTH) {
        transpose_block(src + r * ld + column, ld, to, asks, later);
        for (int k = 0; k < DUEL_VECTOR_WIDTH; k++) to[k] += DUEL_VECTOR_WIDTH;
      }
    for (int64_t k = 0; k < n; k++) {
      const int64_t done = n == DUEL_VECTOR_WIDTH ? whole : 0;
      for (int64_t r = done; r < rows; r++) memcpy(to[k] + r - done, src + r * ld + column + k, sizeof *dst);
    }
    column += n;
  }
}

void duel_transpose_to(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, int64_t to) {
  transpose_as(rows, columns, src, ld, dst, (duel_lines){columns, 0, to}, NOTHING, 0);
}

void duel_transpose_reading(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, duel_lines to,
                            int64_t later) {
  transpose_as(rows, columns, src, ld, dst, to, READS, later);
}

void duel_transpose_writing(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, int64_t to,
                            int64_t later) {
  transpose_as(rows, columns, src, ld, dst, (duel_lines){columns, 0, to}, WRITES, later);
}
