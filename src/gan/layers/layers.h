// Layers: what a recipe's items mean. Each kind is one function that appends nodes for one forward pass.
//
// A forward function asks for its parameters and buffers through the pass. The same function therefore serves three
// uses:
//   declare  (pass->declare)  collects names, shapes and initializers into the model, checks that shapes fit
//   train    batch statistics, dropout, noise; running statistics advance
//   infer    running statistics, no dropout or noise
//   standing  the same, but measures the running statistics
#ifndef DUEL_GAN_LAYERS_H
#define DUEL_GAN_LAYERS_H

#include "gan/model.h"
#include "gan/shards.h"

enum { DUEL_MAX_SAVED = 32, DUEL_STANDING = 32 }; // DUEL_STANDING: batches of standing statistics
typedef struct duel_saved {                       // the output of a layer with `save: name`
  const char *name;
  duel_val value;
} duel_saved;

typedef struct duel_pass {
  duel_graph *g;
  duel_model *model;
  int net; // the net, by its number in the model
  bool declare;
  bool train;
  bool ema;      // infer with the moving average of the parameters and buffers (where the net has one)
  bool standing; // infer, but with the batch's statistics, whose means over DUEL_STANDING batches are summed up
  duel_val keep; // then: 0 in the first of them, 1 in the others
  duel_val key;  // key block of random draws; DUEL_NONE in declare and infer passes
  int number; // which training-mode forward of the step this is, from 0: draws of layers are k = 4096·number + draws
  int draws;  // of this pass so far
  bool again; // it was made before in this step: no state advances
  duel_shards *shards; // in training mode, and standing: x is a shard's rows
  duel_val labels;     // i32 [N], of the rows of x; DUEL_NONE where nothing reads them
  duel_val *view;      // the net's parameters, one value a tensor: what forwards read and gradients name
  int cursor;          // next tensor of the net
  bool frozen;         // of the layer at hand
  duel_val classes;    // [N, classes]: logits that an auxiliary layer made; DUEL_NONE: none did
  char prefix[128];    // "G.3": path of the layer at hand
  duel_saved saved[DUEL_MAX_SAVED];
  int n_saved;
} duel_pass;

// The parameters of the net's newest version (or moving average) as views of its slab, in the order of
// own->param; DUEL_NONE for buffers. NULL without memory (the graph knows).
duel_val *duel_parameters(duel_graph *g, const duel_model_net *own, bool ema);

// Whether layers read something else than the parameters themselves.
bool duel_has_pass_weights(const duel_model_net *own);
// What a pass's layers read of them: weights under a constraint are changed, and a pass in training mode advances its
// vectors. ema: the moving average's vectors.
duel_val *duel_pass_weights(duel_graph *g, const duel_model_net *own, duel_val *view, bool train, bool ema);

// Applies all layers of the net to x [N, ...]. Mistakes end up in the graph's error, named by layer.
duel_val duel_forward(duel_pass *p, duel_val x);

// The least and the largest number that a net of these layers can yield; infinite where nothing bounds it.
typedef struct duel_reach {
  const char *layer; // what bounds it: "tanh"; NULL: nothing
  double low, high;
} duel_reach;
duel_reach duel_layers_reach(const duel_layers *layers);

#endif
