// A recipe, resolved: base, --set and flags merged, $names replaced, every key checked, every default filled in.
#ifndef DUEL_RECIPE_RECIPE_H
#define DUEL_RECIPE_RECIPE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "io/data/dataset.h"

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
  duel_unit unit; // of both, where they are lengths
  duel_curve curve;
  duel_length over;   // counted from the end of the warm-up; n 0: to the end of the run
  duel_length warmup; // from 0 up to `from`, linearly; n 0: none
} duel_schedule;

// ---- the vocabulary: whatever a recipe names is a row of a table and has keys
typedef enum duel_key_type {
  DUEL_KEY_INT,    // expression of integers and $names
  DUEL_KEY_NUMBER, // float
  DUEL_KEY_BOOL,
  DUEL_KEY_CHOICE,  // one word of `of`, "a|b|c"
  DUEL_KEY_INTS,    // list of 1..DUEL_MAX_LIST integer expressions; a scalar is a list of one
  DUEL_KEY_NUMBERS, // two floats
  DUEL_KEY_TEXT,
  DUEL_KEY_SEED,     // uint64_t
  DUEL_KEY_EXTENT,   // two numbers, named by `of`: "[height, width]"; one is both; 0: none
  DUEL_KEY_BYTES,    // 64M; auto: 0
  DUEL_KEY_LENGTH,   // min 0 allows 0, for never
  DUEL_KEY_SCHEDULE, // a number, or {from, to, …}, or the word `of`
  DUEL_KEY_LENGTHS,  // the same of lengths
  DUEL_KEY_LAYERS,   // a list of layers
  DUEL_KEY_INIT,     // a row of duel_init_kinds: its name, or {name: …, its keys}
  DUEL_KEY_CHOSEN,   // the same of the duel_table `of`; absent: the first row
  DUEL_KEY_ENTRIES,  // {row's name: its keys, …}, any number of rows of the duel_table `of`
  DUEL_KEY_SECTION,  // the keys of the duel_kind `of`
  DUEL_KEY_NAMES,    // vars
  DUEL_KEY_ITEM,     // of a list of layers (in --set G.3.…)
} duel_key_type;

// Limits that are themselves out of range.
#define DUEL_ABOVE_0 0x1p-1074
#define DUEL_BELOW_1 0x1.fffffffffffffp-1

typedef struct duel_key {
  const char *name;
  duel_key_type type;
  const char *standard; // default as recipe text; NULL: required; "": absent is allowed and seen as such (value.n == 0)
  double min, max;      // inclusive, of every number; both 0: any
  const void *of;       // what the type says
  const char *help;     // one line
} duel_key;

extern const duel_key duel_no_keys[];

typedef struct duel_kind { // a layer, a loss, an optimizer, a section …
  const char *name;
  const char *main_key; // the key that a value stands for; NULL: it takes none
  const duel_key *keys; // ends with name NULL
  const char *help;
} duel_kind;

// Rows that begin with a duel_kind, up to one without a name; stride 0: pointers to such rows, up to NULL.
typedef struct duel_table {
  const void *first;
  size_t stride;
  const char *what; // "layer"
} duel_table;
const duel_kind *duel_table_at(const duel_table *t, int i); // i up to the end, which is NULL
const duel_kind *duel_table_find(const duel_table *t, const char *name);
int duel_table_names(const duel_table *t, const char **names, int most); // yields how many

// src/gan has these.
extern const duel_table duel_layer_kinds, duel_init_kinds, duel_constraint_kinds, duel_optim_kinds, duel_game_kinds;
extern const char duel_backend_choices[]; // src/run has this: "|auto|…"

typedef struct duel_key_value duel_key_value;
typedef struct duel_chosen { // one row, and what its keys are
  const duel_kind *kind;
  duel_key_value *value; // in the order of kind->keys
} duel_chosen;

typedef struct duel_layers duel_layers;
struct duel_key_value {
  int n;            // number of values; 0: absent
  const char *text; // TEXT; CHOICE, SCHEDULE: the word
  union {
    double number[DUEL_MAX_LIST]; // INT, NUMBER, BOOL, CHOICE (index of the word), INTS, NUMBERS, EXTENT, BYTES
    uint64_t seed;
    duel_length length;
    duel_schedule schedule; // SCHEDULE, LENGTHS
    const duel_layers *layers;
    const duel_chosen *chosen; // INIT, CHOSEN, SECTION; of ENTRIES n of them
  };
};

typedef struct duel_layer {
  const duel_kind *kind;
  duel_key_value *value; // in the order of kind->keys
  const char *save;      // the output is kept under this name for later layers; NULL: it is not
  const char
      *path;     // "G.3", "G.2.residual.3": names errors and --set. Tensors also name the copy: G.2.0.residual.3.weight
  int line, col; // where in the file
} duel_layer;
struct duel_layers {
  duel_layer *layer;
  int n;
};
bool duel_kind_is_block(const duel_kind *kind); // its main key is a list of layers

// A game: which nets there are, and what else its recipes say. src/gan embeds it in what trains them.
typedef struct duel_game_kind {
  duel_kind kind;          // its keys stand in the section `train`
  const char *const *nets; // in the order of tensors and draws; ends with NULL
  const char *generator;   // the net whose average `ema` at the top is
  const duel_table *losses;
  const duel_table *penalties;
  const duel_kind *augment; // the section of that name; NULL: it has none
  bool latent;              // whether there is such a key
  bool tested;              // it has data.test and output.test, in the place of output.sample
} duel_game_kind;

// ---- the recipe
// One network: its layers, and how its parameters begin, move and are averaged.
enum { DUEL_BUFFERS_COPY, DUEL_BUFFERS_AVERAGE, DUEL_BUFFERS_STANDING }; // running statistics of an average
typedef struct duel_net {
  const char *name; // as the game names it
  duel_layers layers;
  duel_chosen init, optim;
  const duel_chosen *constraint; // of its weights; NULL: none
  double equalized, lr_mul;      // gain of an equalized learning rate, 0: none; times the learning rate
  bool frozen;                   // its parameters stay as they are
  struct {
    int on;
    duel_schedule half_life; // of lengths
    double ramp_up;          // the half-life is at most so much of the past; 0: there is no such bound
    int buffers;
  } ema;
} duel_net;
enum { DUEL_MAX_NETS = 8 };

typedef struct duel_recipe {
  const char *name; // "mlp": file name without folder and extension
  struct {
    const char *path; // "fashion-mnist", "synthetic:ring", a file or folder
    const char *test; // likewise; NULL: what lies beside it, or a part of it
    int64_t limit;    // first N items only; 0: all
    int64_t size[2];  // H, W; 0: as they are
    int crop;         // to size's proportions first (1), or stretched (0)
    int channels;     // index of auto, 1, 3, 4
    bool transpose, mirror;
    int on_bad; // pictures that are none: an error (0), or left out (1)
  } data;
  duel_chosen game;            // kind begins a duel_game_kind
  int64_t latent;              // 0: the game has none
  duel_net net[DUEL_MAX_NETS]; // those of the game, in its order
  int n_nets;
  duel_chosen loss;
  const duel_chosen *penalty;
  int n_penalties;
  const duel_chosen *augment; // NULL: none
  struct {
    duel_length length;
    int64_t batch, shards;
    uint64_t seed;
  } train;
  struct {
    duel_length sample, test, checkpoint, tick;
    int keep, keep_pictures; // keep_pictures 0: all
    int64_t grid[2];         // rows and columns of pictures; 0: as many as suit
  } output;
  struct {
    const char *backend; // auto, cpu, cuda
    int device, threads; // threads 0: what the machine allows
    const char *precision;
    int capture;         // CUDA: steps are replayed as a graph
    int64_t data_memory; // bytes; 0: half of what is free
  } run;
  duel_chosen root; // all of it as values, from which its text is made
  char *text;       // the resolved recipe as canonical YAML: reading it again yields the same recipe
  // The layers of the nets and vars as they were written, $names and all, YAML: what other data make another net of.
  // Empty if it cannot be written in one line.
  const char *source;
  struct duel_pool *pool; // all of the above lives in it
} duel_recipe;

// What the data says, for $C $H $W $classes; a set of points of shape (2) has rank 1 and $C = 2, no $H, $W.
typedef struct duel_data_shape {
  int rank; // 3: C, H, W; 1: points
  int64_t dim[3];
  int64_t classes; // 0: no labels
  bool fixed;      // no data.size changes them: floats, made in memory
} duel_data_shape;

typedef struct duel_setting { // --set key=value, or a flag under its recipe key
  const char *key, *value;
  const char *origin; // "--set" or the flag, for messages
} duel_setting;

// Reading is in two moves, since $C $H $W come from the data that the recipe names:
//
//   duel_recipe_load     finds `name` (built-in, or a file if it has a '/' or ends in .yaml or .yml), merges base,
//                        recipe and settings, and reports all mistakes that show without the data, up to 20 at once
//   duel_recipe_resolve  reads it again with the data's sizes and fills in the recipe
//
// Errors are USAGE, one line a mistake: "mlp.yaml:14:5: G.1: leaky_relue: no such layer; did you mean leaky_relu?" or
// "--set optim.lr=abc: optim.lr: …". A setting's value is YAML in flow style ("0.1", "{leaky_relu: 0.3}"); a flag's
// value for data.path is taken as it is. Settings on an outer key come before those on its inner keys.
typedef struct duel_recipe_source duel_recipe_source;
// text: what a checkpoint or run directory has; NULL: find `name`. source: a duel_recipe.source, whose nets and vars
// replace those of the text; NULL: as they are.
duel_status duel_recipe_load(duel_recipe_source **s, const char *name, const char *text, const char *source,
                             const duel_setting *setting, int n);
const duel_recipe *duel_recipe_draft(const duel_recipe_source *s); // what can be told before resolving; no text
duel_dataset_options duel_recipe_data_options(const duel_recipe_source *s); // of it, and run.threads
duel_status duel_recipe_resolve(duel_recipe **r, const duel_recipe_source *s, const duel_data_shape *data);
void duel_recipe_source_close(duel_recipe_source *s);
void duel_recipe_close(duel_recipe *r);

// Calls each(ctx, "train.batch", "64", "32") for every key in which two resolved recipes (duel_recipe.text) differ,
// after both got the defaults of keys that they lack; "(none)" stands for an absent value.
duel_status duel_recipe_compare(const char *old_text, const char *new_text,
                                void (*each)(void *ctx, const char *key, const char *was, const char *is), void *ctx);

// Names and first comment lines of the built-in recipes; n is their number.
typedef struct duel_builtin {
  const char *name, *text;
} duel_builtin;
extern const duel_builtin duel_builtins[];
extern const int duel_builtins_n;

// Number of steps of a length, rounded up, at items real items per step (batch·d_steps) and set_size items an epoch.
// Yields INT64_MAX where the number is larger.
int64_t duel_length_steps(duel_length l, int64_t items_per_step, int64_t set_size);
double duel_length_images(duel_length l, int64_t items_per_step, int64_t set_size);
// The value at `step`, from 0. Warm-up: from·step/warmup. Then from → to over `over` steps (or what is left of the
// run), and `to` after that.
double duel_schedule_at(const duel_schedule *s, int64_t step, int64_t total_steps, int64_t items_per_step,
                        int64_t set_size);
const char *duel_suggest(const char *word, const char *const *known, int n); // nearest name, or NULL if none is near

#endif
