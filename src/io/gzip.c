// gzip through libdeflate, which wants room for the whole output at once. The last four bytes of a file give the size
// of its last member modulo 2^32, which for nearly every file is the answer; but they are only a claim, so the room
// never exceeds what n bytes of DEFLATE can hold, 1032 a byte.
#include "io/gzip.h"

#include <libdeflate.h>
#include <string.h>

#include "core/mem.h"

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
