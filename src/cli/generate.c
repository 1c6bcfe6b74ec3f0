// duel generate: seeds in, pictures out. A folder is filled batch by batch; one file is made in memory.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"

enum { BATCH = 256, BATCH_NUMBERS = 16 << 20 }; // items at a time, and what they come to at most
static const uint64_t MOST = 10000000;

static const duel_cli_option options[] = {
    DUEL_CLI_FLAG("seeds", "LIST", DUEL_CLI_SEEDS, 0, "one item for each of these seeds: 0,1,4-6", NULL),
    DUEL_CLI_FLAG("count", "N", DUEL_CLI_WHOLE, 1, "the same as --seeds 0-(N-1)", NULL),
    DUEL_CLI_FLAG("class", "LIST", DUEL_CLI_SEEDS, 0, "classes that the items take in turns: 3 or 0,1,4-6",
                  "the seed modulo their number"),
    DUEL_CLI_FLAG("out", "FILE|DIR", DUEL_CLI_TEXT, 0,
                  "FILE.png: one grid; FILE.npy: float32; FILE.idx: bytes; DIR: one PNG a seed", NULL),
    DUEL_CLI_FLAG("columns", "N", DUEL_CLI_WHOLE, 1, "columns of the grid", "about square"),
    DUEL_CLI_OUTDIR("where 'latest' is looked for"),
    DUEL_CLI_BACKEND,
    DUEL_CLI_DEVICE,
    DUEL_CLI_PRECISION,
    DUEL_CLI_THREADS,
    DUEL_CLI_SWITCH("quiet", 'q', "print nothing"),
    DUEL_CLI_SWITCH("json", 0, "the result as a JSON object"),
    DUEL_CLI_END,
};

const duel_cli_command duel_cli_generate_command = {
    .name = "generate",
    .usage = "generate RUN|CHECKPOINT|latest --seeds LIST|--count N --out FILE|DIR [flags]",
    .about =
        "Draws items from a trained generator (its moving average where there is one). A seed gives the same item\n"
        "with any number of threads, whatever its neighbors.\n",
    .examples = "duel generate latest --count 64 --out grid.png\n"
                "duel generate runs/00000-mlp-fashion-mnist-batch64 --seeds 0,1,4-6 --out picks.png --columns 5\n"
                "duel generate latest --count 10000 --out samples/\n"
                "duel generate latest --count 40 --class 3,5 --out two-classes.png\n",
    .options = options,
    .max_operands = 1,
};

static int is_folder(const char *path) {
  struct stat s;
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  return !*base || (stat(path, &s) == 0 ? S_ISDIR(s.st_mode) : !strchr(base, '.'));
}

static int ended(duel_status status) {
  return status == DUEL_OK ? 0 : duel_cli_failed(status);
}

typedef struct drawing {
  duel_run *run;
  duel_run_info info;
  const char *path;
  int folder;
  int64_t columns;
  int64_t size, room; // numbers of an item, items that the memory holds
  float *items;
  uint64_t seeds[BATCH];
  int32_t class_of[BATCH];
  uint64_t classes[BATCH]; // that they take in turns
  int64_t n_classes, drawn;
} drawing;

static duel_status write_drawn(const drawing *d, int64_t n) {
  if (d->columns) return duel_write_grid(d->path, d->items, n, d->info.dim, d->columns);
  return duel_write_items(d->path, d->items, n, d->info.rank, d->info.dim, d->folder ? d->seeds : NULL);
}

// A file is written when all of its items are there, a folder batch by batch.
static duel_status draw_list(drawing *d, const char *list) {
  const int64_t most = d->room < BATCH ? d->room : BATCH;
  uint64_t inside = 0;
  int64_t filled = 0;
  while (*list) {
    const int64_t left = d->room - filled, n = duel_cli_seeds(&list, &inside, d->seeds, left < most ? left : most);
    for (int64_t i = 0; i < n && d->n_classes > 0; i++) d->class_of[i] = (int32_t)d->classes[d->drawn++ % d->n_classes];
    DUEL_TRY(
        duel_generate_classes(d->run, d->seeds, d->n_classes > 0 ? d->class_of : NULL, n, d->items + filled * d->size));
    filled += n;
    if (!d->folder) continue;
    DUEL_TRY(write_drawn(d, filled));
    filled = 0;
  }
  return d->folder ? DUEL_OK : write_drawn(d, filled);
}

// Draws the n items of the list into path. A folder never holds more than a batch of them in memory.
static int draw(duel_run *run, const char *list, const char *classes, int64_t n, const char *path, int64_t columns) {
  static drawing d;
  d = (drawing){.run = run, .info = duel_run_describe(run), .path = path, .folder = is_folder(path), .size = 1};
  for (int i = 0; i < d.info.rank; i++) d.size *= d.info.dim[i];
  static char slashed[4096]; // a name that does not exist yet becomes a folder
  size_t length = strlen(path);
  if (d.folder && path[length - 1] != '/') {
    if (length + 2 > sizeof slashed) return duel_cli_error(DUEL_ERR_USAGE, "--out: the path is too long");
    snprintf(slashed, sizeof slashed, "%s/", path);
    d.path = slashed;
  }
  if (columns && (!duel_cli_ends_with(path, ".png") || d.info.rank != 3))
    return duel_cli_error(DUEL_ERR_USAGE, "--columns is for a grid of images in one .png; leave it out");
  d.columns = columns;
  if (classes && duel_cli_seeds_count(classes) > BATCH)
    return duel_cli_error(DUEL_ERR_USAGE, "--class: at most %d classes at a time", BATCH);
  if (classes) d.n_classes = duel_cli_seeds(&classes, &(uint64_t){0}, d.classes, BATCH);
  for (int64_t i = 0; i < d.n_classes; i++)
    if (d.classes[i] > INT32_MAX) d.classes[i] = INT32_MAX; // which is refused as it is
  d.room = n;
  if (d.folder && d.room > BATCH_NUMBERS / d.size) d.room = BATCH_NUMBERS / d.size > 1 ? BATCH_NUMBERS / d.size : 1;
  if (d.folder && d.room > BATCH) d.room = BATCH;
  const double bytes = (double)d.room * (double)d.size * sizeof(float);
  duel_status status = d.folder ? DUEL_OK : duel_check_memory("one file", bytes, "draw fewer, or into a folder");
  if (status != DUEL_OK) return duel_cli_failed(status);
  d.items = malloc((size_t)(d.room * d.size) * sizeof *d.items);
  if (!d.items)
    return duel_cli_error(DUEL_ERR_DEVICE, "out of memory: the result needs %.0f MiB; draw fewer, or into a folder",
                          bytes / 1048576);
  status = draw_list(&d, list);
  free(d.items);
  return ended(status);
}

int duel_cli_generate(const duel_cli_args *args) {
  const char *list = duel_cli_value(args, "seeds"), *out = duel_cli_value(args, "out");
  uint64_t count = duel_cli_whole(args, "count", 0);
  if (args->n_operands == 0)
    return duel_cli_error(DUEL_ERR_USAGE, "generate: name a run directory, a checkpoint, or latest");
  if (!list == !count) return duel_cli_error(DUEL_ERR_USAGE, "generate: give either --seeds or --count");
  if (!out) return duel_cli_error(DUEL_ERR_USAGE, "generate: --out is needed: a .png, .npy or .idx file, or a folder");
  if (!strcmp(out, "-"))
    return duel_cli_error(DUEL_ERR_USAGE,
                          "generate: --out -: there is none to standard output; name a file or a folder");
  if (!is_folder(out) && !duel_cli_ends_with(out, ".png") && !duel_cli_ends_with(out, ".npy") &&
      !duel_cli_ends_with(out, ".idx"))
    return duel_cli_error(DUEL_ERR_USAGE,
                          "generate: the ending of %s says no format; use .png, .npy, .idx, or a folder ending in /",
                          out);
  char all[32];
  if (!list) {
    snprintf(all, sizeof all, "0-%llu", (unsigned long long)(count - 1));
    list = all;
  }
  count = (uint64_t)duel_cli_seeds_count(list);
  if (count > MOST)
    return duel_cli_error(DUEL_ERR_USAGE, "generate: %llu items are too many; at most %llu at a time",
                          (unsigned long long)count, (unsigned long long)MOST);
  uint64_t columns = duel_cli_whole(args, "columns", 0);
  if (columns > count) columns = count;

  char checkpoint[4096], note[1024];
  duel_run *run = NULL;
  duel_status status = duel_find_checkpoint(args->operand[0], duel_cli_value(args, "outdir"), checkpoint,
                                            sizeof checkpoint, note, sizeof note);
  if (status == DUEL_OK && *note) duel_cli_warn(note);
  if (status == DUEL_OK)
    status = duel_run_open(
        &run, &(duel_run_options){.checkpoint = checkpoint, .sample_only = 1, .set = args->set, .n_set = args->n_set});
  if (status != DUEL_OK) return duel_cli_failed(status);
  int rc = draw(run, list, duel_cli_value(args, "class"), (int64_t)count, out, (int64_t)columns);
  const char *warning = duel_run_describe(run).warning;
  if (*warning) duel_cli_warn(warning);
  duel_run_close(run);
  if (rc) return rc;
  if (duel_cli_value(args, "json")) {
    duel_json_writer w = {.out = stdout};
    duel_json_object(&w, NULL);
    duel_json_unsigned(&w, "items", count);
    duel_json_text(&w, "checkpoint", checkpoint);
    duel_json_text(&w, "out", out);
    duel_json_end(&w);
    putchar('\n');
  } else if (!duel_cli_value(args, "quiet")) {
    duel_cli_put(stdout, "%llu items of %s in %s\n", (unsigned long long)count, checkpoint, out);
  }
  return 0;
}
