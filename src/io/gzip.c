// gzip through libdeflate, the faster one, which wants room for the whole output at once. The last four bytes of a file
// give the size of its last member modulo 2^32, which for nearly every file is the answer; but they are only a claim,
// so the room never exceeds what n bytes of DEFLATE can hold, 1032 a byte. What is too large for that goes through
// zlib.
#include "io/gzip.h"

#include <libdeflate.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "io/file.h"

int duel_is_gzip(const uint8_t *bytes, size_t n) {
  return n >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static duel_status inflate_members(struct libdeflate_decompressor *inflater, const char *path, const uint8_t *gz,
                                   size_t n, size_t most, uint8_t **bytes, size_t *size) {
  if (n < 18) return duel_fail(DUEL_ERR_DATA, "%s is cut short: %zu bytes are no gzip file", path, n);
  size_t bound = n < most / 1032 ? n * 1032 : most;
  size_t claim = (size_t)gz[n - 4] | (size_t)gz[n - 3] << 8 | (size_t)gz[n - 2] << 16 | (size_t)gz[n - 1] << 24;
  size_t room = claim < bound ? claim : bound, in = 0, out = 0;
  uint8_t *b = *bytes = duel_malloc(room ? room : 1);
  if (!b) return duel_fail_memory(path, room);
  while (in < n) {
    if (!duel_is_gzip(gz + in, n - in))
      return duel_fail(DUEL_ERR_DATA, "%s: something that is no gzip data follows at byte %zu", path, in);
    size_t used = 0, made = 0;
    enum libdeflate_result r =
        libdeflate_gzip_decompress_ex(inflater, gz + in, n - in, b + out, room - out, &used, &made);
    if (r == LIBDEFLATE_INSUFFICIENT_SPACE && room < bound) { // several members, or the claim is wrong
      size_t more = room > bound / 2 ? bound : room < 4096 ? 4096 : 2 * room;
      more = more < bound ? more : bound;
      if (!(b = duel_realloc(*bytes, more))) return duel_fail_memory(path, more);
      *bytes = b;
      room = more;
      continue;
    }
    if (r == LIBDEFLATE_INSUFFICIENT_SPACE && bound == most)
      return duel_fail(DUEL_ERR_DATA, "%s inflates to more than the %zu bytes allowed here", path, most);
    if (r != LIBDEFLATE_SUCCESS)
      return duel_fail(DUEL_ERR_DATA, "%s is corrupt or cut short: its %zu bytes do not inflate (gzip -t says more)",
                       path, n);
    in += used;
    out += made;
  }
  *size = out;
  return DUEL_OK;
}

duel_status duel_gunzip(const char *path, const uint8_t *gz, size_t n, size_t most, uint8_t **bytes, size_t *size) {
  *bytes = NULL;
  struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
  if (!inflater) return duel_fail_memory("inflating", 1 << 16);
  duel_status s = inflate_members(inflater, path, gz, n, most, bytes, size);
  libdeflate_free_decompressor(inflater);
  if (s != DUEL_OK) {
    duel_free(*bytes);
    *bytes = NULL;
  }
  return s;
}

// ---- from file to file

enum { PIECE = 1 << 18 };

static voidpf take(voidpf ctx, uInt n, uInt size) {
  (void)ctx;
  return duel_calloc(n, size);
}
static void give(voidpf ctx, voidpf p) {
  (void)ctx;
  duel_free(p);
}

static duel_status put(const char *path, int to, const uint8_t *bytes, size_t n) {
  while (n > 0) {
    ssize_t w = duel_fs.write(to, bytes, n);
    if (w <= 0) return duel_fail(DUEL_ERR_IO, "cannot inflate %s: its content cannot be written (disk full?)", path);
    bytes += w;
    n -= (size_t)w;
  }
  return DUEL_OK;
}

static duel_status pump(z_stream *z, const char *path, int from, int to, uint8_t *in, uint8_t *out, int64_t *size) {
  int64_t at = 0;
  z->avail_out = PIECE;
  for (int state = Z_OK;;) {
    if (z->avail_in == 0 && z->avail_out > 0) { // else some output waits
      ssize_t r = duel_fs.pread(from, in, PIECE, at);
      if (r < 0) return duel_fail(DUEL_ERR_IO, "cannot read %s", path);
      if (r == 0 && state == Z_STREAM_END) return DUEL_OK;
      if (r == 0)
        return duel_fail(DUEL_ERR_DATA, "%s is cut short: its %lld bytes do not inflate", path, (long long)at);
      at += r;
      z->next_in = in;
      z->avail_in = (uInt)r;
    }
    if (state == Z_STREAM_END && z->avail_in > 0 && inflateReset(z) != Z_OK)
      return duel_fail(DUEL_ERR_INTERNAL, "%s: zlib", path);
    z->next_out = out;
    z->avail_out = PIECE;
    state = inflate(z, Z_NO_FLUSH);
    if (state == Z_MEM_ERROR) return duel_fail_memory(path, PIECE);
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
      return duel_fail(DUEL_ERR_DATA, "%s is corrupt: %s (gzip -t says more)", path, z->msg ? z->msg : "bad data");
    DUEL_TRY(put(path, to, out, PIECE - z->avail_out));
    *size += PIECE - z->avail_out;
  }
}

duel_status duel_gunzip_file(const char *path, int from, int to, int64_t *size) {
  z_stream z = {.zalloc = take, .zfree = give};
  *size = 0;
  uint8_t *room = duel_malloc(2 * PIECE);
  if (!room || inflateInit2(&z, 15 + 16) != Z_OK) { // gzip alone
    duel_free(room);
    return duel_fail_memory(path, 2 * PIECE);
  }
  duel_status s = pump(&z, path, from, to, room, room + PIECE, size);
  inflateEnd(&z);
  duel_free(room);
  return s;
}

// ---- a look at the beginning

duel_status duel_inflate_head(const uint8_t *gz, size_t n, uint8_t *dst, size_t room, size_t *made) {
  z_stream z = {.zalloc = take, .zfree = give, .next_out = dst, .avail_out = (uInt)room, .avail_in = (uInt)n};
  z.next_in = (z_const Bytef *)gz;
  *made = 0;
  if (inflateInit2(&z, 15 + 32) != Z_OK) return duel_fail_memory("inflating", 1 << 16);
  const int state = inflate(&z, Z_SYNC_FLUSH); // whatever comes out of it
  inflateEnd(&z);
  *made = room - z.avail_out;
  return state == Z_MEM_ERROR ? duel_fail_memory("inflating", 1 << 16) : DUEL_OK;
}
