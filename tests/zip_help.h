// Zip files for tests, written by hand: whole, and in ways that no program writes.
#ifndef ZIP_HELP_H
#define ZIP_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zip_part {
  const char *name;
  const void *bytes;
  size_t n;
  bool deflated;
  int flags;     // of the entry: 1 is encrypted
  uint32_t size; // what the headers say; 0: the truth
} zip_part;

size_t make_zip(uint8_t *dst, size_t room, const zip_part *part, int n); // 0: no room
void scratch_zip(const char *name, const zip_part *part, int n);         // as a file of the scratch folder

#endif
