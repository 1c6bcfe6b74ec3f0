// Is a plan right? Brute force, with no knowledge of how it was made.
#ifndef DUEL_TESTS_PLAN_CHECK_H
#define DUEL_TESTS_PLAN_CHECK_H

#include "core/plan/plan.h"

// Fails the test naming what is wrong:
//   - every node that computes runs once; no node of a group reads or writes what another one of it writes;
//   - run in order, and with the nodes of each group reversed, every input still holds what its maker wrote there;
//   - values alive in one group overlap only where one is the other: in place, or written into its pack;
//   - places are aligned and within the arena; the floor is a floor.
void check_plan(const duel_plan *plan);

#endif
