// Where a set's items come from: files of records, or pictures. Says what there is, and fetches items by number.
#ifndef DUEL_IO_DATA_SOURCE_H
#define DUEL_IO_DATA_SOURCE_H

#include "base/team.h"
#include "io/data/dataset.h"
#include "io/data/find.h"
#include "io/data/folder.h"
#include "io/data/records.h"
#include "io/picture.h"

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

  // pictures
  duel_folder folder;
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
void duel_source_close(duel_source *s);

#endif
