// Formats of pictures: the ending of a name, the first bytes, and what to do where this build reads none of it.
// Invariant: one row a format, in the order of the enum; a pattern of first bytes leads to one row alone.
#include <string.h>
#include <strings.h>

#include "io/pictures/decoders.h"

enum format {
  PNG,
  JPEG,
  GIF,
  BMP,
  TIFF,
  WEBP,
  PNM,
  AVIF,
  HEIC,
  JXL,
  JP2,
  PBM,
  TGA,
  ICO,
  PSD,
  XCF,
  SVG,
  EXR,
  HDR,
  DDS,
  QOI,
  PCX,
  ICNS,
  RAW,
  DICOM,
  FITS,
  FORMATS
};

#define MAGICK "magick (package imagemagick)"
static const duel_picture_format format[FORMATS] = {
    [PNG] = {"PNG", "a PNG", ".png.apng", true, NULL, NULL},
    [JPEG] = {"JPEG", "a JPEG", ".jpg.jpeg.jpe.jfif", true, NULL, NULL},
    [GIF] = {"GIF", "a GIF", ".gif", DUEL_GIF, "giflib (package libgif-dev)", MAGICK},
    [BMP] = {"BMP", "a BMP", ".bmp.dib", true, NULL, NULL},
    [TIFF] = {"TIFF", "a TIFF", ".tif.tiff", DUEL_TIFF, "libtiff 4.5 or later (package libtiff-dev)", MAGICK},
    [WEBP] = {"WebP", "a WebP", ".webp", DUEL_WEBP, "libwebp (package libwebp-dev)", "dwebp (package webp)"},
    [PNM] = {"PNM", "a PNM", ".pgm.ppm.pnm", true, NULL, NULL},
    [AVIF] = {"AVIF", "an AVIF", ".avif.avifs", false, NULL, "avifdec (package libavif-bin)"},
    [HEIC] = {"HEIC", "a HEIC", ".heic.heif.hif", false, NULL, "heif-convert (package libheif-examples)"},
    [JXL] = {"JPEG XL", "a JPEG XL", ".jxl", false, NULL, "djxl (package libjxl-tools)"},
    [JP2] = {"JPEG 2000", "a JPEG 2000", ".jp2.j2k.j2c.jpc.jpf.jpx", false, NULL,
             "opj_decompress (package libopenjp2-tools)"},
    [PBM] = {"PBM", "a PBM, PAM, PFM or plain-text PNM", ".pbm.pam.pfm", false, NULL, MAGICK},
    [TGA] = {"TGA", "a TGA (Targa)", ".tga", false, NULL, MAGICK},
    [ICO] = {"ICO", "an icon (ICO)", ".ico.cur", false, NULL, MAGICK},
    [PSD] = {"PSD", "a Photoshop", ".psd.psb", false, NULL, MAGICK},
    [XCF] = {"XCF", "a GIMP (XCF)", ".xcf", false, NULL, "GIMP"},
    [SVG] = {"SVG", "an SVG", ".svg.svgz", false, NULL, "rsvg-convert (package librsvg2-bin)"},
    [EXR] = {"EXR", "an OpenEXR", ".exr", false, NULL, MAGICK},
    [HDR] = {"HDR", "a Radiance HDR", ".hdr", false, NULL, MAGICK},
    [DDS] = {"DDS", "a DDS (DirectDraw)", ".dds", false, NULL, MAGICK},
    [QOI] = {"QOI", "a QOI", ".qoi", false, NULL, MAGICK},
    [PCX] = {"PCX", "a PCX", ".pcx", false, NULL, MAGICK},
    [ICNS] = {"ICNS", "an icon (ICNS)", ".icns", false, NULL, "icns2png (package icnsutils)"},
    [RAW] = {"raw", "a camera's raw",
             ".cr2.cr3.crw.nef.nrw.arw.srf.sr2.dng.orf.rw2.raf.pef.srw.x3f.3fr.mrw.kdc.dcr.erf.mef.mos.iiq", false,
             NULL, "darktable-cli (package darktable)"},
    [DICOM] = {"DICOM", "a DICOM", ".dcm.dicom", false, NULL, "dcm2img (package dcmtk)"},
    [FITS] = {"FITS", "a FITS", ".fits.fit", false, NULL, "Python's astropy"},
};

const duel_picture_format *duel_picture_formats(int *n) {
  *n = FORMATS;
  return format;
}

const duel_picture_format *duel_picture_named(const char *path) {
  const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
  const size_t n = dot ? strlen(dot) : 0;
  if (n < 2) return NULL;
  for (int i = 0; i < FORMATS; i++)
    for (const char *end = format[i].endings; *end; end += 1 + strcspn(end + 1, "."))
      if (strcspn(end + 1, ".") == n - 1 && !strncasecmp(end, dot, n)) return &format[i];
  return NULL;
}

// ---- first bytes

typedef struct magic {
  int format, at, n;
  const char *bytes;
} magic;
static const magic patterns[] = {
    {PNG, 0, 8, "\x89PNG\r\n\x1A\n"},
    {JPEG, 0, 3, "\xFF\xD8\xFF"},
    {GIF, 0, 6, "GIF87a"},
    {GIF, 0, 6, "GIF89a"},
    {RAW, 8, 2, "CR"}, // of a TIFF; the head is looked at below
    {TIFF, 0, 4, "II*\0"},
    {TIFF, 0, 4, "MM\0*"},
    {TIFF, 0, 4, "II+\0"},
    {TIFF, 0, 4, "MM\0+"},
    {WEBP, 8, 4, "WEBP"}, // of a RIFF
    {JXL, 0, 12, "\0\0\0\x0CJXL \r\n\x87\n"},
    {JXL, 0, 2, "\xFF\x0A"},
    {JP2, 0, 12, "\0\0\0\x0CjP  \r\n\x87\n"},
    {JP2, 0, 4, "\xFF\x4F\xFF\x51"},
    {PSD, 0, 4, "8BPS"},
    {XCF, 0, 9, "gimp xcf "},
    {EXR, 0, 4, "\x76\x2F\x31\x01"},
    {HDR, 0, 10, "#?RADIANCE"},
    {HDR, 0, 6, "#?RGBE"},
    {DDS, 0, 4, "DDS "},
    {QOI, 0, 4, "qoif"},
    {ICNS, 0, 4, "icns"},
    {RAW, 0, 15, "FUJIFILMCCD-RAW"},
    {RAW, 0, 4, "IIRO"},
    {RAW, 0, 4, "IIU\0"},
    {RAW, 0, 4, "FOVb"},
    {RAW, 0, 4, "\0MRM"},
    {DICOM, 128, 4, "DICM"},
    {FITS, 0, 9, "SIMPLE  ="},
};

static bool fits(const magic *m, const uint8_t *bytes, size_t n) {
  if (n < (size_t)(m->at + m->n) || memcmp(bytes + m->at, m->bytes, (size_t)m->n)) return false;
  if (m->format == WEBP) return !memcmp(bytes, "RIFF", 4);
  if (m->format == RAW && m->at) return !memcmp(bytes, "II*\0", 4);
  return true;
}

// ISO's box of brands: AVIF, HEIC and Canon's CR3 begin alike.
static int by_brand(const uint8_t *bytes, size_t n) {
  static const struct {
    char brand[5];
    int format;
  } brands[] = {{"avif", AVIF}, {"avis", AVIF}, {"crx ", RAW},  {"heic", HEIC}, {"heix", HEIC}, {"hevc", HEIC},
                {"hevx", HEIC}, {"heim", HEIC}, {"heis", HEIC}, {"hevm", HEIC}, {"hevs", HEIC}, {"mif1", HEIC}};
  if (n < 12 || memcmp(bytes + 4, "ftyp", 4)) return FORMATS;
  const size_t box = (size_t)bytes[2] << 8 | bytes[3], end = box < n ? box : n;
  for (size_t k = 0; k < sizeof brands / sizeof *brands; k++)
    for (size_t at = 8; at + 4 <= end; at += 4) // the brand, its version, then other brands that fit
      if (at != 12 && !memcmp(bytes + at, brands[k].brand, 4)) return brands[k].format;
  return FORMATS;
}

static bool is_bmp(const uint8_t *bytes, size_t n) { // two letters are few: the size of its header tells more
  if (n < 18 || memcmp(bytes, "BM", 2) || bytes[15] || bytes[16] || bytes[17]) return false;
  const int header = bytes[14];
  return header == 12 || header == 40 || header == 52 || header == 56 || header == 64 || header == 108 || header == 124;
}
static bool is_pnm(const uint8_t *bytes, size_t n) {
  return n >= 4 && bytes[0] == 'P' && strchr("1234567Ff", bytes[1]) && bytes[1] && strchr(" \t\r\n", bytes[2]) &&
         bytes[2] && (bytes[3] == '#' || (bytes[3] >= '0' && bytes[3] <= '9') || bytes[1] == '7');
}
static bool is_icon(const uint8_t *bytes, size_t n) { // as many entries of 16 bytes as it says, then the first picture
  return n >= 22 && !bytes[0] && !bytes[1] && (bytes[2] == 1 || bytes[2] == 2) && !bytes[3] && bytes[4] && !bytes[5] &&
         (bytes[18] | bytes[19] << 8) == 6 + 16 * bytes[4] && !bytes[20] && !bytes[21];
}
static bool is_svg(const uint8_t *bytes, size_t n) {
  char text[DUEL_PICTURE_HEAD + 1];
  const size_t length = n < DUEL_PICTURE_HEAD ? n : DUEL_PICTURE_HEAD;
  for (size_t i = 0; i < length; i++) text[i] = bytes[i] ? (char)bytes[i] : ' ';
  text[length] = 0;
  const char *from = text;
  if (!strncmp(from, "\xEF\xBB\xBF", 3)) from += 3;
  from += strspn(from, " \t\r\n");
  return !strncmp(from, "<svg", 4) ||
         ((!strncmp(from, "<?xml", 5) || !strncmp(from, "<!--", 4)) && strstr(from, "<svg"));
}

const duel_picture_format *duel_picture_of(const uint8_t *bytes, size_t n) {
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
    if (fits(&patterns[i], bytes, n)) return &format[patterns[i].format];
  const int brand = by_brand(bytes, n);
  if (brand != FORMATS) return &format[brand];
  return is_bmp(bytes, n)    ? &format[BMP]
         : is_pnm(bytes, n)  ? &format[bytes[1] == '5' || bytes[1] == '6' ? PNM : PBM]
         : is_icon(bytes, n) ? &format[ICO]
         : is_svg(bytes, n)  ? &format[SVG]
                             : NULL;
}

const duel_picture_format *duel_picture_kind(const char *path, const uint8_t *bytes, size_t n) {
  const duel_picture_format *is = duel_picture_of(bytes, n), *named = duel_picture_named(path);
  return is == &format[TIFF] && named == &format[RAW] ? named : is; // most raw formats are TIFFs of their own kind
}

// ---- sentences

duel_status duel_picture_unread(const duel_picture_format *f, const char *path) {
  if (f->library)
    return duel_fail(DUEL_ERR_DATA,
                     "%s is %s picture, which this build cannot read: rebuild with %s, or convert it to PNG, for "
                     "example with %s",
                     path, f->phrase, f->library, f->converter);
  return duel_fail(DUEL_ERR_DATA, "%s is %s picture, which is not read here: convert it to PNG, for example with %s",
                   path, f->phrase, f->converter);
}

duel_status duel_picture_foreign(const char *path, const uint8_t *bytes, size_t n) {
  static const struct {
    const char *begin, *what;
  } known[] = {{"<!doctype html", "a web page, as a failed download leaves it"},
               {"<html", "a web page, as a failed download leaves it"},
               {"version https://git-lfs", "a pointer of Git LFS in a picture's place: run git lfs pull"},
               {"%PDF", "a PDF"}};
  const duel_picture_format *named = duel_picture_named(path);
  size_t zeros = 0;
  while (zeros < n && !bytes[zeros]) zeros++;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (n >= strlen(known[i].begin) && !strncasecmp((const char *)bytes, known[i].begin, strlen(known[i].begin)))
      return duel_fail(DUEL_ERR_DATA, "%s is no picture but %s", path, known[i].what);
  if (n > 0 && zeros == n)
    return duel_fail(DUEL_ERR_DATA, "%s begins with nothing but zeros: it was never written to its end", path);
  if (named) return duel_fail(DUEL_ERR_DATA, "%s is no picture, whatever its name says", path);
  return duel_fail(DUEL_ERR_DATA, "%s is no picture of any kind that is known here", path);
}
