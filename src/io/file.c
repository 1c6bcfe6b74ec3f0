// Files: whole-file reads, atomic writes, appends.
//
// Invariant of a write: every step that may fail comes before the rename, so until the rename the path holds the old
// content and afterwards the new one. Bytes are on the disk before their name is, and a file whose fsync failed is
// never synced again (the kernel may have dropped its dirty pages and would then report success): it is thrown away
// and written anew from memory.
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int sys_open(const char *path, int flags, mode_t mode) {
  return open(path, flags, mode);
}
static int sys_fallocate(int fd, off_t size) {
  return fallocate(fd, 0, 0, size);
}

duel_file_ops duel_fs = {sys_open, read, write, sys_fallocate, fsync, close, rename, unlink, pread, pwrite};

// A call that a signal interrupted starts again; not for ever, so that nothing makes us hang.
enum { MOST_INTERRUPTS = 1000 };
#define RETRY(result, call)                                                                                            \
  for (int retry_ = 0; ((result) = (call)) < 0 && errno == EINTR && retry_ < MOST_INTERRUPTS; retry_++) {}

static const size_t most_at_once = (size_t)1 << 30; // Linux moves less than 2 GiB a call

// What to do about an error, as the end of a message.
static const char *cure(int error) {
  switch (error) {
  case ENOSPC:
  case EDQUOT:
    return ": free some space there or choose another folder";
  case EACCES:
  case EPERM:
    return ": check the permissions of the file and its folder";
  case EROFS:
    return ": choose another folder";
  case EMFILE:
  case ENFILE:
    return ": close some files or raise the limit (ulimit -n)";
  default:
    return "";
  }
}

// close() on Linux frees the descriptor even when it says EINTR.
static int close_fd(int fd) {
  int r = duel_fs.close(fd);
  return r < 0 && errno == EINTR ? 0 : r;
}

// ---- reading

static duel_status read_all(int fd, const char *path, size_t size, size_t most, uint8_t **bytes, size_t *n) {
  size_t room = size + 1, got = 0; // one more than expected: the read that meets the end needs room, and so does the 0
  uint8_t *b = duel_malloc(room);
  if (!b) return duel_fail_memory(path, room);
  for (;;) {
    if (got == room) { // it grew since we asked, or is one of those in /proc that say 0
      size_t more = room < 4096 ? 8192 : 2 * room;
      if (more > most) more = most + 1;
      uint8_t *larger = got > most ? NULL : duel_realloc(b, more);
      if (!larger) {
        duel_free(b);
        if (got > most) return duel_fail(DUEL_ERR_DATA, "%s holds more than the %zu bytes allowed here", path, most);
        return duel_fail_memory(path, more);
      }
      b = larger;
      room = more;
    }
    ssize_t r;
    size_t want = room - got;
    RETRY(r, duel_fs.read(fd, b + got, want < most_at_once ? want : most_at_once));
    if (r < 0) {
      int error = errno;
      duel_free(b);
      return duel_fail(DUEL_ERR_IO, "cannot read %s: %s%s", path, strerror(error), cure(error));
    }
    if (r == 0) break;
    got += (size_t)r;
  }
  b[got] = 0;
  *bytes = b;
  *n = got;
  return DUEL_OK;
}

duel_status duel_file_open(const char *path, int *result, int64_t *size) {
  int fd;
  *result = -1;
  RETRY(fd, duel_fs.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0)); // a FIFO must not make us wait
  if (fd < 0) {
    int error = errno;
    int missing = error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG || error == ELOOP;
    return duel_fail(missing ? DUEL_ERR_DATA : DUEL_ERR_IO, "cannot read %s: %s%s", path, strerror(error), cure(error));
  }
  struct stat st;
  duel_status s = DUEL_OK;
  if (fstat(fd, &st) != 0)
    s = duel_fail(DUEL_ERR_IO, "cannot read %s: %s", path, strerror(errno));
  else if (!S_ISREG(st.st_mode))
    s = duel_fail(DUEL_ERR_DATA, "cannot read %s: it is %s, not a file", path,
                  S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
  if (s != DUEL_OK) {
    close_fd(fd);
    return s;
  }
  *result = fd;
  *size = st.st_size;
  return DUEL_OK;
}

void duel_file_close(int fd) {
  if (fd >= 0) close_fd(fd); // nothing was written, so its result says nothing
}

duel_status duel_file_read(const char *path, size_t most, uint8_t **bytes, size_t *n) {
  int fd;
  int64_t size;
  DUEL_TRY(duel_file_open(path, &fd, &size));
  duel_status s;
  if ((uint64_t)size > most)
    s = duel_fail(DUEL_ERR_DATA, "%s holds %lld bytes, more than the %zu allowed here", path, (long long)size, most);
  else
    s = read_all(fd, path, (size_t)size, most, bytes, n);
  duel_file_close(fd);
  return s;
}

duel_status duel_file_read_at(int fd, const char *path, void *dst, size_t n, int64_t at) {
  for (uint8_t *p = dst; n > 0;) {
    ssize_t r;
    RETRY(r, duel_fs.pread(fd, p, n < most_at_once ? n : most_at_once, at));
    if (r < 0) {
      int error = errno;
      return duel_fail(DUEL_ERR_IO, "cannot read %s: %s%s", path, strerror(error), cure(error));
    }
    if (r == 0) return duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends at byte %lld", path, (long long)at);
    p += r;
    at += r;
    n -= (size_t)r;
  }
  return DUEL_OK;
}

// ---- writing

static int write_all(int fd, const uint8_t *bytes, size_t n) {
  while (n > 0) {
    ssize_t w;
    RETRY(w, duel_fs.write(fd, bytes, n < most_at_once ? n : most_at_once));
    if (w == 0) errno = EIO; // no progress and no cause: do not spin
    if (w <= 0) return -1;
    bytes += w;
    n -= (size_t)w;
  }
  return 0;
}

// Reserves the space, so that a full disk shows before the first byte. A file system that cannot is none the worse.
static int reserve(int fd, size_t size) {
  if (size == 0) return 0;
  int r;
  RETRY(r, duel_fs.fallocate(fd, (off_t)size));
  return r < 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL ? -1 : 0;
}

// Writes the parts into a fresh file, down to the disk. Yields NULL, or the step that failed with errno set; the file
// is gone then.
static const char *write_temporary(const char *temporary, const duel_part *part, int n) {
  enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC };
  int fd, r;
  RETRY(fd, duel_fs.open(temporary, FLAGS, 0666));
  if (fd < 0 && errno == EEXIST) { // left behind by a killed process that had our number
    duel_fs.unlink(temporary);
    RETRY(fd, duel_fs.open(temporary, FLAGS, 0666));
  }
  if (fd < 0) return "open";
  size_t size = 0;
  for (int i = 0; i < n; i++) size += part[i].n;
  const char *failed = reserve(fd, size) < 0 ? "fallocate" : NULL;
  for (int i = 0; i < n && !failed; i++)
    if (write_all(fd, part[i].bytes, part[i].n) < 0) failed = "write";
  if (!failed) {
    RETRY(r, duel_fs.fsync(fd));
    if (r < 0) failed = "fsync";
  }
  int error = errno;
  if (close_fd(fd) < 0 && !failed) {
    failed = "close";
    error = errno;
  }
  if (failed) duel_fs.unlink(temporary);
  errno = error;
  return failed;
}

// The file that path means: through a link to its target, so that the link stays. Anything but a regular file is
// refused: a rename would replace a device or a folder.
static duel_status resolve(const char *path, char real[PATH_MAX]) {
  struct stat st;
  if (strlen(path) >= PATH_MAX) return duel_fail(DUEL_ERR_IO, "cannot write %.100s…: the path is too long", path);
  strcpy(real, path);
  if (lstat(path, &st) != 0) return DUEL_OK; // new; what is wrong with the folder shows when it is opened
  if (S_ISLNK(st.st_mode) && (!realpath(path, real) || stat(real, &st) != 0))
    return duel_fail(DUEL_ERR_IO, "cannot write %s: it is a link that leads nowhere (%s)", path, strerror(errno));
  if (S_ISREG(st.st_mode)) return DUEL_OK;
  return duel_fail(DUEL_ERR_IO, "cannot write %s: it is %s, not a file", path,
                   S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
}

void duel_folder_of(const char *path, char folder[PATH_MAX]) {
  const char *slash = strrchr(path, '/');
  if (slash)
    snprintf(folder, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  else
    strcpy(folder, ".");
}

static int open_folder(const char *folder) {
  int fd;
  RETRY(fd, duel_fs.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  return fd;
}

// Makes the names in a folder last, and closes it. Some network file systems cannot sync a folder: EINVAL.
static int sync_folder(int fd) {
  int r;
  RETRY(r, duel_fs.fsync(fd));
  int error = errno;
  close_fd(fd);
  errno = error;
  return r < 0 && errno != EINVAL ? -1 : 0;
}

static atomic_ulong next_temporary; // two threads never share a temporary

static void name_temporary(const char *real, char *temporary, size_t n) {
  const char *slash = strrchr(real, '/'), *name = slash ? slash + 1 : real;
  snprintf(temporary, n, "%.*s.%s.tmp.%ld.%lu", (int)(name - real), real, name, (long)getpid(),
           atomic_fetch_add(&next_temporary, 1));
}

duel_status duel_file_write_parts(const char *path, const duel_part *part, int n) {
  char real[PATH_MAX], folder[PATH_MAX], temporary[PATH_MAX + 64];
  DUEL_TRY(resolve(path, real));
  duel_folder_of(real, folder);
  int dir = open_folder(folder);
  if (dir < 0) {
    int error = errno;
    return duel_fail(DUEL_ERR_IO, "cannot write %s: folder %s: %s%s", path, folder, strerror(error), cure(error));
  }
  const char *failed = NULL;
  for (int attempt = 0; attempt < 2; attempt++) {
    name_temporary(real, temporary, sizeof temporary);
    failed = write_temporary(temporary, part, n);
    if (!failed || strcmp(failed, "fsync") != 0) break;
  }
  if (!failed) {
    int r;
    RETRY(r, duel_fs.rename(temporary, real));
    if (r < 0) {
      int error = errno;
      failed = "rename";
      duel_fs.unlink(temporary);
      errno = error;
    }
  }
  if (failed) {
    int error = errno;
    close_fd(dir);
    return duel_fail(DUEL_ERR_IO, "cannot write %s: %s: %s%s", path, failed, strerror(error), cure(error));
  }
  if (sync_folder(dir) < 0)
    return duel_fail(DUEL_ERR_IO, "%s is written, but its folder cannot be synced: %s", path, strerror(errno));
  return DUEL_OK;
}

duel_status duel_file_write(const char *path, const void *bytes, size_t n) {
  return duel_file_write_parts(path, &(duel_part){bytes, n}, 1);
}

// ---- writing piece by piece

static duel_status draft_failed(duel_draft *d, const char *step) {
  int error = errno;
  duel_draft_drop(d);
  return duel_fail(DUEL_ERR_IO, "cannot write %s: %s: %s%s", d->path, step, strerror(error), cure(error));
}

duel_status duel_draft_begin(duel_draft *d, const char *path, size_t size) {
  char real[PATH_MAX];
  d->fd = -1;
  DUEL_TRY(resolve(path, real));
  _Static_assert(sizeof d->path >= PATH_MAX, "a path fits");
  strcpy(d->path, real);
  name_temporary(real, d->temporary, sizeof d->temporary);
  RETRY(d->fd, duel_fs.open(d->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (d->fd < 0) return draft_failed(d, "open");
  return reserve(d->fd, size) < 0 ? draft_failed(d, "fallocate") : DUEL_OK;
}

duel_status duel_draft_put(const duel_draft *d, const void *bytes, size_t n, int64_t at) {
  for (const uint8_t *p = bytes; n > 0;) {
    ssize_t w;
    RETRY(w, duel_fs.pwrite(d->fd, p, n < most_at_once ? n : most_at_once, at));
    if (w == 0) errno = EIO;
    if (w <= 0) {
      int error = errno;
      return duel_fail(DUEL_ERR_IO, "cannot write %s: write: %s%s", d->path, strerror(error), cure(error));
    }
    p += w;
    at += w;
    n -= (size_t)w;
  }
  return DUEL_OK;
}

duel_status duel_draft_commit(duel_draft *d) {
  char folder[PATH_MAX];
  int r;
  RETRY(r, duel_fs.fsync(d->fd));
  if (r < 0) return draft_failed(d, "fsync");
  r = close_fd(d->fd);
  d->fd = -1;
  if (r < 0) return draft_failed(d, "close");
  RETRY(r, duel_fs.rename(d->temporary, d->path));
  if (r < 0) return draft_failed(d, "rename");
  d->temporary[0] = 0;
  duel_folder_of(d->path, folder);
  int dir = open_folder(folder);
  if (dir < 0 || sync_folder(dir) < 0)
    return duel_fail(DUEL_ERR_IO, "%s is written, but its folder cannot be synced: %s", d->path, strerror(errno));
  return DUEL_OK;
}

void duel_draft_drop(duel_draft *d) {
  if (d->fd >= 0) close_fd(d->fd);
  if (d->temporary[0]) duel_fs.unlink(d->temporary);
  d->fd = -1;
  d->temporary[0] = 0;
}

duel_status duel_file_append(const char *path, const void *bytes, size_t n) {
  int fd;
  struct stat before;
  RETRY(fd, duel_fs.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666));
  int failed = fd < 0 || fstat(fd, &before) != 0, error = errno;
  if (!failed && write_all(fd, bytes, n) < 0) {
    failed = 1;
    error = errno;
    if (ftruncate(fd, before.st_size) != 0) error = errno; // half a line would spoil the next one
  }
  if (fd >= 0 && close_fd(fd) < 0 && !failed) {
    failed = 1;
    error = errno;
  }
  if (failed) return duel_fail(DUEL_ERR_IO, "cannot append to %s: %s%s", path, strerror(error), cure(error));
  return DUEL_OK;
}

// ---- folders

static duel_status make_one(const char *path) {
  struct stat st;
  if (mkdir(path, 0777) != 0) {
    int error = errno; // of an existing folder some file systems say EROFS or EACCES rather than EEXIST
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return DUEL_OK;
    return duel_fail(DUEL_ERR_IO, "cannot make folder %s: %s%s", path,
                     error == EEXIST ? "a file has that name" : strerror(error), cure(error));
  }
  char parent[PATH_MAX];
  duel_folder_of(path, parent);
  int fd = open_folder(parent);
  if (fd < 0 || sync_folder(fd) < 0)
    return duel_fail(DUEL_ERR_IO, "cannot sync folder %s: %s", parent, strerror(errno));
  return DUEL_OK;
}

duel_status duel_make_folder(const char *path) {
  char part[PATH_MAX];
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  if (n == 0 || n >= sizeof part)
    return duel_fail(DUEL_ERR_IO, "cannot make folder '%.100s': %s", path, n ? "the path is too long" : "no name");
  memcpy(part, path, n);
  part[n] = 0;
  for (size_t i = 1; i < n; i++)
    if (part[i] == '/' && part[i - 1] != '/') {
      part[i] = 0;
      DUEL_TRY(make_one(part));
      part[i] = '/';
    }
  return make_one(part);
}

// Whether name is a temporary, ".NAME.tmp.PID.COUNT", that nobody is writing. Of our own number only counts that we
// have not come to yet: those are a dead process's, as happens in containers, where numbers repeat.
static int is_stale(const char *name) {
  const char *mark = NULL;
  for (const char *p = name; (p = strstr(p, ".tmp.")) != NULL; p++) mark = p;
  long pid;
  unsigned long count;
  int end = 0;
  if (name[0] != '.' || !mark || sscanf(mark, ".tmp.%ld.%lu%n", &pid, &count, &end) != 2 || mark[end] || pid <= 0)
    return 0;
  if (pid == (long)getpid()) return count >= atomic_load(&next_temporary);
  return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

void duel_file_sweep(const char *folder) {
  DIR *dir = opendir(folder);
  if (!dir) return; // nothing there, nothing to remove
  char path[PATH_MAX];
  for (struct dirent *e; (e = readdir(dir)) != NULL;)
    if (is_stale(e->d_name) && snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path)
      duel_fs.unlink(path);
  closedir(dir);
}
