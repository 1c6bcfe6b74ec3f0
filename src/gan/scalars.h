// The named scalars of a run: whoever builds a step reports them, and whoever tells of the run reads them by name. A
// new scalar is one line where it is made.
//
//   a step   writes one float a scalar that it makes into the OUTPUT variable "scalars", at the scalar's index
//   take     those of one finished step, as they come back; a value that is not finite ends the run
//   tick     the next step begins a new one; until then the old one's can be read
//
// Steps differ in what they make (penalties every n steps): a set of indices says what one kind of step makes.
#ifndef DUEL_GAN_SCALARS_H
#define DUEL_GAN_SCALARS_H

#include <stdbool.h>

#include "base/status.h"

enum { DUEL_MAX_SCALARS = 64, DUEL_SCALAR_NAME = 48 };

typedef enum duel_scalar_mode {
  DUEL_LAST = 0,      // of the last step of the tick that made it
  DUEL_MEAN = 1,      // over the steps of the tick that made it
  DUEL_ROOT_LAST = 2, // as last, of the root of what the step reports
} duel_scalar_mode;

typedef struct duel_scalars {
  int n;
  bool ended; // the tick: the next value begins another
  struct {
    char name[DUEL_SCALAR_NAME]; // "penalty.gp"
    const char *label;           // "D loss": shown in lines for people; NULL: not there
    duel_scalar_mode mode;
    double sum, last; // of this tick
    int64_t steps;    // of this tick that made it
  } at[DUEL_MAX_SCALARS];
  duel_scalar shown[DUEL_MAX_SCALARS];
} duel_scalars;

// The index of a name, which is added if it is new; -1 if there are too many.
int duel_scalars_index(duel_scalars *s, const char *name, const char *label, duel_scalar_mode mode);
// Of step number `step`: src[index] for the indices of the set. DIVERGED names what is not finite.
duel_status duel_scalars_take(duel_scalars *s, const float *src, uint64_t set, int64_t step);
void duel_scalars_put(duel_scalars *s, int index, double value); // of a scalar that the host knows
duel_status duel_scalars_tell(duel_scalars *s, const char *name, const char *label, double value); // the same, by name
// Those that the steps of the tick made, or of the one that has just ended. The list lives until the next call.
int duel_scalars_list(duel_scalars *s, const duel_scalar **list);
void duel_scalars_tick(duel_scalars *s);

#endif
