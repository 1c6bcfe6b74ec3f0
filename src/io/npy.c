// NPY version 1.0: magic, header length, a Python dict padded so that the data begins at a multiple of 64, the data.
#include "io/npy.h"

#include <stdio.h>
#include <string.h>

#include "core/tensor.h"
#include "io/file.h"

duel_status duel_npy_write(const char *path, const float *values, int rank, const int64_t *dim) {
  _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "'<f4' below means little-endian");
  char header[320] = "\x93NUMPY\x01"; // version 1.0, so a zero follows, then the length at 8
  duel_shape shape = duel_shape_of(rank, dim);
  int64_t count;
  if (rank > DUEL_MAX_RANK || !duel_shape_checked_count(shape, &count) || count > INT64_MAX / 4)
    return duel_fail(DUEL_ERR_INTERNAL, "%s: no array has this shape", path);
  int n = 10 + snprintf(header + 10, 100, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
  for (int i = 0; i < rank; i++)
    n += snprintf(header + n, 32, "%lld%s", (long long)dim[i], i + 1 < rank ? ", " : rank == 1 ? "," : "");
  n += snprintf(header + n, 8, "), }");
  int size = (n + 1 + 63) / 64 * 64;
  memset(header + n, ' ', (size_t)(size - n));
  header[size - 1] = '\n';
  header[8] = (char)((size - 10) & 255);
  header[9] = (char)((size - 10) >> 8);
  duel_part part[2] = {{header, (size_t)size}, {values, 4 * (size_t)count}};
  return duel_file_write_parts(path, part, 2);
}
