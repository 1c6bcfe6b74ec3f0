// The reference for all ops: naive loops over dense doubles, written from the definitions in ops.def and the papers.
// It shares no code with src/ beyond its types, so that a mistake there cannot hide here. Speed does not matter.
#ifndef DUEL_TESTS_ORACLE_H
#define DUEL_TESTS_ORACLE_H

#include "core/graph.h"

typedef struct duel_ref {
  duel_dtype dtype; // what the engine stores; here every element is a double (i32 and u8 fit exactly)
  duel_shape shape;
  int64_t count;
  double *data;
} duel_ref;

// Fresh and zeroed; ends the program where there is no memory.
duel_ref duel_ref_new(duel_dtype dtype, duel_shape shape);
void duel_ref_free(duel_ref *t); // an empty one is fine

// Computes one op: out[0 .. n_out) become fresh tensors whose shapes follow from the inputs alone. shape and attr are
// those of duel_node_add (shape is read only by those that graph.h names there). False for leaves, which compute
// nothing.
bool duel_ref_op(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in, const duel_shape *shape,
                 duel_ref *out);

// Interprets a whole graph: value[i] becomes the contents of graph value i. var[i] is the contents of variable i before
// the run; value has g->n_values elements, all to be freed.
void duel_ref_graph(const duel_graph *g, const duel_ref *var, duel_ref *value);

// Philox4x32-10 (Salmon et al. 2011), for the tests of the draws: dst = words of the block with this counter.
void duel_ref_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t dst[4]);

// ---- shared by the oracle's own files
bool duel_ref_step(duel_shape s, int64_t *index);           // next index in row-major order; false at the end
int64_t duel_ref_place(duel_shape s, const int64_t *index); // row-major position
int64_t duel_ref_under(duel_shape s, duel_shape full, const int64_t *index); // position in s broadcast to full
bool duel_ref_op_fused(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in, const duel_shape *shape,
                       duel_ref *out);
duel_ref duel_ref_resample(duel_op op, const duel_resampling *r, duel_ref in, duel_shape shape);
duel_ref duel_ref_reflect(duel_op op, const int64_t pad[4], duel_ref in);
duel_ref duel_ref_maxpool(duel_op op, const duel_window *w, const duel_ref *in);
void duel_ref_augment(const duel_attr *attr, const duel_ref *in, duel_shape shape, duel_ref *out);
duel_ref duel_ref_warp(duel_op op, const duel_ref *in);
void duel_ref_spectral(const duel_attr *attr, const duel_ref *in, duel_ref *out);
duel_ref duel_ref_spectral_grad(const duel_attr *attr, const duel_ref *in);
duel_ref duel_ref_conv_act(duel_op op, const duel_attr *attr, int n_in, const duel_ref *in, duel_shape shape);
duel_ref duel_ref_conv(duel_op op, const duel_conv *c, const duel_ref *in, duel_shape shape);
double duel_ref_activate(double x, int act, double slope);
double duel_ref_activate_slope(double y, int act, double slope); // derivative, from the output

#endif
