// PNM: netpbm's PGM and PPM, the binary ones (P5, P6). Invariant: the header is read byte by byte, and all samples are
// there before one is.
#include <string.h>

#include "io/pictures/decoders.h"

typedef struct pnm {
  int64_t top;      // what the largest sample stands for
  size_t at, bytes; // where samples begin, and of one of them
} pnm;

static bool is_blank(uint8_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// The next number of the header, behind blanks and comments. False: it is not all there, or none (then *at stands at
// what is in its place).
static bool next_number(const duel_bytes *b, size_t *at, int64_t *x) {
  enum { MOST = 1 << 30 };
  bool comment = false;
  for (; *at < b->n && (comment || is_blank(b->at[*at]) || b->at[*at] == '#'); ++*at)
    comment = b->at[*at] == '#' || (comment && b->at[*at] != '\n' && b->at[*at] != '\r');
  const size_t begin = *at;
  for (*x = 0; *at < b->n && b->at[*at] >= '0' && b->at[*at] <= '9'; ++*at)
    *x = *x < MOST ? 10 * *x + b->at[*at] - '0' : *x;
  return *at > begin && *at < b->n;
}

static duel_status open_pnm(duel_raw *raw, pnm *m, const duel_bytes *b, bool *more) {
  raw->color = b->at[1] == '6' ? 3 : 1;
  m->at = 2;
  int64_t *const numbers[] = {&raw->width, &raw->height, &m->top};
  for (int i = 0; i < 3; i++)
    if (!next_number(b, &m->at, numbers[i])) {
      if (m->at == b->n) return duel_raw_more(b, more, "PNM");
      return duel_fail(DUEL_ERR_DATA, "%s is damaged: its PNM header makes no sense", b->path);
    }
  if (m->top < 1 || m->top > 65535 || !is_blank(b->at[m->at]))
    return duel_fail(DUEL_ERR_DATA, "%s is damaged: its PNM header makes no sense", b->path);
  m->at++;
  m->bytes = m->top > 255 ? 2 : 1;
  return DUEL_OK;
}

duel_status duel_pnm_probe(duel_raw *raw, const duel_bytes *b, bool *more) {
  pnm m;
  DUEL_TRY(open_pnm(raw, &m, b, more));
  if (*more || raw->width < 1 || raw->height < 1) return DUEL_OK;
  const double samples = (double)raw->width * (double)raw->height * raw->color;
  return duel_raw_check(raw, b, samples * (double)m.bytes, 1);
}

// Rounded once, to 8 bits.
duel_status duel_pnm_decode(duel_raw *raw, const duel_bytes *b) {
  pnm m;
  bool more;
  DUEL_TRY(open_pnm(raw, &m, b, &more));
  raw->channels = raw->color;
  raw->bits = 8;
  const int64_t samples = raw->width * raw->height * raw->color;
  if ((b->n - m.at) / m.bytes < (size_t)samples)
    return duel_fail(DUEL_ERR_DATA, "%s is damaged: it is cut short", b->path);
  DUEL_TRY(duel_raw_take(raw, b->path));
  uint8_t *dst = raw->samples;
  const uint8_t *src = b->at + m.at;
  if (m.top == 255) {
    memcpy(dst, src, (size_t)samples);
    return DUEL_OK;
  }
  for (int64_t i = 0; i < samples; i++, src += m.bytes) {
    const int64_t sample = m.bytes == 2 ? src[0] << 8 | src[1] : src[0], x = sample < m.top ? sample : m.top;
    dst[i] = (uint8_t)((2 * 255 * x + m.top) / (2 * m.top));
  }
  return DUEL_OK;
}
