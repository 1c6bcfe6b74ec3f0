// Files: whole-file reads, atomic writes, appends. All system calls go through one table that tests make fail.
#ifndef DUEL_IO_FILE_H
#define DUEL_IO_FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "core/status.h"

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
} duel_file_ops;
extern duel_file_ops duel_fs;

// Reads a whole file into fresh memory (duel_free), with one zero byte behind it. Fails above `most` bytes
// (DUEL_ERR_DATA), DUEL_ERR_DATA if it does not exist or is no regular file, DUEL_ERR_IO if it cannot be read. The
// message names the path and the cause.
duel_status duel_file_read(const char *path, size_t most, uint8_t **bytes, size_t *n);

// Writes n bytes so that path holds either the old or the new content at any instant: temporary sibling
// (.NAME.tmp.PID.COUNT), fallocate, write, fsync, close, rename, fsync of the folder. After an fsync error it starts
// over once with a fresh temporary. On failure the temporary is gone and the old file untouched. A link is followed;
// what is no regular file is refused. DUEL_ERR_IO. Only if the very last step fails, the sync of the folder, is the new
// content there all the same.
duel_status duel_file_write(const char *path, const void *bytes, size_t n);
// The same, as a list of parts (written in order) without joining them first.
typedef struct duel_part {
  const void *bytes;
  size_t n;
} duel_part;
duel_status duel_file_write_parts(const char *path, const duel_part *part, int n);

// Creates it; one write, if the disk takes it. What a failed write left is cut off again.
duel_status duel_file_append(const char *path, const void *bytes, size_t n);
duel_status duel_make_folder(const char *path); // and its parents; fine if it exists
// Removes temporaries in folder whose process is gone.
void duel_file_sweep(const char *folder);

#endif
