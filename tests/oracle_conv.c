// Convolutions by their definition: one sum over all seven indices, of which each op leaves out those of its result.
#include "oracle.h"

// One weight, at `down` and `right` of the kernel's corner, and row p of y [n, k]: with the row of x [n, channel] that
// it meets. The innermost loop is over the row, where a compiler makes it fast: the oracle takes most of the tests'
// time.
static void add_row(duel_op op, const duel_conv *c, const duel_ref *x, const duel_ref *y, double *weight, int64_t n,
                    int64_t channel, int64_t k, int64_t p, int64_t down, int64_t right) {
  const int64_t *size = y->shape.dim, *image = x->shape.dim, step = c->stride[1];
  const int64_t row = p * c->stride[0] + down - c->pad[0], shift = right - c->pad[1];
  if (row < 0 || row >= image[2]) return;
  int64_t begin = shift < 0 ? (-shift + step - 1) / step : 0,
          end = image[3] <= shift ? 0 : (image[3] - shift + step - 1) / step;
  if (end > size[3]) end = size[3];
  double *line_x = x->data + ((n * image[1] + channel) * image[2] + row) * image[3] + shift;
  double *line_y = y->data + ((n * size[1] + k) * size[2] + p) * size[3], sum = 0;
  const double w = *weight;
  if (op == DUEL_OP_CONV2D)
    for (int64_t q = begin; q < end; q++) line_y[q] += line_x[q * step] * w;
  else if (op == DUEL_OP_CONV2D_DX)
    for (int64_t q = begin; q < end; q++) line_x[q * step] += line_y[q] * w;
  else
    for (int64_t q = begin; q < end; q++) sum += line_x[q * step] * line_y[q];
  if (op == DUEL_OP_CONV2D_DW) *weight += sum;
}

duel_ref duel_ref_conv(duel_op op, const duel_conv *c, const duel_ref *in, duel_shape shape) {
  duel_ref x = in[0], w = in[1], y = {0}, out;
  duel_dtype dtype = in[0].dtype;
  if (op == DUEL_OP_CONV2D) {
    duel_shape s = {.rank = 4, .dim = {x.shape.dim[0], w.shape.dim[0]}};
    for (int i = 0; i < 2; i++)
      s.dim[2 + i] = (x.shape.dim[2 + i] + c->pad[i] + c->pad[2 + i] - c->dilation[i] * (w.shape.dim[2 + i] - 1) - 1) /
                         c->stride[i] +
                     1;
    out = y = duel_ref_new(dtype, s);
  } else if (op == DUEL_OP_CONV2D_DX) {
    y = in[0];
    out = x = duel_ref_new(dtype, shape);
  } else {
    y = in[1];
    out = w = duel_ref_new(dtype, shape);
  }
  const int64_t *size = y.shape.dim, *kernel = w.shape.dim, outputs = kernel[0] / c->groups;
  double *weight = w.data;
  for (int64_t k = 0; k < kernel[0]; k++)
    for (int64_t i = 0; i < kernel[1]; i++)
      for (int64_t r = 0; r < kernel[2]; r++)
        for (int64_t s = 0; s < kernel[3]; s++, weight++)
          for (int64_t n = 0; n < size[0]; n++)
            for (int64_t p = 0; p < size[2]; p++) {
              const int64_t channel = k / outputs * kernel[1] + i;
              add_row(op, c, &x, &y, weight, n, channel, k, p, r * c->dilation[0], s * c->dilation[1]);
            }
  return out;
}

duel_ref duel_ref_conv_act(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in, duel_shape shape) {
  const duel_op sum = op == DUEL_OP_CONV2D_ACT ? DUEL_OP_CONV2D : DUEL_OP_CONV2D_DX;
  duel_ref out = duel_ref_conv(sum, &attr->conv_act.conv, in, shape);
  if (op == DUEL_OP_CONV2D_DX_GRAD) {
    for (int64_t i = 0; i < out.count; i++)
      out.data[i] *= duel_ref_activate_slope(in[2].data[i], attr->conv_act.act, attr->conv_act.slope);
    return out;
  }
  const int64_t *size = out.shape.dim, pixels = size[2] * size[3];
  for (int64_t i = 0; i < out.count; i++) {
    const double bias = n_in == 3 ? in[2].data[i / pixels % size[1]] : 0;
    out.data[i] = duel_ref_activate(out.data[i] + bias, attr->conv_act.act, attr->conv_act.slope);
  }
  return out;
}
