// Games: which nets there are, what each reads and yields, and how a step trains them. One file a game.
#ifndef DUEL_GAN_GAME_H
#define DUEL_GAN_GAME_H

#include "gan/step.h"

typedef struct duel_game {
  duel_game_kind kind; // what its recipes say
  // Declares each net on what it reads (duel_model_declare) and sets m->item, what it samples; item: of the data, rank
  // 0 where it is not known. USAGE where shapes do not fit.
  duel_status (*declare)(duel_model *m, duel_shape item);
  int64_t (*items)(const duel_recipe *r);        // real items of a step
  int (*updates)(const duel_recipe *r, int net); // of the net in a step, at most
  void (*train)(duel_step *s);                   // the nodes of a step
  int samples;                                   // the net that draws samples from latents; -1: none does
  int tests;                                     // the net whose accuracy on a test set is told; -1: none is tested
  bool labels;                                   // it takes the items' labels, whatever its nets read
} duel_game;

extern const duel_game duel_game_gan, duel_game_classifier;

enum { DUEL_MAX_GAMES = 16 };
// One more, for as long as the program runs; the row stays the caller's. USAGE if the name or all room is taken.
duel_status duel_game_add(const duel_game *game);

static inline const duel_game *duel_game_of(const duel_recipe *r) {
  return (const duel_game *)(const void *)r->game.kind;
}

#endif
