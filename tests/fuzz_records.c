// Headers of NPY, CIFAR and IDX: nothing crashes, and every item of an accepted file can be fetched, as it is and
// framed.
#include <stdlib.h>

#include "base/mem.h"
#include "io/records/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void fetch_all(const duel_records *r, const duel_store *s) {
  const int64_t count = r->count > 12 ? r->count : 12, element = r->is_float ? 4 : 1;
  const duel_frame frame = {.height = 2, .width = 2, .crop = true, .channels = r->dim[0] == 3 ? 3 : 1};
  const bool framed = r->rank == 3 && !r->is_float && (r->dim[0] == 1 || r->dim[0] == 3);
  duel_unpacker u = {.raw = NULL};
  uint8_t label, *item = duel_malloc((size_t)(count * element));
  if (!item) abort();
  for (int64_t i = 0; i < r->items && i < 100; i++) {
    const int64_t at = i < 50 ? i : r->items - 1 - (i - 50) % r->items;
    if (duel_records_fetch(r, s, at, 1, NULL, &u, item, &label) == DUEL_ERR_DEVICE) abort();
    if (framed && duel_records_fetch(r, s, at, 1, &frame, &u, item, &label) == DUEL_ERR_DEVICE) abort();
  }
  duel_unpacker_close(&u);
  duel_free(item);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  static duel_status (*const read[3])(duel_records *, const char *, const uint8_t *, size_t,
                                      int64_t) = {duel_npy_records, duel_cifar_records, duel_idx_records};
  static char name[] = "input";
  const duel_store s = {.path = name, .fd = -1, .block = (uint8_t *)(uintptr_t)bytes, .size = (int64_t)n};
  const size_t head = n < DUEL_HEAD_BYTES ? n : DUEL_HEAD_BYTES;
  duel_records r;
  for (int i = 0; i < 3; i++)
    if (read[i](&r, name, bytes, head, (int64_t)n) == DUEL_OK && n > 0) fetch_all(&r, &s);
  return 0;
}
