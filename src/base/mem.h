// The one door to the heap. Tests make it fail at the N-th call and count what passes through.
#ifndef DUEL_BASE_MEM_H
#define DUEL_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *duel_malloc(size_t bytes);
void *duel_calloc(size_t n, size_t bytes);   // zeroed; n·bytes is checked for overflow
void *duel_realloc(void *old, size_t bytes); // NULL leaves old as it was
// The array with room for `need` elements; it doubles, and may have moved. NULL leaves it as it was.
void *duel_grown(void *array, int need, int *room, size_t bytes_each);
void *duel_malloc_aligned(size_t align, size_t bytes); // align a power of two; free with duel_free
char *duel_strdup(const char *s);
char *duel_format(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // a fresh string, NULL without memory
void duel_free(void *p);

// Test hooks. After duel_mem_fail_at(n, forever) the n-th allocation from now (1-based) returns NULL, and all later
// ones too if forever; n = 0 switches that off. duel_mem_count() is the number of allocations so far.
void duel_mem_fail_at(uint64_t n, int forever);
uint64_t duel_mem_count(void);

#endif
