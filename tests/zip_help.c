#include "zip_help.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "io_help.h"

typedef struct out {
  uint8_t *at;
  size_t n, room;
} out;

static void put(out *o, const void *bytes, size_t n) {
  if (o->n + n <= o->room) memcpy(o->at + o->n, bytes, n);
  o->n += n;
}

static void put_number(out *o, uint64_t number, size_t n) {
  uint8_t bytes[8];
  for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(number >> 8 * i);
  put(o, bytes, n);
}

// What local and central headers share: version, flags, method, time, date, CRC, sizes, length of the name.
static void put_common(out *o, const zip_part *p, size_t packed) {
  put_number(o, 20, 2);
  put_number(o, (uint64_t)p->flags, 2);
  put_number(o, p->deflated ? 8 : 0, 2);
  put_number(o, 0x21 << 16, 4); // 1980-01-01
  put_number(o, libdeflate_crc32(0, p->bytes, p->n), 4);
  put_number(o, packed, 4);
  put_number(o, p->size ? p->size : p->n, 4);
  put_number(o, strlen(p->name), 2);
}

static size_t put_content(out *o, const zip_part *p) {
  const size_t before = o->n;
  if (!p->deflated) {
    put(o, p->bytes, p->n);
    return p->n;
  }
  struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
  const size_t room = libdeflate_deflate_compress_bound(c, p->n);
  uint8_t *packed = malloc(room);
  put(o, packed, libdeflate_deflate_compress(c, p->bytes, p->n, packed, room));
  free(packed);
  libdeflate_free_compressor(c);
  return o->n - before;
}

size_t make_zip(uint8_t *dst, size_t room, const zip_part *part, int n) {
  out o = {dst, 0, room};
  size_t local[64], packed[64];
  for (int i = 0; i < n; i++) {
    out content = {calloc(1, part[i].n + 1024), 0, part[i].n + 1024};
    packed[i] = put_content(&content, &part[i]);
    local[i] = o.n;
    put(&o, "PK\3\4", 4);
    put_common(&o, &part[i], packed[i]);
    put_number(&o, 0, 2);
    put(&o, part[i].name, strlen(part[i].name));
    put(&o, content.at, packed[i]);
    free(content.at);
  }
  const size_t central = o.n;
  for (int i = 0; i < n; i++) {
    put(&o, "PK\1\2", 4);
    put_number(&o, 20, 2);
    put_common(&o, &part[i], packed[i]);
    put_number(&o, 0, 8); // extra field, comment, disk, attributes
    put_number(&o, 0, 4);
    put_number(&o, local[i] & 0xFFFFFFFF, 4);
    put(&o, part[i].name, strlen(part[i].name));
  }
  const size_t end = o.n;
  put(&o, "PK\5\6", 4);
  put_number(&o, 0, 4);
  put_number(&o, (uint64_t)n, 2);
  put_number(&o, (uint64_t)n, 2);
  put_number(&o, end - central, 4);
  put_number(&o, central, 4);
  put_number(&o, 0, 2);
  return o.n <= room ? o.n : 0;
}

void scratch_zip(const char *name, const zip_part *part, int n) {
  size_t room = 1024;
  for (int i = 0; i < n; i++) room += part[i].n + 1024;
  uint8_t *bytes = malloc(room);
  scratch_put(name, bytes, make_zip(bytes, room, part, n));
  free(bytes);
}
