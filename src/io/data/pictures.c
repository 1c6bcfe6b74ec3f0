// Pictures. Invariant: a picture is bad for its content alone, so that the same ones are bad with any number of
// threads, in one run.
#include "io/data/pictures.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/team.h"
#include "io/picture.h"

enum { HEAD = 1 << 16, MOST_TOLD = 20 };
static const size_t most_of_picture = (size_t)1 << 30;

void duel_data_note(const duel_dataset_options *o, const char *fmt, ...) {
  char text[PATH_MAX + 4096];
  if (!o->note) return;
  va_list args;
  va_start(args, fmt);
  duel_vplain(text, sizeof text, fmt, args);
  va_end(args);
  o->note(o->ctx, text);
}

// ---- opening

static void tell_passed(const duel_pictures *p, const duel_found *found) {
  char list[2048];
  const int64_t n = duel_found_list(found, p->item, p->n, list, sizeof list);
  if (n > 0)
    duel_data_note(p->options, "passed over %lld file%s of %s that %s no picture%s: %s", (long long)n,
                   n == 1 ? "" : "s", p->files->root, n == 1 ? "is" : "are", n == 1 ? "" : "s", list);
}

duel_status duel_pictures_open(duel_pictures *p, duel_found *found, const duel_dataset_options *options) {
  *p = (duel_pictures){.options = options, .files = &found->files, .item = found->picture, .n = found->n};
  found->picture = NULL;
  found->n = 0;
  if (p->n > INT32_MAX) return duel_fail(DUEL_ERR_DATA, "%s holds 2^31 files or more", p->files->root);
  p->bad = duel_calloc((size_t)p->n, sizeof *p->bad);
  if (!p->bad) return duel_fail_memory(p->files->root, (size_t)p->n * sizeof *p->bad);
  DUEL_TRY(duel_classes_find(p, found));
  tell_passed(p, found);
  if (options->limit > 0 && options->limit < p->n) p->n = options->limit;
  p->all = p->n;
  return DUEL_OK;
}

void duel_pictures_close(duel_pictures *p) {
  for (int64_t i = 0; p->bad && i < p->all; i++) duel_free(p->bad[i]);
  duel_free(p->bad);
  duel_free(p->item);
  duel_free(p->number);
  duel_free(p->label);
  duel_free(p->counted);
  duel_pool_close(&p->pool);
  *p = (duel_pictures){.n = 0};
}

// ---- bad ones

// A failure of a picture: its own, which is kept, or the machine's.
static duel_status blame(duel_pictures *p, int64_t i, const char *path, duel_status status) {
  if (status == DUEL_OK || status == DUEL_ERR_DEVICE) return status;
  if (status == DUEL_ERR_IO && (p->files->zip || access(path, R_OK) == 0 || errno != EACCES)) return status;
  p->bad[i] = duel_strdup(duel_last_error());
  if (!p->bad[i]) return duel_fail_memory(path, strlen(duel_last_error()));
  duel_clear_error();
  return DUEL_OK;
}

static int64_t count_bad(const duel_pictures *p) {
  int64_t n = 0;
  for (int64_t i = 0; i < p->n; i++) n += p->bad[i] != NULL;
  return n;
}

// A line for each of the first ones, as long as there is room.
static void list_bad(duel_pictures *p) {
  for (int64_t i = 0; i < p->n; i++) {
    if (!p->bad[i] || p->listed++ >= MOST_TOLD) continue;
    p->list_length += (size_t)snprintf(p->list + p->list_length, sizeof p->list - p->list_length, DUEL_LINE "  %.*s",
                                       DUEL_BAD_LINE, p->bad[i]);
  }
}

static void list_more(duel_pictures *p) {
  if (p->listed > MOST_TOLD)
    snprintf(p->list + p->list_length, sizeof p->list - p->list_length, DUEL_LINE "  and %lld more",
             (long long)(p->listed - MOST_TOLD));
}

static duel_status drop(duel_pictures *p) {
  int64_t kept = 0;
  if (!p->number) {
    p->number = duel_malloc((size_t)p->n * sizeof *p->number);
    if (!p->number) return duel_fail_memory(p->files->root, (size_t)p->n * sizeof *p->number);
    for (int64_t i = 0; i < p->n; i++) p->number[i] = (uint32_t)i;
  }
  for (int64_t i = 0; i < p->n; i++) {
    if (p->bad[i]) continue;
    p->item[kept] = p->item[i];
    p->number[kept] = p->number[i];
    if (p->label) p->label[kept] = p->label[i];
    kept++;
  }
  for (int64_t i = 0; i < p->n; i++) {
    duel_free(p->bad[i]);
    p->bad[i] = NULL;
  }
  p->n = kept;
  return duel_classes_again(p);
}

// n bad ones end it all: there are no others, or they are not to be left out.
static duel_status refuse(duel_pictures *p, int64_t n) {
  const char *root = p->files->root;
  list_more(p);
  if (p->all == 1) return duel_fail(DUEL_ERR_DATA, "the only picture of %s is bad:%s", root, p->list);
  if (n == p->n)
    return duel_fail(DUEL_ERR_DATA, "all %lld pictures of %s are bad:%s", (long long)p->all, root, p->list);
  return duel_fail(DUEL_ERR_DATA,
                   "%lld of %lld pictures of %s %s bad:%s\nmend them or take them out; or train "
                   "without them, by data.on_bad=skip",
                   (long long)n, (long long)p->all, root, n == 1 ? "is" : "are", p->list);
}

static duel_status settle(duel_pictures *p) {
  const int64_t n = count_bad(p);
  if (n == 0) return DUEL_OK;
  list_bad(p);
  return n == p->n || !p->options->skip_bad ? refuse(p, n) : drop(p);
}

duel_status duel_pictures_settle(duel_pictures *p) {
  DUEL_TRY(settle(p));
  list_more(p);
  if (p->listed > 0)
    duel_data_note(p->options, "left out %lld of %lld pictures of %s, which %s bad:%s", (long long)p->listed,
                   (long long)p->all, p->files->root, p->listed == 1 ? "is" : "are", p->list);
  return DUEL_OK;
}

duel_status duel_pictures_drop(duel_pictures *p, const uint32_t *number, int64_t n) {
  for (int64_t k = 0; k < n; k++)
    if (p->n != p->all || number[k] >= p->n || (k > 0 && number[k] <= number[k - 1]) || n >= p->n)
      return duel_fail(DUEL_ERR_DATA, "no such picture");
  for (int64_t k = 0; k < n; k++) {
    p->bad[number[k]] = duel_strdup("");
    if (!p->bad[number[k]]) return duel_fail_memory(p->files->root, 1);
  }
  if (n > 0)
    duel_data_note(p->options, "left out %lld of %lld pictures of %s, which were bad when the cache was made",
                   (long long)n, (long long)p->all, p->files->root);
  return n > 0 ? drop(p) : DUEL_OK;
}

duel_status duel_pictures_dropped(const duel_pictures *p, uint32_t **number) {
  const size_t n = (size_t)(p->all - p->n);
  int64_t kept = 0, dropped = 0;
  *number = duel_malloc((n + 1) * sizeof **number);
  if (!*number) return duel_fail_memory("the cache", n * sizeof **number);
  for (int64_t i = 0; n > 0 && i < p->all; i++) {
    if (kept < p->n && p->number[kept] == i)
      kept++;
    else
      (*number)[dropped++] = (uint32_t)i;
  }
  return DUEL_OK;
}

// ---- looking through all headers

typedef struct looking {
  duel_pictures *p;
  duel_picture *picture; // [n]
  uint8_t *head;         // HEAD bytes for each thread
} looking;

static duel_status probe(duel_picture *picture, const duel_files *f, int64_t file, const char *path, uint8_t *head) {
  size_t n;
  bool more = false;
  DUEL_TRY(duel_files_head(f, file, head, HEAD, &n));
  DUEL_TRY(duel_picture_probe(picture, path, head, n, n < HEAD ? n : (size_t)f->file[file].size, &more));
  if (!more) return DUEL_OK;
  uint8_t *bytes; // a large preface, as cameras write it
  size_t all;
  DUEL_TRY(duel_files_read(f, file, most_of_picture, &bytes, &all));
  duel_status status = duel_picture_probe(picture, path, bytes, all, all, &more);
  duel_free(bytes);
  return status;
}

static duel_status look_at(void *ctx, int worker, int64_t i) {
  looking *l = ctx;
  char path[PATH_MAX];
  DUEL_TRY(duel_files_path(l->p->files, l->p->item[i], path));
  return blame(l->p, i, path, probe(&l->picture[i], l->p->files, l->p->item[i], path, l->head + worker * HEAD));
}

static duel_status decode(duel_pictures *p, int64_t i, char path[PATH_MAX], duel_picture *picture) {
  uint8_t *bytes;
  size_t n;
  *picture = (duel_picture){.pixels = NULL};
  DUEL_TRY(duel_files_path(p->files, p->item[i], path));
  DUEL_TRY(duel_files_read(p->files, p->item[i], most_of_picture, &bytes, &n));
  duel_status status = duel_picture_decode(picture, path, bytes, n, p->dim[0] == 4);
  duel_free(bytes);
  return status;
}

static duel_status try_one(void *ctx, int worker, int64_t i) {
  (void)worker;
  duel_pictures *p = ctx;
  char path[PATH_MAX];
  duel_picture picture;
  if (p->bad[i]) return DUEL_OK;
  duel_status status = decode(p, i, path, &picture);
  duel_free(picture.pixels);
  return blame(p, i, path, status);
}

static duel_status agree(duel_pictures *p, const duel_picture *picture) {
  const duel_dataset_options *o = p->options;
  int channels = 1;
  for (int64_t i = 0; i < p->n; i++) {
    const duel_picture *a = &picture[0], *b = &picture[i];
    if (b->channels == 3) channels = 3;
    if (o->height || (b->height == a->height && b->width == a->width)) continue;
    return duel_fail(DUEL_ERR_DATA,
                     "pictures of %s have different sizes: %s has %lld×%lld pixels (height×width), %s %lld×%lld; set "
                     "data.size, as in data.size=64 or data.size=[48,64] (height, width)",
                     p->files->root, p->files->file[p->item[0]].path, (long long)a->height, (long long)a->width,
                     p->files->file[p->item[i]].path, (long long)b->height, (long long)b->width);
  }
  p->dim[0] = o->channels ? o->channels : channels;
  p->dim[1] = o->height ? o->height : o->transpose ? picture[0].width : picture[0].height;
  p->dim[2] = o->height ? o->width : o->transpose ? picture[0].height : picture[0].width;
  return DUEL_OK;
}

static void tell_looking(void *ctx, int64_t done, int64_t n) {
  const duel_dataset_options *o = ((looking *)ctx)->p->options;
  if (o->progress) o->progress(o->ctx, "Reading headers", done, n);
}

static void tell_trying(void *ctx, int64_t done, int64_t n) {
  const duel_dataset_options *o = ((duel_pictures *)ctx)->options;
  if (o->progress) o->progress(o->ctx, "Looking for bad pictures", done, n);
}

static duel_status look(looking *l, int threads) {
  duel_pictures *p = l->p;
  const duel_jobs jobs = {
      .n = p->n, .threads = threads, .work = look_at, .ctx = l, .tell = tell_looking, .tell_ctx = l};
  DUEL_TRY(duel_jobs_run(&jobs));
  int64_t bad = count_bad(p), kept = 0;
  if (bad > 0 && bad < p->n && !p->options->skip_bad) { // the error names those that only decoding shows, too
    const duel_jobs trying = {
        .n = p->n, .threads = threads, .work = try_one, .ctx = p, .tell = tell_trying, .tell_ctx = p};
    DUEL_TRY(duel_jobs_run(&trying));
  }
  for (int64_t i = 0; i < p->n; i++)
    if (!p->bad[i]) l->picture[kept++] = l->picture[i];
  DUEL_TRY(settle(p));
  return agree(p, l->picture);
}

duel_status duel_pictures_look(duel_pictures *p, int threads) {
  const size_t bytes = (size_t)p->n * sizeof(duel_picture), room = (size_t)threads * HEAD;
  looking l = {.p = p, .picture = duel_calloc((size_t)p->n, sizeof *l.picture), .head = duel_malloc(room)};
  duel_status status = l.picture && l.head ? look(&l, threads) : duel_fail_memory(p->files->root, bytes + room);
  duel_free(l.picture);
  duel_free(l.head);
  return status;
}

// ---- fetching

static duel_status frame_one(const duel_picture *picture, const duel_dataset_options *o, const char *path,
                             const duel_frame *frame, duel_resampler *r, uint8_t *dst) {
  const int64_t along = picture->width * picture->channels, across = picture->channels;
  const duel_pixels pixels = {.at = picture->pixels,
                              .height = o->transpose ? picture->width : picture->height,
                              .width = o->transpose ? picture->height : picture->width,
                              .channels = picture->channels,
                              .channel_step = 1,
                              .row_step = o->transpose ? across : along,
                              .column_step = o->transpose ? along : across};
  if (!o->height && (pixels.height != frame->height || pixels.width != frame->width))
    return duel_fail(
        DUEL_ERR_DATA,
        "%s has %lld×%lld pixels (height×width), which its first bytes did not say: it changed while it was "
        "read, or EXIF behind its pixels turns it; set data.size",
        path, (long long)picture->height, (long long)picture->width);
  return duel_resample(r, dst, frame, &pixels);
}

duel_status duel_pictures_fetch(duel_pictures *p, int64_t i, const duel_frame *frame, duel_resampler *r, uint8_t *dst) {
  char path[PATH_MAX];
  duel_picture picture;
  duel_status status = decode(p, i, path, &picture);
  if (status == DUEL_OK) status = frame_one(&picture, p->options, path, frame, r, dst);
  duel_free(picture.pixels);
  return blame(p, i, path, status);
}
