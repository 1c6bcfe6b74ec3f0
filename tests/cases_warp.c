// Cases of affine maps of images, and what fills a map [N, 2, 3]: one of KINDS an image, in turn, so that a case of so
// many images has them all.
#include <math.h>

#include "cases_family.h"

enum { KINDS = 16 };

typedef struct random_numbers {
  uint32_t seed, next;
} random_numbers;

static double between(random_numbers *r, double low, double high) {
  return low + (high - low) * (duel_test_uniform(r->seed, r->next++) + 1) / 2;
}

static void set(double m[6], double a, double b, double x, double c, double d, double y) {
  const double numbers[] = {a, b, x, c, d, y};
  for (int i = 0; i < 6; i++) m[i] = numbers[i];
}

// Turns by an angle and scales about the middle.
static void turn(double m[6], double angle, double scale, double height, double width) {
  const double c = scale * cos(angle), s = scale * sin(angle), x = (width - 1) / 2, y = (height - 1) / 2;
  set(m, c, -s, x - c * x + s * y, s, c, y - s * x - c * y);
}

static void make(double m[6], int kind, double h, double w, random_numbers *r) {
  switch (kind) {
  case 0:
    set(m, 1, 0, 0, 0, 1, 0);
    break;
  case 1: // left and right swapped, and above and below
    set(m, -1, 0, w - 1, 0, 1, 0);
    break;
  case 2:
    set(m, -1, 0, w - 1, 0, -1, h - 1);
    break;
  case 3: // by whole pixels
    set(m, 1, 0, floor(between(r, -w / 2, w / 2)), 0, 1, floor(between(r, -h / 2, h / 2)));
    break;
  case 4:
    set(m, 1, 0, between(r, -2, 2), 0, 1, between(r, -2, 2));
    break;
  case 5: // larger, and smaller
    turn(m, 0, between(r, 0.3, 0.6), h, w);
    break;
  case 6:
    turn(m, 0, between(r, 1.5, 3), h, w);
    break;
  case 7: // by a right angle, exactly
    set(m, 0, -1, w - 1, 1, 0, 0);
    break;
  case 8:
    turn(m, between(r, -3, 3), 1, h, w);
    break;
  case 9:
    turn(m, between(r, -3, 3), between(r, 0.4, 2), h, w);
    break;
  case 10: // sheared
    set(m, 1, between(r, -0.7, 0.7), between(r, -1, 1), 0, 1, between(r, -1, 1));
    break;
  case 11: // near the identity
    set(m, between(r, 0.8, 1.2), between(r, -0.2, 0.2), between(r, -1, 1), between(r, -0.2, 0.2), between(r, 0.8, 1.2),
        between(r, -1, 1));
    break;
  case 12: // anywhere
    set(m, between(r, -2, 2), between(r, -2, 2), between(r, -w, 2 * w), between(r, -2, 2), between(r, -2, 2),
        between(r, -h, 2 * h));
    break;
  case 13: // outside
    set(m, 1, 0, w + 1, 0, 1, 0);
    break;
  case 14: { // all of y from a line of x
    const double a = between(r, -1, 1), b = between(r, -1, 1), slope = 0.5;
    set(m, a, b, between(r, 0, w), slope * a, slope * b, between(r, 0, h));
    break;
  }
  default: // and from one place
    set(m, 0, 0, between(r, 0, w - 1), 0, 0, between(r, 0, h - 1));
  }
}

// integer: in sixteenths, so that whole numbers have exact results. Of a wild map, one number of each row is none, or
// far outside.
void duel_fill_maps(duel_ref *maps, duel_fill fill, duel_shape images, bool integer, uint32_t seed) {
  static const int by_pixels[] = {0, 1, 2, 3, 3, 3, 7};
  static const double far[] = {NAN, INFINITY, -INFINITY, 3e38, -3e38, 1e30, -1e30, 3e9, -3e9, 1e5};
  const double h = (double)images.dim[2], w = (double)images.dim[3];
  for (int64_t n = 0; n < maps->shape.dim[0]; n++) {
    double *m = maps->data + 6 * n;
    random_numbers r = {duel_test_hash(seed, (uint32_t)n), 0};
    const int kind = (int)((n + images.dim[3]) % KINDS);
    make(m, fill == DUEL_FILL_MAP_BY_PIXELS ? by_pixels[kind % LENGTH(by_pixels)] : kind, h, w, &r);
    for (int i = 0; integer && i < 6; i++) m[i] = rint(m[i] * 16) / 16;
    for (int i = 0; fill == DUEL_FILL_MAP_WILD && i < 2; i++)
      m[3 * i + duel_test_hash(r.seed, 50) % 3] = far[(n + 3 * i) % LENGTH(far)];
  }
}

static void warp(duel_shape x, duel_fill fill, duel_fill maps) {
  for (int i = 0; i < 2; i++) {
    duel_case *c = duel_case_add2(i ? DUEL_OP_WARP2D_DX : DUEL_OP_WARP2D, x, fill, DUEL_SHAPE(x.dim[0], 2, 3), maps);
    c->zeros = true; // outside
  }
}

void duel_cases_warp(void) {
  static const duel_shape shapes[] = {
      S(1, 1, 1, 1),    S(3, 2, 1, 1),     S(5, 1, 1, 7),     S(16, 1, 1, 16),  S(16, 2, 9, 1),   S(16, 1, 2, 2),
      S(16, 3, 5, 7),   S(16, 1, 8, 8),    S(16, 4, 7, 9),    S(17, 5, 6, 5), // channels and one more than CUDA's
      S(32, 1, 16, 17), S(16, 9, 17, 16),  S(16, 3, 3, 32),   S(16, 2, 33, 31), S(64, 1, 28, 28), // pieces
      S(19, 3, 32, 32), S(2, 130, 16, 16), S(16, 1, 3, 1100), S(16, 2, 300, 4)};
  for (int i = 0; i < LENGTH(shapes); i++) warp(shapes[i], DUEL_FILL_UNIFORM, DUEL_FILL_MAP);
  warp((duel_shape)S(60, 2, 5, 9), DUEL_FILL_UNIFORM, DUEL_FILL_MAP_WILD);
  warp((duel_shape)S(30, 1, 17, 33), DUEL_FILL_UNIFORM, DUEL_FILL_MAP_WILD);
  warp((duel_shape)S(16, 2, 12, 11), DUEL_FILL_LARGE, DUEL_FILL_MAP_BY_PIXELS);
  warp((duel_shape)S(16, 2, 12, 11), DUEL_FILL_EXTREME, DUEL_FILL_MAP_BY_PIXELS);
}
