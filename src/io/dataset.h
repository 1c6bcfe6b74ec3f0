// Data sets: what training reads. Decoded once, resident from then on.
#ifndef DUEL_IO_DATASET_H
#define DUEL_IO_DATASET_H

#include <stdint.h>

#include "core/status.h"

typedef struct duel_dataset {
  char *name;           // short, for the run directory: "fashion-mnist", "ring", "train-images"
  int64_t items;        // M
  int rank;             // 3: images, C H W; 1: points
  int64_t dim[3];       // C, H, W or the point's size
  int64_t item_count;   // elements of one item
  int is_float;         // 0: uint8 images; 1: float32 taken as they are
  void *values;         // [items, item_count] row-major, uint8 or float
  uint8_t *labels;      // [items], or NULL
  int64_t classes;      // 0 without labels
  uint32_t fingerprint; // CRC-32C over shape, kind, values and labels
} duel_dataset;

// spec: "fashion-mnist" (looked for in $DUEL_DATA, then where Debian's package puts it; missing: the message says
// `apt install dataset-fashion-mnist`), "synthetic:ring", "synthetic:shapes", an IDX file, or a folder with an IDX
// images file (name holding "images", train preferred) and perhaps its labels; .gz or plain. limit 0: all items.
// DUEL_ERR_DATA with path, expected and actual size for anything malformed; nothing is allocated on a header's word
// alone.
duel_status duel_dataset_open(duel_dataset **d, const char *spec, int64_t limit);
void duel_dataset_close(duel_dataset *d);

// The synthetic sets are the same bits everywhere: draws of seed 0 and purposes 64 (ring), 65 (shapes), far from those
// of training; item i is of class i mod classes. ring: labels are the modes, mode m at angle 2πm/8. shapes: 1×28×28,
// labels disc, square, triangle, cross.
// Modes of synthetic:ring and spread of each, for tests and evaluation.
enum { DUEL_RING_MODES = 8 };
#define DUEL_RING_SIGMA 0.02

#endif
