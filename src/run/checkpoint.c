// A trainer's whole state as one safetensors file, and back.
//
// Tensors: NET.* (parameters and buffers), NET_ema.*, opt.NET.*.m and .v, and what is no net's, such as
// penalty.lecam.real. Strings: everything else that a bit-exact resume needs. No clock, host or path goes in, so equal
// states are equal bytes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "base/text.h"
#include "gan/constraints.h"
#include "run/places.h"
#include "run/trainer.h"

// ---- one list of (name, memory) serves saving and loading

typedef struct item {
  char name[160];
  duel_shape shape;
  int var;
  int64_t offset;  // elements into the variable
  char plain[160]; // of a moving average: its net's tensor; else empty
  int net;
  const duel_param *param; // NULL: no net's; it belongs to its training alone, and no new run begins with it
  bool moment, taken;      // taken: from another run's checkpoint
} item;

typedef struct items {
  duel_pool pool; // all of it lives here
  item *list;
  int n;
  void **copy; // the variables that the list names, in the host's memory; NULL for others
} items;

static item *add_item(items *all, int net, const duel_param *p, int var) {
  item *i = &all->list[all->n++];
  *i = (item){.shape = p->shape, .var = var, .offset = p->offset, .net = net, .param = p};
  snprintf(i->name, sizeof i->name, "%s", p->name);
  return i;
}

static void add_tensor(items *all, const duel_trainer *t, int net, const duel_param *p, bool full) {
  const duel_model_net *own = &t->model.net[net];
  const char *name = t->recipe->net[net].name;
  add_item(all, net, p, p->var);
  if (p->ema_var >= 0) {
    item *i = add_item(all, net, p, p->ema_var);
    snprintf(i->plain, sizeof i->plain, "%s", p->name);
    snprintf(i->name, sizeof i->name, "%s_ema%s", name, p->name + strlen(name));
  }
  for (int k = 0; k < DUEL_MAX_MOMENTS && full && !p->buffer && !p->frozen; k++)
    if (own->moment[k] >= 0) {
      item *i = add_item(all, net, p, own->moment[k]);
      i->moment = true;
      snprintf(i->name, sizeof i->name, "opt.%s.%c", p->name, "mv"[k]);
    }
}

// full: the moments too. in_place: the variables themselves where the host can read them, else copies. The pool is to
// be closed, also on failure.
static duel_status list_items(const duel_trainer *t, bool full, bool in_place, items *all) {
  size_t most = 0;
  for (int net = 0; net < t->recipe->n_nets; net++) most += 4 * (size_t)t->model.net[net].n;
  most += (size_t)t->model.n_states;
  *all = (items){.n = 0};
  all->list = duel_pool_alloc(&all->pool, most * sizeof *all->list);
  all->copy = duel_pool_alloc(&all->pool, (size_t)t->vars.n * sizeof *all->copy);
  if (!all->list || !all->copy) return duel_fail_memory("a checkpoint", most * sizeof *all->list);
  for (int net = 0; net < t->recipe->n_nets; net++) {
    const duel_model_net *own = &t->model.net[net];
    for (int i = 0; i < own->n; i++) add_tensor(all, t, net, &own->param[i], full);
  }
  for (int i = 0; i < t->model.n_states && full; i++) {
    item *it = &all->list[all->n++];
    *it = (item){.var = t->model.state[i].var};
    snprintf(it->name, sizeof it->name, "%s", t->model.state[i].name);
  }
  for (int i = 0; i < all->n; i++) {
    void **copy = &all->copy[all->list[i].var];
    const size_t bytes = t->vars.var[all->list[i].var].bytes;
    if (!*copy) *copy = in_place ? duel_memory_at(&t->memory, all->list[i].var) : duel_pool_alloc(&all->pool, bytes);
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
                       "lower optim.lr",
                       (long long)t->step, (long long)k, it->name, isnan(value[k]) ? "not a number" : "infinite");
  }
  return DUEL_OK;
}

enum { FINGERPRINT = 16 };
static const char *fingerprint_text(char text[FINGERPRINT], uint32_t fingerprint) {
  snprintf(text, FINGERPRINT, "%08x", (unsigned)fingerprint);
  return text;
}

enum { UPDATES_KEY = 48 };
static const char *updates_key(const char *net, char key[UPDATES_KEY]) {
  snprintf(key, UPDATES_KEY, "updates.%s", net);
  return key;
}

static duel_status write_file(const duel_trainer *t, const duel_entry *entry, int n, const char *recipe,
                              const char *path) {
  char step[24], seed[24], fingerprint[FINGERPRINT], test[FINGERPRINT], key[DUEL_MAX_NETS][UPDATES_KEY],
      updates[DUEL_MAX_NETS][24];
  snprintf(step, sizeof step, "%lld", (long long)t->step);
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->recipe->train.seed);
  duel_meta meta[13 + DUEL_MAX_NETS] = {{"format", "duel"},
                                        {"version", DUEL_VERSION},
                                        {"step", step},
                                        {"seed", seed},
                                        {"recipe.name", t->recipe->name},
                                        {"recipe", recipe},
                                        {"data", t->data->name},
                                        {"data.fingerprint", fingerprint_text(fingerprint, t->data->fingerprint)},
                                        {"precision", t->recipe->run.precision},
                                        {"backend", t->api->name},
                                        {"backend.identity", t->api->identity(t->backend)}};
  for (int net = 0; net < t->recipe->n_nets; net++) {
    snprintf(updates[net], sizeof updates[net], "%lld", (long long)t->updates[net]);
    meta[11 + net] = (duel_meta){updates_key(t->recipe->net[net].name, key[net]), updates[net]};
  }
  int n_meta = 11 + t->recipe->n_nets;
  if (t->test) meta[n_meta++] = (duel_meta){"data.test.fingerprint", fingerprint_text(test, t->test->fingerprint)};
  if (*t->recipe->source) meta[n_meta++] = (duel_meta){"recipe.source", t->recipe->source};
  return duel_tensors_write(path, entry, n, meta, n_meta);
}

static duel_status write_items(duel_trainer *t, items *all, bool in_place, const char *path) {
  for (int var = 0; var < t->vars.n && !in_place; var++)
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
  const bool in_place = t->api->host_memory;
  items all;
  DUEL_TRY(duel_trainer_settle(t));
  DUEL_TRY(duel_trainer_stand(t));
  duel_status status = list_items(t, true, in_place, &all);
  if (status == DUEL_OK) status = write_items(t, &all, in_place, path);
  duel_pool_close(&all.pool);
  return status;
}

// ---- loading

static bool fits(const item *it, const duel_entry *e) {
  return e && e->dtype == DUEL_F32 && e->rank <= DUEL_MAX_RANK &&
         duel_shape_equal(duel_shape_of(e->rank, e->dim), it->shape);
}

static const char *shape_of(const duel_entry *e) {
  return e->rank <= DUEL_MAX_RANK ? duel_shape_text(duel_shape_of(e->rank, e->dim)) : "of high rank";
}

static duel_status misfit(const item *it, const duel_entry *e, const char *path) {
  if (!e)
    return duel_fail(DUEL_ERR_DATA, "%s has no tensor %s, %s", path, it->name,
                     it->param && it->param->vector
                         ? "a vector of spectral norm, without which its weight means another one"
                         : "which the recipe needs");
  return duel_fail(DUEL_ERR_DATA, "%s: tensor %s is %s %s, but the recipe makes it f32 %s", path, e->name,
                   duel_dtype_name(e->dtype), shape_of(e), duel_shape_text(it->shape));
}

static duel_status write_all(duel_trainer *t, const items *all) {
  t->stood = -1;
  for (int var = 0; var < t->vars.n && t->open; var++)
    if (all->copy[var]) DUEL_TRY(duel_memory_write(&t->memory, var, all->copy[var]));
  return DUEL_OK;
}

// What a file holds of an item. NULL: nothing that fits.
static const duel_entry *source_of(const duel_tensor_file *f, const item *it) {
  const duel_entry *e = duel_tensors_find(f, it->name);
  if (*it->plain && !fits(it, e)) e = duel_tensors_find(f, it->plain); // weights alone begin their average
  return fits(it, e) ? e : NULL;
}

static duel_status read_items(duel_trainer *t, const items *all, const duel_tensor_file *f, const char *path,
                              bool full) {
  for (int i = 0; i < all->n; i++) {
    const item *it = &all->list[i];
    const duel_entry *own = duel_tensors_find(f, it->name), *e = full || own ? own : source_of(f, it);
    if (!fits(it, e)) return misfit(it, e, path);
    memcpy(place_of(all, it), e->data, e->bytes);
  }
  if (full && all->n != f->n)
    return duel_fail(DUEL_ERR_DATA, "%s has %d tensors, but the recipe makes %d", path, f->n, all->n);
  return write_all(t, all); // everything fits: only now is the trainer touched
}

static duel_status meta_integer(const duel_tensor_file *f, const char *path, const char *key, int64_t *value) {
  const char *text = duel_tensors_meta(f, key);
  char *end;
  if (!text || !*text) return duel_fail(DUEL_ERR_DATA, "%s is no checkpoint of duel: it has no %s", path, key);
  *value = strtoll(text, &end, 10);
  if (*end || *value < 0) return duel_fail(DUEL_ERR_DATA, "%s: %s is '%s', not a count", path, key, text);
  return DUEL_OK;
}

bool duel_checkpoint_has_older(const duel_tensor_file *f, const duel_dataset *data) {
  const char *was = duel_tensors_meta(f, "data.fingerprint");
  char older[FINGERPRINT];
  return was && data->older && !strcmp(was, fingerprint_text(older, data->older));
}

bool duel_checkpoint_has_data(const duel_tensor_file *f, const duel_dataset *data, bool test) {
  const char *was = duel_tensors_meta(f, test ? "data.test.fingerprint" : "data.fingerprint");
  char is[FINGERPRINT];
  return (was && !strcmp(was, fingerprint_text(is, data->fingerprint))) ||
         (!test && duel_checkpoint_has_older(f, data));
}

static duel_status read_counts(duel_trainer *t, const duel_tensor_file *f, const char *path) {
  char word[DUEL_SHELL_PATH], key[UPDATES_KEY];
  int64_t step = 0, updates[DUEL_MAX_NETS] = {0};
  DUEL_TRY(meta_integer(f, path, "step", &step));
  for (int net = 0; net < t->recipe->n_nets; net++)
    DUEL_TRY(meta_integer(f, path, updates_key(t->recipe->net[net].name, key), &updates[net]));
  const char *fingerprint = duel_tensors_meta(f, "data.fingerprint");
  if (!duel_checkpoint_has_data(f, t->data, false))
    return duel_fail(DUEL_ERR_DATA,
                     "%s was trained on other data (fingerprint %s, %s here has %08x); set options.data to where those "
                     "are, or, to start a new run with these, use options.init %s options.init_optimizer",
                     path, fingerprint ? fingerprint : "unknown", t->data->name, (unsigned)t->data->fingerprint,
                     duel_shell_path(word, path));
  const bool tells_test = duel_tensors_meta(f, "data.test.fingerprint") != NULL; // older ones do not
  if (t->test && tells_test && !duel_checkpoint_has_data(f, t->test, true))
    return duel_fail(DUEL_ERR_DATA,
                     "%s was tested on another set than the one found here, which also decides what is left to learn "
                     "from: set data.test to where it is, or, to start a new run with this one, use options.init %s "
                     "options.init_optimizer",
                     path, duel_shell_path(word, path));
  t->step = t->settled = step;
  memcpy(t->updates, updates, sizeof updates);
  return DUEL_OK;
}

duel_status duel_trainer_load(duel_trainer *t, const duel_tensor_file *f, const char *path, bool full) {
  // Our own files always have a checksum (checked as they were read); one without was damaged just there.
  if (full && !duel_tensors_meta(f, "crc32c"))
    return duel_fail(DUEL_ERR_DATA, "%s has no checksum: it is damaged, or no checkpoint of duel", path);
  items all;
  duel_status status = list_items(t, full, false, &all);
  if (status == DUEL_OK) status = read_items(t, &all, f, path, full);
  if (status == DUEL_OK && full) status = read_counts(t, f, path);
  duel_pool_close(&all.pool);
  return status;
}

// ---- beginning a new run from another's state

// Names for a note: the first few, and how many more.
typedef struct names {
  char text[400];
  int n;
} names;

static void add_name(names *list, const char *name, const char *shape) {
  const size_t used = strlen(list->text);
  if (list->n++ < 6) snprintf(list->text + used, sizeof list->text - used, "%s%.48s %s", used ? ", " : "", name, shape);
}

static void put_names(char *note, size_t n, const char *before, const names *list) {
  const size_t used = strlen(note);
  char more[32] = "";
  if (list->n > 6) snprintf(more, sizeof more, " and %d more", list->n - 6);
  if (list->n) snprintf(note + used, n - used, "; %s: %s%s", before, list->text, more);
}

typedef struct taking {
  items all;
  bool moments[DUEL_MAX_NETS]; // whether a net's moments and update count are taken too
  names left, drawn;
  int tensors, weights[DUEL_MAX_NETS]; // taken: in all, and of each net those that are no vectors, which fit by chance
} taking;

// The moments of another optimizer mean something else.
static void choose_moments(taking *k, const duel_recipe *is, const duel_recipe *was) {
  for (int net = 0; net < is->n_nets; net++)
    for (int i = 0; was && i < was->n_nets; i++)
      k->moments[net] |= !strcmp(was->net[i].name, is->net[net].name) &&
                         !strcmp(was->net[i].optim.kind->name, is->net[net].optim.kind->name);
}

static void take_what_fits(taking *k, const duel_tensor_file *f) {
  for (int i = 0; i < k->all.n; i++) {
    const item *it = &k->all.list[i];
    if (!it->param) continue;
    const duel_entry *e = source_of(f, it);
    if (it->moment && !k->moments[it->net]) e = NULL;
    if (e) memcpy(place_of(&k->all, it), e->data, e->bytes);
    k->all.list[i].taken = e != NULL;
    if (it->moment || *it->plain) continue;
    if (!e) add_name(&k->drawn, it->name, duel_shape_text(it->shape));
    k->tensors += e != NULL;
    k->weights[it->net] += e && it->shape.rank > 1;
  }
}

// A vector of the weight, or of its moving average.
static const item *vector_of(const items *all, const item *weight, int which) {
  const item *it = all->list;
  while (it->param != weight->param + which || !*it->plain != !*weight->plain) it++;
  return it;
}

// Vectors of spectral norm belong to their weight: they begin anew where it does, and with it where the file has none.
static duel_status begin_vectors(const duel_trainer *t, const items *all) {
  for (int i = 0; i < all->n; i++) {
    const item *w = &all->list[i];
    if (w->moment || !w->param || !w->param->spectral) continue;
    const item *u = vector_of(all, w, 1), *v = vector_of(all, w, 2);
    if (w->taken && u->taken && v->taken) continue;
    DUEL_TRY(duel_spectral_start(w->param, place_of(all, w), duel_spectral_warmup(&t->recipe->net[w->net]),
                                 t->recipe->train.seed, place_of(all, u), place_of(all, v)));
  }
  return DUEL_OK;
}

static void list_left(taking *k, const duel_tensor_file *f, bool full) {
  for (int n = 0; n < f->n; n++) {
    const duel_entry *e = &f->entry[n];
    bool taken = false;
    if (!strncmp(e->name, "opt.", 4) && !full) continue;
    for (int i = 0; i < k->all.n && !taken; i++) {
      const item *it = &k->all.list[i];
      taken = !strcmp(it->name, e->name) && fits(it, e) && (!it->moment || k->moments[it->net]) && it->param;
    }
    if (!taken) add_name(&k->left, e->name, shape_of(e));
  }
}

// The first tensor that does not fit tells why none does.
static duel_status none_fits(const taking *k, const duel_tensor_file *f, const char *path, const char *cure) {
  for (int i = 0; i < k->all.n; i++) {
    const item *it = &k->all.list[i];
    const duel_entry *e = duel_tensors_find(f, it->name);
    if (!*it->plain && !it->moment && !fits(it, e)) misfit(it, e, path);
    if (!*it->plain && !it->moment && !fits(it, e)) break;
  }
  return duel_fail(DUEL_ERR_DATA, "%s; nor does any other of its weights fit: %s", duel_last_error(), cure);
}

// Update counts go with the moments. A net that is drawn anew counts from 0.
static duel_status take_counts(duel_trainer *t, const taking *k, const duel_tensor_file *f, const char *path) {
  char key[UPDATES_KEY];
  for (int net = 0; net < t->recipe->n_nets; net++) {
    updates_key(t->recipe->net[net].name, key);
    if (k->moments[net] && k->weights[net] > 0) DUEL_TRY(meta_integer(f, path, key, &t->updates[net]));
  }
  return DUEL_OK;
}

static duel_status begin_from(duel_trainer *t, taking *k, const duel_tensor_file *f, const char *path,
                              const duel_recipe *was, const char *cure) {
  int weights = 0;
  DUEL_TRY(list_items(t, was != NULL, false, &k->all));
  for (int var = 0; var < t->vars.n && t->open; var++)
    if (k->all.copy[var]) DUEL_TRY(duel_memory_read(&t->memory, var, k->all.copy[var]));
  choose_moments(k, t->recipe, was);
  take_what_fits(k, f);
  list_left(k, f, was != NULL);
  for (int net = 0; net < t->recipe->n_nets; net++) weights += k->weights[net];
  if (!weights) return none_fits(k, f, path, cure);
  DUEL_TRY(begin_vectors(t, &k->all));
  DUEL_TRY(take_counts(t, k, f, path));
  return write_all(t, &k->all);
}

duel_status duel_trainer_begin(duel_trainer *t, const duel_tensor_file *f, const char *path, const duel_recipe *was,
                               const char *cure, char *note, size_t n) {
  taking k = {.tensors = 0};
  const duel_status status = begin_from(t, &k, f, path, was, cure);
  *note = 0;
  if (status == DUEL_OK && k.left.n + k.drawn.n > 0) {
    snprintf(note, n, "%d tensors are taken from %.200s", k.tensors, path);
    put_names(note, n, "left there", &k.left);
    put_names(note, n, "drawn anew", &k.drawn);
  }
  duel_pool_close(&k.all.pool);
  return status;
}
