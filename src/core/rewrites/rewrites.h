// Rewrites: each reads a graph and yields a new, equal one. Outputs and last state versions are what must survive.
#ifndef DUEL_CORE_REWRITES_REWRITES_H
#define DUEL_CORE_REWRITES_REWRITES_H

#include "core/graph.h"

enum {
  DUEL_REWRITE_SIMPLIFY = 1, // reshape of reshape, x·constant, +0, affine of affine, broadcast to the same shape, …
  DUEL_REWRITE_CSE = 2,      // equal op, attributes and inputs are one node; never writers, states by their version
  DUEL_REWRITE_FUSE = 4,     // product + bias + activation is one node, and so are a product, the derivative of an
                             // activation and column sums, and batchnorm + activation and its backward; reports and
                             // optimizers take in what only they read
  DUEL_REWRITE_DEAD = 8,     // what no writer and no output needs goes
  DUEL_REWRITE_EXPAND = 16,  // every fused op replaced by its decomposition (tests)
  DUEL_REWRITE_ALL = DUEL_REWRITE_SIMPLIFY | DUEL_REWRITE_CSE | DUEL_REWRITE_FUSE | DUEL_REWRITE_DEAD
};

// Runs the rewrites named in `which` in their proper order and replaces *g (closing the old graph).
duel_status duel_rewrite_graph(duel_graph **g, unsigned which);

#endif
