// safetensors: u64 little-endian N | N bytes of JSON | the tensors, without gaps.
//
// Our checksum is one more string of the metadata: CRC-32C over the N header bytes as they stand, but with that string
// 00000000, then over the tensors. It catches what the format itself cannot, a flipped bit in a value.
#include "io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values go to and from the file as they lie in memory");

enum { MOST_HEADER = 16 << 20, MOST_TENSORS = 1 << 20, MOST_RANK = 8, CRC_DIGITS = 8 };
static const size_t most_bytes = (size_t)1 << 36;

static const struct { // in the reference's order of increasing alignment
  const char *name;
  duel_dtype dtype;
} dtypes[] = {{"U8", DUEL_U8}, {"BF16", DUEL_BF16}, {"I32", DUEL_I32}, {"F32", DUEL_F32}, {"F64", DUEL_F64}};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

static int dtype_order(duel_dtype dtype) {
  int i = DTYPES - 1;
  while (i > 0 && dtypes[i].dtype != dtype) i--;
  return i;
}

// Bytes of a tensor of that shape; false where they overflow or a dim is negative.
static int tensor_bytes(const duel_entry *e, uint64_t *bytes) {
  *bytes = duel_dtype_size(e->dtype);
  for (int i = 0; i < e->rank; i++)
    if (e->dim[i] < 0 || __builtin_mul_overflow(*bytes, (uint64_t)e->dim[i], bytes)) return 0;
  return 1;
}

// A name as it may stand in a file: UTF-8 without control characters.
static int is_plain_text(const char *s) {
  for (size_t left = strlen(s); left > 0;) {
    int n = duel_utf8_length(s, left);
    if (n == 0 || (unsigned char)*s < 0x20 || *s == 0x7F) return 0;
    s += n;
    left -= (size_t)n;
  }
  return 1;
}

// ---- writing

// Yields where the checksum's digits stand.
static size_t put_header(duel_json_writer *w, const duel_entry *const *entry, int n, const duel_meta *meta,
                         int n_meta) {
  duel_json_object(w, NULL);
  duel_json_object(w, "__metadata__");
  for (int i = 0; i < n_meta; i++) duel_json_text(w, meta[i].key, meta[i].value);
  duel_json_text(w, "crc32c", "00000000");
  const size_t crc_at = w->length - 9; // eight digits and a quote
  duel_json_end(w);
  uint64_t begin = 0;
  for (int i = 0; i < n; i++) {
    const duel_entry *e = entry[i];
    duel_json_object(w, e->name);
    duel_json_text(w, "dtype", dtypes[dtype_order(e->dtype)].name);
    duel_json_array(w, "shape");
    for (int k = 0; k < e->rank; k++) duel_json_integer(w, NULL, e->dim[k]);
    duel_json_end(w);
    duel_json_array(w, "data_offsets");
    duel_json_unsigned(w, NULL, begin);
    duel_json_unsigned(w, NULL, begin += e->bytes);
    duel_json_end(w);
    duel_json_end(w);
  }
  duel_json_end(w);
  return crc_at;
}

static int by_dtype_then_name(const void *a, const void *b) {
  const duel_entry *x = *(const duel_entry *const *)a, *y = *(const duel_entry *const *)b;
  int order = dtype_order(y->dtype) - dtype_order(x->dtype);
  return order ? order : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(const duel_entry *const *)a)->name, (*(const duel_entry *const *)b)->name);
}

// The entries are sorted by name: equal ones are neighbors.
static duel_status check_entries(const char *path, const duel_entry *const *entry, int n) {
  for (int i = 0; i < n; i++) {
    const duel_entry *e = entry[i];
    uint64_t bytes;
    if (!is_plain_text(e->name) || !strcmp(e->name, "__metadata__") || e->rank < 0 || e->rank > MOST_RANK ||
        !tensor_bytes(e, &bytes) || bytes != e->bytes)
      return duel_fail(DUEL_ERR_INTERNAL, "%s: tensor %s cannot be written: its name, shape or size is wrong", path,
                       e->name);
    if (i > 0 && !strcmp(entry[i - 1]->name, e->name))
      return duel_fail(DUEL_ERR_INTERNAL, "%s: two tensors are named %s", path, e->name);
  }
  return DUEL_OK;
}

static duel_status write_sorted(const char *path, const duel_entry **entry, duel_part *part, int n,
                                const duel_meta *meta, int n_meta) {
  qsort(entry, (size_t)n, sizeof *entry, by_name);
  DUEL_TRY(check_entries(path, entry, n));
  qsort(entry, (size_t)n, sizeof *entry, by_dtype_then_name);
  duel_json_writer measure = {0};
  put_header(&measure, entry, n, meta, n_meta);
  size_t padded = (8 + measure.length + 63) / 64 * 64; // the tensors begin at a multiple of 64
  if (padded > MOST_HEADER) return duel_fail(DUEL_ERR_INTERNAL, "%s: a header of %zu bytes", path, padded);
  char *header = duel_malloc(padded + 1);
  if (!header) return duel_fail_memory(path, padded + 1);
  for (int i = 0; i < 8; i++) header[i] = (char)((padded - 8) >> 8 * i);
  duel_json_writer w = {.dst = header + 8, .room = measure.length + 1};
  size_t crc_at = 8 + put_header(&w, entry, n, meta, n_meta);
  memset(header + 8 + w.length, ' ', padded - 8 - w.length);
  uint32_t crc = duel_crc32c(0, header + 8, padded - 8);
  part[0] = (duel_part){header, padded};
  for (int i = 0; i < n; i++) {
    crc = duel_crc32c(crc, entry[i]->data, entry[i]->bytes);
    part[i + 1] = (duel_part){entry[i]->data, entry[i]->bytes};
  }
  char digits[CRC_DIGITS + 1];
  snprintf(digits, sizeof digits, "%08x", crc);
  memcpy(header + crc_at, digits, CRC_DIGITS);
  duel_status s = duel_file_write_parts(path, part, n + 1);
  duel_free(header);
  return s;
}

duel_status duel_tensors_write(const char *path, const duel_entry *entry, int n, const duel_meta *meta, int n_meta) {
  const duel_entry **sorted = duel_calloc((size_t)n + 1, sizeof *sorted);
  duel_part *part = duel_calloc((size_t)n + 1, sizeof *part);
  duel_status s = sorted && part ? DUEL_OK : duel_fail_memory(path, ((size_t)n + 1) * sizeof *part);
  if (s == DUEL_OK) {
    for (int i = 0; i < n; i++) sorted[i] = entry + i;
    s = write_sorted(path, sorted, part, n, meta, n_meta);
  }
  duel_free(part);
  duel_free(sorted);
  return s;
}

// ---- reading

static duel_status read_entry(duel_entry *e, const char *path, const duel_json *m, const uint8_t *buffer, size_t size) {
  const duel_json *dtype = duel_json_get(m, "dtype"), *shape = duel_json_get(m, "shape");
  const duel_json *offsets = duel_json_get(m, "data_offsets");
  if (!is_plain_text(m->key)) return duel_fail(DUEL_ERR_DATA, "%s: a tensor's name has control characters", path);
  if (!dtype || dtype->type != DUEL_JSON_STRING || !shape || shape->type != DUEL_JSON_ARRAY || !offsets ||
      offsets->type != DUEL_JSON_ARRAY || m->child->next->next->next)
    return duel_fail(DUEL_ERR_DATA, "%s: tensor %s needs dtype, shape and data_offsets and nothing else", path, m->key);
  int known = DTYPES - 1;
  while (known >= 0 && strcmp(dtypes[known].name, dtype->text) != 0) known--;
  if (known < 0)
    return duel_fail(DUEL_ERR_DATA, "%s: tensor %s is %.20s; F64, F32, I32, BF16 and U8 are read", path, m->key,
                     dtype->text);
  e->name = m->key;
  e->dtype = dtypes[known].dtype;
  for (const duel_json *d = shape->child; d; d = d->next) {
    if (!d->is_integer || d->integer < 0 || e->rank == MOST_RANK)
      return duel_fail(DUEL_ERR_DATA, "%s: tensor %s has no proper shape", path, m->key);
    e->dim[e->rank++] = d->integer;
  }
  const duel_json *begin = offsets->child, *end = begin ? begin->next : NULL;
  uint64_t bytes;
  if (!end || end->next || !begin->is_integer || !end->is_integer || begin->integer < 0 ||
      end->integer < begin->integer)
    return duel_fail(DUEL_ERR_DATA, "%s: tensor %s has no proper data_offsets", path, m->key);
  if ((uint64_t)end->integer > size)
    return duel_fail(DUEL_ERR_DATA, "%s is cut short: tensor %s ends at byte %lld of the data, which have %zu", path,
                     m->key, (long long)end->integer, size);
  if (!tensor_bytes(e, &bytes) || bytes != (uint64_t)(end->integer - begin->integer))
    return duel_fail(DUEL_ERR_DATA, "%s: tensor %s of shape and dtype given cannot have %lld bytes", path, m->key,
                     (long long)(end->integer - begin->integer));
  e->bytes = (size_t)bytes;
  e->data = buffer + begin->integer;
  return DUEL_OK;
}

static int by_place(const void *a, const void *b) {
  const duel_entry *x = a, *y = b;
  if (x->data != y->data) return x->data < y->data ? -1 : 1;
  return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name); // empty tensors first
}

// The tensors cover the buffer from its first to its last byte, each aligned to its type.
static duel_status check_cover(duel_tensor_file *f, const char *path, const uint8_t *buffer, size_t size) {
  const uint8_t *next = buffer;
  qsort(f->entry, (size_t)f->n, sizeof *f->entry, by_place);
  for (int i = 0; i < f->n; i++) {
    const duel_entry *e = f->entry + i;
    if ((const uint8_t *)e->data != next)
      return duel_fail(DUEL_ERR_DATA, "%s: tensor %s begins at byte %lld of the data, expected %lld", path, e->name,
                       (long long)((const uint8_t *)e->data - buffer), (long long)(next - buffer));
    if ((uintptr_t)e->data % duel_dtype_size(e->dtype) != 0)
      return duel_fail(DUEL_ERR_DATA, "%s: tensor %s is not aligned to its type", path, e->name);
    next += e->bytes;
  }
  if ((size_t)(next - buffer) != size)
    return duel_fail(DUEL_ERR_DATA, "%s holds %zu bytes of data, its tensors take %zu", path, size,
                     (size_t)(next - buffer));
  return DUEL_OK;
}

// The checksum's digits in the raw header. Nothing else there looks so: inside a string its quotes would be escaped,
// and no other object may have such a key with a string as value.
static const uint8_t *find_crc(const uint8_t *header, size_t n) {
  static const char key[] = "\"crc32c\":\"";
  const uint8_t *at = memmem(header, n, key, sizeof key - 1);
  return at && (size_t)(header + n - at) >= sizeof key - 1 + CRC_DIGITS ? at + sizeof key - 1 : NULL;
}

static duel_status check_crc(const duel_tensor_file *f, const char *path, const uint8_t *header, size_t n,
                             size_t size) {
  const char *stated = duel_tensors_meta(f, "crc32c");
  if (!stated) return DUEL_OK;
  const uint8_t *digits = find_crc(header, n);
  if (!digits || strlen(stated) != CRC_DIGITS || memcmp(digits, stated, CRC_DIGITS) != 0)
    return duel_fail(DUEL_ERR_DATA, "%s: its crc32c is not written as 8 hex digits", path);
  uint32_t crc = duel_crc32c(0, header, (size_t)(digits - header));
  crc = duel_crc32c(crc, "00000000", CRC_DIGITS);
  crc = duel_crc32c(crc, digits + CRC_DIGITS, (size_t)(header + n - digits) - CRC_DIGITS + size);
  char right[CRC_DIGITS + 1];
  snprintf(right, sizeof right, "%08x", crc);
  if (strcmp(right, stated) != 0)
    return duel_fail(DUEL_ERR_DATA,
                     "%s is corrupt: its checksum is %s, it says %.8s (a program that changes the tensors must drop "
                     "crc32c from the metadata)",
                     path, right, stated);
  return DUEL_OK;
}

// Entries and metadata in one block; their text stays in the header's tree.
static duel_status read_header(duel_tensor_file *f, const char *path, const uint8_t *buffer, size_t size) {
  const duel_json *metadata = duel_json_get(f->header, "__metadata__");
  size_t n = 0, n_meta = 0;
  if (metadata && metadata->type != DUEL_JSON_OBJECT)
    return duel_fail(DUEL_ERR_DATA, "%s: __metadata__ is no object", path);
  for (const duel_json *m = f->header->child; m; m = m->next) n += m != metadata;
  for (const duel_json *m = metadata ? metadata->child : NULL; m; m = m->next, n_meta++)
    if (m->type != DUEL_JSON_STRING) return duel_fail(DUEL_ERR_DATA, "%s: metadata %.100s is no string", path, m->key);
  if (n > MOST_TENSORS) return duel_fail(DUEL_ERR_DATA, "%s: %zu tensors are too many", path, n);
  size_t bytes = n * sizeof *f->entry + n_meta * sizeof *f->meta;
  f->entry = duel_calloc(1, bytes + 1);
  if (!f->entry) return duel_fail_memory(path, bytes);
  f->meta = (duel_meta *)(f->entry + n);
  for (const duel_json *m = f->header->child; m; m = m->next)
    if (m != metadata) DUEL_TRY(read_entry(f->entry + f->n++, path, m, buffer, size));
  for (const duel_json *m = metadata ? metadata->child : NULL; m; m = m->next)
    f->meta[f->n_meta++] = (duel_meta){m->key, m->text};
  return check_cover(f, path, buffer, size);
}

static duel_status parse(duel_tensor_file *f, const char *path, const uint8_t *bytes, size_t n) {
  uint64_t length = 0;
  if (n < 8) return duel_fail(DUEL_ERR_DATA, "%s is no safetensors file: it holds %zu bytes", path, n);
  for (int i = 0; i < 8; i++) length |= (uint64_t)bytes[i] << 8 * i;
  const uint8_t *header = bytes + 8;
  if (length > MOST_HEADER)
    return duel_fail(DUEL_ERR_DATA, "%s is no safetensors file: a header of %llu bytes is more than the %d allowed",
                     path, (unsigned long long)length, MOST_HEADER);
  if (length > n - 8)
    return duel_fail(DUEL_ERR_DATA, "%s is cut short: it holds %zu bytes, its header alone needs %llu", path, n,
                     (unsigned long long)length + 8);
  size_t text_length = length, size = n - 8 - length;
  while (text_length > 0 && header[text_length - 1] == ' ') text_length--;
  if (text_length < 2 || header[0] != '{' || header[text_length - 1] != '}')
    return duel_fail(DUEL_ERR_DATA, "%s is no safetensors file: its header is no JSON object", path);
  DUEL_TRY(duel_context(duel_json_parse(&f->header, (const char *)header, text_length), "%s", path));
  DUEL_TRY(read_header(f, path, header + length, size));
  return check_crc(f, path, header, length, size);
}

duel_status duel_tensors_parse(duel_tensor_file *f, const char *path, uint8_t *bytes, size_t n) {
  memset(f, 0, sizeof *f);
  f->bytes = bytes;
  duel_status s = parse(f, path, bytes, n);
  if (s != DUEL_OK) duel_tensors_close(f);
  return s;
}

duel_status duel_tensors_read(duel_tensor_file *f, const char *path) {
  uint8_t *bytes;
  size_t n;
  memset(f, 0, sizeof *f);
  DUEL_TRY(duel_file_read(path, most_bytes, &bytes, &n));
  return duel_tensors_parse(f, path, bytes, n);
}

void duel_tensors_close(duel_tensor_file *f) {
  duel_free(f->bytes);
  duel_free(f->entry);
  duel_free(f->header);
  memset(f, 0, sizeof *f);
}

const duel_entry *duel_tensors_find(const duel_tensor_file *f, const char *name) {
  for (int i = 0; i < f->n; i++)
    if (!strcmp(f->entry[i].name, name)) return f->entry + i;
  return NULL;
}

const char *duel_tensors_meta(const duel_tensor_file *f, const char *key) {
  for (int i = 0; i < f->n_meta; i++)
    if (!strcmp(f->meta[i].key, key)) return f->meta[i].value;
  return NULL;
}
