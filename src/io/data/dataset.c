// Data sets: from a spec to values in memory or in a cache file. Invariant: the same items have the same bytes, labels
// and fingerprint, whether they come from the source or its cache, and wherever they lie.
#include "io/data/dataset.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/host.h"
#include "base/mem.h"
#include "io/data/opened.h"
#include "io/data/synthetic.h"

enum { JOB_BYTES = 1 << 20 };

// ---- what a source says of a set

static duel_status describe_source(duel_opened *o, const duel_source *s) {
  duel_dataset *d = &o->set;
  d->name = duel_strdup(s->found.name);
  if (!d->name) return duel_fail_memory(s->found.name, sizeof s->found.name);
  d->items = s->items;
  d->rank = s->rank;
  memcpy(d->dim, s->dim, sizeof d->dim);
  d->item_count = s->count;
  d->is_float = s->is_float;
  d->classes = s->classes;
  if (!s->labeled) return DUEL_OK;
  o->label_block = d->labels = duel_calloc((size_t)d->items, 1);
  if (!d->labels) return duel_fail_memory(s->found.name, (size_t)d->items);
  if (s->labels) memcpy(d->labels, s->labels, (size_t)d->items);
  return DUEL_OK;
}

// ---- fetching all items, on threads: into memory, or into a draft

typedef struct filling {
  duel_source *source; // or the cache:
  const duel_cache *cache;
  const duel_dataset *set;
  int64_t per_job;
  uint8_t *values;         // memory, or NULL
  const duel_draft *draft; // a file, or NULL
  uint8_t *room;           // per_job items for each thread, where there is no memory
  uint32_t *item_crc;      // written (source) or checked (cache)
  const char *what;
} filling;

static duel_status fill_job(void *ctx, int worker, int64_t job) {
  const filling *f = ctx;
  const duel_dataset *d = f->set;
  const int64_t bytes = duel_dataset_item_bytes(d), first = job * f->per_job;
  const int64_t n = d->items - first < f->per_job ? d->items - first : f->per_job;
  uint8_t *dst = f->values ? f->values + first * bytes : f->room + worker * f->per_job * bytes;
  if (f->cache) {
    const int64_t at = DUEL_CACHE_VALUES + first * bytes;
    DUEL_TRY(duel_file_read_at(f->cache->fd, f->cache->path, dst, (size_t)(n * bytes), at));
    for (int64_t i = 0; i < n; i++)
      if (duel_crc32c(0, dst + i * bytes, (size_t)bytes) != f->cache->item_crc[first + i])
        return duel_fail(DUEL_ERR_DATA, "%s is damaged in item %lld", f->cache->path, (long long)(first + i));
    return DUEL_OK;
  }
  DUEL_TRY(duel_source_fetch(f->source, worker, first, n, dst, d->labels ? d->labels + first : NULL));
  for (int64_t i = 0; f->item_crc && i < n; i++)
    f->item_crc[first + i] = duel_crc32c(0, dst + i * bytes, (size_t)bytes);
  return f->draft ? duel_draft_put(f->draft, dst, (size_t)(n * bytes), DUEL_CACHE_VALUES + first * bytes) : DUEL_OK;
}

typedef struct telling {
  const duel_dataset_options *options;
  const filling *fill;
} telling;

static void tell(void *ctx, int64_t done, int64_t n) {
  const telling *t = ctx;
  const int64_t items = done * t->fill->per_job, all = t->fill->set->items;
  if (t->options->progress) t->options->progress(t->options->ctx, t->fill->what, done < n ? items : all, all);
}

static duel_status fill_all(filling *f, const duel_dataset_options *o, int threads) {
  const int64_t bytes = duel_dataset_item_bytes(f->set);
  const bool one_by_one = f->source && f->source->found.pictures;
  f->per_job = one_by_one || bytes > JOB_BYTES ? 1 : JOB_BYTES / bytes;
  telling t = {o, f};
  duel_jobs jobs = {.n = (f->set->items + f->per_job - 1) / f->per_job, .work = fill_job, .ctx = f};
  jobs.threads = duel_jobs_threads(threads, jobs.n);
  if (f->what) {
    jobs.tell = tell;
    jobs.tell_ctx = &t;
  }
  if (!f->values) {
    const size_t room = (size_t)(jobs.threads * f->per_job * bytes);
    f->room = duel_malloc(room);
    if (!f->room) return duel_fail_memory("the cache", room);
  }
  duel_status status = duel_jobs_run(&jobs);
  duel_free(f->room);
  return status;
}

static duel_status need_values(duel_opened *o) {
  const size_t bytes = (size_t)(o->set.items * duel_dataset_item_bytes(&o->set));
  DUEL_TRY(duel_host_room(o->set.name, (double)bytes, "lower run.data_memory, and they are read from a file"));
  o->value_block = o->set.values = duel_malloc(bytes);
  return o->value_block ? DUEL_OK : duel_fail_memory(o->set.name, bytes);
}

static bool fits_memory(const duel_dataset *d, const duel_dataset_options *o) {
  return o->memory <= 0 || d->items <= o->memory / (duel_dataset_item_bytes(d) * (o->mirror ? 2 : 1));
}

// ---- from the cache

static void forget(duel_opened *o) {
  duel_free(o->set.name);
  duel_free(o->value_block);
  duel_free(o->label_block);
  duel_free(o->place);
  duel_pool_close(&o->pool);
  duel_cache_close(&o->cache);
  *o = (duel_opened){.cache.fd = -1};
}

// By the items' checksums.
static void take_fingerprint(duel_opened *o, const duel_source *s, const uint32_t *item_crc) {
  duel_dataset older = o->set;
  older.labels = s->pictures.counted;
  o->set.fingerprint = duel_dataset_fingerprint_of(&o->set, item_crc);
  if (older.labels) o->set.older = duel_dataset_fingerprint_of(&older, item_crc);
}

// Labels of pictures follow from names, and not from the version that wrote the cache.
static duel_status take_labels(duel_opened *o, const duel_source *s) {
  duel_dataset *d = &o->cache.set;
  if (d->items != s->items) return duel_fail(DUEL_ERR_DATA, "it holds other pictures");
  duel_free(d->labels);
  d->classes = s->classes;
  d->labels = s->labels ? duel_malloc((size_t)d->items) : NULL;
  if (!s->labels) return DUEL_OK;
  if (!d->labels) return duel_fail_memory(s->found.name, (size_t)d->items);
  memcpy(d->labels, s->labels, (size_t)d->items);
  return DUEL_OK;
}

// The cache c becomes the set. DATA if a value is damaged.
static duel_status adopt(duel_opened *o, duel_cache *c, const duel_source *s) {
  const char *name = s->found.name;
  o->cache = *c;
  *c = (duel_cache){.fd = -1};
  if (s->found.pictures) DUEL_TRY(take_labels(o, s));
  o->set = o->cache.set;
  o->set.name = duel_strdup(name);
  if (!o->set.name) return duel_fail_memory(name, strlen(name));
  if (s->found.pictures) take_fingerprint(o, s, o->cache.item_crc);
  if (!fits_memory(&o->set, s->options)) return DUEL_OK;
  DUEL_TRY(need_values(o));
  filling f = {.cache = &o->cache, .set = &o->set, .values = o->value_block};
  DUEL_TRY(fill_all(&f, s->options, s->options->threads));
  o->label_block = o->cache.set.labels;
  o->cache.set.labels = NULL;
  duel_cache_close(&o->cache);
  return DUEL_OK;
}

// *used: there was one.
static duel_status use_cache(duel_opened *o, duel_source *s, const duel_cache_place *place, bool *used) {
  const char *const path[2] = {place->beside, place->home};
  *used = false;
  for (int i = 0; i < 2 && !*used; i++) {
    duel_cache c;
    const char *why;
    DUEL_TRY(duel_cache_open(&c, path[i], s, &why));
    if (c.fd >= 0) {
      duel_status status = duel_source_drop(s, c.dropped, c.n_dropped);
      if (status == DUEL_OK) status = adopt(o, &c, s);
      *used = status == DUEL_OK;
      if (*used) break;
      duel_cache_close(&c);
      if (status == DUEL_ERR_DEVICE) return status;
      forget(o);
      duel_clear_error();
      why = "is damaged";
    }
    if (!why) continue;
    duel_data_note(s->options, "the cache %s %s and is made anew", path[i], why);
  }
  return DUEL_OK;
}

// ---- from the source

// Pictures that turned out bad fall out of values, checksums and labels, or are an error.
static duel_status settle(duel_opened *o, duel_source *s, const duel_draft *draft, uint32_t *item_crc) {
  duel_dataset *d = &o->set;
  const int64_t bytes = duel_dataset_item_bytes(d);
  int64_t kept = 0;
  uint8_t *room = draft ? duel_malloc((size_t)bytes) : NULL;
  duel_status status = draft && !room ? duel_fail_memory(d->name, (size_t)bytes) : DUEL_OK;
  for (int64_t i = 0; status == DUEL_OK && i < d->items; i++) {
    if (duel_source_is_bad(s, i)) continue;
    const int64_t from = i * bytes, to = kept * bytes;
    if (kept != i && draft) {
      status = duel_file_read_at(draft->fd, draft->path, room, (size_t)bytes, DUEL_CACHE_VALUES + from);
      if (status == DUEL_OK) status = duel_draft_put(draft, room, (size_t)bytes, DUEL_CACHE_VALUES + to);
    } else if (kept != i) {
      memcpy((uint8_t *)d->values + to, (const uint8_t *)d->values + from, (size_t)bytes);
    }
    item_crc[kept++] = item_crc[i];
  }
  duel_free(room);
  if (status == DUEL_OK) status = duel_source_settle(s);
  d->items = s->items;
  d->classes = s->classes;
  if (d->labels && s->labels) memcpy(d->labels, s->labels, (size_t)d->items);
  return status;
}

static duel_status write_cache(const duel_opened *o, const duel_source *s, const duel_cache_place *place,
                               const uint32_t *item_crc) {
  const duel_dataset *d = &o->set;
  char path[PATH_MAX];
  uint8_t page[DUEL_CACHE_VALUES], *tail;
  size_t n;
  DUEL_TRY(duel_cache_frame(d, item_crc, s, page, &tail, &n));
  const duel_part part[3] = {
      {page, sizeof page}, {d->values, (size_t)(d->items * duel_dataset_item_bytes(d))}, {tail, n}};
  duel_status status = duel_cache_write(place, path, part, 3);
  duel_free(tail);
  if (status == DUEL_OK) duel_data_note(s->options, "decoded pictures are kept in %s", path);
  return status;
}

// Pictures are decoded into memory, and then kept in a cache; that this fails is no error.
static duel_status decode(duel_opened *o, duel_source *s, const duel_cache_place *place) {
  DUEL_TRY(need_values(o));
  uint32_t *item_crc = duel_malloc((size_t)o->set.items * sizeof *item_crc);
  if (!item_crc) return duel_fail_memory(o->set.name, (size_t)o->set.items * sizeof *item_crc);
  filling f = {.source = s, .set = &o->set, .values = o->value_block, .item_crc = item_crc, .what = "Decoding"};
  duel_status status = fill_all(&f, s->options, s->threads);
  if (status == DUEL_OK) status = settle(o, s, NULL, item_crc);
  if (status == DUEL_OK) {
    take_fingerprint(o, s, item_crc);
    if (write_cache(o, s, place, item_crc) != DUEL_OK) {
      duel_data_note(s->options, "the pictures of %s are decoded anew each time: %s", s->found.files.root,
                     duel_last_error());
      duel_clear_error();
    }
  }
  duel_free(item_crc);
  return status;
}

// A file that was inflated into memory stays where it is; other records are read.
static duel_status read_records(duel_opened *o, duel_source *s) {
  const duel_records *r = &s->records[0];
  duel_store *store = &s->store[0];
  duel_dataset *d = &o->set;
  if (store->block && s->found.n_files == 1 && !s->framed && duel_records_are_plain(r)) {
    const size_t used = (size_t)r->offset + (size_t)(d->items * d->item_count);
    o->value_block = store->block;
    store->block = NULL;
    if (d->items < r->items) { // give back what is not used; the address may change
      void *smaller = duel_realloc(o->value_block, used);
      if (!smaller) return duel_fail_memory(store->path, used);
      o->value_block = smaller;
    }
    d->values = (uint8_t *)o->value_block + r->offset;
  } else {
    DUEL_TRY(need_values(o));
    filling f = {.source = s, .set = d, .values = o->value_block};
    DUEL_TRY(fill_all(&f, s->options, s->threads));
  }
  d->fingerprint = duel_dataset_fingerprint(d);
  return DUEL_OK;
}

static duel_status fill_draft(duel_opened *o, duel_source *s, duel_draft *draft, uint32_t *item_crc) {
  duel_dataset *d = &o->set;
  filling f = {.source = s,
               .set = d,
               .draft = draft,
               .item_crc = item_crc,
               .what = s->found.pictures ? "Decoding" : "Writing the cache"};
  uint8_t page[DUEL_CACHE_VALUES], *tail;
  size_t n;
  DUEL_TRY(fill_all(&f, s->options, s->threads));
  DUEL_TRY(settle(o, s, draft, item_crc));
  const int64_t values = d->items * duel_dataset_item_bytes(d);
  take_fingerprint(o, s, item_crc);
  DUEL_TRY(duel_cache_frame(d, item_crc, s, page, &tail, &n));
  duel_status status = duel_draft_put(draft, page, sizeof page, 0);
  if (status == DUEL_OK) status = duel_draft_put(draft, tail, n, DUEL_CACHE_VALUES + values);
  duel_free(tail);
  if (status == DUEL_OK) status = duel_draft_cut(draft, DUEL_CACHE_VALUES + values + (int64_t)n);
  return status == DUEL_OK ? duel_draft_commit(draft) : status;
}

// What memory does not hold goes into the cache piece by piece, and stays there.
static duel_status spill(duel_opened *o, duel_source *s, const duel_cache_place *place) {
  const duel_dataset *d = &o->set;
  const size_t items = (size_t)d->items;
  char path[PATH_MAX];
  const size_t size = DUEL_CACHE_VALUES + items * ((size_t)duel_dataset_item_bytes(d) + (d->labels ? 5 : 4));
  duel_draft draft;
  uint32_t *item_crc = duel_malloc(items * sizeof *item_crc);
  if (!item_crc) return duel_fail_memory(d->name, items * sizeof *item_crc);
  duel_status status = duel_cache_begin(place, path, size, &draft);
  if (status != DUEL_OK) {
    duel_free(item_crc);
    return duel_context(status, "%s takes %.1f MiB, more than run.data_memory allows, and cannot be kept in a file",
                        d->name, (double)(d->items * duel_dataset_item_bytes(d)) / 1048576);
  }
  status = fill_draft(o, s, &draft, item_crc);
  duel_draft_drop(&draft);
  duel_free(item_crc);
  DUEL_TRY(status);
  duel_cache c;
  const char *why;
  forget(o);
  DUEL_TRY(duel_cache_open(&c, path, s, &why));
  if (c.fd < 0) return duel_fail(DUEL_ERR_IO, "the cache %s was just written and %s", path, why ? why : "is gone");
  duel_data_note(s->options, "data larger than memory may hold are read from %s", path);
  return adopt(o, &c, s);
}

static duel_status load(duel_opened *o, duel_source *s) {
  duel_cache_place place;
  bool used;
  duel_cache_find(&place, s);
  if (s->found.pictures) { // known without a look at them
    DUEL_TRY(use_cache(o, s, &place, &used));
    if (used) return DUEL_OK;
  }
  char folder[PATH_MAX];
  duel_folder_of(place.beside, folder);
  DUEL_TRY(duel_source_prepare(s, access(folder, W_OK | X_OK) == 0 ? folder : "/var/tmp"));
  DUEL_TRY(describe_source(o, s));
  if (fits_memory(&o->set, s->options)) return s->found.pictures ? decode(o, s, &place) : read_records(o, s);
  if (!s->found.pictures) {
    duel_opened fresh = {.cache.fd = -1};
    DUEL_TRY(use_cache(&fresh, s, &place, &used));
    if (used) {
      forget(o);
      *o = fresh;
      return DUEL_OK;
    }
  }
  return spill(o, s, &place);
}

// ---- opening

static duel_status make_synthetic(duel_opened *o, const char *name, const duel_dataset_options *options) {
  duel_dataset *d = &o->set;
  if (options->height || options->channels || options->transpose)
    return duel_fail(DUEL_ERR_USAGE,
                     "data.size, data.channels and data.transpose: synthetic:%s is made at a size of its own", name);
  duel_status status = duel_synthetic_fill(d, name, options->limit);
  o->value_block = d->values;
  o->label_block = d->labels;
  DUEL_TRY(status);
  d->fingerprint = duel_dataset_fingerprint(d);
  return DUEL_OK;
}

static duel_status keep_names(duel_opened *o, const duel_source *s) {
  const duel_pictures *p = &s->pictures;
  o->pictures = s->found.pictures;
  if (!p->class_name) return DUEL_OK;
  const char **name = duel_pool_alloc(&o->pool, (size_t)p->classes * sizeof *name);
  if (!name) return duel_fail_memory(o->set.name, (size_t)p->classes * sizeof *name);
  for (int64_t i = 0; i < p->classes; i++) {
    name[i] = duel_pool_text(&o->pool, p->class_name[i], strlen(p->class_name[i]));
    if (!name[i]) return duel_fail_memory(o->set.name, strlen(p->class_name[i]));
  }
  o->set.class_name = name;
  return DUEL_OK;
}

static duel_status fill(duel_opened *o, const char *spec, const duel_dataset_options *options) {
  static const char synthetic[] = "synthetic:";
  if (!strncmp(spec, synthetic, sizeof synthetic - 1)) return make_synthetic(o, spec + sizeof synthetic - 1, options);
  duel_source *s = duel_malloc(sizeof *s);
  if (!s) return duel_fail_memory(spec, sizeof *s);
  duel_status status = duel_source_open(s, spec, options);
  if (status == DUEL_OK) status = load(o, s);
  if (status == DUEL_OK) status = keep_names(o, s);
  duel_source_close(s);
  duel_free(s);
  return status;
}

duel_status duel_dataset_open_with(duel_dataset **d, const char *spec, const duel_dataset_options *options) {
  *d = NULL;
  if (!spec || !spec[0]) return duel_fail(DUEL_ERR_USAGE, "no data set is named");
  if (options->limit < 0)
    return duel_fail(DUEL_ERR_USAGE, "a limit of %lld items makes no sense", (long long)options->limit);
  duel_opened *o = duel_calloc(1, sizeof *o);
  if (!o) return duel_fail_memory(spec, sizeof *o);
  o->cache.fd = -1;
  duel_status s = fill(o, spec, options);
  if (s == DUEL_OK && options->mirror) s = duel_dataset_mirror(o);
  if (s == DUEL_OK) {
    o->spec = duel_pool_text(&o->pool, spec, strlen(spec));
    if (!o->spec) s = duel_fail_memory(spec, strlen(spec));
  }
  if (s != DUEL_OK) {
    duel_dataset_close(&o->set);
    return s;
  }
  *d = &o->set;
  return DUEL_OK;
}

duel_status duel_dataset_open(duel_dataset **d, const char *spec, int64_t limit) {
  return duel_dataset_open_with(d, spec, &(duel_dataset_options){.limit = limit});
}

void duel_dataset_close(duel_dataset *d) {
  if (!d) return;
  duel_opened *o = (duel_opened *)d; // its first member
  forget(o);
  duel_free(o);
}
