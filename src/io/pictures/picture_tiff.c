// TIFF through libtiff: the first page, of whatever compression the library has. Invariant: libtiff sees the file as
// memory that it may only read, prints nothing, and allocates no more at once than MOST_AT_ONCE; what a strip or tile
// holds is known before it is read.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

#include "base/mem.h"
#include "io/pictures/decoders.h"

enum { MOST_AT_ONCE = 1 << 30, MOST_OF_TILE = 1 << 26, MOST_SAMPLES = 6 };

typedef struct source {
  const duel_bytes *b;
  uint64_t at;
  char error[160];
  bool warned; // of something: of tags that are not among the bytes, perhaps
  bool lost;   // a tag
} source;

typedef struct tiff {
  uint32_t width, height;
  uint16_t bits, samples, photometric, planar, compression, format, extra;
  bool separate, tiled;
  bool by_library;              // it makes RGBA of it
  int color, alpha;             // samples that are colors; the one that is alpha, or -1
  bool associated;              // alpha is in the colors already
  uint16_t *red, *green, *blue; // a palette
} tiff;

static tmsize_t read_bytes(thandle_t h, void *dst, tmsize_t n) {
  source *s = h;
  const uint64_t left = s->at < s->b->n ? s->b->n - s->at : 0;
  const size_t now = (uint64_t)n < left ? (size_t)n : (size_t)left;
  if (now) memcpy(dst, s->b->at + s->at, now);
  s->at += now;
  return (tmsize_t)now;
}
static tmsize_t write_nothing(thandle_t h, void *src, tmsize_t n) {
  (void)h, (void)src, (void)n;
  return 0;
}
static toff_t seek(thandle_t h, toff_t at, int from) {
  source *s = h;
  s->at = from == SEEK_CUR ? s->at + at : from == SEEK_END ? s->b->n + at : at;
  return s->at;
}
static int close_nothing(thandle_t h) {
  (void)h;
  return 0;
}
static toff_t size_of(thandle_t h) {
  return ((source *)h)->b->n;
}
static int map(thandle_t h, void **base, toff_t *size) {
  const source *s = h;
  *base = (void *)(uintptr_t)s->b->at;
  *size = s->b->n;
  return 1;
}
static void unmap(thandle_t h, void *base, toff_t size) {
  (void)h, (void)base, (void)size;
}

static int on_error(TIFF *t, void *ctx, const char *module, const char *format, va_list args) {
  (void)t, (void)module;
  source *s = ctx;
  if (!*s->error) vsnprintf(s->error, sizeof s->error, format, args); // the first says most
  return 1;
}
// libtiff goes on without a tag that cannot be read, which is damage where the pixels depend on it.
static int on_warning(TIFF *t, void *ctx, const char *module, const char *format, va_list args) {
  static const char *const needed[] = {"\"ColorMap",     "\"BitsPerSample", "\"ExtraSamples",
                                       "\"SampleFormat", "\"Orientation",   "\"PhotometricInterpretation"};
  (void)t, (void)module;
  source *s = ctx;
  char text[sizeof s->error];
  s->warned = true;
  vsnprintf(text, sizeof text, format, args);
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    if (!*s->error && strstr(text, needed[i]) && strstr(text, "ignored")) {
      memcpy(s->error, text, sizeof text);
      s->lost = true;
    }
  return 1;
}

static TIFF *open_tiff(source *s) {
  TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
  if (!o) return NULL;
  TIFFOpenOptionsSetMaxSingleMemAlloc(o, MOST_AT_ONCE);
  TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, s);
  TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, s);
  TIFF *t = TIFFClientOpenExt("", "r", s, read_bytes, write_nothing, seek, close_nothing, size_of, map, unmap, o);
  TIFFOpenOptionsFree(o);
  return t;
}

static duel_status damaged(const source *s) {
  return duel_fail(DUEL_ERR_DATA, "%s is damaged: %s", s->b->path,
                   *s->error ? s->error : "its TIFF tags make no sense");
}
static duel_status refuse(const source *s, const char *what) {
  return duel_fail(DUEL_ERR_DATA, "%s is a TIFF %s, which is not read here: convert it to 8 or 16 bits of gray or RGB",
                   s->b->path, what);
}

static int orientation_of(TIFF *t) {
  uint16_t orientation = 0;
  uint32_t n = 0;
  void *xmp = NULL;
  if (TIFFGetField(t, TIFFTAG_ORIENTATION, &orientation)) return orientation >= 1 && orientation <= 8 ? orientation : 1;
  const int by_xmp = TIFFGetField(t, TIFFTAG_XMLPACKET, &n, &xmp) && xmp ? duel_xmp_orientation(xmp, n) : 0;
  return by_xmp ? by_xmp : 1;
}

// Which samples are what.
static duel_status understand(TIFF *t, tiff *m, const source *s) {
  uint16_t *extra = NULL;
  m->color = m->photometric == PHOTOMETRIC_SEPARATED                                    ? 4
             : m->photometric == PHOTOMETRIC_RGB || m->photometric == PHOTOMETRIC_YCBCR ? 3
                                                                                        : 1;
  if (m->photometric == PHOTOMETRIC_YCBCR && m->samples == 1) m->photometric = PHOTOMETRIC_MINISBLACK, m->color = 1;
  m->by_library = m->photometric == PHOTOMETRIC_YCBCR;
  if (m->by_library && m->compression == COMPRESSION_JPEG && !m->separate) {
    TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    m->by_library = false;
  }
  if (m->photometric > PHOTOMETRIC_PALETTE && m->photometric != PHOTOMETRIC_SEPARATED &&
      m->photometric != PHOTOMETRIC_YCBCR)
    return refuse(s, "of an unusual color space");
  if (m->samples < m->color || m->samples > m->color + MOST_SAMPLES) return damaged(s);
  if (m->format == SAMPLEFORMAT_IEEEFP || m->bits > 16 || (m->format == SAMPLEFORMAT_INT && m->bits > 8))
    return refuse(s, "of floating-point, signed or 32-bit numbers");
  const bool odd = m->bits != 1 && m->bits != 2 && m->bits != 4 && m->bits != 8 && m->bits != 16;
  if (m->bits == 0 || (odd && m->bits != 12) || (m->bits == 12 && m->color + m->samples != 2))
    return refuse(s, "of an unusual number of bits");
  if (m->photometric == PHOTOMETRIC_PALETTE &&
      (m->bits > 8 || !TIFFGetField(t, TIFFTAG_COLORMAP, &m->red, &m->green, &m->blue)))
    return damaged(s);
  TIFFGetField(t, TIFFTAG_EXTRASAMPLES, &m->extra, &extra);
  m->alpha = -1;
  const int kind = m->extra > 0 && extra ? extra[0] : -1;
  if (m->samples > m->color && !m->by_library && m->photometric != PHOTOMETRIC_SEPARATED &&
      kind != EXTRASAMPLE_UNSPECIFIED) {
    m->alpha = m->color; // one that nothing is said of is alpha behind RGB, and nothing behind gray, as in Pillow
    m->associated = kind == EXTRASAMPLE_ASSOCALPHA;
    if (kind < 0 && m->color == 1) m->alpha = -1;
  }
  return DUEL_OK;
}

static duel_status read_tags(TIFF *t, tiff *m, const source *s) {
  *m = (tiff){.photometric = PHOTOMETRIC_MINISWHITE};
  if (s->lost) return damaged(s);
  if (!TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &m->width) || !TIFFGetField(t, TIFFTAG_IMAGELENGTH, &m->height))
    return damaged(s);
  TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &m->bits);
  TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &m->samples);
  TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &m->planar);
  TIFFGetFieldDefaulted(t, TIFFTAG_COMPRESSION, &m->compression);
  TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLEFORMAT, &m->format);
  TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &m->photometric);
  m->separate = m->planar == PLANARCONFIG_SEPARATE && m->samples > 1;
  m->tiled = TIFFIsTiled(t) != 0;
  if (!TIFFIsCODECConfigured(m->compression))
    return duel_fail(
        DUEL_ERR_DATA,
        "%s is a TIFF of a compression (number %d) that this build's libtiff does not have: convert it to PNG",
        s->b->path, m->compression);
  return understand(t, m, s);
}

// What a byte can stand for at most; 0 where nobody knows.
static double most_of(uint16_t compression) {
  switch (compression) {
  case COMPRESSION_NONE:
    return 1;
  case COMPRESSION_PACKBITS:
    return 64;
  case COMPRESSION_LZW:
    return 4096 * 8 / 9.0;
  case COMPRESSION_DEFLATE:
  case COMPRESSION_ADOBE_DEFLATE:
    return 1032;
  case COMPRESSION_JPEG:
    return 2048 * 3;
  default:
    return 0;
  }
}

duel_status duel_tiff_probe(duel_raw *raw, const duel_bytes *b, bool *more) {
  source s = {.b = b};
  tiff m;
  TIFF *t = open_tiff(&s);
  duel_status status = t ? read_tags(t, &m, &s) : damaged(&s);
  *more = b->n < b->size && (status != DUEL_OK || s.warned || *s.error); // tags lie anywhere, often at the end
  if (*more) {
    status = DUEL_OK;
  } else if (status == DUEL_OK) {
    raw->height = m.height;
    raw->width = m.width;
    raw->color = m.color == 1 && m.photometric != PHOTOMETRIC_PALETTE ? 1 : 3;
    raw->orientation = orientation_of(t);
    const double bits = (double)m.height * (double)m.width * m.samples * m.bits, most = most_of(m.compression);
    if (most > 0 && !m.by_library) status = duel_raw_check(raw, b, bits / 8, most);
  }
  if (t) TIFFClose(t);
  return status;
}

// ---- pixels

static uint32_t sample(const uint8_t *row, int64_t i, int bits) { // as libtiff leaves them: 16 in this machine's order
  if (bits == 8) return row[i];
  if (bits == 16) return ((const uint16_t *)(const void *)row)[i];
  if (bits == 12) {
    const uint8_t *p = row + i / 2 * 3;
    return i % 2 ? (uint32_t)(p[1] & 15) << 8 | p[2] : (uint32_t)p[0] << 4 | p[1] >> 4;
  }
  const int each = 8 / bits;
  return row[i / each] >> (8 - bits - i % each * bits) & ((1u << bits) - 1);
}

static void put(duel_raw *raw, int64_t i, uint32_t v) {
  if (raw->bits == 8)
    ((uint8_t *)raw->samples)[i] = (uint8_t)v;
  else
    ((uint16_t *)raw->samples)[i] = (uint16_t)v;
}

// A value of 0..(2^bits − 1) to one of the result's: 8 or 16 bits.
static uint32_t widen(uint32_t v, int bits) {
  if (bits == 8 || bits == 16) return v;
  if (bits == 12) return (v * 65535 + 2047) / 4095;
  return v * (255 / ((1u << bits) - 1));
}

// Sample c of pixel i of the result; CMYK's four are still as they are.
static void put_sample(duel_raw *raw, const tiff *m, int64_t i, int c, uint32_t v) {
  const uint32_t top = raw->bits == 8 ? 255 : 65535;
  if (m->photometric == PHOTOMETRIC_PALETTE && c == 0) {
    put(raw, i * raw->channels, m->red[v] >> 8);
    put(raw, i * raw->channels + 1, m->green[v] >> 8);
    put(raw, i * raw->channels + 2, m->blue[v] >> 8);
    return;
  }
  if (c >= m->color && c != m->alpha) return;
  v = widen(v, m->bits);
  if (m->photometric == PHOTOMETRIC_MINISWHITE && c == 0) v = top - v;
  put(raw, i * raw->channels + (m->photometric == PHOTOMETRIC_PALETTE ? c + 2 : c), v);
}

typedef struct block { // a strip or tile, of one plane
  uint8_t *bytes;
  int64_t y, x, height, width; // of it that lies within the picture
  int64_t row_bytes;
  int plane; // -1: all samples lie together
} block;

static void put_block(duel_raw *raw, const tiff *m, const block *k) {
  const bool plain = k->plane < 0 && m->samples == raw->channels && m->bits == raw->bits &&
                     m->photometric != PHOTOMETRIC_PALETTE && m->photometric != PHOTOMETRIC_MINISWHITE;
  const size_t pixel = (size_t)raw->channels * (size_t)(raw->bits / 8);
  for (int64_t y = 0; y < k->height; y++) {
    const uint8_t *row = k->bytes + y * k->row_bytes;
    if (plain) {
      uint8_t *dst = (uint8_t *)raw->samples + (size_t)((k->y + y) * raw->width + k->x) * pixel;
      memcpy(dst, row, (size_t)k->width * pixel);
      continue;
    }
    for (int64_t x = 0; x < k->width; x++) {
      const int64_t to = (k->y + y) * raw->width + k->x + x;
      if (k->plane >= 0)
        put_sample(raw, m, to, k->plane, sample(row, x, m->bits));
      else
        for (int c = 0; c < m->samples; c++) put_sample(raw, m, to, c, sample(row, x * m->samples + c, m->bits));
    }
  }
}

static duel_status read_blocks(duel_raw *raw, TIFF *t, const tiff *m, const source *s, uint8_t *bytes, tmsize_t room) {
  uint32_t wide = m->width, high = m->height;
  if (m->tiled) {
    TIFFGetField(t, TIFFTAG_TILEWIDTH, &wide);
    TIFFGetField(t, TIFFTAG_TILELENGTH, &high);
  } else {
    TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &high);
    if (high > m->height) high = m->height;
  }
  if (!wide || !high) return damaged(s);
  block k = {.bytes = bytes, .row_bytes = (int64_t)(m->tiled ? TIFFTileRowSize(t) : TIFFScanlineSize(t)), .plane = -1};
  uint32_t number = 0;
  for (int plane = 0; plane < (m->separate ? m->samples : 1); plane++)
    for (k.y = 0; k.y < m->height; k.y += high)
      for (k.x = 0; k.x < m->width; k.x += wide, number++) {
        if (m->separate) k.plane = plane;
        k.height = m->height - k.y < high ? m->height - k.y : high;
        k.width = m->width - k.x < wide ? m->width - k.x : wide;
        const tmsize_t want = (tmsize_t)(k.row_bytes * (m->tiled ? high : k.height));
        const tmsize_t got = want > room ? -1
                             : m->tiled  ? TIFFReadEncodedTile(t, number, bytes, want)
                                         : TIFFReadEncodedStrip(t, number, bytes, want);
        if (got < want) return damaged(s);
        put_block(raw, m, &k);
      }
  return DUEL_OK;
}

static duel_status read_pixels(duel_raw *raw, TIFF *t, const tiff *m, const source *s) {
  const uint64_t room = m->tiled ? TIFFTileSize64(t) : TIFFStripSize64(t);
  const uint64_t most = (uint64_t)m->width * m->height * m->samples * 2;
  if (room == 0 || (room > most && room > MOST_OF_TILE)) return damaged(s);
  uint8_t *bytes = duel_malloc((size_t)room);
  if (!bytes) return duel_fail_memory(s->b->path, (size_t)room);
  const duel_status status = read_blocks(raw, t, m, s, bytes, (tmsize_t)room);
  duel_free(bytes);
  return status;
}

// libtiff makes RGBA of color spaces that are its own business.
static duel_status read_by_library(duel_raw *raw, TIFF *t, const source *s) {
  const size_t n = (size_t)(raw->height * raw->width);
  uint32_t *rgba = duel_malloc(n * sizeof *rgba);
  if (!rgba) return duel_fail_memory(s->b->path, n * sizeof *rgba);
  TIFFSetField(t, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT); // it is turned later
  const int done =
      TIFFReadRGBAImageOriented(t, (uint32_t)raw->width, (uint32_t)raw->height, rgba, ORIENTATION_TOPLEFT, 1);
  uint8_t *dst = raw->samples;
  for (size_t i = 0; done && i < n; i++) {
    *dst++ = (uint8_t)TIFFGetR(rgba[i]);
    *dst++ = (uint8_t)TIFFGetG(rgba[i]);
    *dst++ = (uint8_t)TIFFGetB(rgba[i]);
  }
  duel_free(rgba);
  return done ? DUEL_OK : damaged(s);
}

// Colors that were multiplied by alpha: 8 bits as in Pillow, rounded down; of 16 it makes no difference in the end.
static void separate_alpha(duel_raw *raw) {
  const int64_t n = raw->height * raw->width;
  const int color = raw->channels - 1;
  const uint32_t top = raw->bits == 8 ? 255 : 65535;
  for (int64_t i = 0; i < n; i++) {
    const int64_t at = i * raw->channels;
    const uint32_t alpha = sample(raw->samples, at + color, raw->bits);
    for (int c = 0; alpha < top && c < color; c++) {
      const uint64_t v = sample(raw->samples, at + c, raw->bits);
      const uint64_t straight = alpha == 0 ? 0 : (v * top + (raw->bits == 8 ? 0 : alpha / 2)) / alpha;
      put(raw, at + c, straight > top ? top : (uint32_t)straight);
    }
  }
}

static void from_cmyk(duel_raw *raw) { // as Pillow; four samples become three
  const int64_t n = raw->height * raw->width;
  const uint64_t top = raw->bits == 8 ? 255 : 65535;
  for (int64_t i = 0; i < n; i++) {
    uint64_t v[4];
    for (int c = 0; c < 4; c++) v[c] = top - sample(raw->samples, 4 * i + c, raw->bits);
    for (int c = 0; c < 3; c++) put(raw, 3 * i + c, (uint32_t)((v[c] * v[3] + top / 2) / top));
  }
  raw->channels = 3;
}

duel_status duel_tiff_decode(duel_raw *raw, const duel_bytes *b) {
  source s = {.b = b};
  tiff m;
  TIFF *t = open_tiff(&s);
  if (!t) return damaged(&s);
  duel_status status = read_tags(t, &m, &s);
  if (status == DUEL_OK) {
    raw->channels = m.color == 4 ? 4 : raw->color + (m.alpha >= 0);
    raw->bits = m.bits > 8 ? 16 : 8;
    status = duel_raw_take(raw, b->path);
  }
  if (status == DUEL_OK) status = m.by_library ? read_by_library(raw, t, &s) : read_pixels(raw, t, &m, &s);
  if (status == DUEL_OK && m.alpha >= 0 && m.associated) separate_alpha(raw);
  if (status == DUEL_OK && m.color == 4) from_cmyk(raw);
  TIFFClose(t);
  return status;
}
