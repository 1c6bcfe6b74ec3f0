// Which decoder a picture goes to, and what is asked of all of them. Invariant: a size is checked before anything is
// allocated by it.
#include "io/picture.h"

#include <string.h>

#include "base/mem.h"
#include "io/pictures/decoders.h"

typedef struct decoder {
  const char *name; // of duel_picture_formats
  duel_raw_probe *probe;
  duel_raw_decode *decode;
} decoder;
static const decoder decoders[] = {
    {"PNG", duel_png_probe, duel_png_decode},    {"JPEG", duel_jpeg_probe, duel_jpeg_decode},
    {"BMP", duel_bmp_probe, duel_bmp_decode},    {"PNM", duel_pnm_probe, duel_pnm_decode},
#if DUEL_GIF
    {"GIF", duel_gif_probe, duel_gif_decode},
#endif
#if DUEL_TIFF
    {"TIFF", duel_tiff_probe, duel_tiff_decode},
#endif
#if DUEL_WEBP
    {"WebP", duel_webp_probe, duel_webp_decode},
#endif
};

static duel_status choose(const decoder **d, const duel_bytes *b) {
  if (b->size == 0) return duel_fail(DUEL_ERR_DATA, "%s is empty", b->path);
  const duel_picture_format *f = duel_picture_kind(b->path, b->at, b->n);
  if (!f) return duel_picture_foreign(b->path, b->at, b->n);
  for (size_t i = 0; f->read && i < sizeof decoders / sizeof *decoders; i++)
    if (!strcmp(f->name, decoders[i].name)) {
      *d = &decoders[i];
      return DUEL_OK;
    }
  return duel_picture_unread(f, b->path);
}

static duel_status probe(duel_raw *raw, const decoder *d, const duel_bytes *b, bool *more) {
  *raw = (duel_raw){.orientation = 1};
  *more = false;
  DUEL_TRY(d->probe(raw, b, more));
  const long long width = raw->width, height = raw->height;
  if (*more) return DUEL_OK;
  if (width < 1 || height < 1)
    return duel_fail(DUEL_ERR_DATA, "%s: a picture of %lld×%lld pixels (width×height)", b->path, width, height);
  if (width > DUEL_PICTURE_SIDE || height > DUEL_PICTURE_SIDE || width * height > DUEL_PICTURE_PIXELS)
    return duel_fail(DUEL_ERR_DATA,
                     "%s says that it has %lld×%lld pixels (width×height), more than the %d megapixels that are read",
                     b->path, width, height, DUEL_PICTURE_PIXELS / 1000000);
  return DUEL_OK;
}

duel_status duel_picture_probe(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, size_t size,
                               bool *more) {
  const duel_bytes b = {path, bytes, n, size};
  const decoder *d;
  duel_raw raw;
  *p = (duel_picture){0};
  *more = false;
  DUEL_TRY(choose(&d, &b));
  DUEL_TRY(probe(&raw, d, &b, more));
  if (*more) return DUEL_OK;
  const bool turned = raw.orientation >= 5;
  *p = (duel_picture){
      .height = turned ? raw.width : raw.height, .width = turned ? raw.height : raw.width, .channels = raw.color};
  return DUEL_OK;
}

duel_status duel_picture_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n, bool rgba) {
  const duel_bytes b = {path, bytes, n, n};
  const decoder *d;
  duel_raw raw;
  bool more;
  *p = (duel_picture){0};
  DUEL_TRY(choose(&d, &b));
  DUEL_TRY(probe(&raw, d, &b, &more));
  const duel_status status = d->decode(&raw, &b);
  if (status == DUEL_OK) return duel_raw_finish(p, &raw, path, rgba);
  duel_free(raw.samples);
  return status;
}

duel_status duel_raw_more(const duel_bytes *b, bool *more, const char *what) {
  *more = b->n < b->size;
  return *more ? DUEL_OK : duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends within its %s header", b->path, what);
}

duel_status duel_raw_check(const duel_raw *raw, const duel_bytes *b, double raw_bytes, double most) {
  if (raw_bytes <= most * (double)b->size) return DUEL_OK;
  return duel_fail(DUEL_ERR_DATA, "%s is damaged: it says %lld×%lld pixels (width×height), more than it can hold",
                   b->path, (long long)raw->width, (long long)raw->height);
}

duel_status duel_raw_take(duel_raw *raw, const char *path) {
  const size_t bytes = (size_t)(raw->height * raw->width) * (size_t)raw->channels * (size_t)(raw->bits / 8);
  raw->samples = duel_malloc(bytes);
  return raw->samples ? DUEL_OK : duel_fail_memory(path, bytes);
}
