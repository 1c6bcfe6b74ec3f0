// The model: both players' tensors, where they live, and how they begin.
//
// The parameters of a player are one flat slab (variable "G" or "D"), each tensor at an offset aligned to DUEL_ALIGN;
// so are Adam's moments and the moving average, with the same layout. Buffers (running statistics) are variables of
// their own.
#ifndef DUEL_GAN_MODEL_H
#define DUEL_GAN_MODEL_H

#include "core/graph.h"
#include "recipe/recipe.h"

enum { DUEL_G, DUEL_D, DUEL_PLAYERS };

// How a tensor begins: as `init` draws it or, without one, as `value` everywhere.
typedef struct duel_start {
  const duel_chosen *init;
  double value;
} duel_start;

typedef struct duel_param { // one named tensor of a player
  char name[128];           // "G.0.weight"
  duel_shape shape;
  bool buffer;      // running statistics: no gradient, own variable
  int64_t offset;   // parameter: elements into the slab
  int var, ema_var; // buffer: its variable, and the moving average's (-1: none)
  duel_start start;
  int64_t fan_in, fan_out;
  int64_t ordinal; // among the parameters of the model, G then D: k of its initial draw
} duel_param;

typedef struct duel_layer_row { // a line of the layer table
  char path[96], kind[24];
  duel_shape output; // without the batch
  int64_t params;
} duel_layer_row;

typedef struct duel_player {
  duel_param *param;
  int n, cap;
  int64_t params;      // numbers in parameters
  int64_t slab_size;   // elements, gaps included
  int slab, ema, m, v; // variables; -1 where there is none
  duel_layer_row *row;
  int n_rows, cap_rows;
} duel_player;

typedef struct duel_model {
  const duel_recipe *recipe;
  duel_player player[DUEL_PLAYERS];
  duel_shape item; // what G yields and D reads, without the batch
  int64_t ordinals;
} duel_model;

// Walks both players' layers with a batch of recipe->train.batch: finds all tensors, checks all shapes, adds the
// variables. `item` is the data's shape; an empty one (rank 0) takes whatever G yields (sampling from a checkpoint).
// USAGE errors name the layer and both shapes.
duel_status duel_model_open(duel_model *m, const duel_recipe *recipe, duel_shape item, duel_vars *vars,
                            duel_dtype real);
void duel_model_close(duel_model *m);

// The initial value of a parameter (float32, shape's count) for the seed.
void duel_param_init(const duel_param *p, uint64_t seed, float *dst);

// Layer tables: path, kind, output shape, parameters.
void duel_model_print(const duel_model *m, FILE *out);

#endif
