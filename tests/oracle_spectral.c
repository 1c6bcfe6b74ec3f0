// The oracle's spectral normalization (Miyato et al. 2018, Algorithm 1, with max(‖x‖, 1e-12) in the place of ‖x‖) and
// its gradient, element by element of the weight.
#include <math.h>
#include <stdlib.h>

#include "oracle.h"

// Row and column of an element in the matrix whose rows are on this axis.
static void place(duel_shape s, int axis, int64_t i, int64_t *row, int64_t *column) {
  int64_t index[DUEL_MAX_RANK] = {0};
  for (int k = s.rank - 1; k >= 0; i /= s.dim[k--]) index[k] = i % s.dim[k];
  *row = index[axis];
  *column = 0;
  for (int k = 0; k < s.rank; k++)
    if (k != axis) *column = *column * s.dim[k] + index[k];
}

// Wᵀ·x or W·x; sums of many numbers of one sign need more digits than they have.
static void multiply(duel_ref w, int axis, bool back, const double *x, duel_ref *y) {
  int64_t row, column;
  long double *sum = calloc((size_t)y->count, sizeof *sum);
  if (!sum) abort();
  for (int64_t i = 0; i < w.count; i++) {
    place(w.shape, axis, i, &row, &column);
    sum[back ? column : row] += w.data[i] * x[back ? row : column];
  }
  for (int64_t i = 0; i < y->count; i++) y->data[i] = (double)sum[i];
  free(sum);
}

static double dot(duel_ref a, duel_ref b) {
  long double sum = 0;
  for (int64_t i = 0; i < a.count; i++) sum += a.data[i] * b.data[i];
  return (double)sum;
}

static void normalize(duel_ref *x) {
  const double norm = fmax(sqrt(dot(*x, *x)), 1e-12);
  for (int64_t i = 0; i < x->count; i++) x->data[i] /= norm;
}

static void copy(duel_ref from, duel_ref *to) {
  for (int64_t i = 0; i < from.count; i++) to->data[i] = from.data[i];
}

void duel_ref_spectral(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const int axis = attr->spectral.axis;
  const duel_ref w = in[0];
  for (int i = 0; i < 3; i++) out[i] = duel_ref_new(w.dtype, in[i].shape);
  out[3] = duel_ref_new(w.dtype, (duel_shape){0});
  copy(in[1], &out[1]);
  copy(in[2], &out[2]);
  if (attr->spectral.advance) {
    multiply(w, axis, true, in[1].data, &out[2]);
    normalize(&out[2]);
    multiply(w, axis, false, out[2].data, &out[1]);
    normalize(&out[1]);
  }
  duel_ref image = duel_ref_new(w.dtype, in[1].shape);
  multiply(w, axis, false, out[2].data, &image);
  out[3].data[0] = dot(out[1], image);
  duel_ref_free(&image);
  for (int64_t i = 0; i < w.count; i++) out[0].data[i] = w.data[i] / out[3].data[0];
}

duel_ref duel_ref_spectral_grad(const duel_attr *attr, const duel_ref *in) {
  const duel_ref d = in[0], y = in[1], u = in[2], v = in[3], sigma = in[4];
  duel_ref out = duel_ref_new(d.dtype, d.shape);
  const double along = dot(d, y);
  for (int64_t i = 0, row, column; i < d.count; i++) {
    place(d.shape, attr->spectral.axis, i, &row, &column);
    out.data[i] = (d.data[i] - along * u.data[row] * v.data[column]) / sigma.data[0];
  }
  return out;
}
