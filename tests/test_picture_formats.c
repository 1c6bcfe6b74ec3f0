// What a file is: by its first bytes, by the ending of its name, and what is said where it is not read.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "io/picture.h"
#include "io_help.h"

static const struct {
  const char *name;
  int at, n;
  const char *bytes;
} begins[] = {
    {"PNG", 0, 8, "\x89PNG\r\n\x1A\n"},
    {"JPEG", 0, 4, "\xFF\xD8\xFF\xE0"},
    {"GIF", 0, 6, "GIF87a"},
    {"GIF", 0, 6, "GIF89a"},
    {"BMP", 0, 18, "BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"},
    {"BMP", 0, 18, "BM\x46\0\0\0\0\0\0\0\x1A\0\0\0\x0C\0\0\0"},
    {"TIFF", 0, 8, "II*\0\x08\0\0\0"},
    {"TIFF", 0, 8, "MM\0*\0\0\0\x08"},
    {"TIFF", 0, 8, "II+\0\x08\0\0\0"},
    {"WebP", 0, 16, "RIFF\x24\0\0\0WEBPVP8 "},
    {"AVIF", 0, 20,
     "\0\0\0\x14"
     "ftypavif\0\0\0\0mif1"},
    {"AVIF", 0, 24,
     "\0\0\0\x18"
     "ftypmif1\0\0\0\0mif1avif"},
    {"HEIC", 0, 24,
     "\0\0\0\x18"
     "ftypheic\0\0\0\0mif1heic"},
    {"raw", 0, 16,
     "\0\0\0\x18"
     "ftypcrx \0\0\0\1"},
    {"raw", 0, 12, "II*\0\x10\0\0\0CR\2\0"},
    {"raw", 0, 16, "FUJIFILMCCD-RAW "},
    {"JPEG XL", 0, 4, "\xFF\x0A\x41\x0C"},
    {"JPEG XL", 0, 12, "\0\0\0\x0CJXL \r\n\x87\n"},
    {"JPEG 2000", 0, 12, "\0\0\0\x0CjP  \r\n\x87\n"},
    {"JPEG 2000", 0, 4, "\xFF\x4F\xFF\x51"},
    {"PNM", 0, 9, "P5\n# made"},
    {"PNM", 0, 9, "P6 16 16 "},
    {"PBM", 0, 9, "P3 16 16 "},
    {"PBM", 0, 8, "P7\nWIDTH"},
    {"PBM", 0, 9, "PF\n16 16\n"},
    {"PSD", 0, 6, "8BPS\0\1"},
    {"XCF", 0, 13, "gimp xcf v011"},
    {"SVG", 0, 30, "<svg xmlns=\"http://www.w3.org/"},
    {"SVG", 0, 41, "\xEF\xBB\xBF<?xml version=\"1.0\"?>\n<!-- x -->\n<svg "},
    {"EXR", 0, 4, "\x76\x2F\x31\x01"},
    {"HDR", 0, 11, "#?RADIANCE\n"},
    {"DDS", 0, 8, "DDS \x7C\0\0\0"},
    {"QOI", 0, 5, "qoif\0"},
    {"ICNS", 0, 8, "icns\0\0\0\x7F"},
    {"ICO", 0, 22, "\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0"},
    {"DICOM", 128, 4, "DICM"},
    {"FITS", 0, 12, "SIMPLE  =  T"},
};

static void first_bytes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
    const size_t n = (size_t)(begins[i].at + begins[i].n);
    uint8_t *bytes = calloc(n, 1); // a sanitizer sees what is read behind it
    memcpy(bytes + begins[i].at, begins[i].bytes, (size_t)begins[i].n);
    const duel_picture_format *f = duel_picture_of(bytes, n);
    if (!f || strcmp(f->name, begins[i].name)) fail_msg("row %zu: %s, not %s", i, f ? f->name : "none", begins[i].name);
    bytes = realloc(bytes, n + DUEL_PICTURE_HEAD); // what follows changes nothing
    memset(bytes + n, 'x', DUEL_PICTURE_HEAD);
    assert_ptr_equal(duel_picture_of(bytes, n + DUEL_PICTURE_HEAD), f);
    for (size_t k = 0; k < n; k++) { // nor does a cut crash
      uint8_t *cut = malloc(k ? k : 1);
      memcpy(cut, bytes, k);
      duel_picture_of(cut, k);
      free(cut);
    }
    free(bytes);
  }
  static const char *const none[] = {"",       "BMW is a make of cars", "P5",          "PK\3\4",       "\x93NUMPY",
                                     "GIF88a", "RIFF\0\0\0\0WAVE",      "<html><svg>", "P500 dollars", "\0\0\x08\3"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    if (duel_picture_of((const uint8_t *)none[i], strlen(none[i]))) fail_msg("\"%s\" is taken for a picture", none[i]);
}

static void endings(void **state) {
  (void)state;
  static const char *const named[][2] = {
      {"a.png", "PNG"},     {"dir.png/A.JPG", "JPEG"},  {"x.jpeg", "JPEG"},     {"x.jpe", "JPEG"},
      {"x.JfIf", "JPEG"},   {"x.gif", "GIF"},           {"x.BMP", "BMP"},       {"x.dib", "BMP"},
      {"x.tif", "TIFF"},    {"x.TIFF", "TIFF"},         {"x.webp", "WebP"},     {"x.avif", "AVIF"},
      {"IMG.HEIC", "HEIC"}, {"x.jxl", "JPEG XL"},       {"x.jp2", "JPEG 2000"}, {"x.tar.psd", "PSD"},
      {"x.svg", "SVG"},     {"x.pgm", "PNM"},           {"x.PAM", "PBM"},       {"x.NEF", "raw"},
      {"x.dng", "raw"},     {"/abs/.hidden.png", "PNG"}};
  static const char *const none[] = {"README.txt", "png",  "a.png/file", "x.",        "",   ".",
                                     "x.pngx",     "x.jp", "x.gz",       "x.png.txt", "x.g"};
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    const duel_picture_format *f = duel_picture_named(named[i][0]);
    if (!f || strcmp(f->name, named[i][1])) fail_msg("%s: %s", named[i][0], f ? f->name : "none");
  }
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_null(duel_picture_named(none[i]));
  int n;
  const duel_picture_format *all = duel_picture_formats(&n);
  for (int i = 0; i < n; i++) { // every ending of the table is found again
    char endings[128], name[64];
    snprintf(endings, sizeof endings, "%s", all[i].endings);
    assert_true(all[i].read || all[i].converter);
    for (char *end = strtok(endings, "."); end; end = strtok(NULL, ".")) {
      snprintf(name, sizeof name, "d.x/a.%s", end);
      assert_ptr_equal(duel_picture_named(name), &all[i]);
    }
  }
}

static void probe(const char *path, const char *bytes, const char *says) {
  duel_picture p;
  bool more;
  const size_t n = strlen(bytes);
  assert_int_equal(duel_picture_probe(&p, path, (const uint8_t *)bytes, n, n, &more), DUEL_ERR_DATA);
  assert_message(says);
}

static void sentences(void **state) {
  (void)state;
  probe("d/x.avif",
        "\1\1\1\x14"
        "ftypavif",
        "d/x.avif is an AVIF picture, which is not read here: convert it to PNG, for "
        "example with avifdec (package libavif-bin)");
  probe("x.jpg", "<!DOCTYPE html>", "x.jpg is no picture but a web page, as a failed download leaves it");
  probe("x.png", "version https://git-lfs.github.com/spec/v1", "x.png is no picture but a pointer of Git LFS");
  probe("x.ppm", "P3 1 1 255 0 0 0", "x.ppm is a PBM, PAM, PFM or plain-text PNM picture, which is not read here");
  static const char *const headers[] = {"P5 1 1 0\nx",    "P5 1 1 65536\nxx", "P5 1 x 255\nx",
                                        "P5 1 -1 255\nx", "P5 1 1 255x",      "P6 1 1 #"};
  for (int i = 0; i < 6; i++)
    probe("x.pgm", headers[i], i < 5 ? "x.pgm is damaged: its PNM header makes no sense" : "x.pgm is cut short");
  probe("x.png", "hello", "x.png is no picture, whatever its name says");
  probe("x.txt", "hello", "x.txt is no picture of any kind that is known here");
  probe("x.png", "", "x.png is empty");
  duel_picture p;
  bool more;
  assert_int_equal(duel_picture_probe(&p, "x.jpg", (const uint8_t[32]){0}, 32, 32, &more), DUEL_ERR_DATA);
  assert_message("x.jpg begins with nothing but zeros: it was never written to its end");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_bytes),
      cmocka_unit_test(endings),
      cmocka_unit_test(sentences),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
