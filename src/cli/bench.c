// duel bench: backends side by side on the same work. Every backend opens the same run and warms up from step 0, which
// gives the trajectories that are compared; then they take turns, in a rotating order, so that whatever disturbs the
// machine disturbs all of them. A repetition ends with duel_run_stats, which waits for the device.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "progress.h"

enum { MOST_ROWS = 8, ITEMS = 64 };
static const uint64_t MOST_STEPS = 4000000000; // the length of every run here
#define LENGTH "4000000000 steps"

static const duel_cli_option options[] = {
    {.name = "recipe", .value = "NAME|FILE", .help = "built-in recipe, or a .yaml file", .standard = "mlp"},
    DUEL_CLI_DATA("what to learn from", "the recipe's: fashion-mnist"),
    DUEL_CLI_BATCH("the recipe's: 64"),
    {.name = "backend",
     .value = "LIST",
     .kind = DUEL_CLI_CHOICES,
     .choices = "auto|cpu|cuda",
     .key = "run.backend",
     .direct = 1,
     .help = "what to measure, with commas; the first is the reference",
     .standard = "cpu,cuda"},
    DUEL_CLI_DEVICE,
    DUEL_CLI_PRECISION,
    DUEL_CLI_NO_CAPTURE,
    DUEL_CLI_THREADS,
    {.name = "warmup",
     .value = "N",
     .kind = DUEL_CLI_WHOLE,
     .min = 1,
     .help = "steps before the measurement, whose losses are compared",
     .standard = "20"},
    {.name = "repetitions",
     .value = "N",
     .kind = DUEL_CLI_WHOLE,
     .min = 1,
     .help = "how often each backend is measured, in turns",
     .standard = "11"},
    {.name = "seconds",
     .value = "X",
     .kind = DUEL_CLI_NUMBER,
     .help = "length of a repetition in seconds,",
     .standard = "0.5"},
    {.name = "steps", .value = "N", .kind = DUEL_CLI_WHOLE, .min = 1, .help = "or in steps"},
    DUEL_CLI_SETS("any other recipe key; may be repeated"),
    {.name = "json", .value = "FILE|-", .help = "all results as JSON; - is standard output, instead of the table"},
    {.name = "quiet", .letter = 'q', .help = "print no table"},
    {0},
};

const duel_cli_command duel_cli_bench_command = {
    .name = "bench",
    .usage = "bench [--backend LIST] [flags]",
    .about =
        "Trains the same recipe on each backend, same seed and data, and prints\n"
        "  ms/step      median of the repetitions, with their quartiles\n"
        "  images/s     real images through D\n"
        "  speed-up     over the first backend that works: median of the ratios, one a repetition\n"
        "  GFLOP/s GB/s what the planned step computes and moves, over ms/step\n"
        "  first step   from opening the run to the end of its first step\n"
        "  memory       planned, all arenas together\n"
        "then the largest differences from the first backend: of the losses of the warm-up's steps, and of 64 items\n"
        "generated after it. A backend that cannot be used says why in its row; one that works is enough for exit\n"
        "code 0.\n"
        "\n"
        "JSON: version, recipe, data, items, batch, seed, images_per_step, warmup_steps, repetitions, and backends, a\n"
        "list of objects. Each has backend and usable; error where it is not usable; else device, "
        "steps_per_repetition,\n"
        "ms (one number a repetition, in order), ms_per_step {median, min, q1, q3, max}, images_per_sec, speedup,\n"
        "step_flops, step_bytes, gflops, gbytes_per_sec, first_step_s, memory_bytes, d_loss and g_loss (one number a\n"
        "step of the warm-up), and difference {d_loss, g_loss, items}, all 0 in the first.\n",
    .examples = "duel bench\n"
                "duel bench --backend cpu,cuda --precision fp32 --batch 256\n"
                "duel bench --backend cpu --data synthetic:shapes --steps 200 --json bench.json\n",
    .options = options,
};

typedef struct row {
  char asked[8]; // a word of --backend
  duel_run *run; // NULL: not usable; status and error say why
  duel_status status;
  char error[1024];
  duel_run_info info;
  int64_t done, steps;    // steps so far, and of a repetition
  double images_per_step; // real ones
  double first_step_s;
  double *d_loss, *g_loss; // [warmup]
  float *items;            // [ITEMS, item]
  double *ms, *sorted;     // [repetitions] per step, in order and sorted
  double speedup, difference_d, difference_g, difference_items;
} row;

typedef struct bench {
  duel_run_options options;
  int64_t warmup, repetitions, steps; // steps 0: as many as fill `seconds`
  double seconds;
  int talk; // to a terminal on stderr
  int n;
  row row[MOST_ROWS];
} bench;

// ---- rows

// The row is out of the bench; the library's message says why.
static void give_up(row *r, duel_status status, const char *why) {
  r->status = status;
  snprintf(r->error, sizeof r->error, "%s", why);
  for (char *c = r->error; (c = strchr(c, '\n'));) *c = ' ';
  duel_run_close(r->run);
  r->run = NULL;
}

static int attempt(row *r, duel_status status) {
  if (status != DUEL_OK) give_up(r, status, duel_last_error());
  return status == DUEL_OK;
}

static void tell(const bench *b, const char *what, const char *who) {
  if (b->talk) fprintf(stderr, "\r\033[K%s%s%s", what, *who ? " " : "", who);
}

static const row *reference(const bench *b) {
  for (int i = 0; i < b->n; i++)
    if (b->row[i].run) return &b->row[i];
  return NULL;
}

static int64_t item_size(const duel_run_info *info) {
  int64_t size = 1;
  for (int i = 0; i < info->rank; i++) size *= info->dim[i];
  return size;
}

static int take_memory(const bench *b, row *r) {
  size_t warmup = (size_t)b->warmup, repetitions = (size_t)b->repetitions, items = ITEMS * (size_t)item_size(&r->info);
  r->d_loss = calloc(2 * warmup, sizeof *r->d_loss);
  r->ms = calloc(2 * repetitions, sizeof *r->ms);
  r->items = calloc(items, sizeof *r->items);
  if (!r->d_loss || !r->ms || !r->items) {
    give_up(r, DUEL_ERR_DEVICE, "the results do not fit in memory; ask for less --warmup and --repetitions");
    return 0;
  }
  r->g_loss = r->d_loss + warmup;
  r->sorted = r->ms + repetitions;
  return 1;
}

static int advance(row *r, int64_t steps, duel_stats *stats) {
  if (steps > (int64_t)MOST_STEPS - r->done) {
    give_up(r, DUEL_ERR_USAGE, "all repetitions together have more than " LENGTH "; ask for less");
    return 0;
  }
  r->done += steps;
  return attempt(r, duel_run_advance(r->run, steps)) && attempt(r, duel_run_stats(r->run, stats));
}

// The trajectory from step 0: losses step by step, and what G makes then.
static void warm_up(const bench *b, row *r) {
  tell(b, "warming up", r->asked);
  duel_run_options o = b->options;
  duel_stats stats;
  o.backend = r->asked;
  double begin = duel_cli_now();
  if (!attempt(r, duel_run_open(&r->run, &o))) return;
  r->info = duel_run_describe(r->run);
  if (!take_memory(b, r)) return;
  for (int64_t i = 0; i < b->warmup; i++) {
    if (!advance(r, 1, &stats)) return;
    if (i == 0) r->first_step_s = duel_cli_now() - begin;
    r->d_loss[i] = stats.d_loss;
    r->g_loss[i] = stats.g_loss;
  }
  r->images_per_step = 1000 * stats.kimg / (double)stats.step;
  uint64_t seeds[ITEMS];
  for (int i = 0; i < ITEMS; i++) seeds[i] = (uint64_t)i;
  attempt(r, duel_generate(r->run, seeds, ITEMS, r->items));
}

// ms per step of so many steps; negative where they failed.
static double measure(row *r, int64_t steps) {
  duel_stats stats;
  double begin = duel_cli_now();
  if (!advance(r, steps, &stats)) return -1;
  return 1000 * (duel_cli_now() - begin) / (double)steps;
}

// One repetition that does not count, for what a device does only once; or growing ones, to learn how many steps fill
// the time.
static void rehearse(const bench *b, row *r) {
  r->steps = b->steps > 0 ? b->steps : 1;
  double ms = measure(r, r->steps), all = 1000 * b->seconds;
  if (b->steps > 0) return;
  while (ms >= 0 && ms * (double)r->steps < all / 4) ms = measure(r, r->steps *= 2);
  if (ms < 0) return;
  double fill = round(all / ms);
  r->steps = fill < 1 ? 1 : fill < (double)MOST_STEPS ? (int64_t)fill : (int64_t)MOST_STEPS;
}

static void take_turns(bench *b) {
  char which[64];
  for (int64_t k = 0; k < b->repetitions; k++) {
    snprintf(which, sizeof which, "%lld of %lld", (long long)k + 1, (long long)b->repetitions);
    tell(b, "repetition", which);
    for (int i = 0; i < b->n; i++) {
      row *r = &b->row[(k + i) % b->n];
      if (r->run) r->ms[k] = measure(r, r->steps);
    }
  }
  tell(b, "", "");
}

// ---- results

static int ascending(const void *x, const void *y) {
  const double *a = x, *b = y;
  return (*a > *b) - (*a < *b);
}

// Quantile p of n sorted numbers, with linear interpolation.
static double quantile(const double *sorted, int64_t n, double p) {
  double at = p * (double)(n - 1);
  int64_t i = (int64_t)at;
  return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

static double largest_difference(const double *x, const double *y, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i] - y[i]));
  return most;
}

static void compare(const bench *b, row *r, const row *first) {
  int64_t n = b->repetitions, items = ITEMS * item_size(&first->info);
  for (int64_t i = 0; i < n; i++) r->sorted[i] = first->ms[i] / r->ms[i];
  qsort(r->sorted, (size_t)n, sizeof *r->sorted, ascending);
  r->speedup = quantile(r->sorted, n, 0.5);
  memcpy(r->sorted, r->ms, (size_t)n * sizeof *r->ms);
  qsort(r->sorted, (size_t)n, sizeof *r->sorted, ascending);
  r->difference_d = largest_difference(r->d_loss, first->d_loss, b->warmup);
  r->difference_g = largest_difference(r->g_loss, first->g_loss, b->warmup);
  for (int64_t i = 0; i < items; i++)
    r->difference_items = fmax(r->difference_items, fabs((double)r->items[i] - (double)first->items[i]));
}

static double median(const bench *b, const row *r) {
  return quantile(r->sorted, b->repetitions, 0.5);
}

static void print_row(const bench *b, const row *r) {
  if (!r->run) {
    printf("%-8s not usable: %s\n", r->asked, r->error);
    return;
  }
  const int64_t n = b->repetitions;
  char quartiles[64];
  double ms = median(b, r);
  snprintf(quartiles, sizeof quartiles, "%.3f-%.3f", quantile(r->sorted, n, 0.25), quantile(r->sorted, n, 0.75));
  printf("%-8s %9.3f  %-17s %10.0f %8.2fx %9.1f %8.1f %8.3f s %8.1f MiB  %s\n", r->info.backend, ms, quartiles,
         1000 * r->images_per_step / ms, r->speedup, r->info.step_flops / ms / 1e6, r->info.step_bytes / ms / 1e6,
         r->first_step_s, (double)r->info.memory_bytes / 1048576, r->info.device);
}

static void print_table(const bench *b, const row *first) {
  const duel_run_info *f = &first->info;
  printf("%s on %s, batch %lld, seed %llu: %.1f MFLOP and %.1f MB a step; %lld repetitions of ", f->recipe, f->data,
         (long long)f->batch, (unsigned long long)f->seed, f->step_flops / 1e6, f->step_bytes / 1e6,
         (long long)b->repetitions);
  if (b->steps > 0)
    printf("%lld steps\n\n", (long long)b->steps);
  else
    printf("about %g s\n\n", b->seconds);
  printf("%-8s %9s  %-17s %10s %9s %9s %8s %10s %12s  %s\n", "backend", "ms/step", "quartiles", "images/s", "speed-up",
         "GFLOP/s", "GB/s", "first step", "memory", "device");
  for (int i = 0; i < b->n; i++) print_row(b, &b->row[i]);
  for (int i = 0, heading = 0; i < b->n; i++) {
    const row *r = &b->row[i];
    if (!r->run || r == first) continue;
    if (!heading++)
      printf("\nLargest difference from %s, over the first %lld steps and %d items generated then:\n", f->backend,
             (long long)b->warmup, ITEMS);
    printf("%-8s D loss %.3g, G loss %.3g, items %.3g\n", r->info.backend, r->difference_d, r->difference_g,
           r->difference_items);
  }
}

// ---- JSON

static void json_field(FILE *out, const char *key, double value) {
  fprintf(out, ",\"%s\":", key);
  duel_cli_json_number(out, value);
}

static void json_text(FILE *out, const char *key, const char *text) {
  fprintf(out, ",\"%s\":", key);
  duel_cli_json_string(out, text);
}

static void json_list(FILE *out, const char *key, const double *x, int64_t n) {
  fprintf(out, ",\"%s\":[", key);
  for (int64_t i = 0; i < n; i++) {
    if (i) fputc(',', out);
    duel_cli_json_number(out, x[i]);
  }
  fputc(']', out);
}

static void json_row(FILE *out, const bench *b, const row *r) {
  const int64_t n = b->repetitions;
  fputs("{\"backend\":", out);
  duel_cli_json_string(out, r->run ? r->info.backend : r->asked);
  fprintf(out, ",\"usable\":%s", r->run ? "true" : "false");
  if (!r->run) {
    json_text(out, "error", r->error);
    fputc('}', out);
    return;
  }
  double ms = median(b, r);
  json_text(out, "device", r->info.device);
  fprintf(out, ",\"steps_per_repetition\":%lld", (long long)r->steps);
  json_list(out, "ms", r->ms, n);
  fputs(",\"ms_per_step\":{\"median\":", out);
  duel_cli_json_number(out, ms);
  json_field(out, "min", r->sorted[0]);
  json_field(out, "q1", quantile(r->sorted, n, 0.25));
  json_field(out, "q3", quantile(r->sorted, n, 0.75));
  json_field(out, "max", r->sorted[n - 1]);
  fputc('}', out);
  json_field(out, "images_per_sec", 1000 * r->images_per_step / ms);
  json_field(out, "speedup", r->speedup);
  fprintf(out, ",\"step_flops\":%.0f,\"step_bytes\":%.0f", r->info.step_flops, r->info.step_bytes);
  json_field(out, "gflops", r->info.step_flops / ms / 1e6);
  json_field(out, "gbytes_per_sec", r->info.step_bytes / ms / 1e6);
  json_field(out, "first_step_s", r->first_step_s);
  fprintf(out, ",\"memory_bytes\":%zu", r->info.memory_bytes);
  json_list(out, "d_loss", r->d_loss, b->warmup);
  json_list(out, "g_loss", r->g_loss, b->warmup);
  fputs(",\"difference\":{\"d_loss\":", out);
  duel_cli_json_number(out, r->difference_d);
  json_field(out, "g_loss", r->difference_g);
  json_field(out, "items", r->difference_items);
  fputs("}}", out);
}

static void print_json(FILE *out, const bench *b, const row *first) {
  const duel_run_info *f = &first->info;
  fputs("{\"version\":", out);
  duel_cli_json_string(out, duel_version());
  json_text(out, "recipe", f->recipe);
  json_text(out, "data", f->data);
  fprintf(out,
          ",\"items\":%lld,\"batch\":%lld,\"seed\":%llu,\"images_per_step\":%.0f,\"warmup_steps\":%lld,"
          "\"repetitions\":%lld,\"backends\":[",
          (long long)f->items, (long long)f->batch, (unsigned long long)f->seed, first->images_per_step,
          (long long)b->warmup, (long long)b->repetitions);
  for (int i = 0; i < b->n; i++) {
    if (i) fputc(',', out);
    json_row(out, b, &b->row[i]);
  }
  fputs("]}\n", out);
}

static int write_json(const char *path, const bench *b, const row *first) {
  char *text = NULL;
  size_t n = 0;
  FILE *out = open_memstream(&text, &n);
  if (!out) return duel_cli_error(DUEL_ERR_DEVICE, "no memory for %s", path);
  print_json(out, b, first);
  int failed = fclose(out) != 0;
  int rc = failed ? duel_cli_error(DUEL_ERR_DEVICE, "no memory for %s", path) : 0;
  duel_status status = failed ? DUEL_OK : duel_write_file(path, text, n);
  free(text);
  return status == DUEL_OK ? rc : duel_cli_failed(status);
}

// ---- the command

// What the bench decides itself cannot be a setting too.
static int check_settings(const duel_cli_args *args) {
  for (int i = 0; i < args->n_set; i++) {
    if (!strcmp(args->set[i].key, "run.backend"))
      return duel_cli_error(DUEL_ERR_USAGE, "bench: --backend names the backends; run.backend cannot be set");
    if (!strcmp(args->set[i].key, "train.length"))
      return duel_cli_error(DUEL_ERR_USAGE, "bench: --steps, --seconds and --repetitions say how long it trains; "
                                            "train.length cannot be set");
  }
  return 0;
}

static int check_wholes(const duel_cli_args *args) {
  static const char *const names[] = {"warmup", "repetitions", "steps"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (duel_cli_whole(args, names[i], 1) > MOST_STEPS)
      return duel_cli_error(DUEL_ERR_USAGE, "--%s: %s is too many; at most %llu", names[i],
                            duel_cli_value(args, names[i]), (unsigned long long)MOST_STEPS);
  if (duel_cli_value(args, "steps") && duel_cli_value(args, "seconds"))
    return duel_cli_error(DUEL_ERR_USAGE, "--steps and --seconds both say how long a repetition is; give one of them");
  return 0;
}

static int name_rows(bench *b, const char *list) {
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    if (b->n == MOST_ROWS)
      return duel_cli_error(DUEL_ERR_USAGE, "--backend: '%s' has more than %d names", list, MOST_ROWS);
    snprintf(b->row[b->n++].asked, sizeof b->row[0].asked, "%.*s", (int)strcspn(at, ","), at);
  }
  return 0;
}

// Nobody could be measured: each reason once, and the first one's exit code.
static int report_none(const bench *b) {
  for (int i = 0; i < b->n; i++) {
    int told = 0;
    for (int k = 0; k < i; k++) told |= !strcmp(b->row[k].error, b->row[i].error);
    if (!told) duel_cli_error(b->row[i].status, "%s", b->row[i].error);
  }
  return b->row[0].status;
}

static int report(bench *b, const char *json, int quiet) {
  const row *first = reference(b);
  if (!first) return report_none(b);
  for (int i = 0; i < b->n; i++)
    if (b->row[i].run) compare(b, &b->row[i], first);
  int to_stdout = json && !strcmp(json, "-");
  if (to_stdout) print_json(stdout, b, first);
  if (!to_stdout && !quiet) print_table(b, first);
  return json && !to_stdout ? write_json(json, b, first) : 0;
}

int duel_cli_bench(const duel_cli_args *args) {
  static duel_set set[DUEL_CLI_MAX_SETS + 1];
  static bench b;
  int rc = check_settings(args);
  if (rc == 0) rc = check_wholes(args);
  const char *list = duel_cli_value(args, "backend"), *seconds = duel_cli_value(args, "seconds");
  if (rc == 0) rc = name_rows(&b, list ? list : "cpu,cuda");
  if (rc) return rc;
  int quiet = duel_cli_value(args, "quiet") != NULL;
  memcpy(set, args->set, sizeof args->set);
  set[args->n_set] = (duel_set){.key = "train.length", .value = LENGTH, .origin = "bench"};
  b.options = (duel_run_options){.recipe = duel_cli_value(args, "recipe"),
                                 .data = duel_cli_value(args, "data"),
                                 .set = set,
                                 .n_set = args->n_set + 1};
  b.warmup = (int64_t)duel_cli_whole(args, "warmup", 20);
  b.repetitions = (int64_t)duel_cli_whole(args, "repetitions", 11);
  b.steps = (int64_t)duel_cli_whole(args, "steps", 0);
  b.seconds = seconds ? strtod(seconds, NULL) : 0.5;
  b.talk = !quiet && isatty(STDERR_FILENO);

  for (int i = 0; i < b.n; i++) warm_up(&b, &b.row[i]);
  for (int i = 0; i < b.n; i++)
    if (b.row[i].run) rehearse(&b, &b.row[i]);
  take_turns(&b);
  rc = report(&b, duel_cli_value(args, "json"), quiet);
  for (int i = 0; i < b.n; i++) {
    duel_run_close(b.row[i].run);
    free(b.row[i].d_loss);
    free(b.row[i].ms);
    free(b.row[i].items);
  }
  return rc;
}
