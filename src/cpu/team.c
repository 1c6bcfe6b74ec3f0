// The backend's threads: they run a job's stages, whose pieces each takes as it gets to them.
//
// A stage ends when its pieces are finished, not when all threads have come: nobody waits for a thread that holds no
// piece, so one that the system lets wait, for other processes have its core, joins again where the others are by then.
// Whoever finishes a stage opens the next one, and runs serial ones himself on the way.
//
// A thread without a piece spins for some tens of microseconds, for most waits are shorter, and then sleeps: on a busy
// machine the others need the core. (OpenMP runtimes spin for milliseconds.)
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "cpu/cpu.h"

enum { SPINS = 4000 };

typedef struct worker {
  duel_team *team;
  pthread_t id;
} worker;

// `open` tells all: its upper half counts stages opened, ever; the lower half is NONE + the number of pieces that
// nobody has taken yet, or OVER between jobs. Taking a piece is to subtract 1; threads that come too late subtract too,
// which leaves it a little under NONE or OVER. Who has taken one knows that its stage is the present one until he
// reports it: only then may he read job, stage and end, which the opener wrote before.
enum { OVER = 1 << 29, NONE = 1 << 30 };

struct duel_team {
  int threads;
  int started; // workers that exist
  worker *worker;
  pthread_mutex_t mutex;
  pthread_cond_t opened;
  _Alignas(64) const duel_team_job *job;
  int stage;   // that is open
  int64_t end; // of its pieces
  _Alignas(64) _Atomic uint64_t open;
  _Alignas(64) _Atomic int64_t unfinished; // pieces of the stage that nobody has reported yet
  _Alignas(64) atomic_int sleepers;        // who wait on `opened` for the next turn
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
  if (atomic_load(&p->sleepers) == 0) return; // who counts himself in later sees the new turn
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

// Opens the stage after p->stage, all of whose pieces are finished.
static void open_next(duel_team *p) {
  const duel_team_job *job = p->job;
  while (++p->stage < job->n_stages) {
    const int64_t begin = p->stage > 0 ? job->stage[p->stage - 1].end : 0;
    p->end = job->stage[p->stage].end;
    if (job->begin) job->begin(job->ctx, p->stage);
    if (p->threads > 1 && !job->stage[p->stage].serial && p->end - begin > 1) {
      atomic_store(&p->unfinished, p->end - begin);
      publish(p, NONE + (uint32_t)(p->end - begin)); // a list of 2³⁰ pieces would fit no memory
      return;
    }
    for (int64_t i = begin; i < p->end; i++) job->run(job->ctx, i);
  }
  publish(p, OVER);
}

// Runs pieces of the open stage as long as there are any, then reports them. Yields what `open` was when there was
// none.
static uint64_t work(duel_team *p) {
  int64_t ran = 0;
  uint64_t open = atomic_load(&p->open);
  while (left_of(open) > 0) {
    open = atomic_fetch_sub(&p->open, 1); // may be of a later turn than the one seen above
    if (left_of(open) <= 0) break;
    p->job->run(p->job->ctx, p->end - left_of(open));
    ran++;
    open = atomic_load(&p->open);
  }
  if (ran > 0 && atomic_fetch_sub(&p->unfinished, ran) == ran) open_next(p);
  return open;
}

static void *worker_main(void *arg) {
  duel_team *p = ((const worker *)arg)->team;
  duel_blas_enter();
  for (;;) {
    const uint64_t open = work(p);
    if (atomic_load(&p->closing)) return NULL; // asked after `open` was read: closing comes before its own turn
    wait_for_turn(p, turn_of(open));
  }
}

duel_status duel_team_open(duel_team **team, int threads) {
  enum { STACK_BYTES = 2 << 20 }; // kernels keep half a MiB there
  *team = NULL;
  const size_t bytes = sizeof(duel_team) + (size_t)threads * sizeof(worker);
  duel_team *p = duel_malloc_aligned(64, bytes);
  if (!p) return duel_fail_memory("threads", bytes);
  memset(p, 0, bytes);
  p->worker = (worker *)(p + 1);
  p->threads = threads;
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
    w->team = p;
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

void duel_team_run(duel_team *p, const duel_team_job *job) {
  const int before = duel_blas_enter();
  p->job = job;
  p->stage = -1;
  open_next(p);
  for (uint64_t open = work(p); !is_over(open); open = work(p)) wait_for_turn(p, turn_of(open));
  duel_blas_leave(before);
}
