// safetensors: nothing crashes, and every byte of every tensor of an accepted file can be read.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  duel_tensor_file f;
  uint8_t *copy = duel_malloc(n);
  if (!copy) abort();
  memcpy(copy, bytes, n);
  if (duel_tensors_parse(&f, "input", copy, n) != DUEL_OK) return 0;
  size_t data = 0;
  for (int i = 0; i < f.n; i++) {
    const duel_entry *e = f.entry + i;
    if (duel_crc32c(0, e->data, e->bytes) != duel_crc32c_portable(0, e->data, e->bytes)) abort();
    if (duel_tensors_find(&f, e->name) != e) abort();
    data += e->bytes;
  }
  for (int i = 0; i < f.n_meta; i++)
    if (duel_tensors_meta(&f, f.meta[i].key) != f.meta[i].value) abort();
  if (data > n) abort();
  duel_tensors_close(&f);
  return 0;
}
