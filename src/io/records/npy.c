// NPY: magic, version, header length, a Python dict padded with spaces, the data. Written as version 1.0 with data at a
// multiple of 64; read in all versions. Of Python, the reader knows what numpy.save writes and no more.
#include "io/records/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/tensor.h"
#include "io/file.h"
#include "io/records/records.h"

duel_status duel_npy_write(const char *path, const float *values, int rank, const int64_t *dim) {
  _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "'<f4' below means little-endian");
  char header[320] = "\x93NUMPY\x01"; // version 1.0, so a zero follows, then the length at 8
  duel_shape shape = duel_shape_of(rank, dim);
  int64_t count;
  if (rank > DUEL_MAX_RANK || !duel_shape_checked_count(shape, &count) || count > INT64_MAX / 4)
    return duel_fail(DUEL_ERR_INTERNAL, "%s: no array has this shape", path);
  int n = 10 + snprintf(header + 10, 100, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
  for (int i = 0; i < rank; i++)
    n += snprintf(header + n, 32, "%lld%s", (long long)dim[i], i + 1 < rank ? ", " : rank == 1 ? "," : "");
  n += snprintf(header + n, 8, "), }");
  int size = (n + 1 + 63) / 64 * 64;
  memset(header + n, ' ', (size_t)(size - n));
  header[size - 1] = '\n';
  header[8] = (char)((size - 10) & 255);
  header[9] = (char)((size - 10) >> 8);
  duel_part part[2] = {{header, (size_t)size}, {values, 4 * (size_t)count}};
  return duel_file_write_parts(path, part, 2);
}

// ---- reading

enum { MOST_HEADER = 10000, MOST_RANK = 8 }; // numpy refuses longer headers

typedef struct header {
  const char *at, *end;
  char descr[24];
  bool has_descr, has_order, fortran, has_shape;
  int rank;
  int64_t dim[MOST_RANK];
} header;

static void skip_blanks(header *h) {
  while (h->at < h->end && (*h->at == ' ' || *h->at == '\n' || *h->at == '\t')) h->at++;
}

static bool take_char(header *h, char c) {
  skip_blanks(h);
  if (h->at == h->end || *h->at != c) return false;
  h->at++;
  return true;
}

static bool take_string(header *h, char *dst, size_t room) {
  skip_blanks(h);
  if (h->at == h->end || (*h->at != '\'' && *h->at != '"')) return false;
  const char quote = *h->at++;
  size_t n = 0;
  for (; h->at < h->end && *h->at != quote; h->at++) {
    if (n + 1 == room || *h->at == '\\') return false;
    dst[n++] = *h->at;
  }
  dst[n] = 0;
  return take_char(h, quote);
}

static bool take_word(header *h, const char *word) {
  const size_t n = strlen(word);
  skip_blanks(h);
  if ((size_t)(h->end - h->at) < n || memcmp(h->at, word, n)) return false;
  h->at += n;
  return true;
}

static bool take_number(header *h, int64_t *value) {
  skip_blanks(h);
  const char *begin = h->at;
  *value = 0;
  for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++)
    if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *h->at - '0', value)) return false;
  return h->at > begin;
}

static bool take_shape(header *h) {
  if (!take_char(h, '(')) return false;
  for (h->rank = 0; !take_char(h, ')'); h->rank++) {
    if (h->rank == MOST_RANK || !take_number(h, &h->dim[h->rank])) return false;
    if (!take_char(h, ',')) return h->rank++, h->rank > 1 && take_char(h, ')'); // (5) is no tuple
  }
  return true;
}

static bool take_entry(header *h) {
  char key[16];
  if (!take_string(h, key, sizeof key) || !take_char(h, ':')) return false;
  if (!strcmp(key, "descr") && !h->has_descr) return h->has_descr = take_string(h, h->descr, sizeof h->descr);
  if (!strcmp(key, "fortran_order") && !h->has_order)
    return h->has_order = (h->fortran = take_word(h, "True")) || take_word(h, "False");
  if (!strcmp(key, "shape") && !h->has_shape) return h->has_shape = take_shape(h);
  return false;
}

static bool take_header(header *h) {
  if (!take_char(h, '{')) return false;
  while (!take_char(h, '}')) {
    if (!take_entry(h)) return false;
    if (!take_char(h, ',')) {
      if (!take_char(h, '}')) return false;
      break;
    }
  }
  skip_blanks(h);
  return h->at == h->end && h->has_descr && h->has_order && h->has_shape;
}

static duel_status find_header(header *h, const char *path, const uint8_t *head, size_t n, int64_t *offset) {
  if (n < 10 || memcmp(head, "\x93NUMPY", 6))
    return duel_fail(DUEL_ERR_DATA, "%s is no NPY file%s", path, n < 10 ? ": it is cut short" : "");
  const size_t begin = head[6] == 1 ? 10 : 12;
  if (head[6] < 1 || head[6] > 3)
    return duel_fail(DUEL_ERR_DATA, "%s is of NPY version %d; 1 to 3 are read", path, head[6]);
  size_t length = (size_t)head[8] | (size_t)head[9] << 8;
  if (begin == 12 && n >= 12) length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
  if (length > MOST_HEADER)
    return duel_fail(DUEL_ERR_DATA, "%s says that its header takes %zu bytes; at most %d are read", path, length,
                     MOST_HEADER);
  if (n < begin + length) return duel_fail(DUEL_ERR_DATA, "%s is cut short: it ends within its header", path);
  h->at = (const char *)head + begin;
  h->end = h->at + length;
  *offset = (int64_t)(begin + length);
  return take_header(h) ? DUEL_OK : duel_fail(DUEL_ERR_DATA, "%s: its NPY header is not as numpy.save writes it", path);
}

// ---- what is read

// What is wrong, and the line that saves it as it is read here.
static duel_status save_again(const char *path, const char *wrong, const char *load, const char *expression) {
  return duel_fail(DUEL_ERR_DATA,
                   "%s %s: save it again, with python3 -c \"import numpy as n; x = n.load('%s'%s); n.save('fixed.npy', "
                   "%s)\"",
                   path, wrong, path, load, expression);
}

static int64_t side_of(int64_t area) { // of a square; 0: it is none
  int64_t side = 0;
  while (side * side < area && side < 1 << 15) side++;
  return side * side == area ? side : 0;
}

static duel_status refuse_layout(const duel_records *r, const header *h, const char *path) {
  char wrong[256], how[96] = "x.reshape(-1, HEIGHT, WIDTH)";
  const int64_t *d = h->dim;
  const duel_shape shape = duel_shape_of(h->rank < DUEL_MAX_RANK ? h->rank : DUEL_MAX_RANK, d);
  const int64_t grey = h->rank == 2 ? side_of(d[1]) : 0, color = h->rank == 2 && d[1] % 3 == 0 ? side_of(d[1] / 3) : 0;
  snprintf(wrong, sizeof wrong, "holds %s values; images are N×H×W, N×H×W×C or N×C×H×W with C 1, 3 or 4%s",
           duel_shape_text(shape), r->is_float ? ", points N×size" : "");
  if (grey)
    snprintf(how, sizeof how, "x.reshape(-1, %lld, %lld)", (long long)grey, (long long)grey);
  else if (color)
    snprintf(how, sizeof how, "x.reshape(-1, 3, %lld, %lld)", (long long)color, (long long)color);
  else if (h->rank == 3)
    return save_again(path, "may be one picture H×W×C, or N×H×W (then x[:, None] is clear)", "", "x[None]");
  else if (h->rank == 4 && (d[2] == 1 || d[2] == 3))
    snprintf(how, sizeof how, "x.transpose(3, 0, 1, 2)"); // as MATLAB has it
  else if (h->rank == 4)
    snprintf(how, sizeof how, "x[:, :3] or x[..., :3]");
  else if (h->rank > 4)
    snprintf(how, sizeof how, "x.reshape(-1, *x.shape[%d:])", h->rank - 3);
  return save_again(path, wrong, "", how);
}

// Which of the dimensions are what: see records.h.
static duel_status take_layout(duel_records *r, const header *h, const char *path) {
  const int64_t *d = h->dim;
  r->items = d[0];
  if (h->rank == 2 && r->is_float) {
    r->rank = 1;
    r->dim[0] = d[1];
    return DUEL_OK;
  }
  r->rank = 3;
  r->dim[0] = 1;
  if (h->rank == 3 && !((d[2] == 3 || d[2] == 4) && d[0] > 4 && d[1] > 4)) { // else one picture H×W×C, perhaps
    r->dim[1] = d[1];
    r->dim[2] = d[2];
    return DUEL_OK;
  }
  bool first = h->rank == 4 && (d[1] == 1 || d[1] == 3), last = h->rank == 4 && (d[3] == 1 || d[3] == 3);
  if (h->rank == 4 && !first && !last) { // RGBA, unless it looks like MATLAB's order
    first = d[1] == 4 && d[2] != 1 && d[2] != 3;
    last = d[3] == 4;
  }
  if (!first && !last) return refuse_layout(r, h, path);
  r->channels_last = !first;
  for (int i = 0; i < 3; i++) r->dim[i] = first ? d[1 + i] : d[1 + (i + 2) % 3];
  return DUEL_OK;
}

static duel_status refuse_type(const header *h, const char *path) {
  const char *type = h->descr + 1;
  char wrong[128];
  snprintf(wrong, sizeof wrong, "holds %.12s values, and bytes ('|u1'), bool and floats are read", h->descr);
  if (type[0] == 'O' && h->rank == 0)
    return duel_fail(DUEL_ERR_DATA,
                     "%s holds one Python object, such as a dict: save the array of images in it; python3 -c \"import "
                     "numpy as n; print(n.load('%s', allow_pickle=True).item())\" shows it",
                     path, path);
  if (type[0] == 'O')
    return save_again(path, "holds Python objects, which are pickled", ", allow_pickle=True", "n.stack(list(x))");
  if (!strcmp(type, "u2")) return save_again(path, wrong, "", "(x / 257).round().astype('uint8')");
  if (type[0] == 'i' || type[0] == 'u') return save_again(path, wrong, "", "x.astype('uint8')");
  if (type[0] == 'f') return save_again(path, wrong, "", "x.astype('float32')");
  if (type[0] == 'c') return save_again(path, wrong, "", "n.abs(x).astype('float32')");
  return duel_fail(DUEL_ERR_DATA, "%s %s: it holds no pictures", path, wrong);
}

static bool take_type(duel_records *r, const char *descr) {
  static const struct {
    const char *descr; // '<' and '>' by r->big_endian; '|' where the order says nothing
    duel_number number;
  } types[] = {{"u1", DUEL_NUMBER_U8},
               {"b1", DUEL_NUMBER_BOOL},
               {"f2", DUEL_NUMBER_F16},
               {"f4", DUEL_NUMBER_F32},
               {"f8", DUEL_NUMBER_F64}};
  for (size_t i = 0; descr[0] && i < sizeof types / sizeof *types; i++) {
    if (strcmp(descr + 1, types[i].descr) || !strchr(types[i].descr[1] == '1' ? "<>|" : "<>", descr[0])) continue;
    r->number = types[i].number;
    r->is_float = types[i].number >= DUEL_NUMBER_F16;
    r->big_endian = descr[0] == '>';
    return true;
  }
  return false;
}

duel_status duel_npy_records(duel_records *r, const char *path, const uint8_t *head, size_t n, int64_t size) {
  header h = {0};
  *r = (duel_records){0};
  DUEL_TRY(find_header(&h, path, head, n, &r->offset));
  if (!take_type(r, h.descr)) return refuse_type(&h, path);
  if (h.fortran && h.rank > 1) return save_again(path, "is in Fortran's order", "", "n.ascontiguousarray(x)");
  DUEL_TRY(take_layout(r, &h, path));
  return duel_records_check(r, path, size);
}

// ---- labels

duel_status duel_npy_labels(duel_npy_numbers *l, const char *path, const uint8_t *head, size_t n, int64_t size) {
  header h = {0};
  *l = (duel_npy_numbers){.items = 0};
  DUEL_TRY(find_header(&h, path, head, n, &l->offset));
  const char *type = h.descr[0] ? h.descr + 1 : "";
  const bool whole =
      (type[0] == 'u' || type[0] == 'i' || type[0] == 'b') && type[1] && strchr("1248", type[1]) && !type[2];
  if (!whole || h.rank < 1 || h.rank > 2 || (h.rank == 2 && h.dim[1] != 1))
    return duel_fail(DUEL_ERR_DATA, "%s holds no labels: they are whole numbers, N or N×1", path);
  l->items = h.dim[0];
  l->width = type[1] - '0';
  l->is_signed = type[0] == 'i';
  l->big_endian = h.descr[0] == '>';
  if (l->items < 1 || l->items > INT32_MAX || size - l->offset != l->items * l->width)
    return duel_fail(DUEL_ERR_DATA, "%s: %lld labels of %d bytes do not fit its %lld bytes", path, (long long)l->items,
                     l->width, (long long)size);
  return DUEL_OK;
}

duel_status duel_npy_take_labels(const duel_npy_numbers *l, const char *path, uint8_t *bytes) {
  for (int64_t i = 0; i < l->items; i++) {
    const uint8_t *at = bytes + l->offset + i * l->width;
    uint64_t value = 0;
    for (int k = 0; k < l->width; k++) value |= (uint64_t)at[k] << 8 * (l->big_endian ? l->width - 1 - k : k);
    if (value > 255) return duel_fail(DUEL_ERR_DATA, "%s: label %lld is not from 0 to 255", path, (long long)i);
    bytes[i] = (uint8_t)value;
  }
  return DUEL_OK;
}
