// What a picture's header says, read by hand: a set of many thousand pictures is looked through before it is decoded.
#include "io/picture.h"

#include <string.h>

#include "base/mem.h"

static const uint8_t png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

static bool is_png(const uint8_t *bytes, size_t n) {
  return n >= 8 && !memcmp(bytes, png_magic, 8);
}
static bool is_jpeg(const uint8_t *bytes, size_t n) {
  return n >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}
bool duel_is_picture(const uint8_t *bytes, size_t n) {
  return duel_picture_of(bytes, n) != NULL;
}

static uint32_t word(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// What a byte can stand for at most: DEFLATE 1032 bytes, a bit of Huffman code an 8×8 block, of which two by two may be
// subsampled.
static duel_status check(const duel_picture *p, const char *path, double bytes, double most) {
  const long long width = p->width, height = p->height;
  if (width < 1 || height < 1)
    return duel_fail(DUEL_ERR_DATA, "%s: a picture of %lld×%lld pixels (width×height)", path, width, height);
  if (width > DUEL_PICTURE_SIDE || height > DUEL_PICTURE_SIDE || width * height > DUEL_PICTURE_PIXELS)
    return duel_fail(DUEL_ERR_DATA,
                     "%s says that it has %lld×%lld pixels (width×height), more than the %d megapixels "
                     "that are read",
                     path, width, height, DUEL_PICTURE_PIXELS / 1000000);
  if (bytes > most)
    return duel_fail(DUEL_ERR_DATA, "%s is damaged: it says %lld×%lld pixels (width×height), more than it can hold",
                     path, width, height);
  return DUEL_OK;
}

static duel_status probe_png(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, size_t size,
                             bool *more) {
  static const int samples[7] = {1, 0, 3, 1, 2, 0, 4}; // of a pixel, by color type
  if (n < 33) {
    *more = n < size;
    return *more ? DUEL_OK : duel_fail(DUEL_ERR_DATA, "%s is cut short: a PNG of %zu bytes", path, size);
  }
  const int depth = bytes[24], color = bytes[25];
  if (word(bytes + 8) != 13 || memcmp(bytes + 12, "IHDR", 4) || color > 6 || !samples[color])
    return duel_fail(DUEL_ERR_DATA, "%s is damaged: its PNG header makes no sense", path);
  *p = (duel_picture){
      .width = word(bytes + 16), .height = word(bytes + 20), .channels = color == 0 || color == 4 ? 1 : 3};
  const double raw = (double)p->height * ((double)p->width * depth * samples[color] / 8);
  return check(p, path, raw, 1032 * (double)size);
}

static duel_status probe_jpeg(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, size_t size,
                              bool *more) {
  size_t at = 2;
  for (;;) {
    while (at + 1 < n && bytes[at] == 0xFF && bytes[at + 1] == 0xFF) at++; // fill bytes
    if (n - at < 4 || at > n) break;
    const int marker = bytes[at + 1];
    const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (bytes[at] != 0xFF || marker == 0 || marker == 0xD9 || marker == 0xDA || length < 2)
      return duel_fail(DUEL_ERR_DATA, "%s is damaged: it is a JPEG without a header", path);
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (!frame) {
      at += 2 + length;
      if (at >= n) break;
      continue;
    }
    if (n - at < 10) break;
    const uint8_t *b = bytes + at;
    if (b[4] != 8)
      return duel_fail(DUEL_ERR_DATA, "%s has %d bits a sample; only JPEGs of 8 are read: convert it", path, b[4]);
    if (b[9] == 4)
      return duel_fail(DUEL_ERR_DATA, "%s is a CMYK picture; only grey and RGB are read: convert it to RGB", path);
    if (b[9] != 1 && b[9] != 3)
      return duel_fail(DUEL_ERR_DATA, "%s has %d color components; JPEGs with 1 and 3 are read", path, b[9]);
    *p = (duel_picture){.height = b[5] << 8 | b[6], .width = b[7] << 8 | b[8], .channels = b[9]};
    return check(p, path, (double)p->height * (double)p->width, 2048 * (double)size);
  }
  *more = n < size;
  return *more ? DUEL_OK : duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends within its JPEG header", path);
}

duel_status duel_picture_probe(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, size_t size,
                               bool *more) {
  *p = (duel_picture){0};
  *more = false;
  if (size == 0) return duel_fail(DUEL_ERR_DATA, "%s is empty", path);
  if (is_png(bytes, n)) return probe_png(p, path, bytes, n, size, more);
  if (is_jpeg(bytes, n)) return probe_jpeg(p, path, bytes, n, size, more);
  const duel_picture_format *f = duel_picture_of(bytes, n);
  return f ? duel_picture_unread(f, path) : duel_picture_foreign(path, bytes, n);
}

duel_status duel_picture_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n) {
  bool more;
  DUEL_TRY(duel_picture_probe(p, path, bytes, n, n, &more));
  const size_t room = (size_t)(p->height * p->width);
  duel_status status = is_png(bytes, n) ? duel_png_decode(p, path, bytes, n) : duel_jpeg_decode(p, path, bytes, n);
  if (status == DUEL_ERR_DEVICE) status = duel_fail_memory(path, room * (size_t)p->channels);
  if (status != DUEL_OK) {
    duel_free(p->pixels);
    p->pixels = NULL;
  }
  return status;
}
