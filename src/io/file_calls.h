// What the files that make system calls on files share.
#ifndef DUEL_IO_FILE_CALLS_H
#define DUEL_IO_FILE_CALLS_H

#include <errno.h>

#include "io/file.h"

// A call that a signal interrupted starts again; not for ever, so that nothing makes us hang.
enum { DUEL_MOST_INTERRUPTS = 1000 };
#define DUEL_RETRY(result, call)                                                                                       \
  for (int retry_ = 0; ((result) = (call)) < 0 && errno == EINTR && retry_ < DUEL_MOST_INTERRUPTS; retry_++) {}

static const size_t duel_most_at_once = (size_t)1 << 30; // Linux moves less than 2 GiB a call

// A call that left errno: "cannot WHAT PATH: STEP: …", with what to do about it. STEP "": the call says all.
duel_status duel_call_failed(const char *what, const char *path, const char *step);
const char *duel_call_cure(int error);         // the end of such a message: ": free some space …", or ""
bool duel_call_lacks(int error);               // the file system does not know the call, which is no failure of it
int duel_call_close(int fd);                   // on Linux it is closed even when close() says EINTR
int duel_call_open_folder(const char *folder); // -1 with errno
// Makes the names in a folder last, and closes it (-1: nothing to do). Fine where a folder cannot be synced.
int duel_call_sync_folder(int fd);

#endif
