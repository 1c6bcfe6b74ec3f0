// The model: the tensors of a game's nets, where they live, and how they begin.
//
// The parameters of a net that learn are one flat slab (a variable of the net's name), each tensor at an offset aligned
// to DUEL_ALIGN; so are the optimizer's moments and the moving average, with the same layout. Those that are frozen are
// another, without moments. Buffers (running statistics) are variables of their own, but for the vectors of spectral
// norm, which are a slab too.
#ifndef DUEL_GAN_MODEL_H
#define DUEL_GAN_MODEL_H

#include "core/graph.h"
#include "gan/optimizers.h"
#include "recipe/recipe.h"

// How a tensor begins: as `init` draws it or, without one, as `value` everywhere.
typedef struct duel_start {
  const duel_chosen *init;
  double value;
} duel_start;

typedef struct duel_param { // one named tensor of a net
  char name[128];           // "G.0.weight"
  duel_shape shape;
  bool buffer;      // state beside the parameters: no gradient
  bool vector;      // buffer: u or v of the spectral norm of the weight before it, in the slab of vectors
  bool spectral;    // parameter: the next two tensors are its u and v
  bool frozen;      // parameter: no gradient and no update
  int axis;         // parameter: of a weight, that of the outputs
  double scale;     // parameter: what layers read is this times it
  int var, ema_var; // where it lies, and where in the moving average (-1: none)
  int64_t offset;   // elements into both
  duel_start start;
  int64_t fan_in, fan_out;
  double start_scale; // times what is drawn
  int64_t ordinal;    // k of its initial draw: parameters of the model, net after net; then the vectors
} duel_param;

typedef struct duel_layer_row { // a line of the layer table
  char path[128], kind[24];
  duel_shape output; // without the batch
  int64_t params;
  bool frozen;
} duel_layer_row;

typedef struct duel_auxiliary { // weights of a net's cross-entropy on classes
  double weight, generator;     // in its own loss, and in that of the net whose items it judges
  bool fakes;                   // its own has that of fakes too
} duel_auxiliary;

typedef struct duel_model_net {
  char lower[16], coef_name[24], average_name[24]; // "g", "coef.G", "average.G": in names of scalars and inputs
  duel_param *param;
  int n, cap;
  bool scaled;         // some are read with a scale
  int64_t params;      // numbers in parameters
  int64_t slab_size;   // elements, gaps included
  int slab, ema;       // variables; -1 where there is none
  int64_t frozen_size; // likewise of parameters that are frozen
  int frozen, frozen_ema;
  int64_t vectors_size; // likewise of the vectors of spectral norm
  int vectors, vectors_ema;
  int moment[DUEL_MAX_MOMENTS];
  duel_shape reads; // without the batch
  duel_auxiliary auxiliary;
  double share; // of a usual update that each of its updates is, where others come between them; else 1
  duel_layer_row *row;
  int n_rows, cap_rows;
} duel_model_net;

typedef struct duel_model_state_row { // a number that outlives a step and is no net's; begins as 0
  const char *name;                   // in checkpoints
  int var;
} duel_model_state_row;
enum { DUEL_MAX_STATES = 8 };

typedef struct duel_model {
  const duel_recipe *recipe;
  const struct duel_game *game;
  duel_model_net net[DUEL_MAX_NETS]; // the recipe's n_nets
  duel_shape item;                   // of the data, and of samples; without the batch
  int64_t classes;                   // of the data; 0: they have no labels
  int64_t labels;                    // classes that its layers know; 0: none reads labels
  int augmented;                     // the net that sees changed items in training; -1: none does
  int64_t ordinals;
  duel_model_state_row state[DUEL_MAX_STATES];
  int n_states;
  duel_dtype real;
} duel_model;

// Walks the layers of all nets with the rows of a shard: finds all tensors, checks all shapes, adds the
// variables. `item` is the data's shape; an empty one (rank 0) takes whatever the game samples (from a checkpoint).
// USAGE errors name the layer and both shapes.
duel_status duel_model_open(duel_model *m, const duel_recipe *recipe, duel_shape item, int64_t classes, duel_vars *vars,
                            duel_dtype real);
void duel_model_close(duel_model *m);
// Whether a training takes the items' labels.
bool duel_model_reads_labels(const duel_model *m);
// Whether the average of the net that samples has running statistics that are measured when they are needed.
bool duel_model_stands(const duel_model *m);
// For games: walks a net on items of the shape `in`; yields the shape of what comes out, both without the batch.
duel_status duel_model_declare(duel_model *m, int net, duel_shape in, duel_shape *out);
// For games: the model has such a number; its newest version in a graph.
duel_status duel_model_state(duel_model *m, const char *name);
duel_val duel_model_state_of(const duel_model *m, duel_graph *g, const char *name);

// The initial value of a parameter (float32, shape's count) for the seed. Fails for lack of memory.
duel_status duel_param_init(const duel_param *p, uint64_t seed, float *dst);

// Layer tables: path, kind, output shape, parameters.
void duel_model_print(const duel_model *m, FILE *out);

#endif
