#include "gan/game.h"

#include <string.h>

enum { MOST_ADDED = 8 };
static const duel_game *const games[] = {&duel_game_gan};
static const duel_game *added[MOST_ADDED];
static int n_added;

const duel_game *duel_game_find(const char *name) {
  for (size_t i = 0; i < sizeof games / sizeof *games; i++)
    if (!strcmp(games[i]->name, name)) return games[i];
  for (int i = 0; i < n_added; i++)
    if (!strcmp(added[i]->name, name)) return added[i];
  return NULL;
}

duel_status duel_game_add(const duel_game *game) {
  if (duel_game_find(game->name)) return duel_fail(DUEL_ERR_USAGE, "game %s: there is one of that name", game->name);
  if (n_added == MOST_ADDED) return duel_fail(DUEL_ERR_USAGE, "game %s: at most %d are added", game->name, MOST_ADDED);
  added[n_added++] = game;
  return DUEL_OK;
}

const duel_game *duel_game_of(const duel_recipe *r) {
  (void)r;
  return &duel_game_gan;
}
