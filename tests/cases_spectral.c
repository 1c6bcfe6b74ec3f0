// Cases of spectral normalization: rows on either axis, one row and one column, several pieces of a CPU, rows that a
// GPU splits; with and without a power iteration; a weight that is 0.
#include "cases_family.h"

static void spectral(duel_shape w, int axis, bool advance, duel_fill fill) {
  int64_t count = 1;
  for (int i = 0; i < w.rank; i++) count *= w.dim[i];
  const duel_shape u = S(w.dim[axis]), v = S(count / w.dim[axis]);
  duel_case *c = duel_case_add(DUEL_OP_SPECTRAL, 3);
  c->in[0] = (duel_case_in){w, fill, DUEL_REAL};
  c->in[1] = (duel_case_in){u, fill == DUEL_FILL_POSITIVE ? fill : DUEL_FILL_AWAY, DUEL_REAL};
  c->in[2] = (duel_case_in){v, fill == DUEL_FILL_POSITIVE ? fill : DUEL_FILL_AWAY, DUEL_REAL};
  c->attr.spectral.axis = axis;
  c->attr.spectral.advance = advance;
  c->zeros = fill == DUEL_FILL_ZERO;
}

static void spectral_grad(duel_shape w, int axis) {
  int64_t count = 1;
  for (int i = 0; i < w.rank; i++) count *= w.dim[i];
  duel_case *c = duel_case_add(DUEL_OP_SPECTRAL_GRAD, 5);
  c->in[0] = c->in[1] = (duel_case_in){w, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[2] = (duel_case_in){S(w.dim[axis]), DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[3] = (duel_case_in){S(count / w.dim[axis]), DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[4] = (duel_case_in){SCALAR, DUEL_FILL_POSITIVE, DUEL_REAL};
  c->attr.spectral.axis = axis;
}

void duel_cases_spectral(void) {
  static const duel_shape list[] = {S(1, 2),        S(5, 1),         S(1, 257),       S(3, 7),
                                    S(33, 31),      S(4, 3, 3, 3),   S(5, 2, 1, 1),   S(7, 6, 4, 4),
                                    S(16, 8, 3, 5), S(65, 130),      S(70, 260),      S(2, 9001),
                                    S(300, 40),     S(48, 64, 4, 4), S(72, 64, 3, 3), S(280, 5, 4, 6)};
  for (int i = 0; i < LENGTH(list); i++)
    for (int axis = 0; axis < 2; axis++) {
      spectral(list[i], axis, true, DUEL_FILL_UNIFORM);
      spectral(list[i], axis, false, DUEL_FILL_POSITIVE); // of numbers of both signs σ may be next to 0
      spectral_grad(list[i], axis);
    }
  spectral((duel_shape)S(6, 5), 0, true, DUEL_FILL_ZERO); // 0/0
}
