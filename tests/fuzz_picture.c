// Pictures of all formats: nothing crashes, and an accepted picture has the size that its header said, with alpha or
// without.
#include <stdlib.h>

#include "base/mem.h"
#include "io/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  duel_picture p, q;
  bool more;
  if (duel_picture_probe(&p, "input", bytes, n, n, &more) != DUEL_OK) return 0;
  if (more || p.width * p.height > 1 << 16) return 0; // large ones take long
  unsigned sum = 0;
  for (int rgba = 0; rgba < 2; rgba++) {
    if (duel_picture_decode(&q, "input", bytes, n, rgba) != DUEL_OK) return 0;
    if (q.width != p.width || q.height != p.height || q.channels != (rgba ? 4 : p.channels)) abort();
    for (int64_t i = 0; i < q.width * q.height * q.channels; i++) sum += q.pixels[i];
    duel_free(q.pixels);
  }
  return sum == 1; // so that all are read
}
