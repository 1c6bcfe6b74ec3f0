// duel.h, "looking at things": tables and JSON about recipes, data sets, devices, runs and checkpoints; items to files.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"
#include "io/data/idx.h"
#include "io/data/npy.h"
#include "io/file.h"
#include "io/image.h"
#include "run/registry.h"
#include "run/rundir.h"

// ---- writing

static void json_string(FILE *out, const char *s) {
  size_t n = duel_json_quote(NULL, 0, s) + 1;
  char *quoted = duel_malloc(n);
  if (quoted) duel_json_quote(quoted, n, s);
  fputs(quoted ? quoted : "null", out);
  duel_free(quoted);
}

static void json_field(FILE *out, const char *key, const char *value) {
  fprintf(out, "\"%s\": ", key);
  json_string(out, value);
}

static duel_status written(FILE *out) {
  return ferror(out) ? duel_fail(DUEL_ERR_IO, "the table could not be written") : DUEL_OK;
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

duel_status duel_info_recipes(FILE *out, int json) {
  char line[256];
  if (json) fprintf(out, "{\"recipes\": [");
  for (int i = 0; i < duel_builtins_n; i++) {
    headline(&duel_builtins[i], line, sizeof line);
    if (!json) {
      fprintf(out, "%-14s %s\n", duel_builtins[i].name, line);
      continue;
    }
    fprintf(out, "%s{", i ? ", " : "");
    json_field(out, "name", duel_builtins[i].name);
    fputs(", ", out);
    json_field(out, "about", line);
    fputs(", ", out);
    json_field(out, "text", duel_builtins[i].text);
    fputs("}", out);
  }
  if (json) fprintf(out, "]}\n");
  return written(out);
}

// ---- data sets

duel_status duel_info_data(FILE *out, int json) {
  static const struct {
    const char *name, *about;
  } sets[] = {{"fashion-mnist", "60,000 garments, 28×28 grey, 10 classes (Xiao et al. 2017)"},
              {"synthetic:ring", "8 Gaussians on the unit circle, points of 2 numbers; made in memory"},
              {"synthetic:shapes", "disc, square, triangle, cross, 28×28 grey; made in memory"},
              {"FILE", "IDX or .npy, images (bytes, float32) or points (float32); CIFAR's .bin; .gz or plain"},
              {"FOLDER", "PNG and JPEG pictures, the folders in it as classes; CIFAR's data_batch_*.bin; IDX files"}};
  if (json) fprintf(out, "{\"data\": [");
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    const char *state = "";
    if (i == 0) {
      duel_dataset *d;
      duel_status status = duel_dataset_open(&d, sets[i].name, 1);
      state = status == DUEL_OK ? "installed" : "not found: apt install dataset-fashion-mnist, or set DUEL_DATA";
      if (status == DUEL_OK) duel_dataset_close(d);
    }
    if (!json) {
      fprintf(out, "%-18s %s%s%s%s\n", sets[i].name, sets[i].about, *state ? " [" : "", state, *state ? "]" : "");
      continue;
    }
    fprintf(out, "%s{", i ? ", " : "");
    json_field(out, "name", sets[i].name);
    fputs(", ", out);
    json_field(out, "about", sets[i].about);
    fputs(", ", out);
    json_field(out, "state", state);
    fputs("}", out);
  }
  if (json) fprintf(out, "]}\n");
  duel_clear_error();
  return written(out);
}

// ---- devices

duel_status duel_info_devices(FILE *out, int json) {
  static const char *const names[] = {"cpu", "cuda"};
  if (json) fprintf(out, "{\"devices\": [");
  for (int i = 0; i < 2; i++) {
    const duel_backend_api *api;
    duel_backend *b = NULL;
    duel_status status = duel_backend_find(names[i], &api);
    if (status == DUEL_OK) status = api->open(&b, &(duel_backend_options){.threads = 0});
    char text[512];
    snprintf(text, sizeof text, "%s", status == DUEL_OK ? api->describe(b) : duel_last_error());
    if (b) api->close(b);
    if (!json) {
      fprintf(out, "%-6s %-12s %s\n", names[i], status == DUEL_OK ? "works" : "unavailable", text);
      continue;
    }
    fprintf(out, "%s{\"works\": %s, ", i ? ", " : "", status == DUEL_OK ? "true" : "false");
    json_field(out, "backend", names[i]);
    fputs(", ", out);
    json_field(out, "about", text);
    fputs("}", out);
  }
  if (json) fprintf(out, "]}\n");
  duel_clear_error();
  return written(out);
}

// ---- runs

static bool read_stats(const char *line, size_t n, int64_t *step, double *d_loss, double *g_loss) {
  duel_json *root;
  if (duel_json_parse(&root, line, n) != DUEL_OK) return false;
  const duel_json *s = duel_json_get(root, "step"), *d = duel_json_get(root, "d_loss"),
                  *g = duel_json_get(root, "g_loss");
  bool found = s && d && g;
  if (found) *step = s->integer, *d_loss = d->number, *g_loss = g->number;
  duel_free(root);
  return found;
}

// The last whole line of a run's stats.jsonl (a kill may have torn the very last): step and losses, or false.
static bool last_stats(const char *folder, int64_t *step, double *d_loss, double *g_loss) {
  char path[4096];
  uint8_t *bytes;
  size_t n;
  bool found = false;
  snprintf(path, sizeof path, "%s/stats.jsonl", folder);
  if (duel_file_read(path, (size_t)1 << 30, &bytes, &n) != DUEL_OK) return false;
  for (int tries = 0; tries < 2 && n > 0 && !found; tries++) {
    while (n > 0 && bytes[n - 1] == '\n') n--;
    size_t begin = n;
    while (begin > 0 && bytes[begin - 1] != '\n') begin--;
    found = read_stats((const char *)bytes + begin, n - begin, step, d_loss, g_loss);
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
  DIR *dir = opendir(outdir);
  if (!dir) return duel_fail(DUEL_ERR_DATA, "%s: %s", outdir, strerror(errno));
  duel_status status = DUEL_OK;
  for (struct dirent *e; (e = readdir(dir)) && status == DUEL_OK;) {
    if (strspn(e->d_name, "0123456789") != 5 || e->d_name[5] != '-') continue;
    run_name *grown = duel_realloc(*names, (size_t)(*n + 1) * sizeof *grown);
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

static void print_run(FILE *out, const char *outdir, const char *name, int json) {
  char folder[3072];
  int64_t step = 0, *kept;
  double d_loss = 0, g_loss = 0;
  snprintf(folder, sizeof folder, "%s/%s", outdir, name);
  bool stats = last_stats(folder, &step, &d_loss, &g_loss);
  int checkpoints;
  if (duel_rundir_checkpoints(folder, &kept, &checkpoints) != DUEL_OK) duel_clear_error(); // a table goes on without
  if (json) {
    fprintf(out, "{");
    json_field(out, "run", name);
    if (stats) fprintf(out, ", \"step\": %" PRId64 ", \"d_loss\": %.9g, \"g_loss\": %.9g", step, d_loss, g_loss);
    fprintf(out, ", \"checkpoints\": [");
    for (int i = 0; i < checkpoints; i++) fprintf(out, "%s%" PRId64, i ? ", " : "", kept[i]);
    fprintf(out, "]}");
    duel_free(kept);
    return;
  }
  fprintf(out, "%-44s ", name);
  if (stats)
    fprintf(out, "%10" PRId64 " %10.4f %10.4f ", step, d_loss, g_loss);
  else
    fprintf(out, "%10s %10s %10s ", "-", "-", "-");
  for (int i = 0; i < checkpoints; i++) fprintf(out, " %" PRId64, kept[i]);
  fprintf(out, "\n");
  duel_free(kept);
}

duel_status duel_info_runs(FILE *out, const char *outdir, int json) {
  run_name *names;
  int n;
  DUEL_TRY(list_runs(outdir, &names, &n));
  if (json)
    fprintf(out, "{\"runs\": [");
  else if (n == 0)
    fprintf(out, "no runs in %s\n", outdir);
  else
    fprintf(out, "%-44s %10s %10s %10s  %s\n", "run", "step", "D loss", "G loss", "checkpoints");
  for (int i = 0; i < n; i++) {
    if (json && i) fputs(", ", out);
    print_run(out, outdir, names[i], json);
  }
  duel_free(names);
  if (json) fprintf(out, "]}\n");
  return written(out);
}

// ---- one checkpoint

// A stranger's file shall not steer the terminal.
static void print_plain(FILE *out, const char *text, int width) {
  int n = 0;
  for (; text[n]; n++) fputc((unsigned char)text[n] < 0x20 && text[n] != '\n' ? '?' : text[n], out);
  fprintf(out, "%*s", width > n ? width - n : 0, "");
}

duel_status duel_info_checkpoint(FILE *out, const char *path, int json) {
  duel_tensor_file f;
  DUEL_TRY(duel_tensors_read(&f, path));
  int wide = 32; // of the names
  for (int i = 0; i < f.n; i++)
    if (strlen(f.entry[i].name) > (size_t)wide && strlen(f.entry[i].name) <= 72) wide = (int)strlen(f.entry[i].name);
  if (json) {
    fprintf(out, "{\"metadata\": {");
    for (int i = 0; i < f.n_meta; i++) {
      fputs(i ? ", " : "", out);
      json_string(out, f.meta[i].key);
      fputs(": ", out);
      json_string(out, f.meta[i].value);
    }
    fprintf(out, "}, \"tensors\": [");
  } else {
    for (int i = 0; i < f.n_meta; i++)
      if (strcmp(f.meta[i].key, "recipe")) {
        print_plain(out, f.meta[i].key, 18);
        fputc(' ', out);
        print_plain(out, f.meta[i].value, 0);
        fputc('\n', out);
      }
    fprintf(out, "\n%-*s %-5s %-16s %12s\n", wide, "tensor", "type", "shape", "bytes");
  }
  for (int i = 0; i < f.n; i++) {
    const duel_entry *e = &f.entry[i];
    if (json) {
      fprintf(out, "%s{", i ? ", " : "");
      json_field(out, "name", e->name);
      fprintf(out, ", \"dtype\": \"%s\", \"shape\": [", duel_dtype_name(e->dtype));
      for (int d = 0; d < e->rank; d++) fprintf(out, "%s%" PRId64, d ? ", " : "", e->dim[d]);
      fprintf(out, "]}");
      continue;
    }
    char shape[160] = "";
    size_t length = 0;
    for (int d = 0; d < e->rank && length < sizeof shape; d++)
      length += (size_t)snprintf(shape + length, sizeof shape - length, "%s%" PRId64, d ? "x" : "", e->dim[d]);
    fprintf(out, "%-*s %-5s %-16s %12zu\n", wide, e->name, duel_dtype_name(e->dtype), shape, e->bytes);
  }
  if (json)
    fprintf(out, "]}\n");
  else if (duel_tensors_meta(&f, "recipe")) {
    fputc('\n', out);
    print_plain(out, duel_tensors_meta(&f, "recipe"), 0);
  }
  duel_tensors_close(&f);
  return written(out);
}

// ---- items to files

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n >= m && !strcmp(s + n - m, end);
}

static int64_t columns_of(int64_t n) { // as square as it gets
  int64_t c = 1;
  while (c * c < n) c++;
  return c;
}

static duel_status write_folder(const char *path, const float *items, int64_t n, const int64_t *dim,
                                const uint64_t *names) {
  int64_t item = dim[0] * dim[1] * dim[2];
  DUEL_TRY(duel_make_folder(path));
  for (int64_t i = 0; i < n; i++) {
    char file[4096];
    uint64_t name = names ? names[i] : (uint64_t)i;
    int length = snprintf(file, sizeof file, "%s%s%05" PRIu64 ".png", path, ends_with(path, "/") ? "" : "/", name);
    if (length < 0 || (size_t)length >= sizeof file) return duel_fail(DUEL_ERR_IO, "the path %s is too long", path);
    DUEL_TRY(duel_grid_write(file, items + i * item, 1, 1, dim));
  }
  return DUEL_OK;
}

duel_status duel_write_items(const char *path, const float *items, int64_t n, int rank, const int64_t *dim,
                             const uint64_t *names) {
  struct stat st;
  bool folder = ends_with(path, "/") || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
  bool image = rank == 3;
  if (n < 1 || (rank != 3 && rank != 1)) return duel_fail(DUEL_ERR_USAGE, "there is nothing to write to %s", path);
  if (ends_with(path, ".npy")) {
    int64_t shape[4] = {n, dim[0], image ? dim[1] : 0, image ? dim[2] : 0};
    return duel_npy_write(path, items, rank + 1, shape);
  }
  if (!image && rank == 1 && dim[0] == 2 && ends_with(path, ".png"))
    return duel_scatter_write(path, items, n, NULL, 0, 512);
  if (!image) return duel_fail(DUEL_ERR_USAGE, "%s: items are no images; write them as .npy", path);
  if (folder) return write_folder(path, items, n, dim, names);
  if (ends_with(path, ".png")) return duel_grid_write(path, items, n, columns_of(n), dim);
  if (ends_with(path, ".idx")) return duel_idx_write(path, items, n, dim);
  return duel_fail(DUEL_ERR_USAGE, "%s: the ending says no format; use .png, .npy, .idx, or a folder ending in /",
                   path);
}

duel_status duel_write_file(const char *path, const void *bytes, size_t n) {
  return duel_file_write(path, bytes, n);
}
