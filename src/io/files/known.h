// What a file is that is no picture and no data of ours: by its first bytes, or by its name; and the way out of it.
#ifndef DUEL_IO_FILES_KNOWN_H
#define DUEL_IO_FILES_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct duel_known {
  const char *what; // "an HDF5 file", as in "X is …"
  const char *cure; // what to do; "@" stands for the file's path; "": nothing
  enum {
    DUEL_KNOWN_SIDE, // stands beside data
    DUEL_KNOWN_SET,  // may well be the data that somebody means: a folder without pictures is told what it holds
    DUEL_KNOWN_READ  // is data of ours, if it is named
  } role;
} duel_known;

// head: the first n bytes, inflated if they were gzip. Never NULL: of what nobody knows the text says so.
const duel_known *duel_known_file(const char *path, const uint8_t *head, size_t n);
// The cure for one file, ": …", or "".
const char *duel_known_cure(const duel_known *known, const char *path, char *dst, size_t room);

// What a browser or a downloader has not finished, by its ending.
bool duel_is_unfinished(const char *path);
bool duel_is_text(const uint8_t *head, size_t n);

#endif
