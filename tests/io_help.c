#include "io_help.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/file.h"

static char folder[64];

void scratch_begin(void) {
  strcpy(folder, "/tmp/duel-test-XXXXXX");
  if (!mkdtemp(folder)) {
    perror(folder);
    abort();
  }
}

int scratch_setup(void **state) {
  (void)state;
  unsetenv("DUEL_DATA");
  scratch_begin();
  return 0;
}

int scratch_teardown(void **state) {
  (void)state;
  duel_mem_fail_at(0, 0);
  scratch_end();
  return 0;
}

void must(duel_status status) {
  if (status != DUEL_OK) fail_msg("%s", duel_last_error());
}

void assert_message(const char *part) {
  if (!strstr(duel_last_error(), part)) fail_msg("message \"%s\" lacks \"%s\"", duel_last_error(), part);
}

const char *scratch(const char *name) {
  static char path[8][PATH_MAX];
  static unsigned turn;
  char *p = path[turn++ % 8];
  snprintf(p, PATH_MAX, "%s%s%s", folder, name[0] ? "/" : "", name);
  return p;
}

static int each_entry(const char *path, int remove_them) {
  int n = 0;
  DIR *dir = opendir(path);
  if (!dir) return 0;
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    char inner[PATH_MAX];
    struct stat st;
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    n++;
    if (!remove_them || snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) >= (int)sizeof inner) continue;
    if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode)) {
      chmod(inner, 0700);
      each_entry(inner, 1);
      rmdir(inner);
    } else {
      unlink(inner);
    }
  }
  closedir(dir);
  return n;
}

void scratch_end(void) {
  each_entry(folder, 1);
  rmdir(folder);
}

int scratch_count(void) {
  return each_entry(folder, 0);
}

void scratch_put(const char *name, const void *bytes, size_t n) {
  FILE *f = fopen(scratch(name), "wb");
  if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) {
    perror(name);
    abort();
  }
}

uint8_t *scratch_get(const char *name, size_t *n) {
  FILE *f = fopen(scratch(name), "rb");
  if (!f) return NULL;
  fseek(f, 0, SEEK_END);
  *n = (size_t)ftell(f);
  rewind(f);
  uint8_t *bytes = malloc(*n + 1);
  if (!bytes || fread(bytes, 1, *n, f) != *n) abort();
  fclose(f);
  return bytes;
}

bool scratch_same(const char *a, const char *b) {
  size_t n, m;
  uint8_t *x = scratch_get(a, &n), *y = scratch_get(b, &m);
  assert_true(x && y);
  const bool same = n == m && !memcmp(x, y, n);
  free(x);
  free(y);
  return same;
}

int open_files(void) {
  return each_entry("/proc/self/fd", 0);
}

// ---- faults

static duel_file_ops real;
static fault_kind kind;
static long at, calls;
static int forever, error;
static char letters[4096];
static const char *only; // calls of these letters, whichever they are; NULL: those that the count picks

static int strikes(char letter) {
  if (calls + 1 < (long)sizeof letters) {
    letters[calls] = letter;
    letters[calls + 1] = 0;
  }
  calls++;
  if (only) return strchr(only, letter) != NULL;
  return kind != FAULT_COUNT && at > 0 && (calls == at || (calls > at && forever));
}

// What a call that is struck does before it would do its work: nonzero if it fails.
static int struck(char letter) {
  if (!strikes(letter)) return 0;
  if (kind == FAULT_KILL) kill(getpid(), SIGKILL);
  if (kind != FAULT_ERROR) return 0;
  errno = error;
  return 1;
}

static int is_folder(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static int f_open(const char *path, int flags, mode_t mode) {
  return struck(flags & O_DIRECTORY ? 'O' : 'o') ? -1 : real.open(path, flags, mode);
}
static ssize_t f_read(int fd, void *dst, size_t n) {
  if (kind == FAULT_SHORT) return real.read(fd, dst, strikes('r') && n ? 1 : n);
  return struck('r') ? -1 : real.read(fd, dst, n);
}
static ssize_t f_pread(int fd, void *dst, size_t n, off_t from) {
  if (kind == FAULT_SHORT) return real.pread(fd, dst, strikes('r') && n ? 1 : n, from);
  return struck('r') ? -1 : real.pread(fd, dst, n, from);
}
static ssize_t f_pwrite(int fd, const void *src, size_t n, off_t to) {
  if (kind == FAULT_SHORT) return real.pwrite(fd, src, strikes('w') && n ? 1 : n, to);
  if (kind == FAULT_KILL && calls + 1 == at && real.pwrite(fd, src, n / 2, to) < 0) abort();
  return struck('w') ? -1 : real.pwrite(fd, src, n, to);
}
static ssize_t f_write(int fd, const void *src, size_t n) {
  if (kind == FAULT_SHORT) return real.write(fd, src, strikes('w') && n ? 1 : n);
  if (kind == FAULT_KILL && calls + 1 == at && real.write(fd, src, n / 2) < 0) abort();
  return struck('w') ? -1 : real.write(fd, src, n);
}
static int f_fallocate(int fd, off_t size) {
  return struck('a') ? -1 : real.fallocate(fd, size);
}
static int f_fsync(int fd) {
  return struck(is_folder(fd) ? 'F' : 'f') ? -1 : real.fsync(fd);
}
static int f_close(int fd) {
  int failed = struck('c'), e = errno, r = real.close(fd); // closed it is in any case
  if (failed) errno = e;
  return failed ? -1 : r;
}
static int f_rename(const char *from, const char *to) {
  return struck('n') ? -1 : real.rename(from, to);
}
static int f_unlink(const char *path) {
  if (strikes('u') && kind == FAULT_KILL) kill(getpid(), SIGKILL);
  return real.unlink(path);
}

static int f_flock(int fd, int operation) {
  return struck('l') ? -1 : real.flock(fd, operation);
}
static int f_symlink(const char *target, const char *path) {
  return struck('s') ? -1 : real.symlink(target, path);
}

void fault_begin(fault_kind k, long n, int all, int e) {
  real = duel_fs;
  kind = k;
  at = n;
  forever = all;
  error = e;
  only = NULL;
  calls = 0;
  letters[0] = 0;
  duel_fs = (duel_file_ops){.open = f_open,
                            .read = f_read,
                            .write = f_write,
                            .fallocate = f_fallocate,
                            .fsync = f_fsync,
                            .close = f_close,
                            .rename = f_rename,
                            .unlink = f_unlink,
                            .pread = f_pread,
                            .pwrite = f_pwrite,
                            .flock = f_flock,
                            .symlink = f_symlink};
}

void fault_lack(const char *calls_of, int e) {
  fault_begin(FAULT_ERROR, 0, 0, e);
  only = calls_of;
}

long fault_end(void) {
  duel_fs = real;
  return calls;
}

const char *fault_log(void) {
  return letters;
}
