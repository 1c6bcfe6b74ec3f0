// Chunks in a list, the newest first; an allocation is cut from the newest or begins a new one.
#include "base/pool.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 16 << 10, ALIGN = 16 };

typedef struct duel_pool_chunk {
  struct duel_pool_chunk *before;
  size_t size; // of bytes
  _Alignas(ALIGN) unsigned char bytes[];
} duel_pool_chunk;

void *duel_pool_alloc(duel_pool *pool, size_t bytes) {
  if (bytes > SIZE_MAX / 2) return NULL;
  bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
  if (!pool->last || pool->last->size - pool->used < bytes) {
    size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    duel_pool_chunk *chunk = duel_malloc(sizeof *chunk + size);
    if (!chunk) return NULL;
    *chunk = (duel_pool_chunk){.before = pool->last, .size = size};
    pool->last = chunk;
    pool->used = 0;
  }
  void *p = pool->last->bytes + pool->used;
  pool->used += bytes;
  return memset(p, 0, bytes);
}

char *duel_pool_text(duel_pool *pool, const char *s, size_t n) {
  char *copy = duel_pool_alloc(pool, n + 1);
  if (copy && n) memcpy(copy, s, n);
  return copy;
}

char *duel_pool_format(duel_pool *pool, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, fmt, args);
  char *s = n < 0 ? NULL : duel_pool_alloc(pool, (size_t)n + 1);
  if (s) vsnprintf(s, (size_t)n + 1, fmt, again);
  va_end(again);
  va_end(args);
  return s;
}

void duel_pool_close(duel_pool *pool) {
  for (duel_pool_chunk *chunk = pool->last, *before; chunk; chunk = before) {
    before = chunk->before;
    duel_free(chunk);
  }
  *pool = (duel_pool){0};
}
