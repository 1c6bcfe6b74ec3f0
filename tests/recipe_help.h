// Recipes from text: resolved, or refused with exactly one message.
#ifndef TESTS_RECIPE_HELP_H
#define TESTS_RECIPE_HELP_H

#include "recipe/recipe.h"

// Lines 1-6 of most recipes in the tests; further keys follow from line 7 on.
#define HEAD                                                                                                           \
  "recipe: 1\n"                                                                                                        \
  "data: fashion-mnist\n"                                                                                              \
  "latent: 100\n"                                                                                                      \
  "G: [dense: 784, tanh, reshape: [1, 28, 28]]\n"                                                                      \
  "D: [flatten, dense: 1]\n"                                                                                           \
  "train: {length: 10}\n"

extern const duel_data_shape recipe_images, recipe_points; // 1×28×28 with 10 classes; 2 numbers without labels

// Closes the source. Checks that the recipe's text resolves to the same text.
duel_recipe *recipe_resolve(duel_recipe_source *source, const duel_data_shape *data);
duel_recipe *recipe_from(const char *text);

// With settings "key=value"; one that begins with "--flag " comes from that flag. The list ends with NULL.
duel_recipe *recipe_set(const char *text, const char *const *pairs);
#define SET(text, ...) recipe_set(text, (const char *const[]){__VA_ARGS__, NULL})

enum { NET_G, NET_D }; // of the game gan
// Keys of what was chosen, by name: value_of(&r->loss, "label_smoothing")->number[0].
const duel_key_value *value_of(const duel_chosen *c, const char *key);
const duel_schedule *lr_of(const duel_recipe *r, int net);
bool is_named(const duel_chosen *c, const char *name);
// The differences as lines "train.batch: 64 -> 32", "" if there are none; as many as fit.
duel_status recipe_diff(const char *old_text, const char *new_text, char *dst, size_t n);

void recipe_message(const char *expected); // duel_last_error() is this
void recipe_refuses(const char *text, const char *message);
void recipe_refuses_set(const char *text, const char *message, const char *const *pairs);
#define REFUSES_SET(text, message, ...) recipe_refuses_set(text, message, (const char *const[]){__VA_ARGS__, NULL})

#endif
