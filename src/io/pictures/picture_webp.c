// WebP through libwebp and its demuxer: the first picture of an animation, on its canvas, which is transparent
// elsewhere, or black where the file has no alpha, as in Pillow. Invariant: pixels are decoded into memory of ours,
// whose size was checked.
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "base/mem.h"
#include "io/pictures/decoders.h"

static int orientation_of(WebPDemuxer *d) {
  WebPChunkIterator chunk;
  int by_exif = 0, by_xmp = 0;
  if (WebPDemuxGetChunk(d, "EXIF", 1, &chunk)) {
    by_exif = duel_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  if (WebPDemuxGetChunk(d, "XMP ", 1, &chunk)) {
    by_xmp = duel_xmp_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  return by_exif ? by_exif : by_xmp ? by_xmp : 1;
}

static duel_status damaged(const duel_bytes *b, const char *why) {
  return duel_fail(DUEL_ERR_DATA, "%s is damaged: %s", b->path, why);
}

// EXIF and XMP lie behind the pixels: where the header says that there is one, all bytes are needed.
duel_status duel_webp_probe(duel_raw *raw, const duel_bytes *b, bool *more) {
  const WebPData data = {b->at, b->n};
  WebPDemuxState state;
  WebPDemuxer *d = WebPDemuxPartial(&data, &state);
  if (!d && state == WEBP_DEMUX_PARSING_HEADER) return duel_raw_more(b, more, "WebP");
  if (!d) return damaged(b, "its WebP header makes no sense");
  const uint32_t flags = WebPDemuxGetI(d, WEBP_FF_FORMAT_FLAGS);
  raw->height = WebPDemuxGetI(d, WEBP_FF_CANVAS_HEIGHT);
  raw->width = WebPDemuxGetI(d, WEBP_FF_CANVAS_WIDTH);
  raw->color = 3;
  const bool held = (flags & (EXIF_FLAG | XMP_FLAG)) != 0, whole = state == WEBP_DEMUX_DONE;
  if (whole) raw->orientation = orientation_of(d);
  *more = b->n < b->size && !whole && (held || raw->width < 1);
  WebPDemuxDelete(d);
  return DUEL_OK;
}

static duel_status why(VP8StatusCode code, const duel_bytes *b) {
  switch (code) {
  case VP8_STATUS_OK:
    return DUEL_OK;
  case VP8_STATUS_OUT_OF_MEMORY:
    return duel_fail_memory(b->path, b->n);
  case VP8_STATUS_SUSPENDED:
  case VP8_STATUS_NOT_ENOUGH_DATA:
    return damaged(b, "it is cut short");
  default:
    return damaged(b, "its pixels make no sense");
  }
}

static duel_status decode_frame(duel_raw *raw, const WebPIterator *f, bool alpha, const duel_bytes *b) {
  WebPDecoderConfig config;
  const VP8StatusCode known = WebPInitDecoderConfig(&config)
                                  ? WebPGetFeatures(f->fragment.bytes, f->fragment.size, &config.input)
                                  : VP8_STATUS_INVALID_PARAM;
  DUEL_TRY(why(known, b));
  const int64_t right = (int64_t)f->x_offset + config.input.width, below = (int64_t)f->y_offset + config.input.height;
  if (f->x_offset < 0 || f->y_offset < 0 || right > raw->width || below > raw->height)
    return damaged(b, "its picture is larger than its canvas");
  raw->channels = alpha ? 4 : 3;
  raw->bits = 8;
  DUEL_TRY(duel_raw_take(raw, b->path));
  const size_t row = (size_t)raw->width * (size_t)raw->channels;
  const size_t at = (size_t)f->y_offset * row + (size_t)f->x_offset * (size_t)raw->channels;
  const size_t all = row * (size_t)raw->height;
  if (config.input.width < raw->width || config.input.height < raw->height) memset(raw->samples, 0, all);
  config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = (WebPRGBABuffer){.rgba = (uint8_t *)raw->samples + at, .stride = (int)row, .size = all - at};
  const VP8StatusCode code = WebPDecode(f->fragment.bytes, f->fragment.size, &config);
  WebPFreeDecBuffer(&config.output);
  return why(code, b);
}

duel_status duel_webp_decode(duel_raw *raw, const duel_bytes *b) {
  const WebPData data = {b->at, b->n};
  WebPDemuxer *d = WebPDemux(&data);
  WebPIterator f;
  if (!d) return damaged(b, "it is cut short, or its parts make no sense");
  WebPBitstreamFeatures features;
  duel_status status = why(WebPGetFeatures(b->at, b->n, &features), b);
  if (status == DUEL_OK && !WebPDemuxGetFrame(d, 1, &f)) {
    status = damaged(b, "there is no picture in it");
  } else if (status == DUEL_OK) {
    status = f.complete ? decode_frame(raw, &f, features.has_alpha, b) : damaged(b, "it is cut short");
    WebPDemuxReleaseIterator(&f);
  }
  WebPDemuxDelete(d);
  return status;
}
