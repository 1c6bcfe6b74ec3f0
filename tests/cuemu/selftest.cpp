// The self test of the emulator: each part in a file of its own, the harness here.
#include "selftest.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const ORDERS[3] = {"forward", "reverse", "random:7"};

// Without this each child ends with a second of sleep.
extern "C" const char *__tsan_default_options(void);
extern "C" const char *__tsan_default_options() {
  return "atexit_sleep_ms=0";
}

static int n_tests, n_failed;

void check(bool ok, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  printf("%sok %d - ", ok ? "" : "not ", ++n_tests);
  vprintf(fmt, args);
  printf("\n");
  fflush(stdout);
  va_end(args);
  n_failed += !ok;
}

void skip(const char *why, const char *name) {
  printf("ok %d - %s # SKIP %s\n", ++n_tests, name, why);
}

void require(bool ok, const char *expr, const char *file, int line) {
  if (ok) return;
  fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, expr);
  exit(3);
}

void wrong() {
  fprintf(stderr, "selftest: wrong\n");
  exit(2);
}

// Exit code of fn in a child, 128 + the signal that ended it; `said` is its stderr.
static int in_child(void (*fn)(void), const char *order, char *said, size_t size) {
  int ends[2];
  require(pipe(ends) == 0, "pipe", __FILE__, __LINE__);
  fflush(stdout);
  const pid_t child = fork();
  require(child >= 0, "fork", __FILE__, __LINE__);
  if (child == 0) {
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    cuemu_set_order(order);
    fn();
    exit(0);
  }
  close(ends[1]);
  size_t n = 0;
  for (ssize_t got; (got = read(ends[0], said + n, size - 1 - n)) > 0;) n += (size_t)got;
  said[n] = 0;
  for (char drop[4096]; read(ends[0], drop, sizeof drop) > 0;) continue;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool says(const char *said, const char *texts) {
  for (const char *at = texts; *at;) {
    const size_t n = strcspn(at, "|");
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)n, at);
    if (strstr(said, text)) return true;
    at += n + (at[n] == '|');
  }
  return false;
}

static bool by_sanitizer(const char *said) {
  return says(said, "AddressSanitizer|ThreadSanitizer: data race|runtime error:");
}

static char said[64 << 10];

void dies(const char *name, void (*fn)(void), const char *texts) {
  for (const char *order : ORDERS) {
    const int code = in_child(fn, order, said, sizeof said);
    const bool found = (code == 66 && says(said, texts)) || (code != 0 && by_sanitizer(said));
    check(found, "%s, %s", name, order);
    if (!found) printf("# exit code %d, wanted: %s\n# %.400s\n", code, texts, said);
  }
}

void differs(const char *name, void (*fn)(void)) {
  bool found = false, always = true;
  for (const char *order : ORDERS) {
    const int code = in_child(fn, order, said, sizeof said);
    const bool here = code == 2 || (code != 0 && by_sanitizer(said));
    found |= here;
    always &= here;
  }
  check(found, "%s", name);
#ifndef __clang__ // whose TSan loses sight of blocks of 256 threads and more
  if (WITH_TSAN) check(always, "%s, in every order", name);
#endif
  (void)always;
}

void clean(const char *name, void (*fn)(void)) {
  for (const char *order : ORDERS) {
    const int code = in_child(fn, order, said, sizeof said);
    check(code == 0 && said[0] == 0, "%s, %s", name, order);
    if (code != 0 || said[0]) printf("# exit code %d: %.1500s\n", code, said);
  }
}

int main() {
  test_kernels();
  test_planted();
  test_runtime();
  test_graphs();
  test_libraries();
  printf("1..%d\n", n_tests);
  return n_failed > 0;
}
