// Stores. Invariant: an open one has either a file or a block, and its size is that of what they hold.
#include "io/records/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gzip.h"

static const size_t most_bytes = (size_t)1 << 36; // of one file inflated into memory: 64 GiB

// A file without a name: it is gone when it is closed. In the folder or, where that cannot be, where temporary ones go.
static duel_status open_nameless(const char *path, const char *folder, int *fd) {
  const char *const places[] = {folder, getenv("TMPDIR"), "/var/tmp", "/tmp"};
  *fd = -1;
  for (int i = 0; i < 4 && *fd < 0; i++) {
    if (!places[i]) continue;
    char *name = duel_format("%s/.duel-inflated-XXXXXX", places[i]);
    if (!name) return duel_fail_memory(path, strlen(places[i]));
    *fd = mkostemp(name, 02000000); // O_CLOEXEC
    if (*fd >= 0) unlink(name);
    duel_free(name);
  }
  if (*fd >= 0) return DUEL_OK;
  return duel_fail(
      DUEL_ERR_IO,
      "cannot inflate %s: no file can be made in %s, TMPDIR, /var/tmp or /tmp (%s); inflate it yourself, or "
      "let TMPDIR name a folder with room",
      path, folder, strerror(errno));
}

// ---- out of a zip file

static duel_status unzip(duel_store *s, const duel_files *files, int64_t i, int64_t most, const char *folder) {
  size_t n;
  s->size = files->file[i].size;
  if (s->size <= most) return duel_files_read(files, i, most_bytes, &s->block, &n);
  DUEL_TRY(open_nameless(s->path, folder, &s->fd));
  return duel_files_copy(files, i, s->fd);
}

// ---- out of gzip

static duel_status gunzip_block(duel_store *s) {
  uint8_t *gz = s->block;
  size_t size = 0;
  duel_status status = duel_gunzip(s->path, gz, (size_t)s->size, most_bytes, &s->block, &size);
  duel_free(gz);
  s->size = (int64_t)size;
  return status;
}

static duel_status gunzip_file(duel_store *s, int64_t most, int64_t inflated, const char *folder) {
  const int fd = s->fd;
  const size_t n = (size_t)s->size;
  s->fd = -1;
  duel_status status;
  if (inflated > most) {
    status = open_nameless(s->path, folder, &s->fd);
    if (status == DUEL_OK) status = duel_gunzip_file(s->path, fd, s->fd, &s->size);
  } else {
    s->block = n <= most_bytes ? duel_malloc(n) : NULL;
    status = s->block ? duel_file_read_at(fd, s->path, s->block, n, 0) : duel_fail_memory(s->path, n);
    if (status == DUEL_OK) status = gunzip_block(s);
  }
  duel_file_close(fd);
  return status;
}

// A gzip file's last four bytes are its size modulo 2^32, and it is rarely larger than what it holds.
static duel_status inflated_size(const duel_store *s, int64_t *size) {
  uint8_t end[4];
  if (s->size < 18) return *size = 0, DUEL_OK; // an error yet to come
  DUEL_TRY(duel_store_read(s, end, 4, s->size - 4));
  *size = (int64_t)end[0] | (int64_t)end[1] << 8 | (int64_t)end[2] << 16 | (int64_t)end[3] << 24;
  while (*size < s->size / 2) *size += (int64_t)1 << 32;
  return DUEL_OK;
}

static duel_status open_store(duel_store *s, const duel_files *files, int64_t at, int64_t most, const char *folder) {
  uint8_t head[2];
  int64_t inflated;
  DUEL_TRY(files ? unzip(s, files, at, most, folder) : duel_file_open(s->path, &s->fd, &s->size));
  if (s->size < 2) return DUEL_OK;
  DUEL_TRY(duel_store_read(s, head, 2, 0));
  if (!duel_is_gzip(head, 2)) return DUEL_OK;
  DUEL_TRY(inflated_size(s, &inflated));
  return s->block ? gunzip_block(s) : gunzip_file(s, most, inflated, folder);
}

duel_status duel_store_open(duel_store *s, const char *path, const duel_files *files, int64_t at, int64_t most,
                            const char *folder) {
  *s = (duel_store){.fd = -1, .path = duel_strdup(path)};
  if (!s->path) return duel_fail_memory(path, strlen(path) + 1);
  duel_status status = open_store(s, files, at, most, folder);
  if (status != DUEL_OK) duel_store_close(s);
  return status;
}

duel_status duel_store_read(const duel_store *s, void *dst, size_t n, int64_t at) {
  if (!s->block) return duel_file_read_at(s->fd, s->path, dst, n, at);
  if (at < 0 || at > s->size || (int64_t)n > s->size - at)
    return duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends at byte %lld", s->path, (long long)s->size);
  memcpy(dst, s->block + at, n);
  return DUEL_OK;
}

void duel_store_close(duel_store *s) {
  duel_file_close(s->fd);
  duel_free(s->block);
  duel_free(s->path);
  *s = (duel_store){.fd = -1};
}
