// Small questions about text: endings, paths, UTF-8, numbers with a point whatever the process's locale says.
#ifndef DUEL_BASE_TEXT_H
#define DUEL_BASE_TEXT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/status.h"

// Letters of either case are alike: .PNG is .png.
bool duel_ends_with(const char *text, const char *end);

// dst = FOLDER/NAME. False: it is too long for n bytes.
bool duel_join(char *dst, size_t n, const char *folder, const char *name);

// A path as a word for a shell, in messages that tell what to type. Yields dst.
enum { DUEL_SHELL_PATH = PATH_MAX + 64 };
const char *duel_shell_path(char dst[DUEL_SHELL_PATH], const char *path);

// Length of the UTF-8 character at s (n bytes left): 1..4, or 0 if it is none.
int duel_utf8_length(const char *s, size_t n);
// Of a text that was cut after n bytes: how many of them are whole characters.
size_t duel_utf8_whole(const char *s, size_t n);
// Characters of a text, which are the places that it takes on a screen.
int duel_utf8_count(const char *text);
void duel_print_padded(FILE *out, const char *text, int width); // printf's width counts bytes

double duel_number_read(const char *text); // as strtod; NAN if there is no memory for the C locale
// As snprintf, of one number.
void duel_number_text(char *dst, size_t n, const char *fmt, ...) DUEL_PRINTF(3, 4);

#endif
