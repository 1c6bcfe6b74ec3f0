// A stage ends when its last piece is reported. Threads are not counted: one that was descheduled delays nobody, and
// joins whatever stage is open when it runs again. The thread that reports the last piece opens the next stage, and
// runs serial stages itself on the way.
//
// A thread without a piece spins for some tens of microseconds, since most waits are shorter. Then it sleeps, since on
// a busy machine somebody else needs the core. (OpenMP runtimes spin for milliseconds.)
#include "base/team.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/host.h"
#include "base/mem.h"

enum { SPINS = 4000 };

typedef struct worker {
  duel_team *team;
  pthread_t id;
} worker;

// open = turn << 32 | left     turn: stages opened so far     left: NONE + pieces that nobody has taken; OVER when idle
//
// A thread takes a piece by subtracting 1. A thread that comes too late subtracts too, so left may be a little under
// NONE or OVER. From taking a piece until reporting it, a thread may read stages, stage and end: they were written
// before the stage was opened, and the stage cannot end meanwhile.
enum { OVER = 1 << 29, NONE = 1 << 30 };

struct duel_team {
  int threads;
  int started; // workers that exist
  worker *worker;
  void (*start)(void);
  pthread_mutex_t mutex;
  pthread_cond_t opened;
  _Alignas(64) const duel_stages *stages;
  int stage;   // the open one
  int64_t end; // index behind the open stage's last piece
  _Alignas(64) _Atomic uint64_t open;
  _Alignas(64) _Atomic int64_t unfinished; // pieces of the open stage that nobody has reported yet
  _Alignas(64) atomic_int sleepers;        // threads that wait on `opened`
  atomic_bool closing;
};

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static inline uint32_t turn_of(uint64_t open) {
  return (uint32_t)(open >> 32);
}

// Pieces that nobody has taken; none if it is not above 0.
static inline int64_t left_of(uint64_t open) {
  return (int64_t)(uint32_t)open - NONE;
}

static inline bool is_over(uint64_t open) {
  return (uint32_t)open <= OVER;
}

static void publish(duel_team *p, uint32_t state) {
  const uint64_t turn = turn_of(atomic_load(&p->open)) + UINT64_C(1);
  atomic_store(&p->open, turn << 32 | state);
  if (atomic_load(&p->sleepers) == 0) return; // a thread that starts to sleep after this sees the new turn
  pthread_mutex_lock(&p->mutex);
  pthread_cond_broadcast(&p->opened);
  pthread_mutex_unlock(&p->mutex);
}

static void wait_for_turn(duel_team *p, uint32_t turn) {
  for (int spin = 0; spin < SPINS; spin++) {
    if (turn_of(atomic_load(&p->open)) != turn) return;
    relax();
  }
  pthread_mutex_lock(&p->mutex);
  atomic_fetch_add(&p->sleepers, 1);
  while (turn_of(atomic_load(&p->open)) == turn) pthread_cond_wait(&p->opened, &p->mutex);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->mutex);
}

// Opens the stage after p->stage, whose pieces are all finished, on this thread's time.
static void open_next(duel_team *p, int thread) {
  const duel_stages *s = p->stages;
  while (++p->stage < s->n) {
    const int64_t begin = p->stage > 0 ? s->stage[p->stage - 1].end : 0;
    p->end = s->stage[p->stage].end;
    if (s->begin) s->begin(s->ctx, p->stage);
    if (p->threads > 1 && !s->stage[p->stage].serial && p->end - begin > 1) {
      atomic_store(&p->unfinished, p->end - begin);
      publish(p, NONE + (uint32_t)(p->end - begin));
      return;
    }
    for (int64_t i = begin; i < p->end; i++) s->run(s->ctx, thread, i);
  }
  publish(p, OVER);
}

// Runs pieces of the open stage until none is left, then reports how many it ran. Yields the value of `open` that had
// none.
static uint64_t work(duel_team *p, int thread) {
  int64_t ran = 0;
  uint64_t open = atomic_load(&p->open);
  while (left_of(open) > 0) {
    open = atomic_fetch_sub(&p->open, 1); // may be of a later turn than the one seen above
    if (left_of(open) <= 0) break;
    p->stages->run(p->stages->ctx, thread, p->end - left_of(open));
    ran++;
    open = atomic_load(&p->open);
  }
  if (ran > 0 && atomic_fetch_sub(&p->unfinished, ran) == ran) open_next(p, thread);
  return open;
}

static void *worker_main(void *arg) {
  const worker *w = arg;
  duel_team *p = w->team;
  const int number = (int)(w - p->worker) + 1; // 1 … threads − 1
  if (p->start) p->start();
  for (;;) {
    const uint64_t open = work(p, number);
    if (atomic_load(&p->closing)) return NULL; // read after `open`, since it is set before the turn that announces it
    wait_for_turn(p, turn_of(open));
  }
}

duel_status duel_team_open(duel_team **team, int threads, void (*start)(void)) {
  enum { STACK_BYTES = 2 << 20 }; // kernels keep half a MiB there
  *team = NULL;
  const size_t bytes = sizeof(duel_team) + (size_t)threads * sizeof(worker);
  duel_team *p = duel_malloc_aligned(64, bytes);
  if (!p) return duel_fail_memory("threads", bytes);
  memset(p, 0, bytes);
  p->worker = (worker *)(p + 1);
  p->threads = threads;
  p->start = start;
  atomic_init(&p->open, OVER);
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->opened, NULL);
  sigset_t all, before; // signals are for the program's own threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attr;
  int error = pthread_attr_init(&attr);
  if (error == 0) (void)pthread_attr_setstacksize(&attr, STACK_BYTES); // some systems' own choice is 128 KiB
  while (p->started < threads - 1 && error == 0) {
    worker *w = &p->worker[p->started];
    *w = (worker){.team = p};
    error = pthread_create(&w->id, &attr, worker_main, w);
    if (error == 0) p->started++;
  }
  (void)pthread_attr_destroy(&attr);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) {
    const int started = p->started;
    duel_team_close(p);
    return duel_fail(DUEL_ERR_DEVICE, "threads: only %d of %d could be started: %s", started + 1, threads,
                     strerror(error));
  }
  *team = p;
  return DUEL_OK;
}

void duel_team_close(duel_team *p) {
  if (!p) return;
  atomic_store(&p->closing, true);
  publish(p, OVER);
  for (int i = 0; i < p->started; i++) pthread_join(p->worker[i].id, NULL);
  pthread_cond_destroy(&p->opened);
  pthread_mutex_destroy(&p->mutex);
  duel_free(p);
}

void duel_team_run(duel_team *p, const duel_stages *stages) {
  p->stages = stages;
  p->stage = -1;
  open_next(p, 0);
  for (uint64_t open = work(p, 0); !is_over(open); open = work(p, 0)) wait_for_turn(p, turn_of(open));
}

// ---- jobs
// The pieces of one stage, so they are taken in the order of their numbers. When one fails, all before it are done or
// under way; so the first failure is the same with any number of threads.
enum { MOST_THREADS = 64 };

typedef struct job_list {
  const duel_jobs *jobs;
  double told;                // when thread 0 told last
  atomic_int_fast64_t done;   // jobs that went well
  atomic_int_fast64_t failed; // number of the first job that did not; n: none. Written under the lock, as what follows
  pthread_mutex_t lock;
  duel_status status;
  char error[1024];
} job_list;

static void keep_error(job_list *list, int64_t job, duel_status status) {
  pthread_mutex_lock(&list->lock);
  if (job < atomic_load(&list->failed)) {
    atomic_store(&list->failed, job);
    list->status = status;
    snprintf(list->error, sizeof list->error, "%s", duel_last_error());
  }
  pthread_mutex_unlock(&list->lock);
}

static void run_job(void *ctx, int thread, int64_t job) {
  job_list *list = ctx;
  const duel_jobs *jobs = list->jobs;
  if (job > atomic_load(&list->failed)) return;
  const duel_status status = jobs->work(jobs->ctx, thread, job);
  if (status != DUEL_OK) {
    keep_error(list, job, status);
    return;
  }
  const int64_t done = atomic_fetch_add(&list->done, 1) + 1;
  if (thread != 0 || !jobs->tell || done == jobs->n || duel_now() - list->told < 0.1) return;
  jobs->tell(jobs->tell_ctx, done, jobs->n);
  list->told = duel_now();
}

int duel_jobs_threads(int asked, int64_t n) {
  if (asked <= 0) asked = duel_host_threads();
  int64_t threads = asked < MOST_THREADS ? asked : MOST_THREADS;
  if (threads > n) threads = n;
  return threads > 1 ? (int)threads : 1;
}

duel_status duel_jobs_run(const duel_jobs *jobs) {
  job_list list = {.jobs = jobs, .told = duel_now(), .failed = jobs->n, .lock = PTHREAD_MUTEX_INITIALIZER};
  duel_team *team = NULL;
  if (jobs->threads > 1 && duel_team_open(&team, jobs->threads, NULL) == DUEL_OK) {
    duel_team_run(team, &(duel_stages){1, &(duel_stage){.end = jobs->n}, run_job, NULL, &list});
    duel_team_close(team);
  } else { // one thread does as well
    for (int64_t job = 0; job < jobs->n; job++) run_job(&list, 0, job);
  }
  if (list.failed < jobs->n) return duel_fail_again(list.status, list.error);
  if (jobs->tell) jobs->tell(jobs->tell_ctx, jobs->n, jobs->n);
  return DUEL_OK;
}
