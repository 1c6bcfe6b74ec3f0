// How augmentation changes an item: the laws by which each row of a batch draws its numbers, in C that is CUDA too.
//
//   draws   purpose 4, k = 4096·pass + slot; change n has slots 16·n … 16·n + 15, one element a row each. Slot 16·n is
//           its event: it happens if u ≤ p·share. The slots behind it are its numbers, read only where it happens
//   order   ADA (Karras et al. 2020, arXiv:2006.06676, appendix B): moves of pixels as in the list, but for a second
//           rotate behind stretch; then colors, noise, cutout. DiffAugment (Zhao et al. 2020, arXiv:2006.10738):
//           brightness, saturation, contrast, shift, cutout. Consistency (Zhang et al. 2019, arXiv:1910.12027): flip,
//           shift
//
// Each operation on floats is one correctly rounded one where a choice of whole numbers follows from it.
#ifndef DUEL_CORE_AUGMENT_H
#define DUEL_CORE_AUGMENT_H

#include <stdbool.h>

#include "base/normal.h"

typedef enum duel_change { // by number
  DUEL_FLIP,               // left and right change places
  DUEL_ROTATE90,           // quarter turns
  DUEL_SHIFT,              // by whole pixels
  DUEL_SCALE,
  DUEL_ROTATE,
  DUEL_STRETCH,  // wider as it gets lower
  DUEL_FRACTION, // a shift by any distance
  DUEL_BRIGHTNESS,
  DUEL_SATURATION,
  DUEL_CONTRAST,
  DUEL_LUMA, // brightness inverted
  DUEL_HUE,
  DUEL_CUTOUT,
  DUEL_NOISE,
  DUEL_CHANGES
} duel_change;

typedef enum duel_laws { DUEL_LAWS_ADA, DUEL_LAWS_DIFFAUGMENT, DUEL_LAWS_CONSISTENCY } duel_laws;

typedef struct duel_changes {
  float share[DUEL_CHANGES]; // of p, that is a change's probability; 0: it is not there
  int32_t laws;              // a duel_laws
  int32_t channels, height, width;
  int32_t twice;     // 1: the map is of images twice the size
  int32_t border[2]; // the map is of images with so many more rows above and below, and columns on either side
  uint32_t pass;
} duel_changes;

enum { DUEL_SECOND_ROTATE = 66, DUEL_NOISE_ELEMENTS = 210 }; // slots

// What becomes of a row. Pixel (i, j) comes from row map[3]·j + map[4]·i + map[5] and column map[0]·j + map[1]·i +
// map[2] of the source. Then channel c of each pixel is
//
//   same·x_c + sum·Σ x + next·(x_{c+2} − x_{c+1}) + add          (c counts around: `next` is of three channels alone)
//
// Then the distance to the item's mean is multiplied by `contrast`, `noise`·N(0, 1) is added to each element, and rows
// hole[0] ≤ i < hole[1] of columns hole[2] ≤ j < hole[3] become 0. DiffAugment moves pixels behind contrast.
typedef struct duel_changed {
  float map[6];
  float same, sum, next, add, contrast, noise, hole[4];
} duel_changed;
enum { DUEL_CHANGED_MAP = 6, DUEL_CHANGED_NUMBERS = 10 };
DUEL_HD void duel_changed_numbers(const duel_changed *to, float number[DUEL_CHANGED_NUMBERS]) { // those behind the map
  number[0] = to->same, number[1] = to->sum, number[2] = to->next, number[3] = to->add, number[4] = to->contrast;
  number[5] = to->noise;
  for (int i = 0; i < 4; i++) number[6 + i] = to->hole[i];
}

// ---- draws of one row

typedef struct duel_row_draws {
  uint32_t key[2], t, pass;
  int64_t row; // of the batch
  float p;
} duel_row_draws;

DUEL_HD_CALLED duel_block4 duel_row_block(const duel_row_draws *d, int slot) {
  const duel_block4 counter = {(uint32_t)(d->row / 4), d->t, 4u + ((4096u * d->pass + (uint32_t)slot) << 8), 0};
  return duel_philox(counter, d->key[0], d->key[1]);
}
DUEL_HD uint32_t duel_row_word(const duel_row_draws *d, int slot) {
  const duel_block4 b = duel_row_block(d, slot);
  const int lane = (int)(d->row % 4);
  return lane == 0 ? b.x : lane == 1 ? b.y : lane == 2 ? b.z : b.w;
}
DUEL_HD float duel_row_uniform(const duel_row_draws *d, int slot) {
  return duel_uniform_of(duel_row_word(d, slot));
}
DUEL_HD_CALLED float duel_row_normal(const duel_row_draws *d, int slot) {
  const duel_block4 b = duel_row_block(d, slot);
  const int lane = (int)(d->row % 4);
  float first, second;
  duel_normal_pair(lane < 2 ? b.x : b.z, lane < 2 ? b.y : b.w, &first, &second);
  return lane % 2 ? second : first;
}
DUEL_HD int32_t duel_row_class(const duel_row_draws *d, int slot, int32_t below) {
  return (int32_t)((uint64_t)duel_row_word(d, slot) * (uint32_t)below >> 32);
}
DUEL_HD bool duel_row_event(const duel_row_draws *d, int slot, float share) {
  return share > 0 && duel_row_uniform(d, slot) <= DUEL_FMUL(d->p, share);
}
// 2^z, within 1e-7 of it.
DUEL_HD_CALLED float duel_power_of_2(float z) {
  const float whole = floorf(z + 0.5f), f = z - whole;
  float y = 0x1.ffcbfcp-17f; // ln(2)^n/n!, from n = 7 down
  y = DUEL_HORNER(f, y, 0x1.430912p-13f);
  y = DUEL_HORNER(f, y, 0x1.5d87fep-10f);
  y = DUEL_HORNER(f, y, 0x1.3b2ab6p-7f);
  y = DUEL_HORNER(f, y, 0x1.c6b08ep-5f);
  y = DUEL_HORNER(f, y, 0x1.ebfbep-3f);
  y = DUEL_HORNER(f, y, 0x1.62e43p-1f);
  y = DUEL_HORNER(f, y, 1.0f);
  const uint32_t bits = (uint32_t)((int32_t)whole + 127) << 23; // |z| < 100 here
  float scale;
  memcpy(&scale, &bits, 4);
  return y * scale;
}
// The sine and cosine of an angle uniform in (−π, π].
DUEL_HD void duel_row_angle(const duel_row_draws *d, int slot, float *sin, float *cos) {
  duel_turn(duel_row_word(d, slot), sin, cos);
  *sin = -*sin;
  *cos = -*cos;
}

// ---- maps: of centered coordinates, from a place of the result to one of the source

// First this change, then those so far: [a b; c d] and what it moves by.
DUEL_HD_CALLED void duel_map_by(float m[6], float a, float b, float c, float d, float x, float y) {
  const float m0 = m[0], m1 = m[1], m3 = m[3], m4 = m[4];
  m[0] = m0 * a + m1 * c;
  m[1] = m0 * b + m1 * d;
  m[2] = m0 * x + m1 * y + m[2];
  m[3] = m3 * a + m4 * c;
  m[4] = m3 * b + m4 * d;
  m[5] = m3 * x + m4 * y + m[5];
}
DUEL_HD_CALLED void duel_map_rotate(const duel_row_draws *d, int event, float share, float m[6]) {
  const float p = 1 - sqrtf(1 - fminf(DUEL_FMUL(d->p, share), 1.0f)); // twice: p in all
  float sin, cos;
  if (!(share > 0) || duel_row_uniform(d, event) > p) return;
  duel_row_angle(d, event + 1, &sin, &cos);
  duel_map_by(m, cos, -sin, sin, cos, 0, 0);
}

DUEL_HD void duel_move_by_ada(const duel_row_draws *d, const duel_changes *c, float m[6]) {
  if (duel_row_event(d, 16 * DUEL_FLIP, c->share[DUEL_FLIP]) && duel_row_class(d, 16 * DUEL_FLIP + 1, 2))
    duel_map_by(m, -1, 0, 0, 1, 0, 0);
  if (duel_row_event(d, 16 * DUEL_ROTATE90, c->share[DUEL_ROTATE90])) {
    const int32_t turns = duel_row_class(d, 16 * DUEL_ROTATE90 + 1, 4);
    const float cos = turns % 2 ? 0.0f : (float)(1 - turns), sin = turns % 2 ? (float)(2 - turns) : 0.0f;
    duel_map_by(m, cos, -sin, sin, cos, 0, 0);
  }
  if (duel_row_event(d, 16 * DUEL_SHIFT, c->share[DUEL_SHIFT])) {
    const float u = duel_row_uniform(d, 16 * DUEL_SHIFT + 1), v = duel_row_uniform(d, 16 * DUEL_SHIFT + 2);
    const float x = DUEL_FMUL(DUEL_FMUL(DUEL_FADD(2 * u, -1.0f), 0.125f), (float)c->width);
    const float y = DUEL_FMUL(DUEL_FMUL(DUEL_FADD(2 * v, -1.0f), 0.125f), (float)c->height);
    duel_map_by(m, 1, 0, 0, 1, -rintf(x), -rintf(y));
  }
  if (duel_row_event(d, 16 * DUEL_SCALE, c->share[DUEL_SCALE])) {
    const float s = duel_power_of_2(-0.2f * duel_row_normal(d, 16 * DUEL_SCALE + 1));
    duel_map_by(m, s, 0, 0, s, 0, 0);
  }
  duel_map_rotate(d, 16 * DUEL_ROTATE, c->share[DUEL_ROTATE], m);
  if (duel_row_event(d, 16 * DUEL_STRETCH, c->share[DUEL_STRETCH])) {
    const float z = 0.2f * duel_row_normal(d, 16 * DUEL_STRETCH + 1);
    duel_map_by(m, duel_power_of_2(-z), 0, 0, duel_power_of_2(z), 0, 0);
  }
  duel_map_rotate(d, DUEL_SECOND_ROTATE, c->share[DUEL_ROTATE], m);
  if (duel_row_event(d, 16 * DUEL_FRACTION, c->share[DUEL_FRACTION])) {
    const float x = 0.125f * duel_row_normal(d, 16 * DUEL_FRACTION + 1) * (float)c->width;
    const float y = 0.125f * duel_row_normal(d, 16 * DUEL_FRACTION + 2) * (float)c->height;
    duel_map_by(m, 1, 0, 0, 1, -x, -y);
  }
}

// Whole pixels, at most `down` and `right` either way; rows are drawn before columns.
DUEL_HD void duel_move_within(const duel_row_draws *d, const duel_changes *c, int32_t down, int32_t right, float m[6]) {
  if (!duel_row_event(d, 16 * DUEL_SHIFT, c->share[DUEL_SHIFT])) return;
  const int32_t y = duel_row_class(d, 16 * DUEL_SHIFT + 1, 2 * down + 1) - down;
  const int32_t x = duel_row_class(d, 16 * DUEL_SHIFT + 2, 2 * right + 1) - right;
  duel_map_by(m, 1, 0, 0, 1, (float)x, (float)y);
}

// ---- colors, about the gray axis (1, 1, 1)

// First those so far, then this change: of three channels.
DUEL_HD_CALLED void duel_color_by(duel_changed *to, float same, float sum, float next) {
  const float a = to->same, b = to->sum, c = to->next;
  to->same = same * a - 3 * next * c;
  to->sum = same * b + sum * a + 3 * sum * b + next * c;
  to->next = same * c + next * a;
  to->add *= same + 3 * sum;
}

DUEL_HD void duel_color_by_ada(const duel_row_draws *d, const duel_changes *c, duel_changed *to) {
  if (duel_row_event(d, 16 * DUEL_BRIGHTNESS, c->share[DUEL_BRIGHTNESS]))
    to->add = 0.2f * duel_row_normal(d, 16 * DUEL_BRIGHTNESS + 1);
  if (duel_row_event(d, 16 * DUEL_CONTRAST, c->share[DUEL_CONTRAST]))
    duel_color_by(to, duel_power_of_2(0.5f * duel_row_normal(d, 16 * DUEL_CONTRAST + 1)), 0, 0);
  if (duel_row_event(d, 16 * DUEL_LUMA, c->share[DUEL_LUMA]) && duel_row_class(d, 16 * DUEL_LUMA + 1, 2))
    duel_color_by(to, 1, -2.0f / 3, 0);
  if (duel_row_event(d, 16 * DUEL_HUE, c->share[DUEL_HUE])) {
    float sin, cos;
    duel_row_angle(d, 16 * DUEL_HUE + 1, &sin, &cos);
    duel_color_by(to, cos, (1 - cos) / 3, sin * 0x1.279a74p-1f); // 1/√3
  }
  if (duel_row_event(d, 16 * DUEL_SATURATION, c->share[DUEL_SATURATION])) {
    const float s = duel_power_of_2(duel_row_normal(d, 16 * DUEL_SATURATION + 1));
    duel_color_by(to, s, (1 - s) / 3, 0);
  }
  if (c->channels != 3) { // gray is three equal channels
    to->same += 3 * to->sum;
    to->sum = to->next = 0;
  }
}

DUEL_HD void duel_color_by_diffaugment(const duel_row_draws *d, const duel_changes *c, duel_changed *to) {
  if (duel_row_event(d, 16 * DUEL_BRIGHTNESS, c->share[DUEL_BRIGHTNESS]))
    to->add = duel_row_uniform(d, 16 * DUEL_BRIGHTNESS + 1) - 0.5f;
  if (duel_row_event(d, 16 * DUEL_SATURATION, c->share[DUEL_SATURATION])) {
    to->same = 2 * duel_row_uniform(d, 16 * DUEL_SATURATION + 1);
    to->sum = (1 - to->same) / (float)c->channels;
  }
  if (duel_row_event(d, 16 * DUEL_CONTRAST, c->share[DUEL_CONTRAST]))
    to->contrast = duel_row_uniform(d, 16 * DUEL_CONTRAST + 1) + 0.5f;
}

// ---- holes

// Pixels whose centers are less than a quarter of the side from one uniform on it.
DUEL_HD void duel_hole_by_ada(float center, int32_t side, float hole[2]) {
  const float at = DUEL_FMUL(center, (float)side), reach = 0.25f * (float)side;
  hole[0] = fmaxf(floorf(DUEL_FADD(DUEL_FADD(at, -reach), -0.5f)) + 1, 0.0f);
  hole[1] = fminf(ceilf(DUEL_FADD(DUEL_FADD(at, reach), -0.5f)), (float)side);
}
// Half of the side, centered on a pixel or behind the last one.
DUEL_HD void duel_hole_by_diffaugment(const duel_row_draws *d, int slot, int32_t side, float hole[2]) {
  const int32_t size = (side + 1) / 2, first = duel_row_class(d, slot, side + 1 - size % 2) - size / 2;
  hole[0] = (float)(first > 0 ? first : 0);
  hole[1] = (float)(first + size < side ? first + size : side);
}

// ---- a row

// What becomes of row d->row of the batch, p being the changes' common probability.
DUEL_HD duel_changed duel_change_row(const duel_row_draws *d, const duel_changes *c) {
  const int32_t times = c->twice ? 2 : 1;
  const float down = 0.5f * (float)(times * c->height - 1 + 2 * c->border[0]);
  const float right = 0.5f * (float)(times * c->width - 1 + 2 * c->border[1]);
  duel_changed to = {{1, 0, 0, 0, 1, 0}, 1, 0, 0, 0, 1, 0, {0, 0, 0, 0}};
  float *m = to.map;
  if (c->laws == DUEL_LAWS_ADA) {
    duel_move_by_ada(d, c, m);
    duel_color_by_ada(d, c, &to);
    if (duel_row_event(d, 16 * DUEL_NOISE, c->share[DUEL_NOISE]))
      to.noise = 0.1f * fabsf(duel_row_normal(d, 16 * DUEL_NOISE + 1));
    if (duel_row_event(d, 16 * DUEL_CUTOUT, c->share[DUEL_CUTOUT])) {
      duel_hole_by_ada(duel_row_uniform(d, 16 * DUEL_CUTOUT + 1), c->width, to.hole + 2);
      duel_hole_by_ada(duel_row_uniform(d, 16 * DUEL_CUTOUT + 2), c->height, to.hole);
    }
  } else if (c->laws == DUEL_LAWS_DIFFAUGMENT) {
    duel_color_by_diffaugment(d, c, &to);
    duel_move_within(d, c, (c->height + 4) / 8, (c->width + 4) / 8, m);
    if (duel_row_event(d, 16 * DUEL_CUTOUT, c->share[DUEL_CUTOUT])) {
      duel_hole_by_diffaugment(d, 16 * DUEL_CUTOUT + 1, c->height, to.hole);
      duel_hole_by_diffaugment(d, 16 * DUEL_CUTOUT + 2, c->width, to.hole + 2);
    }
  } else {
    if (duel_row_event(d, 16 * DUEL_FLIP, c->share[DUEL_FLIP])) duel_map_by(m, -1, 0, 0, 1, 0, 0);
    duel_move_within(d, c, c->height / 8, c->width / 8, m);
  }
  m[2] = (float)times * m[2] + right - (m[0] * right + m[1] * down);
  m[5] = (float)times * m[5] + down - (m[3] * right + m[4] * down);
  return to;
}

#endif
