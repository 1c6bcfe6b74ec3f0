#include "run/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "io/file.h"

// ---- names and locks

static duel_status join(char *dst, size_t n, const char *folder, const char *name) {
  return duel_join(dst, n, folder, name) ? DUEL_OK : duel_fail(DUEL_ERR_IO, "the path %s/%s is too long", folder, name);
}

duel_status duel_rundir_file(const duel_rundir *d, const char *name, char *text, size_t n) {
  return join(text, n, d->path, name);
}

static int open_lock(const char *path) {
  int fd = duel_fs.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 && errno == EACCES) fd = duel_fs.open(path, O_RDONLY | O_CLOEXEC, 0); // of another user
  return fd;
}

// Where there are no locks, duel_rundir.unlocked says so.
static duel_status take_lock(duel_rundir *d) {
  char path[3200], pid[32] = "";
  DUEL_TRY(join(path, sizeof path, d->path, ".lock"));
  d->lock = open_lock(path);
  if (d->lock < 0) return duel_fail(DUEL_ERR_IO, "%s cannot be written: %s", path, strerror(errno));
  const duel_lock lock = duel_file_lock(d->lock);
  if (lock == DUEL_LOCK_LACKING) d->unlocked = errno;
  if (lock == DUEL_LOCK_TAKEN) {
    ssize_t n = read(d->lock, pid, sizeof pid - 1);
    pid[n > 0 ? n : 0] = 0;
    duel_rundir_close(d);
    return duel_fail(DUEL_ERR_IO, "another process (pid %s) trains in %s; wait for it or stop it",
                     *pid ? pid : "unknown", d->path);
  }
  const int length = snprintf(pid, sizeof pid, "%ld", (long)getpid());
  const bool told = ftruncate(d->lock, 0) == 0 && pwrite(d->lock, pid, (size_t)length, 0) == length;
  (void)told; // it is for people alone
  return DUEL_OK;
}

void duel_rundir_close(duel_rundir *d) {
  if (d->lock >= 0) close(d->lock);
  d->lock = -1;
}

// A name part keeps letters, digits, '.', '_' and '-'; whatever else stands between them becomes one '-'.
static void clean(char *dst, size_t n, const char *src) {
  size_t i = 0;
  for (bool gap = false; *src && i + 1 < n; src++) {
    char c = *src;
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-", c);
    if (plain || !gap) dst[i++] = plain ? c : '-';
    gap = !plain;
  }
  dst[i] = 0;
}

enum { SHORT_NAME = 143 }; // what eCryptfs leaves of a name

bool duel_rundir_is_name(const char *name) {
  return strspn(name, "0123456789") == 5 && name[5] == '-';
}

// One past the largest five-digit number that begins a name in outdir.
static int next_number(const char *outdir) {
  int next = 0;
  DIR *dir = opendir(outdir);
  if (!dir) return 0;
  for (struct dirent *e; (e = readdir(dir));)
    if (duel_rundir_is_name(e->d_name) && atoi(e->d_name) >= next) next = atoi(e->d_name) + 1;
  closedir(dir);
  return next;
}

duel_status duel_rundir_point_latest(const duel_rundir *d, const char *outdir) {
  char link[3200];
  struct stat st;
  DUEL_TRY(join(link, sizeof link, outdir, "latest"));
  if (lstat(link, &st) == 0 && !S_ISLNK(st.st_mode))
    return duel_fail(DUEL_ERR_IO, "%s is no link, so it stays; `latest` will not name this run: rename it", link);
  const duel_status status = duel_file_link(strrchr(d->path, '/') + 1, link); // join put a slash there
  if (status == DUEL_OK || lstat(link, &st) == 0) return status;
  char text[4096];
  snprintf(text, sizeof text, "%s", duel_last_error());
  return duel_fail(status, "%s; `latest` is the run of the highest number there", text);
}

// While it is held, no other process chooses a number in outdir. What nobody can lock, or holds for another purpose, is
// not waited for.
static int lock_numbers(const char *outdir) {
  const struct timespec pause = {.tv_nsec = 20000000};
  const int fd = duel_fs.open(outdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  for (int tries = 0; fd >= 0 && tries < 50 && duel_file_lock(fd) == DUEL_LOCK_TAKEN; tries++) nanosleep(&pause, NULL);
  return fd;
}

// The directory of the next free number. A name that is too long for the file system loses its end.
static duel_status make_numbered(duel_rundir *d, const char *outdir, const char *rest) {
  size_t most = NAME_MAX;
  for (int number = next_number(outdir); number < 100000;) {
    char name[NAME_MAX + 1];
    if (snprintf(name, sizeof name, "%05d-%s", number, rest) >= (int)sizeof name || strlen(name) > most) name[most] = 0;
    DUEL_TRY(join(d->path, sizeof d->path, outdir, name));
    if (mkdir(d->path, 0777) == 0) return DUEL_OK;
    if (errno == ENAMETOOLONG && most > SHORT_NAME)
      most = SHORT_NAME;
    else if (errno == EEXIST)
      number++;
    else
      return duel_fail(DUEL_ERR_IO, "%s cannot be made: %s; choose another options.outdir", d->path, strerror(errno));
  }
  return duel_fail(DUEL_ERR_IO, "%s: the numbers of runs end at 99999, which is taken; use another options.outdir",
                   outdir);
}

duel_status duel_rundir_create(duel_rundir *d, const char *outdir, const char *recipe, const char *data, int64_t batch,
                               const char *desc) {
  char rest[512], part[3][128];
  *d = (duel_rundir){.lock = -1};
  clean(part[0], sizeof part[0], recipe);
  clean(part[1], sizeof part[1], data);
  clean(part[2], sizeof part[2], desc ? desc : "");
  snprintf(rest, sizeof rest, "%s-%s-batch%" PRId64 "%s%s", part[0], part[1], batch, *part[2] ? "-" : "", part[2]);
  DUEL_TRY(duel_make_folder(outdir));
  duel_file_sweep(outdir);
  const int numbers = lock_numbers(outdir);
  duel_status status = make_numbered(d, outdir, rest);
  duel_file_close(numbers);
  DUEL_TRY(status);
  status = take_lock(d);
  if (status != DUEL_OK) duel_rundir_discard(d);
  return status;
}

void duel_rundir_discard(duel_rundir *d) {
  static const char *const names[] = {
      "recipe.yaml", "places.yaml", "reals.png", "fakes-00000000.png", "checkpoint-00000000.safetensors",
      "log.txt",     "stats.jsonl", ".lock"};
  char path[3200];
  duel_file_sweep(d->path);
  duel_rundir_close(d); // NFS keeps open files
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (join(path, sizeof path, d->path, names[i]) == DUEL_OK) unlink(path);
  rmdir(d->path); // fails if something else is there
}

duel_status duel_rundir_open(duel_rundir *d, const char *path) {
  *d = (duel_rundir){.lock = -1};
  if (strlen(path) >= sizeof d->path) return duel_fail(DUEL_ERR_IO, "the path %s is too long", path);
  strcpy(d->path, path);
  DUEL_TRY(take_lock(d));
  duel_file_sweep(d->path);
  return DUEL_OK;
}

// ---- log and statistics

duel_status duel_rundir_append(const duel_rundir *d, const char *name, const char *line) {
  char path[3200];
  DUEL_TRY(join(path, sizeof path, d->path, name));
  char *text = duel_format("%s\n", line);
  if (!text) return duel_fail_memory("a line", strlen(line) + 2);
  duel_status status = duel_file_append(path, text, strlen(text));
  duel_free(text);
  return status;
}

// The "step" of a line of stats.jsonl, or -1 if it is not whole.
static int64_t line_step(const char *line, size_t n) {
  duel_json *root;
  int64_t step = -1;
  if (duel_json_parse(&root, line, n) != DUEL_OK) return -1;
  const duel_json *value = duel_json_get(root, "step");
  if (value && value->is_integer) step = value->integer;
  duel_free(root);
  return step;
}

duel_status duel_rundir_cut(const duel_rundir *d, int64_t step) {
  char path[3200];
  uint8_t *bytes;
  size_t n, kept = 0, length;
  DUEL_TRY(join(path, sizeof path, d->path, "stats.jsonl"));
  if (access(path, F_OK) != 0) return DUEL_OK;
  DUEL_TRY(duel_file_read(path, (size_t)1 << 32, &bytes, &n));
  for (size_t at = 0; at < n; at += length) {
    const uint8_t *end = memchr(bytes + at, '\n', n - at);
    if (!end) break;
    length = (size_t)(end - (bytes + at)) + 1;
    int64_t of = line_step((const char *)bytes + at, length - 1);
    if (of < 0 || of > step) continue; // torn by a kill or a full disk, or of a future that will be another
    memmove(bytes + kept, bytes + at, length);
    kept += length;
  }
  duel_status status = kept < n ? duel_file_write(path, bytes, kept) : DUEL_OK;
  duel_free(bytes);
  return status;
}

// ---- checkpoints on disk

static int rising(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

void duel_checkpoint_name(char name[64], int64_t step) {
  snprintf(name, 64, "checkpoint-%08" PRId64 ".safetensors", step);
}

// The step in a file's name BEFORE00000938BEHIND, or -1.
static int64_t step_in(const char *name, const char *before, const char *behind) {
  if (strncmp(name, before, strlen(before)) != 0) return -1;
  const char *digits = name + strlen(before);
  const size_t length = strspn(digits, "0123456789");
  return length >= 8 && length <= 10 && !strcmp(digits + length, behind) ? atoll(digits) : -1;
}

int64_t duel_checkpoint_step(const char *path) {
  const char *slash = strrchr(path, '/');
  return step_in(slash ? slash + 1 : path, "checkpoint-", ".safetensors");
}

static duel_status list_steps(const char *path, const char *before, const char *behind, int64_t **step, int *n) {
  *step = NULL;
  *n = 0;
  int room = 0;
  DIR *dir = opendir(path);
  if (!dir) return DUEL_OK;
  for (struct dirent *e; (e = readdir(dir));) {
    const int64_t of = step_in(e->d_name, before, behind);
    if (of < 0) continue;
    int64_t *grown = duel_grown(*step, *n + 1, &room, sizeof *grown);
    if (!grown) {
      closedir(dir);
      duel_free(*step);
      *step = NULL;
      *n = 0;
      return duel_fail_memory("a list of files", (size_t)room * sizeof *grown);
    }
    *step = grown;
    grown[(*n)++] = of;
  }
  closedir(dir);
  if (*n) qsort(*step, (size_t)*n, sizeof **step, rising);
  return DUEL_OK;
}

duel_status duel_rundir_checkpoints(const char *path, int64_t **step, int *n) {
  return list_steps(path, "checkpoint-", ".safetensors", step, n);
}

// Removes all but the first (step 0) and the newest `keep`; what cannot be listed or removed is for the next time.
static void prune(const duel_rundir *d, const char *before, const char *behind, int keep) {
  int64_t *step;
  int n;
  if (list_steps(d->path, before, behind, &step, &n) != DUEL_OK) return;
  for (int i = 0; i < n - keep; i++) {
    char name[64], path[3200];
    if (step[i] == 0) continue;
    snprintf(name, sizeof name, "%s%08" PRId64 "%s", before, step[i], behind);
    if (join(path, sizeof path, d->path, name) == DUEL_OK) unlink(path);
  }
  duel_free(step);
}

void duel_rundir_prune(const duel_rundir *d, int keep) {
  prune(d, "checkpoint-", ".safetensors", keep);
}

void duel_rundir_prune_pictures(const duel_rundir *d, int keep) {
  if (keep > 0) prune(d, "fakes-", ".png", keep);
}

// For a file BASE.ENDING in a folder: FOLDER/BASE-aside.ENDING, or the first free one of …-aside-2, …-aside-3.
static duel_status aside_path(char *dst, size_t n, const char *folder, const char *name) {
  const char *ending = strrchr(name, '.');
  for (int k = 1; k < 10000; k++) {
    char file[96], which[16] = "";
    if (k > 1) snprintf(which, sizeof which, "-%d", k);
    snprintf(file, sizeof file, "%.*s-aside%s%s", (int)(ending - name), name, which, ending);
    DUEL_TRY(join(dst, n, folder, file));
    if (access(dst, F_OK) != 0) return DUEL_OK;
  }
  return duel_fail(DUEL_ERR_IO, "%s holds too many copies of %s set aside; remove some", folder, name);
}

static duel_status copy_stats(const char *path) {
  char from[3200], to[3200];
  uint8_t *bytes;
  size_t n;
  DUEL_TRY(join(from, sizeof from, path, "stats.jsonl"));
  if (access(from, F_OK) != 0) return DUEL_OK;
  DUEL_TRY(aside_path(to, sizeof to, path, "stats.jsonl"));
  DUEL_TRY(duel_file_read(from, (size_t)1 << 32, &bytes, &n));
  const duel_status status = duel_file_write(to, bytes, n);
  duel_free(bytes);
  return status;
}

static duel_status set_aside(const char *path, const int64_t *step, int n, int64_t after, char *note, size_t note_n) {
  if (n == 0 || step[n - 1] <= after) return DUEL_OK;
  DUEL_TRY(copy_stats(path));
  int moved = 0;
  for (int i = n; i-- > 0 && step[i] > after;) { // the latest first: broken off, what is left is a run's past
    char name[64], from[3200], to[3200];
    duel_checkpoint_name(name, step[i]);
    DUEL_TRY(join(from, sizeof from, path, name));
    DUEL_TRY(aside_path(to, sizeof to, path, name));
    if (rename(from, to) != 0)
      return duel_fail(DUEL_ERR_IO, "%s cannot be renamed to %s: %s", from, to, strerror(errno));
    moved++;
    snprintf(note, note_n, "the run goes on from step %" PRId64 ": %d later checkpoint%s set aside, renamed to …-aside",
             after, moved, moved == 1 ? " is" : "s are");
  }
  return DUEL_OK;
}

duel_status duel_rundir_set_aside(const duel_rundir *d, int64_t after, char *note, size_t note_n) {
  int64_t *step;
  int n;
  *note = 0;
  DUEL_TRY(duel_rundir_checkpoints(d->path, &step, &n));
  duel_status status = set_aside(d->path, step, n, after, note, note_n);
  duel_free(step);
  return status;
}

static duel_status newest_of(const char *path, const int64_t *step, int count, char *checkpoint, size_t n, char *note,
                             size_t note_n) {
  if (count == 0) {
    char latest[3200];
    const bool runs = join(latest, sizeof latest, path, "latest") == DUEL_OK && access(latest, F_OK) == 0;
    return duel_fail(DUEL_ERR_DATA, "%s holds no checkpoint-*.safetensors; %s %s", path,
                     runs ? "it is a folder of runs: name one of them, as in" : "is it the directory of one run?",
                     runs ? latest : "");
  }
  for (int i = count; i-- > 0;) {
    char name[64];
    duel_checkpoint_name(name, step[i]);
    DUEL_TRY(join(checkpoint, n, path, name));
    duel_tensor_file f;
    duel_status status = duel_tensors_read(&f, checkpoint);
    if (status == DUEL_OK) duel_tensors_close(&f);
    if (status == DUEL_OK && *note) {
      const size_t length = strlen(note);
      snprintf(note + length, note_n - length, "; taking checkpoint-%08" PRId64, step[i]);
    }
    if (status != DUEL_ERR_DATA && status != DUEL_ERR_IO) return status; // no memory: not the file's fault
    if (!*note) snprintf(note, note_n, "%s", duel_last_error());
  }
  return duel_fail(DUEL_ERR_DATA, "%s: no checkpoint of %d can be read: %s", path, count, note);
}

duel_status duel_rundir_newest(const char *path, char *checkpoint, size_t n, char *note, size_t note_n) {
  int64_t *step;
  int count;
  *note = 0;
  DUEL_TRY(duel_rundir_checkpoints(path, &step, &count));
  duel_status status = newest_of(path, step, count, checkpoint, n, note, note_n);
  duel_free(step);
  return status;
}

// ---- what a user names

// Where there is no link `latest`: the run of the highest number that has a checkpoint, to which it would point.
static duel_status highest_run(char *dst, size_t n, const char *outdir) {
  char path[3200];
  int best = -1;
  DIR *dir = opendir(outdir);
  for (struct dirent *e; dir && (e = readdir(dir));) {
    int64_t *step;
    int count;
    if (!duel_rundir_is_name(e->d_name) || atoi(e->d_name) <= best ||
        join(path, sizeof path, outdir, e->d_name) != DUEL_OK ||
        duel_rundir_checkpoints(path, &step, &count) != DUEL_OK)
      continue;
    duel_free(step);
    if (count == 0) continue;
    best = atoi(e->d_name);
    snprintf(dst, n, "%s", path);
  }
  if (dir) closedir(dir);
  return best >= 0
             ? DUEL_OK
             : duel_fail(DUEL_ERR_DATA,
                         "there is no latest run in %s; `duel train` makes one, options.outdir says where else to look",
                         outdir);
}

static duel_status find_latest(char *dst, size_t n, const char *outdir) {
  struct stat st;
  DUEL_TRY(join(dst, n, outdir, "latest"));
  if (stat(dst, &st) == 0) return DUEL_OK;
  if (lstat(dst, &st) != 0) return highest_run(dst, n, outdir);
  return duel_fail(DUEL_ERR_DATA, "%s is a link to a run that is gone; name another run", dst);
}

duel_status duel_find_checkpoint(const char *what, const char *outdir, char *path, size_t n, char *note,
                                 size_t note_n) {
  char latest[3200];
  struct stat st;
  *note = 0;
  if (!strcmp(what, "latest")) {
    DUEL_TRY(find_latest(latest, sizeof latest, outdir ? outdir : "runs"));
    what = latest;
  }
  if (stat(what, &st) != 0)
    return duel_fail(DUEL_ERR_DATA, "%s: %s; give a run directory, a checkpoint, or latest", what, strerror(errno));
  if (S_ISDIR(st.st_mode)) return duel_rundir_newest(what, path, n, note, note_n);
  if (strlen(what) >= n) return duel_fail(DUEL_ERR_IO, "the path %s is too long", what);
  strcpy(path, what);
  return DUEL_OK;
}
