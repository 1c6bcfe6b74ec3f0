// The graph: values, nodes, variables, the builder calls and the op records.
//
//   value    one tensor of the graph; SSA, written by exactly one node
//   node     one op applied to values; has 1 to DUEL_MAX_OUT outputs
//   var      a named piece of state (a parameter slab, Adam's moments, a running mean) that outlives a step. Its
//            versions are values: `state` yields version 0, each writer the next one, in the same storage.
//
// Builder calls never fail in the caller's face: on a mistake the graph remembers the first error (naming op, label and
// shapes), the call yields DUEL_NONE, and every call on DUEL_NONE yields DUEL_NONE. So graphs are built as expressions
// and duel_graph_status() is asked once, at the end.
#ifndef DUEL_CORE_GRAPH_H
#define DUEL_CORE_GRAPH_H

#include "base/pool.h"
#include "base/status.h"
#include "base/tensor.h"
#include "core/augment.h"

typedef enum duel_op {
#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out) DUEL_OP_##ENUM,
#include "core/ops/ops.def"
#undef DUEL_OP
  DUEL_OP_COUNT
} duel_op;

enum { DUEL_MAX_OUT = 4, DUEL_NONE = -1 };
typedef int32_t duel_val; // index into graph->value, or DUEL_NONE

// Activations that fused ops apply to their result. All derivatives read the output, not the input.
typedef enum duel_act { DUEL_ACT_NONE, DUEL_ACT_LEAKY_RELU, DUEL_ACT_TANH, DUEL_ACT_SIGMOID } duel_act;

// How a convolution lays its kernel over the image; down before right.
typedef struct duel_conv {
  int64_t stride[2], dilation[2];
  int64_t pad[4]; // zeros above, left, below, right
  int64_t groups; // the first 1/groups of the outputs read the first 1/groups of the channels, and so on
} duel_conv;

// Windows that pooling lays over an image; down before right. Each pad is smaller than the kernel.
enum { DUEL_MOST_SIDE = 32767 }; // of images that are resampled or pooled, of windows, strides and pads
typedef struct duel_window {
  int64_t kernel[2], stride[2];
  int64_t pad[4]; // above, left, below, right
} duel_window;

// A separable filter between two changes of size: StyleGAN2's upfirdn2d (Karras et al. 2020, arXiv:1912.04958). On each
// axis `up` − 1 zeros are put behind each pixel and pads around, and of the correlation with the taps, which are not
// turned around, every `down`-th number is kept.
enum { DUEL_FIR_TAPS = 12, DUEL_FIR_RATE = 8 }; // the most taps; the most times larger or smaller
typedef struct duel_fir {
  int64_t up[2], down[2]; // down before right
  int64_t pad[4];         // zeros above, left, below, right: of the image with its zeros between
  int64_t taps;           // how many; they are the same on both axes
  double tap[DUEL_FIR_TAPS];
  double gain; // every pixel of the result is multiplied by it
} duel_fir;

// How an image becomes one of another size (core/ops/resample.h has the formulas).
typedef enum duel_sampling { DUEL_NEAREST, DUEL_BILINEAR, DUEL_AVERAGE, DUEL_FIR } duel_sampling;
typedef struct duel_resampling {
  int mode;           // a duel_sampling
  int64_t size[2];    // nearest, bilinear: height and width of the result
  duel_window window; // average: a pixel of the result is a window's mean, in which zeros of the padding count
  duel_fir fir;       // FIR
} duel_resampling;

// What an input adds to a step's scalars: mul·Σ f(x) over all its elements, to one of them.
typedef enum duel_report_kind {
  DUEL_REPORT_SUM,  // f(x) = x
  DUEL_REPORT_SIGN, // 1, 0 or −1
  DUEL_REPORT_BCE,  // softplus(x) − target·x
} duel_report_kind;
typedef struct duel_report_term {
  int32_t scalar, kind; // its index; a duel_report_kind
  double mul, target;
} duel_report_term;
enum { DUEL_REPORT_TERMS = 64, DUEL_OPTIM_GAPS = 64 }; // of one node, at most: a kernel is handed all of them

// What an op needs besides its inputs. Zeroed before it is filled, so that two attributes compare bytewise.
typedef struct duel_attr {
  union {
    struct {
      double value;
    } constant;
    struct {
      int64_t offset;
    } view; // elements into the slab
    struct {
      const int64_t *offset;
      int64_t count;
      int64_t loose;
    } pack; // one offset an input (owned by the graph); slab length; loose: nobody reads the gaps, which may hold
            // anything
    struct {
      int perm[DUEL_MAX_RANK];
    } transpose; // dst axis i is src axis perm[i]
    struct {
      int64_t start[DUEL_MAX_RANK];
    } slice; // the size is the output's shape
    struct {
      int64_t before[DUEL_MAX_RANK];
    } pad; // zeros in front; those behind follow from the shape
    struct {
      int64_t pad[4]; // above, left, below, right
    } reflect;
    struct {
      int axis;
    } concat;
    struct {
      double mul, add;
    } affine;
    struct {
      double slope;
    } leaky;
    struct {
      uint32_t axes;
    } reduce; // bit i: axis i is reduced (and stays with size 1)
    struct {
      int trans_a, trans_b, act;
      double slope;
    } matmul; // also dense, matmul_grad
    duel_conv conv;
    struct {
      duel_conv conv; // the same place as above
      int act;
      double slope;
    } conv_act;
    duel_resampling resample;
    duel_window window; // maxpool2d and its adjoint
    struct {
      uint32_t purpose, k;
      int64_t first;
    } random; // counter word c2 = purpose + 256·k; output i is element first + i of the draw: a shard's rows of a batch
    struct {
      duel_changes changes;
      int64_t first; // output row i is row first + i of the batch
    } augment;
    struct {
      int act;
      double slope, eps;
    } batchnorm;
    struct {
      int64_t groups;
      double eps;
    } groupnorm;
    struct {
      int axis, advance; // of the weight, whose elements are the matrix's rows; whether power iteration moves on
    } spectral;
    struct {
      double target;
    } bce;
    struct {
      double smoothing;
    } softmax;
    struct {
      const duel_report_term *term;
    } report; // one term an input but the first (owned by the graph)
    struct {
      const int64_t *gap;
      int64_t gaps;
    } optim; // {first, end} of each gap, ascending (owned by the graph): the gradient counts as 0 there, whatever it
             // holds
    struct {
      double weight, unbias;
    } running;
    struct {
      double bound;
    } assign; // numbers are clamped to ±bound; 0: they are not
    struct {
      int32_t id;
    } input; // which input block
  };
} duel_attr;

typedef struct duel_value {
  duel_dtype dtype;
  duel_shape shape;
  int32_t node; // who writes it
  int32_t out;  // as which output
  int32_t var;  // the variable that this is a version of, or -1
} duel_value;

typedef struct duel_node {
  duel_op op;
  int32_t id; // index in graph->node
  int n_in, n_out;
  const duel_val *in;
  duel_val out[DUEL_MAX_OUT];
  duel_attr attr;
  const char *label; // "G.3 batchnorm", from duel_scope; for messages and tables
  int stretch;       // from graph->stretch
} duel_node;

// Where a variable lives. One arena each; PARAM and OPT variables are flat slabs.
typedef enum duel_arena {
  DUEL_ARENA_PARAM,  // parameters, one slab a net (also EMA copies)
  DUEL_ARENA_OPT,    // optimizer moments, one slab a net and moment
  DUEL_ARENA_BUFFER, // running statistics and other small state
  DUEL_ARENA_DATA,   // the resident data set
  DUEL_ARENA_INPUT,  // blocks that the host writes before a step
  DUEL_ARENA_OUTPUT, // blocks that the host reads after a step
  DUEL_ARENA_WORK,   // everything that dies within a step (gradients too); planned by liveness
  DUEL_ARENA_COUNT
} duel_arena;

typedef struct duel_var {
  char *name;
  duel_arena arena;
  duel_dtype dtype;
  duel_shape shape;
  size_t offset, bytes; // place in its arena, aligned to DUEL_ALIGN
} duel_var;

enum { DUEL_ALIGN = 256 }; // bytes; slabs lay their tensors out by the same rule, gaps are zero and stay zero

// The variables of a run: shared by all graphs of it (training step, sampling, evaluation).
typedef struct duel_vars {
  duel_var *var;
  int n, cap;
  size_t arena_bytes[DUEL_ARENA_COUNT]; // WORK stays 0: it belongs to plans
} duel_vars;

duel_status duel_vars_add(duel_vars *vars, duel_arena arena, const char *name, duel_dtype dtype, duel_shape shape,
                          int *id);
int duel_vars_find(const duel_vars *vars, const char *name); // -1 if absent
void duel_vars_clear(duel_vars *vars);

typedef struct duel_graph {
  const duel_vars *vars;
  duel_dtype real; // DUEL_F32; DUEL_F64 in tests
  duel_value *value;
  int n_values, cap_values;
  duel_node **node; // pointers stay valid while the graph lives
  int n_nodes, cap_nodes;
  duel_val *latest; // per var: newest version, DUEL_NONE if the graph does not touch it
  int n_latest;     // vars->n may have grown since: vars from n_latest on are not touched by this graph
  duel_pool pool;   // nodes, their inputs and lists, labels
  char scope[128];
  int stretch; // of the nodes that follow; it only grows. A stretch runs to its end before the next one begins, and
               // what it computes is not kept for another that computes the same: shards of a batch are stretches
  duel_status status;
  char error[512];
} duel_graph;

duel_status duel_graph_open(duel_graph **g, const duel_vars *vars, duel_dtype real);
void duel_graph_close(duel_graph *g);
duel_status duel_graph_status(const duel_graph *g); // DUEL_OK, or the first mistake, as the thread's error
void duel_scope(duel_graph *g, const char *fmt, ...) DUEL_PRINTF(2, 3); // label of the nodes that follow; "" ends it

// Records the first mistake and yields DUEL_NONE. For builders.
duel_val duel_graph_error(duel_graph *g, const char *fmt, ...) DUEL_PRINTF(2, 3);
#define duel_graph_refuse(...) (duel_graph_error(__VA_ARGS__) != DUEL_NONE) // the same, yields false: for checks

// The general constructor: checks arity, runs the shape rule, appends. All builders end here; rewrites call it to copy.
// shape and dtype are only read by ops whose output does not follow from the inputs (constant, reshape, view, slice,
// pad, broadcast, random, input, conv2d_dx(_act), conv2d_dw, resample2d_dx, embedding_grad, one_hot); pass NULL
// otherwise.
duel_node *duel_node_add(duel_graph *g, duel_op op, int n_in, const duel_val *in, const duel_attr *attr,
                         const duel_shape *shape);
void *duel_graph_alloc(duel_graph *g, size_t bytes); // zeroed, lives as long as the graph; NULL sets the error
duel_shape duel_val_shape(const duel_graph *g, duel_val v);

// ---- builders
duel_val duel_state(duel_graph *g, int var); // its newest version in this graph (version 0 at first)
duel_val duel_input(duel_graph *g, int var); // a variable of arena INPUT or DATA
void duel_output(duel_graph *g, int var,
                 duel_val v); // assigns v (same shape) to the OUTPUT variable that the host reads
duel_val duel_constant(duel_graph *g, duel_shape shape, double value);

duel_val duel_reshape(duel_graph *g, duel_val src, duel_shape shape);
duel_val duel_view(duel_graph *g, duel_val slab, int64_t offset, duel_shape shape);
duel_val duel_pack(duel_graph *g, int n, const duel_val *src, const int64_t *offset, int64_t count);
duel_val duel_transpose(duel_graph *g, duel_val src, const int *perm);
duel_val duel_slice(duel_graph *g, duel_val src, const int64_t *start, duel_shape size);
duel_val duel_pad(duel_graph *g, duel_val src, const int64_t *before, duel_shape padded);
// Images with mirrored pixels above, left, below and right, each pad smaller than the side: PyTorch's ReflectionPad2d.
duel_val duel_reflect_pad(duel_graph *g, duel_val x, const int64_t pad[4]);
duel_val duel_concat(duel_graph *g, int n, const duel_val *src, int axis);
duel_val duel_broadcast(duel_graph *g, duel_val src, duel_shape shape);

duel_val duel_add(duel_graph *g, duel_val a, duel_val b);
duel_val duel_sub(duel_graph *g, duel_val a, duel_val b);
duel_val duel_mul(duel_graph *g, duel_val a, duel_val b);
duel_val duel_div(duel_graph *g, duel_val a, duel_val b);
duel_val duel_less_equal(duel_graph *g, duel_val a, duel_val b);
duel_val duel_select(duel_graph *g, duel_val cond, duel_val a, duel_val b);
duel_val duel_affine(duel_graph *g, duel_val x, double mul, double add);
duel_val duel_exp(duel_graph *g, duel_val x);
duel_val duel_log(duel_graph *g, duel_val x);
duel_val duel_sqrt(duel_graph *g, duel_val x);
duel_val duel_tanh(duel_graph *g, duel_val x);
duel_val duel_sigmoid(duel_graph *g, duel_val x);
duel_val duel_softplus(duel_graph *g, duel_val x);
duel_val duel_erf(duel_graph *g, duel_val x);
duel_val duel_leaky_relu(duel_graph *g, duel_val x, double slope);
duel_val duel_tanh_grad(duel_graph *g, duel_val d_dst, duel_val dst);
duel_val duel_sigmoid_grad(duel_graph *g, duel_val d_dst, duel_val dst);
duel_val duel_leaky_relu_grad(duel_graph *g, duel_val d_dst, duel_val dst, double slope);
duel_val duel_activate(duel_graph *g, duel_val x, duel_act act, double slope); // by enum
duel_val duel_activate_grad(duel_graph *g, duel_val d_dst, duel_val dst, duel_act act, double slope);

duel_val duel_reduce_sum(duel_graph *g, duel_val x, uint32_t axes);
duel_val duel_reduce_max(duel_graph *g, duel_val x, uint32_t axes);
duel_val duel_sum(duel_graph *g, duel_val x);                      // over everything, a scalar
duel_val duel_mean(duel_graph *g, duel_val x);                     // over everything, a scalar
duel_val duel_sum_to(duel_graph *g, duel_val x, duel_shape shape); // adjoint of broadcasting from shape

duel_val duel_matmul(duel_graph *g, duel_val a, duel_val b, bool trans_a, bool trans_b);
// Cross-correlation; P = ⌊(H + pads − dilation·(R−1) − 1)/stride⌋ + 1. Its two adjoints take their result's shape.
duel_val duel_conv2d(duel_graph *g, duel_val x, duel_val w, const duel_conv *c);
duel_val duel_conv2d_dx(duel_graph *g, duel_val d_y, duel_val w, const duel_conv *c, duel_shape x);
duel_val duel_conv2d_act(duel_graph *g, duel_val x, duel_val w, duel_val bias, const duel_conv *c, duel_act act,
                         double slope); // bias may be DUEL_NONE
duel_val duel_conv2d_dx_act(duel_graph *g, duel_val d_y, duel_val w, duel_val bias, const duel_conv *c, duel_shape x,
                            duel_act act, double slope);
duel_val duel_conv2d_dx_grad(duel_graph *g, duel_val d_y, duel_val w, duel_val x, const duel_conv *c, duel_act act,
                             double slope); // x: the activation's output
duel_val duel_conv2d_dw(duel_graph *g, duel_val x, duel_val d_y, const duel_conv *c, duel_shape w);
duel_val duel_resample2d(duel_graph *g, duel_val x, const duel_resampling *r);
duel_val duel_resample2d_dx(duel_graph *g, duel_val d_y, const duel_resampling *r, duel_shape x);
// Images moved, turned, stretched: y[n, c, i, j] is x[n, c] at row sy and column sx, in pixels, between its neighbors;
// what lies outside of x counts as 0. Into the map flows no gradient: maps are drawn, not learnt.
//   sx = map[n, 0]·(j, i, 1)     sy = map[n, 1]·(j, i, 1)
duel_val duel_warp2d(duel_graph *g, duel_val x, duel_val map);
duel_val duel_warp2d_dx(duel_graph *g, duel_val d_y, duel_val map);
// v where x has its windows' maxima, the first of equal ones: max pooling is duel_maxpool2d(g, x, x, w).
duel_val duel_maxpool2d(duel_graph *g, duel_val x, duel_val v, const duel_window *w);
duel_val duel_maxpool2d_dx(duel_graph *g, duel_val x, duel_val d_y, const duel_window *w);
duel_val duel_random_normal(duel_graph *g, duel_val key, uint32_t purpose, uint32_t k, duel_shape shape);
duel_val duel_random_uniform(duel_graph *g, duel_val key, uint32_t purpose, uint32_t k, duel_shape shape);
// op, one of these two, from element `first` of the draw on.
duel_val duel_random_from(duel_graph *g, duel_op op, duel_val key, uint32_t purpose, uint32_t k, int64_t first,
                          duel_shape shape);
// How each of `rows` rows of a batch, from `first` on, is changed: its draws of core/augment.h, where p [] is the
// changes' probability. out: maps [rows, 2, 3] for duel_warp2d, and the other numbers of duel_changed, [10, rows].
void duel_augment(duel_graph *g, duel_val key, duel_val p, const duel_changes *changes, int64_t first, int64_t rows,
                  duel_val out[2]);
duel_val duel_iota(duel_graph *g, int64_t n);                           // 0, 1, … n − 1: [n]
duel_val duel_batch(duel_graph *g, duel_val data, duel_val index);      // of i32 data, labels say, i32
duel_val duel_embedding(duel_graph *g, duel_val table, duel_val index); // NaN where an index is out of range
duel_val duel_embedding_grad(duel_graph *g, duel_val d_y, duel_val index, int64_t rows); // of the table
duel_val duel_one_hot(duel_graph *g, duel_val index, int64_t classes); // zeros where an index is out of range

duel_val duel_dense(duel_graph *g, duel_val a, duel_val b, duel_val bias, bool trans_a, bool trans_b, duel_act act,
                    double slope); // bias may be DUEL_NONE
void duel_matmul_grad(duel_graph *g, duel_val a, duel_val b, duel_val y, bool trans_a, bool trans_b, duel_act act,
                      double slope, duel_val out[2]);
void duel_batchnorm(duel_graph *g, duel_val x, duel_val scale, duel_val shift, double eps, duel_act act, double slope,
                    duel_val out[3]); // y, mean, biased variance over all axes but 1
// in: d_y, x, scale, mean, var, y; out: d_x, d_scale, d_shift
void duel_batchnorm_grad(duel_graph *g, const duel_val in[6], double eps, duel_act act, double slope, duel_val out[3]);
// Channels in groups of neighbors; scale and shift [C] or [C, ...], the first axes of an item. y, mean and biased
// variance [N, groups].
void duel_groupnorm(duel_graph *g, duel_val x, duel_val scale, duel_val shift, int64_t groups, double eps,
                    duel_val out[3]);
// in: d_y, x, scale, mean, var; out: d_x, and d_scale and d_shift of each item
void duel_groupnorm_grad(duel_graph *g, const duel_val in[5], int64_t groups, double eps, duel_val out[3]);
// w/σ, σ its largest singular value as u and v tell it; w is a matrix whose rows are its elements on `axis` (0 or 1).
// advance: u and v move on by one power iteration first. out: w/σ, u [rows], v [the rest], σ.
void duel_spectral(duel_graph *g, duel_val w, duel_val u, duel_val v, int axis, bool advance, duel_val out[4]);
duel_val duel_spectral_grad(duel_graph *g, const duel_val in[5], int axis); // in: d_y, then what duel_spectral yielded
duel_val duel_bce_logits(duel_graph *g, duel_val logits, double target);
duel_val duel_bce_logits_grad(duel_graph *g, duel_val logits, duel_val d_loss, double target);
// Mean over rows of −Σ t·log softmax(logits), logits [N, K], labels i32 [N]. t is 1 at the label and 0 elsewhere,
// (1 − smoothing)·t + smoothing/K with label smoothing (Szegedy et al. 2016). NaN where a label is out of range.
duel_val duel_softmax_ce(duel_graph *g, duel_val logits, duel_val labels, double smoothing);
duel_val duel_softmax_ce_grad(duel_graph *g, duel_val logits, duel_val labels, duel_val d_loss, double smoothing);
// How many rows have their largest number, the first of equal ones, at the label. Rows with NaN there and rows whose
// label is out of range do not count: a batch may be filled up with labels of −1.
duel_val duel_hits(duel_graph *g, duel_val logits, duel_val labels);
// Writers. coef is f32[8], written by the host each step: lr/(1−β1ᵗ), 1/sqrt(1−β2ᵗ), eps, 1 − lr·weight_decay, β1,
// 1−β1, β2, 1−β2 (sgd: lr, 0, 0, 1 − lr·weight_decay, momentum, 0, 0, 0).
// Σ grad² comes in parts: part b is the sum over elements [b·span, (b+1)·span).
static inline int64_t duel_squares_span(int64_t count) {
  enum { ELEMENTS = 1024, MOST = 4096 };
  const int64_t times = (count + (int64_t)ELEMENTS * MOST - 1) / ((int64_t)ELEMENTS * MOST);
  return ELEMENTS * (times > 1 ? times : 1);
}
static inline int64_t duel_squares_parts(int64_t count) {
  return (count + duel_squares_span(count) - 1) / duel_squares_span(count);
}
void duel_adam(duel_graph *g, duel_val p, duel_val m, duel_val v, duel_val grad, duel_val coef, duel_val out[4]);
void duel_sgd(duel_graph *g, duel_val p, duel_val m, duel_val grad, duel_val coef, duel_val out[3]);
duel_val duel_ema(duel_graph *g, duel_val e, duel_val x, duel_val w);
duel_val duel_assign(duel_graph *g, duel_val old, duel_val x);
duel_val duel_clamp(duel_graph *g, duel_val old, double bound); // assigns old, clamped to ±bound
// Running statistics [C] move by the weight towards a batch's mean and unbias times its variance.
void duel_running(duel_graph *g, duel_val mean, duel_val var, duel_val batch_mean, duel_val batch_var, double weight,
                  double unbias, duel_val out[2]);
// term[i] says what src[i] adds to which number of `old`, in order; one without a term becomes 0. At most
// DUEL_REPORT_TERMS. Where `old` is no state it says how many there are, and no more.
duel_val duel_report(duel_graph *g, duel_val old, int n, const duel_val *src, const duel_report_term *term);

// ---- op records
enum {
  DUEL_FLAG_INPLACE = 1,     // element-wise: output 0 may take the storage of an input of the same size
  DUEL_FLAG_VIEW = 2,        // output 0 is input 0's storage (at attr.view.offset for view)
  DUEL_FLAG_WRITER = 4,      // output i is the next version of input i, for each input that is a state version
  DUEL_FLAG_COMMUTATIVE = 8, // for common subexpressions
};

typedef struct duel_cost {
  double flops, bytes;
} duel_cost;

// Which kernels an op has (ops.def).
typedef enum duel_op_kind { DUEL_KIND_NONE, DUEL_KIND_PLAIN, DUEL_KIND_PRODUCT } duel_op_kind;

typedef struct duel_op_record {
  const char *name;
  duel_op_kind kind;
  int min_in, max_in, n_out; // max_in -1: any number
  // Sets value.dtype and value.shape of all outputs (already appended). False: the error is recorded. shape as above.
  bool (*infer)(duel_graph *g, const duel_node *n, const duel_shape *shape);
  // d_in[i] for the inputs with need[i]; d_out[i] may be DUEL_NONE (no gradient arrives there). Contributions carry
  // the *output's* broadcast shape where it is easier: autodiff sums them down to the input's and adds them up. Leave
  // DUEL_NONE for "none". duel_no_grad says that the op has no derivative.
  void (*vjp)(duel_graph *g, const duel_node *n, const duel_val *d_out, const bool *need, duel_val *d_in);
  void (*expand)(duel_graph *g, const duel_node *n,
                 duel_val *out); // fused ops: the same in primitives; NULL: a primitive
  double flops_in, flops_out; // an element of input 0, and of output 0; each input is read once and each output written
  duel_cost (*cost)(const duel_graph *g, const duel_node *n); // where that is not all, or NULL
  unsigned flags;
} duel_op_record;

extern const duel_op_record *const duel_op_records[DUEL_OP_COUNT];
const char *duel_op_name(duel_op op);
duel_cost duel_op_cost(const duel_graph *g, const duel_node *n); // 0 of leaves and views
void duel_no_grad(duel_graph *g, const duel_node *n, const duel_val *d_out, const bool *need, duel_val *d_in);
void duel_vjp_by_expansion(duel_graph *g, const duel_node *n, const duel_val *d_out, const bool *need, duel_val *d_in);

// ---- autodiff
// Adds the backward nodes of the scalar loss and yields d loss / d wrt[i] in grad[i], of wrt[i]'s shape; a value that
// the loss does not depend on gets zeros. Gradients stop at wrt values, at writers and at ops without a derivative.
// Only gradients that lie on a path from a wrt value to the loss are built. The result is ordinary graph: differentiate
// again.
duel_status duel_grad(duel_graph *g, duel_val loss, int n, const duel_val *wrt, duel_val *grad);

// The general form: several outputs, each with a seed of its shape (DUEL_NONE: none); absent gradients stay DUEL_NONE.
duel_status duel_grad_seeded(duel_graph *g, int n_out, const duel_val *out, const duel_val *seed, int n,
                             const duel_val *wrt, duel_val *grad);

#endif
