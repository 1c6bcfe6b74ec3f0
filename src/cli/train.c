// duel train: flags to options, signals to requests, the result to lines that can be pasted.
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "progress.h"

#define FROM_RECIPE "the recipe's"
static const duel_cli_option options[] = {
    DUEL_CLI_FLAG("recipe", "NAME|FILE", DUEL_CLI_TEXT, 0, "built-in recipe, or a .yaml file", "mlp; that of --init"),
    DUEL_CLI_DATA("what to learn from; data.size and the like stay", FROM_RECIPE ": fashion-mnist"),
    DUEL_CLI_OUTDIR("where run directories go"),
    DUEL_CLI_KEY("steps", "N", DUEL_CLI_WHOLE, 1, "train.length", " steps", "length of the training in steps,",
                 FROM_RECIPE),
    DUEL_CLI_KEY("epochs", "X", DUEL_CLI_NUMBER, 0, "train.length", " epochs", "or in passes over the data,",
                 "mlp: 100 epochs"),
    DUEL_CLI_KEY("kimg", "X", DUEL_CLI_NUMBER, 0, "train.length", " kimg", "or in thousands of real images", NULL),
    DUEL_CLI_BATCH(FROM_RECIPE ": 64"),
    DUEL_CLI_KEY("seed", "N", DUEL_CLI_WHOLE, 0, "train.seed", NULL, "of every random draw", "0"),
    DUEL_CLI_BACKEND,
    DUEL_CLI_DEVICE,
    DUEL_CLI_PRECISION,
    DUEL_CLI_NO_CAPTURE,
    DUEL_CLI_THREADS,
    DUEL_CLI_KEY("sample", "LEN", DUEL_CLI_TEXT, 0, "output.sample", NULL, "picture every LEN",
                 FROM_RECIPE ": 1 epoch"),
    DUEL_CLI_KEY("checkpoint", "LEN", DUEL_CLI_TEXT, 0, "output.checkpoint", NULL, "checkpoint every LEN",
                 FROM_RECIPE ": 5 epochs"),
    DUEL_CLI_KEY("keep", "N", DUEL_CLI_WHOLE, 1, "output.keep", NULL, "newest checkpoints kept", FROM_RECIPE ": 3"),
    DUEL_CLI_KEY("limit", "N", DUEL_CLI_WHOLE, 1, "data.limit", NULL, "use the first N items only", "all"),
    DUEL_CLI_KEY("data-memory", "SIZE", DUEL_CLI_TEXT, 0, "run.data_memory", NULL,
                 "stream data larger than this, 64M or 2G, from a file", "auto: half of what is free"),
    DUEL_CLI_FLAG("max-time", "TIME", DUEL_CLI_DURATION, 0, "save and stop after 90s, 30m, 8h", NULL),
    DUEL_CLI_SETS("any other recipe key, as --set optim.lr=0.0001; may be repeated"),
    DUEL_CLI_FLAG("resume", "RUN|latest", DUEL_CLI_TEXT, 0, "go on with a run, in its directory, bit for bit", NULL),
    DUEL_CLI_FLAG("init", "RUN|CHECKPOINT", DUEL_CLI_TEXT, 0, "begin a new run from its weights, those that fit", NULL),
    DUEL_CLI_SWITCH("init-optimizer", 0, "and from its optimizers' moments and update counts"),
    DUEL_CLI_FLAG("desc", "TEXT", DUEL_CLI_TEXT, 0, "ends the name of the run directory", NULL),
    DUEL_CLI_SWITCH("dry-run", 'n', "print recipe, layers and memory plan; write nothing"),
    DUEL_CLI_SWITCH("quiet", 'q', "print only the run directory, at the end"),
    DUEL_CLI_SWITCH("json", 0, "one JSON object a line for each event"),
    DUEL_CLI_END,
};

const duel_cli_command duel_cli_train_command = {
    .name = "train",
    .usage = "train [flags]",
    .about =
        "Trains a generator and a discriminator into a new directory OUTDIR/00000-RECIPE-DATA-batchN: recipe,\n"
        "log, stats.jsonl, pictures and checkpoints. Ctrl-C finishes the step, saves and stops; a second one stops\n"
        "at once; SIGUSR1 saves and goes on. LEN is a number of steps, or '2 epochs', '5000 images', '20 kimg'.\n"
        "[] names the recipe key that a flag stands for.\n",
    .examples = "duel train\n"
                "duel train --data synthetic:shapes --steps 2000 --batch 128 --seed 1\n"
                "duel train --recipe my.yaml --max-time 8h --set optim.lr=0.0001\n"
                "duel train --resume latest --epochs 200\n",
    .options = options,
};

// ---- signals: handlers only set flags, the training thread does the rest. Before there is a run to save, a signal
// ends the process at once (main.c): data may take minutes to decode.

static volatile int request;              // duel_train_options.request
static volatile sig_atomic_t stop_signal; // the first SIGINT, SIGTERM or SIGHUP
static volatile sig_atomic_t save_asked;  // by SIGUSR1, and not told yet
static volatile sig_atomic_t tell_stop;   // say so on stderr

static void on_stop(int signo) {
  if (stop_signal) duel_cli_end_by(signo);
  stop_signal = signo;
  request = 1;
  static const char text[] = "\nduel: finishing the step and saving; once more stops at once\n";
  if (tell_stop && write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

static void on_save(int signo) {
  (void)signo;
  save_asked = 1;
  if (!stop_signal) request = 2;
}

static void catch_others(void) {
  duel_cli_catch(SIGUSR1, on_save);
  duel_cli_catch(SIGPIPE, SIG_IGN); // a reader that leaves does not stop the training
}

static void on_event(void *progress, duel_run *run, const duel_train_event *event) {
  if (event->kind == DUEL_EVENT_START) duel_cli_catch_ends(on_stop);
  if (stop_signal) request = 1; // the library clears a request to save, and a stop may have come just before that
  duel_progress_event(progress, run, event);
  if (event->kind != DUEL_EVENT_CHECKPOINT || !save_asked) return;
  save_asked = 0;
  duel_progress_saved(progress, event->text);
}

// ---- the end

static void print_command(const char *label, const char *command, const char *directory, const char *rest) {
  printf("%-11s ", label);
  duel_cli_shell_word(stdout, duel_cli_program());
  printf(" %s ", command);
  if (*directory == '-') fputs("./", stdout); // no flag
  duel_cli_shell_word(stdout, directory);
  printf("%s\n", rest);
}

// duel_train_result.stopped in words, for people and for programs.
static const struct {
  const char *said, *word;
} how[] = {{"Finished", "finished"},
           {"Stopped as asked", "signal"},
           {"Stopped at --max-time", "max_time"},
           {"Already finished", "already_finished"}};
_Static_assert(sizeof how / sizeof *how == DUEL_STOPPED_BEFORE + 1, "one for each");

static void print_end(const duel_progress *p, const duel_train_result *r, int64_t steps) {
  bool complete = r->stopped == DUEL_STOPPED_BEFORE || r->stopped == DUEL_STOPPED_NOT,
       longer = complete && !r->fixed_length;
  char more[64] = "", took[24] = "";
  if (longer) snprintf(more, sizeof more, " --steps %lld", 2 * (long long)(r->step > 0 ? r->step : 1));
  printf("%s: step %lld", how[r->stopped].said, (long long)r->step);
  if (steps > 0) printf(" of %lld", (long long)steps);
  if (p->last.elapsed_s > 0) {
    duel_progress_duration(took, sizeof took, p->last.elapsed_s);
    printf(", %s", took);
  }
  putchar('\n');
  if (r->stopped == DUEL_STOPPED_BEFORE && longer)
    printf("This run has reached its length; a longer --steps, --epochs or --kimg goes on.\n");
  if (complete && !longer) printf("Its learning rate was planned for this length, and a new run begins its own.\n");
  if (*p->picture && !p->picture_told) duel_cli_put(stdout, "Picture:    %s\n", p->picture);
  if (*r->checkpoint) duel_cli_put(stdout, "Checkpoint: %s\n", r->checkpoint);
  if (!*r->directory) return;
  if (longer || !complete)
    print_command("Resume:", "train --resume", r->directory, more);
  else
    print_command("New run:", "train --init", r->directory, " --init-optimizer");
  if (p->samples) print_command("Generate:", "generate", r->directory, " --count 64 --out grid.png");
}

static void print_json_end(const duel_train_result *r) {
  duel_json_writer w = {.out = stdout};
  duel_json_object(&w, NULL);
  duel_json_text(&w, "event", "result");
  duel_json_text(&w, "stopped", how[r->stopped].word);
  duel_json_integer(&w, "step", r->step);
  duel_json_text(&w, "directory", r->directory);
  duel_json_text(&w, "checkpoint", r->checkpoint);
  duel_json_end(&w);
  putchar('\n');
}

// ---- dry run

static void on_plan(void *json, duel_run *run, const duel_train_event *event) {
  const int *as_json = json;
  char text[4096];
  if (event->kind == DUEL_EVENT_WARNING || event->kind == DUEL_EVENT_ALARM) duel_progress_warn(event);
  if (event->kind == DUEL_EVENT_NOTE && !*as_json)
    duel_cli_put(stdout, "%s\n", duel_cli_with_flags(text, sizeof text, event->text));
  if (event->kind == DUEL_EVENT_START) duel_cli_print_run(run, 0, *as_json);
}

static int check_together(const duel_train_options *o) {
  if (o->resume && o->run.init)
    return duel_cli_error(DUEL_ERR_USAGE, "--resume goes on with a run and --init begins a new one; give one of them");
  if (o->resume && o->desc)
    return duel_cli_error(DUEL_ERR_USAGE, "--desc names a new run, and --resume goes on with an old: leave --desc out");
  if (o->resume && o->outdir && strcmp(o->resume, "latest") != 0)
    return duel_cli_error(DUEL_ERR_USAGE,
                          "--outdir is for a new run or for --resume latest; '%s' says where it is: leave --outdir out",
                          o->resume);
  return 0;
}

int duel_cli_train(const duel_cli_args *args) {
  const char *max_time = duel_cli_value(args, "max-time");
  int quiet = duel_cli_value(args, "quiet") != NULL, json = duel_cli_value(args, "json") != NULL;
  duel_train_options o = {
      .run = {.recipe = duel_cli_value(args, "recipe"),
              .data = duel_cli_value(args, "data"),
              .set = args->set,
              .n_set = args->n_set,
              .init = duel_cli_value(args, "init"),
              .init_optimizer = duel_cli_value(args, "init-optimizer") != NULL},
      .outdir = duel_cli_value(args, "outdir"),
      .desc = duel_cli_value(args, "desc"),
      .resume = duel_cli_value(args, "resume"),
      .max_seconds = max_time ? duel_cli_seconds(max_time) : 0,
      .on_event = on_event,
      .request = &request,
  };
  int rc = check_together(&o);
  if (rc) return rc;
  static char init[4096], note[1024];
  if (o.run.init) {
    duel_status status = duel_find_checkpoint(o.run.init, o.outdir, init, sizeof init, note, sizeof note);
    if (status != DUEL_OK) return duel_cli_failed(status);
    if (*note) duel_cli_warn(note);
    o.run.init = init;
  }
  if (duel_cli_value(args, "dry-run")) {
    o.dry_run = 1;
    o.on_event = on_plan;
    o.ctx = &json;
    duel_status status = duel_train(&o, NULL);
    return status == DUEL_OK ? 0 : duel_cli_failed(status);
  }

  static duel_progress progress;
  duel_progress_open(&progress, quiet, json);
  o.ctx = &progress;
  tell_stop = !quiet && isatty(STDERR_FILENO);
  catch_others();
  static duel_train_result result;
  duel_status status = duel_train(&o, &result);
  duel_progress_clear(&progress);
  if (status != DUEL_OK) {
    rc = duel_cli_failed(status);
    if (*result.checkpoint) duel_cli_put(stderr, "duel: the last checkpoint is %s\n", result.checkpoint);
    return rc;
  }
  if (json)
    print_json_end(&result);
  else if (quiet)
    isatty(STDOUT_FILENO) ? duel_cli_put(stdout, "%s\n", result.directory) : (void)puts(result.directory);
  else
    print_end(&progress, &result, progress.last.stats.steps);
  return result.stopped == DUEL_STOPPED_BY_REQUEST && stop_signal ? 128 + stop_signal : 0;
}
