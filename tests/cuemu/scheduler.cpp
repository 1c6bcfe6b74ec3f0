// Runs a kernel: one block after the other, each CUDA thread a fiber of its own from the moment it first waits. Threads
// that never wait run one after the other on one fiber, at the price of a call.
//
// Invariant: exactly one fiber or the host runs at any time, and `now` tells which thread that is. Everything here is
// hidden from ThreadSanitizer: to it each CUDA thread is a fiber with a stack of its own, which nothing but launches
// and barriers orders.
#include "internal.h"

#include "fiber.h"

#include <stdarg.h>
#include <unistd.h>

cuemu_place cuemu_here;
cuemu_order cuemu_the_order = CUEMU_FORWARD;

namespace {
enum { MAX_THREADS = 1024, MAX_SITES = 64 };
enum thread_state { NEW, READY, AT_BARRIER, AT_WARP, DONE };

struct thread {
  cuemu_fiber *on; // NULL: not yet begun
  thread_state state;
  const char *what, *file; // what it waits for, and where
  int line, predicate;
  cuemu_vote vote;
  unsigned mask, barriers, syncwarps;
  uint64_t value;
};

struct shared_block {
  const void *site;
  const char *name;
  unsigned char *p;
  size_t bytes;
};

const cuemu_launch *launch; // NULL: no kernel is running
thread threads[MAX_THREADS];
uint3 places[MAX_THREADS];  // threadIdx of each
unsigned turn[MAX_THREADS]; // the order of this round
unsigned n_threads, begun, now, vote_result;
uint64_t warp_values[MAX_THREADS];
shared_block shared[MAX_SITES];
unsigned n_shared;
size_t static_bytes;
uint64_t random_state = 1;

#ifdef CUEMU_TSAN
// What orders threads: the launch, and within a block its barriers. Barriers of even and of odd number have two
// variables: the first thread out of one that reaches the next must not lend that order to threads still in the first.
struct launch_order {
  char start, end;
} * of_launch;
struct block_order {
  char barrier[2], warp[MAX_THREADS / 32][2];
} * of_block;
#endif

// The running thread waits; it goes on when the scheduler has made it READY again.
CUEMU_RAW void wait(thread_state state, const char *what, const char *file, int line) {
  thread *t = &threads[now];
  t->state = state;
  t->what = what;
  t->file = file;
  t->line = line;
  cuemu_switch_fiber(nullptr);
}

// ---- who may go on
CUEMU_RAW void shuffle_turns() {
  for (unsigned i = 0; i < n_threads; i++) turn[i] = cuemu_the_order == CUEMU_REVERSE ? n_threads - 1 - i : i;
  if (cuemu_the_order != CUEMU_RANDOM) return;
  for (unsigned i = n_threads; i > 1; i--) {
    const unsigned j = (unsigned)(cuemu_random() % i), swap = turn[i - 1];
    turn[i - 1] = turn[j];
    turn[j] = swap;
  }
}

CUEMU_RAW bool same_text(const char *a, const char *b) {
  return a == b || !strcmp(a, b);
}

CUEMU_RAW bool same_place(const thread *a, const thread *b) {
  return a->line == b->line && same_text(a->file, b->file) && same_text(a->what, b->what);
}

// Whether lane `other` has come to where thread i waits with its mask.
CUEMU_RAW bool has_come(unsigned i, unsigned other) {
  const thread *t = &threads[i], *o = &threads[other];
  return other < n_threads && o->state == AT_WARP && o->mask == t->mask && same_place(t, o);
}

CUEMU_RAW bool release_warps() {
  bool any = false;
  for (unsigned i = 0; i < n_threads; i++) {
    thread *t = &threads[i];
    if (t->state != AT_WARP) continue;
    const unsigned warp = i & ~31u;
    bool all = true;
    for (unsigned lane = 0; lane < 32; lane++) {
      if (!(t->mask >> lane & 1)) continue;
      now = i;
      if (warp + lane >= n_threads || threads[warp + lane].state == DONE)
        cuemu_die("%s at %s:%d: mask %08x names lane %u, which %s", t->what, t->file, t->line, t->mask, lane,
                  warp + lane >= n_threads ? "this block does not have" : "has exited");
      all &= has_come(i, warp + lane);
    }
    if (!all) continue;
    const unsigned mask = t->mask;
    for (unsigned lane = 0; lane < 32; lane++)
      if (mask >> lane & 1) {
        warp_values[warp + lane] = threads[warp + lane].value;
        threads[warp + lane].state = READY;
      }
    any = true;
  }
  return any;
}

// All threads that have not exited wait at barriers: lets them go, if it is one barrier and nobody is missing.
CUEMU_RAW bool release_barrier() {
  unsigned waiting = 0, done = 0, first = 0, gone = 0;
  for (unsigned i = n_threads; i-- > 0;) {
    if (threads[i].state == AT_BARRIER) waiting++, first = i;
    if (threads[i].state == DONE) done++, gone = i;
  }
  if (waiting == 0 || waiting + done < n_threads) return false;
  const thread *f = &threads[first];
  now = first;
  if (done > 0)
    cuemu_die(
        "waits at %s (%s:%d), but %u of %u threads have exited, the first of them thread %u: the barrier diverges",
        f->what, f->file, f->line, done, n_threads, gone);
  vote_result = f->vote == CUEMU_AND;
  for (unsigned i = 0; i < n_threads; i++) {
    thread *t = &threads[i];
    if (!same_place(f, t))
      cuemu_die("waits at %s (%s:%d), but thread %u at %s (%s:%d): the barrier diverges", f->what, f->file, f->line, i,
                t->what, t->file, t->line);
    const unsigned p = t->predicate != 0;
    vote_result = f->vote == CUEMU_COUNT ? vote_result + p : f->vote == CUEMU_AND ? vote_result & p : vote_result | p;
    t->state = READY;
  }
  return true;
}

// Nobody can go on: says why, by the first thread that waits for lanes of its warp.
[[noreturn]] CUEMU_RAW void deadlock() {
  for (unsigned i = 0; i < n_threads; i++) {
    const thread *t = &threads[i];
    if (t->state != AT_WARP) continue;
    now = i;
    for (unsigned lane = 0; lane < 32; lane++) {
      const unsigned o = (i & ~31u) + lane;
      if (!(t->mask >> lane & 1) || has_come(i, o)) continue;
      const thread *other = &threads[o];
      if (other->state == AT_WARP && same_place(t, other))
        cuemu_die("%s at %s:%d with mask %08x, but lane %u is there with mask %08x", t->what, t->file, t->line, t->mask,
                  lane, other->mask);
      cuemu_die("deadlock: %s at %s:%d with mask %08x waits for lane %u, which waits at %s (%s:%d)", t->what, t->file,
                t->line, t->mask, lane, other->what, other->file, other->line);
    }
  }
  cuemu_die("deadlock");
}

// ---- blocks
// What the emulator does to a block's memory is no access that could race; memory fresh from malloc has no order from a
// former life.
CUEMU_RAW void hide(bool hidden) {
#ifdef CUEMU_TSAN
  if (hidden)
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  else
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
  (void)hidden;
}

CUEMU_RAW void *hidden_malloc(size_t bytes) {
  hide(true);
  void *p = malloc(bytes);
  hide(false);
  if (!p) cuemu_die("no memory for %zu bytes of shared memory", bytes);
  return p;
}

CUEMU_RAW void hidden_free(void *p) {
  hide(true);
  free(p);
  hide(false);
}

#ifdef CUEMU_ASAN
constexpr size_t RIM = 0;
#else
constexpr size_t RIM = 64;
#endif

CUEMU_RAW void *shared_alloc(const void *site, const char *name, size_t bytes) {
  unsigned char *p = (unsigned char *)hidden_malloc(bytes + 2 * RIM) + RIM;
  hide(true);
  for (unsigned char *c = p - RIM; c < p; c++) *c = cuemu_canary(c);
  for (unsigned char *c = p + bytes; c < p + bytes + RIM; c++) *c = cuemu_canary(c);
  memset(p, 0xFF, bytes);
  hide(false);
  if (n_shared == MAX_SITES) cuemu_die("more than %d shared arrays", MAX_SITES);
  shared[n_shared++] = {site, name, p, bytes};
  return p;
}

CUEMU_RAW void shared_free() {
  for (unsigned i = 0; i < n_shared; i++) {
    unsigned char *p = shared[i].p;
    for (unsigned char *c = p - RIM; c < p + shared[i].bytes + RIM; c++) {
      if (c == p) c += shared[i].bytes;
      if (RIM > 0 && *c != cuemu_canary(c))
        cuemu_die("a thread of this block has written byte %td of shared array %s of %zu bytes", c - p, shared[i].name,
                  shared[i].bytes);
    }
    hidden_free(p - RIM);
  }
  n_shared = 0;
}

CUEMU_RAW void run_block() {
  for (unsigned i = 0; i < n_threads; i++) {
    threads[i].on = nullptr;
    threads[i].state = NEW;
    threads[i].barriers = threads[i].syncwarps = 0;
  }
  static_bytes = 0;
#ifdef CUEMU_TSAN
  of_block = (block_order *)hidden_malloc(sizeof *of_block);
#endif
  if (launch->smem > 0) shared_alloc(nullptr, "of dynamic size", launch->smem);
  shuffle_turns();
  for (begun = 0; begun < n_threads;) cuemu_switch_fiber(cuemu_take_fiber());
  for (;;) {
    bool live = false;
    for (unsigned i = 0; i < n_threads; i++) live |= threads[i].state != DONE;
    if (!live) break;
    const bool warps = release_warps();
    if (!warps && !release_barrier()) deadlock();
    shuffle_turns();
    for (unsigned i = 0; i < n_threads; i++) {
      now = turn[i];
      if (threads[now].state != READY) continue;
      cuemu_here.thread = places[now];
      cuemu_switch_fiber(threads[now].on);
    }
  }
  shared_free();
#ifdef CUEMU_TSAN
  hidden_free(of_block);
#endif
}
} // namespace

// A fiber begins the block's next thread as long as there is one and the last did not wait; then it is free.
CUEMU_RAW void cuemu_fiber_work(cuemu_fiber *me) {
  while (begun < n_threads) {
    now = turn[begun++];
    threads[now].on = me;
    cuemu_here.thread = places[now];
#ifdef CUEMU_TSAN
    __tsan_acquire(&of_launch->start);
#endif
    launch->call(launch->args);
#ifdef CUEMU_TSAN
    __tsan_release(&of_launch->end);
#endif
    threads[now].state = DONE;
#ifdef CUEMU_TSAN
    break; // each thread has a stack of its own, or its locals would seem to race with the last one's
#endif
  }
}

CUEMU_RAW uint64_t cuemu_random() {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * 0x2545F4914F6CDD1Du >> 16;
}

void cuemu_seed(uint64_t seed) {
  random_state = seed * 2 + 1;
}

bool cuemu_on_device() {
  return launch != nullptr;
}

CUEMU_RAW void cuemu_run(const cuemu_launch *l) {
  launch = l;
  cuemu_host_fiber_is_here();
#ifdef CUEMU_TSAN
  of_launch = (launch_order *)hidden_malloc(sizeof *of_launch);
  __tsan_release(&of_launch->start);
#endif
  const dim3 g = l->grid;
  cuemu_here.block_dim = l->block;
  cuemu_here.grid_dim = g;
  n_threads = 0;
  for (unsigned z = 0; z < l->block.z; z++)
    for (unsigned y = 0; y < l->block.y; y++)
      for (unsigned x = 0; x < l->block.x; x++) places[n_threads++] = {x, y, z};
  const uint64_t blocks = (uint64_t)g.x * g.y * g.z;
  // In random order, block i is the (a·i + b)-th, a without common factor with the number of blocks.
  uint64_t a = 1, b = 0;
  if (cuemu_the_order == CUEMU_RANDOM && blocks > 1) {
    b = cuemu_random() % blocks;
    for (uint64_t x, y;;) {
      a = cuemu_random() % blocks;
      for (x = a, y = blocks; y;) {
        const uint64_t rest = x % y;
        x = y;
        y = rest;
      }
      if (x == 1) break;
    }
  }
  for (uint64_t i = 0; i < blocks; i++) {
    const uint64_t k =
        cuemu_the_order == CUEMU_REVERSE ? blocks - 1 - i : (uint64_t)((unsigned __int128)a * i % blocks + b) % blocks;
    cuemu_here.block = {(unsigned)(k % g.x), (unsigned)(k / g.x % g.y), (unsigned)(k / g.x / g.y)};
    run_block();
  }
#ifdef CUEMU_TSAN
  __tsan_acquire(&of_launch->end);
  hidden_free(of_launch);
#endif
  launch = nullptr;
}

// ---- what kernels call
CUEMU_RAW void cuemu_die(const char *fmt, ...) {
  char text[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  if (launch) {
    const uint3 b = cuemu_here.block, t = places[now];
    fprintf(stderr, "cuemu: kernel %s, block (%u,%u,%u), thread (%u,%u,%u): %s\n", launch->name, b.x, b.y, b.z, t.x,
            t.y, t.z, text);
  } else {
    fprintf(stderr, "cuemu: %s\n", text);
  }
  fflush(stderr);
  _exit(66);
}

CUEMU_RAW void *cuemu_shared(const void *site, const char *name, size_t bytes) {
  for (unsigned i = 0; i < n_shared; i++)
    if (shared[i].site == site) return shared[i].p;
  static_bytes += bytes;
  if (static_bytes > CUEMU_STATIC_SHARED)
    cuemu_die("%zu bytes of static shared memory with %s: %zu are the limit", static_bytes, name,
              (size_t)CUEMU_STATIC_SHARED);
  if (static_bytes + launch->smem > CUEMU_MOST_SHARED)
    cuemu_die("%zu bytes of shared memory with %s: %zu are the limit", static_bytes + launch->smem, name,
              (size_t)CUEMU_MOST_SHARED);
  return shared_alloc(site, name, bytes);
}

CUEMU_RAW void *cuemu_shared_dynamic(size_t align) {
  if (launch->smem == 0) cuemu_die("uses dynamic shared memory, but was launched with none");
  if (align > 16) cuemu_die("dynamic shared memory is aligned to 16 bytes, not %zu", align);
  return shared[0].p;
}

CUEMU_RAW unsigned cuemu_lane() {
  return now & 31u;
}

CUEMU_RAW int cuemu_barrier(cuemu_vote vote, int predicate, const char *file, int line) {
  static const char *const names[] = {"__syncthreads", "__syncthreads_count", "__syncthreads_and", "__syncthreads_or"};
  thread *t = &threads[now];
  t->vote = vote;
  t->predicate = predicate;
#ifdef CUEMU_TSAN
  char *order = &of_block->barrier[t->barriers++ & 1];
  __tsan_release(order);
#endif
  wait(AT_BARRIER, names[vote], file, line);
#ifdef CUEMU_TSAN
  __tsan_acquire(order);
#endif
  return (int)vote_result;
}

CUEMU_RAW const uint64_t *cuemu_warp(unsigned mask, uint64_t value, bool sync, const char *what, const char *file,
                                     int line) {
  thread *t = &threads[now];
  if (!(mask >> (now & 31) & 1))
    cuemu_die("%s at %s:%d: the caller, lane %u, is not in its mask %08x", what, file, line, now & 31, mask);
  t->mask = mask;
  t->value = value;
  const unsigned warp = now / 32;
#ifdef CUEMU_TSAN
  char *order = &of_block->warp[warp][t->syncwarps & 1];
  if (sync) t->syncwarps++, __tsan_release(order);
#endif
  (void)sync;
  wait(AT_WARP, what, file, line);
#ifdef CUEMU_TSAN
  if (sync) __tsan_acquire(order);
#endif
  return &warp_values[warp * 32];
}
