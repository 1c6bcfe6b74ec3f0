// PNG through libpng. It reports errors by longjmp; invariant: decode() is the only frame that it jumps to, and all
// that lives on lies in the source or the picture.
#include <string.h>

#include "io/gzip.h"
#include "io/pictures/decoders.h"
#include "io/png_calls.h"

typedef struct source {
  duel_png_calls calls;
  const char *path;
  const uint8_t *bytes;
  size_t n, at;
} source;

static void read_bytes(png_structp png, png_bytep dst, size_t n) {
  source *s = png_get_io_ptr(png);
  if (n > s->n - s->at) png_error(png, "it is cut short");
  memcpy(dst, s->bytes + s->at, n);
  s->at += n;
}

static uint32_t word(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int digit(uint8_t c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

// EXIF as ImageMagick wrote it before PNG had a chunk for it: three lines, then hexadecimal digits.
static int orientation_of_text(const uint8_t *text, size_t n) {
  uint8_t exif[4096];
  size_t at = 0, found = 0;
  for (int lines = 0; lines < 3 && at < n; at++) lines += text[at] == '\n';
  for (int high = -1; at < n && found < sizeof exif; at++) {
    const int value = digit(text[at]);
    if (value < 0) continue;
    if (high >= 0) exif[found++] = (uint8_t)(high << 4 | value);
    high = high >= 0 ? -1 : value;
  }
  return duel_exif_orientation(exif, found);
}

// The same, deflated; the tag lies in its first few thousand bytes. No memory, no orientation.
static int orientation_of_deflated(const uint8_t *bytes, size_t n) {
  uint8_t text[8192];
  size_t made;
  if (duel_inflate_head(bytes, n, text, sizeof text, &made) != DUEL_OK) duel_clear_error();
  return orientation_of_text(text, made);
}

// What a chunk of text says of it: XMP, or a profile in digits, which is EXIF.
static int orientation_of_chunk(const uint8_t *type, const uint8_t *data, size_t n, bool *exif) {
  static const char xmp[] = "XML:com.adobe.xmp\0\0\0";   // then two texts that end with 0
  static const char profile[] = "Raw profile type exif"; // with its 0
  *exif = !memcmp(type, "eXIf", 4);
  if (*exif) return duel_exif_orientation(data, n);
  if (!memcmp(type, "iTXt", 4) && n >= sizeof xmp && !memcmp(data, xmp, sizeof xmp - 1))
    return duel_xmp_orientation(data, n);
  if (n <= sizeof profile || memcmp(data, profile, sizeof profile)) return 0;
  *exif = true;
  if (!memcmp(type, "tEXt", 4)) return orientation_of_text(data + sizeof profile, n - sizeof profile);
  return memcmp(type, "zTXt", 4) ? 0 : orientation_of_deflated(data + sizeof profile + 1, n - sizeof profile - 1);
}

// Chunks that say how the camera was held: before the pixels, and, where all bytes are there, behind them.
static void look_for_orientation(duel_raw *raw, const duel_bytes *b, bool *more) {
  bool by_exif = false, pixels = false;
  for (size_t at = 8; !by_exif; at += 12) {
    const size_t left = at < b->n ? b->n - at : 0, length = left < 8 ? 0 : word(b->at + at);
    const uint8_t *type = b->at + at + 4, *data = type + 4;
    pixels |= left >= 8 && !memcmp(type, "IDAT", 4);
    if (left < 8 || length > left - 8) { // damage is found by the decoder
      *more = !pixels && b->n < b->size;
      break;
    }
    bool exif;
    const int found = orientation_of_chunk(type, data, length, &exif);
    if (found) raw->orientation = found;
    by_exif = found && exif;
    at += length;
  }
}

duel_status duel_png_probe(duel_raw *raw, const duel_bytes *b, bool *more) {
  static const int samples[7] = {1, 0, 3, 1, 2, 0, 4}; // of a pixel, by color type
  if (b->n < 33) return duel_raw_more(b, more, "PNG");
  const int depth = b->at[24], color = b->at[25];
  if (word(b->at + 8) != 13 || memcmp(b->at + 12, "IHDR", 4) || color > 6 || !samples[color])
    return duel_fail(DUEL_ERR_DATA, "%s is damaged: its PNG header makes no sense", b->path);
  raw->width = word(b->at + 16);
  raw->height = word(b->at + 20);
  raw->color = color == PNG_COLOR_TYPE_GRAY || color == PNG_COLOR_TYPE_GRAY_ALPHA ? 1 : 3;
  const double bytes = (double)raw->height * ((double)raw->width * depth * samples[color] / 8);
  DUEL_TRY(duel_raw_check(raw, b, bytes, 1032)); // DEFLATE's most
  look_for_orientation(raw, b, more);
  return DUEL_OK;
}

static int decode(source *s, png_structp png, png_infop info, duel_raw *raw) {
  if (setjmp(s->calls.out)) return 0;
  png_set_user_limits(png, DUEL_PICTURE_SIDE, DUEL_PICTURE_SIDE);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); // all but those that pixels depend on
  png_set_chunk_malloc_max(png, s->n);
  png_set_read_fn(png, s, read_bytes);
  png_read_info(png, info);
  const int color = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (png_get_valid(png, info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
  const uint16_t one = 1;
  if (depth == 16 && *(const uint8_t *)&one) png_set_swap(png);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const size_t row = png_get_rowbytes(png, info);
  raw->channels = png_get_channels(png, info);
  raw->bits = png_get_bit_depth(png, info);
  if (raw->channels != raw->color && raw->channels != raw->color + 1) png_error(png, "its channels make no sense");
  if (duel_raw_take(raw, s->path) != DUEL_OK) {
    s->calls.no_memory = true;
    png_error(png, "out of memory");
  }
  for (int pass = 0; pass < passes; pass++)
    for (int64_t y = 0; y < raw->height; y++) png_read_row(png, (uint8_t *)raw->samples + (size_t)y * row, NULL);
  png_read_end(png, NULL);
  return 1;
}

duel_status duel_png_decode(duel_raw *raw, const duel_bytes *b) {
  source s = {.path = b->path, .bytes = b->at, .n = b->n};
  // Making the two structs cannot jump: libpng returns NULL where it lacks memory.
  png_structp png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &s.calls, duel_png_on_error, duel_png_on_warning,
                                             &s.calls, duel_png_take, duel_png_give);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  duel_status status = DUEL_OK;
  if (!info || (!decode(&s, png, info, raw) && s.calls.no_memory))
    status = duel_fail_memory(b->path, b->n);
  else if (*s.calls.error)
    status = duel_fail(DUEL_ERR_DATA, "%s is damaged: %s", b->path, s.calls.error);
  if (png) png_destroy_read_struct(&png, &info, NULL);
  return status;
}
