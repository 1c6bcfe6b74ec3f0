// Where a set's items come from: files of records, or pictures. Says what there is, and fetches items by number.
#ifndef DUEL_IO_DATA_SOURCE_H
#define DUEL_IO_DATA_SOURCE_H

#include "base/team.h"
#include "io/data/dataset.h"
#include "io/data/pictures.h"
#include "io/records/records.h"

typedef struct duel_source {
  const duel_dataset_options *options;
  duel_found found;
  uint64_t key; // of the files' names, sizes and times and what is asked of them
  // After duel_source_prepare:
  int64_t items;
  int rank;
  int64_t dim[3], count; // of an item as it is fetched
  bool is_float;
  int64_t classes;
  bool labeled; // by duel_source_fetch, or by labels
  const uint8_t *labels;

  duel_pictures pictures;
  // records, file by file
  duel_store store[DUEL_FIND_FILES];
  duel_records records[DUEL_FIND_FILES];
  uint8_t *label_block;
  // one frame for all
  bool framed;
  duel_frame frame;
  struct duel_source_worker *worker;
  int threads;
} duel_source;

// Finds the files and takes their key. options live as long as the source. duel_source_close in any case.
duel_status duel_source_open(duel_source *s, const char *spec, const duel_dataset_options *options);
// Reads the headers: after it all sizes are known. `folder`: where something large may be inflated.
duel_status duel_source_prepare(duel_source *s, const char *folder);
// n items from `first` on; labels as many, or NULL. worker < threads: no two calls at once with the same one.
duel_status duel_source_fetch(duel_source *s, int worker, int64_t first, int64_t n, void *dst, uint8_t *labels);
// Pictures that turned out bad when they were fetched: whether one is; drops them, or fails (data.on_bad).
bool duel_source_is_bad(const duel_source *s, int64_t item);
duel_status duel_source_settle(duel_source *s);
// Drops pictures that were bad when a cache was made.
duel_status duel_source_drop(duel_source *s, const uint32_t *number, int64_t n);
duel_status duel_source_dropped(const duel_source *s, uint32_t **number, int64_t *n); // those that are gone; duel_free
void duel_source_close(duel_source *s);

#endif
