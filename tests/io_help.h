// For tests of files: a scratch folder, and a file system that fails or kills at the N-th call.
#ifndef IO_HELP_H
#define IO_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

// A fresh folder, emptied and removed by scratch_end. The path of a name in it; 8 may be in use at once.
void scratch_begin(void);
void scratch_end(void);
const char *scratch(const char *name);
void scratch_put(const char *name, const void *bytes, size_t n); // a file there, written without duel_fs
bool scratch_same(const char *a, const char *b);                 // two files there have the same bytes
int scratch_count(void);                                         // entries in it
uint8_t *scratch_get(const char *name, size_t *n);               // its bytes (free), NULL if it is not there

// The same as cmocka's set-up and tear-down, with $DUEL_DATA unset and no allocation made to fail afterwards.
int scratch_setup(void **state);
int scratch_teardown(void **state);

void must(duel_status status);         // fails the test with the library's message
void assert_message(const char *part); // in the library's message

typedef enum fault_kind {
  FAULT_COUNT, // all calls succeed and are counted
  FAULT_ERROR, // the call does nothing and fails with errno = error; unlink is spared, so that cleaning up can be seen
  FAULT_SHORT, // reads and writes move one byte
  FAULT_KILL,  // the process dies there, a write half done
} fault_kind;

// Puts faults between duel_fs and the system: at the n-th call from now (1-based), and all later ones if forever.
void fault_begin(fault_kind kind, long n, int forever, int error);
// All calls of these letters (see fault_log) fail with error, as on a file system that does not know them.
void fault_lack(const char *letters, int error);
long fault_end(void); // calls made; duel_fs is the system's again

// The calls of the last fault_begin in order, one letter each: o open, O open of a folder, r w a (fallocate) f (fsync)
// F (fsync of a folder) c n (rename) u l (flock) s (symlink).
const char *fault_log(void);

int open_files(void); // file descriptors in use

#endif
