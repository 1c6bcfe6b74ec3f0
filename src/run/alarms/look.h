// A look at what G makes: a few items of it, the same latents each time, beside a few of the data.
//
// A run looks once a tick, between two steps, through the net that samples (its moving average where there is one, in
// inference mode): at what pictures and `generate` show. So a step costs nothing more, and no bit of it changes.
#ifndef DUEL_RUN_ALARMS_LOOK_H
#define DUEL_RUN_ALARMS_LOOK_H

#include "gan/layers/layers.h"
#include "run/trainer.h"

typedef struct duel_look {
  int64_t n, size;     // items that are looked at, numbers of one
  float low, high;     // of the data
  double distance;     // mean distance of two items of the data; 0: all that were looked at are the same
  double spread, ends; // of the data, as duel_look_spread and duel_look_ends have them
  duel_reach reach;    // of the net that samples
  float *real;         // [n, size]: the data's
  float *latents;      // [n, latent]; NULL: the game draws no items
  float *now;          // [n, size]: G's
} duel_look;

// Looks at the data. plan_only: at no more, ever.
duel_status duel_look_open(duel_look *l, const duel_trainer *t, bool plan_only);
// Looks at G's items; puts the scalars spread_real, spread_fake, apart, and where G's numbers are bounded
// ends_real and ends_fake. A tick whose items are not finite has none.
duel_status duel_look_take(duel_look *l, duel_trainer *t);
void duel_look_close(duel_look *l);

// Of n items of `size` numbers. A distance of two items is the root mean square of their difference.
double duel_look_distance(const float *items, int64_t n, int64_t size); // the mean one
// The geometric mean of (distance + floor) over pairs: few kinds of items, of which pairs are alike, make it small.
double duel_look_spread(const float *items, int64_t n, int64_t size, double floor);
// The energy distance of two sets of items, by its root mean square distances: 2 E|a − b| − E|a − a'| − E|b − b'|. 0:
// they are alike.
double duel_look_apart(const float *a, const float *b, int64_t n, int64_t size);
// The share of numbers at an end of the reach, where tanh and sigmoid are flat.
double duel_look_ends(const float *items, int64_t n, int64_t size, duel_reach reach);

#endif
