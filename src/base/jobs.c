// Jobs are taken in order of their number, so when one fails all before it are done or under way: once the threads have
// ended, the first failure is the one that any number of threads finds.
#include "base/jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/host.h"
#include "base/mem.h"

enum { MOST_THREADS = 64 };

typedef struct state {
  const duel_jobs *jobs;
  pthread_mutex_t lock;
  pthread_cond_t ended; // a worker has
  int64_t next, done;
  int64_t failed; // number of the first job that did, n: none
  int working;
  duel_status status;
  char error[1024];
} state;

typedef struct worker {
  state *all;
  int number;
  pthread_t thread;
} worker;

static void keep_error(state *s, int64_t job, duel_status status) {
  if (job >= s->failed) return;
  s->failed = job;
  s->status = status;
  snprintf(s->error, sizeof s->error, "%s", duel_last_error());
}

static void *work(void *arg) {
  const worker *w = arg;
  state *s = w->all;
  pthread_mutex_lock(&s->lock);
  while (s->next < s->failed) {
    int64_t job = s->next++;
    pthread_mutex_unlock(&s->lock);
    duel_status status = s->jobs->work(s->jobs->ctx, w->number, job);
    pthread_mutex_lock(&s->lock);
    if (status == DUEL_OK)
      s->done++;
    else
      keep_error(s, job, status);
  }
  s->working--;
  pthread_cond_signal(&s->ended);
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

int duel_jobs_threads(int asked, int64_t n) {
  if (asked <= 0) asked = duel_host_threads();
  int64_t threads = asked < MOST_THREADS ? asked : MOST_THREADS;
  if (threads > n) threads = n;
  return threads > 1 ? (int)threads : 1;
}

static void tell(const state *s, int64_t done) {
  if (s->jobs->tell) s->jobs->tell(s->jobs->tell_ctx, done, s->jobs->n);
}

static duel_status run_here(state *s) {
  double told = duel_now();
  for (int64_t job = 0; job < s->jobs->n; job++) {
    DUEL_TRY(s->jobs->work(s->jobs->ctx, 0, job));
    if (duel_now() - told < 0.1) continue;
    told = duel_now();
    tell(s, job + 1);
  }
  return DUEL_OK;
}

static void wait_and_tell(state *s) {
  pthread_mutex_lock(&s->lock);
  while (s->working > 0) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_sec++;
      until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&s->ended, &s->lock, &until);
    int64_t done = s->done;
    pthread_mutex_unlock(&s->lock); // the listener may take its time
    if (done < s->jobs->n) tell(s, done);
    pthread_mutex_lock(&s->lock);
  }
  pthread_mutex_unlock(&s->lock);
}

duel_status duel_jobs_run(const duel_jobs *jobs) {
  state s = {.jobs = jobs, .failed = jobs->n, .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
  worker *w = jobs->threads > 1 ? duel_calloc((size_t)jobs->threads, sizeof *w) : NULL;
  int started = 0;
  for (; w && started < jobs->threads; started++) {
    w[started] = (worker){.all = &s, .number = started};
    pthread_mutex_lock(&s.lock);
    s.working++;
    pthread_mutex_unlock(&s.lock);
    if (pthread_create(&w[started].thread, NULL, work, &w[started]) == 0) continue;
    pthread_mutex_lock(&s.lock);
    s.working--;
    pthread_mutex_unlock(&s.lock);
    break;
  }
  duel_status status;
  if (started > 0) { // fewer than asked for do as well
    wait_and_tell(&s);
    for (int i = 0; i < started; i++) pthread_join(w[i].thread, NULL);
    status = s.failed < jobs->n ? duel_fail(s.status, "%s", s.error) : DUEL_OK;
  } else {
    status = run_here(&s);
  }
  duel_free(w);
  if (status == DUEL_OK) tell(&s, jobs->n);
  return status;
}
