// IDX, inflated first where it is gzip: nothing crashes, and an accepted file holds just what its header says.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/gzip.h"
#include "io/records/idx.h"
#include "io/records/records.h"

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
  int64_t labels;
  duel_records r;
  const bool labeled = duel_idx_labels("input", data, size, &labels) == DUEL_OK;
  if (labeled && (size_t)labels + DUEL_IDX_LABELS != size) abort();
  if (duel_idx_records(&r, "input", data, size, (int64_t)size) == DUEL_OK &&
      (labeled || r.offset + r.items * r.count * (r.is_float ? 4 : 1) != (int64_t)size))
    abort();
  duel_free(data);
  return 0;
}
