// A folder of pictures: which files, in which order, of which class.
#ifndef DUEL_IO_DATA_FOLDER_H
#define DUEL_IO_DATA_FOLDER_H

#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"

enum { DUEL_FOLDER_CLASSES = 256 };

typedef struct duel_folder_file {
  const char *path; // below the folder: "cats/0001.png"
  int64_t size, seconds, nanoseconds;
} duel_folder_file;

typedef struct duel_folder {
  duel_pool pool;
  char *root;
  duel_folder_file *file; // by path, bytewise
  int64_t n;
  int64_t classes;         // 0: none
  const char **class_name; // [classes], of the pool
  uint8_t *label;          // [n], or NULL
} duel_folder;

// All files below root, hidden ones (a dot in front) left out, links followed. If all lie in folders of root, the class
// is the number of that folder among them, by name. More than DUEL_FOLDER_CLASSES of them: no classes. IO where a
// folder cannot be read. duel_folder_close in any case.
duel_status duel_folder_list(duel_folder *f, const char *root);
// The first n only.
void duel_folder_cut(duel_folder *f, int64_t n);
void duel_folder_close(duel_folder *f);

#endif
