// Transposing, for kernels that want channels innermost: blocks of vectors in registers, the rest number by number.
#include "cpu/cpu_gemm.h"

// a and b interleaved: the first halves, and the second halves.
#if DUEL_VECTOR_BYTES == 64
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif DUEL_VECTOR_BYTES == 32
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif defined DUEL_REAL_IS_double
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 2)
#define HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#else
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

// Interleaving rows i and i + DUEL_VECTOR_WIDTH/2 into rows 2i and 2i + 1, log2(DUEL_VECTOR_WIDTH) times, is
// transposing.
DUEL_INLINE void interleave(const duel_vector *from, duel_vector *to) {
  for (int i = 0; i < DUEL_VECTOR_WIDTH / 2; i++) {
    to[2 * i] = LOW(from[i], from[i + DUEL_VECTOR_WIDTH / 2]);
    to[2 * i + 1] = HIGH(from[i], from[i + DUEL_VECTOR_WIDTH / 2]);
  }
}

DUEL_INLINE void transpose_block(const real *src, int64_t ld, real *const *dst) {
  duel_vector a[DUEL_VECTOR_WIDTH], b[DUEL_VECTOR_WIDTH];
  for (int i = 0; i < DUEL_VECTOR_WIDTH; i++) a[i] = duel_vector_load(src + i * ld);
  for (int n = DUEL_VECTOR_WIDTH; n > 2; n /= 4) {
    interleave(a, b);
    interleave(b, a);
  }
  const bool odd = DUEL_VECTOR_WIDTH == 2 || DUEL_VECTOR_WIDTH == 8; // log2(DUEL_VECTOR_WIDTH) is
  if (odd) interleave(a, b);
  for (int i = 0; i < DUEL_VECTOR_WIDTH; i++) duel_vector_store(dst[i], odd ? b[i] : a[i]);
}

void duel_transpose_to(int64_t rows, int64_t columns, const real *src, int64_t ld, real *dst, int64_t line, int64_t row,
                       int64_t pixel) {
  const int64_t whole = rows / DUEL_VECTOR_WIDTH * DUEL_VECTOR_WIDTH;
  int64_t i = 0, j = 0; // column i·line + j goes to dst + i·row + j·pixel
  for (int64_t column = 0; column < columns;) {
    real *to[DUEL_VECTOR_WIDTH];
    const int64_t n = duel_min(DUEL_VECTOR_WIDTH, columns - column);
    for (int64_t k = 0; k < n; k++) {
      to[k] = dst + i * row + j * pixel;
      if (++j == line) i++, j = 0;
    }
    if (n == DUEL_VECTOR_WIDTH)
      for (int64_t r = 0; r < whole; r += DUEL_VECTOR_WIDTH) {
        transpose_block(src + r * ld + column, ld, to);
        for (int k = 0; k < DUEL_VECTOR_WIDTH; k++) to[k] += DUEL_VECTOR_WIDTH;
      }
    for (int64_t k = 0; k < n; k++) {
      const int64_t done = n == DUEL_VECTOR_WIDTH ? whole : 0;
      for (int64_t r = done; r < rows; r++) memcpy(to[k] + r - done, src + r * ld + column + k, sizeof *dst);
    }
    column += n;
  }
}
