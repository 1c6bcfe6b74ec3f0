// A trainer's whole state as one safetensors file, and back.
//
// Tensors: NET.* (parameters and buffers), NET_ema.*, opt.NET.*.m and .v. Strings: everything else that a
// bit-exact resume needs. No clock, host or path goes in, so equal states are equal bytes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "run/trainer.h"

// ---- one list of (name, memory) serves saving and loading

typedef struct item {
  char name[160];
  duel_shape shape;
  int var;
  int64_t offset;  // elements into the variable
  bool weights;    // parameter or buffer (of a net or its moving average); else a moment
  char plain[160]; // of a moving average: its net's tensor; else empty
} item;

typedef struct items {
  item *list;
  int n;
} items;

static item *add_item(items *all, const duel_param *p, int var, bool weights) {
  item *i = &all->list[all->n++];
  *i = (item){.shape = p->shape, .var = var, .offset = p->offset, .weights = weights};
  snprintf(i->name, sizeof i->name, "%s", p->name);
  return i;
}

static void add_tensor(items *all, const char *net, const duel_model_net *own, const duel_param *p) {
  add_item(all, p, p->buffer ? p->var : own->slab, true);
  if (own->ema >= 0) {
    item *i = add_item(all, p, p->buffer ? p->ema_var : own->ema, true);
    snprintf(i->plain, sizeof i->plain, "%s", p->name);
    snprintf(i->name, sizeof i->name, "%s_ema%s", net, p->name + strlen(net));
  }
  for (int k = 0; k < DUEL_MAX_MOMENTS && !p->buffer; k++)
    if (own->moment[k] >= 0) {
      item *i = add_item(all, p, own->moment[k], false);
      snprintf(i->name, sizeof i->name, "opt.%s.%c", p->name, "mv"[k]);
    }
}

static duel_status list_items(const duel_trainer *t, items *all) {
  int most = 0;
  for (int net = 0; net < t->recipe->n_nets; net++) most += 4 * t->model.net[net].n;
  *all = (items){.list = duel_calloc((size_t)most, sizeof *all->list)};
  if (!all->list) return duel_fail_memory("a checkpoint", (size_t)most * sizeof *all->list);
  for (int net = 0; net < t->recipe->n_nets; net++) {
    const duel_model_net *own = &t->model.net[net];
    for (int i = 0; i < own->n; i++) add_tensor(all, t->recipe->net[net].name, own, &own->param[i]);
  }
  return DUEL_OK;
}

// Host copies of all variables that the list names: copy[var], or NULL.
static void free_copies(void **copy, int n) {
  if (copy)
    for (int i = 0; i < n; i++) duel_free(copy[i]);
  duel_free(copy);
}

static duel_status make_copies(const duel_trainer *t, const items *all, void ***copies) {
  void **copy = duel_calloc((size_t)t->vars.n, sizeof *copy);
  *copies = copy;
  if (!copy) return duel_fail_memory("a checkpoint", (size_t)t->vars.n * sizeof *copy);
  for (int i = 0; i < all->n; i++) {
    int var = all->list[i].var;
    if (copy[var]) continue;
    size_t bytes = t->vars.var[var].bytes;
    copy[var] = duel_calloc(1, bytes);
    if (!copy[var]) return duel_fail_memory("a checkpoint", bytes);
  }
  return DUEL_OK;
}

// ---- saving

// The recipe without its `run` section: threads and backend are no part of what is trained, and equal states must be
// equal bytes whatever they were. What is asked for as precision is kept beside it.
static char *portable_recipe(const char *text) {
  char *copy = duel_strdup(text);
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
static duel_status check_finite(const duel_trainer *t, const items *all, void *const *copy) {
  for (int i = 0; i < all->n; i++) {
    const item *it = &all->list[i];
    const float *value = (const float *)copy[it->var] + it->offset;
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

static duel_status write_file(const duel_trainer *t, const duel_entry *entry, int n, const char *recipe,
                              const char *path) {
  char step[24], seed[24], fingerprint[16], key[DUEL_MAX_NETS][48], updates[DUEL_MAX_NETS][24];
  snprintf(step, sizeof step, "%lld", (long long)t->step);
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->recipe->train.seed);
  snprintf(fingerprint, sizeof fingerprint, "%08x", (unsigned)t->data->fingerprint);
  duel_meta meta[11 + DUEL_MAX_NETS] = {{"format", "duel"},
                                        {"version", DUEL_VERSION},
                                        {"step", step},
                                        {"seed", seed},
                                        {"recipe.name", t->recipe->name},
                                        {"recipe", recipe},
                                        {"data", t->data->name},
                                        {"data.fingerprint", fingerprint},
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

static duel_status write_items(duel_trainer *t, const items *all, void **copy, const char *path) {
  for (int var = 0; var < t->vars.n; var++)
    if (copy[var]) DUEL_TRY(duel_memory_read(&t->memory, var, copy[var]));
  DUEL_TRY(check_finite(t, all, copy));
  duel_entry *entry = duel_calloc((size_t)all->n, sizeof *entry);
  if (!entry) return duel_fail_memory("a checkpoint", (size_t)all->n * sizeof *entry);
  for (int i = 0; i < all->n; i++) {
    const item *it = &all->list[i];
    entry[i] = (duel_entry){.name = it->name, .dtype = DUEL_F32, .rank = it->shape.rank};
    for (int d = 0; d < it->shape.rank; d++) entry[i].dim[d] = it->shape.dim[d];
    entry[i].data = (const float *)copy[it->var] + it->offset;
    entry[i].bytes = (size_t)duel_shape_count(it->shape) * sizeof(float);
  }
  char *recipe = portable_recipe(t->recipe->text);
  if (!recipe) {
    duel_free(entry);
    return duel_fail_memory("a checkpoint", strlen(t->recipe->text));
  }
  const duel_status status = write_file(t, entry, all->n, recipe, path);
  duel_free(entry);
  duel_free(recipe);
  return status;
}

duel_status duel_trainer_save(duel_trainer *t, const char *path) {
  items all = {0};
  void **copy = NULL;
  DUEL_TRY(duel_trainer_settle(t));
  duel_status status = list_items(t, &all);
  if (status == DUEL_OK) status = make_copies(t, &all, &copy);
  if (status == DUEL_OK) status = write_items(t, &all, copy, path);
  free_copies(copy, t->vars.n);
  duel_free(all.list);
  return status;
}

// ---- loading

// Finds the tensor and checks its type and shape.
static duel_status find_entry(const duel_tensor_file *f, const char *path, const item *it, const duel_entry **entry) {
  const duel_entry *e = duel_tensors_find(f, it->name);
  if (!e) return duel_fail(DUEL_ERR_DATA, "%s has no tensor %s, which the recipe needs", path, it->name);
  duel_shape shape = {.rank = e->rank};
  bool fits = e->rank <= DUEL_MAX_RANK;
  for (int d = 0; fits && d < e->rank; d++) shape.dim[d] = e->dim[d];
  if (e->dtype != DUEL_F32 || !fits || !duel_shape_equal(shape, it->shape))
    return duel_fail(DUEL_ERR_DATA, "%s: tensor %s is %s %s, but the recipe makes it f32 %s", path, it->name,
                     duel_dtype_name(e->dtype), fits ? duel_shape_text(shape) : "of high rank",
                     duel_shape_text(it->shape));
  *entry = e;
  return DUEL_OK;
}

static duel_status read_items(duel_trainer *t, const items *all, void **copy, const duel_tensor_file *f,
                              const char *path, bool full) {
  int used = 0;
  for (int i = 0; i < all->n; i++) {
    const item *it = &all->list[i];
    if (!full && !it->weights) continue;
    const duel_entry *e = NULL;
    item plain = *it; // weights without a moving average begin it themselves
    if (!full && *it->plain && !duel_tensors_find(f, it->name)) memcpy(plain.name, it->plain, sizeof plain.name);
    DUEL_TRY(find_entry(f, path, &plain, &e));
    memcpy((float *)copy[it->var] + it->offset, e->data, e->bytes);
    used++;
  }
  if (full && used != f->n)
    return duel_fail(DUEL_ERR_DATA, "%s has %d tensors, but the recipe makes %d", path, f->n, used);
  if (!t->open) return DUEL_OK; // planned only: it would fit
  // Everything fits: only now is the trainer touched.
  bool *written = duel_calloc((size_t)t->vars.n, sizeof *written);
  if (!written) return duel_fail_memory("a checkpoint", (size_t)t->vars.n);
  duel_status status = DUEL_OK;
  for (int i = 0; i < all->n && status == DUEL_OK; i++) {
    const item *it = &all->list[i];
    if ((!full && !it->weights) || written[it->var]) continue;
    written[it->var] = true;
    status = duel_memory_write(&t->memory, it->var, copy[it->var]);
  }
  duel_free(written);
  return status;
}

static duel_status meta_integer(const duel_tensor_file *f, const char *path, const char *key, int64_t *value) {
  const char *text = duel_tensors_meta(f, key);
  char *end;
  if (!text || !*text) return duel_fail(DUEL_ERR_DATA, "%s is no checkpoint of duel: it has no %s", path, key);
  *value = strtoll(text, &end, 10);
  if (*end || *value < 0) return duel_fail(DUEL_ERR_DATA, "%s: %s is '%s', not a count", path, key, text);
  return DUEL_OK;
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
  char now[16];
  snprintf(now, sizeof now, "%08x", (unsigned)t->data->fingerprint);
  if (!fingerprint || strcmp(fingerprint, now))
    return duel_fail(DUEL_ERR_DATA,
                     "%s was trained on other data (fingerprint %s, %s here has %s); to start anew from its weights "
                     "use options.init",
                     path, fingerprint ? fingerprint : "unknown", t->data->name, now);
  t->step = t->settled = step;
  memcpy(t->updates, updates, sizeof updates);
  return DUEL_OK;
}

duel_status duel_trainer_load(duel_trainer *t, const duel_tensor_file *f, const char *path, bool full) {
  // Our own files always have a checksum (checked as they were read); one without was damaged just there.
  if (full && !duel_tensors_meta(f, "crc32c"))
    return duel_fail(DUEL_ERR_DATA, "%s has no checksum: it is damaged, or no checkpoint of duel", path);
  items all = {0};
  void **copy = NULL;
  duel_status status = list_items(t, &all);
  if (status == DUEL_OK) status = make_copies(t, &all, &copy);
  if (status == DUEL_OK) status = read_items(t, &all, copy, f, path, full);
  if (status == DUEL_OK && full) status = read_counts(t, f, path);
  free_copies(copy, t->vars.n);
  duel_free(all.list);
  return status;
}
