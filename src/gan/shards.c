#include "gan/shards.h"

#include <assert.h>

enum { BITS = 21 }; // of a number of shards: no more than the largest batch

typedef struct duel_shard_sum {
  duel_val of[BITS]; // of[i]: over the last 2^i shards, until its other side is there
  struct duel_shard_sum *next;
} shard_sum;

duel_status duel_shards_check(int64_t batch, int64_t shards) {
  int64_t less = 1;
  while (2 * less <= shards) less *= 2;
  if (less != shards)
    return duel_fail(DUEL_ERR_USAGE, "train.shards is %lld and must be a power of two; set it to %lld or %lld",
                     (long long)shards, (long long)less, (long long)(2 * less));
  if (batch % shards)
    return duel_fail(DUEL_ERR_USAGE,
                     "a batch of %lld cannot be cut into %lld shards; set train.batch=%lld or another multiple, or "
                     "train.shards=%lld",
                     (long long)batch, (long long)shards, (long long)(batch + shards - batch % shards),
                     (long long)(batch & -batch));
  return DUEL_OK;
}

bool duel_shards_next(duel_shards *s) {
  if (s->at < 0) {
    s->loop++;
    s->first = NULL;
  }
  if (s->n > 1) s->g->stretch++; // also behind the last
  s->mean = &s->first;
  if (++s->at < s->n && s->g->status == DUEL_OK) return true;
  s->at = -1;
  return false;
}

duel_val duel_shards_mean(duel_shards *s, duel_val x) {
  if (s->n == 1) return x;
  assert(*s->mean || s->at == 0); // all shards make the same calls
  if (!*s->mean) *s->mean = duel_graph_alloc(s->g, sizeof **s->mean);
  shard_sum *sum = *s->mean;
  if (!sum) return DUEL_NONE;
  s->mean = &sum->next;
  int i = 0;
  for (; s->at >> i & 1; i++) x = duel_add(s->g, sum->of[i], x);
  sum->of[i] = x;
  return s->at == s->n - 1 ? duel_affine(s->g, x, 1 / (double)s->n, 0) : DUEL_NONE;
}

duel_val duel_shards_draw(const duel_shards *s, duel_op op, duel_val key, uint32_t purpose, uint32_t k,
                          duel_shape shape) {
  return duel_random_from(s->g, op, key, purpose, k, s->at > 0 ? s->at * duel_shape_count(shape) : 0, shape);
}
