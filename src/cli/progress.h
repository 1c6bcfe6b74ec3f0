// What a training shows while it runs: a live bar on a terminal, plain lines elsewhere, JSON lines, or nothing.
#ifndef DUEL_CLI_PROGRESS_H
#define DUEL_CLI_PROGRESS_H

#include <duel.h>

typedef enum duel_progress_mode {
  DUEL_PROGRESS_QUIET,
  DUEL_PROGRESS_PLAIN, // one line a tick
  DUEL_PROGRESS_LIVE,  // one line that is redrawn, lasting lines above it
  DUEL_PROGRESS_JSON,  // one object an event
} duel_progress_mode;

typedef struct duel_progress {
  duel_progress_mode mode;
  int color;
  int bar;               // a bar stands on the last line
  double drawn;          // when, monotonic seconds
  int started;           // the header was printed
  char picture[4096];    // the newest sample grid
  int picture_told;      // its path was printed
  int samples;           // the run draws some
  duel_train_event last; // the newest event with stats
} duel_progress;

void duel_progress_open(duel_progress *p, int quiet, int json);
void duel_progress_event(void *progress, duel_run *run, const duel_train_event *event); // for duel_train_options
void duel_progress_warn(const duel_train_event *event);       // a warning or an alarm, on stderr
void duel_progress_clear(duel_progress *p);                   // takes the bar away
void duel_progress_saved(duel_progress *p, const char *path); // a checkpoint that the user asked for
// The sizes, the device and the like of a run, as `train` prints them first.
void duel_progress_header(const duel_run *run);
double duel_cli_now(void); // monotonic seconds
// "45s", "7m 12s", "2h 05m", "3d 04h"; "--" for what is not known.
void duel_progress_duration(char *dst, size_t n, double seconds);

#endif
