// What tests of whole runs share: a small recipe in the scratch folder.
#ifndef DUEL_TESTS_RUN_HELP_H
#define DUEL_TESTS_RUN_HELP_H

#include "io_help.h"

// Every kind of layer state (batchnorm, dropout, EMA) on 150 items of synthetic:shapes, so that epochs end within
// steps. The path is that of the file which small_recipe_setup, cmocka's set-up, writes.
extern const char *small_recipe;
int small_recipe_setup(void **state);

#endif
