// Cases of group normalization: one group, some, as many as there are channels; scale and shift a channel and an
// element; rows for a warp of a GPU, for a block and for several.
#include "cases_family.h"

// The first `axes` axes of an item.
static duel_shape affine_shape(duel_shape x, int axes) {
  duel_shape s = {.rank = axes};
  for (int i = 0; i < axes; i++) s.dim[i] = x.dim[i + 1];
  return s;
}

static void groupnorm(duel_shape x, int64_t groups, int axes, duel_fill fill) {
  const duel_shape affine = affine_shape(x, axes), part = S(x.dim[0], groups);
  int64_t row = 1;
  for (int i = 1; i < x.rank; i++) row *= x.dim[i];
  row /= groups;
  const double eps = row < 16 ? 0.1 : 1e-5; // two numbers may be almost alike, and differences then tell nothing
  duel_case *c = duel_case_add(DUEL_OP_GROUPNORM, 3);
  c->in[0] = (duel_case_in){x, fill, DUEL_REAL};
  c->in[1] = (duel_case_in){affine, DUEL_FILL_POSITIVE, DUEL_REAL};
  c->in[2] = (duel_case_in){affine, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->attr.groupnorm.groups = groups;
  c->attr.groupnorm.eps = eps;
  c->coarse = fill == DUEL_FILL_OFFSET;
  c->zeros = fill == DUEL_FILL_ZERO;
  if (fill != DUEL_FILL_UNIFORM) return;
  c = duel_case_add(DUEL_OP_GROUPNORM_GRAD, 5);
  c->in[0] = c->in[1] = (duel_case_in){x, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[2] = (duel_case_in){affine, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[3] = (duel_case_in){part, DUEL_FILL_UNIFORM, DUEL_REAL};
  c->in[4] = (duel_case_in){part, DUEL_FILL_POSITIVE, DUEL_REAL};
  c->attr.groupnorm.groups = groups;
  c->attr.groupnorm.eps = eps;
}

void duel_cases_norm(void) {
  static const struct {
    duel_shape x;
    int64_t groups;
    int axes;
  } list[] = {
      {S(1, 2), 1, 1},           {S(3, 5), 1, 1},          {S(3, 6), 3, 1},          {S(2, 16), 1, 1},
      {S(5, 33), 1, 1},          {S(17, 64), 4, 1},        {S(7, 257), 1, 1},        {S(2, 3, 7), 1, 1},
      {S(2, 3, 7), 1, 2},        {S(4, 6, 5), 3, 1},       {S(2, 1, 2, 2), 1, 1},    {S(2, 3, 4, 5), 3, 1},
      {S(2, 3, 4, 5), 1, 1},     {S(2, 3, 4, 5), 1, 2},    {S(2, 3, 4, 5), 1, 3},    {S(2, 4, 3, 3), 2, 1},
      {S(2, 4, 3, 3), 2, 3},     {S(3, 8, 4, 4), 4, 1},    {S(2, 12, 7, 7), 4, 1},   {S(2, 3, 2, 3, 2), 3, 1},
      {S(2, 4, 2, 3, 2), 2, 2},  {S(64, 12, 1, 1), 4, 1},  {S(33, 6, 3, 5), 2, 1},   {S(3, 16, 8, 8), 4, 1},
      {S(64, 512), 1, 1},        {S(16, 32, 8, 8), 32, 1}, {S(16, 32, 8, 8), 8, 1},  {S(5, 3, 19, 23), 3, 1},
      {S(5, 3, 19, 23), 1, 3},   {S(2, 10, 13, 13), 2, 1}, {S(2, 2, 36, 36), 2, 1},  {S(3, 1, 1, 9001), 1, 1},
      {S(2, 3, 108, 112), 1, 1}, {S(2, 2, 131, 97), 2, 1}, {S(1, 4, 90, 100), 1, 3},
  };
  for (int i = 0; i < LENGTH(list); i++) groupnorm(list[i].x, list[i].groups, list[i].axes, DUEL_FILL_UNIFORM);
  groupnorm((duel_shape)S(8, 4, 7, 3), 2, 1, DUEL_FILL_OFFSET); // E[x²] − E[x]² would lose every digit
  groupnorm((duel_shape)S(5, 515), 1, 1, DUEL_FILL_OFFSET);
  groupnorm((duel_shape)S(2, 2, 131, 97), 1, 1, DUEL_FILL_OFFSET);
  groupnorm((duel_shape)S(4, 6, 3, 3), 2, 1, DUEL_FILL_ZERO); // variance 0: y is the shift
}
