// Initializers: how parameters begin. A new one is one entry of the table in inits.c.
#ifndef DUEL_GAN_INITS_H
#define DUEL_GAN_INITS_H

#include "recipe/recipe.h"

// offset + scale·draw: UNIFORM draws from (−1, 1], NORMAL from N(0, 1), FIXED nothing; ORTHOGONAL makes rows of normal
// draws orthogonal and of length 1.
typedef enum duel_distribution { DUEL_FIXED, DUEL_UNIFORM, DUEL_NORMAL, DUEL_ORTHOGONAL } duel_distribution;
typedef struct duel_filling {
  duel_distribution draw;
  float offset, scale;
} duel_filling;

typedef struct duel_init_kind {
  duel_kind kind;
  duel_filling (*fill)(const duel_chosen *init, double fan_in, double fan_out);
  bool biases; // drawn as well; else they begin as zeros
  bool matrix; // of tensors of two and more dimensions alone
} duel_init_kind;

extern const duel_chosen duel_init_standard_normal; // N(0, 1)

// The rows of x [rows, columns] become orthogonal and of length 1; where it has more rows than columns, its columns do.
// As torch.nn.init.orthogonal_: Q of the QR decomposition, in float64, whose R has a positive diagonal; rounded once.
duel_status duel_orthogonal(int64_t rows, int64_t columns, float *x);

static inline const duel_init_kind *duel_init_of(const duel_chosen *init) {
  return (const duel_init_kind *)(const void *)init->kind;
}

#endif
