// duel.h, "looking at things": tables and JSON about recipes, data sets, devices, runs and checkpoints.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "io/data/synthetic.h"
#include "io/file.h"
#include "io/files/files.h"
#include "io/picture.h"
#include "run/registry.h"
#include "run/rundir.h"

// ---- writing

// A list of objects, as JSON {"name":[…]}, or as lines; then the writer writes nothing.
static duel_json_writer open_list(FILE *out, const char *name, int json) {
  duel_json_writer w = {.out = json ? out : NULL};
  duel_json_object(&w, NULL);
  duel_json_array(&w, name);
  return w;
}

static duel_status written(FILE *out) {
  return ferror(out) ? duel_fail(DUEL_ERR_IO, "the table could not be written") : DUEL_OK;
}

static duel_status close_list(duel_json_writer *w, FILE *out) {
  duel_json_end(w);
  duel_json_end(w);
  if (w->out) fputc('\n', out);
  return written(out);
}

// A stranger's file shall not steer the terminal.
static void print_plain(FILE *out, const char *text, int width) {
  int n = 0;
  for (; text[n]; n++)
    fputc(((unsigned char)text[n] < 0x20 && text[n] != '\n') || text[n] == 0x7F ? '?' : text[n], out);
  fprintf(out, "%*s", width > n ? width - n : 0, "");
}

// ---- recipes

// The first comment line of a recipe, without "# " and without "name: ".
static void headline(const duel_builtin *b, char *line, size_t n) {
  const char *at = b->text;
  while (*at == '#' || *at == ' ') at++;
  size_t name = strlen(b->name);
  if (!strncmp(at, b->name, name) && at[name] == ':') at += name + 1;
  while (*at == ' ') at++;
  snprintf(line, n, "%.*s", (int)strcspn(at, "\n"), at);
}

// What it draws, or else does: a line of its first comment.
static const struct {
  const char *name, *title;
} kinds[] = {{"images", "Images"},
             {"classes", "Images of a class, from data with labels"},
             {"points", "Points"},
             {"classifiers", "Classifiers"}};
static bool is_of_kind(const duel_builtin *b, const char *kind) {
  static const char line[] = "\n# kind: ";
  const char *at = strstr(b->text, line);
  return at && !strncmp(at + strlen(line), kind, strlen(kind)) && at[strlen(line) + strlen(kind)] == '\n';
}

duel_status duel_info_recipes(FILE *out, int json) {
  enum { KINDS = sizeof kinds / sizeof *kinds };
  duel_json_writer w = open_list(out, "recipes", json);
  char line[256];
  for (int at = 0; at < KINDS * duel_builtins_n; at++) {
    const int kind = at / duel_builtins_n, i = at % duel_builtins_n;
    if (i == 0 && !json) fprintf(out, "%s%s\n", kind ? "\n" : "", kinds[kind].title);
    if (!is_of_kind(&duel_builtins[i], kinds[kind].name)) continue;
    headline(&duel_builtins[i], line, sizeof line);
    if (!json) fprintf(out, "  %-14s %s\n", duel_builtins[i].name, line);
    duel_json_object(&w, NULL);
    duel_json_text(&w, "name", duel_builtins[i].name);
    duel_json_text(&w, "kind", kinds[kind].name);
    duel_json_text(&w, "about", line);
    duel_json_text(&w, "text", duel_builtins[i].text);
    duel_json_end(&w);
  }
  return close_list(&w, out);
}

// ---- data sets

static void put_row(duel_json_writer *w, FILE *out, int json, const char *const text[3]) { // name, about, state
  static const char *const key[3] = {"name", "about", "state"};
  if (!json) fprintf(out, "%-18s %s%s%s%s\n", text[0], text[1], *text[2] ? " [" : "", text[2], *text[2] ? "]" : "");
  duel_json_object(w, NULL);
  for (int i = 0; i < 3; i++) duel_json_text(w, key[i], text[i]);
  duel_json_end(w);
}

// Which formats of pictures this build reads, and what it would take to read those that a library is there for.
static void put_formats(duel_json_writer *w, FILE *out, int json) {
  char read[128] = "", others[256] = "";
  int n;
  const duel_picture_format *f = duel_picture_formats(&n);
  for (int i = 0; i < n; i++) {
    if (!f[i].read && !f[i].library) continue;
    char *list = f[i].read ? read : others;
    const size_t room = f[i].read ? sizeof read : sizeof others, at = strlen(list);
    snprintf(list + at, room - at, "%s%s%s%s",
             at          ? ", "
             : f[i].read ? ""
                         : "not read: ",
             f[i].name, f[i].read ? "" : " needs ", f[i].read ? "" : f[i].library);
  }
  put_row(w, out, json, (const char *const[3]){"PICTURES", read, others});
}

static void put_synthetic(duel_json_writer *w, FILE *out, int json) {
  const duel_synthetic *set;
  for (int i = 0; (set = duel_synthetic_set(i)); i++) {
    char name[32];
    snprintf(name, sizeof name, "synthetic:%s", set->name);
    put_row(w, out, json, (const char *const[3]){name, set->about, ""});
  }
}

duel_status duel_info_data(FILE *out, int json) {
  static const struct {
    const char *name, *about;
  } sets[] = {{"fashion-mnist", "60,000 garments, 28×28 grey, 10 classes (Xiao et al. 2017)"},
              {"FILE", "IDX or .npy, images (bytes, floats) or points (floats); CIFAR's .bin; .gz or plain"},
              {"FOLDER", "pictures, the folders in it as classes; CIFAR's data_batch_*.bin; IDX files"},
              {"FILE.zip", "the same as a folder, with StyleGAN's dataset.json as labels; .npz, arrays by name"}};
  duel_json_writer w = open_list(out, "data", json);
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    const char *state = "";
    if (i == 0) {
      duel_dataset *d;
      duel_status status = duel_dataset_open(&d, sets[i].name, 1);
      state = status == DUEL_OK ? "installed" : "not found: apt install dataset-fashion-mnist, or set DUEL_DATA";
      if (status == DUEL_OK) duel_dataset_close(d);
    }
    if (!strcmp(sets[i].name, "FILE.zip")) state = duel_has_zip() ? "read" : "not read: this build has no libzip";
    put_row(&w, out, json, (const char *const[3]){sets[i].name, sets[i].about, state});
    if (i == 0) put_synthetic(&w, out, json);
  }
  put_formats(&w, out, json);
  duel_clear_error();
  return close_list(&w, out);
}

// ---- devices

duel_status duel_info_devices(FILE *out, int json) {
  duel_json_writer w = open_list(out, "devices", json);
  for (int i = 1; duel_backend_name(i); i++) { // but auto
    const char *name = duel_backend_name(i);
    const duel_backend_api *api;
    duel_backend *b = NULL;
    duel_status status = duel_backend_find(name, &api);
    if (status == DUEL_OK) status = api->open(&b, &(duel_backend_options){.threads = 0});
    char text[512];
    snprintf(text, sizeof text, "%s", status == DUEL_OK ? api->describe(b) : duel_last_error());
    if (b) api->close(b);
    if (!json) fprintf(out, "%-6s %-12s %s\n", name, status == DUEL_OK ? "works" : "unavailable", text);
    duel_json_object(&w, NULL);
    duel_json_bool(&w, "works", status == DUEL_OK);
    duel_json_text(&w, "backend", name);
    duel_json_text(&w, "about", text);
    duel_json_end(&w);
  }
  duel_clear_error();
  return close_list(&w, out);
}

// ---- runs

// The last whole line of a run's stats.jsonl (a kill may have torn the very last) as an object, or NULL.
static duel_json *last_stats(const char *folder) {
  char path[4096];
  uint8_t *bytes;
  size_t n;
  duel_json *found = NULL;
  snprintf(path, sizeof path, "%s/stats.jsonl", folder);
  if (duel_file_read(path, (size_t)1 << 30, &bytes, &n) != DUEL_OK) return NULL;
  for (int tries = 0; tries < 2 && n > 0 && !found; tries++) {
    while (n > 0 && bytes[n - 1] == '\n') n--;
    size_t begin = n;
    while (begin > 0 && bytes[begin - 1] != '\n') begin--;
    if (duel_json_parse(&found, (const char *)bytes + begin, n - begin) != DUEL_OK) found = NULL;
    n = begin;
  }
  duel_free(bytes);
  return found;
}

typedef char run_name[256];

static int by_name(const void *a, const void *b) {
  return strcmp(*(const run_name *)a, *(const run_name *)b);
}

// The names of the run directories in outdir, sorted; duel_free ends the list.
static duel_status list_runs(const char *outdir, run_name **names, int *n) {
  *names = NULL;
  *n = 0;
  int room = 0;
  DIR *dir = opendir(outdir);
  if (!dir) return duel_fail(DUEL_ERR_DATA, "%s: %s", outdir, strerror(errno));
  duel_status status = DUEL_OK;
  for (struct dirent *e; (e = readdir(dir)) && status == DUEL_OK;) {
    if (!duel_rundir_is_name(e->d_name)) continue;
    run_name *grown = duel_grown(*names, *n + 1, &room, sizeof *grown);
    if (!grown) {
      status = duel_fail_memory("the list of runs", (size_t)(*n + 1) * sizeof *grown);
      break;
    }
    *names = grown;
    snprintf(grown[(*n)++], sizeof *grown, "%s", e->d_name);
  }
  closedir(dir);
  if (status == DUEL_OK && *n) qsort(*names, (size_t)*n, sizeof **names, by_name);
  if (status != DUEL_OK) duel_free(*names);
  return status;
}

// What a line about a run shows of its scalars: the losses and accuracies.
static bool is_shown(const duel_json *scalar) {
  return scalar->type == DUEL_JSON_NUMBER &&
         (duel_ends_with(scalar->key, "loss") || duel_ends_with(scalar->key, "accuracy"));
}

static void print_run(FILE *out, duel_json_writer *w, const char *outdir, const char *name) {
  char folder[3072], shown[256] = "";
  int64_t *kept;
  int checkpoints;
  size_t n = 0;
  snprintf(folder, sizeof folder, "%s/%s", outdir, name);
  duel_json *stats = last_stats(folder);
  const duel_json *step = stats ? duel_json_get(stats, "step") : NULL;
  if (step && !step->is_integer) step = NULL;
  if (duel_rundir_checkpoints(folder, &kept, &checkpoints) != DUEL_OK) duel_clear_error(); // a table goes on without
  duel_json_object(w, NULL);
  duel_json_text(w, "run", name);
  if (step) duel_json_integer(w, "step", step->integer);
  for (const duel_json *s = step ? stats->child : NULL; s; s = s->next) {
    if (!is_shown(s)) continue;
    duel_json_number(w, s->key, s->number);
    if (n < sizeof shown) n += (size_t)snprintf(shown + n, sizeof shown - n, "  %s %.4f", s->key, s->number);
  }
  duel_json_array(w, "checkpoints");
  for (int i = 0; i < checkpoints; i++) duel_json_integer(w, NULL, kept[i]);
  duel_json_end(w);
  duel_json_end(w);
  if (!w->out) {
    print_plain(out, name, 44);
    fprintf(out, " %10s", step ? step->text : "-");
    print_plain(out, shown, 0);
    fputs("  ", out);
    for (int i = 0; i < checkpoints; i++) fprintf(out, " %" PRId64, kept[i]);
    fprintf(out, "\n");
  }
  duel_free(stats);
  duel_free(kept);
}

duel_status duel_info_runs(FILE *out, const char *outdir, int json) {
  run_name *names;
  int n;
  DUEL_TRY(list_runs(outdir, &names, &n));
  duel_json_writer w = open_list(out, "runs", json);
  if (!json && n == 0) fprintf(out, "no runs in %s\n", outdir);
  if (!json && n > 0) fprintf(out, "%-44s %10s  losses, accuracies, checkpoints\n", "run", "step");
  for (int i = 0; i < n; i++) print_run(out, &w, outdir, names[i]);
  duel_free(names);
  return close_list(&w, out);
}

// ---- one checkpoint

static void checkpoint_json(duel_json_writer *w, const duel_tensor_file *f) {
  duel_json_object(w, NULL);
  duel_json_object(w, "metadata");
  for (int i = 0; i < f->n_meta; i++) duel_json_text(w, f->meta[i].key, f->meta[i].value);
  duel_json_end(w);
  duel_json_array(w, "tensors");
  for (int i = 0; i < f->n; i++) {
    const duel_entry *e = &f->entry[i];
    duel_json_object(w, NULL);
    duel_json_text(w, "name", e->name);
    duel_json_text(w, "dtype", duel_dtype_name(e->dtype));
    duel_json_array(w, "shape");
    for (int d = 0; d < e->rank; d++) duel_json_integer(w, NULL, e->dim[d]);
    duel_json_end(w);
    duel_json_end(w);
  }
}

static void print_checkpoint(FILE *out, const duel_tensor_file *f) {
  int wide = 32; // of the names
  for (int i = 0; i < f->n; i++) {
    const int length = (int)strlen(f->entry[i].name);
    if (length > wide && length <= 72) wide = length;
  }
  for (int i = 0; i < f->n_meta; i++) {
    if (!strcmp(f->meta[i].key, "recipe") || !strcmp(f->meta[i].key, "recipe.source")) continue; // below, resolved
    print_plain(out, f->meta[i].key, 18);
    fputc(' ', out);
    print_plain(out, f->meta[i].value, 0);
    fputc('\n', out);
  }
  fprintf(out, "\n%-*s %-5s %-16s %12s\n", wide, "tensor", "type", "shape", "bytes");
  for (int i = 0; i < f->n; i++) {
    const duel_entry *e = &f->entry[i];
    char shape[160] = "";
    size_t length = 0;
    for (int d = 0; d < e->rank && length < sizeof shape; d++)
      length += (size_t)snprintf(shape + length, sizeof shape - length, "%s%" PRId64, d ? "x" : "", e->dim[d]);
    fprintf(out, "%-*s %-5s %-16s %12zu\n", wide, e->name, duel_dtype_name(e->dtype), shape, e->bytes);
  }
  if (!duel_tensors_meta(f, "recipe")) return;
  fputc('\n', out);
  print_plain(out, duel_tensors_meta(f, "recipe"), 0);
}

duel_status duel_info_checkpoint(FILE *out, const char *path, int json) {
  duel_tensor_file f;
  DUEL_TRY(duel_tensors_read(&f, path));
  duel_json_writer w = {.out = json ? out : NULL};
  if (json)
    checkpoint_json(&w, &f);
  else
    print_checkpoint(out, &f);
  duel_tensors_close(&f);
  return json ? close_list(&w, out) : written(out);
}
