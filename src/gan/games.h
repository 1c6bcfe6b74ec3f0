// The games there are. A game is one row: its nets and keys (duel_game_kind of recipe.h).
#ifndef DUEL_GAN_GAMES_H
#define DUEL_GAN_GAMES_H

#include "recipe/recipe.h"

enum { DUEL_MAX_GAMES = 16 };
// One more, for as long as the program runs; the row stays the caller's. USAGE if the name or all room is taken.
duel_status duel_game_add(const duel_game_kind *game);

// ---- gan: G and D against each other
enum { DUEL_GAN_D_STEPS, DUEL_GAN_D_UPDATE, DUEL_GAN_LATENTS }; // its keys
extern const duel_game_kind duel_game_gan;

static inline int duel_gan_d_steps(const duel_recipe *r) {
  return (int)r->game.value[DUEL_GAN_D_STEPS].number[0];
}
static inline bool duel_gan_joint(const duel_recipe *r) { // D moves once for real and fake together
  return r->game.value[DUEL_GAN_D_UPDATE].number[0] != 0;
}
static inline bool duel_gan_shared(const duel_recipe *r) { // G learns from the fakes that D just saw
  return r->game.value[DUEL_GAN_LATENTS].number[0] != 0;
}

#endif
