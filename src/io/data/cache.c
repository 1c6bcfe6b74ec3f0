// Cache files. Invariant: what duel_cache_open yields was checked whole but for the values, and those have a CRC each.
#include "io/data/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "cache files hold little-endian words");

typedef struct head {
  char magic[8]; // "DUELDATA"
  uint32_t version, crc;
  uint64_t key;
  int64_t items, dim[3], classes;
  uint32_t rank, is_float, has_labels, fingerprint;
  int64_t dropped;
  uint8_t zero[8];
} head;
_Static_assert(sizeof(head) == 96, "as cache.h says");

enum { VERSION = 2 }; // 2: pictures stand upright
static const char magic[8] = {'D', 'U', 'E', 'L', 'D', 'A', 'T', 'A'};

// ---- places

void duel_cache_find(duel_cache_place *place, const duel_source *source) {
  const duel_dataset_options *o = source->options;
  const duel_found *f = &source->found;
  const bool in_zip = f->files.zip != NULL, in_folder = f->pictures && !in_zip;
  const char *what = in_zip || in_folder ? f->path : f->file[0].path, *slash = strrchr(what, '/'), *below = "";
  char options[128], real[PATH_MAX];
  snprintf(options, sizeof options, "%lld %lldx%lld %d %d", (long long)o->limit, (long long)o->height,
           (long long)o->width, o->channels, o->stretch);
  uint64_t h = duel_hash(DUEL_HASH_START, options, strlen(options));
  if (o->transpose) h = duel_hash(h, "transposed", 10);
  if (in_zip) below = (f->pictures ? f->files.root : f->file[0].path) + strlen(f->path);
  h = duel_hash(h, below, strlen(below));
  int n;
  if (in_folder)
    n = snprintf(place->beside, PATH_MAX, "%s/.duel-%08x.cache", what, (unsigned)(h ^ h >> 32));
  else
    n = snprintf(place->beside, PATH_MAX, "%.*s.%s.duel-%08x.cache", slash ? (int)(slash + 1 - what) : 0, what,
                 slash ? slash + 1 : what, (unsigned)(h ^ h >> 32));
  if (n >= PATH_MAX) place->beside[0] = 0;
  const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (!realpath(what, real)) snprintf(real, sizeof real, "%s", what);
  const unsigned long long whole = duel_hash(h, real, strlen(real));
  place->home[0] = 0;
  if (xdg && xdg[0] == '/')
    n = snprintf(place->home, PATH_MAX, "%s/duel/%s-%016llx.cache", xdg, f->name, whole);
  else if (home && home[0])
    n = snprintf(place->home, PATH_MAX, "%s/.cache/duel/%s-%016llx.cache", home, f->name, whole);
  if (n >= PATH_MAX) place->home[0] = 0;
}

typedef struct writing { // at once, or for a draft to begin with
  const duel_part *part;
  int n;
  size_t size;
  duel_draft *draft;
} writing;

static duel_status write_at(const writing *w, const char *path, const char *folder) {
  duel_file_sweep(folder);
  return w->draft ? duel_draft_begin(w->draft, path, w->size) : duel_file_write_parts(path, w->part, w->n);
}

static duel_status write_somewhere(const duel_cache_place *place, char path[PATH_MAX], const writing *w) {
  char folder[PATH_MAX], beside[PATH_MAX + 256] = "the data's folder cannot be written", home[PATH_MAX + 256];
  duel_folder_of(place->beside, folder);
  if (place->beside[0] && access(folder, W_OK | X_OK) == 0) {
    strcpy(path, place->beside);
    const duel_status status = write_at(w, path, folder);
    if (status != DUEL_ERR_IO) return status;
    snprintf(beside, sizeof beside, "%s", duel_last_error());
  }
  snprintf(home, sizeof home, "neither XDG_CACHE_HOME nor HOME is set");
  if (place->home[0]) {
    strcpy(path, place->home);
    duel_folder_of(path, folder);
    duel_status status = duel_make_folder(folder);
    if (status == DUEL_OK) status = write_at(w, path, folder);
    if (status != DUEL_ERR_IO) return status;
    snprintf(home, sizeof home, "%s", duel_last_error());
  }
  return duel_fail(DUEL_ERR_IO, "no place for a cache: %s; %s; let XDG_CACHE_HOME name a folder with room", beside,
                   home);
}

duel_status duel_cache_write(const duel_cache_place *place, char path[PATH_MAX], const duel_part *part, int n) {
  return write_somewhere(place, path, &(writing){.part = part, .n = n});
}

duel_status duel_cache_begin(const duel_cache_place *place, char path[PATH_MAX], size_t size, duel_draft *draft) {
  return write_somewhere(place, path, &(writing){.size = size, .draft = draft});
}

// ---- reading

static uint32_t crc_of(head h, const uint32_t *item_crc, const uint32_t *dropped, const uint8_t *labels) {
  h.crc = 0;
  uint32_t crc = duel_crc32c(0, &h, sizeof h);
  crc = duel_crc32c(crc, item_crc, (size_t)h.items * sizeof *item_crc);
  crc = duel_crc32c(crc, dropped, (size_t)h.dropped * sizeof *dropped);
  return labels ? duel_crc32c(crc, labels, (size_t)h.items) : crc;
}

static int64_t tail_bytes(const head *h) {
  return (4 + (int64_t)h->has_labels) * h->items + 4 * h->dropped;
}

// Whether the head makes sense, and says the file's size.
static bool fits(const head *h, int64_t size) {
  int64_t bytes = h->is_float ? 4 : 1;
  if (memcmp(h->magic, magic, sizeof magic) || h->items < 1 || h->items > INT32_MAX || h->is_float > 1 ||
      h->has_labels > 1 || (h->rank != 1 && h->rank != 3) || h->classes < 0 || h->classes > 256 || h->dropped < 0 ||
      h->dropped > INT32_MAX)
    return false;
  for (uint32_t i = 0; i < h->rank; i++)
    if (h->dim[i] < 1 || __builtin_mul_overflow(bytes, h->dim[i], &bytes)) return false;
  if (__builtin_mul_overflow(bytes, h->items, &bytes)) return false;
  const int64_t around = DUEL_CACHE_VALUES + tail_bytes(h);
  return bytes < INT64_MAX - around && size == bytes + around;
}

static duel_status read_tail(duel_cache *c, const head *h, int64_t size) {
  int64_t at = size - tail_bytes(h);
  const size_t n = (size_t)h->items, crcs = n * sizeof *c->item_crc, dropped = (size_t)h->dropped * sizeof *c->dropped;
  c->item_crc = duel_malloc(crcs);
  c->dropped = duel_malloc(dropped + 1);
  if (h->has_labels) c->set.labels = duel_malloc(n);
  if (!c->item_crc || !c->dropped || (h->has_labels && !c->set.labels)) return duel_fail_memory(c->path, 9 * n);
  DUEL_TRY(duel_file_read_at(c->fd, c->path, c->item_crc, crcs, at));
  DUEL_TRY(duel_file_read_at(c->fd, c->path, c->dropped, dropped, at += (int64_t)crcs));
  return c->set.labels ? duel_file_read_at(c->fd, c->path, c->set.labels, n, at + (int64_t)dropped) : DUEL_OK;
}

static duel_status open_cache(duel_cache *c, const duel_source *source, const char **why) {
  head h;
  int64_t size;
  DUEL_TRY(duel_file_open(c->path, &c->fd, &size));
  *why = "is damaged";
  if (size < (int64_t)sizeof h) return DUEL_ERR_DATA;
  DUEL_TRY(duel_file_read_at(c->fd, c->path, &h, sizeof h, 0));
  if (h.key != source->key || h.version != VERSION || (h.dropped > 0 && !source->options->skip_bad)) {
    *why = "is out of date";
    return DUEL_ERR_DATA;
  }
  if (!fits(&h, size)) return DUEL_ERR_DATA;
  DUEL_TRY(read_tail(c, &h, size));
  if (crc_of(h, c->item_crc, c->dropped, c->set.labels) != h.crc) return DUEL_ERR_DATA;
  *why = NULL;
  c->n_dropped = h.dropped;
  duel_dataset *d = &c->set;
  d->items = h.items;
  d->rank = (int)h.rank;
  memcpy(d->dim, h.dim, sizeof d->dim);
  d->item_count = 1;
  for (int i = 0; i < d->rank; i++) d->item_count *= d->dim[i];
  d->is_float = h.is_float;
  d->classes = h.classes;
  d->fingerprint = h.fingerprint;
  return DUEL_OK;
}

duel_status duel_cache_open(duel_cache *c, const char *path, const duel_source *source, const char **why) {
  *c = (duel_cache){.fd = -1};
  *why = NULL;
  if (!path[0] || access(path, F_OK) != 0) return DUEL_OK;
  snprintf(c->path, sizeof c->path, "%s", path);
  duel_status status = open_cache(c, source, why);
  if (status == DUEL_OK) return DUEL_OK;
  duel_cache_close(c);
  if (status == DUEL_ERR_DEVICE) return status;
  if (!*why) *why = "cannot be read";
  duel_clear_error();
  return DUEL_OK;
}

void duel_cache_close(duel_cache *c) {
  duel_file_close(c->fd);
  duel_free(c->item_crc);
  duel_free(c->dropped);
  duel_free(c->set.labels);
  *c = (duel_cache){.fd = -1};
}

// ---- writing

duel_status duel_cache_frame(const duel_dataset *d, const uint32_t *item_crc, const duel_source *source,
                             uint8_t page[DUEL_CACHE_VALUES], uint8_t **tail, size_t *n) {
  uint32_t *dropped;
  head h = {.version = VERSION,
            .key = source->key,
            .items = d->items,
            .classes = d->classes,
            .rank = (uint32_t)d->rank,
            .is_float = d->is_float,
            .has_labels = d->labels != NULL,
            .fingerprint = d->fingerprint};
  DUEL_TRY(duel_source_dropped(source, &dropped, &h.dropped));
  memcpy(h.magic, magic, sizeof magic);
  memcpy(h.dim, d->dim, sizeof h.dim);
  h.crc = crc_of(h, item_crc, dropped, d->labels);
  memset(page, 0, DUEL_CACHE_VALUES);
  memcpy(page, &h, sizeof h);
  const size_t crcs = 4 * (size_t)d->items, more = 4 * (size_t)h.dropped;
  *n = (size_t)tail_bytes(&h);
  *tail = duel_malloc(*n);
  if (*tail) {
    memcpy(*tail, item_crc, crcs);
    memcpy(*tail + crcs, dropped, more);
    if (d->labels) memcpy(*tail + crcs + more, d->labels, (size_t)d->items);
  }
  duel_free(dropped);
  return *tail ? DUEL_OK : duel_fail_memory("the cache", *n);
}
