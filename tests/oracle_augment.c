// How augmentation changes rows, by 3×3 matrices of places and 4×4 matrices of colors in doubles, as the papers' own
// codes compose them; and whole numbers counted up.
#include <math.h>
#include <string.h>

#include "oracle.h"

typedef struct draws {
  uint32_t key[2], t, pass;
  int64_t row;
  double p;
} draws;

static void block(const draws *d, int slot, uint32_t w[4]) {
  const uint32_t counter[4] = {(uint32_t)(d->row / 4), d->t, 4 + 256 * (4096 * d->pass + (uint32_t)slot), 0};
  duel_ref_philox(counter, d->key, w);
}

static double unit(uint32_t word) {
  const float scaled = (float)word * 0x1p-32f, u = scaled + 0x1p-33f;
  return (double)u;
}

static double uniform(const draws *d, int slot) {
  uint32_t w[4];
  block(d, slot, w);
  return unit(w[d->row % 4]);
}

static double normal(const draws *d, int slot) {
  uint32_t w[4];
  block(d, slot, w);
  const uint32_t *pair = w + d->row % 4 / 2 * 2;
  const double s = sqrt(-2 * log(unit(pair[0]))), angle = 2 * M_PI * (pair[1] * 0x1p-32 + 0x1p-33);
  return d->row % 2 ? s * cos(angle) : s * sin(angle);
}

static int number(const draws *d, int slot, int below) {
  uint32_t w[4];
  block(d, slot, w);
  return (int)((uint64_t)w[d->row % 4] * (uint64_t)below >> 32);
}

static bool happens(const draws *d, int change, const duel_changes *c) {
  return c->share[change] > 0 && uniform(d, 16 * change) <= (double)((float)d->p * c->share[change]);
}

// a = a·b, of n×n.
static void times(int n, double *a, const double *b) {
  double out[16];
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      out[n * i + j] = 0;
      for (int k = 0; k < n; k++) out[n * i + j] += a[n * i + k] * b[n * k + j];
    }
  memcpy(a, out, sizeof(double) * (size_t)(n * n));
}

static void scaled(double m[9], double x, double y) {
  times(3, m, (double[]){1 / x, 0, 0, 0, 1 / y, 0, 0, 0, 1});
}
static void moved(double m[9], double x, double y) {
  times(3, m, (double[]){1, 0, -x, 0, 1, -y, 0, 0, 1});
}
static void turned(double m[9], double angle) {
  times(3, m, (double[]){cos(angle), -sin(angle), 0, sin(angle), cos(angle), 0, 0, 0, 1});
}

static void turned_by_chance(double m[9], const draws *d, int slot, double share) {
  if (share > 0 && uniform(d, slot) <= 1 - sqrt(1 - d->p * share)) turned(m, (uniform(d, slot + 1) * 2 - 1) * M_PI);
}

// m: from places of the result to those of the source, as StyleGAN2-ADA's G_inv.
static void geometry(double m[9], const draws *d, const duel_changes *c) {
  if (happens(d, DUEL_FLIP, c)) scaled(m, 1 - 2 * number(d, 1, 2), 1);
  if (happens(d, DUEL_ROTATE90, c)) turned(m, M_PI / 2 * number(d, 17, 4));
  if (happens(d, DUEL_SHIFT, c))
    moved(m, rint((uniform(d, 33) * 2 - 1) * 0.125 * c->width), rint((uniform(d, 34) * 2 - 1) * 0.125 * c->height));
  if (happens(d, DUEL_SCALE, c)) {
    const double s = exp2(normal(d, 49) * 0.2);
    scaled(m, s, s);
  }
  turned_by_chance(m, d, 64, (double)c->share[DUEL_ROTATE]);
  if (happens(d, DUEL_STRETCH, c)) {
    const double s = exp2(normal(d, 81) * 0.2);
    scaled(m, s, 1 / s);
  }
  turned_by_chance(m, d, 66, (double)c->share[DUEL_ROTATE]);
  if (happens(d, DUEL_FRACTION, c)) moved(m, normal(d, 97) * 0.125 * c->width, normal(d, 98) * 0.125 * c->height);
}

// color = change·color
static void recolor(double color[16], double change[16]) {
  times(4, change, color);
  memcpy(color, change, 16 * sizeof *color);
}

static void colors(double color[16], const draws *d, const duel_changes *c) {
  const double v = 1 / sqrt(3);
  if (happens(d, DUEL_BRIGHTNESS, c)) {
    const double b = normal(d, 113) * 0.2;
    recolor(color, (double[]){1, 0, 0, b, 0, 1, 0, b, 0, 0, 1, b, 0, 0, 0, 1});
  }
  if (happens(d, DUEL_CONTRAST, c)) {
    const double s = exp2(normal(d, 145) * 0.5);
    recolor(color, (double[]){s, 0, 0, 0, 0, s, 0, 0, 0, 0, s, 0, 0, 0, 0, 1});
  }
  const int inverted = happens(d, DUEL_LUMA, c) ? number(d, 161, 2) : 0;
  const double angle = happens(d, DUEL_HUE, c) ? (uniform(d, 177) * 2 - 1) * M_PI : 0;
  const double saturation = happens(d, DUEL_SATURATION, c) ? exp2(normal(d, 129)) : 1;
  double change[3][16] = {{0}};
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {
      const double one = i == j, cross = i == j ? 0 : (j - i + 3) % 3 == 1 ? -v : v;
      change[0][4 * i + j] = one - 2 * v * v * inverted;
      change[1][4 * i + j] = v * v * (1 - cos(angle)) + one * cos(angle) + cross * sin(angle);
      change[2][4 * i + j] = v * v + (one - v * v) * saturation;
    }
  for (int k = 0; k < 3; k++) {
    change[k][15] = 1;
    recolor(color, change[k]);
  }
}

static void ada(const draws *d, const duel_changes *c, double m[9], double *rest) {
  double color[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  geometry(m, d, c);
  colors(color, d, c);
  rest[1] = (color[1] + color[2]) / 2;
  rest[2] = (color[2] - color[1]) / 2;
  rest[0] = color[0] - rest[1];
  rest[3] = color[3];
  if (c->channels != 3) {
    rest[0] = color[0] + color[1] + color[2];
    rest[1] = rest[2] = 0;
  }
  if (happens(d, DUEL_NOISE, c)) rest[5] = fabs(normal(d, 209)) * 0.1;
  if (!happens(d, DUEL_CUTOUT, c)) return;
  for (int axis = 0; axis < 2; axis++) { // 0: columns, whose center is drawn first
    const int side = axis ? c->height : c->width, at = axis ? 6 : 8;
    const double center = uniform(d, 193 + axis);
    int first = -1, n = 0;
    for (int i = 0; i < side; i++)
      if (fabs((i + 0.5) / side - center) < 0.25) first = first < 0 ? i : first, n++;
    rest[at] = first < 0 ? 0 : first;
    rest[at + 1] = rest[at] + n;
  }
}

static void diffaugment(const draws *d, const duel_changes *c, double m[9], double *rest) {
  if (happens(d, DUEL_BRIGHTNESS, c)) rest[3] = uniform(d, 113) - 0.5;
  if (happens(d, DUEL_SATURATION, c)) {
    rest[0] = uniform(d, 129) * 2;
    rest[1] = (1 - rest[0]) / c->channels;
  }
  if (happens(d, DUEL_CONTRAST, c)) rest[4] = uniform(d, 145) + 0.5;
  for (int axis = 0; axis < 2; axis++) { // 0: down
    const int side = axis ? c->width : c->height, far = (int)(side * 0.125 + 0.5), size = (int)(side * 0.5 + 0.5);
    if (happens(d, DUEL_SHIFT, c)) m[axis ? 2 : 5] = number(d, 33 + axis, 2 * far + 1) - far;
    if (!happens(d, DUEL_CUTOUT, c)) continue;
    const int start = number(d, 193 + axis, side + 1 - size % 2) - size / 2;
    rest[6 + 2 * axis] = start < 0 ? 0 : start;
    rest[7 + 2 * axis] = start + size > side ? side : start + size;
  }
}

static void consistency(const draws *d, const duel_changes *c, double m[9]) {
  if (happens(d, DUEL_FLIP, c)) m[0] = -1;
  if (!happens(d, DUEL_SHIFT, c)) return;
  const double down = number(d, 33, 2 * (c->height / 8) + 1) - c->height / 8;
  const double right = number(d, 34, 2 * (c->width / 8) + 1) - c->width / 8;
  m[2] = m[0] * right;
  m[5] = down;
}

void duel_ref_augment(const duel_attr *attr, const duel_ref *in, duel_shape shape, duel_ref *out) {
  const duel_changes *c = &attr->augment.changes;
  const int64_t rows = shape.dim[0];
  const double x = (c->width * (1 + c->twice) - 1) / 2.0 + c->border[1];
  const double y = (c->height * (1 + c->twice) - 1) / 2.0 + c->border[0];
  out[0] = duel_ref_new(DUEL_F64, (duel_shape){3, {rows, 2, 3}});
  out[1] = duel_ref_new(DUEL_F64, (duel_shape){2, {10, rows}});
  draws d = {.pass = c->pass, .p = in[1].data[0]};
  for (int i = 0; i < 2; i++) d.key[i] = (uint32_t)(int64_t)in[0].data[i];
  d.t = (uint32_t)(int64_t)in[0].data[2];
  for (int64_t row = 0; row < rows; row++) {
    double m[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, rest[10] = {0};
    d.row = attr->augment.first + row;
    rest[0] = rest[4] = 1;
    if (c->laws == DUEL_LAWS_ADA) ada(&d, c, m, rest);
    if (c->laws == DUEL_LAWS_DIFFAUGMENT) diffaugment(&d, c, m, rest);
    if (c->laws == DUEL_LAWS_CONSISTENCY) consistency(&d, c, m);
    m[2] *= 1 + c->twice;
    m[5] *= 1 + c->twice;
    double corner[9] = {1, 0, x, 0, 1, y, 0, 0, 1}; // from places around the center to pixels
    times(3, corner, m);
    times(3, corner, (double[]){1, 0, -x, 0, 1, -y, 0, 0, 1});
    memcpy(out[0].data + 6 * row, corner, 6 * sizeof *corner);
    for (int i = 0; i < 10; i++) out[1].data[i * rows + row] = rest[i];
  }
}
