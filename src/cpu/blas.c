// The BLAS behind the matrix products: one thread a call, and trusted only after it has multiplied correctly.
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "core/ops/conv.h"
#include "cpu/cpu.h"

// Small integers: every sum is exact in any order, so the comparison is too.
static double entry(int64_t i) {
  return (double)((i * 7 + i / 5) % 9 - 4);
}

// C = op(A)·op(B) by BLAS in this precision, against loops. space holds three matrices twice.
static bool product_is_right(duel_dtype real, int m, int n, int k, bool ta, bool tb, double *space) {
  const int na = m * k, nb = k * n, nc = m * n, lda = ta ? m : k, ldb = tb ? k : n;
  const enum CBLAS_TRANSPOSE op_a = ta ? CblasTrans : CblasNoTrans, op_b = tb ? CblasTrans : CblasNoTrans;
  double *a = space, *b = a + na, *c = b + nb;
  for (int i = 0; i < na; i++) a[i] = entry(i);
  for (int i = 0; i < nb; i++) b[i] = entry(i + 3);
  for (int i = 0; i < nc; i++) c[i] = NAN; // must not be read
  if (real == DUEL_F64) {
    cblas_dgemm(CblasRowMajor, op_a, op_b, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, n);
  } else {
    float *f = (float *)(c + nc);
    for (int i = 0; i < na + nb + nc; i++) f[i] = (float)space[i];
    cblas_sgemm(CblasRowMajor, op_a, op_b, m, n, k, 1.0f, f, lda, f + na, ldb, 0.0f, f + na + nb, n);
    for (int i = 0; i < nc; i++) c[i] = f[na + nb + i];
  }
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      double sum = 0;
      for (int l = 0; l < k; l++) sum += a[ta ? l * m + i : i * k + l] * b[tb ? j * k + l : l * n + j];
      if (!(c[i * n + j] == sum)) return false;
    }
  return true;
}

static duel_status check_products(duel_dtype real) {
  static const int shape[][3] = {{1, 1, 1},    {5, 7, 3},   {17, 33, 19},  {64, 96, 40},
                                 {3, 130, 65}, {61, 1, 77}, {33, 97, 129}, {1, 64, 100}};
  const size_t bytes = (33 * 129 + 129 * 97 + 64 * 96) * 2 * sizeof(double);
  double *space = duel_malloc(bytes);
  if (!space) return duel_fail_memory("the check of BLAS", bytes);
  duel_status status = DUEL_OK;
  for (size_t s = 0; s < sizeof shape / sizeof *shape && status == DUEL_OK; s++)
    for (int t = 0; t < 3 && status == DUEL_OK; t++) { // NN, NT, TN
      const int m = shape[s][0], n = shape[s][1], k = shape[s][2];
      if (product_is_right(real, m, n, k, t == 2, t == 1, space)) continue;
      char name[96];
      duel_blas_describe(name, sizeof name);
      status = duel_fail(DUEL_ERR_DEVICE,
                         "%s multiplies wrongly on this CPU (%d×%d by %d×%d, %s): set the environment variable "
                         "OPENBLAS_CORETYPE=Haswell, or install a newer OpenBLAS",
                         name, m, k, k, n,
                         t == 0   ? "NN"
                         : t == 1 ? "NT"
                                  : "TN");
    }
  duel_free(space);
  return status;
}

// Present where the BLAS (or the program) brings an OpenMP runtime; NULL elsewhere.
extern int omp_get_max_threads(void) __attribute__((weak));
extern void omp_set_num_threads(int n) __attribute__((weak));

// An OpenMP build takes as many threads as the calling thread's OpenMP would, unlike the others.
int duel_blas_enter(void) {
  if (!omp_get_max_threads || !omp_set_num_threads) return 0;
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  return before;
}

void duel_blas_leave(int before) {
  if (before > 0) omp_set_num_threads(before);
}

// OpenBLAS takes a buffer of this size a thread at its first product, and tries for ever if it gets none.
enum { BLAS_BUFFER = 129 << 20 };

static duel_status check_room(int threads) {
  const size_t bytes = (size_t)threads * BLAS_BUFFER;
  void *room = duel_malloc(bytes); // not touched, so that it costs nothing
  if (!room)
    return duel_fail(
        DUEL_ERR_DEVICE,
        "OpenBLAS needs %zu MiB of address space for %d threads, and there is less; raise the limit of memory "
        "(ulimit -v) or use fewer threads",
        bytes >> 20, threads);
  duel_free(room);
  return DUEL_OK;
}

duel_status duel_blas_open(duel_dtype real, int threads) {
  DUEL_TRY(check_room(threads));
  if (openblas_get_parallel() != OPENBLAS_OPENMP) openblas_set_num_threads(1);
  const int before = duel_blas_enter();
  const duel_status status = check_products(real);
  duel_blas_leave(before);
  return status;
}

// The configuration begins "OpenBLAS 0.3.21 "; the core is asked for separately, since it may be chosen at run time.
void duel_blas_describe(char *name, size_t n) {
  const char *config = openblas_get_config();
  int words = 0, end = 0;
  while (config[end] && !(config[end] == ' ' && ++words == 2)) end++;
  snprintf(name, n, "%.*s %s", end, config, openblas_get_corename());
}

// ---- dimensions, which BLAS takes as int
duel_status duel_blas_check(const duel_call *call) {
  for (int i = 0; i < call->n_in; i++)
    for (int axis = 0; axis < call->in[i].shape.rank; axis++)
      if (call->in[i].shape.dim[axis] > INT_MAX)
        return duel_fail(DUEL_ERR_DEVICE, "cpu: %s: operand %d is %s, but BLAS takes at most %d a dimension",
                         duel_op_name(call->op), i, duel_shape_text(call->in[i].shape), INT_MAX);
  return DUEL_OK;
}

// Those of a convolution are of one image or one kernel, and of cut pieces of them.
duel_status duel_blas_check_conv(const duel_call *call) {
  const duel_conv_sizes sizes = duel_conv_sizes_of(call);
  if (sizes.h * sizes.w > INT_MAX || sizes.p * sizes.q > INT_MAX || sizes.depth > INT_MAX ||
      sizes.k_group * sizes.r * sizes.s > INT_MAX)
    return duel_fail(DUEL_ERR_DEVICE, "cpu: %s of %s and %s: an image or a kernel has more than %d elements",
                     duel_op_name(call->op), duel_shape_text(call->in[0].shape), duel_shape_text(call->in[1].shape),
                     INT_MAX);
  return duel_blas_check(call);
}
