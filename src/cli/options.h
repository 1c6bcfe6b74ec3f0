// Command lines: one table of flags a command, which parses, checks, and writes the help.
//
// A flag that is the short name of a recipe key carries that key; it becomes a duel_set, so that the recipe reader
// checks it like any other value and its messages name the flag.
#ifndef DUEL_CLI_OPTIONS_H
#define DUEL_CLI_OPTIONS_H

#include <stdarg.h>

#include <duel.h>

typedef enum duel_cli_kind {
  DUEL_CLI_TEXT,          // anything, not empty
  DUEL_CLI_PASSED_ON,     // the same; the command passes it on itself, and key is for messages
  DUEL_CLI_WHOLE,         // whole number ≥ min
  DUEL_CLI_NUMBER,        // number > 0
  DUEL_CLI_BACKEND_NAME,  // one of duel_backend_name
  DUEL_CLI_BACKEND_NAMES, // some of them, with commas between; passed on too
  DUEL_CLI_DURATION,      // 90s, 30m, 8h, 1h30m; seconds without a unit
  DUEL_CLI_SEEDS,         // 0,1,4-6
  DUEL_CLI_SET,           // key=value; may be repeated
} duel_cli_kind;

typedef struct duel_cli_option {
  const char *name;  // without the dashes; NULL ends a table
  char letter;       // short name, 0: none
  const char *value; // what help calls the value; NULL: a switch
  duel_cli_kind kind;
  const char *key;  // recipe key; NULL: none
  const char *unit; // appended to the value when it becomes a recipe's: " steps"
  const char *help;
  const char *standard; // the default, for help; NULL: none
  uint64_t min;         // WHOLE
} duel_cli_option;

// Rows of a table. KEY: of a flag that stands for a recipe key; least: of a WHOLE.
#define DUEL_CLI_SWITCH(name, letter, help)                                                                            \
  { name, letter, NULL, DUEL_CLI_TEXT, NULL, NULL, help, NULL, 0 }
#define DUEL_CLI_FLAG(name, value, kind, least, help, usual)                                                           \
  { name, 0, value, kind, NULL, NULL, help, usual, least }
#define DUEL_CLI_KEY(name, value, kind, least, key, unit, help, usual)                                                 \
  { name, 0, value, kind, key, unit, help, usual, least }
#define DUEL_CLI_END                                                                                                   \
  { .name = NULL }

// Rows that several commands share: each flag means one thing.
#define DUEL_CLI_DATA(help, usual) DUEL_CLI_KEY("data", "NAME|PATH", DUEL_CLI_PASSED_ON, 0, "data", NULL, help, usual)
#define DUEL_CLI_BATCH(usual) DUEL_CLI_KEY("batch", "N", DUEL_CLI_WHOLE, 1, "train.batch", NULL, "items a batch", usual)
#define DUEL_CLI_BACKEND                                                                                               \
  DUEL_CLI_KEY("backend", "NAME", DUEL_CLI_BACKEND_NAME, 0, "run.backend", NULL, "what computes", "auto")
#define DUEL_CLI_DEVICE DUEL_CLI_KEY("device", "N", DUEL_CLI_WHOLE, 0, "run.device", NULL, "number of the GPU", "0")
#define DUEL_CLI_PRECISION                                                                                             \
  DUEL_CLI_KEY("precision", "P", DUEL_CLI_TEXT, 0, "run.precision", NULL,                                              \
               "of products: fp32, bf16, on a GPU also tf32", "auto: tf32 on a GPU, fp32 on a CPU")
#define DUEL_CLI_NO_CAPTURE                                                                                            \
  DUEL_CLI_KEY("no-capture", NULL, DUEL_CLI_TEXT, 0, "run.capture", NULL,                                              \
               "launch a GPU's kernels one by one, for debugging", NULL)
#define DUEL_CLI_THREADS                                                                                               \
  DUEL_CLI_KEY("threads", "N", DUEL_CLI_WHOLE, 1, "run.threads", NULL, "CPU threads; never changes the result",        \
               "what affinity and quota allow")
#define DUEL_CLI_SETS(help) DUEL_CLI_FLAG("set", "KEY=VALUE", DUEL_CLI_SET, 0, help, NULL)
#define DUEL_CLI_OUTDIR(help) DUEL_CLI_FLAG("outdir", "DIR", DUEL_CLI_TEXT, 0, help, "runs")

typedef struct duel_cli_command {
  const char *name, *usage, *about, *examples;
  const duel_cli_option *options; // --help belongs to every command and is not listed
  int max_operands;
} duel_cli_command;

enum { DUEL_CLI_MAX_OPTIONS = 40, DUEL_CLI_MAX_SETS = 256 };
typedef struct duel_cli_args {
  const duel_cli_command *command;
  const char *value[DUEL_CLI_MAX_OPTIONS]; // parallel to options; NULL: not given
  const char *operand[2];
  int n_operands;
  duel_set set[DUEL_CLI_MAX_SETS]; // --set entries, then the flags that have a key
  int n_set;
  char text[DUEL_CLI_MAX_OPTIONS][48]; // values with their unit
} duel_cli_args;

enum { DUEL_CLI_GO_ON = -1 };
// Parses argv[0..argc) (the words behind the command's name). Returns DUEL_CLI_GO_ON, or the exit code: 0 after
// --help, 2 after a message.
int duel_cli_parse(duel_cli_args *args, const duel_cli_command *command, int argc, char **argv);
const char *duel_cli_value(const duel_cli_args *args, const char *name); // NULL: not given; "" for a given switch
// The value of a WHOLE flag (checked by the parser), or `standard`.
uint64_t duel_cli_whole(const duel_cli_args *args, const char *name, uint64_t standard);
double duel_cli_seconds(const char *text); // of a DURATION; negative: not one

int duel_cli_ends_with(const char *text, const char *end); // in letters of either case: .PNG is .png

// Seeds in the order given. *at starts at the text and ends at its end; fills at most n, returns how many.
int64_t duel_cli_seeds(const char **at, uint64_t *inside, uint64_t *seeds, int64_t n);
// How many seeds text names; -1: it is not a list of seeds. Saturates at INT64_MAX.
int64_t duel_cli_seeds_count(const char *text);

// "duel: error: …" on stderr; returns code.
int duel_cli_error(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int duel_cli_failed(duel_status status); // prints the library's message; returns the exit code
void duel_cli_warn(const char *text);    // "duel: warning: …", of the library's text
// The library's text as one for who types flags: it names recipe keys and `options.…`, fields of duel.h's options. A
// key of the present command's flags gets its flag behind it, "data.limit (--limit)"; `options.outdir` becomes
// "--outdir". Returns dst.
const char *duel_cli_with_flags(char *dst, size_t n, const char *text);
// What the others are made of; fmt's arguments in ap.
// As fprintf, but control characters are written as \x1b and the like.
void duel_cli_put(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void duel_cli_vput(FILE *out, const char *fmt, va_list ap);
void duel_cli_complain(const char *kind, const char *color, const char *fmt, va_list ap);
void duel_cli_set_flags(const duel_cli_option *options); // of the present command, for duel_cli_with_flags
void duel_cli_help(const duel_cli_command *command);
void duel_cli_shell_word(FILE *out, const char *word); // quoted where a shell needs it
const char *duel_cli_program(void);                    // how the user calls this command: duel, ./run
void duel_cli_set_program(const char *argv0);

// Signals. Ends the process at once, as the signal would; for handlers.
void duel_cli_end_by(int signo) __attribute__((noreturn));
void duel_cli_catch(int signo, void (*handler)(int signo));
void duel_cli_catch_ends(void (*handler)(int signo)); // SIGINT, SIGTERM, and SIGHUP unless it is ignored

// The commands.
extern const duel_cli_command duel_cli_train_command, duel_cli_generate_command, duel_cli_info_command,
    duel_cli_bench_command;
int duel_cli_train(const duel_cli_args *args);
int duel_cli_generate(const duel_cli_args *args);
int duel_cli_info(const duel_cli_args *args);
int duel_cli_bench(const duel_cli_args *args);
// What --dry-run and `info RECIPE` print: the resolved recipe, layer tables and the plan.
duel_status duel_cli_print_run(duel_run *run, int plan, int json);

#endif
