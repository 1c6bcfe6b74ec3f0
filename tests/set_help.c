#include "set_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "io_help.h"

char set_notes[8192];

static void hear(void *ctx, const char *text) {
  (void)ctx;
  const size_t n = strlen(set_notes);
  snprintf(set_notes + n, sizeof set_notes - n, "%s\n", text);
}

duel_status set_try(duel_dataset **d, const char *name, duel_dataset_options o) {
  set_notes[0] = 0;
  o.note = hear;
  return duel_dataset_open_with(d, scratch(name), &o);
}

duel_dataset *set_open(const char *name, duel_dataset_options o) {
  duel_dataset *d;
  must(set_try(&d, name, o));
  return d;
}

void set_refused(const char *name, const char *part) {
  duel_dataset *d;
  assert_int_equal(set_try(&d, name, (duel_dataset_options){.limit = 0}), DUEL_ERR_DATA);
  assert_null(d);
  assert_message(part);
}
