#include "gan/games/game.h"

static const duel_game *games[DUEL_MAX_GAMES + 1] = {&duel_game_gan, &duel_game_classifier}; // the first is the default
const duel_table duel_game_kinds = {games, 0, "game"};

duel_status duel_game_add(const duel_game *game) {
  int n = 0;
  const char *name = game->kind.kind.name;
  if (duel_table_find(&duel_game_kinds, name)) return duel_fail(DUEL_ERR_USAGE, "there is a game %s already", name);
  while (games[n]) n++;
  if (n == DUEL_MAX_GAMES) return duel_fail(DUEL_ERR_USAGE, "there are %d games; no more fit", n);
  games[n] = game;
  return DUEL_OK;
}
