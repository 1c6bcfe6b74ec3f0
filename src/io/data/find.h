// From what a recipe calls its data to files: fashion-mnist, ./photos, train.npy.
#ifndef DUEL_IO_DATA_FIND_H
#define DUEL_IO_DATA_FIND_H

#include <limits.h>
#include <stdbool.h>

#include "base/pool.h"
#include "base/status.h"

enum { DUEL_FIND_FILES = 16 };

typedef struct duel_found {
  duel_pool pool;
  char name[64];                     // short, fit for a directory's name
  bool pictures;                     // a folder of them; else files of records
  const char *root;                  // the folder of pictures
  const char *file[DUEL_FIND_FILES]; // of records, in order
  int files;
  const char *labels; // IDX labels beside an IDX file, or NULL
} duel_found;

// A path is taken as it stands; a bare name is looked for in $DUEL_DATA, here, then where packages put data sets. A
// folder is, in this order: an IDX images file (name holding "images", train preferred) and perhaps its labels; CIFAR's
// data_batch_*.bin or train.bin; pictures. DUEL_ERR_DATA, IO. duel_found_close in any case.
duel_status duel_find(duel_found *f, const char *spec);
void duel_found_close(duel_found *f);

// Where files say that the test set of a set lies: t10k- or test-images… beside train-images… (as for any file with
// "train" in its name), test_batch.bin beside CIFAR-10's batches, test.bin beside CIFAR-100's, a folder test, val or
// valid beside a folder train of pictures. path[0] is 0 where there is none. Errors as duel_find.
duel_status duel_find_test(char path[PATH_MAX], const char *spec);

#endif
