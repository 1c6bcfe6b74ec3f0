// A ring of blocks between the reader, which fills them in the order of the steps, and the trainer, which empties them.
// Invariant: the reader writes only blocks of steps in (taken, taken + SLOTS), the trainer reads that of `taken`.
#include "io/data/prefetch.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/data/order.h"

enum { SLOTS = 4 };

struct duel_prefetch {
  const duel_dataset *data;
  int64_t n; // items of a step
  size_t bytes, offset;
  bool labeled;
  size_t label_offset;
  unsigned char *block; // [SLOTS, bytes]
  duel_order order;     // the reader's
  int32_t *number;      // [n]

  pthread_t reader;
  bool started;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  // Under the lock:
  int64_t taken;  // the step that the trainer has, or wants
  int64_t filled; // steps before it are in the ring
  int64_t turn;   // grows when the reading starts anew: what was read for an older one is void
  bool end;
  duel_status status; // of step `filled`: the reader stands there until the reading starts anew
  char error[1024];
};

static unsigned char *block_of(const duel_prefetch *p, int64_t step) {
  return p->block + (size_t)(step % SLOTS) * p->bytes;
}

static duel_status fill_block(duel_prefetch *p, int64_t step) {
  unsigned char *block = block_of(p, step);
  duel_order_numbers(&p->order, step * p->n, p->n, p->number);
  for (int64_t i = 0; p->labeled && i < p->n; i++) {
    const int32_t label = p->data->labels[p->number[i]];
    memcpy(block + p->label_offset + (size_t)i * sizeof label, &label, sizeof label);
  }
  return duel_dataset_read(p->data, p->number, p->n, block + p->offset);
}

static void *read_ahead(void *arg) {
  duel_prefetch *p = arg;
  pthread_mutex_lock(&p->lock);
  while (!p->end) {
    if (p->turn == 0 || p->filled >= p->taken + SLOTS || p->status != DUEL_OK) {
      pthread_cond_wait(&p->changed, &p->lock);
      continue;
    }
    const int64_t step = p->filled, turn = p->turn;
    pthread_mutex_unlock(&p->lock);
    const duel_status status = fill_block(p, step);
    pthread_mutex_lock(&p->lock);
    if (turn != p->turn) continue;
    if (status == DUEL_OK) {
      p->filled++;
    } else {
      p->status = status;
      snprintf(p->error, sizeof p->error, "%s", duel_last_error());
    }
    pthread_cond_broadcast(&p->changed);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

duel_status duel_prefetch_open(duel_prefetch **result, const duel_dataset *d, uint64_t seed, int64_t n, size_t bytes,
                               size_t offset) {
  *result = NULL;
  duel_prefetch *p = duel_calloc(1, sizeof *p);
  if (!p) return duel_fail_memory("reading ahead", sizeof *p);
  *p = (duel_prefetch){.data = d, .n = n, .bytes = bytes, .offset = offset};
  p->block = duel_calloc(SLOTS, bytes);
  p->number = duel_malloc((size_t)n * sizeof *p->number);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->changed, NULL);
  duel_status status = duel_order_open(&p->order, seed, d->items);
  if (status == DUEL_OK && (!p->block || !p->number)) status = duel_fail_memory("reading ahead", SLOTS * bytes);
  if (status == DUEL_OK && pthread_create(&p->reader, NULL, read_ahead, p) != 0)
    status = duel_fail(DUEL_ERR_DEVICE, "no thread can be started to read the data");
  p->started = status == DUEL_OK;
  if (status != DUEL_OK) {
    duel_prefetch_close(p);
    return status;
  }
  *result = p;
  return DUEL_OK;
}

void duel_prefetch_labels(duel_prefetch *p, size_t offset) {
  pthread_mutex_lock(&p->lock); // which the reader passes before it fills anything
  p->labeled = true;
  p->label_offset = offset;
  pthread_mutex_unlock(&p->lock);
}

duel_status duel_prefetch_take(duel_prefetch *p, int64_t step, unsigned char **block) {
  pthread_mutex_lock(&p->lock);
  if (p->turn == 0 || step != p->taken + 1) { // else what was read ahead is what is wanted
    p->turn++;
    p->filled = step;
    p->status = DUEL_OK;
  }
  p->taken = step;
  pthread_cond_broadcast(&p->changed);
  while (p->filled <= step && p->status == DUEL_OK) pthread_cond_wait(&p->changed, &p->lock);
  duel_status status = p->filled > step ? DUEL_OK : duel_fail_again(p->status, p->error);
  pthread_mutex_unlock(&p->lock);
  *block = block_of(p, step);
  return status;
}

void duel_prefetch_close(duel_prefetch *p) {
  if (!p) return;
  if (p->started) {
    pthread_mutex_lock(&p->lock);
    p->end = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->reader, NULL);
  }
  pthread_mutex_destroy(&p->lock);
  pthread_cond_destroy(&p->changed);
  duel_free(p->block);
  duel_order_close(&p->order);
  duel_free(p->number);
  duel_free(p);
}
