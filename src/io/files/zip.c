// Zip files through libzip, where the build has it. A handle of libzip is one thread's at a time, so there are some of
// them. Invariant: no memory is taken on the word of a header; a file grows as its bytes come.
#include "io/files/files.h"

#include <string.h>

bool duel_is_zip(const uint8_t *bytes, size_t n) {
  return n >= 4 && (!memcmp(bytes, "PK\3\4", 4) || !memcmp(bytes, "PK\5\6", 4));
}

#ifndef DUEL_ZIP

bool duel_has_zip(void) {
  return false;
}

duel_status duel_zip_open(duel_files *f, const char *path, const char *below) {
  (void)f;
  (void)below;
  return duel_fail(DUEL_ERR_DATA,
                   "%s is a zip file, which this build cannot read: install libzip (libzip-dev) and build again, or "
                   "unpack it and name the folder",
                   path);
}
void duel_zip_close(struct duel_zip *zip) {
  (void)zip;
}
duel_status duel_zip_read(const duel_files *f, int64_t i, uint8_t *dst, size_t n) {
  (void)i, (void)dst, (void)n;
  return duel_fail(DUEL_ERR_INTERNAL, "%s: no libzip", f->root);
}
duel_status duel_zip_load(const duel_files *f, int64_t i, const char *path, size_t most, uint8_t **bytes, size_t *n) {
  (void)f, (void)i, (void)most, (void)bytes, (void)n;
  return duel_fail(DUEL_ERR_INTERNAL, "%s: no libzip", path);
}
duel_status duel_files_copy(const duel_files *f, int64_t i, int to) {
  (void)i, (void)to;
  return duel_fail(DUEL_ERR_INTERNAL, "%s: no libzip", f->root);
}

#else

#include <pthread.h>
#include <stdlib.h>
#include <zip.h>

#include "base/mem.h"
#include "io/file.h"

enum { HANDLES = 8, MOST_LISTED = 1 << 20, FIRST_ROOM = 1 << 16 };

typedef struct duel_zip {
  char *path;
  pthread_mutex_t mutex;
  pthread_cond_t freed;
  zip_t *handle[HANDLES]; // NULL: not opened yet
  bool busy[HANDLES];
  int most; // handles: each has a list of all entries
} duel_zip;

bool duel_has_zip(void) {
  return true;
}

// ---- handles

static duel_status open_handle(const char *path, zip_t **handle) {
  int fd, code;
  int64_t size;
  zip_error_t error;
  DUEL_TRY(duel_file_open(path, &fd, &size));
  *handle = zip_fdopen(fd, ZIP_RDONLY, &code); // closes fd, unless it fails
  if (*handle) return DUEL_OK;
  duel_file_close(fd);
  zip_error_init_with_code(&error, code);
  duel_status status = code == ZIP_ER_MEMORY
                           ? duel_fail_memory(path, (size_t)size)
                           : duel_fail(DUEL_ERR_DATA, "%s is no zip file that can be read, or a damaged one: %s", path,
                                       zip_error_strerror(&error));
  zip_error_fini(&error);
  return status;
}

static duel_status borrow(duel_zip *z, int *slot) {
  pthread_mutex_lock(&z->mutex);
  for (*slot = 0; z->busy[*slot];) {
    if (++*slot < z->most) continue;
    pthread_cond_wait(&z->freed, &z->mutex);
    *slot = 0;
  }
  z->busy[*slot] = true;
  pthread_mutex_unlock(&z->mutex);
  return z->handle[*slot] ? DUEL_OK : open_handle(z->path, &z->handle[*slot]);
}

static void give_back(duel_zip *z, int slot) {
  pthread_mutex_lock(&z->mutex);
  z->busy[slot] = false;
  pthread_cond_signal(&z->freed);
  pthread_mutex_unlock(&z->mutex);
}

// ---- the list

static bool is_hidden(const char *name) {
  for (const char *p = name; p; p = strchr(p, '/')) {
    if (p != name || *p == '/') p++;
    if (*p == '.') return true;
  }
  return false;
}

static duel_status add(duel_files *f, const char *path, const char *below, const zip_stat_t *st) {
  const size_t n = strlen(below), length = strlen(st->name);
  char *name = duel_strdup(st->name);
  if (!name) return duel_fail_memory(path, length);
  for (char *c = name; *c; c++)
    if (*c == '\\') *c = '/'; // as some of Windows' programs write them
  duel_status status = DUEL_OK;
  const char *rest = name;
  if (n > 0) rest = !strncmp(name, below, n) && name[n] == '/' ? name + n + 1 : "";
  if (!*rest || rest[strlen(rest) - 1] == '/' || is_hidden(rest) || !strncmp(name, "__MACOSX/", 9)) goto done;
  if (st->encryption_method != ZIP_EM_NONE)
    status = duel_fail(DUEL_ERR_DATA, "%s is encrypted: unpack it with its password, and name the folder", path);
  else if (st->size > INT64_MAX)
    status = duel_fail(DUEL_ERR_DATA, "%s is damaged: %s makes no sense in it", path, name);
  else
    status = duel_files_add(f, rest,
                            (duel_named){.size = (int64_t)st->size,
                                         .seconds = (int64_t)st->mtime,
                                         .nanoseconds = (int64_t)st->crc,
                                         .at = (int64_t)st->index});
done:
  duel_free(name);
  return status;
}

static duel_status list(duel_files *f, const char *path, const char *below) {
  zip_t *handle = f->zip->handle[0];
  const zip_int64_t n = zip_get_num_entries(handle, 0);
  for (zip_int64_t i = 0; i < n; i++) {
    zip_stat_t st;
    const zip_uint64_t need = ZIP_STAT_NAME | ZIP_STAT_INDEX | ZIP_STAT_SIZE | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(handle, (zip_uint64_t)i, ZIP_FL_ENC_GUESS, &st) != 0 || (st.valid & need) != need)
      return duel_fail(DUEL_ERR_DATA, "%s is damaged: its entry %lld makes no sense", path, (long long)i);
    if (!(st.valid & ZIP_STAT_MTIME)) st.mtime = 0;
    if (!(st.valid & ZIP_STAT_CRC)) st.crc = 0;
    DUEL_TRY(add(f, path, below, &st));
  }
  const zip_int64_t handles = n > 0 ? MOST_LISTED / n : HANDLES;
  f->zip->most = handles < 1 ? 1 : handles < HANDLES ? (int)handles : HANDLES;
  return DUEL_OK;
}

duel_status duel_zip_open(duel_files *f, const char *path, const char *below) {
  duel_zip *z = f->zip = duel_calloc(1, sizeof *z);
  if (!z) return duel_fail_memory(path, sizeof *z);
  pthread_mutex_init(&z->mutex, NULL);
  pthread_cond_init(&z->freed, NULL);
  z->path = duel_strdup(path);
  if (!z->path) return duel_fail_memory(path, strlen(path));
  DUEL_TRY(open_handle(path, &z->handle[0]));
  return list(f, path, below);
}

void duel_zip_close(struct duel_zip *zip) {
  if (!zip) return;
  for (int i = 0; i < HANDLES; i++)
    if (zip->handle[i]) zip_discard(zip->handle[i]);
  pthread_cond_destroy(&zip->freed);
  pthread_mutex_destroy(&zip->mutex);
  duel_free(zip->path);
  duel_free(zip);
}

// ---- reading

static duel_status failed(const char *root, const char *path, zip_error_t *error) {
  if (zip_error_code_zip(error) == ZIP_ER_MEMORY) return duel_fail_memory(path, FIRST_ROOM);
  return duel_fail(DUEL_ERR_DATA, "%s: %s in it cannot be read: %s", root, path, zip_error_strerror(error));
}

// Up to n bytes; *got fewer: they are all.
static duel_status read_some(zip_file_t *file, const duel_files *f, const char *path, uint8_t *dst, size_t n,
                             size_t *got) {
  for (*got = 0; *got < n;) {
    const zip_int64_t r = zip_fread(file, dst + *got, n - *got);
    if (r < 0) return failed(f->root, path, zip_file_get_error(file));
    if (r == 0) return DUEL_OK;
    *got += (size_t)r;
  }
  return DUEL_OK;
}

static duel_status read_head(zip_file_t *file, const duel_files *f, int64_t i, uint8_t *dst, size_t n) {
  size_t got;
  DUEL_TRY(read_some(file, f, f->file[i].path, dst, n, &got));
  return got == n ? DUEL_OK : duel_fail(DUEL_ERR_DATA, "%s: %s in it is cut short", f->root, f->file[i].path);
}

static duel_status read_all(zip_file_t *file, const duel_files *f, int64_t i, uint8_t **bytes) {
  const size_t size = (size_t)f->file[i].size;
  const char *path = f->file[i].path;
  size_t room = size < FIRST_ROOM ? size + 1 : FIRST_ROOM, n = 0, got;
  for (;;) {
    uint8_t *grown = duel_realloc(*bytes, room);
    if (!grown) return duel_fail_memory(path, room);
    *bytes = grown;
    DUEL_TRY(read_some(file, f, path, grown + n, room - n, &got)); // at its end the checksum is compared
    n += got;
    if (n < room) break;
    if (n > size) return duel_fail(DUEL_ERR_DATA, "%s: %s in it holds more than it says", f->root, path);
    room = room > size / 2 ? size + 1 : 2 * room;
  }
  if (n != size) return duel_fail(DUEL_ERR_DATA, "%s: %s in it is cut short", f->root, path);
  (*bytes)[n] = 0;
  return DUEL_OK;
}

static duel_status copy_all(zip_file_t *file, const duel_files *f, int64_t i, int to) {
  const size_t room = 4 * FIRST_ROOM;
  int64_t at = 0;
  size_t got = room;
  uint8_t *piece = duel_malloc(room);
  if (!piece) return duel_fail_memory(f->file[i].path, room);
  duel_status status = DUEL_OK;
  const duel_draft draft = {.fd = to, .path = "a copy"};
  while (status == DUEL_OK && got == room) {
    status = read_some(file, f, f->file[i].path, piece, room, &got);
    if (status == DUEL_OK && (int64_t)got > f->file[i].size - at)
      status = duel_fail(DUEL_ERR_DATA, "%s: %s in it holds more than it says", f->root, f->file[i].path);
    if (status == DUEL_OK) status = duel_draft_put(&draft, piece, got, at);
    at += (int64_t)got;
  }
  duel_free(piece);
  if (status == DUEL_OK && at != f->file[i].size)
    status = duel_fail(DUEL_ERR_DATA, "%s: %s in it is cut short", f->root, f->file[i].path);
  return status;
}

typedef struct want { // the first n bytes into dst; or all of them into fresh memory, or a file
  uint8_t *dst;
  size_t n;
  uint8_t **bytes;
  int to;
} want;

static duel_status with_entry(const duel_files *f, int64_t i, const want *w) {
  int slot;
  duel_status status = borrow(f->zip, &slot);
  if (status == DUEL_OK) {
    zip_t *handle = f->zip->handle[slot];
    zip_file_t *file = zip_fopen_index(handle, (zip_uint64_t)f->file[i].at, 0);
    if (!file)
      status = failed(f->root, f->file[i].path, zip_get_error(handle));
    else
      status = w->dst     ? read_head(file, f, i, w->dst, w->n)
               : w->bytes ? read_all(file, f, i, w->bytes)
                          : copy_all(file, f, i, w->to);
    if (file) zip_fclose(file);
  }
  give_back(f->zip, slot);
  return status;
}

duel_status duel_zip_read(const duel_files *f, int64_t i, uint8_t *dst, size_t n) {
  return with_entry(f, i, &(want){.dst = dst, .n = n});
}

duel_status duel_zip_load(const duel_files *f, int64_t i, const char *path, size_t most, uint8_t **bytes, size_t *n) {
  const int64_t size = f->file[i].size;
  *bytes = NULL;
  *n = (size_t)size;
  if ((uint64_t)size > most)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld bytes, more than the %zu allowed here", path, (long long)size, most);
  duel_status status = with_entry(f, i, &(want){.bytes = bytes});
  if (status == DUEL_OK) return DUEL_OK;
  duel_free(*bytes);
  *bytes = NULL;
  return status;
}

duel_status duel_files_copy(const duel_files *f, int64_t i, int to) {
  return with_entry(f, i, &(want){.to = to});
}

#endif
