// JPEG through libjpeg-turbo, with its accurate integer transform, whose bits are the same on all processors. It
// reports errors by longjmp; invariant: decode() is the only frame that it jumps to, and all that lives on lies in the
// source or the picture.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/mem.h"
#include "io/pictures/decoders.h"

typedef struct source {
  struct jpeg_error_mgr errors; // the first member: libjpeg points to it
  jmp_buf out;
  char error[JMSG_LENGTH_MAX];
  bool no_memory, unsupported;
  uint8_t *line; // of CMYK
} source;

static void on_error(j_common_ptr info) {
  source *s = (source *)info->err;
  s->no_memory = s->errors.msg_code == JERR_OUT_OF_MEMORY;
  s->unsupported = s->errors.msg_code == JERR_SOF_UNSUPPORTED || s->errors.msg_code == JERR_ARITH_NOTIMPL ||
                   s->errors.msg_code == JERR_CONVERSION_NOTIMPL || s->errors.msg_code == JERR_FRACT_SAMPLE_NOTIMPL ||
                   s->errors.msg_code == JERR_NOTIMPL;
  s->errors.format_message(info, s->error);
  longjmp(s->out, 1);
}

// libjpeg goes on after damage and makes up what is missing; here it ends the picture. Some warnings concern no pixel.
static void on_message(j_common_ptr info, int level) {
  if (level >= 0) return; // a trace
  switch (info->err->msg_code) {
  case JWRN_EXTRANEOUS_DATA:
  case JWRN_ADOBE_XFORM:
  case JWRN_JFIF_MAJOR:
  case JWRN_TOO_MUCH_DATA:
  case JWRN_BOGUS_PROGRESSION:
    return;
  default:
    on_error(info);
  }
}

static void on_output(j_common_ptr info) {
  (void)info; // nothing is printed here
}

// Cyan, magenta, yellow and black, inverted as Adobe writes them, to RGB.
static void from_cmyk(uint8_t *dst, const uint8_t *src, int64_t n) {
  for (; n > 0; n--, src += 4)
    for (int c = 0; c < 3; c++) *dst++ = (uint8_t)((src[c] * src[3] + 127) / 255);
}

// Segments before the frame's header that say how the camera was held.
static void look_for_orientation(duel_raw *raw, const uint8_t *segment, size_t n, bool *by_exif) {
  static const char xmp[] = "http://ns.adobe.com/xap/1.0/";
  int found = 0;
  if (*by_exif) return;
  if (n >= 6 && !memcmp(segment, "Exif\0\0", 6)) {
    found = duel_exif_orientation(segment, n);
    *by_exif = found != 0;
  } else if (n >= sizeof xmp && !memcmp(segment, xmp, sizeof xmp)) {
    found = duel_xmp_orientation(segment, n);
  }
  if (found) raw->orientation = found;
}

static duel_status probe_frame(duel_raw *raw, const duel_bytes *b, const uint8_t *frame) {
  const int components = frame[9];
  const bool arithmetic = frame[1] >= 0xC9;
  if (frame[4] != 8)
    return duel_fail(DUEL_ERR_DATA,
                     "%s has %d bits a sample; only JPEGs of 8 are read: convert it to PNG, which may have 16", b->path,
                     frame[4]);
  if (components != 1 && components != 3 && components != 4)
    return duel_fail(DUEL_ERR_DATA, "%s has %d color components; JPEGs with 1, 3 and 4 are read", b->path, components);
  raw->height = frame[5] << 8 | frame[6];
  raw->width = frame[7] << 8 | frame[8];
  raw->color = components == 1 ? 1 : 3;
  // A bit of Huffman code an 8×8 block, of which two by two may be subsampled; arithmetic coding knows no such bound.
  return arithmetic ? DUEL_OK : duel_raw_check(raw, b, (double)raw->height * (double)raw->width, 2048);
}

duel_status duel_jpeg_probe(duel_raw *raw, const duel_bytes *b, bool *more) {
  const uint8_t *bytes = b->at;
  const size_t n = b->n;
  bool by_exif = false;
  for (size_t at = 2;;) {
    // As libjpeg, over bytes that belong to nothing, fill bytes and markers that stand alone.
    while (at < n && bytes[at] != 0xFF) at++;
    while (at + 1 < n && bytes[at] == 0xFF && bytes[at + 1] == 0xFF) at++;
    if (at + 1 < n && (bytes[at + 1] <= 1 || (bytes[at + 1] >= 0xD0 && bytes[at + 1] <= 0xD7))) {
      at += 2;
      continue;
    }
    if (at >= n || n - at < 4) break;
    const int marker = bytes[at + 1];
    const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (marker == 0xD9 || marker == 0xDA || length < 2)
      return duel_fail(DUEL_ERR_DATA, "%s is damaged: it is a JPEG without a header", b->path);
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && n - at < 10) break;
    if (frame) return probe_frame(raw, b, bytes + at);
    if (marker == 0xE1 && length <= n - at - 2) look_for_orientation(raw, bytes + at + 4, length - 2, &by_exif);
    at += 2 + length;
  }
  return duel_raw_more(b, more, "JPEG");
}

static int decode(source *s, struct jpeg_decompress_struct *j, duel_raw *raw, const duel_bytes *b) {
  if (setjmp(s->out)) return 0;
  jpeg_create_decompress(j);
  jpeg_mem_src(j, b->at, (unsigned long)b->n);
  jpeg_read_header(j, TRUE);
  const bool cmyk = j->num_components == 4;
  j->out_color_space = cmyk ? JCS_CMYK : j->jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  j->dct_method = JDCT_ISLOW;
  jpeg_calc_output_dimensions(j);
  if (j->output_width != raw->width || j->output_height != raw->height ||
      j->output_components != (cmyk ? 4 : raw->color)) {
    snprintf(s->error, sizeof s->error, "it has two headers");
    return 0;
  }
  const size_t row = (size_t)raw->width * (size_t)raw->channels;
  if (duel_raw_take(raw, b->path) != DUEL_OK || (cmyk && !(s->line = duel_malloc((size_t)raw->width * 4)))) {
    s->no_memory = true;
    return 0;
  }
  jpeg_start_decompress(j);
  while (j->output_scanline < j->output_height) {
    uint8_t *dst = (uint8_t *)raw->samples + (size_t)j->output_scanline * row;
    JSAMPROW line = cmyk ? s->line : dst;
    jpeg_read_scanlines(j, &line, 1);
    if (cmyk) from_cmyk(dst, line, raw->width);
  }
  jpeg_finish_decompress(j);
  return 1;
}

duel_status duel_jpeg_decode(duel_raw *raw, const duel_bytes *b) {
  struct jpeg_decompress_struct j = {0};
  source s = {0};
  raw->channels = raw->color;
  raw->bits = 8;
  j.err = jpeg_std_error(&s.errors);
  s.errors.error_exit = on_error;
  s.errors.emit_message = on_message;
  s.errors.output_message = on_output;
  const int done = decode(&s, &j, raw, b);
  jpeg_destroy_decompress(&j); // fine where it was never made
  duel_free(s.line);
  if (done) return DUEL_OK;
  if (s.no_memory) return duel_fail_memory(b->path, b->n);
  if (s.unsupported)
    return duel_fail(DUEL_ERR_DATA,
                     "%s is a JPEG of a kind that this build's libjpeg does not read (%s): convert it to PNG", b->path,
                     s.error);
  return duel_fail(DUEL_ERR_DATA, "%s is damaged: %s", b->path, s.error);
}
