// Data sets: what training reads. Values lie in memory or, where they are too many, in a cache file.
#ifndef DUEL_IO_DATA_DATASET_H
#define DUEL_IO_DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct duel_dataset {
  char *name;         // short, for the run directory: "fashion-mnist", "ring", "train-images"
  int64_t items;      // M
  int rank;           // 3: images, C H W; 1: points
  int64_t dim[3];     // C, H, W or the point's size
  int64_t item_count; // elements of one item
  int is_float;       // 0: uint8 images; 1: float32 taken as they are
  void *values;       // [items, item_count] row-major, uint8 or float; NULL: in a file, see duel_dataset_read
  uint8_t *labels;    // [items], or NULL
  int64_t classes;    // 0 without labels
  const char *const *class_name; // [classes], or NULL: they have numbers alone
  uint32_t fingerprint; // CRC-32C over shape, kind, values and labels of all items, those taken out for a test too; of
                        // a mirrored set that of what it was made from, and a mark
  uint32_t older; // the fingerprint that older versions gave it, which took folders that only count for classes; or 0
} duel_dataset;

typedef struct duel_dataset_options { // {0}: everything as it is
  int64_t limit;                      // first N items only; 0: all
  int64_t height, width;              // size of images; 0: as they are
  bool stretch;                       // images of other proportions are stretched; else cropped around the middle
  int channels;                       // 1, 3 or 4 (RGBA); 0: as they are (3 if some have color)
  bool skip_bad;                      // pictures that are damaged, empty or none are left out; else an error names them
  bool transpose;                     // of images height and width change places, as EMNIST's files need it
  bool mirror;                        // images: M items become 2M; item M + i is item i, left and right swapped
  int64_t memory;                     // most bytes that values may take in memory; 0: any number
  int threads;                        // for decoding; 0: as many as there are processors
  // What takes long (from the calling thread, some ten times a second) and what is worth a word; NULL: nobody listens.
  void (*progress)(void *ctx, const char *what, int64_t done, int64_t items);
  void (*note)(void *ctx, const char *text);
  void *ctx;
} duel_dataset_options;

// spec: "fashion-mnist" (looked for in $DUEL_DATA, then where Debian's package puts it; missing: the message says
// `apt install dataset-fashion-mnist`), "synthetic:NAME" (io/data/synthetic.h), or a file or folder (io/data/find.h):
//   IDX, NPY and CIFAR files (io/records), gzip or not
//   a folder or a zip file of pictures, also in folders of it (io/data/pictures.h): decoded once, into a cache
//   (io/data/cache.h); other files there are passed over, and told
// Sets larger than options->memory are written into the cache as well and stay there. USAGE for options that do not fit
// the set; DUEL_ERR_DATA with path, expected and actual size for anything malformed; nothing is allocated on a header's
// word alone.
duel_status duel_dataset_open_with(duel_dataset **d, const char *spec, const duel_dataset_options *options);
duel_status duel_dataset_open(duel_dataset **d, const char *spec, int64_t limit); // only limited
void duel_dataset_close(duel_dataset *d);

// The test set of a set, which no item of the training set is in:
//   name      a set by its spec, as above
//   name NULL what lies beside the set's files (io/data/find.h), such as t10k-images… beside train-images…; without
//             that, the last ⌈M/10⌉ of the M items in the order of key 0, purpose 3, t = 2³² − 1 (duel_data_order), the
//             same whatever the seed of the training. They are taken out of data; both sets keep the order that
//             their items had, and the fingerprint of data stays that of the whole.
// A test set is never mirrored; of a mirrored set an item is taken out with its twin, which is then in neither.
// options: those that data was opened with; the limit counts in each set. DATA where the two sets are not alike: items,
// labels, names and number of classes.
duel_status duel_dataset_open_test(duel_dataset **test, duel_dataset *data, const char *name,
                                   const duel_dataset_options *options);
// Whether labels can be learnt from: the set has labels, of two classes or more, and each class has items. DATA.
duel_status duel_dataset_check_labels(const duel_dataset *d);

// Items by their number, one after another, wherever they are; any threads. DATA if the cache has been damaged.
duel_status duel_dataset_read(const duel_dataset *d, const int32_t *number, int64_t n, void *dst);
// One item as training sees it: bytes as x/127.5 − 1.
duel_status duel_dataset_item(const duel_dataset *d, int64_t number, float *dst);
int64_t duel_dataset_item_bytes(const duel_dataset *d);
// The least and the largest value as training sees them (bytes as x/127.5 − 1): of all items in memory; of a set in a
// file of some thousand of them, evenly spaced, the same each time. Errors as duel_dataset_read, or DEVICE.
duel_status duel_dataset_range(const duel_dataset *d, float *lo, float *hi);

// The synthetic sets are the same bits everywhere: draws of seed 0 and purposes 64 (ring), 65 (shapes), 66 (grid), far
// from those of training; item i is of class i mod classes. ring: labels are the modes, mode m at angle 2πm/8. grid:
// mode m at (m mod 5 − 2, m div 5 − 2). shapes: 1×28×28, labels disc, square, triangle, cross.
// Modes of the points and spread of each, for tests and evaluation.
enum { DUEL_RING_MODES = 8, DUEL_GRID_MODES = 25 };
#define DUEL_RING_SIGMA 0.02
#define DUEL_GRID_SIGMA 0.05

#endif
