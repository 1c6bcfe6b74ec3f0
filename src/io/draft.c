// Writing: files appear whole, under their name.
//
// Invariant of a write: every step that may fail comes before the rename, so until the rename the path holds the old
// content and afterwards the new one. Bytes are on the disk before their name is, and a file whose fsync failed is
// never synced again (the kernel may have dropped its dirty pages and would then report success): it is thrown away
// and written anew from memory.
//
// Invariant of temporaries: whoever writes one holds a lock on it until it has its own name, and nobody removes one
// that is locked. Numbers of processes mean nothing in another container; they keep names apart, and no more. Where
// locks are lacking, or may not reach other machines, what has been written to within the hour is left alone.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "io/file_calls.h"

// ---- what a file system was found to lack

typedef enum lack { LACKS_SYNC, LACKS_REPLACE, N_LACKS } lack;
static struct {
  atomic_int found; // 1: being noted; 2: to be told; 3: told
  int error;
  char folder[PATH_MAX];
} lacks[N_LACKS];

static void note_lack(lack what, const char *path, int error) {
  int none = 0;
  if (!atomic_compare_exchange_strong(&lacks[what].found, &none, 1)) return;
  lacks[what].error = error;
  duel_folder_of(path, lacks[what].folder);
  atomic_store(&lacks[what].found, 2);
}

bool duel_file_lacks(char *text, size_t n) {
  static const char *const meaning[N_LACKS] = {
      [LACKS_SYNC] = "files cannot be synced there, so a power failure may take what was written last",
      [LACKS_REPLACE] = "one file cannot take another's place there in a single step, so a kill in between loses it"};
  for (int i = 0; i < N_LACKS; i++) {
    int found = 2;
    if (!atomic_compare_exchange_strong(&lacks[i].found, &found, 3)) continue;
    snprintf(text, n, "%s: %s (%s)", lacks[i].folder, meaning[i], strerror(lacks[i].error));
    return true;
  }
  return false;
}

// ---- temporaries: .NAME.tmp.PID.COUNT

enum { MOST_TRIES = 1000, MOST_UNFINISHED = 16, MOST_OF_NAME = 48 }; // names may end at 143 bytes (eCryptfs)
static const time_t long_ago = 3600;

// Two threads never share a temporary, and two processes of one number hardly ever: the count begins anywhere.
static atomic_ulong next_temporary;

// Those in use, for duel_remove_unfinished. The names lie here, not with their writers: a handler of signals reads them
// while other threads go on.
static struct {
  atomic_int state; // 0: free; 1: being filled; 2: in use
  char path[DUEL_TEMPORARY];
} unfinished[MOST_UNFINISHED];

static void enlist(duel_draft *d) {
  d->slot = -1; // without a place it is one that a kill leaves behind
  for (int i = 0; i < MOST_UNFINISHED && d->slot < 0; i++) {
    int none = 0;
    if (!atomic_compare_exchange_strong(&unfinished[i].state, &none, 1)) continue;
    strcpy(unfinished[i].path, d->temporary);
    atomic_store(&unfinished[i].state, 2);
    d->slot = i;
  }
}

static void delist(duel_draft *d) {
  if (d->temporary[0] && d->slot >= 0) atomic_store(&unfinished[d->slot].state, 0);
  d->temporary[0] = 0;
}

void duel_remove_unfinished(void) {
  for (int i = 0; i < MOST_UNFINISHED; i++)
    if (atomic_load(&unfinished[i].state) == 2) duel_fs.unlink(unfinished[i].path);
}

static unsigned long next_count(void) {
  unsigned long none = 0, any = 0;
  if (atomic_load(&next_temporary) == 0 && getrandom(&any, sizeof any, GRND_NONBLOCK) == sizeof any)
    atomic_compare_exchange_strong(&next_temporary, &none, any >> 16);
  return atomic_fetch_add(&next_temporary, 1);
}

static void name_temporary(const char *path, char temporary[DUEL_TEMPORARY]) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  const int n = (int)duel_utf8_whole(name, strnlen(name, MOST_OF_NAME));
  snprintf(temporary, DUEL_TEMPORARY, "%.*s.%.*s.tmp.%ld.%lu", (int)(name - path), path, n, name, (long)getpid(),
           next_count());
}

// Whether a new temporary is ours: not if a sweep of someone else came between its making and its lock.
static bool is_ours(int fd) {
  struct stat st;
  return duel_file_lock(fd) != DUEL_LOCK_TAKEN && !(fstat(fd, &st) == 0 && st.st_nlink == 0);
}

static void open_temporary(duel_draft *d) {
  for (int tries = 0; tries < MOST_TRIES; tries++) {
    name_temporary(d->path, d->temporary);
    enlist(d); // before it is there, so that a signal never comes in between
    DUEL_RETRY(d->fd, duel_fs.open(d->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (d->fd >= 0 && is_ours(d->fd)) return;
    const int error = d->fd >= 0 ? EEXIST : errno; // EEXIST: of a process of our number, in another container or dead
    delist(d);
    if (d->fd >= 0) duel_call_close(d->fd);
    d->fd = -1;
    errno = error;
    if (error != EEXIST) return;
  }
}

// ---- sweeping

static bool is_temporary(const char *name) {
  const char *mark = NULL;
  for (const char *p = name; (p = strstr(p, ".tmp.")) != NULL; p++) mark = p;
  long pid;
  unsigned long count;
  int end = 0;
  return name[0] == '.' && mark && sscanf(mark, ".tmp.%ld.%lu%n", &pid, &count, &end) == 2 && !mark[end];
}

// File systems on which a lock may hold within one machine only.
static bool reaches_others(int fd) {
  static const unsigned kinds[] = {0x6969,     0x517B,     0xFF534D42, 0xFE534D42,  // NFS, SMB
                                   0x01021997, 0x65735546, 0x0BD00BD0, 0x786F4256}; // 9P, FUSE, Lustre, VirtualBox
  struct statfs fs;
  if (fstatfs(fd, &fs) != 0) return true;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if ((unsigned)fs.f_type == kinds[i]) return true;
  return false;
}

static void sweep_one(const char *path) {
  struct stat st;
  if (lstat(path, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))) return;
  bool stale = st.st_mtime < time(NULL) - long_ago;
  int fd = -1;
  if (S_ISREG(st.st_mode)) {
    fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    const duel_lock lock = duel_file_lock(fd);
    if (lock == DUEL_LOCK_TAKEN) stale = false;
    if (lock == DUEL_LOCK_HELD && !reaches_others(fd)) stale = true;
  }
  if (stale) duel_fs.unlink(path); // with the lock still held: its writer sees that
  if (fd >= 0) close(fd);
}

void duel_file_sweep(const char *folder) {
  DIR *dir = opendir(folder);
  if (!dir) return; // nothing there, nothing to remove
  char path[PATH_MAX];
  for (struct dirent *e; (e = readdir(dir)) != NULL;)
    if (is_temporary(e->d_name) && snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path)
      sweep_one(path);
  closedir(dir);
}

// ---- a name of its own

// Other than for want of space or a broken disk, which no detour mends.
static bool may_not_replace(int error) {
  return error == EEXIST || error == EPERM || error == EACCES || error == EBUSY || error == ETXTBSY ||
         duel_call_lacks(error);
}

// temporary becomes path. Where what is there cannot be replaced, it is put aside first, and back if that was of no
// use.
static int take_place(const char *temporary, const char *path) {
  char aside[DUEL_TEMPORARY];
  struct stat st;
  int r;
  DUEL_RETRY(r, duel_fs.rename(temporary, path));
  const int error = errno;
  if (r == 0 || !may_not_replace(error) || lstat(path, &st) != 0) return errno = error, r;
  name_temporary(path, aside);
  if (duel_fs.rename(path, aside) == 0) {
    if (duel_fs.rename(temporary, path) == 0) {
      duel_fs.unlink(aside);
      note_lack(LACKS_REPLACE, path, error);
      return 0;
    }
    (void)duel_fs.rename(aside, path);
  }
  errno = error;
  return -1;
}

duel_status duel_file_link(const char *target, const char *path) {
  char temporary[DUEL_TEMPORARY];
  int r = -1;
  for (int tries = 0; r < 0 && tries < MOST_TRIES && (tries == 0 || errno == EEXIST); tries++) {
    name_temporary(path, temporary);
    r = duel_fs.symlink(target, temporary);
  }
  if (r == 0 && take_place(temporary, path) == 0) return DUEL_OK;
  const int error = errno;
  if (r == 0) duel_fs.unlink(temporary);
  return duel_fail(DUEL_ERR_IO, "the link %s cannot be set: %s", path, strerror(error));
}

// ---- drafts

// Reserves the space, so that a full disk shows before the first byte. A file system that cannot is none the worse.
static int reserve(int fd, size_t size) {
  if (size == 0) return 0;
  int r;
  DUEL_RETRY(r, duel_fs.fallocate(fd, (off_t)size));
  return r < 0 && !duel_call_lacks(errno) && errno != EPERM ? -1 : 0;
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

static duel_status draft_failed(duel_draft *d, const char *step) {
  const duel_status status = duel_call_failed("write", d->path, step);
  duel_draft_drop(d);
  return status;
}

duel_status duel_draft_begin(duel_draft *d, const char *path, size_t size) {
  char folder[PATH_MAX], step[PATH_MAX + 8];
  *d = (duel_draft){.fd = -1, .folder = -1, .held = -1};
  DUEL_TRY(resolve(path, d->path));
  duel_folder_of(d->path, folder);
  d->folder = duel_call_open_folder(folder);
  snprintf(step, sizeof step, "folder %s", folder);
  if (d->folder < 0 && errno != EACCES) return draft_failed(d, step);
  open_temporary(d);
  if (d->fd < 0) return draft_failed(d, "open");
  return reserve(d->fd, size) < 0 ? draft_failed(d, "fallocate") : DUEL_OK;
}

duel_status duel_draft_put(const duel_draft *d, const void *bytes, size_t n, int64_t at) {
  for (const uint8_t *p = bytes; n > 0;) {
    ssize_t w;
    DUEL_RETRY(w, duel_fs.pwrite(d->fd, p, n < duel_most_at_once ? n : duel_most_at_once, at));
    if (w == 0) errno = EIO; // no progress and no cause: do not spin
    if (w <= 0) return duel_call_failed("write", d->path, "write");
    p += w;
    at += w;
    n -= (size_t)w;
  }
  return DUEL_OK;
}

duel_status duel_draft_cut(const duel_draft *d, int64_t size) {
  return ftruncate(d->fd, size) == 0 ? DUEL_OK : duel_call_failed("write", d->path, "ftruncate");
}

duel_status duel_draft_commit(duel_draft *d) {
  int r;
  DUEL_RETRY(r, duel_fs.fsync(d->fd));
  if (r < 0 && duel_call_lacks(errno)) {
    note_lack(LACKS_SYNC, d->path, errno);
    r = 0;
  }
  d->lost = r < 0;
  if (r < 0) return draft_failed(d, "fsync");
  d->held = fcntl(d->fd, F_DUPFD_CLOEXEC, 0); // what closing says is heard now, and the lock lasts until the rename
  r = duel_call_close(d->fd);
  d->fd = -1;
  if (r < 0) return draft_failed(d, "close");
  if (take_place(d->temporary, d->path) < 0) return draft_failed(d, "rename");
  delist(d);
  r = duel_call_sync_folder(d->folder);
  d->folder = -1;
  if (r < 0) duel_fail(DUEL_ERR_IO, "%s is written, but its folder cannot be synced: %s", d->path, strerror(errno));
  duel_draft_drop(d);
  return r < 0 ? DUEL_ERR_IO : DUEL_OK;
}

void duel_draft_drop(duel_draft *d) {
  if (d->temporary[0]) duel_fs.unlink(d->temporary);
  delist(d);
  if (d->fd >= 0) duel_call_close(d->fd);
  if (d->held >= 0) duel_call_close(d->held);
  if (d->folder >= 0) duel_call_close(d->folder);
  d->fd = d->held = d->folder = -1;
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
