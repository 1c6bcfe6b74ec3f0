// Files: whole-file reads, appends, folders; the calls themselves. Writing: draft.c.
#include "io/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file_calls.h"

static int sys_open(const char *path, int flags, mode_t mode) {
  return open(path, flags, mode);
}
static int sys_fallocate(int fd, off_t size) {
  return fallocate(fd, 0, 0, size);
}

duel_file_ops duel_fs = {.open = sys_open,
                         .read = read,
                         .write = write,
                         .fallocate = sys_fallocate,
                         .fsync = fsync,
                         .close = close,
                         .rename = rename,
                         .unlink = unlink,
                         .pread = pread,
                         .pwrite = pwrite,
                         .flock = flock,
                         .symlink = symlink};

// ---- calls

const char *duel_call_cure(int error) {
  switch (error) {
  case ENOSPC:
  case EDQUOT:
    return ": free some space there or choose another folder";
  case EACCES:
  case EPERM:
    return ": check the permissions of the file and its folder";
  case EROFS:
    return ": choose another folder";
  case EFBIG:
    return ": the file system, or a limit (ulimit -f), allows none of this size; choose another folder";
  case ENAMETOOLONG:
    return ": use a shorter name";
  case EMFILE:
  case ENFILE:
    return ": close some files or raise the limit (ulimit -n)";
  default:
    return "";
  }
}

duel_status duel_call_failed(const char *what, const char *path, const char *step) {
  const int error = errno;
  return duel_fail(DUEL_ERR_IO, "cannot %s %s: %s%s%s%s", what, path, step, *step ? ": " : "", strerror(error),
                   duel_call_cure(error));
}

bool duel_call_lacks(int error) {
  return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ENOTTY;
}

int duel_call_close(int fd) {
  int r = duel_fs.close(fd);
  return r < 0 && errno == EINTR ? 0 : r;
}

int duel_call_open_folder(const char *folder) {
  int fd;
  DUEL_RETRY(fd, duel_fs.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  return fd;
}

// A folder may be one that can be written but not read, and many file systems do not know what syncing one means.
int duel_call_sync_folder(int fd) {
  int r;
  if (fd < 0) return 0;
  DUEL_RETRY(r, duel_fs.fsync(fd));
  const int error = errno;
  duel_call_close(fd);
  errno = error;
  return r < 0 && (error == EIO || error == ENOSPC || error == EDQUOT) ? -1 : 0;
}

duel_lock duel_file_lock(int fd) {
  int r;
  DUEL_RETRY(r, duel_fs.flock(fd, LOCK_EX | LOCK_NB));
  return r == 0 ? DUEL_LOCK_HELD : errno == EWOULDBLOCK ? DUEL_LOCK_TAKEN : DUEL_LOCK_LACKING;
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
    DUEL_RETRY(r, duel_fs.read(fd, b + got, want < duel_most_at_once ? want : duel_most_at_once));
    if (r < 0) {
      const duel_status status = duel_call_failed("read", path, "");
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
  DUEL_RETRY(fd, duel_fs.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0)); // a FIFO must not make us wait
  if (fd < 0) {
    int missing = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP;
    const duel_status status = duel_call_failed("read", path, "");
    return missing ? DUEL_ERR_DATA : status;
  }
  struct stat st;
  duel_status s = DUEL_OK;
  if (fstat(fd, &st) != 0)
    s = duel_call_failed("read", path, "");
  else if (!S_ISREG(st.st_mode))
    s = duel_fail(DUEL_ERR_DATA, "cannot read %s: it is %s, not a file", path,
                  S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
  if (s != DUEL_OK) {
    duel_call_close(fd);
    return s;
  }
  *result = fd;
  *size = st.st_size;
  return DUEL_OK;
}

void duel_file_close(int fd) {
  if (fd >= 0) duel_call_close(fd); // nothing was written, so its result says nothing
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
    DUEL_RETRY(r, duel_fs.pread(fd, p, n < duel_most_at_once ? n : duel_most_at_once, at));
    if (r < 0) return duel_call_failed("read", path, "");
    if (r == 0) return duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends at byte %lld", path, (long long)at);
    p += r;
    at += r;
    n -= (size_t)r;
  }
  return DUEL_OK;
}

duel_status duel_file_head(const char *path, void *dst, size_t room, size_t *n) {
  int fd;
  int64_t size;
  DUEL_TRY(duel_file_open(path, &fd, &size));
  *n = (uint64_t)size < room ? (size_t)size : room;
  const duel_status status = duel_file_read_at(fd, path, dst, *n, 0);
  duel_file_close(fd);
  return status;
}

// ---- appending

static int write_all(int fd, const uint8_t *bytes, size_t n) {
  while (n > 0) {
    ssize_t w;
    DUEL_RETRY(w, duel_fs.write(fd, bytes, n < duel_most_at_once ? n : duel_most_at_once));
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
  DUEL_RETRY(fd, duel_fs.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666));
  if (fd < 0) return duel_call_failed("append to", path, "");
  duel_status status = fstat(fd, &before) == 0 ? DUEL_OK : duel_call_failed("append to", path, "");
  if (status == DUEL_OK && write_all(fd, bytes, n) < 0) {
    status = duel_call_failed("append to", path, "");
    if (ftruncate(fd, before.st_size) != 0)
      status = duel_call_failed("append to", path, ""); // half a line spoils the next one
  }
  return duel_call_close(fd) < 0 && status == DUEL_OK ? duel_call_failed("append to", path, "") : status;
}

// ---- folders

void duel_folder_of(const char *path, char folder[PATH_MAX]) {
  const char *slash = strrchr(path, '/');
  if (slash)
    snprintf(folder, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  else
    strcpy(folder, ".");
}

static duel_status make_one(const char *path) {
  struct stat st;
  if (mkdir(path, 0777) != 0) {
    int error = errno; // of an existing folder some file systems say EROFS or EACCES rather than EEXIST
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return DUEL_OK;
    return duel_fail(DUEL_ERR_IO, "cannot make folder %s: %s%s", path,
                     error == EEXIST ? "a file has that name" : strerror(error), duel_call_cure(error));
  }
  char parent[PATH_MAX];
  duel_folder_of(path, parent);
  if (duel_call_sync_folder(duel_call_open_folder(parent)) < 0)
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
