#include "gan/constraints.h"

#include <math.h>

#include "base/mem.h"
#include "base/rng.h"

// ---- spectral: Miyato et al. 2018, arXiv:1802.05957
enum { WARMUP };
static const duel_key keys_spectral[] = {
    {"warmup", DUEL_KEY_INT, "15", 0, 1e6, NULL, "power iterations on the first weights"}, {.name = NULL}};

static const duel_kind rows[] = {
    {"spectral", NULL, keys_spectral, "weights by their largest singular value, a power iteration a pass"},
    {.name = NULL}};
const duel_table duel_constraint_kinds = {rows, sizeof *rows, "constraint"};

int duel_spectral_warmup(const duel_net *net) {
  return net->constraint ? (int)net->constraint->value[WARMUP].number[0] : 15;
}

static void normalize(int64_t n, double *x) {
  double squares = 0;
  for (int64_t i = 0; i < n; i++) squares += x[i] * x[i];
  const double norm = fmax(sqrt(squares), 1e-12);
  for (int64_t i = 0; i < n; i++) x[i] /= norm;
}

typedef struct matrix { // an element (r, c) of it at w[(c / run · rows + r) · run + c % run]
  const float *w;
  int64_t rows, run, rest;
} matrix;

static void multiply_back(const matrix *m, const double *u, double *v) { // v = Wᵀ·u
  for (int64_t c = 0; c < m->rest; c++) v[c] = 0;
  const float *w = m->w;
  for (int64_t c = 0; c < m->rest; c += m->run)
    for (int64_t r = 0; r < m->rows; r++, w += m->run)
      for (int64_t i = 0; i < m->run; i++) v[c + i] += u[r] * (double)w[i];
}

static void multiply(const matrix *m, const double *v, double *u) { // u = W·v
  for (int64_t r = 0; r < m->rows; r++) u[r] = 0;
  const float *w = m->w;
  for (int64_t c = 0; c < m->rest; c += m->run)
    for (int64_t r = 0; r < m->rows; r++, w += m->run)
      for (int64_t i = 0; i < m->run; i++) u[r] += (double)w[i] * v[c + i];
}

static void draw(const duel_param *p, uint64_t seed, float *dst, double *x) {
  const duel_draw d = {.seed = seed, .t = 0, .purpose = DUEL_PURPOSE_INIT, .k = (uint32_t)p->ordinal};
  const int64_t n = duel_shape_count(p->shape);
  duel_draw_normal(d, 0, n, dst);
  for (int64_t i = 0; i < n; i++) x[i] = (double)dst[i];
  normalize(n, x);
}

static void put(int64_t n, const double *x, float *dst) {
  for (int64_t i = 0; i < n; i++) dst[i] = (float)x[i];
}

duel_status duel_spectral_start(const duel_param *weight, const float *w, int warmup, uint64_t seed, float *u,
                                float *v) {
  const int64_t count = duel_shape_count(weight->shape), blocks = weight->axis ? weight->shape.dim[0] : 1;
  matrix m = {.w = w, .rows = weight->shape.dim[weight->axis]};
  m.rest = count / m.rows;
  m.run = m.rest / blocks;
  int64_t zeros = 0;
  while (zeros < count && w[zeros] == 0) zeros++;
  if (zeros == count)
    return duel_fail(DUEL_ERR_USAGE,
                     "%s is 0 everywhere, and spectral norm divides it by its largest singular value, which is 0 too; "
                     "give its layer another init, or `spectral: false`",
                     weight->name);
  double *x = duel_malloc((size_t)(m.rows + m.rest) * sizeof *x), *y = x + m.rows;
  if (!x) return duel_fail_memory("the vectors of spectral norm", (size_t)(m.rows + m.rest) * sizeof *x);
  draw(weight + 1, seed, u, x);
  draw(weight + 2, seed, v, y);
  for (int i = 0; i < warmup; i++) {
    multiply_back(&m, x, y);
    normalize(m.rest, y);
    multiply(&m, y, x);
    normalize(m.rows, x);
  }
  put(m.rows, x, u);
  put(m.rest, y, v);
  duel_free(x);
  return DUEL_OK;
}
