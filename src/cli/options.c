// The option parser and the help text. Its messages are in messages.c.
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- values

// A decimal number without sign; 0 if it is none or too large.
static int whole(const char *text, size_t n, uint64_t *value) {
  if (n == 0) return 0;
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++) {
    if (text[i] < '0' || text[i] > '9') return 0;
    uint64_t digit = (uint64_t)(text[i] - '0');
    if (v > (UINT64_MAX - digit) / 10) return 0;
    v = v * 10 + digit;
  }
  *value = v;
  return 1;
}

double duel_cli_seconds(const char *text) {
  double total = 0;
  if (!*text) return -1;
  while (*text) {
    if (*text < '0' || *text > '9') return -1; // strtod would take signs, blanks, "inf"
    char *end;
    double n = strtod(text, &end);
    if (end != text + strspn(text, "0123456789.")) return -1; // nor hexadecimal digits and exponents
    double unit = *end == 'd' ? 86400 : *end == 'h' ? 3600 : *end == 'm' ? 60 : *end == 's' || !*end ? 1 : -1;
    if (unit < 0) return -1;
    total += n * unit;
    text = *end ? end + 1 : end;
  }
  return isfinite(total) ? total : -1;
}

int duel_cli_ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n >= m && !strcasecmp(text + n - m, end);
}

// One item of a list of seeds, "4" or "4-6": returns its length, 0 if it is malformed.
static size_t seed_range(const char *text, uint64_t *first, uint64_t *last) {
  size_t n = strcspn(text, ",");
  const char *dash = memchr(text, '-', n);
  size_t head = dash ? (size_t)(dash - text) : n;
  if (!whole(text, head, first)) return 0;
  *last = *first;
  if (dash && !whole(dash + 1, n - head - 1, last)) return 0;
  return *last < *first ? 0 : n;
}

int64_t duel_cli_seeds_count(const char *text) {
  uint64_t total = 0;
  for (;;) {
    uint64_t first, last;
    size_t n = seed_range(text, &first, &last);
    if (n == 0) return -1;
    uint64_t count = last - first;
    total = count >= INT64_MAX - total ? INT64_MAX : total + count + 1;
    if (!text[n]) return (int64_t)total;
    text += n + 1;
  }
}

int64_t duel_cli_seeds(const char **at, uint64_t *inside, uint64_t *seeds, int64_t n) {
  int64_t filled = 0;
  while (filled < n && **at) {
    uint64_t first, last;
    size_t length = seed_range(*at, &first, &last);
    if (length == 0) break;
    seeds[filled++] = first + *inside;
    if ((*inside)++ < last - first) continue;
    *inside = 0;
    *at += length + ((*at)[length] == ',');
  }
  return filled;
}

// ---- parsing

static int misuse(const duel_cli_command *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int misuse(const duel_cli_command *command, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  duel_cli_complain("error", "\033[1;31m", fmt, ap);
  va_end(ap);
  fprintf(stderr, "See: %s %s --help\n", duel_cli_program(), command->name);
  return DUEL_ERR_USAGE;
}

static int unknown_flag(const duel_cli_command *command, const char *word) {
  const char *known[DUEL_CLI_MAX_OPTIONS + 1];
  int n = 0;
  for (const duel_cli_option *o = command->options; o->name; o++) known[n++] = o->name;
  known[n++] = "help";
  char name[64];
  const char *bare = word + strspn(word, "-");
  snprintf(name, sizeof name, "%.*s", (int)strcspn(bare, "="), bare);
  const char *near = word[1] == '-' || name[1] ? duel_did_you_mean(name, known, n) : NULL;
  return misuse(command, "%s: unknown flag %s%s%s%s", command->name, word, near ? "; did you mean --" : "",
                near ? near : "", near ? "?" : "");
}

// "auto, cpu, cuda"
static const char *backends(char *dst, size_t n) {
  size_t length = 0;
  for (int i = 0; duel_backend_name(i) && length < n; i++)
    length += (size_t)snprintf(dst + length, n - length, "%s%s", i ? ", " : "", duel_backend_name(i));
  return dst;
}

static int check_backend(const duel_cli_command *command, const duel_cli_option *o, const char *value) {
  enum { MOST = 16 };
  char words[128];
  const char *known[MOST];
  int n = 0;
  for (; n < MOST && (known[n] = duel_backend_name(n)); n++)
    if (!strcmp(value, known[n])) return DUEL_CLI_GO_ON;
  const char *near = duel_did_you_mean(value, known, n);
  return misuse(command, "--%s: '%s' is none of %s%s%s%s", o->name, value, backends(words, sizeof words),
                near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int check_backends(const duel_cli_command *command, const duel_cli_option *o, const char *value) {
  for (const char *at = value;; at++) {
    char word[64];
    size_t n = strcspn(at, ",");
    snprintf(word, sizeof word, "%.*s", (int)n, at);
    int rc = check_backend(command, o, word);
    at += n;
    if (rc != DUEL_CLI_GO_ON || !*at) return rc;
  }
}

static int check_value(duel_cli_args *args, const duel_cli_option *o, const char *value) {
  const duel_cli_command *command = args->command;
  uint64_t n;
  char *end;
  if (!*value) return misuse(command, "--%s needs a value (%s)", o->name, o->value);
  switch (o->kind) {
  case DUEL_CLI_WHOLE: {
    const char *digits = value + (*value == '-');
    if (!*digits || digits[strspn(digits, "0123456789")])
      return misuse(command, "--%s: '%s' is not a whole number", o->name, value);
    if (*value == '-' || (whole(value, strlen(value), &n) && n < o->min))
      return misuse(command, "--%s: %s is out of range; the least is %llu", o->name, value, (unsigned long long)o->min);
    if (!whole(value, strlen(value), &n)) return misuse(command, "--%s: %s is too large", o->name, value);
    return DUEL_CLI_GO_ON;
  }
  case DUEL_CLI_NUMBER: {
    double x = strtod(value, &end);
    if (*end || !isfinite(x)) return misuse(command, "--%s: '%s' is not a number", o->name, value);
    if (!(x > 0)) return misuse(command, "--%s: %s is out of range; it must be more than 0", o->name, value);
    return DUEL_CLI_GO_ON;
  }
  case DUEL_CLI_BACKEND_NAME:
    return check_backend(command, o, value);
  case DUEL_CLI_BACKEND_NAMES:
    return check_backends(command, o, value);
  case DUEL_CLI_DURATION:
    if (duel_cli_seconds(value) > 0) return DUEL_CLI_GO_ON;
    return misuse(command, "--%s: '%s' is not a time; examples: 90s, 30m, 8h, 1h30m", o->name, value);
  case DUEL_CLI_SEEDS:
    if (duel_cli_seeds_count(value) > 0) return DUEL_CLI_GO_ON;
    return misuse(command, "--%s: '%s' is not a list of numbers; examples: 7 or 0,1,4-6", o->name, value);
  case DUEL_CLI_SET: {
    char *equals = strchr(value, '=');
    if (!equals || equals == value) return misuse(command, "--%s: '%s' is not key=value", o->name, value);
    if (args->n_set == DUEL_CLI_MAX_SETS) return misuse(command, "more than %d --set", DUEL_CLI_MAX_SETS);
    *equals = 0; // argv belongs to us
    args->set[args->n_set++] = (duel_set){.key = value, .value = equals + 1, .origin = "--set"};
    return DUEL_CLI_GO_ON;
  }
  case DUEL_CLI_TEXT:
  case DUEL_CLI_PASSED_ON:
    break;
  }
  return DUEL_CLI_GO_ON;
}

// Turns the flags that have a key into settings. Two sources for one key are a mistake, whichever would win.
static int join_keys(duel_cli_args *args) {
  const duel_cli_command *command = args->command;
  for (int i = 0; command->options[i].name; i++) {
    const duel_cli_option *o = &command->options[i];
    if (!o->key || !args->value[i]) continue;
    for (int j = 0; j < args->n_set; j++)
      if (!strcmp(args->set[j].key, o->key))
        return misuse(command, "%s and --%s both set %s; give one of them", args->set[j].origin, o->name, o->key);
    if (o->kind == DUEL_CLI_PASSED_ON || o->kind == DUEL_CLI_BACKEND_NAMES) continue;
    static char names[DUEL_CLI_MAX_OPTIONS][24]; // origins outlive this call
    snprintf(names[i], sizeof names[i], "--%s", o->name);
    const char *value = o->value ? args->value[i] : "off"; // a switch with a key is called --no-…
    if (o->unit) {
      if (strlen(value) > 24) return misuse(command, "--%s: %s is out of range", o->name, value);
      snprintf(args->text[i], sizeof args->text[i], "%s%s", value, o->unit);
      value = args->text[i];
    }
    if (args->n_set == DUEL_CLI_MAX_SETS) return misuse(command, "more than %d --set", DUEL_CLI_MAX_SETS);
    args->set[args->n_set++] = (duel_set){.key = o->key, .value = value, .origin = names[i]};
  }
  return DUEL_CLI_GO_ON;
}

int duel_cli_parse(duel_cli_args *args, const duel_cli_command *command, int argc, char **argv) {
  memset(args, 0, sizeof *args);
  args->command = command;
  duel_cli_set_flags(command->options);
  int only_operands = 0;
  for (int i = 0; i < argc; i++) {
    char *word = argv[i];
    if (only_operands || word[0] != '-' || !word[1]) {
      if (args->n_operands == command->max_operands)
        return misuse(command, "%s: unexpected argument '%s'", command->name, word);
      args->operand[args->n_operands++] = word;
      continue;
    }
    if (!strcmp(word, "--")) {
      only_operands = 1;
      continue;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
      duel_cli_help(command);
      return 0;
    }
    if (!strcmp(word, "--version")) {
      printf("duel %s\n", duel_version());
      return 0;
    }
    size_t length = strcspn(word + 2, "=");
    int at = 0;
    const duel_cli_option *o = command->options;
    for (; o->name; o++, at++)
      if (word[1] == '-' ? strlen(o->name) == length && !strncmp(o->name, word + 2, length)
                         : o->letter == word[1] && !word[2])
        break;
    if (!o->name) return unknown_flag(command, word);
    char *value = word[1] == '-' && word[2 + length] == '=' ? word + 3 + length : NULL;
    if (!o->value) {
      if (value) return misuse(command, "--%s takes no value", o->name);
      args->value[at] = "";
      continue;
    }
    if (!value) {
      if (i + 1 == argc || !strncmp(argv[i + 1], "--", 2))
        return misuse(command, "--%s needs a value (%s)", o->name, o->value);
      value = argv[++i];
    }
    int rc = check_value(args, o, value);
    if (rc != DUEL_CLI_GO_ON) return rc;
    args->value[at] = value;
  }
  return join_keys(args);
}

const char *duel_cli_value(const duel_cli_args *args, const char *name) {
  for (int i = 0; args->command->options[i].name; i++)
    if (!strcmp(args->command->options[i].name, name)) return args->value[i];
  return NULL;
}

uint64_t duel_cli_whole(const duel_cli_args *args, const char *name, uint64_t standard) {
  const char *text = duel_cli_value(args, name);
  if (text) whole(text, strlen(text), &standard);
  return standard;
}

// ---- help

void duel_cli_help(const duel_cli_command *command) {
  printf("Usage: %s %s\n\n%s\nFlags:\n", duel_cli_program(), command->usage, command->about);
  for (const duel_cli_option *o = command->options; o->name; o++) {
    char left[64], words[128], letter[8] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
    printf("  %-26s %s", left, o->help);
    if (o->kind == DUEL_CLI_BACKEND_NAME || o->kind == DUEL_CLI_BACKEND_NAMES)
      printf(": %s", backends(words, sizeof words));
    if (o->key && o->standard)
      printf(" [%s, default %s]", o->key, o->standard);
    else if (o->key)
      printf(" [%s]", o->key);
    else if (o->standard)
      printf(" [default %s]", o->standard);
    putchar('\n');
  }
  printf("  %-26s %s\n\nExamples:\n", "-h, --help", "this text");
  // Examples are written with "duel" in front and shown as the user calls us.
  for (const char *line = command->examples; *line;) {
    size_t n = strcspn(line, "\n");
    if (!strncmp(line, "duel ", 5))
      printf("  %s%.*s\n", duel_cli_program(), (int)(n - 4), line + 4);
    else
      printf("  %.*s\n", (int)n, line);
    line += n + (line[n] == '\n');
  }
}
