// Going on where a run directory stands: what may change, and how the directory becomes that of the step.
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "io/file.h"
#include "run/training.h"

duel_status duel_write_recipe(duel_training *t) {
  char path[3200];
  const char *text = t->run->trainer->recipe->text;
  DUEL_TRY(duel_rundir_file(&t->dir, "recipe.yaml", path, sizeof path));
  DUEL_TRY(duel_file_write(path, text, strlen(text)));
  return duel_places_write(t->dir.path, &t->run->places);
}

// Sorts the differences between the checkpoint's recipe and the one asked for.
typedef struct differences {
  char allowed[2048], refused[2048];
  bool length, same_data, same_test;
} differences;

static void add_line(char *text, size_t n, const char *key, const char *was, const char *is) {
  size_t length = strlen(text);
  snprintf(text + length, n - length, "%s%s: %s -> %s", length ? DUEL_LINE : "", key, was, is);
}

static void sort_difference(void *ctx, const char *key, const char *was, const char *is) {
  differences *d = ctx;
  bool length = !strcmp(key, "train.length");
  d->length |= length;
  if (!strncmp(key, "run.", 4)) return; // where it runs is no part of what is trained
  bool moved = (d->same_data && (!strcmp(key, "data.path") || !strcmp(key, "data.on_bad"))) ||
               (d->same_test && !strcmp(key, "data.test"));
  if (length || moved || !strncmp(key, "output.", 7))
    add_line(d->allowed, sizeof d->allowed, key, was, is);
  else
    add_line(d->refused, sizeof d->refused, key, was, is);
}

static bool spans_the_run(const duel_schedule *s) {
  return s->curve != DUEL_CURVE_CONSTANT && s->over.n == 0;
}

// The first schedule that spans the run, by its path: "D.optim.lr"; false: none does.
static bool find_spanning(const duel_chosen *c, char *path, size_t n) {
  const size_t length = strlen(path);
  for (int k = 0; c->value && c->kind->keys[k].name; k++) {
    const duel_key *key = &c->kind->keys[k];
    const duel_key_value *v = &c->value[k];
    if (!v->n) continue;
    snprintf(path + length, n - length, "%s%s", length ? "." : "", key->name);
    if ((key->type == DUEL_KEY_SCHEDULE || key->type == DUEL_KEY_LENGTHS) && !v->text && spans_the_run(&v->schedule))
      return true;
    if ((key->type == DUEL_KEY_SECTION || key->type == DUEL_KEY_CHOSEN) && find_spanning(v->chosen, path, n))
      return true;
    for (int i = 0; key->type == DUEL_KEY_ENTRIES && i < v->n; i++) {
      snprintf(path + length, n - length, "%s%s.%s", length ? "." : "", key->name, v->chosen[i].kind->name);
      if (find_spanning(&v->chosen[i], path, n)) return true;
    }
    path[length] = 0;
  }
  return false;
}

bool duel_resume_fixed_length(const duel_recipe *r) {
  char path[256] = "";
  return find_spanning(&r->root, path, sizeof path);
}

// What may change on resume, and what may not. Data may have moved: their fingerprint tells that they are the same.
static duel_status check_resume(duel_training *t, const char *text, const duel_resolved *is, const duel_tensor_file *f,
                                const char *path) {
  char word[DUEL_SHELL_PATH];
  const duel_recipe *r = is->recipe;
  differences d = {.same_data = duel_checkpoint_has_data(f, is->data, false),
                   .same_test = is->test && duel_checkpoint_has_data(f, is->test, true)};
  duel_shell_path(word, path);
  DUEL_TRY(duel_recipe_compare(text, r->text, sort_difference, &d));
  if (*d.refused)
    return duel_fail(DUEL_ERR_USAGE,
                     "%s was trained with another recipe; a resume may change length, output, threads, backend, "
                     "device, precision and where the same data lie%s. To start a new run from here use options.init "
                     "%s options.init_optimizer, or without the latter to take its weights alone\n%s",
                     path, t->o->run.recipe ? ", and without options.recipe it keeps its own" : "", word, d.refused);
  char spanning[256] = "";
  if (d.length && find_spanning(&r->root, spanning, sizeof spanning))
    return duel_fail(DUEL_ERR_USAGE,
                     "a new length cannot be resumed: %s changes over the whole run, so its past would "
                     "have been different; leave the length as it is, or start a new run with options.init %s "
                     "options.init_optimizer",
                     spanning, word);
  char allowed[sizeof d.allowed];
  duel_plain(allowed, sizeof allowed, "%s", d.allowed);
  if (*allowed) duel_tell_note(t, allowed);
  return DUEL_OK;
}

// A change of what decides the bits is no error, but worth a word.
static void compare_identity(duel_training *t, const duel_tensor_file *f) {
  const duel_trainer *trainer = t->run->trainer;
  const char *was = duel_tensors_meta(f, "backend.identity"), *is = trainer->api->identity(trainer->backend);
  char text[512];
  if (was && !strcmp(was, is)) return;
  snprintf(text, sizeof text, "the checkpoint was made by %s, this is %s: the bits may differ from an unbroken run's",
           was ? was : "an unknown backend", is);
  duel_tell(t, DUEL_EVENT_WARNING, text);
}

static void tell_older(duel_training *t, const duel_tensor_file *f) {
  const duel_dataset *data = t->run->trainer->data;
  char text[1024];
  if (!duel_checkpoint_has_older(f, data)) return;
  snprintf(
      text, sizeof text,
      "the folders of %s only count their pictures, but were taken for classes when this run began: it goes on, since "
      "it reads none",
      data->name);
  duel_tell_note(t, text);
}

static duel_status resume_from(duel_training *t, const duel_tensor_file *f, const char *path) {
  const duel_run_options *o = &t->options;
  duel_origin origin;
  duel_resolved r;
  if (o->init) return duel_fail(DUEL_ERR_USAGE, "options.resume goes on, options.init starts anew: give one of them");
  DUEL_TRY(duel_checkpoint_origin(f, path, &origin));
  DUEL_TRY(duel_run_resolve(&r, o, o->recipe ? NULL : &origin));
  // Before anything is built that would not fit.
  duel_status status = check_resume(t, origin.text, &r, f, path);
  if (status != DUEL_OK) {
    duel_resolved_close(&r);
    return status;
  }
  DUEL_TRY(duel_run_build(&t->run, o, &r));
  DUEL_TRY(duel_trainer_load(t->run->trainer, f, path, true));
  compare_identity(t, f);
  tell_older(t, f);
  return DUEL_OK;
}

// The folder of a checkpoint, without links: `latest` names the run behind it. A copy that lies elsewhere is refused,
// for a resume writes around it.
static duel_status find_run(const char *checkpoint, char real[PATH_MAX]) {
  char folder[3072], recipe[3200], word[DUEL_SHELL_PATH];
  duel_shell_path(word, checkpoint);
  const char *slash = strrchr(checkpoint, '/'), *name = slash ? slash + 1 : checkpoint;
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - checkpoint) + 1 : 2, slash ? checkpoint : "./");
  snprintf(recipe, sizeof recipe, "%srecipe.yaml", folder);
  if (strncmp(name, "checkpoint-", strlen("checkpoint-")) != 0 || access(recipe, F_OK) != 0)
    return duel_fail(
        DUEL_ERR_USAGE,
        "%s lies in no run directory (with a recipe.yaml beside it), where a resume goes on; to start anew "
        "from it use options.init %s options.init_optimizer",
        checkpoint, word);
  if (duel_checkpoint_step(checkpoint) < 0)
    return duel_fail(DUEL_ERR_USAGE,
                     "%s is no present checkpoint of its run, by its name, so a resume would mix two pasts; to start "
                     "anew from it use options.init %s options.init_optimizer",
                     checkpoint, word);
  return realpath(folder, real) ? DUEL_OK : duel_fail(DUEL_ERR_IO, "%s cannot be found", folder);
}

duel_status duel_resume(duel_training *t) {
  char path[3200], real[PATH_MAX], text[1024];
  DUEL_TRY(duel_find_checkpoint(t->o->resume, t->o->outdir, path, sizeof path, text, sizeof text));
  DUEL_TRY(find_run(path, real));
  snprintf(t->result->directory, sizeof t->result->directory, "%s", real);
  t->resumed = true;
  if (!t->o->dry_run) DUEL_TRY(duel_rundir_open(&t->dir, real));

  if (strcmp(path, t->o->resume) != 0) { // a run: say if its newest checkpoint could not be read
    DUEL_TRY(duel_rundir_newest(real, path, sizeof path, text, sizeof text));
    if (*text) duel_tell(t, DUEL_EVENT_WARNING, text);
  }
  duel_tensor_file f;
  DUEL_TRY(duel_tensors_read(&f, path));
  duel_status status = resume_from(t, &f, path);
  duel_tensors_close(&f);
  DUEL_TRY(status);
  t->saved = t->run->trainer->step;
  if (duel_checkpoint_step(path) != t->saved)
    return duel_fail(DUEL_ERR_DATA,
                     "%s holds step %" PRId64 ", which its name denies: rename it to checkpoint-%08" PRId64
                     ".safetensors",
                     path, t->saved, t->saved);
  snprintf(t->result->checkpoint, sizeof t->result->checkpoint, "%s", path);
  return DUEL_OK;
}

// Makes the directory that of the step from which the run goes on.
duel_status duel_resume_go_back(duel_training *t) {
  char text[256];
  const duel_status status = duel_rundir_set_aside(&t->dir, t->saved, text, sizeof text);
  if (*text) { // what was done is told, also where something failed after it
    char error[1024];
    snprintf(error, sizeof error, "%s", duel_last_error());
    duel_tell_note(t, text);
    if (status != DUEL_OK) return duel_fail(status, "%s", error);
  }
  DUEL_TRY(status);
  DUEL_TRY(duel_write_recipe(t));
  return duel_rundir_cut(&t->dir, t->saved);
}
