// Constraints on the weights of a net: rows of a table that a net's `constraint` chooses from.
#ifndef DUEL_GAN_CONSTRAINTS_H
#define DUEL_GAN_CONSTRAINTS_H

#include "gan/model.h"

// How many power iterations a weight's vectors begin with: those of its net's constraint.
int duel_spectral_warmup(const duel_net *net);
// The first u and v of a weight: normal draws of their ordinals, of length 1, moved on by the warm-up. Computed in
// double, rounded once. USAGE if the weight is 0 everywhere.
duel_status duel_spectral_start(const duel_param *weight, const float *w, int warmup, uint64_t seed, float *u,
                                float *v);

#endif
