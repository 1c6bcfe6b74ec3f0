// Many independent jobs on some threads, for decoding.
#ifndef DUEL_BASE_JOBS_H
#define DUEL_BASE_JOBS_H

#include <stdint.h>

#include "base/status.h"

typedef struct duel_jobs {
  int64_t n;   // jobs 0..n-1
  int threads; // as duel_jobs_threads says, or fewer
  duel_status (*work)(void *ctx, int worker, int64_t job);
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
