// BMP: Windows' bitmaps and OS/2's older ones. Invariant: everything is looked for within the file's bytes, at offsets
// that were checked, and a row's pixels are there before they are read.
#include <string.h>

#include "base/mem.h"
#include "io/pictures/decoders.h"

enum { FILE_HEAD = 14, CORE = 12, PLAIN = 0, RLE8 = 1, RLE4 = 2, MASKS = 3 };

typedef struct bmp {
  int bits, compression;
  bool from_top;
  uint32_t colors, entry; // of the palette, and bytes of one of its colors
  size_t palette, pixels; // where they begin
  uint32_t mask[4];       // red, green, blue, alpha
} bmp;

static uint32_t half(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static uint32_t word(const uint8_t *p) {
  return half(p) | half(p + 2) << 16;
}

static uint64_t row_bytes(const duel_raw *raw, const bmp *m) {
  return ((uint64_t)raw->width * (unsigned)m->bits + 31) / 32 * 4;
}

static void core_header(duel_raw *raw, bmp *m, const uint8_t *head) {
  raw->width = half(head + 4);
  raw->height = half(head + 6);
  m->bits = (int)half(head + 10);
  m->entry = 3;
}

static void header(duel_raw *raw, bmp *m, const uint8_t *head) {
  const int32_t width = (int32_t)word(head + 4), height = (int32_t)word(head + 8);
  raw->width = width;
  raw->height = height < 0 ? -(int64_t)height : height;
  m->from_top = height < 0;
  m->bits = (int)half(head + 14);
  m->compression = (int)word(head + 16);
  m->colors = word(head + 32);
  m->entry = 4;
}

// Which bits of a pixel are which color. In a header of 40 bytes they come behind it, without alpha; 16 bits without
// masks are 5 each; the fourth byte of 32 bits means nothing unless a mask says so.
static bool find_masks(bmp *m, const uint8_t *head, uint32_t size, size_t n) {
  static const uint32_t plain[2][4] = {{0x7C00, 0x3E0, 0x1F, 0}, {0xFF0000, 0xFF00, 0xFF, 0}};
  memcpy(m->mask, plain[m->bits > 16], sizeof m->mask);
  if (m->compression != MASKS) return true;
  if (n < FILE_HEAD + (size >= 56 ? 56 : 52)) return false;
  for (int i = 0; i < 4; i++) m->mask[i] = i < 3 || size >= 56 ? word(head + 40 + 4 * i) : 0;
  if (size == 40) m->palette += 12;
  if (m->bits == 32 && !m->mask[0] && !m->mask[1] && !m->mask[2] && !m->mask[3])
    memcpy(m->mask, (const uint32_t[4]){0xFF0000, 0xFF00, 0xFF, 0xFF000000}, sizeof m->mask);
  return true;
}

// A palette that is black and white, or in which every number is its own gray, as in Pillow.
static bool is_gray(const bmp *m, const uint8_t *bytes) {
  const uint8_t *color = bytes + m->palette;
  for (uint32_t i = 0; i < m->colors; i++, color += m->entry) {
    const uint32_t gray = m->colors == 2 ? 255 * i : i;
    if (color[0] != gray || color[1] != gray || color[2] != gray) return false;
  }
  return true;
}

static duel_status refuse(const duel_bytes *b, const bmp *m) {
  if (m->compression > MASKS)
    return duel_fail(DUEL_ERR_DATA, "%s is a BMP whose pixels are %s, which is not read here: convert it to PNG",
                     b->path,
                     m->compression == 4   ? "a JPEG"
                     : m->compression == 5 ? "a PNG"
                                           : "packed oddly");
  return duel_fail(DUEL_ERR_DATA, "%s is damaged: its BMP header makes no sense", b->path);
}

static bool makes_sense(const bmp *m) {
  const int bits = m->bits;
  if (m->compression == RLE8) return bits == 8;
  if (m->compression == RLE4) return bits == 4;
  if (m->compression == MASKS) return bits == 16 || bits == 24 || bits == 32;
  return bits == 1 || bits == 2 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32;
}

// Fills in m and raw; *more where the palette or the masks are not yet among the bytes.
static duel_status open_bmp(duel_raw *raw, bmp *m, const duel_bytes *b, bool *more) {
  *m = (bmp){0};
  if (b->n < FILE_HEAD + CORE) return duel_raw_more(b, more, "BMP");
  const uint8_t *head = b->at + FILE_HEAD;
  const uint32_t size = word(head);
  if (size != CORE && b->n < FILE_HEAD + 40) return duel_raw_more(b, more, "BMP");
  if (size == CORE)
    core_header(raw, m, head);
  else
    header(raw, m, head);
  m->palette = FILE_HEAD + size;
  if (m->compression < PLAIN || m->compression > MASKS || !makes_sense(m)) return refuse(b, m);
  if (!find_masks(m, head, size, b->n)) return duel_raw_more(b, more, "BMP");
  if (m->bits <= 8 && (m->colors == 0 || m->colors > 256)) m->colors = 1u << m->bits;
  const uint32_t at = word(b->at + 10);
  const size_t palette = m->bits <= 8 ? (size_t)m->colors * m->entry : 0;
  m->pixels =
      at == 0 || (palette && at == FILE_HEAD + size) ? m->palette + palette : at; // some say where the palette is
  raw->color = 3;
  if (m->bits > 8) return DUEL_OK;
  if (m->pixels > m->palette && (m->pixels - m->palette) / m->entry < m->colors)
    m->colors = (uint32_t)((m->pixels - m->palette) / m->entry); // fewer lie there than there might be
  if (b->n < m->palette + (size_t)m->colors * m->entry) return duel_raw_more(b, more, "BMP");
  raw->color = is_gray(m, b->at) ? 1 : 3;
  return DUEL_OK;
}

duel_status duel_bmp_probe(duel_raw *raw, const duel_bytes *b, bool *more) {
  bmp m;
  DUEL_TRY(open_bmp(raw, &m, b, more));
  if (*more || raw->width < 1 || raw->height < 1) return DUEL_OK;
  // Of RLE two bytes are a run of 255 pixels, and four a jump over 255 rows. It may leave out the rest, but not at any
  // size.
  const bool packed = m.compression == RLE8 || m.compression == RLE4;
  const double room = (double)raw->width * (double)raw->height;
  if (packed) return duel_raw_check(raw, b, room, 64 * 255 + 64 * (double)raw->width);
  return duel_raw_check(raw, b, (double)row_bytes(raw, &m) * (double)raw->height, 1);
}

static duel_status short_of(const duel_bytes *b) {
  return duel_fail(DUEL_ERR_DATA, "%s is damaged: it is cut short", b->path);
}

// Runs of colors' numbers, from the lowest row up. As in Pillow a run ends with its row; what is left out is number 0.
static duel_status unpack(uint8_t *dst, const duel_raw *raw, const bmp *m, const duel_bytes *b) {
  const int64_t width = raw->width, all = width * raw->height;
  const bool nibbles = m->compression == RLE4;
  int64_t to = 0, x = 0;
  size_t at = m->pixels;
  memset(dst, 0, (size_t)all);
  while (to < all) {
    if (at > b->n || b->n - at < 2) return short_of(b);
    const int count = b->at[at], value = b->at[at + 1];
    at += 2;
    if (count) {
      const int64_t n = count < width - x ? count : width - x > 0 ? width - x : 0;
      for (int64_t i = 0; i < n && to < all; i++)
        dst[to++] = (uint8_t)(!nibbles ? value : i % 2 ? value & 15 : value >> 4);
      x += n;
    } else if (value == 0) { // the row's end
      to = (to + width - 1) / width * width;
      x = 0;
    } else if (value == 1) { // the picture's
      break;
    } else if (value == 2) { // a jump
      if (b->n - at < 2) return short_of(b);
      to += b->at[at] + b->at[at + 1] * width;
      x = to % width;
      at += 2;
    } else { // pixels as they are, padded to an even number of bytes
      const int64_t n = value < all - to ? value : all - to;
      const size_t bytes = nibbles ? ((size_t)n + 1) / 2 : (size_t)n;
      if (b->n - at < bytes) return short_of(b);
      for (int64_t i = 0; i < n; i++) {
        const uint8_t byte = b->at[at + (size_t)(nibbles ? i / 2 : i)];
        dst[to++] = (uint8_t)(!nibbles ? byte : i % 2 ? byte & 15 : byte >> 4);
      }
      x += value;
      at += bytes + bytes % 2;
    }
  }
  return DUEL_OK;
}

// A row of numbers of 1 to 8 bits.
static void spread(uint8_t *dst, const uint8_t *src, int64_t n, int bits) {
  const int each = 8 / bits, top = (1 << bits) - 1;
  for (int64_t x = 0; x < n; x++) dst[x] = (uint8_t)(src[x / each] >> (8 - bits - x % each * bits) & top);
}

static void look_up(uint8_t *dst, const uint8_t *number, int64_t n, int color, const bmp *m, const uint8_t *bytes) {
  static const uint8_t black[3];
  for (int64_t x = 0; x < n; x++) {
    const uint8_t *c = number[x] < m->colors ? bytes + m->palette + number[x] * m->entry : black;
    if (color == 3) *dst++ = c[2], *dst++ = c[1];
    *dst++ = c[0];
  }
}

static uint8_t part(uint32_t pixel, uint32_t mask) { // spread over 0..255, rounded down as in Pillow
  if (!mask) return 0;
  const int low = __builtin_ctz(mask);
  return (uint8_t)((uint64_t)((pixel & mask) >> low) * 255 / (mask >> low));
}

static void take_colors(uint8_t *dst, const uint8_t *src, int64_t n, const bmp *m, int channels) {
  const int bytes = m->bits / 8;
  for (int64_t x = 0; x < n; x++, src += bytes) {
    const uint32_t pixel =
        half(src) | (bytes > 2 ? (uint32_t)src[2] << 16 : 0) | (bytes > 3 ? (uint32_t)src[3] << 24 : 0);
    for (int c = 0; c < channels; c++) *dst++ = part(pixel, m->mask[c]);
  }
}

static duel_status decode_rows(duel_raw *raw, const bmp *m, const duel_bytes *b, uint8_t *number) {
  const int64_t width = raw->width, height = raw->height;
  const bool packed = m->compression == RLE8 || m->compression == RLE4;
  const uint64_t stride = row_bytes(raw, m), used = ((uint64_t)width * (unsigned)m->bits + 7) / 8;
  if (packed) DUEL_TRY(unpack(number, raw, m, b));
  if (!packed && (m->pixels > b->n || b->n - m->pixels < stride * (uint64_t)(height - 1) + used)) return short_of(b);
  for (int64_t y = 0; y < height; y++) {
    uint8_t *dst = (uint8_t *)raw->samples + (m->from_top ? y : height - 1 - y) * width * raw->channels;
    const uint8_t *src = packed ? number + y * width : b->at + m->pixels + (uint64_t)y * stride;
    if (m->bits > 8) {
      take_colors(dst, src, width, m, raw->channels);
      continue;
    }
    if (!packed) spread(number, src, width, m->bits);
    look_up(dst, packed ? src : number, width, raw->color, m, b->at);
  }
  return DUEL_OK;
}

duel_status duel_bmp_decode(duel_raw *raw, const duel_bytes *b) {
  bmp m;
  bool more;
  DUEL_TRY(open_bmp(raw, &m, b, &more));
  raw->channels = raw->color + (m.bits > 8 && m.mask[3] != 0);
  raw->bits = 8;
  DUEL_TRY(duel_raw_take(raw, b->path));
  const bool packed = m.compression == RLE8 || m.compression == RLE4;
  const size_t numbers = (size_t)(packed ? raw->width * raw->height : raw->width);
  uint8_t *number = duel_malloc(numbers);
  const duel_status status = number ? decode_rows(raw, &m, b, number) : duel_fail_memory(b->path, numbers);
  duel_free(number);
  return status;
}
