// Penalties, in the order in which their passes run: what is added to D's loss. A new one is one entry here.
#include "recipe/recipe.h"

static const duel_kind rows[] = {{.name = NULL}};
const duel_table duel_penalty_kinds = {rows, sizeof *rows, "penalty"};
