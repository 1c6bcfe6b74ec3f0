// Items of one size that lie in a file one after another: IDX, NPY and CIFAR say how, everything else treats them
// alike.
#ifndef DUEL_IO_RECORDS_RECORDS_H
#define DUEL_IO_RECORDS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "io/records/store.h"
#include "io/resample.h"

enum { DUEL_HEAD_BYTES = 1 << 14 }; // enough for any header

typedef enum duel_number { // what a file's values are; floats become float32, and bool's true 255
  DUEL_NUMBER_U8,
  DUEL_NUMBER_BOOL,
  DUEL_NUMBER_F16,
  DUEL_NUMBER_F32,
  DUEL_NUMBER_F64
} duel_number;

typedef struct duel_records {
  int64_t items;
  int rank;       // 3: images, C H W; 1: points
  int64_t dim[3]; // whatever the order in the file
  int64_t count;  // values of an item
  duel_number number;
  bool is_float, big_endian, channels_last; // is_float: those that are fetched
  bool transposed;                          // in the file; dim is that of what is fetched
  int64_t offset, stride;                   // bytes: where the values of item 0 begin, and from one item to the next
  int64_t label;                            // bytes from an item's values to its label; 0: there is none
  int64_t classes;                          // of those labels
} duel_records;

// Each reads the header in the first n bytes of a file of `size`. DUEL_ERR_DATA, naming path, if it is none of its kind
// or does not tell the file's size exactly.
duel_status duel_idx_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size);
// uint8 or bool [N,H,W], [N,H,W,C], [N,C,H,W] with C 1, 3 or 4 (where both fit: the latter, and 1 and 3 before 4);
// float16, 32 and 64 alike, or points [N,size]. Of others the message says how to save them.
duel_status duel_npy_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size);
// CIFAR-10 (label, 3072 bytes) or CIFAR-100 (coarse label, fine label, 3072 bytes; the fine one counts): no header, so
// the size tells.
duel_status duel_cifar_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size);

int64_t duel_number_bytes(duel_number number);
// Whether the items lie in the file as they are fetched, unless they are framed.
bool duel_records_are_plain(const duel_records *r);
// Checks items, dims, and that the values end with the file; fills in rank 3's single channel, count and, if it is 0,
// stride.
duel_status duel_records_check(duel_records *r, const char *path, int64_t size);

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
