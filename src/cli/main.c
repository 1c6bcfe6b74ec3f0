// The command: picks the subcommand, and is the only place that leaves the process.
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
  const duel_cli_command *command;
  int (*run)(const duel_cli_args *args);
  const char *summary;
} commands[] = {
    {&duel_cli_train_command, duel_cli_train, "train a GAN; alone: the recipe mlp on fashion-mnist into runs/"},
    {&duel_cli_generate_command, duel_cli_generate, "draw images from a trained generator"},
    {&duel_cli_info_command, duel_cli_info, "show recipes, devices, data sets, runs and checkpoints"},
    {&duel_cli_bench_command, duel_cli_bench, "measure backends side by side on the same training"},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void overview(void) {
  const char *me = duel_cli_program();
  printf("duel %s: a GAN training engine\n\nUsage: %s COMMAND [flags]\n\nCommands:\n", duel_version(), me);
  for (int i = 0; i < N_COMMANDS; i++) printf("  %-10s %s\n", commands[i].command->name, commands[i].summary);
  printf("  %-10s %s\n\n"
         "%s COMMAND --help lists a command's flags and their defaults; %s --version prints the version.\n\n"
         "Examples:\n"
         "  %s train\n"
         "  %s train --epochs 20 --batch 128 --seed 1\n"
         "  %s generate latest --count 64 --out grid.png\n\n"
         "Environment: DUEL_DATA (where data sets are looked for), NO_COLOR, CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS.\n"
         "Exit codes: 0 ok, 1 internal error, 2 usage or recipe, 3 bad input data, 4 files, 5 device or memory,\n"
         "6 diverged, 128 + signal.\n",
         "help", "this text, or the help of a command", me, me, me, me, me);
}

static int find(const char *name) {
  for (int i = 0; i < N_COMMANDS; i++)
    if (!strcmp(commands[i].command->name, name)) return i;
  return -1;
}

static int unknown(const char *word) {
  const char *known[N_COMMANDS + 1], *near = NULL, *me = duel_cli_program();
  for (int i = 0; i < N_COMMANDS; i++) known[i] = commands[i].command->name;
  known[N_COMMANDS] = "help";
  if (word[0] == '-') return duel_cli_error(DUEL_ERR_USAGE, "flag %s without a command; see: %s --help", word, me);
  near = duel_did_you_mean(word, known, N_COMMANDS + 1);
  if (near) return duel_cli_error(DUEL_ERR_USAGE, "unknown command '%s'; did you mean %s?", word, near);
  return duel_cli_error(DUEL_ERR_USAGE, "unknown command '%s'; see: %s --help", word, me);
}

static int dispatch(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : "help";
  if (!strcmp(word, "--version") || !strcmp(word, "version")) {
    printf("duel %s\n", duel_version());
    return 0;
  }
  if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
    int which = argc > 2 ? find(argv[2]) : -1;
    if (argc > 2 && which < 0) return unknown(argv[2]);
    if (which < 0)
      overview();
    else
      duel_cli_help(commands[which].command);
    return 0;
  }
  int which = find(word);
  if (which < 0) return unknown(word);
  static duel_cli_args args;
  int rc = duel_cli_parse(&args, commands[which].command, argc - 2, argv + 2);
  return rc == DUEL_CLI_GO_ON ? commands[which].run(&args) : rc;
}

// A closed descriptor 0, 1 or 2 would become that of the next file opened, and what is printed would land in there.
// What takes its place is for reading, so that printing to it still fails.
static void fill_closed_descriptors(void) {
  int fd;
  do fd = open("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

// Whether who read standard output is gone: `duel info | head`, a closed terminal.
static int reader_left(void) {
  struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
  return poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

int main(int argc, char **argv) {
  duel_cli_catch_ends(duel_cli_end_by);
  duel_cli_catch(SIGPIPE, duel_cli_end_by); // quietly, also where it was ignored
  fill_closed_descriptors();
  signal(SIGXFSZ, SIG_IGN); // a file that grows too large is an error of that write
  duel_cli_set_program(argc > 0 ? argv[0] : NULL);
  int rc = dispatch(argc, argv);
  // Output that did not arrive is a failure, except where its reader left on its own accord.
  int lost = fflush(stdout) != 0 || ferror(stdout);
  if (lost && rc == 0 && !reader_left())
    rc = duel_cli_error(DUEL_ERR_IO, "cannot write to standard output: %s", strerror(errno));
  // OpenBLAS starts threads as it is loaded and waits for them at exit: for ever, if a limit left one without memory.
  struct rlimit space, data;
  if (getrlimit(RLIMIT_AS, &space) == 0 && getrlimit(RLIMIT_DATA, &data) == 0 &&
      (space.rlim_cur != RLIM_INFINITY || data.rlim_cur != RLIM_INFINITY))
    _exit(rc);
  return rc;
}
