// One table: first bytes or name -> what it is, and the way out. The first row that fits counts, so that those that say
// more come first.
#include "io/files/known.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

typedef struct row {
  const char *magic; // "" or NULL: any
  int length, at;    // of the magic, and where
  const char *names; // patterns between bars, of the last part of the path; NULL: any
  duel_known known;
} row;

#define MAGIC(text) (text), (int)sizeof(text) - 1
#define ANY NULL, 0, 0

#define UNPACK_TAR "unpack it (tar xf '@') and name the folder"
#define FRAMES "take its frames: mkdir frames && ffmpeg -i '@' frames/%06d.png"
#define CIFAR_PYTHON "a batch of CIFAR's Python version"
#define CIFAR_BINARY                                                                                                   \
  "get the binary version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz), unpack it and name its folder"
#define STL                                                                                                            \
  "save it for NumPy: python3 -c \"import numpy as n; n.save('stl10.npy', n.fromfile('@', 'uint8').reshape(-1, 3, "    \
  "96, 96).transpose(0, 1, 3, 2))\""
#define NORB                                                                                                           \
  "save one camera's pictures: python3 -c \"import numpy as n; n.save('norb.npy', n.fromfile('@', "                    \
  "'uint8')[24:].reshape(-1, 2, 96, 96)[:, 0])\""
#define MATLAB                                                                                                         \
  "save its pictures as N×H×W×C: python3 -c \"import numpy as n, scipy.io as s; n.save('x.npy', "                   \
  "s.loadmat('@')['X'].transpose(3, 0, 1, 2))\" (SVHN's array is X; whosmat lists others)"
#define HDF5                                                                                                           \
  "save its array: python3 -c \"import numpy as n, h5py as h; f = h.File('@'); print(list(f)); n.save('x.npy', "       \
  "f['images'][:])\""
#define TORCH                                                                                                          \
  "save its tensor of pictures: python3 -c \"import numpy as n, torch as t; x = t.load('@'); n.save('x.npy', (x[0] "   \
  "if isinstance(x, tuple) else x).numpy())\""
#define PICKLE                                                                                                         \
  "save its array: python3 -c \"import numpy as n, pickle as p; x = p.load(open('@', 'rb')); print(type(x)); "         \
  "n.save('x.npy', n.asarray(x))\""
#define PARQUET                                                                                                        \
  "write its pictures out: python3 -c \"import pandas as p; [open(f'{i}.png', 'wb').write(x['bytes']) for i, x in "    \
  "enumerate(p.read_parquet('@')['image'])]\""
#define ARROW                                                                                                          \
  "write its pictures out: python3 -c \"import datasets as d; [x['image'].save(f'{i}.png') for i, x in "               \
  "enumerate(d.Dataset.from_file('@'))]\""
#define TFRECORD                                                                                                       \
  "write its pictures out with the tool of whoever made it (StyleGAN's: dataset_tool.py unpack or display), or get "   \
  "the set as pictures"
#define LMDB "export its pictures into a folder (LSUN: data.py export FOLDER, of its repository) and name that"
#define NIFTI                                                                                                          \
  "save its slices: python3 -c \"import numpy as n, nibabel as b; n.save('x.npy', "                                    \
  "b.load('@').get_fdata().transpose(2, 1, 0).astype('float32'))\""
#define CSV_PIXELS                                                                                                     \
  "save it for NumPy: python3 -c \"import numpy as n; x = n.loadtxt('@', delimiter=',', skiprows=1, dtype='uint8'); "  \
  "k = int(x.shape[1] ** .5); n.save('x.npy', x[:, -k * k:].reshape(-1, k, k))\""

static const row rows[] = {
    // sets, by the names that they are known under
    {MAGIC("\x80"), 0, "data_batch_[0-9]*|test_batch|batches.meta", {CIFAR_PYTHON, CIFAR_BINARY, DUEL_KNOWN_SET}},
    {MAGIC("\x80"), 0, "train|test|meta", {CIFAR_PYTHON, CIFAR_BINARY, DUEL_KNOWN_SET}},
    {MAGIC("\x80"), 0, "train_data_batch_*|val_data", {"a batch of small ImageNet", PICKLE, DUEL_KNOWN_SET}},
    {ANY, "train_x.bin|test_x.bin|unlabeled_x.bin", {"STL-10's binary version", STL, DUEL_KNOWN_SET}},
    {MAGIC("\xDE\xC0\xEF\xBE"), 16, NULL, {"an LMDB", LMDB, DUEL_KNOWN_SET}},
    {ANY, "data.mdb|lock.mdb", {"an LMDB", LMDB, DUEL_KNOWN_SET}},
    {MAGIC("\x55\x4C\x3D\x1E"), 0, NULL, {"one of NORB's matrices", NORB, DUEL_KNOWN_SET}},
    {MAGIC("\x54\x4C\x3D\x1E"), 0, NULL, {"one of NORB's matrices of labels", "", DUEL_KNOWN_SET}},
    // arrays
    {MAGIC("MATLAB 7.3 MAT-file"), 0, NULL, {"a MATLAB file of version 7.3, which is HDF5", HDF5, DUEL_KNOWN_SET}},
    {MAGIC("MATLAB 5.0 MAT-file"), 0, NULL, {"a MATLAB file", MATLAB, DUEL_KNOWN_SET}},
    {MAGIC("\x89HDF\r\n\x1A\n"), 0, NULL, {"an HDF5 file", HDF5, DUEL_KNOWN_SET}},
    {MAGIC("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19"),
     0,
     NULL,
     {"a PyTorch file", TORCH, DUEL_KNOWN_SET}},
    {MAGIC("PK\3\4"), 0, "*.pt|*.pth|*.ckpt", {"a PyTorch file", TORCH, DUEL_KNOWN_SET}},
    {MAGIC("\x80"), 0, "*.pkl|*.pickle|*.p|*.joblib", {"a pickle of Python", PICKLE, DUEL_KNOWN_SET}},
    {MAGIC("PAR1"), 0, NULL, {"a Parquet file", PARQUET, DUEL_KNOWN_SET}},
    {MAGIC("ARROW1"), 0, NULL, {"an Arrow file", ARROW, DUEL_KNOWN_SET}},
    {MAGIC("\xFF\xFF\xFF\xFF"), 0, "*.arrow", {"an Arrow file", ARROW, DUEL_KNOWN_SET}},
    {ANY, "*.tfrecord|*.tfrecords|*.tfrecord-*|*.tfrec", {"a TFRecord", TFRECORD, DUEL_KNOWN_SET}},
    {MAGIC("\x0A\x23\xD7\xCE"),
     0,
     NULL,
     {"an MXNet RecordIO", "write its pictures out with mxnet.recordio", DUEL_KNOWN_SET}},
    {MAGIC("SQLite format 3"), 0, NULL, {"an SQLite database", "export its pictures into a folder", DUEL_KNOWN_SET}},
    {MAGIC("\x93NUMPY"), 0, NULL, {"an NPY file", "name one of them, as in @", DUEL_KNOWN_READ}},
    // archives
    {MAGIC("ustar"), 257, NULL, {"a tar archive", UNPACK_TAR, DUEL_KNOWN_SET}},
    {ANY, "*.tar|*.tar.*|*.tgz|*.tbz2|*.txz", {"a tar archive", UNPACK_TAR, DUEL_KNOWN_SET}},
    {MAGIC("PK\3\4"), 0, "*.npz", {"an .npz file of arrays", "name one of them, as in @", DUEL_KNOWN_READ}},
    {MAGIC("PK\3\4"), 0, "*.docx|*.xlsx|*.pptx|*.odt|*.ods|*.jar|*.apk", {"a document", "", DUEL_KNOWN_SIDE}},
    {MAGIC("PK\3\4"), 0, NULL, {"a zip file", "name it, as in @", DUEL_KNOWN_READ}},
    {MAGIC("7z\xBC\xAF\x27\x1C"),
     0,
     NULL,
     {"a 7z archive", "unpack it (7z x '@') and name the folder", DUEL_KNOWN_SET}},
    {MAGIC("Rar!\x1A\x07"), 0, NULL, {"a RAR archive", "unpack it (unrar x '@') and name the folder", DUEL_KNOWN_SET}},
    {MAGIC("\xFD"
           "7zXZ"),
     0,
     NULL,
     {"packed by xz", "unpack it: xz -dk '@'", DUEL_KNOWN_SET}},
    {MAGIC("BZh"), 0, NULL, {"packed by bzip2", "unpack it: bzip2 -dk '@'", DUEL_KNOWN_SET}},
    {MAGIC("\x28\xB5\x2F\xFD"), 0, NULL, {"packed by zstd", "unpack it: zstd -dk '@'", DUEL_KNOWN_SET}},
    {MAGIC("\x04\x22\x4D\x18"), 0, NULL, {"packed by lz4", "unpack it: lz4 -dk '@'", DUEL_KNOWN_SET}},
    // videos
    {MAGIC("AVI "), 8, NULL, {"a video", FRAMES, DUEL_KNOWN_SET}},
    {MAGIC("ftyp"), 4, NULL, {"a video", FRAMES, DUEL_KNOWN_SET}},
    {MAGIC("moov"), 4, NULL, {"a video", FRAMES, DUEL_KNOWN_SET}},
    {MAGIC("\x1A\x45\xDF\xA3"), 0, NULL, {"a video", FRAMES, DUEL_KNOWN_SET}},
    {MAGIC("\0\0\1\xBA"), 0, NULL, {"a video", FRAMES, DUEL_KNOWN_SET}},
    {MAGIC("FLV\1"), 0, NULL, {"a video", FRAMES, DUEL_KNOWN_SET}},
    // documents, volumes
    {MAGIC("n+1"), 344, NULL, {"a NIfTI volume", NIFTI, DUEL_KNOWN_SET}},
    {MAGIC("%PDF"), 0, NULL, {"a PDF", "take its pictures: pdfimages -png '@' picture", DUEL_KNOWN_SET}},
    {MAGIC("%!PS"), 0, NULL, {"a PostScript file", "", DUEL_KNOWN_SIDE}},
    // what stands beside data
    {MAGIC("\0\5\x16\7"), 0, NULL, {"macOS's notes on another file", "", DUEL_KNOWN_SIDE}},
    {ANY, "thumbs.db|ehthumbs.db|desktop.ini", {"Windows' own", "", DUEL_KNOWN_SIDE}},
    {MAGIC("\xD0\xCF\x11\xE0"), 0, NULL, {"a document", "", DUEL_KNOWN_SIDE}},
    {ANY, "*.safetensors|*.onnx|*.pth|*.ckpt", {"a file of tensors", "", DUEL_KNOWN_SIDE}},
    {MAGIC("\x7F"
           "ELF"),
     0,
     NULL,
     {"a program", "", DUEL_KNOWN_SIDE}},
    {MAGIC("\x80\2}"), 0, NULL, {"a pickle of Python", PICKLE, DUEL_KNOWN_SET}},
    {MAGIC("\x80\2c"), 0, NULL, {"a pickle of Python", PICKLE, DUEL_KNOWN_SET}},
    {MAGIC("\x80\2]"), 0, NULL, {"a pickle of Python", PICKLE, DUEL_KNOWN_SET}},
    {MAGIC("\x80\3"), 0, NULL, {"a pickle of Python", PICKLE, DUEL_KNOWN_SET}},
    {MAGIC("\x80\4\x95"), 0, NULL, {"a pickle of Python", PICKLE, DUEL_KNOWN_SET}},
    {MAGIC("\x80\5\x95"), 0, NULL, {"a pickle of Python", PICKLE, DUEL_KNOWN_SET}},
};

static const duel_known unfinished = {"an unfinished download", "wait for its end, or load it again", DUEL_KNOWN_SET},
                        nothing = {"empty", "", DUEL_KNOWN_SIDE},
                        page = {"a page of the web, not the file that was to be loaded",
                                "load the set again: its server sent an error or a log-in", DUEL_KNOWN_SET},
                        pointer = {"a pointer of Git LFS, not the file itself", "get it: git lfs pull", DUEL_KNOWN_SET},
                        pixels = {"a CSV of pixels", CSV_PIXELS, DUEL_KNOWN_SET},
                        table = {"a CSV table", "", DUEL_KNOWN_SIDE}, json = {"JSON", "", DUEL_KNOWN_SIDE},
                        xml = {"XML", "", DUEL_KNOWN_SIDE}, text = {"text", "", DUEL_KNOWN_SIDE},
                        unknown = {"of no format known here", "", DUEL_KNOWN_SIDE};

bool duel_is_unfinished(const char *path) {
  static const char *const endings[] = {".part",  ".partial", ".crdownload", ".download", ".opdownload",
                                        ".aria2", ".tmp",     ".!ut",        ".!qb",      ".filepart"};
  const char *dot = strrchr(path, '.');
  for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
    if (!strcasecmp(dot, endings[i])) return true;
  return false;
}

bool duel_is_text(const uint8_t *head, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (head[i] == 0x7F || (head[i] < 0x20 && !(head[i] >= '\t' && head[i] <= '\r'))) return false;
  return n > 0;
}

static bool name_fits(const char *name, const char *names) {
  for (const char *at = names; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "%.*s", (int)strcspn(at, "|"), at);
    if (fnmatch(pattern, name, FNM_CASEFOLD) == 0) return true;
  }
  return false;
}

static bool begins(const char *line, size_t n, const char *word) {
  return n >= strlen(word) && !strncasecmp(line, word, strlen(word));
}

static const duel_known *known_text(const uint8_t *head, size_t n) {
  const char *at = (const char *)head;
  if (n >= 3 && !memcmp(at, "\xEF\xBB\xBF", 3)) at += 3;
  while (at < (const char *)head + n && strchr(" \t\r\n", *at)) at++;
  const size_t left = (size_t)((const char *)head + n - at);
  char line[4096];
  snprintf(line, sizeof line, "%.*s", (int)(left < sizeof line ? left : sizeof line - 1), at);
  line[strcspn(line, "\r\n")] = 0;
  if (begins(at, left, "<!doctype html") || begins(at, left, "<html") || begins(at, left, "<head")) return &page;
  if (begins(at, left, "version https://git-lfs")) return &pointer;
  if (begins(at, left, "<")) return &xml;
  if (begins(at, left, "{") || begins(at, left, "[")) return &json;
  const char *first = strchr(line, ','), *second = first ? strchr(first + 1, ',') : NULL;
  if (second) return strstr(line, "pixel") || strspn(line, "0123456789,") > 500 ? &pixels : &table;
  return &text;
}

const duel_known *duel_known_file(const char *path, const uint8_t *head, size_t n) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  if (duel_is_unfinished(path)) return &unfinished;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const row *r = &rows[i];
    if (r->magic && (n < (size_t)(r->at + r->length) || memcmp(head + r->at, r->magic, (size_t)r->length))) continue;
    if (!r->names || name_fits(name, r->names)) return &r->known;
  }
  if (n == 0) return &nothing;
  return duel_is_text(head, n) ? known_text(head, n) : &unknown;
}

const char *duel_known_cure(const duel_known *known, const char *path, char *dst, size_t room) {
  size_t n = 0;
  *dst = 0;
  if (!known->cure[0]) return dst;
  n += (size_t)snprintf(dst, room, ": ");
  for (const char *c = known->cure; *c && n + 1 < room; c++) {
    if (*c == '@')
      n += (size_t)snprintf(dst + n, room - n, "%s", path);
    else
      dst[n++] = *c;
    if (n >= room) n = room - 1;
    dst[n] = 0;
  }
  return dst;
}
