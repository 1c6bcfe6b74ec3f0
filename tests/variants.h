// Two variants of one step, which share their state and their feed, run in any order.
#ifndef DUEL_TESTS_VARIANTS_H
#define DUEL_TESTS_VARIANTS_H

#include "core/backend.h"

enum { DUEL_VARIANTS_N = 37, DUEL_VARIANTS_OUT = DUEL_VARIANTS_N + 3, DUEL_VARIANTS_STEPS = 64 };

typedef struct duel_variants_result { // what must be the same to the bit, however the steps were run
  float out[DUEL_VARIANTS_STEPS][DUEL_VARIANTS_OUT];
  float state[DUEL_VARIANTS_N];
} duel_variants_result;

typedef enum duel_variants_way {
  DUEL_TOGETHER, // one exec of both variants; `ahead` steps are submitted before the oldest is collected
  DUEL_ALONE,    // a fresh exec of one plan for each step
  DUEL_PROFILED, // as together, but every third step through duel_exec_profile
} duel_variants_way;

// Runs the steps of a pattern such as "AAAB", at most DUEL_VARIANTS_STEPS, on a fresh device. warning: what the backend
// says it does otherwise (NULL: not asked for).
duel_status duel_variants_run(const duel_backend_api *api, const duel_backend_options *options, const char *pattern,
                              duel_variants_way way, int ahead, duel_variants_result *r, char warning[256]);
// Fails the test where a pattern's steps do not yield the same bits in all ways.
void duel_variants_check(const duel_backend_api *api, const duel_backend_options *options, const char *pattern);

#endif
