// The team of threads and the jobs on top of it: each piece runs once, stages in order, and errors and the number of
// threads do not depend on luck.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/host.h"
#include "base/mem.h"
#include "base/team.h"

enum { MOST = 8, PIECES = 500 };

// ---- stages
typedef struct record {
  const duel_stage *stage;
  int threads;
  atomic_int runs[PIECES];
  atomic_int finished; // pieces
  atomic_int wrong;    // who ran before a stage was over, or under a number that no thread has
  atomic_int busy;     // pieces of a serial stage that run now
  int begun;           // stages
  atomic_int started;  // threads that said so
} record;

static void run_piece(void *ctx, int thread, int64_t piece) {
  record *r = ctx;
  int stage = 0;
  while (piece >= r->stage[stage].end) stage++;
  const int64_t before = stage > 0 ? r->stage[stage - 1].end : 0;
  const bool serial = r->stage[stage].serial;
  if (thread < 0 || thread >= r->threads || atomic_load(&r->finished) < before) atomic_fetch_add(&r->wrong, 1);
  if (serial && (atomic_fetch_add(&r->busy, 1) > 0 || atomic_load(&r->finished) != piece))
    atomic_fetch_add(&r->wrong, 1);
  atomic_fetch_add(&r->runs[piece], 1);
  if (serial) atomic_fetch_sub(&r->busy, 1);
  atomic_fetch_add(&r->finished, 1);
}

static void begin_stage(void *ctx, int stage) {
  record *r = ctx;
  if (r->begun++ != stage || atomic_load(&r->finished) != (stage > 0 ? r->stage[stage - 1].end : 0))
    atomic_fetch_add(&r->wrong, 1);
}

static void test_stages(void **state) {
  (void)state;
  static const duel_stage stage[] = {{1, false},   {200, false}, {240, true},
                                     {242, false}, {242, false}, {PIECES, false}};
  enum { STAGES = sizeof stage / sizeof *stage };
  for (int threads = 1; threads <= MOST; threads++) {
    duel_team *team;
    assert_int_equal(duel_team_open(&team, threads, NULL), DUEL_OK);
    for (int time = 0; time < 50; time++) {
      record r = {.stage = stage, .threads = threads};
      duel_team_run(team, &(duel_stages){STAGES, stage, run_piece, begin_stage, &r});
      for (int i = 0; i < PIECES; i++) assert_int_equal(r.runs[i], 1);
      assert_int_equal(r.wrong, 0);
      assert_int_equal(r.begun, STAGES);
    }
    record none = {.stage = stage};
    duel_team_run(team, &(duel_stages){0, NULL, run_piece, begin_stage, &none});
    assert_int_equal(none.finished, 0);
    duel_team_close(team);
  }
  duel_team_close(NULL);
}

static atomic_int starts;
static void start_thread(void) {
  atomic_fetch_add(&starts, 1);
}

static void test_start(void **state) {
  (void)state;
  duel_team *team;
  assert_int_equal(duel_team_open(&team, 4, start_thread), DUEL_OK);
  duel_team_close(team);
  assert_int_equal(starts, 3); // the caller's own thread is left alone
  duel_mem_fail_at(1, 0);
  assert_int_equal(duel_team_open(&team, 4, start_thread), DUEL_ERR_DEVICE);
  duel_mem_fail_at(0, 0);
  assert_null(team);
}

// ---- jobs
typedef struct task {
  int threads;
  pthread_t caller;
  atomic_int runs[PIECES], wrong, elsewhere;
  bool fails[PIECES];
  bool slow;
  int64_t told, tells;
} task;

static duel_status do_job(void *ctx, int thread, int64_t job) {
  task *t = ctx;
  atomic_fetch_add(&t->runs[job], 1);
  const bool here = pthread_equal(pthread_self(), t->caller);
  if (thread < 0 || thread >= t->threads || here != (thread == 0)) atomic_fetch_add(&t->wrong, 1);
  if (!here) atomic_fetch_add(&t->elsewhere, 1);
  if (t->slow) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  return t->fails[job] ? duel_fail(DUEL_ERR_DATA, "job %d is bad", (int)job) : DUEL_OK;
}

static void hear(void *ctx, int64_t done, int64_t n) {
  task *t = ctx;
  if (!pthread_equal(pthread_self(), t->caller) || done < t->told || done > n) atomic_fetch_add(&t->wrong, 1);
  t->told = done;
  t->tells++;
}

static duel_status run_jobs(task *t, int threads, int64_t n) {
  t->threads = threads;
  t->caller = pthread_self();
  return duel_jobs_run(&(duel_jobs){.n = n, .threads = threads, .work = do_job, .ctx = t, .tell = hear, .tell_ctx = t});
}

static void test_jobs(void **state) {
  (void)state;
  for (int threads = 1; threads <= MOST; threads++) {
    task t = {.slow = threads == 3};
    assert_int_equal(run_jobs(&t, threads, PIECES), DUEL_OK);
    for (int i = 0; i < PIECES; i++) assert_int_equal(t.runs[i], 1);
    assert_int_equal(t.wrong, 0);
    assert_int_equal(t.told, PIECES);
    if (t.slow) assert_in_range(t.tells, 3, 30); // about ten a second for a third of a second, more where it is busy
  }
  task none = {.slow = false};
  assert_int_equal(run_jobs(&none, 1, 0), DUEL_OK);
}

// The first failure by its number is told, and all before it have run; also where no team can be had.
static void test_first_failure(void **state) {
  (void)state;
  for (int threads = 1; threads <= MOST; threads++)
    for (int time = 0; time < 40; time++) {
      const int first = 7 * time;
      task t = {.fails = {[PIECES - 1] = true}};
      for (int i = first; i < PIECES; i += 1 + time % 3) t.fails[i] = true;
      if (time % 4 == 0) duel_mem_fail_at(1, 0);
      assert_int_equal(run_jobs(&t, threads, PIECES), DUEL_ERR_DATA);
      duel_mem_fail_at(0, 0);
      char error[32];
      snprintf(error, sizeof error, "job %d is bad", first);
      assert_string_equal(duel_last_error(), error);
      for (int i = 0; i <= first; i++) assert_int_equal(t.runs[i], 1);
      for (int i = first; i < PIECES; i++) assert_true(t.runs[i] <= 1);
      assert_true(t.told < PIECES);
      assert_int_equal(t.wrong, 0);
    }
}

// Decoding takes what a program of the CPU backend would: OMP_NUM_THREADS, and the cgroup's quota by the same function.
static void test_thread_count(void **state) {
  (void)state;
  unsetenv("OMP_NUM_THREADS");
  const int host = duel_host_threads();
  assert_int_equal(duel_jobs_threads(0, 1000), host < 64 ? host : 64);
  assert_int_equal(duel_jobs_threads(3, 1000), 3);
  assert_int_equal(duel_jobs_threads(3, 2), 2);
  assert_int_equal(duel_jobs_threads(1000, 1000), 64);
  assert_int_equal(duel_jobs_threads(0, 0), 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  assert_int_equal(duel_jobs_threads(0, 1000), 1);
  assert_int_equal(duel_jobs_threads(3, 1000), 3); // who asks, gets
  task t = {.slow = false};
  assert_int_equal(run_jobs(&t, duel_jobs_threads(0, PIECES), PIECES), DUEL_OK);
  assert_int_equal(t.elsewhere, 0);
  unsetenv("OMP_NUM_THREADS");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stages),        cmocka_unit_test(test_start),        cmocka_unit_test(test_jobs),
      cmocka_unit_test(test_first_failure), cmocka_unit_test(test_thread_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
