// Micro-shards: the batch of a step in `train.shards` pieces of neighboring rows, one after another, so that the step
// takes the work memory of one shard and of the sums.
//
//   loop   the same nodes for each shard, on its rows; each is a stretch of the graph of its own
//   mean   what shards yield is added as ((0 + 1) + (2 + 3)) + …, each sum as soon as both its sides are there
//
// With one shard a loop runs once, on the whole batch, and a mean is the value itself.
#ifndef DUEL_GAN_SHARDS_H
#define DUEL_GAN_SHARDS_H

#include "core/graph.h"
#include "recipe/recipe.h"

typedef struct duel_shards {
  duel_graph *g;
  int64_t n;                    // a power of two
  int64_t at;                   // the shard at hand, -1: outside of the loops
  int loop;                     // the present or the last one, from 1
  struct duel_shard_sum **mean; // where the next mean of this shard has its sums
  struct duel_shard_sum *first; // of the loop's means, in the order of their calls
} duel_shards;

// USAGE if the batch cannot be cut so.
duel_status duel_shards_check(int64_t batch, int64_t shards);
// Begins a loop, or its next shard. False: it has ended, or the graph has an error.
bool duel_shards_next(duel_shards *s);
// In the last shard of a loop the mean of x over all of them, DUEL_NONE in those before. All shards make the same
// calls.
duel_val duel_shards_mean(duel_shards *s, duel_val x);
// The shard's rows of a draw, shape [rows, ...]; op: DUEL_OP_RANDOM_NORMAL or DUEL_OP_RANDOM_UNIFORM.
duel_val duel_shards_draw(const duel_shards *s, duel_op op, duel_val key, uint32_t purpose, uint32_t k,
                          duel_shape shape);

#endif
