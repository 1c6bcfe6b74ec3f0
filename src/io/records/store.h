// The bytes of a file of records, wherever it lies: on the disk or in a zip file, gzip or not.
#ifndef DUEL_IO_RECORDS_STORE_H
#define DUEL_IO_RECORDS_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "io/files/files.h"

typedef struct duel_store {
  char *path;
  int fd;         // -1: in memory
  uint8_t *block; // the whole, if it was inflated into memory
  int64_t size;   // inflated
} duel_store;

// path: on the disk; with files, where messages say that its file number `at` lies. What was packed is inflated: into
// memory if it seems to take at most `most` bytes, else into a file of `folder` that has no name. {.fd = -1} is a
// closed store.
duel_status duel_store_open(duel_store *s, const char *path, const duel_files *files, int64_t at, int64_t most,
                            const char *folder);
duel_status duel_store_read(const duel_store *s, void *dst, size_t n, int64_t at);
void duel_store_close(duel_store *s);

#endif
