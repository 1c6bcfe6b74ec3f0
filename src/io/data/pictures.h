// The pictures of a folder or zip file: which, of which class, which of them are bad; and fetching them by number.
#ifndef DUEL_IO_DATA_PICTURES_H
#define DUEL_IO_DATA_PICTURES_H

#include "io/data/dataset.h"
#include "io/data/find.h"
#include "io/resample.h"

enum { DUEL_FOLDER_CLASSES = 256, DUEL_BAD_LINE = 300, DUEL_BAD_LIST = 6400 };

typedef struct duel_pictures {
  const duel_dataset_options *options;
  duel_pool pool;
  const duel_files *files;
  int64_t *item;            // [n]: their numbers among the files, by path
  int64_t n, all;           // all: before bad ones were dropped
  uint32_t *number;         // [n]: which of all; NULL: each its own
  bool numbered;            // labels are those of a dataset.json, else of folders
  int64_t classes;          // 0: none
  const char **class_name;  // [classes], of the pool; NULL: they have numbers alone
  uint8_t *label;           // [n], or NULL
  uint8_t *counted;         // [n]: labels by folders that only count; older versions took them for classes; or NULL
  char **bad;               // [n]: what is wrong with each, NULL: nothing that was noticed
  char list[DUEL_BAD_LIST]; // of those that were, for a message
  size_t list_length;
  int64_t listed;
  int64_t dim[3]; // C H W, after duel_pictures_look
} duel_pictures;

// The pictures that were found, of which options->limit takes the first. Tells what was passed over. DATA where all lie
// in one folder of folders: that is the one that somebody means. duel_pictures_close in any case.
duel_status duel_pictures_open(duel_pictures *p, duel_found *found, const duel_dataset_options *options);
// Reads all headers, and finds one size for all. Bad ones are dropped, or, unless options->skip_bad, all are
// decoded, so that the error names all bad ones.
duel_status duel_pictures_look(duel_pictures *p, int threads);
// Picture i, framed. One that turns out bad is noted, and its bytes are left alone. Any threads, each with a resampler
// of its own.
duel_status duel_pictures_fetch(duel_pictures *p, int64_t i, const duel_frame *frame, duel_resampler *r, uint8_t *dst);
// After all were fetched, what to do about the bad ones: drops them, and tells all that were dropped, or fails.
duel_status duel_pictures_settle(duel_pictures *p);
// Drops those whose numbers are listed, rising; they were bad when a cache was made.
duel_status duel_pictures_drop(duel_pictures *p, const uint32_t *number, int64_t n);
// The numbers of those that were dropped, [all − n], rising; duel_free.
duel_status duel_pictures_dropped(const duel_pictures *p, uint32_t **number);
void duel_pictures_close(duel_pictures *p);

void duel_data_note(const duel_dataset_options *o, const char *fmt, ...) DUEL_PRINTF(2, 3);

// ---- classes.c
// Labels of all pictures: those of a dataset.json (StyleGAN's) among the files, else the folders of the root that they
// lie in, if all lie in some: at most DUEL_FOLDER_CLASSES. DATA as duel_pictures_open says.
duel_status duel_classes_find(duel_pictures *p, duel_found *found);
duel_status duel_classes_again(duel_pictures *p); // after some were dropped
// Whether folders of classes are the parts of a set, train, val and test: which of them is to be trained on.
bool duel_classes_mixed(const char *const *name, int64_t classes, int64_t *train);

#endif
