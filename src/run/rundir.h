// The run directory: names, lock, checkpoints on disk, pictures, log and statistics.
#ifndef DUEL_RUN_RUNDIR_H
#define DUEL_RUN_RUNDIR_H

#include "run/run.h"

typedef struct duel_rundir {
  char path[3072];
  int lock;     // descriptor that holds the lock, or -1
  int unlocked; // the file system has no locks, and says this errno; else 0
} duel_rundir;

// A new directory OUTDIR/00000-<recipe>-<data>-batch<B>[-desc] with the next free number, locked.
duel_status duel_rundir_create(duel_rundir *d, const char *outdir, const char *recipe, const char *data, int64_t batch,
                               const char *desc);
bool duel_rundir_is_name(const char *name); // begins with the five digits of a run
// Removes a new one with all that a beginning wrote into it, and closes it.
void duel_rundir_discard(duel_rundir *d);
// Makes OUTDIR/latest point to it. IO where that is something else than a link, or the file system has none.
duel_status duel_rundir_point_latest(const duel_rundir *d, const char *outdir);
// An existing one. IO if another process trains there.
duel_status duel_rundir_open(duel_rundir *d, const char *path);
void duel_rundir_close(duel_rundir *d);

// PATH/name into text; IO if it does not fit.
duel_status duel_rundir_file(const duel_rundir *d, const char *name, char *text, size_t n);
// Appends one line (a newline is added) to log.txt or stats.jsonl.
duel_status duel_rundir_append(const duel_rundir *d, const char *name, const char *line);
// Removes from stats.jsonl all lines whose "step" is past `step`, and what is no whole line.
duel_status duel_rundir_cut(const duel_rundir *d, int64_t step);

// Steps of the directory's n checkpoints in rising order; duel_free ends the list.
duel_status duel_rundir_checkpoints(const char *path, int64_t **step, int *n);
// Removes all but the first (step 0) and the newest `keep`; of pictures none if keep is 0.
void duel_rundir_prune(const duel_rundir *d, int keep);
void duel_rundir_prune_pictures(const duel_rundir *d, int keep);
// The file name of a run's checkpoint of some step; and the step of a path that ends in such a name, else -1.
void duel_checkpoint_name(char name[64], int64_t step);
int64_t duel_checkpoint_step(const char *path);
// Renames the checkpoints past step `after`, so that they are no longer the run's, and keeps a copy of stats.jsonl.
// note: which were renamed, also on failure, or "".
duel_status duel_rundir_set_aside(const duel_rundir *d, int64_t after, char *note, size_t note_n);
// The newest checkpoint of a directory that reads without error. note: text about newer ones that do not, or "".
duel_status duel_rundir_newest(const char *path, char *checkpoint, size_t n, char *note, size_t note_n);

// Pictures. Both hold the same cells all along: fakes of fixed latents, and reals with one class a row where there are
// labels.
duel_status duel_rundir_fakes(const duel_rundir *d, duel_run *run, char *path, size_t n);
duel_status duel_rundir_reals(const duel_rundir *d, duel_run *run);
// What pictures do not show, or "".
void duel_rundir_note(const duel_run *run, char *text, size_t n);

#endif
