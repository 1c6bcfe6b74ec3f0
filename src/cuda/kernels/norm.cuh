// What normalizations share: sums and moments of a column whose rows are split (columns.cuh), left in scratch
// [2, splits, columns] by a first kernel and joined by each block of a second.
#ifndef DUEL_CUDA_KERNELS_NORM_H
#define DUEL_CUDA_KERNELS_NORM_H

#include "cuda/kernels/columns.cuh"

struct duel_pair {
  float a, b;
};

// Elements of a split, V a row.
template <int V> static __device__ __forceinline__ float duel_rows_of_split(const duel_columns &c, int64_t split) {
  const int64_t left = c.rows - split * c.span;
  return (float)((left < c.span ? left : c.span) * V);
}

static __device__ __forceinline__ void duel_put_part(const duel_columns &c, const duel_column_part &p, duel_pair value,
                                                     float *part) {
  if (!duel_column_writer(c, p)) return;
  part[p.split * c.columns + p.column] = value.a;
  part[(c.splits + p.split) * c.columns + p.column] = value.b;
}

// Means and centered second moments, joined as Chan, Golub and LeVeque (1979) do: moments about the common mean. count:
// elements of a column.
template <int V>
static __device__ __forceinline__ duel_pair duel_join_moments(const duel_columns &c, const duel_column_part &p,
                                                              const float *part, float count) {
  const float *mean_of = part + p.column, *squares_of = mean_of + c.splits * c.columns;
  float sum = 0, squares = 0;
  for (int64_t k = (int)threadIdx.x / (int)c.wide; p.inside && k < c.splits; k += p.step)
    sum += duel_rows_of_split<V>(c, k) * mean_of[k * c.columns];
  const float mean = duel_column_join<false>(sum, c) / count;
  for (int64_t k = (int)threadIdx.x / (int)c.wide; p.inside && k < c.splits; k += p.step) {
    const float off = mean_of[k * c.columns] - mean;
    squares += squares_of[k * c.columns] + duel_rows_of_split<V>(c, k) * (off * off);
  }
  return {mean, duel_column_join<false>(squares, c)};
}

// Sums, two of them.
static __device__ __forceinline__ duel_pair duel_join_sums(const duel_columns &c, const duel_column_part &p,
                                                           const float *part) {
  const float *a_of = part + p.column, *b_of = a_of + c.splits * c.columns;
  float a = 0, b = 0;
  for (int64_t k = (int)threadIdx.x / (int)c.wide; p.inside && k < c.splits; k += p.step) {
    a += a_of[k * c.columns];
    b += b_of[k * c.columns];
  }
  a = duel_column_join<false>(a, c);
  return {a, duel_column_join<false>(b, c)};
}

#endif
