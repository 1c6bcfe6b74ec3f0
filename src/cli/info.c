// duel info: looks at things without changing them.
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "progress.h"

static const duel_cli_option options[] = {
    DUEL_CLI_SWITCH("plan", 0, "with a recipe, run or checkpoint: every node of the plan too"),
    DUEL_CLI_DATA("what the recipe learns from", "the recipe's"),
    DUEL_CLI_BATCH("the recipe's"),
    DUEL_CLI_BACKEND,
    DUEL_CLI_SETS("any other recipe key; may be repeated"),
    DUEL_CLI_OUTDIR("where 'latest' is looked for"),
    DUEL_CLI_SWITCH("json", 0, "one JSON object"),
    DUEL_CLI_END,
};

const duel_cli_command duel_cli_info_command = {
    .name = "info",
    .usage = "info recipes|devices|data | RUN|CHECKPOINT|RECIPE|latest | RUNS/ [flags]",
    .about =
        "Shows what there is: the built-in recipes, the devices, the data sets; a recipe (name or .yaml) with its\n"
        "layers and memory plan; a checkpoint or a run's newest one; or a table of the runs in a folder.\n",
    .examples = "duel info recipes\n"
                "duel info mlp --batch 256 --plan\n"
                "duel info runs/\n"
                "duel info latest --json\n",
    .options = options,
    .max_operands = 1,
};

duel_status duel_cli_print_run(duel_run *run, int plan, int json) {
  duel_run_info i = duel_run_describe(run);
  if (!json) {
    duel_progress_header(run);
    printf("\n%s\n", i.text);
    return duel_run_print(run, stdout, plan);
  }
  const struct {
    const char *key, *text;
  } word[] = {{"recipe", i.recipe}, {"data", i.data}, {"backend", i.backend}, {"device", i.device}, {"text", i.text}};
  const struct {
    const char *key;
    int64_t n;
  } number[] = {{"items", i.items},
                {"classes", i.classes},
                {"latent", i.latent},
                {"batch", i.batch},
                {"steps", i.steps},
                {"steps_per_epoch", i.steps_per_epoch},
                {"memory_bytes", (int64_t)i.memory_bytes}};
  duel_json_writer w = {.out = stdout};
  duel_json_object(&w, NULL);
  for (size_t k = 0; k < sizeof word / sizeof word[0]; k++) duel_json_text(&w, word[k].key, word[k].text);
  for (size_t k = 0; k < sizeof number / sizeof number[0]; k++) duel_json_integer(&w, number[k].key, number[k].n);
  duel_json_object(&w, "parameters");
  for (int k = 0; k < i.n_nets; k++) duel_json_integer(&w, i.net[k].name, i.net[k].parameters);
  duel_json_end(&w);
  duel_json_unsigned(&w, "seed", i.seed);
  duel_json_array(&w, "shape");
  for (int k = 0; k < i.rank; k++) duel_json_integer(&w, NULL, i.dim[k]);
  duel_json_end(&w);
  duel_json_end(&w);
  putchar('\n');
  return DUEL_OK;
}

static duel_status show_run(const duel_cli_args *args, const char *recipe, const char *checkpoint, int json) {
  duel_run *run;
  DUEL_TRY(duel_run_open(&run, &(duel_run_options){.recipe = recipe,
                                                   .checkpoint = checkpoint,
                                                   .data = duel_cli_value(args, "data"),
                                                   .set = args->set,
                                                   .n_set = args->n_set,
                                                   .plan_only = 1}));
  duel_status status = duel_cli_print_run(run, duel_cli_value(args, "plan") != NULL, json);
  duel_run_close(run);
  return status;
}

static int exists(const char *path, mode_t kind) {
  struct stat s;
  return stat(path, &s) == 0 && (s.st_mode & S_IFMT) == kind;
}

// A folder that has a recipe.yaml or a checkpoint of its own is a run; any other is a folder of runs.
static int is_run(const char *path) {
  char inside[4096], note[1024];
  int n = snprintf(inside, sizeof inside, "%s/recipe.yaml", path);
  return (n > 0 && n < (int)sizeof inside && exists(inside, S_IFREG)) ||
         duel_find_checkpoint(path, NULL, inside, sizeof inside, note, sizeof note) == DUEL_OK;
}

static int show(const duel_cli_args *args, const char *what) {
  const char *outdir = duel_cli_value(args, "outdir");
  int json = duel_cli_value(args, "json") != NULL, plan = duel_cli_value(args, "plan") != NULL;
  int changed = args->n_set > 0 || duel_cli_value(args, "data");
  int is_yaml = duel_cli_ends_with(what, ".yaml") || duel_cli_ends_with(what, ".yml"), folder = exists(what, S_IFDIR);
  duel_status (*list)(FILE *, int) = !strcmp(what, "recipes")   ? duel_info_recipes
                                     : !strcmp(what, "devices") ? duel_info_devices
                                     : !strcmp(what, "data")    ? duel_info_data
                                                                : NULL;
  int runs = folder && !is_run(what);
  int file = exists(what, S_IFREG) && strchr(what, '.'); // a plain word is a recipe, whatever lies around
  int saved = !is_yaml && (folder || file || strchr(what, '/') || !strcmp(what, "latest"));
  if ((list || runs) && plan) return duel_cli_error(DUEL_ERR_USAGE, "--plan is for a recipe, a run or a checkpoint");
  if ((list || runs || (saved && !plan)) && changed)
    return duel_cli_error(DUEL_ERR_USAGE,
                          "--data, --batch, --backend and --set change a recipe; '%s' is none: leave them out", what);

  char checkpoint[4096], note[1024];
  duel_status status;
  if (list)
    status = list(stdout, json);
  else if (runs)
    status = duel_info_runs(stdout, what, json);
  else if (!saved)
    status = show_run(args, what, NULL, json);
  else if ((status = duel_find_checkpoint(what, outdir, checkpoint, sizeof checkpoint, note, sizeof note)) == DUEL_OK) {
    if (*note) duel_cli_warn(note);
    status = plan ? show_run(args, NULL, checkpoint, json) : duel_info_checkpoint(stdout, checkpoint, json);
  }
  return status == DUEL_OK ? 0 : duel_cli_failed(status);
}

int duel_cli_info(const duel_cli_args *args) {
  if (args->n_operands == 0)
    return duel_cli_error(DUEL_ERR_USAGE, "info: say about what: recipes, devices, data, a run, a checkpoint, a "
                                          "recipe, or a folder of runs");
  return show(args, args->operand[0]);
}
