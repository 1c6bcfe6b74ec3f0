// See run_help.h.
#include "run_help.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

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

const char *small_recipe;

int small_recipe_setup(void **state) {
  static char path[PATH_MAX];
  scratch_setup(state);
  scratch_put("small.yaml", recipe_text, sizeof recipe_text - 1);
  snprintf(path, sizeof path, "%s", scratch("small.yaml"));
  small_recipe = path;
  return 0;
}
