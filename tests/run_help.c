// See run_help.h.
#include "run_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char recipe_text[] = "recipe: 1\n"
                                  "data: {path: synthetic:shapes, limit: 150}\n"
                                  "latent: 12\n"
                                  "G:\n"
                                  "  - dense: 24\n"
                                  "  - batchnorm\n"
                                  "  - leaky_relu: 0.2\n"
                                  "  - dropout: 0.1\n"
                                  "  - dense: $C*$H*$W\n"
                                  "  - tanh\n"
                                  "  - reshape: [$C, $H, $W]\n"
                                  "D:\n"
                                  "  - flatten\n"
                                  "  - dense: 20\n"
                                  "  - leaky_relu: 0.2\n"
                                  "  - dense: 1\n"
                                  "ema: {half_life: 500 images}\n"
                                  "train: {length: 600 steps, batch: 16, d_steps: 2}\n";

static char folder[] = "/tmp/duel-run-XXXXXX";
char duel_small_recipe[64];

int duel_scratch_open(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  snprintf(duel_small_recipe, sizeof duel_small_recipe, "%s/small.yaml", folder);
  FILE *f = fopen(duel_small_recipe, "w");
  return !f || fputs(recipe_text, f) < 0 || fclose(f) != 0;
}

int duel_scratch_close(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

const char *in_folder(const char *name) {
  static char path[4][128];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
  return path[turn];
}

void must(duel_status status) {
  if (status != DUEL_OK) fail_msg("%s", duel_last_error());
}

bool same_bytes(const char *a, const char *b) {
  FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
  assert_true(x && y);
  int p, q;
  do {
    p = getc(x);
    q = getc(y);
  } while (p == q && p != EOF);
  fclose(x);
  fclose(y);
  return p == q;
}
