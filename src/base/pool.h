// A pool: many small things of one lifetime, freed together. Nothing in it moves.
#ifndef DUEL_BASE_POOL_H
#define DUEL_BASE_POOL_H

#include <stddef.h>

typedef struct duel_pool { // {0} is an empty pool
  struct duel_pool_chunk *last;
  size_t used; // bytes of the last chunk
} duel_pool;

void *duel_pool_alloc(duel_pool *pool, size_t bytes);           // zeroed, aligned for any type; NULL without memory
char *duel_pool_text(duel_pool *pool, const char *s, size_t n); // copy of n bytes with a zero behind them
char *duel_pool_format(duel_pool *pool, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void duel_pool_close(duel_pool *pool);

#endif
