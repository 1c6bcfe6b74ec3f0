// The heap behind one door: counted, and made to fail where a test says.
//
// An allocation that is to fail returns NULL before the system is asked; a failed realloc leaves the old block alone.
#include "base/mem.h"

#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t count;   // allocations so far
static _Atomic uint64_t fail_at; // the one that fails, in the same numbering; 0: none
static _Atomic bool fail_forever;

static bool fails(void) {
  uint64_t now = atomic_fetch_add(&count, 1) + 1, at = atomic_load(&fail_at);
  return at && (now == at || (now > at && atomic_load(&fail_forever)));
}

void *duel_malloc(size_t bytes) {
  return fails() ? NULL : malloc(bytes ? bytes : 1);
}

void *duel_calloc(size_t n, size_t bytes) {
  size_t total;
  if (__builtin_mul_overflow(n, bytes, &total)) return NULL;
  return fails() ? NULL : calloc(1, total ? total : 1);
}

void *duel_realloc(void *old, size_t bytes) {
  return fails() ? NULL : realloc(old, bytes ? bytes : 1);
}

void *duel_grown(void *array, int need, int *room, size_t bytes_each) {
  int more = *room ? *room : 64;
  if (need <= *room) return array;
  while (more < need) more = more > INT_MAX / 2 ? INT_MAX : 2 * more;
  void *moved = duel_realloc(array, (size_t)more * bytes_each);
  if (moved) *room = more;
  return moved;
}

void *duel_malloc_aligned(size_t align, size_t bytes) {
  void *p;
  if (align < sizeof(void *)) align = sizeof(void *);
  return fails() || posix_memalign(&p, align, bytes ? bytes : 1) ? NULL : p;
}

char *duel_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *copy = duel_malloc(n);
  return copy ? memcpy(copy, s, n) : NULL;
}

char *duel_format(const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, fmt, args);
  char *s = n < 0 ? NULL : duel_malloc((size_t)n + 1);
  if (s) vsnprintf(s, (size_t)n + 1, fmt, again);
  va_end(again);
  va_end(args);
  return s;
}

void duel_free(void *p) {
  free(p);
}

void duel_mem_fail_at(uint64_t n, int forever) {
  atomic_store(&fail_at, 0);
  atomic_store(&fail_forever, forever != 0);
  if (n) atomic_store(&fail_at, atomic_load(&count) + n);
}

uint64_t duel_mem_count(void) {
  return atomic_load(&count);
}
