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

// What the heights must be divided by, or, at a height of `height`, the widths; 0: no small number.
static int64_t factor(const duel_reading *rd, int64_t height) {
  const int64_t ample = INT64_C(27720) * AMPLE; // by 1 … 12 and powers of 2 up to 512, so that widths leave no rest
  for (int64_t n = 1; n <= MOST_FACTOR; n++)
    if (height ? is_whole(rd, height, n) : is_whole(rd, n, ample)) return n;
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

// "heights and widths that 16 divides", where that is what they have in common.
static const char *rule(duel_reading *rd, const int64_t factors[2], int64_t one) {
  const long long h = (long long)factors[0], w = (long long)factors[1];
  if (!h || !w || (one && (one % h || one % w))) return "other sizes";
  if (h == w) return duel_phrase(rd, "heights and widths that %lld divides", h);
  if (w == 1) return duel_phrase(rd, "heights that %lld divides", h);
  if (h == 1) return duel_phrase(rd, "widths that %lld divides", w);
  return duel_phrase(rd, "heights that %lld divides and widths that %lld divides", h, w);
}

const char *duel_fitting_sizes(duel_reading *rd, const char *name, int64_t own) {
  if (!rd->fractions || !rd->data || rd->data->rank != 3) return "";
  const int64_t height = rd->data->dim[1], width = rd->data->dim[2];
  int64_t one = own > 0 && takes(rd, own, own) ? own : 0, factors[2] = {factor(rd, 0), 0}, both[2] = {0, 0};
  char sizes[96] = "";
  if (!one) one = square(rd, height < width ? height : width);
  if (factors[0]) factors[1] = factor(rd, factors[0]);
  for (int i = 0; i < 2 && factors[1]; i++) both[i] = down_to(i ? width : height, factors[i]);
  const bool smaller = both[0] <= height && both[1] <= width; // nobody asks for larger images without need
  const bool two = both[0] && (both[0] != both[1] || !one) && (smaller || !one) && takes(rd, both[0], both[1]);
  if (!one && !two) return "";
  const char *head = duel_phrase(rd, "the data are %lld×%lld, and %s takes %s: ", (long long)height, (long long)width,
                                 name, rule(rd, factors, one));
  if (rd->data->fixed) return duel_phrase(rd, "%sthese keep their size, so set options.data to others", head);
  if (one) snprintf(sizes, sizeof sizes, "data.size=%lld%s", (long long)one, two ? " or " : "");
  const size_t used = strlen(sizes);
  if (two) snprintf(sizes + used, sizeof sizes - used, "data.size=[%lld,%lld]", (long long)both[0], (long long)both[1]);
  return duel_phrase(rd, "%suse %s", head, sizes);
}
