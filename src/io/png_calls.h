// What libpng calls back: errors by longjmp, and duel's heap. The error pointer is a duel_png_calls.
#ifndef DUEL_IO_PNG_CALLS_H
#define DUEL_IO_PNG_CALLS_H

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"

typedef struct duel_png_calls {
  jmp_buf out;
  char error[160];
  bool no_memory;
} duel_png_calls;

static void duel_png_on_error(png_structp png, png_const_charp message) {
  duel_png_calls *c = png_get_error_ptr(png);
  snprintf(c->error, sizeof c->error, "%s", message);
  longjmp(c->out, 1);
}

static void duel_png_on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message; // of chunks that are not used here
}

static png_voidp duel_png_take(png_structp png, png_alloc_size_t n) {
  duel_png_calls *c = png_get_mem_ptr(png);
  void *p = duel_malloc(n);
  if (!p) c->no_memory = true;
  return p;
}

static void duel_png_give(png_structp png, png_voidp p) {
  (void)png;
  duel_free(p);
}

#endif
