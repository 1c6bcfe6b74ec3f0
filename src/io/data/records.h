// Items of one size that lie in a file one after another: IDX, NPY and CIFAR say how, everything else treats them
// alike.
#ifndef DUEL_IO_DATA_RECORDS_H
#define DUEL_IO_DATA_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "io/resample.h"

enum { DUEL_HEAD_BYTES = 1 << 14 }; // enough for any header

typedef struct duel_records {
  int64_t items;
  int rank;       // 3: images, C H W; 1: points
  int64_t dim[3]; // whatever the order in the file
  int64_t count;  // values of an item
  bool is_float, big_endian, channels_last;
  int64_t offset, stride; // bytes: where the values of item 0 begin, and from one item to the next
  int64_t label;          // bytes from an item's values to its label; 0: there is none
  int64_t classes;        // of those labels
} duel_records;

// Each reads the header in the first n bytes of a file of `size`. DUEL_ERR_DATA, naming path, if it is none of its kind
// or does not tell the file's size exactly.
duel_status duel_idx_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size);
// uint8 [N,H,W], [N,H,W,C], [N,C,H,W] with C 1 or 3 (where both fit: the latter); float32 alike, or points [N,size].
duel_status duel_npy_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size);
// CIFAR-10 (label, 3072 bytes) or CIFAR-100 (coarse label, fine label, 3072 bytes; the fine one counts): no header, so
// the size tells.
duel_status duel_cifar_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size);

// Checks items, dims, and that the values end with the file; fills in rank 3's single channel, count and, if it is 0,
// stride.
duel_status duel_records_check(duel_records *r, const char *path, int64_t size);

// ---- the bytes of a file, gzip or not

typedef struct duel_store {
  char *path;
  int fd;         // -1: in memory
  uint8_t *block; // the whole, if it was inflated into memory
  int64_t size;   // inflated
} duel_store;

// What was compressed is inflated: into memory if it seems to take at most `most` bytes, else into a file of `folder`
// that has no name. {.fd = -1} is a closed store.
duel_status duel_store_open(duel_store *s, const char *path, int64_t most, const char *folder);
duel_status duel_store_read(const duel_store *s, void *dst, size_t n, int64_t at);
void duel_store_close(duel_store *s);

// ---- items out of it

typedef struct duel_unpacker { // what one thread keeps from call to call; {0} is a fresh one
  duel_resampler resampler;
  uint8_t *raw;
  int64_t room;
} duel_unpacker;

// n items from `first` on into dst: bytes framed (frame NULL: as they are), floats in the host's order and finite.
// labels: n of them, or NULL.
duel_status duel_records_fetch(const duel_records *r, const duel_store *s, int64_t first, int64_t n,
                               const duel_frame *frame, duel_unpacker *u, void *dst, uint8_t *labels);
void duel_unpacker_close(duel_unpacker *u);

#endif
