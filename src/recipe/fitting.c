// Which sizes of images a recipe takes, where those of the data leave a rest in an expression such as $H/16: found by
// reading it again with other sizes, so that whatever is said was tried.
#include <string.h>

#include "recipe/parts.h"

enum { MOST_FACTOR = 512, MOST_SIZE = 16384, AMPLE = 64 };

// Mistakes when the recipe is read for images of this size; in `fractions` the divisions that leave a rest.
static int mistakes(const duel_reading *rd, int64_t height, int64_t width, int *fractions) {
  duel_pool pool = {0};
  duel_recipe r = {0};
  duel_data_shape shape = *rd->data;
  shape.dim[1] = height;
  shape.dim[2] = width;
  duel_reading again = {.pool = &pool, .data = &shape, .root = rd->root};
  duel_read_recipe(&again, &r);
  const int n = again.problems + again.more + again.no_memory;
  *fractions = again.fractions;
  duel_pool_close(&pool);
  return n;
}

static bool is_whole(const duel_reading *rd, int64_t height, int64_t width) {
  int fractions;
  mistakes(rd, height, width, &fractions);
  return fractions == 0;
}

static bool takes(const duel_reading *rd, int64_t height, int64_t width) {
  int fractions;
  return mistakes(rd, height, width, &fractions) == 0;
}

// What the heights (axis 0) or widths must be divided by; 0: no small number.
static int64_t factor(const duel_reading *rd, int axis) {
  const int64_t ample = INT64_C(27720) * AMPLE; // by 1 … 12 and powers of 2 up to 512, so the other axis leaves no rest
  for (int64_t n = 1; n <= MOST_FACTOR; n++)
    if (axis == 0 ? is_whole(rd, n, ample) : is_whole(rd, ample, n)) return n;
  return 0;
}

static int64_t down_to(int64_t size, int64_t factor) {
  return size >= factor ? size - size % factor : factor;
}

// The square nearest below the smaller side of the data, else above it; 0: there is none.
static int64_t square(const duel_reading *rd, int64_t side) {
  for (int64_t n = side; n >= 1 && n > side - MOST_FACTOR; n--)
    if (takes(rd, n, n)) return n;
  for (int64_t n = side + 1; n <= MOST_SIZE && n <= side + MOST_FACTOR; n++)
    if (takes(rd, n, n)) return n;
  return 0;
}

const char *duel_fitting_sizes(duel_reading *rd, const char *name, int64_t own) {
  if (!rd->fractions || !rd->data || rd->data->rank != 3) return "";
  const int64_t height = rd->data->dim[1], width = rd->data->dim[2], factors[2] = {factor(rd, 0), factor(rd, 1)};
  int64_t one = own > 0 && takes(rd, own, own) ? own : 0, both[2] = {0, 0};
  char rule[96] = "other sizes", sizes[96] = "";
  if (!one) one = square(rd, height < width ? height : width);
  for (int i = 0; i < 2 && factors[0] && factors[1]; i++) both[i] = down_to(i ? width : height, factors[i]);
  const bool two = both[0] && both[0] != both[1] && takes(rd, both[0], both[1]);
  if (!one && !two) return "";
  if (factors[0] == factors[1] && two == (both[0] != both[1]) && factors[0])
    snprintf(rule, sizeof rule, "heights and widths that %lld divides", (long long)factors[0]);
  else if (two)
    snprintf(rule, sizeof rule, "heights that %lld divides and widths that %lld divides", (long long)factors[0],
             (long long)factors[1]);
  const char *head =
      duel_phrase(rd, "the data are %lld×%lld, and %s takes %s: ", (long long)height, (long long)width, name, rule);
  if (rd->data->fixed) return duel_phrase(rd, "%sthese keep their size, so set options.data to others", head);
  if (one) snprintf(sizes, sizeof sizes, "data.size=%lld%s", (long long)one, two ? " or " : "");
  const size_t used = strlen(sizes);
  if (two) snprintf(sizes + used, sizeof sizes - used, "data.size=[%lld,%lld]", (long long)both[0], (long long)both[1]);
  return duel_phrase(rd, "%suse %s", head, sizes);
}
