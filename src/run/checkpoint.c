// A trainer's whole state as one safetensors file, and back.
//
// Tensors: NET.* (parameters and buffers), NET_ema.*, opt.NET.*.m and .v. Strings: everything else that a
// bit-exact resume needs. No clock, host or path goes in, so equal states are equal bytes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "run/trainer.h"

// ---- one list of (name, memory) serves saving and loading

typedef struct item {
  char name[160];
  duel_shape shape;
  int var;
  int64_t offset;  // elements into the variable
  char plain[160]; // of a moving average: its net's tensor; else empty
} item;

typedef struct items {
  duel_pool pool; // all of it lives here
  item *list;
  int n;
  void **copy; // host copies of the variables that the list names, NULL for others
} items;

static item *add_item(items *all, const duel_param *p, int var) {
  item *i = &all->list[all->n++];
  *i = (item){.shape = p->shape, .var = var, .offset = p->offset};
  snprintf(i->name, sizeof i->name, "%s", p->name);
  return i;
}

static void add_tensor(items *all, const char *net, const duel_model_net *own, const duel_param *p, bool full) {
  add_item(all, p, p->buffer ? p->var : own->slab);
  if (own->ema >= 0) {
    item *i = add_item(all, p, p->buffer ? p->ema_var : own->ema);
    snprintf(i->plain, sizeof i->plain, "%s", p->name);
    snprintf(i->name, sizeof i->name, "%s_ema%s", net, p->name + strlen(net));
  }
  for (int k = 0; k < DUEL_MAX_MOMENTS && full && !p->buffer; k++)
    if (own->moment[k] >= 0) {
      item *i = add_item(all, p, own->moment[k]);
      snprintf(i->name, sizeof i->name, "opt.%s.%c", p->name, "mv"[k]);
    }
}

// full: the moments too. The pool is to be closed, also on failure.
static duel_status list_items(const duel_trainer *t, bool full, items *all) {
  size_t most = 0;
  for (int net = 0; net < t->recipe->n_nets; net++) most += 4 * (size_t)t->model.net[net].n;
  *all = (items){.n = 0};
  all->list = duel_pool_alloc(&all->pool, most * sizeof *all->list);
  all->copy = duel_pool_alloc(&all->pool, (size_t)t->vars.n * sizeof *all->copy);
  if (!all->list || !all->copy) return duel_fail_memory("a checkpoint", most * sizeof *all->list);
  for (int net = 0; net < t->recipe->n_nets; net++) {
    const duel_model_net *own = &t->model.net[net];
    for (int i = 0; i < own->n; i++) add_tensor(all, t->recipe->net[net].name, own, &own->param[i], full);
  }
  for (int i = 0; i < all->n; i++) {
    void **copy = &all->copy[all->list[i].var];
    const size_t bytes = t->vars.var[all->list[i].var].bytes;
    if (!*copy) *copy = duel_pool_alloc(&all->pool, bytes);
    if (!*copy) return duel_fail_memory("a checkpoint", bytes);
  }
  return DUEL_OK;
}

static float *place_of(const items *all, const item *i) {
  return (float *)all->copy[i->var] + i->offset;
}

// ---- saving

// The recipe without its `run` section: threads and backend are no part of what is trained, and equal states must be
// equal bytes whatever they were. What is asked for as precision is kept beside it.
static char *portable_recipe(duel_pool *pool, const char *text) {
  char *copy = duel_pool_text(pool, text, strlen(text));
  if (!copy) return NULL;
  char *section = strncmp(copy, "run:", 4) ? strstr(copy, "\nrun:") : copy;
  if (!section) return copy;
  if (section != copy) section++;
  char *end = section;
  do { // to the next line that is not indented
    end += strcspn(end, "\n");
    if (*end) end++;
  } while (*end == ' ');
  memmove(section, end, strlen(end) + 1);
  return copy;
}

// The metrics of a step are read before its last update and say nothing of running statistics: what is to last is
// looked at itself.
static duel_status check_finite(const duel_trainer *t, const items *all) {
  for (int i = 0; i < all->n; i++) {
    const item *it = &all->list[i];
    const float *value = place_of(all, it);
    int64_t n = duel_shape_count(it->shape), k = 0;
    while (k < n && isfinite(value[k])) k++;
    if (k < n)
      return duel_fail(DUEL_ERR_DIVERGED,
                       "training diverged by step %lld: value %lld of %s is %s; no checkpoint is made of it; try a "
                       "lower optim.lr, or go on from an earlier checkpoint",
                       (long long)t->step, (long long)k, it->name, isnan(value[k]) ? "not a number" : "infinite");
  }
  return DUEL_OK;
}

enum { FINGERPRINT = 16 };
static const char *fingerprint_text(char text[FINGERPRINT], const duel_dataset *data) {
  snprintf(text, FINGERPRINT, "%08x", (unsigned)data->fingerprint);
  return text;
}

static duel_status write_file(const duel_trainer *t, const duel_entry *entry, int n, const char *recipe,
                              const char *path) {
  char step[24], seed[24], fingerprint[FINGERPRINT], key[DUEL_MAX_NETS][48], updates[DUEL_MAX_NETS][24];
  snprintf(step, sizeof step, "%lld", (long long)t->step);
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->recipe->train.seed);
  duel_meta meta[11 + DUEL_MAX_NETS] = {{"format", "duel"},
                                        {"version", DUEL_VERSION},
                                        {"step", step},
                                        {"seed", seed},
                                        {"recipe.name", t->recipe->name},
                                        {"recipe", recipe},
                                        {"data", t->data->name},
                                        {"data.fingerprint", fingerprint_text(fingerprint, t->data)},
                                        {"precision", t->recipe->run.precision},
                                        {"backend", t->api->name},
                                        {"backend.identity", t->api->identity(t->backend)}};
  for (int net = 0; net < t->recipe->n_nets; net++) {
    snprintf(key[net], sizeof key[net], "updates.%s", t->recipe->net[net].name);
    snprintf(updates[net], sizeof updates[net], "%lld", (long long)t->updates[net]);
    meta[11 + net] = (duel_meta){key[net], updates[net]};
  }
  return duel_tensors_write(path, entry, n, meta, 11 + t->recipe->n_nets);
}

static duel_status write_items(duel_trainer *t, items *all, const char *path) {
  for (int var = 0; var < t->vars.n; var++)
    if (all->copy[var]) DUEL_TRY(duel_memory_read(&t->memory, var, all->copy[var]));
  DUEL_TRY(check_finite(t, all));
  duel_entry *entry = duel_pool_alloc(&all->pool, (size_t)all->n * sizeof *entry);
  char *recipe = portable_recipe(&all->pool, t->recipe->text);
  if (!entry || !recipe) return duel_fail_memory("a checkpoint", (size_t)all->n * sizeof *entry);
  for (int i = 0; i < all->n; i++) {
    const item *it = &all->list[i];
    entry[i] = (duel_entry){.name = it->name, .dtype = DUEL_F32, .rank = it->shape.rank};
    for (int d = 0; d < it->shape.rank; d++) entry[i].dim[d] = it->shape.dim[d];
    entry[i].data = place_of(all, it);
    entry[i].bytes = (size_t)duel_shape_count(it->shape) * sizeof(float);
  }
  return write_file(t, entry, all->n, recipe, path);
}

duel_status duel_trainer_save(duel_trainer *t, const char *path) {
  items all;
  DUEL_TRY(duel_trainer_settle(t));
  duel_status status = list_items(t, true, &all);
  if (status == DUEL_OK) status = write_items(t, &all, path);
  duel_pool_close(&all.pool);
  return status;
}

// ---- loading

// Copies the tensor of that name, after a look at its type and shape.
static duel_status read_item(const items *all, const item *it, const duel_tensor_file *f, const char *path,
                             const char *name) {
  const duel_entry *e = duel_tensors_find(f, name);
  if (!e) return duel_fail(DUEL_ERR_DATA, "%s has no tensor %s, which the recipe needs", path, name);
  const bool fits = e->rank <= DUEL_MAX_RANK;
  const duel_shape shape = fits ? duel_shape_of(e->rank, e->dim) : (duel_shape){0};
  if (e->dtype != DUEL_F32 || !fits || !duel_shape_equal(shape, it->shape))
    return duel_fail(DUEL_ERR_DATA, "%s: tensor %s is %s %s, but the recipe makes it f32 %s", path, name,
                     duel_dtype_name(e->dtype), fits ? duel_shape_text(shape) : "of high rank",
                     duel_shape_text(it->shape));
  memcpy(place_of(all, it), e->data, e->bytes);
  return DUEL_OK;
}

static duel_status read_items(duel_trainer *t, const items *all, const duel_tensor_file *f, const char *path,
                              bool full) {
  for (int i = 0; i < all->n; i++) {
    const item *it = &all->list[i];
    // Weights without a moving average begin it themselves.
    const bool begin = !full && *it->plain && !duel_tensors_find(f, it->name);
    DUEL_TRY(read_item(all, it, f, path, begin ? it->plain : it->name));
  }
  if (full && all->n != f->n)
    return duel_fail(DUEL_ERR_DATA, "%s has %d tensors, but the recipe makes %d", path, f->n, all->n);
  if (!t->open) return DUEL_OK;             // planned only: it would fit
  for (int var = 0; var < t->vars.n; var++) // everything fits: only now is the trainer touched
    if (all->copy[var]) DUEL_TRY(duel_memory_write(&t->memory, var, all->copy[var]));
  return DUEL_OK;
}

static duel_status meta_integer(const duel_tensor_file *f, const char *path, const char *key, int64_t *value) {
  const char *text = duel_tensors_meta(f, key);
  char *end;
  if (!text || !*text) return duel_fail(DUEL_ERR_DATA, "%s is no checkpoint of duel: it has no %s", path, key);
  *value = strtoll(text, &end, 10);
  if (*end || *value < 0) return duel_fail(DUEL_ERR_DATA, "%s: %s is '%s', not a count", path, key, text);
  return DUEL_OK;
}

bool duel_checkpoint_has_data(const duel_tensor_file *f, const duel_dataset *data) {
  const char *was = duel_tensors_meta(f, "data.fingerprint");
  char is[FINGERPRINT];
  return was && !strcmp(was, fingerprint_text(is, data));
}

static duel_status read_counts(duel_trainer *t, const duel_tensor_file *f, const char *path) {
  int64_t step = 0, updates[DUEL_MAX_NETS] = {0};
  DUEL_TRY(meta_integer(f, path, "step", &step));
  for (int net = 0; net < t->recipe->n_nets; net++) {
    char key[48];
    snprintf(key, sizeof key, "updates.%s", t->recipe->net[net].name);
    DUEL_TRY(meta_integer(f, path, key, &updates[net]));
  }
  const char *fingerprint = duel_tensors_meta(f, "data.fingerprint");
  if (!duel_checkpoint_has_data(f, t->data))
    return duel_fail(DUEL_ERR_DATA,
                     "%s was trained on other data (fingerprint %s, %s here has %08x); to start anew from its weights "
                     "use options.init",
                     path, fingerprint ? fingerprint : "unknown", t->data->name, (unsigned)t->data->fingerprint);
  t->step = t->settled = step;
  memcpy(t->updates, updates, sizeof updates);
  return DUEL_OK;
}

duel_status duel_trainer_load(duel_trainer *t, const duel_tensor_file *f, const char *path, bool full) {
  // Our own files always have a checksum (checked as they were read); one without was damaged just there.
  if (full && !duel_tensors_meta(f, "crc32c"))
    return duel_fail(DUEL_ERR_DATA, "%s has no checksum: it is damaged, or no checkpoint of duel", path);
  items all;
  duel_status status = list_items(t, full, &all);
  if (status == DUEL_OK) status = read_items(t, &all, f, path, full);
  if (status == DUEL_OK && full) status = read_counts(t, f, path);
  duel_pool_close(&all.pool);
  return status;
}
