// Files: whole-file reads, atomic writes, appends. All system calls go through one table that tests make fail.
#ifndef DUEL_IO_FILE_H
#define DUEL_IO_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

typedef struct duel_file_ops { // the system calls in use; tests replace entries, fail the N-th, or kill the process
                               // there
  int (*open)(const char *path, int flags, mode_t mode);
  ssize_t (*read)(int fd, void *dst, size_t n);
  ssize_t (*write)(int fd, const void *src, size_t n);
  int (*fallocate)(int fd, off_t size);
  int (*fsync)(int fd);
  int (*close)(int fd);
  int (*rename)(const char *from, const char *to);
  int (*unlink)(const char *path);
  ssize_t (*pread)(int fd, void *dst, size_t n, off_t at);
  ssize_t (*pwrite)(int fd, const void *src, size_t n, off_t at);
  int (*flock)(int fd, int operation);
  int (*symlink)(const char *target, const char *path);
} duel_file_ops;
extern duel_file_ops duel_fs;

// Reads a whole file into fresh memory (duel_free), with one zero byte behind it. Fails above `most` bytes
// (DUEL_ERR_DATA), DUEL_ERR_DATA if it does not exist or is no regular file, DUEL_ERR_IO if it cannot be read. The
// message names the path and the cause.
duel_status duel_file_read(const char *path, size_t most, uint8_t **bytes, size_t *n);

// Writes n bytes so that path holds either the old or the new content at any instant: temporary sibling
// (.NAME.tmp.PID.COUNT), lock, fallocate, write, fsync, close, rename, fsync of the folder. After an fsync error it
// starts over once with a fresh temporary. On failure the temporary is gone and the old file untouched. A link is
// followed; what is no regular file is refused. DUEL_ERR_IO. Only if the very last step fails, the sync of the folder,
// is the new content there all the same. What a file system lacks but is not needed (locks, reserving, syncing,
// replacing in one step) is done without.
duel_status duel_file_write(const char *path, const void *bytes, size_t n);
// The same, as a list of parts (written in order) without joining them first.
typedef struct duel_part {
  const void *bytes;
  size_t n;
} duel_part;
duel_status duel_file_write_parts(const char *path, const duel_part *part, int n);

// A file too large to lie in memory, written piece by piece by any threads: it appears under its name, whole and on the
// disk, when it is committed. `size` bytes are reserved at once, so that a full disk shows at the beginning.
enum { DUEL_TEMPORARY = PATH_MAX + 128 }; // bytes of such a name
typedef struct duel_draft {
  int fd, held, folder; // -1: none
  int slot;
  bool lost; // its bytes did not reach the disk: a new one may
  char path[PATH_MAX], temporary[DUEL_TEMPORARY];
} duel_draft;
duel_status duel_draft_begin(duel_draft *d, const char *path, size_t size);
duel_status duel_draft_put(const duel_draft *d, const void *bytes, size_t n, int64_t at);
duel_status duel_draft_cut(const duel_draft *d, int64_t size); // to fewer bytes than were reserved
duel_status duel_draft_commit(duel_draft *d);                  // gone on failure
void duel_draft_drop(duel_draft *d);                           // fine after commit

// A regular file for reading at any place, by any threads; its size. Errors as duel_file_read.
duel_status duel_file_open(const char *path, int *fd, int64_t *size);
// n bytes from `at` on; DUEL_ERR_DATA if there are fewer.
duel_status duel_file_read_at(int fd, const char *path, void *dst, size_t n, int64_t at);
// The first *n bytes of a file, `room` at most.
duel_status duel_file_head(const char *path, void *dst, size_t room, size_t *n);
void duel_file_close(int fd); // -1 is fine

// Creates it; one write, if the disk takes it. What a failed write left is cut off again.
duel_status duel_file_append(const char *path, const void *bytes, size_t n);
void duel_folder_of(const char *path, char folder[PATH_MAX]); // that it lies in: "." for a name alone
duel_status duel_make_folder(const char *path);               // and its parents; fine if it exists
// Removes the temporaries in a folder that nobody writes any more, whatever machine or container that was on.
void duel_file_sweep(const char *folder);

// A link at path, in the place of one that is there. IO, as on a file system without links.
duel_status duel_file_link(const char *target, const char *path);

// An exclusive lock for as long as fd, or a copy of it, is open; nobody is waited for.
typedef enum duel_lock {
  DUEL_LOCK_HELD,
  DUEL_LOCK_TAKEN,  // by another
  DUEL_LOCK_LACKING // not to be had here; errno
} duel_lock;
duel_lock duel_file_lock(int fd);

// What writing has found a file system to lack, as a text for a warning: each thing once. False: nothing new.
bool duel_file_lacks(char *text, size_t n);

#endif
