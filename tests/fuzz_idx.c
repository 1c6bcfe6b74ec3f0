// IDX, inflated first where it is gzip: nothing crashes, and every value of an accepted file can be read.
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "io/data/idx.h"
#include "io/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  uint8_t *data;
  size_t size = n;
  if (duel_is_gzip(bytes, n)) {
    if (duel_gunzip("input", bytes, n, 1 << 20, &data, &size) != DUEL_OK) return 0;
  } else {
    data = duel_malloc(n);
    if (!data) abort();
    memcpy(data, bytes, n);
  }
  duel_idx idx;
  if (duel_idx_parse(&idx, "input", data, size) == DUEL_OK) {
    int64_t count = 1;
    for (int i = 0; i < idx.rank; i++) count *= idx.dim[i];
    size_t used = (size_t)count * duel_dtype_size(idx.dtype);
    if (count != idx.count || used + 4 + 4 * (size_t)idx.rank != size) abort();
    if (duel_crc32c(0, idx.values, used) != duel_crc32c_portable(0, idx.values, used)) abort();
  }
  duel_free(data);
  return 0;
}
