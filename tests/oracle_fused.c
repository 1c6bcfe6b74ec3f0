// The oracle's larger ops: products, draws, batch, fused ops and writers, each from its definition.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

// ---- products

// [..., M, K]·[..., K, N]; a is stored [..., K, M] with trans_a, b [..., N, K] with trans_b; batch axes broadcast.
static duel_ref matmul(duel_ref a, duel_ref b, bool trans_a, bool trans_b) {
  const int64_t *da = a.shape.dim + a.shape.rank - 2, *db = b.shape.dim + b.shape.rank - 2;
  const int64_t m = da[trans_a ? 1 : 0], depth = da[trans_a ? 0 : 1], n = db[trans_b ? 0 : 1];
  duel_shape batch_a = a.shape, batch_b = b.shape;
  batch_a.rank -= 2;
  batch_b.rank -= 2;
  duel_shape batch = {.rank = batch_a.rank > batch_b.rank ? batch_a.rank : batch_b.rank};
  for (int i = 1; i <= batch.rank; i++) {
    int64_t p = i <= batch_a.rank ? batch_a.dim[batch_a.rank - i] : 1,
            q = i <= batch_b.rank ? batch_b.dim[batch_b.rank - i] : 1;
    batch.dim[batch.rank - i] = p > q ? p : q;
  }
  duel_shape s = batch;
  s.rank += 2;
  s.dim[batch.rank] = m;
  s.dim[batch.rank + 1] = n;
  duel_ref out = duel_ref_new(a.dtype, s);
  double *to = out.data;
  int64_t index[DUEL_MAX_RANK] = {0};
  do {
    const double *pa = a.data + duel_ref_under(batch_a, batch, index) * m * depth;
    const double *pb = b.data + duel_ref_under(batch_b, batch, index) * depth * n;
    for (int64_t i = 0; i < m; i++, to += n)
      for (int64_t k = 0; k < depth; k++) {
        const double x = pa[trans_a ? k * m + i : i * depth + k];
        for (int64_t j = 0; j < n; j++) to[j] += x * pb[trans_b ? j * depth + k : k * n + j];
      }
  } while (duel_ref_step(batch, index));
  return out;
}

static void dense(const duel_attr *attr, int n_in, const duel_ref *in, duel_ref *out) {
  out[0] = matmul(in[0], in[1], attr->matmul.trans_a, attr->matmul.trans_b);
  const int64_t n = out[0].shape.dim[1];
  for (int64_t i = 0; i < out[0].count; i++) {
    double x = out[0].data[i] + (n_in == 3 ? in[2].data[i % n] : 0);
    out[0].data[i] = duel_ref_activate(x, attr->matmul.act, attr->matmul.slope);
  }
}

static void matmul_grad(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  out[0] = matmul(in[0], in[1], attr->matmul.trans_a, attr->matmul.trans_b);
  const int64_t n = out[0].shape.dim[1];
  out[1] = duel_ref_new(in[0].dtype, (duel_shape){.rank = 1, .dim = {n}});
  for (int64_t i = 0; i < out[0].count; i++) {
    out[0].data[i] *= duel_ref_activate_slope(in[2].data[i], attr->matmul.act, attr->matmul.slope);
    out[1].data[i % n] += out[0].data[i];
  }
}

// ---- draws

void duel_ref_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t dst[4]) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
  for (int round = 0; round < 10; round++) {
    const uint64_t p = UINT64_C(0xD2511F53) * c[0], q = UINT64_C(0xCD9E8D57) * c[2];
    const uint32_t next[4] = {(uint32_t)(q >> 32) ^ c[1] ^ k[0], (uint32_t)q, (uint32_t)(p >> 32) ^ c[3] ^ k[1],
                              (uint32_t)p};
    memcpy(c, next, sizeof c);
    k[0] += UINT32_C(0x9E3779B9); // golden ratio
    k[1] += UINT32_C(0xBB67AE85); // sqrt(3) - 1
  }
  memcpy(dst, c, sizeof c);
}

static double uniform(uint32_t word) {
  const float scaled = (float)word * 0x1p-32f; // a power of two: exact
  const float u = scaled + 0x1p-33f;
  return (double)u;
}

static duel_ref draw(duel_op op, const duel_attr *attr, duel_ref key_block, duel_shape shape) {
  duel_ref out = duel_ref_new(DUEL_F32, shape);
  uint32_t block[3]; // seed low, seed high, t
  for (int i = 0; i < 3; i++) block[i] = (uint32_t)(int64_t)key_block.data[i];
  for (int64_t i = 0; i < out.count; i++) {
    const int64_t element = attr->random.first + i, lane = element % 4;
    const uint32_t counter[4] = {(uint32_t)(element / 4), block[2], attr->random.purpose + 256 * attr->random.k, 0};
    uint32_t w[4];
    duel_ref_philox(counter, block, w);
    if (op == DUEL_OP_RANDOM_UNIFORM) {
      out.data[i] = uniform(w[lane]);
    } else { // Box and Muller 1958 on the pairs (0, 1) and (2, 3)
      const uint32_t *pair = w + lane / 2 * 2;
      const double s = sqrt(-2 * log(uniform(pair[0]))), angle = 2 * M_PI * (pair[1] * 0x1p-32 + 0x1p-33);
      out.data[i] = lane % 2 ? s * cos(angle) : s * sin(angle);
    }
  }
  return out;
}

// ---- data

static duel_ref batch(duel_ref data, duel_ref index) {
  duel_shape s = data.shape;
  s.dim[0] = index.count;
  duel_ref out = duel_ref_new(data.dtype == DUEL_I32 ? DUEL_I32 : DUEL_F32, s);
  const int64_t item = data.count / data.shape.dim[0];
  for (int64_t i = 0; i < out.count; i++) {
    double x = data.data[(int64_t)index.data[i / item] * item + i % item];
    out.data[i] = data.dtype == DUEL_U8 ? x / 127.5 - 1 : x;
  }
  return out;
}

// ---- rows by number; an index out of range is NaN, nothing, zeros

static bool within(double index, int64_t n) {
  return index >= 0 && index < (double)n;
}

static duel_ref embedding(duel_ref table, duel_ref index) {
  duel_shape s = table.shape;
  s.dim[0] = index.count;
  duel_ref out = duel_ref_new(table.dtype, s);
  const int64_t row = table.count / table.shape.dim[0];
  for (int64_t i = 0; i < out.count; i++) {
    const double from = index.data[i / row];
    out.data[i] = within(from, table.shape.dim[0]) ? table.data[(int64_t)from * row + i % row] : NAN;
  }
  return out;
}

static duel_ref embedding_grad(duel_ref d_y, duel_ref index, duel_shape table) {
  duel_ref out = duel_ref_new(d_y.dtype, table);
  const int64_t row = d_y.count / d_y.shape.dim[0];
  for (int64_t i = 0; i < d_y.count; i++) {
    const double to = index.data[i / row];
    if (within(to, table.dim[0])) out.data[(int64_t)to * row + i % row] += d_y.data[i];
  }
  return out;
}

static duel_ref one_hot(duel_ref index, duel_shape shape) {
  duel_ref out = duel_ref_new(DUEL_F32, shape);
  for (int64_t i = 0; i < index.count; i++)
    if (within(index.data[i], shape.dim[1])) out.data[i * shape.dim[1] + (int64_t)index.data[i]] = 1;
  return out;
}

// ---- batch normalization (Ioffe and Szegedy 2015)

static void batchnorm(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const duel_ref x = in[0];
  const int64_t channels = x.shape.dim[1], inner = x.count / x.shape.dim[0] / channels, m = x.count / channels;
  const duel_shape per_channel = {.rank = 1, .dim = {channels}};
  out[0] = duel_ref_new(x.dtype, x.shape);
  out[1] = duel_ref_new(x.dtype, per_channel);
  out[2] = duel_ref_new(x.dtype, per_channel);
  for (int64_t i = 0; i < x.count; i++) out[1].data[i / inner % channels] += x.data[i] / (double)m;
  for (int64_t i = 0; i < x.count; i++) {
    const int64_t c = i / inner % channels;
    out[2].data[c] += pow(x.data[i] - out[1].data[c], 2) / (double)m;
  }
  for (int64_t i = 0; i < x.count; i++) {
    const int64_t c = i / inner % channels;
    const double normal = (x.data[i] - out[1].data[c]) / sqrt(out[2].data[c] + attr->batchnorm.eps);
    out[0].data[i] =
        duel_ref_activate(in[1].data[c] * normal + in[2].data[c], attr->batchnorm.act, attr->batchnorm.slope);
  }
}

static void batchnorm_grad(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const duel_ref d_y = in[0], x = in[1], scale = in[2], mean = in[3], var = in[4], y = in[5];
  const int64_t channels = x.shape.dim[1], inner = x.count / x.shape.dim[0] / channels;
  const double m = (double)(x.count / channels);
  out[0] = duel_ref_new(x.dtype, x.shape);
  out[1] = duel_ref_new(x.dtype, scale.shape);
  out[2] = duel_ref_new(x.dtype, scale.shape);
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < x.count; i++) {
      const int64_t c = i / inner % channels;
      const double inv = 1 / sqrt(var.data[c] + attr->batchnorm.eps), normal = (x.data[i] - mean.data[c]) * inv;
      const double d = d_y.data[i] * duel_ref_activate_slope(y.data[i], attr->batchnorm.act, attr->batchnorm.slope);
      if (pass == 0) {
        out[1].data[c] += d * normal;
        out[2].data[c] += d;
      } else {
        out[0].data[i] = scale.data[c] * inv * (d - out[2].data[c] / m - normal * out[1].data[c] / m);
      }
    }
}

// ---- group normalization (Wu and He 2018)

// Scale and shift of element i of x, whose items share `affine` numbers.
static int64_t affine_at(duel_ref x, int64_t affine, int64_t i) {
  const int64_t item = x.count / x.shape.dim[0];
  return i % item / (item / affine);
}

static void groupnorm(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const duel_ref x = in[0];
  const int64_t groups = attr->groupnorm.groups, row = x.count / x.shape.dim[0] / groups;
  const duel_shape part = {.rank = 2, .dim = {x.shape.dim[0], groups}};
  out[0] = duel_ref_new(x.dtype, x.shape);
  out[1] = duel_ref_new(x.dtype, part);
  out[2] = duel_ref_new(x.dtype, part);
  for (int64_t i = 0; i < x.count; i++) out[1].data[i / row] += x.data[i] / (double)row;
  for (int64_t i = 0; i < x.count; i++) out[2].data[i / row] += pow(x.data[i] - out[1].data[i / row], 2) / (double)row;
  for (int64_t i = 0; i < x.count; i++) {
    const double normal = (x.data[i] - out[1].data[i / row]) / sqrt(out[2].data[i / row] + attr->groupnorm.eps);
    const int64_t a = affine_at(x, in[1].count, i);
    out[0].data[i] = in[1].data[a] * normal + in[2].data[a];
  }
}

static void groupnorm_grad(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const duel_ref d_y = in[0], x = in[1], scale = in[2], mean = in[3], var = in[4];
  const int64_t items = x.shape.dim[0], item = x.count / items, row = item / attr->groupnorm.groups;
  duel_shape each = {.rank = scale.shape.rank + 1, .dim = {items}};
  for (int i = 0; i < scale.shape.rank; i++) each.dim[i + 1] = scale.shape.dim[i];
  out[0] = duel_ref_new(x.dtype, x.shape);
  out[1] = duel_ref_new(x.dtype, each);
  out[2] = duel_ref_new(x.dtype, each);
  duel_ref along = duel_ref_new(x.dtype, (duel_shape){.rank = 2, .dim = {2, x.count / row}}); // 1, normal
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < x.count; i++) {
      const int64_t r = i / row, a = affine_at(x, scale.count, i), to = i / item * scale.count + a;
      const double inv = 1 / sqrt(var.data[r] + attr->groupnorm.eps), normal = (x.data[i] - mean.data[r]) * inv;
      const double d = scale.data[a] * d_y.data[i];
      if (pass == 0) {
        out[1].data[to] += d_y.data[i] * normal;
        out[2].data[to] += d_y.data[i];
        along.data[r] += d / (double)row;
        along.data[x.count / row + r] += d * normal / (double)row;
      } else {
        out[0].data[i] = inv * (d - along.data[r] - normal * along.data[x.count / row + r]);
      }
    }
  duel_ref_free(&along);
}

// ---- binary cross-entropy on logits

static double softplus(double x) {
  return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static duel_ref bce_logits(const duel_attr *attr, duel_ref x) {
  duel_ref out = duel_ref_new(x.dtype, (duel_shape){0});
  for (int64_t i = 0; i < x.count; i++) {
    // Two ways to write one number: where x → ∞ and the target is 1, only the second has a value.
    const double t = attr->bce.target, part = x.data[i] > 0 ? softplus(-x.data[i]) + (t == 1 ? 0 : (1 - t) * x.data[i])
                                                            : softplus(x.data[i]) - (t == 0 ? 0 : t * x.data[i]);
    out.data[0] += part / (double)x.count;
  }
  return out;
}

static duel_ref bce_logits_grad(const duel_attr *attr, duel_ref x, duel_ref d_loss) {
  duel_ref out = duel_ref_new(x.dtype, x.shape);
  for (int64_t i = 0; i < x.count; i++)
    out.data[i] =
        (duel_ref_activate(x.data[i], DUEL_ACT_SIGMOID, 0) - attr->bce.target) * d_loss.data[0] / (double)x.count;
  return out;
}

// ---- softmax cross-entropy on logits, with label smoothing (Szegedy et al. 2016; torch's cross_entropy)

typedef struct row_sum {
  double max, sum; // of exp(x − max)
} row_sum;

static row_sum sum_row(const double *x, int64_t n) {
  row_sum r = {-INFINITY, 0};
  for (int64_t i = 0; i < n; i++) r.max = fmax(r.max, x[i]);
  for (int64_t i = 0; i < n; i++) r.sum += exp(x[i] - r.max);
  return r;
}

static duel_ref softmax_ce(const duel_attr *attr, duel_ref x, duel_ref labels) {
  duel_ref out = duel_ref_new(x.dtype, (duel_shape){0});
  const int64_t n = x.shape.dim[0], classes = x.shape.dim[1];
  const double s = attr->softmax.smoothing;
  for (int64_t row = 0; row < n; row++) {
    const double *at = x.data + row * classes;
    const row_sum r = sum_row(at, classes);
    double loss = NAN;
    if (within(labels.data[row], classes)) {
      loss = (1 - s) * (log(r.sum) + (r.max - at[(int64_t)labels.data[row]]));
      for (int64_t i = 0; s > 0 && i < classes; i++) loss += s / (double)classes * (log(r.sum) + (r.max - at[i]));
    }
    out.data[0] += loss / (double)n;
  }
  return out;
}

static duel_ref softmax_ce_grad(const duel_attr *attr, duel_ref x, duel_ref labels, duel_ref d_loss) {
  duel_ref out = duel_ref_new(x.dtype, x.shape);
  const int64_t n = x.shape.dim[0], classes = x.shape.dim[1];
  const double s = attr->softmax.smoothing;
  for (int64_t i = 0; i < x.count; i++) {
    const int64_t row = i / classes;
    const row_sum r = sum_row(x.data + row * classes, classes);
    const double share = exp(x.data[i] - r.max) / r.sum;
    const double target = s / (double)classes + (labels.data[row] == (double)(i % classes) ? 1 - s : 0);
    out.data[i] = within(labels.data[row], classes) ? (share - target) * d_loss.data[0] / (double)n : NAN;
  }
  return out;
}

static duel_ref hits(duel_ref x, duel_ref labels) {
  duel_ref out = duel_ref_new(x.dtype, (duel_shape){0});
  const int64_t classes = x.shape.dim[1];
  for (int64_t row = 0; row < labels.count; row++) {
    const double *at = x.data + row * classes;
    int64_t best = 0;
    bool number = true;
    for (int64_t i = 0; i < classes; i++) {
      if (at[i] > at[best]) best = i;
      number &= !isnan(at[i]);
    }
    out.data[0] += number && labels.data[row] == (double)best;
  }
  return out;
}

// ---- writers

// Kingma and Ba 2015 with decoupled decay; coef as in core/graph.h.
// Σ grad² in parts of 1024 elements, of more where there would be more than 4096 parts.
static duel_ref squares_of(duel_ref grad) {
  int64_t span = 1024;
  while (span * 4096 < grad.count) span += 1024;
  duel_ref parts = duel_ref_new(grad.dtype, (duel_shape){.rank = 1, .dim = {(grad.count + span - 1) / span}});
  for (int64_t part = 0; part < parts.count; part++) {
    long double sum = 0;
    for (int64_t i = part * span; i < grad.count && i < (part + 1) * span; i++)
      sum += (long double)(grad.data[i] * grad.data[i]);
    parts.data[part] = (double)sum;
  }
  return parts;
}

// Zero in the gaps, whatever is there.
static duel_ref without_gaps(const duel_attr *attr, duel_ref grad) {
  duel_ref out = duel_ref_new(grad.dtype, grad.shape);
  memcpy(out.data, grad.data, sizeof(double) * (size_t)grad.count);
  for (int64_t k = 0; k < attr->optim.gaps; k++)
    for (int64_t i = attr->optim.gap[2 * k]; i < attr->optim.gap[2 * k + 1]; i++) out.data[i] = 0;
  return out;
}

static void adam(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const double *k = in[4].data;
  for (int i = 0; i < 3; i++) out[i] = duel_ref_new(in[i].dtype, in[i].shape);
  duel_ref grad = without_gaps(attr, in[3]);
  out[3] = squares_of(grad);
  for (int64_t i = 0; i < in[0].count; i++) {
    const double g = grad.data[i];
    const double m = k[4] * in[1].data[i] + k[5] * g, v = k[6] * in[2].data[i] + k[7] * g * g;
    out[0].data[i] = k[3] * in[0].data[i] - k[0] * m / (sqrt(v) * k[1] + k[2]);
    out[1].data[i] = m;
    out[2].data[i] = v;
  }
  duel_ref_free(&grad);
}

static void sgd(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const double *k = in[3].data;
  for (int i = 0; i < 2; i++) out[i] = duel_ref_new(in[i].dtype, in[i].shape);
  duel_ref grad = without_gaps(attr, in[2]);
  out[2] = squares_of(grad);
  for (int64_t i = 0; i < in[0].count; i++) {
    const double g = grad.data[i], m = k[4] * in[1].data[i] + g;
    out[0].data[i] = k[3] * in[0].data[i] - k[0] * m;
    out[1].data[i] = m;
  }
  duel_ref_free(&grad);
}

static void running(const duel_attr *attr, const duel_ref *in, duel_ref *out) {
  const double w = attr->running.weight;
  for (int i = 0; i < 2; i++) {
    out[i] = duel_ref_new(in[i].dtype, in[i].shape);
    for (int64_t k = 0; k < in[i].count; k++) {
      const double x = in[i + 2].data[k] * (i == 1 ? attr->running.unbias : 1);
      out[i].data[k] = (1 - w) * in[i].data[k] + w * x;
    }
  }
}

static duel_ref report(const duel_attr *attr, int n_in, const duel_ref *in) {
  duel_ref out = duel_ref_new(in[0].dtype, in[0].shape);
  for (int i = 1; i < n_in; i++) {
    const duel_report_term *t = &attr->report.term[i - 1];
    double sum = 0;
    for (int64_t k = 0; k < in[i].count; k++) {
      const double x = in[i].data[k];
      if (t->kind == DUEL_REPORT_SUM) sum += x;
      if (t->kind == DUEL_REPORT_SIGN) sum += x > 0 ? 1 : x < 0 ? -1 : 0;
      if (t->kind == DUEL_REPORT_BCE) sum += softplus(x) - t->target * x;
    }
    out.data[t->scalar] += t->mul * sum;
  }
  return out;
}

static duel_ref blend(duel_ref e, duel_ref x, double w) {
  duel_ref out = duel_ref_new(e.dtype, e.shape);
  for (int64_t i = 0; i < e.count; i++) out.data[i] = e.data[i] + w * (x.data[i] - e.data[i]);
  return out;
}

bool duel_ref_op_fused(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in, const duel_shape *shape,
                       duel_ref *out) {
  switch (op) {
  case DUEL_OP_MATMUL:
    out[0] = matmul(in[0], in[1], attr->matmul.trans_a, attr->matmul.trans_b);
    return true;
  case DUEL_OP_RANDOM_NORMAL:
  case DUEL_OP_RANDOM_UNIFORM:
    out[0] = draw(op, attr, in[0], *shape);
    return true;
  case DUEL_OP_AUGMENT:
    duel_ref_augment(attr, in, *shape, out);
    return true;
  case DUEL_OP_BATCH:
    out[0] = batch(in[0], in[1]);
    return true;
  case DUEL_OP_EMBEDDING:
    out[0] = embedding(in[0], in[1]);
    return true;
  case DUEL_OP_EMBEDDING_GRAD:
    out[0] = embedding_grad(in[0], in[1], *shape);
    return true;
  case DUEL_OP_ONE_HOT:
    out[0] = one_hot(in[0], *shape);
    return true;
  case DUEL_OP_DENSE:
    dense(attr, n_in, in, out);
    return true;
  case DUEL_OP_MATMUL_GRAD:
    matmul_grad(attr, in, out);
    return true;
  case DUEL_OP_BATCHNORM:
    batchnorm(attr, in, out);
    return true;
  case DUEL_OP_BATCHNORM_GRAD:
    batchnorm_grad(attr, in, out);
    return true;
  case DUEL_OP_GROUPNORM:
    groupnorm(attr, in, out);
    return true;
  case DUEL_OP_GROUPNORM_GRAD:
    groupnorm_grad(attr, in, out);
    return true;
  case DUEL_OP_SPECTRAL:
    duel_ref_spectral(attr, in, out);
    return true;
  case DUEL_OP_SPECTRAL_GRAD:
    out[0] = duel_ref_spectral_grad(attr, in);
    return true;
  case DUEL_OP_BCE_LOGITS:
    out[0] = bce_logits(attr, in[0]);
    return true;
  case DUEL_OP_BCE_LOGITS_GRAD:
    out[0] = bce_logits_grad(attr, in[0], in[1]);
    return true;
  case DUEL_OP_SOFTMAX_CE:
    out[0] = softmax_ce(attr, in[0], in[1]);
    return true;
  case DUEL_OP_SOFTMAX_CE_GRAD:
    out[0] = softmax_ce_grad(attr, in[0], in[1], in[2]);
    return true;
  case DUEL_OP_HITS:
    out[0] = hits(in[0], in[1]);
    return true;
  case DUEL_OP_ADAM:
    adam(attr, in, out);
    return true;
  case DUEL_OP_SGD:
    sgd(attr, in, out);
    return true;
  case DUEL_OP_RUNNING:
    running(attr, in, out);
    return true;
  case DUEL_OP_REPORT:
    out[0] = report(attr, n_in, in);
    return true;
  case DUEL_OP_EMA:
    out[0] = blend(in[0], in[1], in[2].data[0]);
    return true;
  case DUEL_OP_ASSIGN:
    out[0] = duel_ref_new(in[0].dtype, in[0].shape);
    for (int64_t i = 0; i < in[1].count; i++) {
      const double x = in[1].data[i], bound = attr->assign.bound;
      out[0].data[i] = bound > 0 && fabs(x) > bound ? copysign(bound, x) : x;
    }
    return true;
  default:
    return false;
  }
}
