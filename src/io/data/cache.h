// The cache of a set: its items decoded and framed, in a file beside the data or, where that cannot be written, in
// $XDG_CACHE_HOME/duel or ~/.cache/duel.
//
//   0       96 bytes of head, see cache.c: magic, version, a CRC, the key of the files it was made from, sizes
//   4096    values [items, item_count], uint8 or float32, little-endian
//   then    CRC-32C of each item's values, u32 [items]; which pictures of the source were bad and are left out, u32
//           [dropped]; labels, u8 [items], if there are any
//
// The head's CRC covers head and what follows the values; each item's is checked whenever it is read.
#ifndef DUEL_IO_DATA_CACHE_H
#define DUEL_IO_DATA_CACHE_H

#include <limits.h>

#include "io/data/dataset.h"
#include "io/data/source.h"
#include "io/file.h"

enum { DUEL_CACHE_VALUES = 4096 }; // where they begin

typedef struct duel_cache_place {
  char beside[PATH_MAX], home[PATH_MAX]; // "" where there is none
} duel_cache_place;

// A cache's content but for its values: a set without them, and without a name.
typedef struct duel_cache {
  int fd; // -1: closed
  char path[PATH_MAX];
  duel_dataset set;
  uint32_t *item_crc, *dropped;
  int64_t n_dropped;
} duel_cache;

// Where the cache of a source lies: a file's name tells the options, so that each has its own.
void duel_cache_find(duel_cache_place *place, const duel_source *source);
// Writes a cache, as duel_file_write_parts and duel_draft_begin do, beside the data or, where that fails, at home,
// whose folder is then made; path: where. What others left unfinished there goes. IO if it can be written nowhere.
duel_status duel_cache_write(const duel_cache_place *place, char path[PATH_MAX], const duel_part *part, int n);
duel_status duel_cache_begin(const duel_cache_place *place, char path[PATH_MAX], size_t size, duel_draft *draft);

// Opens the cache of a source at path. Not there, made from other files, damaged, without pictures that the source is
// not to leave out: OK, with fd -1 and, if there is one, why.
duel_status duel_cache_open(duel_cache *c, const char *path, const duel_source *source, const char **why);
void duel_cache_close(duel_cache *c);

// The bytes around a set's values. tail: what follows them, duel_free.
duel_status duel_cache_frame(const duel_dataset *d, const uint32_t *item_crc, const duel_source *source,
                             uint8_t head[DUEL_CACHE_VALUES], uint8_t **tail, size_t *n);

#endif
