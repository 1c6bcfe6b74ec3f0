// GIF through giflib: the first picture of an animation, on the canvas that the file asks for. Invariant: giflib reads
// through one function, which never goes beyond the bytes; of its own it keeps tables of a fixed size.
#include <gif_lib.h>
#include <string.h>

#include "base/mem.h"
#include "io/pictures/decoders.h"

typedef struct source {
  const duel_bytes *b;
  size_t at;
  bool ended; // more was asked for than there is
} source;

typedef struct frame {
  int64_t left, top, height, width;
  bool interlaced;
  int transparent;             // the number of a color, -1: none
  const ColorMapObject *color; // giflib's; NULL: each number is its own gray
} frame;

static int read_bytes(GifFileType *gif, GifByteType *dst, int n) {
  source *s = gif->UserData;
  const size_t left = s->b->n - s->at;
  if (left == 0 && n == 1 && !s->ended) { // a file that ends with its pixels lacks the 0 behind them, no more
    *dst = 0;
    s->ended = true;
    return 1;
  }
  const size_t now = (size_t)n < left ? (size_t)n : left;
  memcpy(dst, s->b->at + s->at, now);
  s->at += now;
  s->ended |= now < (size_t)n;
  return (int)now;
}

static bool skip_extension(GifFileType *gif, frame *f) {
  int kind;
  GifByteType *block;
  if (DGifGetExtension(gif, &kind, &block) == GIF_ERROR) return false;
  if (kind == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && block[1] & 1) f->transparent = block[4];
  while (block)
    if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) return false;
  return true;
}

// A map in which every number is its own gray says nothing, as in Pillow.
static bool is_ramp(const ColorMapObject *map) {
  for (int i = 0; i < map->ColorCount; i++)
    if (map->Colors[i].Red != i || map->Colors[i].Green != i || map->Colors[i].Blue != i) return false;
  return true;
}

// Up to the pixels of the first picture.
static bool find_frame(GifFileType *gif, frame *f) {
  GifRecordType kind;
  *f = (frame){.transparent = -1};
  do {
    if (DGifGetRecordType(gif, &kind) == GIF_ERROR || kind == TERMINATE_RECORD_TYPE) return false;
    if (kind == EXTENSION_RECORD_TYPE && !skip_extension(gif, f)) return false;
  } while (kind != IMAGE_DESC_RECORD_TYPE);
  if (DGifGetImageDesc(gif) == GIF_ERROR) return false;
  const GifImageDesc *d = &gif->Image;
  f->left = d->Left;
  f->top = d->Top;
  f->height = d->Height;
  f->width = d->Width;
  f->interlaced = d->Interlace;
  f->color = d->ColorMap ? d->ColorMap : gif->SColorMap;
  if (f->color && is_ramp(f->color)) f->color = NULL;
  return true;
}

static duel_status fail(const duel_bytes *b, int error) {
  if (error == D_GIF_ERR_NOT_ENOUGH_MEM) return duel_fail_memory(b->path, b->n);
  const char *why = error ? GifErrorString(error) : NULL;
  return duel_fail(DUEL_ERR_DATA, "%s is damaged: %s", b->path, why ? why : "there is no picture in it");
}

// gif is open afterwards if, and only if, the status is OK and nothing more is needed.
static duel_status open_gif(GifFileType **gif, source *s, frame *f, bool *more) {
  int error = 0;
  *gif = DGifOpen(s, read_bytes, &error);
  if (*gif && find_frame(*gif, f)) return DUEL_OK;
  if (*gif) {
    error = (*gif)->Error;
    DGifCloseFile(*gif, NULL);
    *gif = NULL;
  }
  *more = s->ended && s->b->n < s->b->size;
  return *more ? DUEL_OK : fail(s->b, error);
}

static void set_size(duel_raw *raw, const GifFileType *gif, const frame *f) { // a picture beyond the canvas widens it
  raw->height = gif->SHeight > f->top + f->height ? gif->SHeight : f->top + f->height;
  raw->width = gif->SWidth > f->left + f->width ? gif->SWidth : f->left + f->width;
  raw->color = f->color ? 3 : 1;
}

duel_status duel_gif_probe(duel_raw *raw, const duel_bytes *b, bool *more) {
  source s = {.b = b};
  frame f;
  GifFileType *gif;
  DUEL_TRY(open_gif(&gif, &s, &f, more));
  if (*more) return DUEL_OK;
  set_size(raw, gif, &f);
  DGifCloseFile(gif, NULL);
  // A code of LZW, of 12 bits where it is longest, stands for 4096 pixels at most.
  return duel_raw_check(raw, b, (double)raw->height * (double)raw->width, 4096 * 8 / 12.0);
}

static void paint(duel_raw *raw, const frame *f, uint8_t *dst, const uint8_t *number, int64_t n) {
  for (int64_t x = 0; x < n; x++) {
    const GifColorType *c = f->color && number[x] < f->color->ColorCount ? &f->color->Colors[number[x]] : NULL;
    if (raw->color == 1) {
      *dst++ = number[x];
    } else {
      *dst++ = c ? c->Red : 0;
      *dst++ = c ? c->Green : 0;
      *dst++ = c ? c->Blue : 0;
    }
    if (raw->channels > raw->color) *dst++ = number[x] == f->transparent ? 0 : 255;
  }
}

// Where no picture is, the canvas shows what is transparent, or the first color.
static void paint_canvas(duel_raw *raw, const frame *f, uint8_t *line) {
  const size_t row = (size_t)raw->width * (size_t)raw->channels;
  memset(line, f->transparent < 0 ? 0 : f->transparent, (size_t)raw->width);
  for (int64_t y = 0; y < raw->height; y++) paint(raw, f, (uint8_t *)raw->samples + (size_t)y * row, line, raw->width);
}

static duel_status decode(duel_raw *raw, GifFileType *gif, const frame *f, const duel_bytes *b, uint8_t *line) {
  static const int first[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
  if (f->height < raw->height || f->width < raw->width) paint_canvas(raw, f, line);
  for (int pass = 0; pass < (f->interlaced ? 4 : 1); pass++)
    for (int64_t y = f->interlaced ? first[pass] : 0; y < f->height; y += f->interlaced ? step[pass] : 1) {
      if (DGifGetLine(gif, line, (int)f->width) == GIF_ERROR) return fail(b, gif->Error);
      const int64_t at = ((f->top + y) * raw->width + f->left) * raw->channels;
      paint(raw, f, (uint8_t *)raw->samples + at, line, f->width);
    }
  return DUEL_OK;
}

duel_status duel_gif_decode(duel_raw *raw, const duel_bytes *b) {
  source s = {.b = b};
  frame f;
  GifFileType *gif;
  bool more;
  DUEL_TRY(open_gif(&gif, &s, &f, &more));
  set_size(raw, gif, &f);
  raw->channels = raw->color + (f.transparent >= 0);
  raw->bits = 8;
  duel_status status = duel_raw_take(raw, b->path);
  uint8_t *line = status == DUEL_OK ? duel_malloc((size_t)raw->width) : NULL;
  if (line)
    status = f.height < 1 || f.width < 1 ? fail(b, 0) : decode(raw, gif, &f, b, line);
  else if (status == DUEL_OK)
    status = duel_fail_memory(b->path, (size_t)raw->width);
  duel_free(line);
  DGifCloseFile(gif, NULL);
  return status;
}
