// A recipe, resolved: base, --set and flags merged, $names replaced, every key checked, every default filled in.
#ifndef DUEL_RECIPE_RECIPE_H
#define DUEL_RECIPE_RECIPE_H

#include <stdio.h>

#include "base/status.h"
#include "io/data/dataset.h"

enum { DUEL_G, DUEL_D, DUEL_PLAYERS };
enum { DUEL_MAX_LIST = 8 }; // numbers in one list value

// N steps | epochs | images | kimg
typedef enum duel_unit { DUEL_STEPS, DUEL_EPOCHS, DUEL_IMAGES, DUEL_KIMG } duel_unit;
typedef struct duel_length {
  double n; // 0: never; fractions only where the unit allows them (0.5 epochs)
  duel_unit unit;
} duel_length;

// A number that may change over time.
typedef enum duel_curve { DUEL_CURVE_CONSTANT, DUEL_CURVE_LINEAR, DUEL_CURVE_COSINE } duel_curve;
typedef struct duel_schedule {
  double from, to;
  duel_curve curve;
  duel_length over;   // counted from the end of the warm-up; n 0: to the end of the run
  duel_length warmup; // from 0 up to `from`, linearly; n 0: none
} duel_schedule;

// ---- layers: the kinds are one table (layers.h), so that a new layer adds a name there and nothing here
typedef enum duel_key_type {
  DUEL_KEY_INT,    // expression of integers and $names
  DUEL_KEY_NUMBER, // float
  DUEL_KEY_BOOL,
  DUEL_KEY_CHOICE, // one word of `choices`
  DUEL_KEY_INTS,   // list of 1..DUEL_MAX_LIST integer expressions; a scalar is a list of one
  DUEL_KEY_INIT,   // an initialiser: name, or {name: …, std: …}
} duel_key_type;

typedef struct duel_init {
  const char *name; // glorot_uniform, glorot_normal, he_normal, normal, zeros, constant, torch (PyTorch's own: uniform
                    // in ±1/sqrt(fan_in)); NULL: the recipe's `init`
  double mean, std; // normal
  double value;     // constant
} duel_init;

typedef struct duel_key {
  const char *name;
  duel_key_type type;
  const char
      *standard;       // default as recipe text; NULL: required; "" : absent is allowed and seen as such (value.n == 0)
  double min, max;     // inclusive, for INT, NUMBER and elements of INTS; both 0: any
  const char *choices; // "a|b|c"
  const char *help;    // one line
} duel_key;

typedef struct duel_layer_kind {
  const char *name;
  const char *main_key; // the key that a scalar stands for; NULL: the layer takes no value
  const duel_key *keys; // ends with name NULL; at most DUEL_MAX_KEYS
  const char *help;
} duel_layer_kind;
enum { DUEL_MAX_KEYS = 12 };
extern const duel_layer_kind duel_layer_kinds[]; // in src/gan/layers.c; ends with name NULL
const char *duel_loss_names(void);               // of src/gan/losses.c: "bce|…"

typedef struct duel_key_value {
  int n;                        // number of values; 0: absent
  double number[DUEL_MAX_LIST]; // INT, NUMBER, BOOL, CHOICE (index of the word), INTS
  duel_init init;
} duel_key_value;

typedef struct duel_layers duel_layers;
typedef struct duel_layer {
  const duel_layer_kind *kind;         // NULL: a residual block
  duel_key_value value[DUEL_MAX_KEYS]; // in the order of kind->keys
  duel_layers *body, *skip;            // residual: output = body(x) + skip(x); skip NULL: identity
  int repeat;                          // residual: copies, each with its own weights
  char *path;    // "G.3", "G.2.residual.3": names errors and --set. Tensors also name the copy: G.2.0.residual.3.weight
  int line, col; // where in the file
} duel_layer;
struct duel_layers {
  duel_layer *layer;
  int n;
};

// ---- the recipe
typedef struct duel_optim {
  int adam; // 1 adam, 0 sgd
  duel_schedule lr;
  double betas[2], eps, weight_decay, momentum;
} duel_optim;

// One network: its layers, and how its parameters begin, move and are averaged.
typedef struct duel_net {
  const char *name; // "G"
  duel_layers layers;
  duel_init init;
  duel_optim optim;
  struct {
    int on;
    duel_length half_life;
  } ema;
} duel_net;
enum { DUEL_MAX_NETS = 8 };

typedef struct duel_recipe {
  char *name; // "mlp": file name without folder and extension
  struct {
    char *path;      // "fashion-mnist", "synthetic:ring", a file or folder
    int64_t limit;   // first N items only; 0: all
    int64_t size[2]; // H, W; 0: as they are
    int crop;        // to size's proportions first (1), or stretched (0)
    int channels;    // index of auto, 1, 3
  } data;
  int64_t latent;
  duel_net net[DUEL_MAX_NETS];
  int n_nets;
  struct {
    char *name;             // "bce"
    double label_smoothing; // real target is 1 − this
  } loss;
  struct {
    duel_length length;
    int64_t batch;
    int d_steps;
    int joint;  // d_update: joint (1) or separate (0)
    int shared; // latents: shared (1) or fresh (0)
    uint64_t seed;
  } train;
  struct {
    duel_length sample, checkpoint, tick;
    int keep;
  } output;
  struct {
    char *backend;       // auto, cpu, cuda
    int device, threads; // threads 0: what the machine allows
    char *precision;
    int capture;         // CUDA: steps are replayed as a graph
    int64_t data_memory; // bytes; 0: half of what is free
  } run;
  char *text;             // the resolved recipe as canonical YAML: reading it again yields the same recipe
  struct duel_pool *pool; // all of the above lives in it
} duel_recipe;

// What the data says, for $C $H $W $classes; a set of points of shape (2) has rank 1 and $C = 2, no $H, $W.
typedef struct duel_data_shape {
  int rank; // 3: C, H, W; 1: points
  int64_t dim[3];
  int64_t classes; // 0: no labels
} duel_data_shape;

typedef struct duel_setting { // --set key=value, or a flag under its recipe key
  const char *key, *value;
  const char *origin; // "--set" or the flag, for messages
} duel_setting;

// Reading is in two moves, since $C $H $W come from the data that the recipe names:
//
//   duel_recipe_load     finds `name` (built-in, or a file if it has a '/' or ends in .yaml), merges base, recipe and
//                        settings, and reports all mistakes that show without the data, up to 20 at once
//   duel_recipe_resolve  reads it again with the data's sizes and fills in the recipe
//
// Errors are USAGE, one line a mistake: "mlp.yaml:14:5: G.1: leaky_relue: no such layer; did you mean leaky_relu?" or
// "--set optim.lr=abc: optim.lr: …". A setting's value is YAML in flow style ("0.1", "{leaky_relu: 0.3}"); a flag's
// value for data.path is taken as it is. Settings on an outer key come before those on its inner keys.
typedef struct duel_recipe_source duel_recipe_source;
duel_status duel_recipe_load(duel_recipe_source **s, const char *name, const duel_setting *setting, int n);
duel_status duel_recipe_load_text(duel_recipe_source **s, const char *name, const char *text,
                                  const duel_setting *setting,
                                  int n);                       // from a checkpoint or run directory
const char *duel_recipe_data_path(const duel_recipe_source *s); // as far as it can be told before resolving
int64_t duel_recipe_data_limit(const duel_recipe_source *s);
duel_dataset_options duel_recipe_data_options(const duel_recipe_source *s); // of it, and run.threads
duel_status duel_recipe_resolve(duel_recipe **r, const duel_recipe_source *s, const duel_data_shape *data);
void duel_recipe_source_close(duel_recipe_source *s);
void duel_recipe_close(duel_recipe *r);

// Calls each(ctx, "train.batch", "64", "32") for every key in which two canonical texts (duel_recipe.text) differ;
// "(none)" stands for an absent value.
duel_status duel_recipe_compare(const char *old_text, const char *new_text,
                                void (*each)(void *ctx, const char *key, const char *was, const char *is), void *ctx);
// The same as lines "train.batch: 64 -> 32" in dst, "" if there are none; lines that do not fit in n bytes are counted.
duel_status duel_recipe_diff(const char *old_text, const char *new_text, char *dst, size_t n);

// Names and first comment lines of the built-in recipes; n is their number.
typedef struct duel_builtin {
  const char *name, *text;
} duel_builtin;
extern const duel_builtin duel_builtins[];
extern const int duel_builtins_n;

// Number of steps of a length, rounded up, at items real items per step (batch·d_steps) and set_size items an epoch.
// Yields INT64_MAX where the number is larger.
int64_t duel_length_steps(duel_length l, int64_t items_per_step, int64_t set_size);
// The value at `step`, from 0. Warm-up: from·step/warmup. Then from → to over `over` steps (or what is left of the
// run), and `to` after that.
double duel_schedule_at(const duel_schedule *s, int64_t step, int64_t total_steps, int64_t items_per_step,
                        int64_t set_size);
const char *duel_suggest(const char *word, const char *const *known, int n); // nearest name, or NULL if none is near

#endif
