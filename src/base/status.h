// Status codes and the error message of the calling thread.
//
// Every call that can fail returns a duel_status and leaves one message behind: what was wrong, where, and what to do
// about it. Only the command prints it. The message lives in a fixed thread-local buffer, so failing needs no memory.
#ifndef DUEL_BASE_STATUS_H
#define DUEL_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#include "duel.h"

#if defined(__GNUC__)
#define DUEL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define DUEL_PRINTF(fmt, args)
#endif

// Names of files may hold anything, and what is told of them goes to terminals: control characters of arguments and
// what is no UTF-8 become \x1b and the like. A line ends only where the format ends it, or an argument has DUEL_LINE.
#define DUEL_LINE "\x1e"
void duel_plain(char *dst, size_t room, const char *fmt, ...) DUEL_PRINTF(3, 4); // cut between characters
void duel_vplain(char *dst, size_t room, const char *fmt, va_list args);

// Sets the message, made plain as above, and returns code, so that `return duel_fail(DUEL_ERR_DATA, "...")` is one
// line.
duel_status duel_fail(duel_status code, const char *fmt, ...) DUEL_PRINTF(2, 3);

// A message that was one already, with its lines.
duel_status duel_fail_again(duel_status code, const char *message);

// Puts "context: " in front of the present message and returns code (DUEL_OK passes through untouched).
duel_status duel_context(duel_status code, const char *fmt, ...) DUEL_PRINTF(2, 3);

// Out of memory: what for and how many bytes. Always DUEL_ERR_DEVICE.
duel_status duel_fail_memory(const char *what, size_t bytes);

// duel_last_error() of the public header reads the message; this clears it.
void duel_clear_error(void);

#endif
