// gzip (RFC 1952), inflated into memory or, piece by piece, into a file.
#ifndef DUEL_IO_GZIP_H
#define DUEL_IO_GZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

int duel_is_gzip(const uint8_t *bytes, size_t n); // by its magic, not by its name

// Inflates all members of gz[n] into fresh memory (duel_free). DUEL_ERR_DATA, naming path, if anything about it is
// wrong (each member's CRC is checked) or it holds more than `most` bytes.
duel_status duel_gunzip(const char *path, const uint8_t *gz, size_t n, size_t most, uint8_t **bytes, size_t *size);

// Inflates the file `from`, from its beginning, into `to`, with little memory; *size bytes were written. The same
// checks; IO where a file fails.
duel_status duel_gunzip_file(const char *path, int from, int to, int64_t *size);

// What the first n bytes of a gzip file or of a zlib stream inflate to, at most `room` bytes, as far as they make
// sense. DEVICE.
duel_status duel_inflate_head(const uint8_t *gz, size_t n, uint8_t *dst, size_t room, size_t *made);

#endif
