// duel bench: backends side by side on the same work. Every backend opens the same run and warms up from step 0, which
// gives the trajectories that are compared; then they take turns, in a rotating order, so that whatever disturbs the
// machine disturbs all of them. A repetition ends with duel_run_stats, which waits for the device. Only then come the
// ops, timed in further steps, the peaks of each device, and other batches and threads, in runs of their own.
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const duel_cli_option options[] = {
    DUEL_CLI_FLAG("recipe", "NAME|FILE", DUEL_CLI_TEXT, 0, "built-in recipe, or a .yaml file", "mlp"),
    DUEL_CLI_DATA("what to learn from", "the recipe's: fashion-mnist"),
    DUEL_CLI_BATCH("the recipe's: 64"),
    DUEL_CLI_KEY("backend", "LIST", DUEL_CLI_BACKEND_NAMES, 0, "run.backend", NULL,
                 "what to measure, with commas; the first is the reference", "all but auto"),
    DUEL_CLI_DEVICE,
    DUEL_CLI_PRECISION,
    DUEL_CLI_NO_CAPTURE,
    DUEL_CLI_THREADS,
    DUEL_CLI_FLAG("warmup", "N", DUEL_CLI_WHOLE, 1, "steps before the measurement, whose losses are compared", "20"),
    DUEL_CLI_FLAG("repetitions", "N", DUEL_CLI_WHOLE, 1, "how often each backend is measured, in turns",
                  "11; 5 with --scale"),
    DUEL_CLI_FLAG("seconds", "X", DUEL_CLI_NUMBER, 0, "length of a repetition in seconds,", "0.5"),
    DUEL_CLI_FLAG("steps", "N", DUEL_CLI_WHOLE, 1, "or in steps", NULL),
    DUEL_CLI_SWITCH("ops", 0, "time every op of a step: where it goes, and what bounds it"),
    DUEL_CLI_SWITCH("nodes", 0, "with --ops: every node of the step too, with its layer"),
    DUEL_CLI_SWITCH("scale", 0, "batches of 16, 32 ... and 1, 2, 4 ... threads up to --threads"),
    DUEL_CLI_FLAG("batch-max", "N", DUEL_CLI_WHOLE, 16, "with --scale: the largest batch", "1024"),
    DUEL_CLI_FLAG("peak-seconds", "X", DUEL_CLI_NUMBER, 0, "about how long each of the two peaks is looked for", "0.5"),
    DUEL_CLI_SETS("any other recipe key; may be repeated"),
    DUEL_CLI_FLAG("json", "FILE|-", DUEL_CLI_TEXT, 0, "all results as JSON; - is standard output, instead of the table",
                  NULL),
    DUEL_CLI_SWITCH("quiet", 'q', "print no table"),
    DUEL_CLI_END,
};

const duel_cli_command duel_cli_bench_command = {
    .name = "bench",
    .usage = "bench [--backend LIST] [--ops] [--scale] [flags]",
    .about =
        "Trains the same recipe on each backend, same seed and data, and prints\n"
        "  ms/step      median of the repetitions, with their quartiles\n"
        "  images/s     real images trained on\n"
        "  speed-up     over the first backend that works: median of the ratios, one a repetition\n"
        "  GFLOP/s GB/s what the planned step computes, reads and writes, over ms/step\n"
        "  first step   from opening the run to the end of its first step\n"
        "  memory       planned, all arenas together\n"
        "Then the step's share of two peaks, measured in the same run with the engine's own kernels, precision and\n"
        "threads: the best of matrix products and 1x1 convolutions of squares, of growing sides (on a CPU the\n"
        "engine's blocks, or OpenBLAS where there is no AVX2; on a GPU cuBLAS); and the better of a copy and an\n"
        "update in place, over arrays that no cache holds, bytes read plus bytes written. Above 100 % caches served\n"
        "the bytes, or fewer multiplications than counted were needed (Winograd's). Last the largest differences\n"
        "from the first backend: of what the warm-up tells (of a GAN its losses), of 64 items generated after it\n"
        "where the game draws any, and of all weights, relative to their norm. A backend that cannot be used says\n"
        "why in its row; one that works is enough for exit code 0.\n"
        "\n"
        "--ops trains as many steps again with a clock at each node. On a CPU the times add up to the step; a GPU,\n"
        "which otherwise runs some nodes side by side, runs them one after another. bound is the peak that the op's\n"
        "FLOPs or bytes would keep busy for longer, and how much of its time that would be.\n"
        "--scale opens runs of other batches, and lets 1, 2, 4 ... threads take turns on each: time an image, also\n"
        "over that of batch 16; speed-up over one thread, and efficiency, a thread's part of it.\n"
        "\n"
        "JSON: version, recipe, data, items, batch, seed, images_per_step, warmup_steps, repetitions, and backends,\n"
        "a list of objects. Each has backend and usable; error where it is not usable; else device, threads,\n"
        "steps_per_repetition, ms (one number a repetition, in order), ms_per_step {median, min, q1, q3, max},\n"
        "images_per_sec, speedup, step_flops, step_bytes, gflops, gbytes_per_sec, peak_gflops, of_peak_gflops,\n"
        "peak_square, peak_gbytes_per_sec, of_peak_gbytes, peak_pass_bytes (or peaks_error), first_step_s,\n"
        "memory_bytes, d_loss and g_loss, or what else the game tells (one number a step of the warm-up), and\n"
        "difference {the same, items, weights}, all 0 in the first; with --ops ops_ms, ops and nodes: lists of\n"
        "{op, layer (nodes), calls, flops, bytes, ms, share, gflops, gbytes_per_sec, bound, of_bound}. With --scale\n"
        "there are scale_repetitions, and scale, a list of {backend, batch, threads, usable, ms_per_step,\n"
        "images_per_sec, us_per_image, of_smallest_batch, speedup, efficiency}. bench/plot.py of the source draws\n"
        "--scale and --ops from it.\n",
    .examples = "duel bench\n"
                "duel bench --backend cpu,cuda --precision fp32 --batch 256\n"
                "duel bench --backend cpu --recipe dcgan --ops --scale --json dcgan.json\n"
                "duel bench --backend cpu --data synthetic:shapes --steps 200 --json bench.json\n",
    .options = options,
};

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
    if (duel_cli_whole(args, names[i], 1) > DUEL_BENCH_MOST_STEPS)
      return duel_cli_error(DUEL_ERR_USAGE, "--%s: %s is too many; at most %llu", names[i],
                            duel_cli_value(args, names[i]), (unsigned long long)DUEL_BENCH_MOST_STEPS);
  if (duel_cli_value(args, "steps") && duel_cli_value(args, "seconds"))
    return duel_cli_error(DUEL_ERR_USAGE, "--steps and --seconds both say how long a repetition is; give one of them");
  return 0;
}

// Flags that are nothing without another one.
static int check_company(const duel_cli_args *args) {
  int ops = duel_cli_value(args, "ops") != NULL, scale = duel_cli_value(args, "scale") != NULL;
  if (duel_cli_value(args, "nodes") && !ops) return duel_cli_error(DUEL_ERR_USAGE, "--nodes adds to --ops; give both");
  if (duel_cli_value(args, "batch-max") && !scale)
    return duel_cli_error(DUEL_ERR_USAGE, "--batch-max is how far --scale goes; give both");
  if (duel_cli_whole(args, "batch-max", 16) > DUEL_BENCH_MOST_BATCH)
    return duel_cli_error(DUEL_ERR_USAGE, "--batch-max: %s is too many; at most %d", duel_cli_value(args, "batch-max"),
                          DUEL_BENCH_MOST_BATCH);
  return 0;
}

static int name_row(duel_bench *b, const char *name, size_t n) {
  if (b->n == DUEL_BENCH_BACKENDS)
    return duel_cli_error(DUEL_ERR_USAGE, "--backend: more than %d names", DUEL_BENCH_BACKENDS);
  snprintf(b->row[b->n++].asked, sizeof b->row[0].asked, "%.*s", (int)n, name);
  return 0;
}

// The rows of --backend; without it one for each backend, but for auto.
static int name_rows(duel_bench *b, const char *list) {
  int rc = 0;
  for (int i = 1; !list && rc == 0 && duel_backend_name(i); i++)
    rc = name_row(b, duel_backend_name(i), strlen(duel_backend_name(i)));
  for (const char *at = list; rc == 0 && at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
    rc = name_row(b, at, strcspn(at, ","));
  return rc;
}

// Nobody could be measured: each reason once, and the first one's exit code.
static int report_none(const duel_bench *b) {
  for (int i = 0; i < b->n; i++) {
    int told = 0;
    for (int k = 0; k < i; k++) told |= !strcmp(b->row[k].error, b->row[i].error);
    if (!told) duel_cli_error(b->row[i].status, "%s", b->row[i].error);
  }
  return b->row[0].status;
}

static int write_json(const char *path, const duel_bench *b, const duel_bench_row *first) {
  char *text = NULL;
  size_t n = 0;
  FILE *out = open_memstream(&text, &n);
  if (!out) return duel_cli_error(DUEL_ERR_DEVICE, "no memory for %s", path);
  duel_bench_json(out, b, first);
  int failed = fclose(out) != 0;
  int rc = failed ? duel_cli_error(DUEL_ERR_DEVICE, "no memory for %s", path) : 0;
  duel_status status = failed ? DUEL_OK : duel_write_file(path, text, n);
  free(text);
  return status == DUEL_OK ? rc : duel_cli_failed(status);
}

static int report(duel_bench *b, const char *json, int quiet) {
  const duel_bench_row *first = duel_bench_reference(b);
  if (!first) return report_none(b);
  for (int i = 0; i < b->n; i++)
    if (b->row[i].run) duel_bench_compare(b, &b->row[i], first);
  int rc = b->batch_max ? duel_bench_scale(b) : 0;
  if (rc) return rc;
  int to_stdout = json && !strcmp(json, "-");
  if (to_stdout) duel_bench_json(stdout, b, first);
  if (!to_stdout && !quiet) duel_bench_print(b, first);
  return json && !to_stdout ? write_json(json, b, first) : 0;
}

int duel_cli_bench(const duel_cli_args *args) {
  static duel_set set[DUEL_CLI_MAX_SETS + 1];
  static duel_bench b;
  int rc = check_settings(args);
  if (rc == 0) rc = check_wholes(args);
  if (rc == 0) rc = check_company(args);
  const char *seconds = duel_cli_value(args, "seconds"), *peaks = duel_cli_value(args, "peak-seconds");
  if (rc == 0) rc = name_rows(&b, duel_cli_value(args, "backend"));
  if (rc) return rc;
  int quiet = duel_cli_value(args, "quiet") != NULL;
  memcpy(set, args->set, sizeof args->set);
  set[args->n_set] = (duel_set){.key = "train.length", .value = DUEL_BENCH_LENGTH, .origin = "bench"};
  b.options = (duel_run_options){.recipe = duel_cli_value(args, "recipe"),
                                 .data = duel_cli_value(args, "data"),
                                 .set = set,
                                 .n_set = args->n_set + 1};
  b.warmup = (int64_t)duel_cli_whole(args, "warmup", 20);
  b.repetitions = (int64_t)duel_cli_whole(args, "repetitions", 11);
  b.scale_repetitions = (int64_t)duel_cli_whole(args, "repetitions", 5);
  b.steps = (int64_t)duel_cli_whole(args, "steps", 0);
  b.seconds = seconds ? strtod(seconds, NULL) : 0.5;
  b.peak_seconds = peaks ? strtod(peaks, NULL) : 0.5;
  b.ops = duel_cli_value(args, "ops") != NULL;
  b.nodes = duel_cli_value(args, "nodes") != NULL;
  if (duel_cli_value(args, "scale")) b.batch_max = (int64_t)duel_cli_whole(args, "batch-max", 1024);
  b.talk = !quiet && isatty(STDERR_FILENO);

  duel_bench_measure(&b);
  rc = report(&b, duel_cli_value(args, "json"), quiet);
  duel_bench_close(&b);
  return rc;
}
