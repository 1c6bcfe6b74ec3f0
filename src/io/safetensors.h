// safetensors: named tensors and a few strings in one file. The writer conforms strictly; the reader is stricter than
// the reference (formats.md C.1): any header it does not fully understand is refused.
#ifndef DUEL_IO_SAFETENSORS_H
#define DUEL_IO_SAFETENSORS_H

#include "base/crc32c.h"
#include "base/tensor.h"
#include "io/file.h"

typedef struct duel_entry { // one tensor
  const char *name;
  duel_dtype dtype; // F32, F64, BF16, I32, U8
  int rank;
  int64_t dim[8];
  const void *data; // writer: caller's memory; reader: inside the file's bytes
  size_t bytes;
} duel_entry;

typedef struct duel_meta { // one string of __metadata__
  const char *key, *value;
} duel_meta;

typedef struct duel_tensor_file {
  uint8_t *bytes;
  struct duel_json *header;
  duel_entry *entry; // in file order
  int n;
  duel_meta *meta;
  int n_meta;
} duel_tensor_file;

// Sorts as the reference does, pads the header to 64 bytes, adds metadata "crc32c" (8 hex digits: CRC-32C over the
// header, padding included and that field 00000000, then the buffer) and writes atomically. Names must be unique UTF-8
// without control characters; metadata any UTF-8.
duel_status duel_tensors_write(const char *path, const duel_entry *entry, int n, const duel_meta *meta, int n_meta);

// Checks everything, the checksum too where there is one. DUEL_ERR_DATA with path and cause.
duel_status duel_tensors_read(duel_tensor_file *f, const char *path);
// The same from memory, naming path in messages. Takes bytes (duel_malloc) over, on failure too.
duel_status duel_tensors_parse(duel_tensor_file *f, const char *path, uint8_t *bytes, size_t n);
void duel_tensors_close(duel_tensor_file *f);
const duel_entry *duel_tensors_find(const duel_tensor_file *f, const char *name); // NULL if absent
const char *duel_tensors_meta(const duel_tensor_file *f, const char *key);        // NULL if absent

#endif
