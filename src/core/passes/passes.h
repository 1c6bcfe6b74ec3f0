// Rewrites: each reads a graph and yields a new, equal one. Outputs and last state versions are what must survive.
#ifndef DUEL_CORE_PASSES_PASSES_H
#define DUEL_CORE_PASSES_PASSES_H

#include "core/graph.h"

enum {
  DUEL_PASS_SIMPLIFY = 1, // reshape of reshape, x·constant, +0, affine of affine, broadcast to the same shape, …
  DUEL_PASS_CSE = 2,      // equal op, attributes and inputs are one node; never writers, states by their version
  DUEL_PASS_FUSE = 4,     // product + bias + activation is one node, and so are a product, the derivative of an
                          // activation and column sums, and batchnorm + activation and its backward; reports and
                          // optimizers take in what only they read
  DUEL_PASS_DEAD = 8,     // what no writer and no output needs goes
  DUEL_PASS_EXPAND = 16,  // every fused op replaced by its decomposition (tests)
  DUEL_PASS_ALL = DUEL_PASS_SIMPLIFY | DUEL_PASS_CSE | DUEL_PASS_FUSE | DUEL_PASS_DEAD
};

// Runs the rewrites named in `which` in their proper order and replaces *g (closing the old graph).
duel_status duel_passes(duel_graph **g, unsigned which);

#endif
