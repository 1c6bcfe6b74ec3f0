// What numbers a net can yield, as its last layers tell: tanh −1 to 1, sigmoid 0 to 1.
#include <math.h>
#include <string.h>

#include "gan/layers/layers.h"

static const duel_reach ends[] = {{"tanh", -1, 1}, {"sigmoid", 0, 1}, {"relu", 0, INFINITY}};
// What they yield lies between the least and the largest number that they read.
static const char *const keep[] = {"reshape", "flatten", "upsample", "avgpool", "maxpool"};

static bool keeps(const char *name) {
  for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
    if (!strcmp(keep[i], name)) return true;
  return false;
}

duel_reach duel_layers_reach(const duel_layers *layers) {
  int last = layers->n - 1;
  while (last >= 0 && keeps(layers->layer[last].kind->name)) last--;
  for (size_t i = 0; last >= 0 && i < sizeof ends / sizeof *ends; i++)
    if (!strcmp(ends[i].layer, layers->layer[last].kind->name)) return ends[i];
  return (duel_reach){.low = -INFINITY, .high = INFINITY};
}
