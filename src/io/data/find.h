// From what a recipe calls its data to files: fashion-mnist, ./photos, train.npy, set.zip/train.
#ifndef DUEL_IO_DATA_FIND_H
#define DUEL_IO_DATA_FIND_H

#include "io/files/files.h"
#include "io/files/known.h"

enum { DUEL_FIND_FILES = 16 };

typedef struct duel_located { // a file of records
  const char *path;           // as messages name it; NULL: none
  int64_t at;                 // in duel_found's files; −1: on the disk, at path
} duel_located;

typedef struct duel_found {
  duel_pool pool;
  char name[64];            // short, fit for a directory's name
  const char *path;         // of the file or folder on the disk
  duel_files files;         // of the folder or zip file, if it is one
  const duel_known **known; // [files.n]: what a file is that is no picture and no data; NULL
  // Pictures:
  bool pictures;
  int64_t *picture; // [n]: their numbers among the files
  int64_t n;
  // or files of records, in order, and perhaps the labels:
  duel_located file[DUEL_FIND_FILES];
  int n_files;
  duel_located labels;
  const char *told; // what of it was chosen, where that is no matter of course; NULL
  int64_t used;     // a file beside pictures that says their labels; −1: none
} duel_found;

// A path is taken as it stands, and as people write it: ~, file://, blanks around it, Windows' slashes; a bare name is
// looked for in $DUEL_DATA, here, then where packages put data sets. A path may go on in a zip file. A folder or zip
// file is, in this order:
// - IDX images by their first bytes (of several, names with "images" and "train" are preferred), perhaps their labels
// - CIFAR's data_batch_*.bin or train.bin
// - in a zip file: NumPy's arrays (io/data/arrays.h)
// - pictures: whatever its first bytes or its ending say is one, also in folders of it
//
// The first two also in folders of it, where there are no pictures. Where it is none of this, the message says what is
// there instead. DUEL_ERR_DATA, IO. duel_found_close in any case.
duel_status duel_find(duel_found *f, const char *spec);
void duel_found_close(duel_found *f);
// The path that a spec leads to, as above, with what is meant within a zip file behind it.
duel_status duel_find_path(char path[PATH_MAX], const char *spec);
// "Thumbs.db (Windows' own), a.txt (text) and 3 more": what of a folder or zip file is none of n pictures; how many.
int64_t duel_found_list(const duel_found *f, const int64_t *picture, int64_t n, char *dst, size_t room);

// Where files say that the test set of a set lies: t10k- or test-images… beside train-images… (as for any file with
// "train" in its name), test_batch.bin beside CIFAR-10's batches, test.bin beside CIFAR-100's, a folder test, val or
// valid beside a folder train of pictures. path[0] is 0 where there is none. Errors as duel_find.
duel_status duel_find_test(char path[PATH_MAX], const char *spec);

// ---- of choose.c, for find.c and arrays.c
duel_status duel_choose(duel_found *f); // among f->files
// *l = file i of f->files.
duel_status duel_take_file(duel_found *f, duel_located *l, int64_t i);
// Whether a path, as messages name it, is a file of the set's folder or zip file, or one on the disk.
bool duel_locate(duel_found *f, const char *path, duel_located *l);
// The labels beside an images file, if there are any.
duel_status duel_find_labels(duel_found *f, const duel_located *images);
// The path with a word put in the place of the last `old` in the file's name and, deep, in its folder's too. False
// where there is none, or no room.
bool duel_other_name(char dst[PATH_MAX], const char *path, const char *old, const char *word, bool deep);

#endif
