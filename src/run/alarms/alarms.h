// Alarms: a training that goes on and comes to nothing says so, once for each cause.
//
//   begin   what recipe and data tell before the first step (start.c)
//   tick    what the scalars of the ticks tell (alarms.c); an alarm is told when it has been seen in some ticks
//
// A tick's alarms know scalars by their names and nothing else of a run: a new one is a row of the table. What was
// told is forgotten when the process ends.
#ifndef DUEL_RUN_ALARMS_ALARMS_H
#define DUEL_RUN_ALARMS_ALARMS_H

#include "run/alarms/look.h"

enum { DUEL_MAX_ALARMS = 24, DUEL_ALARM_TEXT = 1024 };

typedef void duel_alarm_tell(void *ctx, const char *name, const char *text);

// What of a run does not change.
typedef struct duel_alarm_facts {
  int n_nets;
  const char *net[DUEL_MAX_NETS];   // names, as in the recipe
  const char *lower[DUEL_MAX_NETS]; // as in names of scalars
  double rate[DUEL_MAX_NETS];       // the highest of the run
  double blind, won;                // d_loss of a D that cannot tell, and of one that always does; NaN: not known
  bool signs;                       // D's output is above 0 for what it takes for real
  bool frozen;                      // a net learns nothing, as its recipe says
  double guess;                     // loss of a classifier that guesses; NaN: there is none
  int64_t classes;                  // of the data; 0: none
  const char *const *class_name;    // or NULL: they have numbers alone
} duel_alarm_facts;

typedef struct duel_alarms {
  duel_alarm_facts facts;
  struct {
    int ticks;     // that saw it, less those that did not
    int64_t since; // step of the first
    double first;  // its first scalar then
    double most;   // of all ticks
    bool told;
  } at[DUEL_MAX_ALARMS][DUEL_MAX_NETS];
} duel_alarms;

// The text lives until tell returns.
void duel_alarms_begin(duel_alarms *a, const duel_trainer *t, const duel_look *look, duel_alarm_tell *tell, void *ctx);
// The scalars of the tick that ended with so many steps.
void duel_alarms_tick(duel_alarms *a, int64_t step, const duel_scalar *scalar, int n, duel_alarm_tell *tell, void *ctx);

// start.c: what of begin is told, and the highest learning rate of a net.
void duel_alarms_start(const duel_trainer *t, const duel_look *look, duel_alarm_tell *tell, void *ctx);
double duel_alarms_rate(const duel_recipe *r, int net);

#endif
