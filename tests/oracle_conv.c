// Convolutions by their definition: one sum over all seven indices, of which each op leaves out those of its result.
#include "oracle.h"

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
  const int64_t *size = y.shape.dim, *kernel = w.shape.dim, *image = x.shape.dim, outputs = kernel[0] / c->groups;
  double *at_y = y.data;
  for (int64_t n = 0; n < size[0]; n++)
    for (int64_t k = 0; k < size[1]; k++)
      for (int64_t p = 0; p < size[2]; p++)
        for (int64_t q = 0; q < size[3]; q++, at_y++)
          for (int64_t i = 0; i < kernel[1]; i++)
            for (int64_t r = 0; r < kernel[2]; r++) {
              const int64_t row = p * c->stride[0] + r * c->dilation[0] - c->pad[0];
              if (row < 0 || row >= image[2]) continue;
              const int64_t channel = k / outputs * kernel[1] + i;
              double *line_x = x.data + ((n * image[1] + channel) * image[2] + row) * image[3];
              double *line_w = w.data + ((k * kernel[1] + i) * kernel[2] + r) * kernel[3];
              for (int64_t s = 0; s < kernel[3]; s++) {
                const int64_t column = q * c->stride[1] + s * c->dilation[1] - c->pad[1];
                if (column < 0 || column >= image[3]) continue;
                if (op == DUEL_OP_CONV2D)
                  *at_y += line_x[column] * line_w[s];
                else if (op == DUEL_OP_CONV2D_DX)
                  line_x[column] += *at_y * line_w[s];
                else
                  line_w[s] += line_x[column] * *at_y;
              }
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
