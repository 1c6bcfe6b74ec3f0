// How a camera was held: the tag Orientation of EXIF, which is a small TIFF, and of XMP, which is text. Invariant:
// whatever the bytes are, none behind them is read; what makes no sense says nothing.
#include <string.h>

#include "io/pictures/decoders.h"

enum { ORIENTATION = 0x112, SHORT = 3, LONG = 4, SIGNED_BYTE = 6, SIGNED_SHORT = 8, SIGNED_LONG = 9 };

static uint32_t number(const uint8_t *p, int bytes, bool big_endian) {
  uint32_t x = 0;
  for (int i = 0; i < bytes; i++) x |= (uint32_t)p[big_endian ? bytes - 1 - i : i] << 8 * i;
  return x;
}

// Of whole numbers; a plain byte counts as no number, as in Pillow.
static int value_of(const uint8_t *entry, bool big) {
  const uint32_t type = number(entry + 2, 2, big);
  const int bytes = type == SIGNED_BYTE                     ? 1
                    : type == SHORT || type == SIGNED_SHORT ? 2
                    : type == LONG || type == SIGNED_LONG   ? 4
                                                            : 0;
  const uint32_t count = number(entry + 4, 4, big); // the first of several that lie here counts
  if (!bytes || count < 1 || count > 4 / (uint32_t)bytes) return 0;
  const uint32_t value = number(entry + 8, bytes, big);
  return value >= 1 && value <= 8 ? (int)value : 0;
}

int duel_exif_orientation(const uint8_t *bytes, size_t n) {
  int orientation = 0;
  while (n >= 6 && !memcmp(bytes, "Exif\0\0", 6)) bytes += 6, n -= 6;
  if (n < 8 || (memcmp(bytes, "II", 2) && memcmp(bytes, "MM", 2))) return 0;
  const bool big = bytes[0] == 'M';
  const size_t at = number(bytes + 4, 4, big);
  if (number(bytes + 2, 2, big) != 42 || at > n || n - at < 2) return 0;
  const size_t entries = number(bytes + at, 2, big), room = (n - at - 2) / 12;
  for (size_t i = 0; i < entries && i < room; i++) {
    const uint8_t *entry = bytes + at + 2 + 12 * i;
    if (number(entry, 2, big) == ORIENTATION) orientation = value_of(entry, big);
  }
  return orientation;
}

int duel_xmp_orientation(const uint8_t *bytes, size_t n) {
  static const char tag[] = "tiff:Orientation";
  const size_t length = sizeof tag - 1;
  for (size_t i = 0; i + length < n; i++) {
    if (memcmp(bytes + i, tag, length)) continue;
    size_t at = i + length;
    if (bytes[at] == '>')
      at++;
    else if (bytes[at] == '=' && at + 1 < n && bytes[at + 1] == '"')
      at += 2;
    else
      continue;
    if (at < n && bytes[at] >= '1' && bytes[at] <= '8') return bytes[at] - '0';
    if (at < n && (bytes[at] == '0' || bytes[at] == '9')) return 0;
  }
  return 0;
}
