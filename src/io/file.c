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

// A call that left errno: "cannot write PATH: STEP: …"; step "": the call says all.
static duel_status failed(const char *what, const char *path, const char *step) {
  const int error = errno;
  return duel_fail(DUEL_ERR_IO, "cannot %s %s: %s%s%s%s", what, path, step, *step ? ": " : "", strerror(error),
                   cure(error));
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
      const duel_status status = failed("read", path, "");
      duel_free(b);
      return status;
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
    int missing = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP;
    const duel_status status = failed("read", path, "");
    return missing ? DUEL_ERR_DATA : status;
  }
  struct stat st;
  duel_status s = DUEL_OK;
  if (fstat(fd, &st) != 0)
    s = failed("read", path, "");
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
    if (r < 0) return failed("read", path, "");
    if (r == 0) return duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends at byte %lld", path, (long long)at);
    p += r;
    at += r;
    n -= (size_t)r;
  }
  return DUEL_OK;
}

// ---- writing piece by piece

// Reserves the space, so that a full disk shows before the first byte. A file system that cannot is none the worse.
static int reserve(int fd, size_t size) {
  if (size == 0) return 0;
  int r;
  RETRY(r, duel_fs.fallocate(fd, (off_t)size));
  return r < 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL ? -1 : 0;
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

static duel_status draft_failed(duel_draft *d, const char *step) {
  const duel_status status = failed("write", d->path, step);
  duel_draft_drop(d);
  return status;
}

static void open_temporary(duel_draft *d) {
  enum { FLAGS = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC };
  name_temporary(d->path, d->temporary, sizeof d->temporary);
  RETRY(d->fd, duel_fs.open(d->temporary, FLAGS, 0666));
  if (d->fd < 0 && errno == EEXIST) { // left behind by a killed process that had our number
    duel_fs.unlink(d->temporary);
    RETRY(d->fd, duel_fs.open(d->temporary, FLAGS, 0666));
  }
  if (d->fd < 0) d->temporary[0] = 0;
}

duel_status duel_draft_begin(duel_draft *d, const char *path, size_t size) {
  char folder[PATH_MAX], step[PATH_MAX + 8];
  *d = (duel_draft){.fd = -1, .folder = -1};
  DUEL_TRY(resolve(path, d->path));
  duel_folder_of(d->path, folder);
  d->folder = open_folder(folder);
  snprintf(step, sizeof step, "folder %s", folder);
  if (d->folder < 0) return draft_failed(d, step);
  open_temporary(d);
  if (d->fd < 0) return draft_failed(d, "open");
  return reserve(d->fd, size) < 0 ? draft_failed(d, "fallocate") : DUEL_OK;
}

duel_status duel_draft_put(const duel_draft *d, const void *bytes, size_t n, int64_t at) {
  for (const uint8_t *p = bytes; n > 0;) {
    ssize_t w;
    RETRY(w, duel_fs.pwrite(d->fd, p, n < most_at_once ? n : most_at_once, at));
    if (w == 0) errno = EIO; // no progress and no cause: do not spin
    if (w <= 0) return failed("write", d->path, "write");
    p += w;
    at += w;
    n -= (size_t)w;
  }
  return DUEL_OK;
}

duel_status duel_draft_cut(const duel_draft *d, int64_t size) {
  return ftruncate(d->fd, size) == 0 ? DUEL_OK : failed("write", d->path, "ftruncate");
}

duel_status duel_draft_commit(duel_draft *d) {
  int r;
  RETRY(r, duel_fs.fsync(d->fd));
  d->lost = r < 0;
  if (r < 0) return draft_failed(d, "fsync");
  r = close_fd(d->fd);
  d->fd = -1;
  if (r < 0) return draft_failed(d, "close");
  RETRY(r, duel_fs.rename(d->temporary, d->path));
  if (r < 0) return draft_failed(d, "rename");
  d->temporary[0] = 0;
  r = sync_folder(d->folder);
  d->folder = -1;
  return r == 0
             ? DUEL_OK
             : duel_fail(DUEL_ERR_IO, "%s is written, but its folder cannot be synced: %s", d->path, strerror(errno));
}

void duel_draft_drop(duel_draft *d) {
  if (d->fd >= 0) close_fd(d->fd);
  if (d->folder >= 0) close_fd(d->folder);
  if (d->temporary[0]) duel_fs.unlink(d->temporary);
  d->fd = d->folder = -1;
  d->temporary[0] = 0;
}

// ---- writing at once

duel_status duel_file_write_parts(const char *path, const duel_part *part, int n) {
  duel_draft d;
  size_t size = 0;
  for (int i = 0; i < n; i++) size += part[i].n;
  for (int attempt = 0;; attempt++) {
    int64_t at = 0;
    DUEL_TRY(duel_draft_begin(&d, path, size));
    duel_status status = DUEL_OK;
    for (int i = 0; i < n && status == DUEL_OK; at += (int64_t)part[i++].n)
      status = duel_draft_put(&d, part[i].bytes, part[i].n, at);
    if (status == DUEL_OK) status = duel_draft_commit(&d);
    duel_draft_drop(&d);
    if (status == DUEL_OK || !d.lost || attempt > 0) return status;
  }
}

duel_status duel_file_write(const char *path, const void *bytes, size_t n) {
  return duel_file_write_parts(path, &(duel_part){bytes, n}, 1);
}

// ---- appending

static int write_all(int fd, const uint8_t *bytes, size_t n) {
  while (n > 0) {
    ssize_t w;
    RETRY(w, duel_fs.write(fd, bytes, n < most_at_once ? n : most_at_once));
    if (w == 0) errno = EIO;
    if (w <= 0) return -1;
    bytes += w;
    n -= (size_t)w;
  }
  return 0;
}

duel_status duel_file_append(const char *path, const void *bytes, size_t n) {
  int fd;
  struct stat before;
  RETRY(fd, duel_fs.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666));
  if (fd < 0) return failed("append to", path, "");
  duel_status status = fstat(fd, &before) == 0 ? DUEL_OK : failed("append to", path, "");
  if (status == DUEL_OK && write_all(fd, bytes, n) < 0) {
    status = failed("append to", path, "");
    if (ftruncate(fd, before.st_size) != 0) status = failed("append to", path, ""); // half a line spoils the next one
  }
  return close_fd(fd) < 0 && status == DUEL_OK ? failed("append to", path, "") : status;
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
