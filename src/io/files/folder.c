// The files below a folder. What lies in folders that no data set has is left out, with the reason.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files/files.h"

enum { MOST_DEPTH = 32 };

typedef struct walker {
  duel_files *files;
  char path[PATH_MAX]; // of the present folder, with a slash behind it
  size_t below;        // where in it the part below the root begins
  int depth;
  struct stat above[MOST_DEPTH + 1]; // the present folder and those that it lies in
  bool has_runs;                     // the present folder has a run directory in it
} walker;

static bool has(walker *w, size_t length, const char *name) {
  if (length + strlen(name) >= PATH_MAX) return false;
  strcpy(w->path + length, name);
  const bool found = access(w->path, F_OK) == 0;
  w->path[length] = 0;
  return found;
}

// What training leaves behind: a recipe, and a log or statistics.
static bool is_run(walker *w, size_t length) {
  return has(w, length, "recipe.yaml") && (has(w, length, "log.txt") || has(w, length, "stats.jsonl"));
}

// Why the folder at path is not entered; NULL: it is.
static const char *reason_against(walker *w, size_t length, const char *name, const struct stat *st) {
  static const struct {
    const char *name, *why;
  } known[] = {{"__MACOSX", "what macOS adds to archives"},
               {"@eaDir", "thumbnails of a Synology"},
               {"$RECYCLE.BIN", "Windows' wastebasket"},
               {"System Volume Information", "Windows' own"},
               {"lost+found", "the file system's own"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(name, known[i].name)) return known[i].why;
  for (int i = 0; i <= w->depth; i++)
    if (st->st_dev == w->above[i].st_dev && st->st_ino == w->above[i].st_ino) return "a link to a folder above it";
  if (!is_run(w, length)) return NULL;
  w->has_runs = true;
  return "a run of duel's";
}

static duel_status walk(walker *w, const struct stat *st);

static duel_status take_folder(walker *w, size_t length, const char *name, const struct stat *st) {
  duel_files *f = w->files;
  const bool runs_here = w->has_runs;
  const int64_t before = f->n;
  const char *why = reason_against(w, length, name, st);
  if (!why && w->depth == MOST_DEPTH)
    return duel_fail(DUEL_ERR_DATA, "%s: folders lie more than %d deep in each other", w->path, MOST_DEPTH);
  if (!why) {
    w->depth++;
    DUEL_TRY(walk(w, st));
    w->depth--;
    if (w->has_runs) { // what else lies beside runs are their pictures
      f->n = before;
      why = "runs of duel's";
    }
    w->has_runs = runs_here;
  }
  w->path[length] = 0;
  return why ? duel_files_add(f, w->path + w->below, (duel_named){.why = why}) : DUEL_OK;
}

static duel_status take(walker *w, size_t length, const char *name) {
  struct stat st;
  if (stat(w->path, &st) != 0) {
    const int error = errno;
    const char *why = error == ENOENT   ? "a link that leads nowhere"
                      : error == ELOOP  ? "a link that leads in a circle"
                      : error == EACCES ? "may not be read"
                                        : "cannot be read";
    return duel_files_add(w->files, w->path + w->below, (duel_named){.why = why});
  }
  if (S_ISDIR(st.st_mode)) {
    strcpy(w->path + length, "/");
    return take_folder(w, length + 1, name, &st);
  }
  const char *why = S_ISREG(st.st_mode) ? NULL : "a device, pipe or socket";
  return duel_files_add(
      w->files, w->path + w->below,
      (duel_named){.size = st.st_size, .seconds = st.st_mtim.tv_sec, .nanoseconds = st.st_mtim.tv_nsec, .why = why});
}

static duel_status walk(walker *w, const struct stat *st) {
  const size_t length = strlen(w->path);
  w->above[w->depth] = *st;
  w->has_runs = false;
  DIR *dir = opendir(w->path);
  if (!dir)
    return duel_fail(DUEL_ERR_IO, "cannot read folder %s: %s%s", w->path, strerror(errno),
                     errno == EACCES ? ": check its permissions, or take it out of the data" : "");
  duel_status status = DUEL_OK;
  for (struct dirent *e; status == DUEL_OK && (e = readdir(dir)) != NULL;) {
    const size_t n = strlen(e->d_name);
    if (e->d_name[0] == '.') continue;
    w->path[length] = 0;
    if (length + n + 2 > PATH_MAX) {
      status = duel_fail(DUEL_ERR_DATA, "%s%.100s: the path is too long", w->path, e->d_name);
      break;
    }
    memcpy(w->path + length, e->d_name, n + 1);
    status = take(w, length + n, e->d_name);
  }
  w->path[length] = 0;
  closedir(dir);
  return status;
}

duel_status duel_folder_list(duel_files *f) {
  walker w = {.files = f};
  struct stat st;
  const size_t n = strlen(f->root);
  const int all = snprintf(w.path, sizeof w.path, "%s%s", f->root, n && f->root[n - 1] == '/' ? "" : "/");
  if (all >= PATH_MAX) return duel_fail(DUEL_ERR_DATA, "%.100s: the path is too long", f->root);
  w.below = (size_t)all;
  if (stat(w.path, &st) != 0) return duel_fail(DUEL_ERR_IO, "cannot read folder %s: %s", f->root, strerror(errno));
  if (is_run(&w, w.below))
    return duel_fail(DUEL_ERR_DATA,
                     "%s is a run of duel's, no data: name the folder that it was trained on, or another", f->root);
  return walk(&w, &st);
}
