// Named files, wherever they lie: below a folder, or in a zip file. They are listed once; then any thread reads them by
// their numbers.
#ifndef DUEL_IO_FILES_FILES_H
#define DUEL_IO_FILES_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"

typedef struct duel_named {
  const char *path; // below the root: "cats/0001.png"; a folder that was not entered ends in '/'
  int64_t size, seconds, nanoseconds;
  int64_t at;      // in a zip file: which of its entries
  const char *why; // what is no file that could be read, and why: "a link that leads nowhere"; NULL: it is one
} duel_named;

typedef struct duel_files {
  duel_pool pool;
  const char *root; // as messages name it: "./photos", "set.zip", "set.zip/train"
  duel_named *file; // by path, bytewise
  int64_t n, room;
  struct duel_zip *zip; // NULL: a folder
} duel_files;

// All files below a folder, links followed; below: a folder in a zip file, "" for all of it. Hidden ones (a dot in
// front) are left out. Listed with a reason, and not entered: folders of runs of ours, those that systems leave behind,
// and links to a folder above. IO where a folder cannot be read; DATA where a zip file is damaged or this build has no
// libzip. duel_files_close in any case.
duel_status duel_files_open(duel_files *f, const char *path, const char *below);
void duel_files_close(duel_files *f);

// Root and path as messages and system calls name them; DATA where that is too long.
duel_status duel_files_path(const duel_files *f, int64_t i, char path[PATH_MAX]);
// The first bytes of a file, `room` of them or all that there are. DATA, IO.
duel_status duel_files_head(const duel_files *f, int64_t i, uint8_t *dst, size_t room, size_t *n);
// All of it in fresh memory, a zero byte behind it (duel_free). DATA above `most` bytes, or where it is damaged; IO.
duel_status duel_files_read(const duel_files *f, int64_t i, size_t most, uint8_t **bytes, size_t *n);
// All of it, checked, into a file from its beginning on, piece by piece: of files in a zip file.
duel_status duel_files_copy(const duel_files *f, int64_t i, int to);

bool duel_is_zip(const uint8_t *bytes, size_t n); // by its magic
bool duel_has_zip(void);                          // this build reads them

// ---- for folder.c and zip.c
duel_status duel_files_add(duel_files *f, const char *path, duel_named file); // path is copied
duel_status duel_folder_list(duel_files *f);

duel_status duel_zip_open(duel_files *f, const char *path, const char *below);
void duel_zip_close(struct duel_zip *zip);                                         // NULL is fine
duel_status duel_zip_read(const duel_files *f, int64_t i, uint8_t *dst, size_t n); // its first n bytes
// All of it, checked: duel_files_read in a zip file.
duel_status duel_zip_load(const duel_files *f, int64_t i, const char *path, size_t most, uint8_t **bytes, size_t *n);

#endif
