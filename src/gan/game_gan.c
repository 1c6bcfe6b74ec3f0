// The game gan: D learns to tell real items from G's, G to yield items that D takes for real (Goodfellow et al. 2014,
// arXiv:1406.2661).
#include "gan/games.h"
#include "gan/losses.h"

static const duel_key keys[] = {{"d_steps", DUEL_KEY_INT, "1", 1, 1000, NULL, "rounds of D for one of G"},
                                {"d_update", DUEL_KEY_CHOICE, "joint", 0, 0, "separate|joint",
                                 "D moves once for real and fake together, or once for each"},
                                {"latents", DUEL_KEY_CHOICE, "shared", 0, 0, "fresh|shared",
                                 "G learns from the fakes that D just saw, or from fresh ones"},
                                {.name = NULL}};
static const char *const nets[] = {"G", "D", NULL};

const duel_game_kind duel_game_gan = {
    {"gan", NULL, keys, "G and D against each other"}, nets, "G", &duel_losses, true, true};
