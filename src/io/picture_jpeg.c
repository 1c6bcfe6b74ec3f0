// JPEG through libjpeg-turbo, with its accurate integer transform, whose bits are the same on all processors. It
// reports errors by longjmp; invariant: decode() is the only frame that it jumps to, and all that lives on lies in the
// source or the picture.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/mem.h"
#include "io/picture.h"

typedef struct source {
  struct jpeg_error_mgr errors; // the first member: libjpeg points to it
  jmp_buf out;
  char error[JMSG_LENGTH_MAX];
  bool no_memory;
} source;

static void on_error(j_common_ptr info) {
  source *s = (source *)info->err;
  s->no_memory = s->errors.msg_code == JERR_OUT_OF_MEMORY;
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

static int decode(source *s, struct jpeg_decompress_struct *j, duel_picture *p, const uint8_t *bytes, size_t n) {
  if (setjmp(s->out)) return 0;
  jpeg_create_decompress(j);
  jpeg_mem_src(j, bytes, (unsigned long)n);
  jpeg_read_header(j, TRUE);
  j->out_color_space = j->jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  j->dct_method = JDCT_ISLOW;
  jpeg_calc_output_dimensions(j);
  if (j->output_width != p->width || j->output_height != p->height || j->output_components != p->channels) {
    snprintf(s->error, sizeof s->error, "it has two headers");
    return 0;
  }
  const size_t row = (size_t)p->width * (size_t)p->channels;
  p->pixels = duel_malloc(row * (size_t)p->height);
  if (!p->pixels) {
    s->no_memory = true;
    return 0;
  }
  jpeg_start_decompress(j);
  while (j->output_scanline < j->output_height) {
    JSAMPROW line = p->pixels + (size_t)j->output_scanline * row;
    jpeg_read_scanlines(j, &line, 1);
  }
  jpeg_finish_decompress(j);
  return 1;
}

duel_status duel_jpeg_decode(duel_picture *p, const char *path, const uint8_t *bytes, size_t n) {
  struct jpeg_decompress_struct j = {0};
  source s = {0};
  j.err = jpeg_std_error(&s.errors);
  s.errors.error_exit = on_error;
  s.errors.emit_message = on_message;
  s.errors.output_message = on_output;
  duel_status status = DUEL_OK;
  if (!decode(&s, &j, p, bytes, n))
    status = s.no_memory ? duel_fail_memory(path, n) : duel_fail(DUEL_ERR_DATA, "%s is damaged: %s", path, s.error);
  jpeg_destroy_decompress(&j); // fine where it was never made
  return status;
}
