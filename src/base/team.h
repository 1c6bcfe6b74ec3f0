// A team of threads: the only ones in the library that compute. It runs pieces of work, stage after stage.
#ifndef DUEL_BASE_TEAM_H
#define DUEL_BASE_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct duel_team duel_team;

// Pieces [end of the stage before, end) may run in any order and at once, after all of the stages before. Threads take
// them in the order of their numbers. serial: one thread runs them, one after the other.
typedef struct duel_stage {
  int64_t end;
  bool serial;
} duel_stage;

// thread: who runs the piece, 0 … threads − 1; 0 is the caller of duel_team_run.
typedef struct duel_stages {
  int n;
  const duel_stage *stage;
  void (*run)(void *ctx, int thread, int64_t piece);
  void (*begin)(void *ctx, int stage); // before each stage; may be NULL
  void *ctx;
} duel_stages;

// Starts threads − 1 threads. start: what each of them calls first; may be NULL. DEVICE if not all can be had.
duel_status duel_team_open(duel_team **team, int threads, void (*start)(void));
void duel_team_close(duel_team *team);
void duel_team_run(duel_team *team, const duel_stages *stages); // one call at a time

// ---- jobs: independent work that may fail, such as decoding
typedef struct duel_jobs {
  int64_t n;   // jobs 0..n-1
  int threads; // as duel_jobs_threads says, or fewer
  duel_status (*work)(void *ctx, int thread, int64_t job);
  void *ctx;
  // From the calling thread, about ten times a second and at the end; NULL: nobody listens.
  void (*tell)(void *ctx, int64_t done, int64_t n);
  void *tell_ctx;
} duel_jobs;

// How many threads n jobs are worth: at most `asked` (0: as many as there are processors for us). At least 1.
int duel_jobs_threads(int asked, int64_t n);

// Ends when all jobs are done, or with the message of the first job, by its number, that failed; later ones may then
// not have run.
duel_status duel_jobs_run(const duel_jobs *jobs);

#endif
