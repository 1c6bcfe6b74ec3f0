// Element types and shapes. A shape is row-major and dense; a scalar has rank 0.
#ifndef DUEL_BASE_TENSOR_H
#define DUEL_BASE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DUEL_MAX_RANK = 6 };

typedef enum duel_dtype { DUEL_F32, DUEL_F64, DUEL_BF16, DUEL_I32, DUEL_U8, DUEL_DTYPE_COUNT } duel_dtype;

typedef struct duel_shape {
  int rank;
  int64_t dim[DUEL_MAX_RANK]; // unused ones are 0, so that shapes compare bytewise
} duel_shape;

size_t duel_dtype_size(duel_dtype t);
const char *duel_dtype_name(duel_dtype t); // "f32", ...

duel_shape duel_shape_of(int rank, const int64_t *dim);
#define DUEL_SHAPE(...)                                                                                                \
  duel_shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})
#define DUEL_SCALAR ((duel_shape){0})

int64_t duel_shape_count(duel_shape s); // elements; a scalar has 1
bool duel_shape_equal(duel_shape a, duel_shape b);
bool duel_shape_broadcast(duel_shape a, duel_shape b, duel_shape *out); // numpy's rule; false if they do not fit
bool duel_shape_checked_count(duel_shape s, int64_t *count);            // false on a negative dim or overflow of int64

// "64×1×28×28"; a scalar is "scalar". The text lives in a small rotating thread-local buffer (8 may be alive at once).
const char *duel_shape_text(duel_shape s);

#endif
