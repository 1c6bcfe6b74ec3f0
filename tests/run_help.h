// What tests of whole runs share: a scratch folder with a small recipe in it, and files compared.
#ifndef DUEL_TESTS_RUN_HELP_H
#define DUEL_TESTS_RUN_HELP_H

#include <stdbool.h>

#include "duel.h"

// After duel_scratch_open: a recipe of every kind of layer state (batchnorm, dropout, EMA) on 150 items of
// synthetic:shapes, so that epochs end within steps.
extern char duel_small_recipe[64];

int duel_scratch_open(void **state); // cmocka's group set-up and tear-down
int duel_scratch_close(void **state);
const char *in_folder(const char *name); // a path in the scratch folder; four may be in use at once
void must(duel_status status);           // fails the test with the library's message
bool same_bytes(const char *a, const char *b);

#endif
