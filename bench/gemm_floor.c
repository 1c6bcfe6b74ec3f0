// The floor under a training step of recipes/mlp.yaml on the CPU: its matrix products alone, in the order of the graph,
// through cblas_sgemm with OpenBLAS's own threads (OPENBLAS_NUM_THREADS).
//
//     cc -O2 bench/gemm_floor.c -o gemm_floor $(pkg-config --cflags --libs openblas) && echo 200 | ./gemm_floor 64
//
// The argument is the batch, or "peak": a step is then one product of squares as large as BLAS likes them, 2·1024³
// FLOPs. Each line of stdin is a number of steps, answered by one JSON line (bench/compare asks).
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LATENT = 100, HIDDEN1 = 256, HIDDEN2 = 512, PIXELS = 784, HIDDEN_D = 512, PEAK = 1024 };

static float *matrix(int rows, int columns) { // small numbers, so that nothing overflows or turns subnormal
  float *a = malloc(sizeof *a * (size_t)rows * (size_t)columns);
  if (!a) {
    fputs("gemm_floor: out of memory\n", stderr);
    exit(5);
  }
  for (int i = 0; i < rows * columns; i++) a[i] = (float)(i * 7 % 13 - 6) * 0.01F;
  return a;
}

// c [m, n] = a·b, the inner size k; a and b as they lie in memory: trans says that they lie transposed.
static void product(int trans_a, int trans_b, int m, int n, int k, const float *a, const float *b, float *c) {
  cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, m, n, k, 1, a,
              trans_a ? m : k, b, trans_b ? k : n, 0, c, n);
}

typedef struct dense { // weight [out, in] and what flows through: x [batch, in], y [batch, out], and their gradients
  int in, out;
  float *weight, *d_weight, *y, *d_y;
} dense;

static dense layer(int batch, int in, int out) {
  return (dense){in, out, matrix(out, in), matrix(out, in), matrix(batch, out), matrix(batch, out)};
}
static void forward(dense *l, int batch, const float *x) {
  product(0, 1, batch, l->out, l->in, x, l->weight, l->y);
}
static void to_weight(dense *l, int batch, const float *x) {
  product(1, 0, l->out, l->in, batch, l->d_y, x, l->d_weight);
}
static void to_input(dense *l, int batch, float *d_x) {
  product(0, 0, batch, l->in, l->out, l->d_y, l->weight, d_x);
}

typedef struct gan {
  int batch;
  float *z, *real;
  dense g[3], d[2];
} gan;

static void forward_d(gan *s, const float *x) {
  forward(&s->d[0], s->batch, x);
  forward(&s->d[1], s->batch, s->d[0].y);
}
static void update_d(gan *s, const float *x) {
  forward_d(s, x);
  to_weight(&s->d[1], s->batch, s->d[0].y);
  to_input(&s->d[1], s->batch, s->d[0].d_y);
  to_weight(&s->d[0], s->batch, x);
}

static void step(gan *s) {
  int n = s->batch;
  forward(&s->g[0], n, s->z);
  forward(&s->g[1], n, s->g[0].y);
  forward(&s->g[2], n, s->g[1].y);
  update_d(s, s->real);
  update_d(s, s->g[2].y);
  forward_d(s, s->g[2].y);
  to_input(&s->d[1], n, s->d[0].d_y);
  to_input(&s->d[0], n, s->g[2].d_y);
  to_weight(&s->g[2], n, s->g[1].y);
  to_input(&s->g[2], n, s->g[1].d_y);
  to_weight(&s->g[1], n, s->g[0].y);
  to_input(&s->g[1], n, s->g[0].d_y);
  to_weight(&s->g[0], n, s->z);
}

static double seconds(void) {
  struct timespec t;
  timespec_get(&t, TIME_UTC);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void square(float *const m[3]) {
  product(0, 0, PEAK, PEAK, PEAK, m[0], m[1], m[2]);
}

int main(int argc, char **argv) {
  int peak = argc == 2 && !strcmp(argv[1], "peak"), n = argc == 2 && !peak ? atoi(argv[1]) : 1;
  if (argc != 2 || n < 1 || n > 1 << 16) {
    fputs("usage: gemm_floor BATCH|peak, numbers of steps on stdin\n", stderr);
    return 2;
  }
  gan s = {0};
  float *squares[3] = {0};
  if (peak) {
    for (int i = 0; i < 3; i++) squares[i] = matrix(PEAK, PEAK);
  } else {
    s = (gan){.batch = n,
              .z = matrix(n, LATENT),
              .real = matrix(n, PIXELS),
              .g = {layer(n, LATENT, HIDDEN1), layer(n, HIDDEN1, HIDDEN2), layer(n, HIDDEN2, PIXELS)},
              .d = {layer(n, PIXELS, HIDDEN_D), layer(n, HIDDEN_D, 1)}};
  }
  for (int steps; scanf("%d", &steps) == 1 && steps > 0;) {
    double began = seconds();
    for (int i = 0; i < steps; i++) peak ? square(squares) : step(&s);
    printf("{\"name\": \"%s\", \"version\": \"%s\", \"steps\": %d, \"ms_per_step\": %.4f}\n", peak ? "peak" : "gemm",
           openblas_get_config(), steps, 1000 * (seconds() - began) / steps);
    fflush(stdout);
  }
  return 0;
}
