// The dense GAN's training step, built by hand: two D updates and one of G, on slabs, as recipes/mlp.yaml describes.
#ifndef DUEL_TESTS_MINI_GAN_H
#define DUEL_TESTS_MINI_GAN_H

#include "core/graph.h"

enum { MINI_G, MINI_D, MINI_MAX_PARAMS = 8 };

typedef struct mini_player {
  int slab, m, v; // variables
  int n;
  duel_shape shape[MINI_MAX_PARAMS];
  int64_t offset[MINI_MAX_PARAMS], size;
} mini_player;

typedef struct mini_gan {
  int64_t batch, latent, hidden[2], side, d_hidden; // images are 1×side×side
  bool reshape_first;                               // G: reshape, then tanh
  duel_dtype real;
  duel_vars vars;
  mini_player net[2];
  int key, index, coef, data, mean, var, metrics;
} mini_gan;

mini_gan mini_gan_mlp(void);                  // the real sizes, in float32
mini_gan mini_gan_small(duel_dtype real);     // a few numbers each
duel_status mini_gan_declare(mini_gan *m);    // fills vars
duel_graph *mini_gan_step(const mini_gan *m); // NULL: duel_last_error()
void mini_gan_clear(mini_gan *m);

#endif
