// Zip files (PKWARE's APPNOTE.TXT, 6.3.10), beyond 4 GiB too: entries that are stored or deflated. Any threads read
// them. Invariant: no memory is taken on the word of a header; a file grows as its bytes come.
#include <libdeflate.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/files/files.h"
#include "io/gzip.h"

enum { CENTRAL = 46, LOCAL = 30, END = 22, END64 = 56, LOCATOR64 = 20, MOST_COMMENT = 65535 }; // bytes of records
enum { STORED = 0, DEFLATED = 8 };
enum { FIRST_ROOM = 1 << 16, PIECE = 1 << 18, MOST_AT_ONCE = 1 << 30 };

typedef struct entry {
  int64_t local, packed; // where its local header is, bytes behind that
  uint32_t crc;
  int method;
} entry;

typedef struct duel_zip {
  int fd;
  int64_t size;
  entry *entry;
} duel_zip;

bool duel_is_zip(const uint8_t *bytes, size_t n) {
  return n >= 4 && (!memcmp(bytes, "PK\3\4", 4) || !memcmp(bytes, "PK\5\6", 4));
}

static uint64_t number(const uint8_t *at, int n) {
  uint64_t x = 0;
  for (int i = n - 1; i >= 0; i--) x = x << 8 | at[i];
  return x;
}

static duel_status damaged(const char *path, const char *why) {
  return duel_fail(DUEL_ERR_DATA, "%s is no zip file that can be read, or a damaged one: %s", path, why);
}

// ---- the list

typedef struct directory { // the headers of all entries, at the end of the file
  int64_t at, size, n;
} directory;

// Where the numbers of the record at its end are too small for them.
static duel_status find_directory64(const duel_zip *z, const char *path, int64_t end, directory *d) {
  uint8_t locator[LOCATOR64], record[END64];
  if (end < LOCATOR64) return DUEL_OK;
  DUEL_TRY(duel_file_read_at(z->fd, path, locator, LOCATOR64, end - LOCATOR64));
  if (memcmp(locator, "PK\6\7", 4) != 0) return DUEL_OK;
  const uint64_t at = number(locator + 8, 8);
  if (at > (uint64_t)z->size || z->size - (int64_t)at < END64) return damaged(path, "its list is not where it says");
  DUEL_TRY(duel_file_read_at(z->fd, path, record, END64, (int64_t)at));
  if (memcmp(record, "PK\6\6", 4) != 0) return damaged(path, "its list is not where it says");
  *d = (directory){(int64_t)number(record + 48, 8), (int64_t)number(record + 40, 8), (int64_t)number(record + 32, 8)};
  return DUEL_OK;
}

// The record at the end of the file, behind which a comment may stand.
static duel_status find_end(const duel_zip *z, const char *path, uint8_t *tail, int64_t room, directory *d) {
  DUEL_TRY(duel_file_read_at(z->fd, path, tail, (size_t)room, z->size - room));
  for (int64_t at = room - END; at >= 0; at--) {
    const uint8_t *end = tail + at;
    if (memcmp(end, "PK\5\6", 4) != 0 || (int64_t)number(end + 20, 2) > room - at - END) continue;
    *d = (directory){(int64_t)number(end + 16, 4), (int64_t)number(end + 12, 4), (int64_t)number(end + 10, 2)};
    return find_directory64(z, path, z->size - room + at, d);
  }
  return damaged(path, "it has no list of its entries at its end, as if it were cut short");
}

static duel_status find_directory(const duel_zip *z, const char *path, directory *d) {
  const int64_t room = z->size < END + MOST_COMMENT ? z->size : END + MOST_COMMENT;
  uint8_t *tail = duel_malloc((size_t)room + 1);
  const duel_status status = tail ? find_end(z, path, tail, room, d) : duel_fail_memory(path, (size_t)room);
  duel_free(tail);
  DUEL_TRY(status);
  if (d->at < 0 || d->size < 0 || d->n < 0 || d->at > z->size || d->size > z->size - d->at || d->n > d->size / CENTRAL)
    return damaged(path, "its list is not where it says");
  return DUEL_OK;
}

static bool is_hidden(const char *name) {
  for (const char *p = name; p; p = strchr(p, '/')) {
    if (p != name || *p == '/') p++;
    if (*p == '.') return true;
  }
  return false;
}

// Numbers of four bytes that are all ones stand in the extra field, in this order, with eight.
static bool read_wide(const uint8_t *extra, int64_t n, uint64_t *wide[3]) {
  for (int64_t length; n >= 4; extra += 4 + length, n -= 4 + length) {
    length = (int64_t)number(extra + 2, 2);
    if (length > n - 4) return false;
    if (number(extra, 2) != 1) continue;
    const uint8_t *at = extra + 4, *end = at + length;
    for (int i = 0; i < 3; i++) {
      if (*wide[i] != 0xFFFFFFFF) continue;
      if (end - at < 8) return false;
      *wide[i] = number(at, 8);
      at += 8;
    }
  }
  return true;
}

// The entry of a central header, by the name that it shall have.
static duel_status add(duel_files *f, const char *path, const char *name, const uint8_t *header, int64_t at) {
  const uint8_t *extra = header + CENTRAL + number(header + 28, 2);
  uint64_t size = number(header + 24, 4), packed = number(header + 20, 4), local = number(header + 42, 4);
  entry *e = &f->zip->entry[at];
  *e = (entry){.crc = (uint32_t)number(header + 16, 4), .method = (int)number(header + 10, 2)};
  if (header[8] & 1)
    return duel_fail(DUEL_ERR_DATA, "%s is encrypted: unpack it with its password, and name the folder", path);
  if (e->method != STORED && e->method != DEFLATED)
    return duel_fail(DUEL_ERR_DATA,
                     "%s: %s in it is packed by zip's method %d, which is not read here: unpack it "
                     "(7z x) and name the folder",
                     path, name, e->method);
  if (!read_wide(extra, (int64_t)number(header + 30, 2), (uint64_t *[3]){&size, &packed, &local}) ||
      size > INT64_MAX - 1 || packed > (uint64_t)f->zip->size || local > (uint64_t)f->zip->size)
    return duel_fail(DUEL_ERR_DATA, "%s is damaged: %s makes no sense in it", path, name);
  e->local = (int64_t)local;
  e->packed = (int64_t)packed;
  return duel_files_add(f, name,
                        (duel_named){.size = (int64_t)size,
                                     .seconds = (int64_t)number(header + 12, 4), // MS-DOS' time and date
                                     .nanoseconds = (int64_t)e->crc,
                                     .at = at});
}

static duel_status list(duel_files *f, const char *path, const char *below, const uint8_t *header, directory d) {
  const size_t n = strlen(below);
  char name[MOST_COMMENT + 1];
  for (int64_t i = 0, left = d.size; i < d.n; i++) {
    const size_t length = left >= CENTRAL ? number(header + 28, 2) : 0;
    const int64_t all =
        CENTRAL + (int64_t)length + (int64_t)(left >= CENTRAL ? number(header + 30, 2) + number(header + 32, 2) : 0);
    if (all > left || memcmp(header, "PK\1\2", 4) != 0)
      return duel_fail(DUEL_ERR_DATA, "%s is damaged: its entry %lld makes no sense", path, (long long)i);
    for (size_t k = 0; k < length; k++)
      name[k] =
          header[CENTRAL + k] == '\\' ? '/' : (char)header[CENTRAL + k]; // as some of Windows' programs write them
    name[length] = 0;
    const char *rest = name;
    if (n > 0) rest = !strncmp(name, below, n) && name[n] == '/' ? name + n + 1 : "";
    if (*rest && rest[strlen(rest) - 1] != '/' && !is_hidden(rest) && strncmp(name, "__MACOSX/", 9) != 0)
      DUEL_TRY(add(f, path, rest, header, i));
    header += all;
    left -= all;
  }
  return DUEL_OK;
}

duel_status duel_zip_open(duel_files *f, const char *path, const char *below) {
  directory d = {.at = -1};
  duel_zip *z = f->zip = duel_calloc(1, sizeof *z);
  if (!z) return duel_fail_memory(path, sizeof *z);
  z->fd = -1;
  DUEL_TRY(duel_file_open(path, &z->fd, &z->size));
  DUEL_TRY(find_directory(z, path, &d));
  z->entry = duel_malloc((size_t)(d.n + 1) * sizeof *z->entry);
  uint8_t *headers = duel_malloc((size_t)d.size + 1);
  duel_status status = z->entry && headers ? duel_file_read_at(z->fd, path, headers, (size_t)d.size, d.at)
                                           : duel_fail_memory(path, (size_t)d.size);
  if (status == DUEL_OK) status = list(f, path, below, headers, d);
  duel_free(headers);
  return status;
}

void duel_zip_close(struct duel_zip *zip) {
  if (!zip) return;
  duel_file_close(zip->fd);
  duel_free(zip->entry);
  duel_free(zip);
}

// ---- reading

typedef struct reader { // of one entry, from its beginning
  const duel_files *f;
  const duel_named *file;
  const entry *entry;
  int64_t at, left, made; // where its packed bytes go on, how many are left; bytes that came out
  uint32_t crc;           // of these
  z_stream z;
  uint8_t *in; // [PIECE]; NULL: it is stored
} reader;

static duel_status unreadable(const reader *r, const char *why) {
  return duel_fail(DUEL_ERR_DATA, "%s: %s in it cannot be read: %s", r->f->root, r->file->path, why);
}

static duel_status reader_open(reader *r, const duel_files *f, int64_t i) {
  const duel_zip *z = f->zip;
  uint8_t header[LOCAL];
  *r = (reader){.f = f, .file = &f->file[i], .entry = &z->entry[f->file[i].at]};
  r->left = r->entry->packed;
  if (r->entry->local > z->size - LOCAL) return unreadable(r, "it lies behind the end");
  DUEL_TRY(duel_file_read_at(z->fd, f->root, header, LOCAL, r->entry->local));
  r->at = r->entry->local + LOCAL + (int64_t)(number(header + 26, 2) + number(header + 28, 2));
  if (memcmp(header, "PK\3\4", 4) != 0 || r->left > z->size - r->at)
    return unreadable(r, "it is not where it should be");
  if (r->entry->method == STORED) return DUEL_OK;
  if (!duel_inflate_begin(&r->z, -15) || !(r->in = duel_malloc(PIECE))) return duel_fail_memory(f->root, PIECE);
  return DUEL_OK;
}

static void reader_close(reader *r) {
  if (r->z.state) inflateEnd(&r->z);
  duel_free(r->in);
}

static duel_status take_packed(reader *r, uint8_t *dst, size_t n) {
  DUEL_TRY(duel_file_read_at(r->f->zip->fd, r->f->root, dst, n, r->at));
  r->at += (int64_t)n;
  r->left -= (int64_t)n;
  return DUEL_OK;
}

static duel_status inflate_some(reader *r, uint8_t *dst, size_t n, size_t *got) {
  for (int state = Z_OK; state == Z_OK && *got < n;) {
    if (r->z.avail_in == 0 && r->left > 0) {
      r->z.next_in = r->in;
      r->z.avail_in = r->left < PIECE ? (uInt)r->left : PIECE;
      DUEL_TRY(take_packed(r, r->in, r->z.avail_in));
    }
    const size_t room = n - *got < MOST_AT_ONCE ? n - *got : MOST_AT_ONCE;
    r->z.next_out = dst + *got;
    r->z.avail_out = (uInt)room;
    state = inflate(&r->z, Z_SYNC_FLUSH);
    *got += room - r->z.avail_out;
    if (state == Z_MEM_ERROR) return duel_fail_memory(r->f->root, PIECE);
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) // the last: nothing is left to take
      return unreadable(r, r->z.msg ? r->z.msg : "it does not inflate");
  }
  return DUEL_OK;
}

// Up to n bytes; *got fewer: they are all, and of a file that has the size and the checksum that it should have.
static duel_status read_some(reader *r, uint8_t *dst, size_t n, size_t *got) {
  *got = r->in ? 0 : r->left < (int64_t)n ? (size_t)r->left : n;
  DUEL_TRY(r->in ? inflate_some(r, dst, n, got) : take_packed(r, dst, *got));
  r->crc = libdeflate_crc32(r->crc, dst, *got);
  r->made += (int64_t)*got;
  if (r->made > r->file->size) return unreadable(r, "it holds more than it says");
  if (*got == n) return DUEL_OK;
  if (r->made < r->file->size) return unreadable(r, "it is cut short");
  return r->crc == r->entry->crc ? DUEL_OK : unreadable(r, "its checksum is wrong");
}

duel_status duel_zip_read(const duel_files *f, int64_t i, uint8_t *dst, size_t n) {
  reader r;
  size_t got;
  duel_status status = reader_open(&r, f, i);
  if (status == DUEL_OK) status = read_some(&r, dst, n, &got);
  if (status == DUEL_OK && got < n) status = unreadable(&r, "it is cut short");
  reader_close(&r);
  return status;
}

static duel_status read_all(reader *r, uint8_t **bytes) {
  const size_t size = (size_t)r->file->size;
  for (size_t room = size < FIRST_ROOM ? size + 1 : FIRST_ROOM, n = 0, got;;
       room = room > size / 2 ? size + 1 : 2 * room) {
    uint8_t *grown = duel_realloc(*bytes, room);
    if (!grown) return duel_fail_memory(r->file->path, room);
    *bytes = grown;
    DUEL_TRY(read_some(r, grown + n, room - n, &got));
    n += got;
    if (n == room) continue;
    grown[n] = 0;
    return DUEL_OK;
  }
}

duel_status duel_zip_load(const duel_files *f, int64_t i, const char *path, size_t most, uint8_t **bytes, size_t *n) {
  reader r;
  *bytes = NULL;
  *n = (size_t)f->file[i].size;
  if ((uint64_t)f->file[i].size > most)
    return duel_fail(DUEL_ERR_DATA, "%s holds %lld bytes, more than the %zu allowed here", path,
                     (long long)f->file[i].size, most);
  duel_status status = reader_open(&r, f, i);
  if (status == DUEL_OK) status = read_all(&r, bytes);
  reader_close(&r);
  if (status == DUEL_OK) return DUEL_OK;
  duel_free(*bytes);
  *bytes = NULL;
  return status;
}

duel_status duel_files_copy(const duel_files *f, int64_t i, int to) {
  const duel_draft draft = {.fd = to, .path = "a copy"};
  reader r;
  uint8_t *piece = duel_malloc(PIECE);
  duel_status status = reader_open(&r, f, i);
  if (!piece) status = duel_fail_memory(f->file[i].path, PIECE);
  for (size_t got = PIECE; status == DUEL_OK && got == PIECE;) {
    const int64_t at = r.made;
    status = read_some(&r, piece, PIECE, &got);
    if (status == DUEL_OK) status = duel_draft_put(&draft, piece, got, at);
  }
  reader_close(&r);
  duel_free(piece);
  return status;
}
