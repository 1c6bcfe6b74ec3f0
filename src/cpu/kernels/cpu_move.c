// Movement: pack, transpose, slice, pad, reflect2d, concat, broadcast. Bytes are moved, never computed on, so any
// element type goes, but that reflect2d's adjoint adds up. All but pack and reflect2d copy a box between two strided
// operands, run by run.
#include "core/nd.h"
#include "cpu/kernels/cpu_kernel.h"

enum { GRAIN = 16384 }; // elements a piece

// ---- boxes
#define COPY_RUN(type)                                                                                                 \
  do {                                                                                                                 \
    type *d = (type *)dst;                                                                                             \
    const type *s = (const type *)src;                                                                                 \
    for (int64_t i = 0; i < n; i++) d[i * dst_stride] = s[i * src_stride];                                             \
  } while (0)

static void copy_run(char *dst, int64_t dst_stride, const char *src, int64_t src_stride, int64_t n, size_t size) {
  if (dst_stride == 1 && src_stride == 1) {
    memcpy(dst, src, (size_t)n * size);
  } else if (size == 8) {
    COPY_RUN(uint64_t);
  } else if (size == 4) {
    COPY_RUN(uint32_t);
  } else if (size == 2) {
    COPY_RUN(uint16_t);
  } else {
    COPY_RUN(uint8_t);
  }
}

// Copies the elements [begin, end) of a box. Operand 0 of the nest is dst, 1 is src.
static void copy_box(duel_nd *box, void *dst, const void *src, size_t size, duel_span r) {
  duel_nd_merge(box);
  const int inner = box->rank - 1;
  duel_nd_at at;
  duel_nd_seek(box, r.begin, &at);
  for (int64_t i = r.begin; i < r.end;) {
    const int64_t n = duel_min(duel_nd_left(box, &at), r.end - i);
    copy_run((char *)dst + at.offset[0] * (int64_t)size, box->stride[0][inner],
             (const char *)src + at.offset[1] * (int64_t)size, box->stride[1][inner], n, size);
    duel_nd_advance(box, &at, n);
    i += n;
  }
}

static void transpose_run(const duel_call *call, const duel_piece *piece) {
  const duel_operand *src = &call->in[0], *dst = &call->out[0];
  duel_nd box = duel_nd_box(&dst->shape);
  int64_t stride[DUEL_MAX_RANK];
  duel_nd_dense(&src->shape, stride);
  duel_nd_dense(&dst->shape, box.stride[0]);
  for (int axis = 0; axis < box.rank; axis++) box.stride[1][axis] = stride[call->attr->transpose.perm[axis]];
  copy_box(&box, dst->data, src->data, duel_dtype_size(src->dtype), piece->units);
}
const duel_cpu_kernel DUEL_CPU_NAME(transpose) = {.grain = GRAIN, .run = transpose_run};

static void broadcast_run(const duel_call *call, const duel_piece *piece) {
  const duel_operand *src = &call->in[0], *dst = &call->out[0];
  duel_nd box = duel_nd_box(&dst->shape);
  duel_nd_operand(&box, 0, &dst->shape);
  duel_nd_operand(&box, 1, &src->shape);
  copy_box(&box, dst->data, src->data, duel_dtype_size(src->dtype), piece->units);
}
const duel_cpu_kernel DUEL_CPU_NAME(broadcast) = {.grain = GRAIN, .run = broadcast_run};

static void slice_run(const duel_call *call, const duel_piece *piece) {
  const duel_operand *src = &call->in[0], *dst = &call->out[0];
  const size_t size = duel_dtype_size(src->dtype);
  duel_nd box = duel_nd_box(&dst->shape);
  duel_nd_dense(&dst->shape, box.stride[0]);
  duel_nd_dense(&src->shape, box.stride[1]);
  int64_t first = 0;
  for (int axis = 0; axis < box.rank; axis++) first += call->attr->slice.start[axis] * box.stride[1][axis];
  copy_box(&box, dst->data, (const char *)src->data + first * (int64_t)size, size, piece->units);
}
const duel_cpu_kernel DUEL_CPU_NAME(slice) = {.grain = GRAIN, .run = slice_run};

// Phase 0 zeroes the output, phase 1 copies the box.
static void pad_cut(const duel_call *call, duel_cut *cut) {
  cut[0] = duel_cut_elements(duel_count(&call->out[0]), GRAIN);
  cut[1] = duel_cut_elements(duel_count(&call->in[0]), GRAIN);
}

static void pad_run(const duel_call *call, const duel_piece *piece) {
  const duel_operand *src = &call->in[0], *dst = &call->out[0];
  const size_t size = duel_dtype_size(src->dtype);
  if (piece->phase == 0) {
    const duel_span r = piece->units;
    memset((char *)dst->data + r.begin * (int64_t)size, 0, (size_t)(r.end - r.begin) * size);
    return;
  }
  duel_nd box = duel_nd_box(&src->shape);
  duel_nd_dense(&dst->shape, box.stride[0]);
  duel_nd_dense(&src->shape, box.stride[1]);
  int64_t first = 0;
  for (int axis = 0; axis < box.rank; axis++) first += call->attr->pad.before[axis] * box.stride[0][axis];
  copy_box(&box, (char *)dst->data + first * (int64_t)size, src->data, size, piece->units);
}
const duel_cpu_kernel DUEL_CPU_NAME(pad) = {.cut = pad_cut, .run = pad_run};

// ---- reflect2d and its adjoint. Pieces are runs of the result's rows
static void reflect_cut(const duel_call *call, duel_cut *cut) {
  const duel_shape *s = &call->out[0].shape;
  *cut = duel_cut_rows(s->dim[0] * s->dim[1] * s->dim[2], duel_count(&call->out[0]), GRAIN);
}

static void reflect_run(const duel_call *call, const duel_piece *piece) {
  const duel_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
  const int64_t *pad = call->attr->reflect.pad, height = x->dim[2], width = x->dim[3];
  for (int64_t row = piece->units.begin; row < piece->units.end; row++) {
    const int64_t plane = row / y->dim[2], from = duel_mirrored(row % y->dim[2] - pad[0], height);
    const real *src = (const real *)call->in[0].data + (plane * height + from) * width;
    real *dst = (real *)call->out[0].data + row * y->dim[3];
    for (int64_t i = 0; i < pad[1]; i++) dst[i] = src[pad[1] - i];
    memcpy(dst + pad[1], src, (size_t)width * sizeof *dst);
    for (int64_t i = 0; i < pad[3]; i++) dst[pad[1] + width + i] = src[width - 2 - i];
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(reflect2d) = {.cut = reflect_cut, .run = reflect_run};

static void reflect_dx_run(const duel_call *call, const duel_piece *piece) {
  const duel_shape *x = &call->out[0].shape, *y = &call->in[0].shape;
  const int64_t *pad = call->attr->reflect.pad, height = x->dim[2], width = x->dim[3];
  for (int64_t row = piece->units.begin; row < piece->units.end; row++) {
    real *dst = (real *)call->out[0].data + row * width;
    memset(dst, 0, (size_t)width * sizeof *dst);
    for (int k = 0; k < 3; k++) { // the rows of y that show this one
      const int64_t from = duel_mirrored_to(k, row % height, height, pad[0], pad[2]);
      if (from < 0) continue;
      const real *src = (const real *)call->in[0].data + (row / height * y->dim[2] + from) * y->dim[3];
      DUEL_SIMD for (int64_t i = 0; i < width; i++) dst[i] += src[pad[1] + i];
      for (int64_t i = 0; i < pad[1]; i++) dst[pad[1] - i] += src[i];
      for (int64_t i = 0; i < pad[3]; i++) dst[width - 2 - i] += src[pad[1] + width + i];
    }
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(reflect2d_dx) = {.cut = reflect_cut, .run = reflect_dx_run};

// The pieces of the inputs, one input after the other.
static void concat_cut(const duel_call *call, duel_cut *cut) {
  int64_t pieces = 0;
  for (int i = 0; i < call->n_in; i++) pieces += duel_pieces(duel_count(&call->in[i]), GRAIN);
  *cut = duel_cut_each(pieces);
}

static void concat_run(const duel_call *call, const duel_piece *piece) {
  const duel_operand *dst = &call->out[0];
  const size_t size = duel_dtype_size(dst->dtype);
  const int axis = call->attr->concat.axis;
  const duel_operand *src = call->in;
  int64_t index = piece->index, before = 0; // before: along the axis
  for (; index >= duel_pieces(duel_count(src), GRAIN); src++) {
    index -= duel_pieces(duel_count(src), GRAIN);
    before += src->shape.dim[axis];
  }
  duel_nd box = duel_nd_box(&src->shape);
  duel_nd_dense(&dst->shape, box.stride[0]);
  duel_nd_dense(&src->shape, box.stride[1]);
  const int64_t first = before * box.stride[0][axis];
  copy_box(&box, (char *)dst->data + first * (int64_t)size, src->data, size,
           duel_share(duel_count(src), DUEL_SUM_LANES, duel_pieces(duel_count(src), GRAIN), index));
}
const duel_cpu_kernel DUEL_CPU_NAME(concat) = {.cut = concat_cut, .run = concat_run};

// ---- pack
// The planner lets most inputs be computed at their place in the slab: those are left alone. A copy's bits do not
// depend on its cut, so this cut may look at addresses.
static bool lies_in_place(const duel_call *call, int i) {
  const int64_t offset = call->attr->pack.offset[i];
  return call->in[i].data == (char *)call->out[0].data + offset * (int64_t)duel_dtype_size(call->out[0].dtype);
}

static void pack_cut(const duel_call *call, duel_cut *cut) {
  *cut = (duel_cut){call->attr->pack.count, DUEL_SUM_LANES, 1};
  for (int i = 0; i < call->n_in; i++)
    if (!lies_in_place(call, i)) cut->pieces = duel_pieces(call->attr->pack.count, GRAIN);
}

// Walks the slab: at each place lies one input, or a gap up to the next one.
static void pack_run(const duel_call *call, const duel_piece *piece) {
  const int64_t size = (int64_t)duel_dtype_size(call->out[0].dtype);
  const duel_span r = piece->units;
  char *dst = call->out[0].data;
  for (int64_t done = r.begin; done < r.end;) {
    int here = -1;
    int64_t end = r.end;
    for (int i = 0; i < call->n_in && here < 0; i++) {
      const int64_t start = call->attr->pack.offset[i], stop = start + duel_count(&call->in[i]);
      if (start <= done && done < stop) {
        here = i;
        end = duel_min(stop, r.end);
      } else if (start > done && stop > start) {
        end = duel_min(end, start);
      }
    }
    if (here < 0 && !call->attr->pack.loose) {
      memset(dst + done * size, 0, (size_t)((end - done) * size));
    } else if (here >= 0 && !lies_in_place(call, here)) {
      const int64_t from = done - call->attr->pack.offset[here];
      memcpy(dst + done * size, (const char *)call->in[here].data + from * size, (size_t)((end - done) * size));
    }
    done = end;
  }
}
const duel_cpu_kernel DUEL_CPU_NAME(pack) = {.cut = pack_cut, .run = pack_run};
