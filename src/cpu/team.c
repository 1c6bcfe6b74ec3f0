// The backend's threads. They wait at a barrier for work; a run takes one barrier to begin, those its work calls, and
// one to end. A wait spins for some tens of microseconds, for most are shorter, and then sleeps: on a busy machine the
// thread that the others wait for needs the core. (OpenMP runtimes spin for milliseconds: half as fast beside other
// processes.)
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "core/mem.h"
#include "cpu/cpu.h"

enum { SPINS = 4000 };

typedef struct worker {
  duel_team *team;
  int index; // 1 … threads-1; the caller of duel_team_run is 0
  pthread_t id;
} worker;

struct duel_team {
  atomic_int threads; // of which started + 1 exist
  int started;
  duel_team_work *work; // of the present run; NULL ends the workers
  void *ctx;
  worker *worker;
  pthread_mutex_t mutex;
  pthread_cond_t opened;
  _Alignas(64) _Atomic int64_t next;  // tickets given out since the last barrier
  _Alignas(64) atomic_int arrived;    // at the barrier
  _Alignas(64) atomic_int generation; // barriers passed
  atomic_int sleepers;                // who wait for the next generation on `opened`
};

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

void duel_team_barrier(duel_team *p) {
  const int generation = atomic_load(&p->generation);
  const int earlier = atomic_fetch_add(&p->arrived, 1);
  if (earlier == atomic_load(&p->threads) - 1) { // the last one opens it
    atomic_store(&p->arrived, 0);
    atomic_store(&p->next, 0);
    atomic_store(&p->generation, generation + 1);
    if (atomic_load(&p->sleepers) == 0) return; // who counts himself in later sees the new generation
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->opened);
    pthread_mutex_unlock(&p->mutex);
    return;
  }
  for (int spin = 0; spin < SPINS; spin++) {
    if (atomic_load(&p->generation) != generation) return;
    relax();
  }
  pthread_mutex_lock(&p->mutex);
  atomic_fetch_add(&p->sleepers, 1);
  while (atomic_load(&p->generation) == generation) pthread_cond_wait(&p->opened, &p->mutex);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->mutex);
}

int64_t duel_team_ticket(duel_team *p) {
  return atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
}

static void *worker_main(void *arg) {
  const worker *w = arg;
  duel_team *p = w->team;
  duel_blas_enter();
  for (;;) {
    duel_team_barrier(p);
    if (!p->work) return NULL;
    p->work(p->ctx, p, w->index, atomic_load(&p->threads));
    duel_team_barrier(p);
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
  atomic_init(&p->threads, threads);
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->opened, NULL);
  sigset_t all, before; // signals are for the program's own threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attr;
  int error = pthread_attr_init(&attr);
  if (error == 0) (void)pthread_attr_setstacksize(&attr, STACK_BYTES); // some systems' own choice is 128 KiB
  for (int i = 1; i < threads && error == 0; i++) {
    worker *w = &p->worker[i];
    *w = (worker){.team = p, .index = i};
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
  atomic_store(&p->threads, p->started + 1); // should some have failed to start
  p->work = NULL;
  if (p->started > 0) duel_team_barrier(p);
  for (int i = 1; i <= p->started; i++) pthread_join(p->worker[i].id, NULL);
  pthread_cond_destroy(&p->opened);
  pthread_mutex_destroy(&p->mutex);
  duel_free(p);
}

void duel_team_run(duel_team *p, duel_team_work *work, void *ctx) {
  const int threads = atomic_load(&p->threads), before = duel_blas_enter();
  p->work = work;
  p->ctx = ctx;
  if (threads > 1) duel_team_barrier(p);
  work(ctx, p, 0, threads);
  if (threads > 1) duel_team_barrier(p);
  duel_blas_leave(before);
}
