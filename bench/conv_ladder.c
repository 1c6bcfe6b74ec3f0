// The ladder of ways to a convolution on the CPU, with their times: for each convolution of recipes/dcgan.yaml (its
// transposed ones are the same products) and each of forward, dx and dw,
//
//   im2col        all patches of the batch in memory, then one product by OpenBLAS
//   tiled         the same with as many images at a time as have 256 pixels of y
//   direct        duel's kernel without Winograd's filtering: tiles with channels innermost, blocks in registers
//   winograd      duel's kernel where it filters
//
//     ninja -C build conv_ladder-v4 && build/bench/conv_ladder-v4 [THREADS [ROUNDS]]     (-v3 on CPUs without AVX-512)
//
// All take turns, in an order that turns from round to round; shown are the median and the quartiles of a call's time
// over the rounds, and what part of the best rate that products reach in the same rounds (squares of 1024 by OpenBLAS,
// or blocks in registers whose operands are in cache) the FLOPs of the direct sums make at that speed: Winograd's can
// come out above 100 %. Nobody else should use the machine. All ways must agree, or the program ends with 1.
//
// Where the kernel filters at this batch, `direct` is it on pieces of the batch that are too small for that. Each piece
// packs the weights anew: what all but one of these take (the kernels' phase 0, timed alone) is taken off again. Where
// both give the same bits, the kernel has one way: direct, or for dx to one channel the products first and then sums.
#include <cblas.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu/entry.h"
#include "cpu/products/cpu_gemm.h"

enum {
  BATCH = 64,
  FEW = 10, // images of which no convolution here is filtered
  TILE_PIXELS = 256,
  ROUNDS = 15,
  MOST_ROUNDS = 100,
  MOST_THREADS = 16,
  MOST_CALLS = 16,
  MOST_WAYS = 16,
  SQUARE = 1024,
  LENGTH = 256, // of the chains in the blocks in registers, whose a [LENGTH, LENGTH] is as large as a tile
};
static const double sample_ms = 40; // of each way in each round, at least

static _Noreturn void die(const char *what) {
  fprintf(stderr, "conv_ladder: %s\n", what);
  exit(1);
}

static double now_ms(void) {
  return 1e3 * duel_now();
}

static float *numbers(size_t n) { // small, so that nothing overflows or turns subnormal
  static uint32_t seed = 1;
  float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
  if (!x) die("out of memory");
  for (size_t i = 0; i < n; i++) {
    seed = seed * 1664525U + 1013904223U;
    x[i] = (float)(seed >> 8) * 0x1p-23F - 1;
  }
  return x;
}

// ---- threads of our own, which end with their work, so that none spins beside what comes next
typedef void share_of(void *ctx, int thread, int threads);
typedef struct share {
  share_of *work;
  void *ctx;
  int thread, threads;
} share;

static void *one_share(void *of) {
  const share *s = of;
  s->work(s->ctx, s->thread, s->threads);
  return NULL;
}

static void on_threads(int threads, share_of *work, void *ctx) {
  pthread_t id[MOST_THREADS];
  share of[MOST_THREADS];
  for (int i = 1; i < threads; i++) {
    of[i] = (share){work, ctx, i, threads};
    if (pthread_create(&id[i], NULL, one_share, &of[i])) die("no thread");
  }
  work(ctx, 0, threads);
  for (int i = 1; i < threads; i++) pthread_join(id[i], NULL);
}

// ---- a convolution
typedef struct layer {
  const char *name;
  int c, h, w, k, r, s, stride, pad, p, q;
} layer;
static const layer layers[] = {{"1->64, 28x28 -> 14x14", 1, 28, 28, 64, 4, 4, 2, 1, 14, 14},
                               {"64->128, 14x14 -> 7x7", 64, 14, 14, 128, 4, 4, 2, 1, 7, 7}};
static const char *const kinds[] = {"forward", "dx", "dw"};
static const duel_op ops[] = {DUEL_OP_CONV2D, DUEL_OP_CONV2D_DX, DUEL_OP_CONV2D_DW};
enum { FORWARD, DX, DW };

typedef struct work { // what all ways to one of the three have in common
  const layer *l;
  int kind, threads;
  const float *x, *w, *y; // y: the gradient for dx and dw
  size_t x_image, w_count, y_image;
  float *columns, *result; // of im2col: [c·r·s, images·pixels], [k, images·pixels]
  float *sums;             // of dw: a [k, c·r·s] each thread
} work;

// The columns q of y whose tap s lies inside the image.
static void inside(const layer *l, int s, int *begin, int *end) {
  *begin = s < l->pad ? (l->pad - s + l->stride - 1) / l->stride : 0;
  const int last = (l->w - 1 + l->pad - s) / l->stride + 1;
  *end = last < l->q ? last : l->q;
}

// Patches of n images; and the adjoint, which adds them to x.
static void im2col(const layer *l, int n, const float *x, float *columns, int first, int last) {
  for (int row = 0; row < l->c * l->r * l->s; row++) {
    const int c = row / (l->r * l->s), r = row / l->s % l->r, s = row % l->s;
    int begin, end;
    inside(l, s, &begin, &end);
    for (int i = first; i < last; i++) {
      float *to = columns + ((size_t)row * (size_t)n + (size_t)i) * (size_t)(l->p * l->q);
      const float *from = x + (size_t)(i * l->c + c) * (size_t)(l->h * l->w);
      for (int p = 0; p < l->p; p++, to += l->q) {
        const int h = p * l->stride + r - l->pad;
        memset(to, 0, (size_t)l->q * sizeof *to);
        if (h < 0 || h >= l->h) continue;
        const float *line = from + h * l->w + s - l->pad;
        for (int q = begin; q < end; q++) to[q] = line[q * l->stride];
      }
    }
  }
}

static void col2im(const layer *l, int n, const float *columns, float *x, int first, int last) {
  const size_t image = (size_t)(l->c * l->h * l->w);
  memset(x + (size_t)first * image, 0, (size_t)(last - first) * image * sizeof *x);
  for (int row = 0; row < l->c * l->r * l->s; row++) {
    const int c = row / (l->r * l->s), r = row / l->s % l->r, s = row % l->s;
    int begin, end;
    inside(l, s, &begin, &end);
    for (int i = first; i < last; i++) {
      const float *from = columns + ((size_t)row * (size_t)n + (size_t)i) * (size_t)(l->p * l->q);
      float *to = x + (size_t)(i * l->c + c) * (size_t)(l->h * l->w);
      for (int p = 0; p < l->p; p++, from += l->q) {
        const int h = p * l->stride + r - l->pad;
        if (h < 0 || h >= l->h) continue;
        float *line = to + h * l->w + s - l->pad;
        for (int q = begin; q < end; q++) line[q * l->stride] += from[q];
      }
    }
  }
}

// [images, k, pixels] to [k, images, pixels], or back.
static void swap_axes(int a, int b, size_t pixels, const float *src, float *dst, int first, int last,
                      bool images_first) {
  for (int i = first; i < last; i++)
    for (int k = 0; k < b; k++) {
      const size_t by_image = ((size_t)i * (size_t)b + (size_t)k) * pixels;
      const size_t by_k = ((size_t)k * (size_t)a + (size_t)i) * pixels;
      memcpy(dst + (images_first ? by_k : by_image), src + (images_first ? by_image : by_k), pixels * sizeof *dst);
    }
}

static void product(bool ta, bool tb, int m, int n, int k, const float *a, const float *b, bool add, float *c) {
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1, a, ta ? m : k,
              b, tb ? k : n, add ? 1 : 0, c, n);
}

// One product of n images, between what is before it and after it.
static void before(const work *v, int n, const float *x, const float *y, float *columns, float *result, int first,
                   int last) {
  const layer *l = v->l;
  if (v->kind != DX) im2col(l, n, x, columns, first, last);
  if (v->kind != FORWARD) swap_axes(n, l->k, (size_t)(l->p * l->q), y, result, first, last, true);
}
static void multiply(const work *v, int n, float *columns, float *result, bool add, float *dw) {
  const layer *l = v->l;
  const int depth = l->c * l->r * l->s, pixels = n * l->p * l->q;
  if (v->kind == FORWARD) product(false, false, l->k, pixels, depth, v->w, columns, false, result);
  if (v->kind == DX) product(true, false, depth, pixels, l->k, v->w, result, false, columns);
  if (v->kind == DW) product(false, true, l->k, depth, pixels, result, columns, add, dw);
}
static void after(const work *v, int n, const float *columns, const float *result, float *out, int first, int last) {
  const layer *l = v->l;
  if (v->kind == FORWARD) swap_axes(n, l->k, (size_t)(l->p * l->q), result, out, first, last, false);
  if (v->kind == DX) col2im(l, n, columns, out, first, last);
}

typedef struct pass {
  const work *v;
  float *out;
} pass;

static void before_share(void *ctx, int thread, int threads) {
  const work *v = ((pass *)ctx)->v;
  before(v, BATCH, v->x, v->y, v->columns, v->result, BATCH * thread / threads, BATCH * (thread + 1) / threads);
}
static void after_share(void *ctx, int thread, int threads) {
  const pass *s = ctx;
  after(s->v, BATCH, s->v->columns, s->v->result, s->out, BATCH * thread / threads, BATCH * (thread + 1) / threads);
}
static void by_im2col(const work *v, float *out) {
  pass s = {v, out};
  on_threads(v->threads, before_share, &s);
  openblas_set_num_threads(v->threads);
  multiply(v, BATCH, v->columns, v->result, false, out);
  openblas_set_num_threads(1);
  if (v->kind != DW) on_threads(v->threads, after_share, &s);
}

static void tiles_share(void *ctx, int thread, int threads) {
  const pass *s = ctx;
  const work *v = s->v;
  const size_t pixels = (size_t)(v->l->p * v->l->q), depth = (size_t)(v->l->c * v->l->r * v->l->s);
  const int most = TILE_PIXELS / (v->l->p * v->l->q), end = BATCH * (thread + 1) / threads;
  bool add = false;
  for (int i = BATCH * thread / threads, n; i < end; i += n, add = true) {
    n = end - i < most ? end - i : most;
    float *columns = v->columns + (size_t)thread * depth * TILE_PIXELS;
    float *result = v->result + (size_t)thread * (size_t)v->l->k * TILE_PIXELS;
    before(v, n, v->x + (size_t)i * v->x_image, v->y + (size_t)i * pixels * (size_t)v->l->k, columns, result, 0, n);
    multiply(v, n, columns, result, add, v->sums + (size_t)thread * v->w_count);
    after(v, n, columns, result, s->out + (size_t)i * (v->kind == DX ? v->x_image : v->y_image), 0, n);
  }
}
static void by_tiles(const work *v, float *out) {
  pass s = {v, out};
  on_threads(v->threads, tiles_share, &s);
  if (v->kind != DW) return;
  memcpy(out, v->sums, v->w_count * sizeof *out);
  for (int t = 1; t < v->threads; t++)
    for (size_t i = 0; i < v->w_count; i++) out[i] += v->sums[(size_t)t * v->w_count + i];
}

// ---- duel's kernels
typedef struct calls { // of one op on pieces of the batch, side by side
  int n;
  duel_call call[MOST_CALLS];
  duel_operand in[MOST_CALLS][2], out[MOST_CALLS];
  duel_attr attr;
  const duel_cpu_kernel *kernel;
  void *program;
} calls;

static void make_calls(calls *of, const work *v, duel_backend *b, int images, float *out) {
  const layer *l = v->l;
  const duel_shape w = DUEL_SHAPE(l->k, l->c, l->r, l->s);
  memset(of, 0, sizeof *of);
  of->attr.conv = (duel_conv){
      .stride = {l->stride, l->stride}, .dilation = {1, 1}, .pad = {l->pad, l->pad, l->pad, l->pad}, .groups = 1};
  of->kernel = duel_cpu_kernel_of(b, ops[v->kind]);
  for (int i = 0; i < BATCH; i += images, of->n++) {
    const int n = BATCH - i < images ? BATCH - i : images;
    const duel_operand x = {(float *)v->x + (size_t)i * v->x_image, DUEL_F32, DUEL_SHAPE(n, l->c, l->h, l->w)};
    const duel_operand y = {(float *)v->y + (size_t)i * v->y_image, DUEL_F32, DUEL_SHAPE(n, l->k, l->p, l->q)};
    const duel_operand weights = {(float *)v->w, DUEL_F32, w};
    duel_operand *in = of->in[of->n], *to = &of->out[of->n];
    in[0] = v->kind == DX ? y : x;
    in[1] = v->kind == DW ? y : weights;
    *to = v->kind == FORWARD ? y : v->kind == DX ? x : weights;
    to->data = out + (v->kind == DW ? 0 : (size_t)i * (v->kind == DX ? v->x_image : v->y_image));
    duel_call *call = &of->call[of->n];
    *call = (duel_call){.op = ops[v->kind], .n_in = 2, .n_out = 1, .in = in, .out = to, .attr = &of->attr};
    call->cost.flops = 2.0 * n * l->k * l->p * l->q * l->c * l->r * l->s;
    const size_t bytes = duel_cpu_backend.scratch(b, call);
    if (duel_cpu_backend.alloc(b, bytes, &call->scratch)) die(duel_last_error());
  }
  if (duel_cpu_backend.prepare(b, of->call, &(int){of->n}, 1, NULL, &of->program)) die(duel_last_error());
}

static void free_calls(calls *of, duel_backend *b) {
  duel_cpu_backend.release(b, of->program);
  for (int i = 0; i < of->n; i++) duel_cpu_backend.free(b, of->call[i].scratch);
}

// All pieces of a phase of call 0, on this thread.
static void run_phase(const calls *of, int phase) {
  duel_cut cut[DUEL_MAX_PHASE];
  duel_cpu_cut(of->kernel, &of->call[0], cut);
  for (int64_t i = 0; i < cut[phase].pieces; i++) {
    const duel_piece piece = duel_cpu_piece(cut, phase, i);
    of->kernel->run(&of->call[0], &piece);
  }
}

// ---- ways and their times
typedef enum way_kind { IM2COL, TILED, OWN, PHASE_0, PHASE_1, SQUARES, BLOCKS } way_kind;

typedef struct way {
  char name[24];
  way_kind kind;
  const work *v;
  const calls *of;
  duel_backend *backend;
  float *out;
  int threads, repeats;
  double flops, ms[MOST_ROUNDS];
} way;

static float *squares[3], *lines, *panel, *blocks[MOST_THREADS];

static void blocks_share(void *ctx, int thread, int threads) {
  (void)ctx, (void)threads;
  for (int j = 0; j < LENGTH; j += DUEL_GEMM_ROWS) {
    const float *a[DUEL_GEMM_ROWS];
    float *c[DUEL_GEMM_ROWS];
    const int rows = LENGTH - j < DUEL_GEMM_ROWS ? LENGTH - j : DUEL_GEMM_ROWS;
    for (int i = 0; i < rows; i++) a[i] = lines + (j + i) * LENGTH, c[i] = blocks[thread] + (j + i) * DUEL_GEMM_LANES;
    duel_gemm_rows(rows, LENGTH, a, panel, false, c);
  }
}
static void many_blocks(void *ctx, int thread, int threads) {
  for (int i = 0; i < *(int *)ctx; i++) blocks_share(NULL, thread, threads);
}

static void run_way(way *w, int repeats) {
  if (w->kind == BLOCKS) { // threads begin once
    on_threads(w->threads, many_blocks, &repeats);
    return;
  }
  if (w->kind == SQUARES) openblas_set_num_threads(w->threads);
  for (int i = 0; i < repeats; i++) switch (w->kind) {
    case IM2COL:
      by_im2col(w->v, w->out);
      break;
    case TILED:
      by_tiles(w->v, w->out);
      break;
    case OWN:
      duel_cpu_backend.run(w->backend, w->of->program);
      break;
    case SQUARES:
      product(false, false, SQUARE, SQUARE, SQUARE, squares[0], squares[1], false, squares[2]);
      break;
    default:
      run_phase(w->of, w->kind == PHASE_1);
      break;
    }
  openblas_set_num_threads(1);
}

static double time_way(way *w) {
  usleep(40000); // until threads of BLAS spin no more
  run_way(w, 1);
  const double began = now_ms();
  run_way(w, w->repeats);
  return (now_ms() - began) / w->repeats;
}

static void take_turns(way *ways, int n, int rounds) {
  for (int i = 0; i < n; i++) {
    ways[i].repeats = 1;
    ways[i].repeats = 1 + (int)(sample_ms / time_way(&ways[i]));
  }
  for (int round = 0; round < rounds; round++)
    for (int i = 0; i < n; i++) {
      way *w = &ways[(i + round) % n];
      w->ms[round] = time_way(w);
    }
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(const double *ms, int n, double at) {
  double sorted[MOST_ROUNDS];
  memcpy(sorted, ms, (size_t)n * sizeof *ms);
  qsort(sorted, (size_t)n, sizeof *sorted, by_size);
  const double place = at * (n - 1);
  const int i = (int)place;
  return i + 1 < n ? sorted[i] + (place - i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

static void check(const layer *l, int kind, const char *name, const float *a, const float *b, size_t n) {
  double most = 0, worst = 0;
  for (size_t i = 0; i < n; i++) {
    most = fmax(most, fabs((double)a[i]));
    worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
  }
  if (worst <= 1e-4 * most) return;
  fprintf(stderr, "conv_ladder: %s %s by %s is off by %g of %g\n", l->name, kinds[kind], name, worst, most);
  exit(1);
}

static void show(const way *w, int rounds, double taken_off, double best) {
  const double median = quantile(w->ms, rounds, 0.5) - taken_off, rate = w->flops / median / 1e6;
  printf("    %-22s%9.3f  %7.3f-%-8.3f%8.1f", w->name, median, quantile(w->ms, rounds, 0.25) - taken_off,
         quantile(w->ms, rounds, 0.75) - taken_off, rate);
  if (best > 0) printf("%8.0f %%", 100 * rate / best);
  puts("");
}

static way *add(way *ways, int *n, const char *name, way_kind kind, const work *v, const calls *of, duel_backend *b,
                float *out) {
  way *w = &ways[(*n)++];
  *w = (way){.kind = kind, .v = v, .of = of, .backend = b, .out = out, .threads = v->threads};
  snprintf(w->name, sizeof w->name, "%s", name);
  const layer *l = v->l;
  w->flops = 2.0 * BATCH * l->k * l->p * l->q * l->c * l->r * l->s;
  return w;
}

static void climb(const layer *l, int kind, int threads, int rounds, duel_backend *b) {
  static way ways[MOST_WAYS];
  static calls whole, few;
  work v = {.l = l, .kind = kind, .threads = threads};
  v.x_image = (size_t)(l->c * l->h * l->w);
  v.y_image = (size_t)(l->k * l->p * l->q);
  v.w_count = (size_t)(l->k * l->c * l->r * l->s);
  float *const x = numbers(BATCH * v.x_image), *const w = numbers(v.w_count), *const y = numbers(BATCH * v.y_image);
  v.x = x, v.w = w, v.y = y;
  const size_t pixels = (size_t)(BATCH * l->p * l->q), tiles = MOST_THREADS * TILE_PIXELS;
  v.columns = numbers((size_t)(l->c * l->r * l->s) * (pixels > tiles ? pixels : tiles));
  v.result = numbers((size_t)l->k * (pixels > tiles ? pixels : tiles));
  v.sums = numbers((size_t)threads * v.w_count);
  const size_t count = kind == DW ? v.w_count : BATCH * (kind == DX ? v.x_image : v.y_image);
  float *out[4];
  for (int i = 0; i < 4; i++) out[i] = numbers(count);
  make_calls(&whole, &v, b, BATCH, out[2]);
  make_calls(&few, &v, b, kind == DW ? BATCH : FEW, out[3]);

  int n = 0;
  for (int i = 0; i < 2; i++) {
    way *gemm = add(ways, &n, i ? "blocks in registers" : "OpenBLAS", i ? BLOCKS : SQUARES, &v, NULL, b, NULL);
    gemm->flops = i ? 2.0 * threads * LENGTH * LENGTH * DUEL_GEMM_LANES : 2.0 * SQUARE * SQUARE * SQUARE;
  }
  add(ways, &n, "im2col", IM2COL, &v, NULL, b, out[0]);
  add(ways, &n, "tiled", TILED, &v, NULL, b, out[1]);
  way *own = add(ways, &n, "duel's one way", OWN, &v, &whole, b, out[2]);
  way *direct = add(ways, &n, "direct", OWN, &v, &few, b, out[3]);
  run_way(own, 1);
  run_way(direct, 1);
  const bool filtered = memcmp(out[2], out[3], count * sizeof(float)) != 0; // the same sums have the same bits
  if (filtered)
    snprintf(own->name, sizeof own->name, "winograd");
  else
    n--;
  way *first = add(ways, &n, kind == DW ? "products" : "packing weights", PHASE_0, &v, &whole, b, NULL);
  way *rest = add(ways, &n, kind == DW ? "joining sums" : "the rest", PHASE_1, &v, &whole, b, NULL);
  way *packing = filtered ? add(ways, &n, "packing", PHASE_0, &v, &few, b, NULL) : NULL;
  take_turns(ways, n, rounds);
  for (int i = 1; i < (filtered ? 4 : 3); i++) check(l, kind, i == 1 ? "tiles" : "duel", out[0], out[i], count);

  double best = 0;
  printf("\n  %s of %s\n", kinds[kind], l->name);
  for (int i = 0; i < 2; i++) {
    best = fmax(best, ways[i].flops / quantile(ways[i].ms, rounds, 0.5) / 1e6);
    show(&ways[i], rounds, 0, 0);
  }
  show(&ways[2], rounds, 0, best);
  show(&ways[3], rounds, 0, best);
  if (filtered) show(direct, rounds, (few.n - 1) * quantile(packing->ms, rounds, 0.5) / threads, best);
  show(own, rounds, 0, best);
  duel_cut cut[DUEL_MAX_PHASE];
  duel_cpu_cut(whole.kernel, &whole.call[0], cut);
  if (cut[1].pieces > 0)
    printf("    %s %.3f ms on one thread, %s %.3f ms\n", first->name, quantile(first->ms, rounds, 0.5), rest->name,
           quantile(rest->ms, rounds, 0.5));
  fflush(stdout);

  free_calls(&whole, b);
  free_calls(&few, b);
  for (int i = 0; i < 4; i++) free(out[i]);
  free(x), free(w), free(y), free(v.columns), free(v.result), free(v.sums);
}

#define TEXT_(level) #level
#define TEXT(level) TEXT_(level)

int main(int argc, char **argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1, rounds = argc > 2 ? atoi(argv[2]) : ROUNDS;
  if (argc > 3 || threads < 1 || threads > MOST_THREADS || rounds < 1 || rounds > MOST_ROUNDS) {
    fputs("usage: conv_ladder [THREADS [ROUNDS]]\n", stderr);
    return 2;
  }
  setenv("DUEL_CPU_ISA", TEXT(DUEL_LEVEL), 1); // the level whose blocks this program was compiled for
  duel_backend *b;
  if (duel_cpu_backend.open(&b, &(duel_backend_options){.threads = threads})) die(duel_last_error());
  for (int i = 0; i < 3; i++) squares[i] = numbers(SQUARE * SQUARE);
  lines = numbers(LENGTH * LENGTH);
  panel = numbers(LENGTH * DUEL_GEMM_LANES);
  for (int i = 0; i < threads; i++) blocks[i] = numbers(LENGTH * DUEL_GEMM_LANES);
  char date[16];
  strftime(date, sizeof date, "%F", gmtime(&(time_t){time(NULL)}));
  printf("%s; batch %d, %d rounds, %s\n", duel_cpu_backend.describe(b), BATCH, rounds, date);
  printf("\n    %-22s%9s  %16s%8s%10s\n", "", "ms", "quartiles", "GFLOP/s", "of best");
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (int kind = FORWARD; kind <= DW; kind++) climb(&layers[i], kind, threads, rounds, b);
  duel_cpu_backend.close(b);
  return 0;
}
