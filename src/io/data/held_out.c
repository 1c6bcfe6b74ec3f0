// Test sets: found beside the training set, or taken out of it. Invariant: taking out allocates first, so that a set is
// either whole or narrowed.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/data/find.h"
#include "io/data/opened.h"
#include "io/data/pictures.h"

// ---- taking out

typedef struct split {
  int64_t items, held; // of the whole set, and how many go
  uint8_t *goes;       // [items]
} split;

// The last tenth, rounded up, of the order that no epoch has.
static duel_status choose(split *s, const duel_dataset *d, int64_t items) {
  *s = (split){.items = items, .held = (items + 9) / 10};
  if (s->held == s->items)
    return duel_fail(DUEL_ERR_DATA, "%s has 1 item, too few to take a test set out of it: name one (data.test)",
                     d->name);
  s->goes = duel_calloc((size_t)items, 1);
  int32_t *order = duel_malloc((size_t)items * sizeof *order);
  uint32_t *scratch = duel_malloc(3 * (size_t)items * sizeof *scratch);
  duel_status status = DUEL_OK;
  if (s->goes && order && scratch) {
    duel_data_order(0, UINT32_MAX, items, order, scratch);
    for (int64_t i = s->items - s->held; i < s->items; i++) s->goes[order[i]] = 1;
  } else {
    status = duel_fail_memory(d->name, 17 * (size_t)items);
  }
  duel_free(order);
  duel_free(scratch);
  return status;
}

// A cache of its own for the items that go: the same file once more.
static duel_status share_cache(duel_opened *t, duel_opened *o, const split *s) {
  const size_t held = (size_t)s->held, items = (size_t)s->items;
  memcpy(t->cache.path, o->cache.path, sizeof t->cache.path);
  t->cache.item_crc = duel_malloc(held * sizeof *t->cache.item_crc);
  t->place = duel_malloc(held * sizeof *t->place);
  if (!o->place) {
    o->place = duel_malloc(items * sizeof *o->place);
    for (int64_t i = 0; o->place && i < s->items; i++) o->place[i] = (int32_t)i;
  }
  if (!t->cache.item_crc || !t->place || !o->place) return duel_fail_memory(o->set.name, 8 * held + 4 * items);
  t->cache.fd = fcntl(o->cache.fd, F_DUPFD_CLOEXEC, 0);
  return t->cache.fd >= 0 ? DUEL_OK : duel_fail(DUEL_ERR_IO, "cannot open %s a second time", o->cache.path);
}

static duel_status make_room(duel_opened *t, duel_opened *o, const split *s) {
  const duel_dataset *d = &o->set;
  t->set = *d;
  t->set.items = s->held;
  t->set.values = t->set.labels = NULL;
  t->set.class_name = NULL;
  t->set.older = 0;
  t->set.name = duel_strdup(d->name);
  if (!t->set.name) return duel_fail_memory(d->name, strlen(d->name));
  if (d->labels) {
    t->label_block = t->set.labels = duel_malloc((size_t)s->held);
    if (!t->label_block) return duel_fail_memory(d->name, (size_t)s->held);
  }
  if (!d->values) return share_cache(t, o, s);
  const size_t bytes = (size_t)(s->held * duel_dataset_item_bytes(d));
  t->value_block = t->set.values = duel_malloc(bytes);
  return t->value_block ? DUEL_OK : duel_fail_memory(d->name, bytes);
}

static void move(duel_opened *to, int64_t at, const duel_opened *from, int64_t item) {
  const int64_t bytes = duel_dataset_item_bytes(&from->set);
  if (from->set.labels) to->set.labels[at] = from->set.labels[item];
  if (from->set.values) {
    memmove((uint8_t *)to->set.values + at * bytes, (const uint8_t *)from->set.values + item * bytes, (size_t)bytes);
    return;
  }
  to->place[at] = from->place[item];
  to->cache.item_crc[at] = from->cache.item_crc[item];
}

// Behind the items that are kept come their twins, if there are any. In a file these have no place of their own.
static void keep_twins(duel_opened *o, const split *s, int64_t kept) {
  int64_t at = kept;
  const int64_t bytes = duel_dataset_item_bytes(&o->set);
  for (int64_t i = 0; i < s->items; i++) {
    if (s->goes[i]) continue;
    const int64_t twin = s->items + i;
    if (o->set.labels) o->set.labels[at] = o->set.labels[twin];
    uint8_t *values = o->set.values;
    if (values) memmove(values + at * bytes, values + twin * bytes, (size_t)bytes);
    at++;
  }
}

static void take(duel_opened *t, duel_opened *o, const split *s) {
  int64_t kept = 0, gone = 0;
  for (int64_t i = 0; i < s->items; i++) {
    if (s->goes[i])
      move(t, gone++, o, i);
    else
      move(o, kept++, o, i);
  }
  if (o->mirrored) keep_twins(o, s, kept);
  o->set.items = o->mirrored ? 2 * kept : kept;
  t->set.fingerprint =
      t->set.values ? duel_dataset_fingerprint(&t->set) : duel_dataset_fingerprint_of(&t->set, t->cache.item_crc);
}

static duel_status take_out(duel_dataset **test, duel_opened *o) {
  split s;
  duel_opened *t = duel_calloc(1, sizeof *t);
  if (!t) return duel_fail_memory(o->set.name, sizeof *t);
  t->cache.fd = -1;
  duel_status status = choose(&s, &o->set, o->mirrored ? o->set.items / 2 : o->set.items);
  if (status == DUEL_OK) status = make_room(t, o, &s);
  if (status == DUEL_OK) {
    take(t, o, &s);
    *test = &t->set;
  } else {
    duel_dataset_close(&t->set);
  }
  duel_free(s.goes);
  return status;
}

// ---- two sets that must be alike

static const char *kind_of(const duel_dataset *d, char text[96]) {
  if (d->rank == 3)
    snprintf(text, 96, "images of %lld×%lld×%lld %s", (long long)d->dim[0], (long long)d->dim[1], (long long)d->dim[2],
             d->is_float ? "floats" : "bytes");
  else
    snprintf(text, 96, "points of %lld numbers", (long long)d->dim[0]);
  return text;
}

static duel_status compare_classes(const duel_dataset *test, const duel_dataset *data, const char *name) {
  if (test->classes > data->classes || (test->class_name && data->class_name && test->classes < data->classes))
    return duel_fail(DUEL_ERR_DATA, "the test set %s has %lld classes, the training set %s has %lld", name,
                     (long long)test->classes, data->name, (long long)data->classes);
  for (int64_t i = 0; test->class_name && data->class_name && i < data->classes; i++)
    if (strcmp(test->class_name[i], data->class_name[i]))
      return duel_fail(DUEL_ERR_DATA,
                       "class %lld of the test set %s is \"%s\", of the training set %s \"%s\": both need the same "
                       "folders of classes",
                       (long long)i, name, test->class_name[i], data->name, data->class_name[i]);
  return DUEL_OK;
}

static duel_status compare(duel_dataset *test, const duel_dataset *data, const char *name) {
  char a[96], b[96];
  if (test->rank != data->rank || test->is_float != data->is_float || memcmp(test->dim, data->dim, sizeof data->dim))
    return duel_fail(DUEL_ERR_DATA, "the test set %s holds %s, the training set %s %s%s", name, kind_of(test, a),
                     data->name, kind_of(data, b),
                     test->rank == 3 && data->rank == 3 ? ": set data.size and data.channels, which count for both"
                                                        : "");
  if (!data->labels) return DUEL_OK;
  if (!test->labels)
    return duel_fail(DUEL_ERR_DATA, "the test set %s has no labels, the training set %s has them", name, data->name);
  DUEL_TRY(compare_classes(test, data, name));
  test->classes = data->classes; // where they are counted by the labels that there are
  return DUEL_OK;
}

// ---- opening

static duel_status check_unmixed(const duel_opened *o) {
  int64_t train;
  if (!duel_classes_mixed(o->set.class_name, o->set.classes, &train)) return DUEL_OK;
  const char *name = o->set.class_name[train];
  return duel_fail(DUEL_ERR_DATA,
                   "the folders of %s are %s and its test set, no classes: name %s/%s as the data, and the one beside "
                   "it is found, or name it as data.test",
                   o->spec, name, o->spec, name);
}

duel_status duel_dataset_open_test(duel_dataset **test, duel_dataset *data, const char *name,
                                   const duel_dataset_options *options) {
  duel_opened *o = (duel_opened *)data;
  duel_dataset_options asked = *options;
  char path[PATH_MAX] = "";
  *test = NULL;
  asked.mirror = false;
  if (!name) {
    DUEL_TRY(check_unmixed(o));
    if (strncmp(o->spec, "synthetic:", 10)) DUEL_TRY(duel_find_test(path, o->spec));
    if (!path[0]) return take_out(test, o);
    name = path;
  }
  if (o->pictures && !asked.channels) asked.channels = (int)data->dim[0]; // gray ones may be all that there are
  DUEL_TRY(duel_context(duel_dataset_open_with(test, name, &asked), "the test set"));
  duel_status status = compare(*test, data, name);
  if (status == DUEL_OK) return DUEL_OK;
  duel_dataset_close(*test);
  *test = NULL;
  return status;
}

// ---- labels

duel_status duel_dataset_check_labels(const duel_dataset *d) {
  int64_t count[256] = {0}, present = 0, absent = -1;
  if (!d->labels)
    return duel_fail(DUEL_ERR_DATA,
                     "%s has no labels, and the recipe learns from them: an IDX images file needs its labels file "
                     "beside it, pictures a folder for each class (at most 256)",
                     d->name);
  for (int64_t i = 0; i < d->items; i++) count[d->labels[i]]++;
  for (int64_t i = d->classes - 1; i >= 0; i--) {
    present += count[i] > 0;
    if (!count[i]) absent = i;
  }
  if (present == 1)
    return duel_fail(DUEL_ERR_DATA, "%s has %lld item%s, all of one class: labels are of use with two classes or more",
                     d->name, (long long)d->items, d->items == 1 ? "" : "s");
  if (absent < 0) return DUEL_OK;
  return duel_fail(
      DUEL_ERR_DATA,
      "no item of %s is of class %lld%s%s%s, of %lld classes: labels count from 0 without gaps, and data.limit "
      "must leave items of each beside the test set's",
      d->name, (long long)absent, d->class_name ? " (" : "", d->class_name ? d->class_name[absent] : "",
      d->class_name ? ")" : "", (long long)d->classes);
}
