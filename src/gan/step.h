// A step as one graph: what games build it with, and the graphs of a run.
//
//   open     adds the variables of a step: its inputs with who fills them, its data, its scalars
//   train    the game's own nodes, in this order of state: every forward in training mode, every update
//   sample   from latents to samples, in inference mode
//
// Merging never carries meaning: a net is called once where one forward is meant.
//
// What reads the batch stands in loops over its shards (shards.h), which end with what the shards say together:
//
//   while (duel_step_shard(s)) {
//     const duel_val loss = …, of duel_step_forward(s, NET, duel_step_real(s, 0));
//     duel_step_report(s, "loss", …, loss, …);
//     duel_step_descend(s, NET, loss);
//   }
//   duel_step_update(s, NET);
#ifndef DUEL_GAN_STEP_H
#define DUEL_GAN_STEP_H

#include "gan/inputs.h"
#include "gan/model.h"
#include "gan/scalars.h"
#include "gan/shards.h"
#include "io/data/order.h"

enum { DUEL_MAX_EVERY = 3 };   // different n of `every: n` in one recipe
enum { DUEL_MOST_CHUNK = 64 }; // items of a sampling run, at most

// The variables of the steps of a run.
typedef struct duel_step_vars {
  duel_inputs inputs;
  duel_scalars scalars;
  int key;                       // i32 [4]: seed low, seed high, step, 0
  int index;                     // i32 [items a step]: which they are
  int labels;                    // i32 [items]; streamed: an input i32 [items a step]; where labels are read alone
  int data;                      // [items, ...]: the resident set; streamed: an input [items a step, ...]
  int coef[DUEL_MAX_NETS];       // [most updates a step · DUEL_COEF]: a row an update of the net
  int average[DUEL_MAX_NETS];    // []: weight of the new values in the net's moving average; -1: none
  int reported;                  // OUTPUT [DUEL_MAX_SCALARS]: one float a scalar
  int standing_key;              // INPUT i32 [4]: seed low, seed high, batch, 0; see duel_step_stand
  int standing_keep;             // INPUT []: 0 in the first batch, 1 in the others
  int standing_labels;           // INPUT i32 [batch]; where labels are read alone
  int latents, samples;          // sampling: INPUT [chunk, latent] and OUTPUT [chunk, ...]
  int sample_labels;             // INPUT i32 [chunk]; where labels are read alone
  int rate[DUEL_MAX_NETS];       // the scalar of the net's learning rate
  int test_items, test_index;    // testing: INPUT [chunk, ...] as the data, i32 [chunk]: 0 … chunk − 1
  int test_logits;               // OUTPUT [chunk, classes]
  int64_t chunk;                 // items a sampling or testing run
  int64_t every[DUEL_MAX_EVERY]; // what steps differ by: see duel_step_every
  int n_every;
  const duel_recipe *recipe;
  const uint8_t *label; // of all items, on the host; NULL: there are none
} duel_step_vars;

// What is reported: mul·Σ f(x) each.
typedef struct duel_step_told {
  int n;
  duel_val x[DUEL_REPORT_TERMS];
  duel_report_term term[DUEL_REPORT_TERMS];
} duel_step_told;

// What a pass's layers read, where that is not the parameters themselves.
typedef struct duel_pass_view {
  int number;
  duel_val *view;
  struct duel_pass_view *next;
} duel_pass_view;

// A step under construction.
typedef struct duel_step {
  duel_graph *g;
  duel_step_vars *vars;
  duel_model *m;
  const duel_recipe *r;
  duel_val key;
  duel_shards shards;
  duel_val *view[DUEL_MAX_NETS]; // parameters at their newest version
  duel_pass_view *weights;       // of passes so far
  duel_val grad[DUEL_MAX_NETS];  // of what a net descends in its next update; DUEL_NONE: nothing yet
  duel_val clip[DUEL_MAX_NETS];  // what its last gradient was multiplied by; DUEL_NONE: it is not clipped
  int updates[DUEL_MAX_NETS];    // so far
  int forwards;                  // training-mode forwards so far: numbers the draws of layers
  int before;                    // those before the loop at hand
  unsigned on;                   // bit i: this step is one of those of every[i]
  duel_val labels;               // i32 [rows], of what the nets read next; DUEL_NONE: none reads them
  duel_val classes;              // [rows, classes]: logits that the last forward made beside; DUEL_NONE: none
  duel_val signs;                // Σ of the mean signs that the controller of augmentation has seen
  int watched;                   // how many
  duel_val lecam[2];             // the penalty's averages as they stood before the step
  duel_step_told told, of_shard; // of the step; of the shard at hand, where there are several
  uint64_t reported;             // the scalars that it makes, by index
} duel_step;

// A forward of a net on latents, which several loops may read.
typedef struct duel_fakes {
  int net, pass;  // pass: its number
  uint32_t k;     // the draw of its latents
  int loop;       // that it is made in; in later ones it is made again, for nothing of it is kept. 0: none yet
  int stretch;    // that it was made in last
  duel_val value; // there; DUEL_NONE before
} duel_fakes;

// ---- for games
// Begins a loop over the shards of the batch, or its next shard. False: the loop has ended.
bool duel_step_shard(duel_step *s);
int64_t duel_step_rows(const duel_step *s); // of a shard
// The shard's rows of a real batch of the step (the game's number of items: batch, twice …): [rows, ...].
duel_val duel_step_real(duel_step *s, int batch);
// Their labels: i32 [rows].
duel_val duel_step_labels(duel_step *s, int batch);
// Those of items that are drawn uniformly, purpose 6, k = 0: i32 [rows].
duel_val duel_step_drawn_labels(duel_step *s);
// The shard's rows of a draw of the step: shape [rows, ...].
duel_val duel_step_normal(duel_step *s, uint32_t purpose, uint32_t k, duel_shape shape);
duel_val duel_step_uniform(duel_step *s, uint32_t purpose, uint32_t k, duel_shape shape);
duel_val duel_step_latents(duel_step *s, uint32_t k); // [rows, latent]
// The net on x [rows, ...], in training mode.
duel_val duel_step_forward(duel_step *s, int net, duel_val x);
// The next forward of a step, on the latents of draw k; duel_step_fake yields the shard's rows of what it makes.
duel_fakes duel_step_fakes(duel_step *s, int net, uint32_t k);
duel_val duel_step_fake(duel_step *s, duel_fakes *fakes);
// The mean of what each shard calls it with, in the last one; DUEL_NONE in those before. All make the same calls.
duel_val duel_step_mean(duel_step *s, duel_val x);
// Adds to what the net's next update descends: the mean of the shards' losses.
void duel_step_descend(duel_step *s, int net, duel_val loss);
// Moves the net's parameters. Yields the parts of Σ grad², before it is clipped.
duel_val duel_step_update(duel_step *s, int net);
// Clamps the net's parameters to ±bound.
void duel_step_clip(duel_step *s, int net, double bound);
// Moves the net's average, if it has one.
void duel_step_average(duel_step *s, int net);
// Adds mul·Σ f(x) to a scalar; in a loop over shards the mean of what they report. label: what lines for people call
// it, or NULL.
void duel_step_report(duel_step *s, const char *name, const char *label, duel_scalar_mode mode, duel_val x,
                      duel_report_kind kind, double mul);
// Whether this step is one with step mod n = 0: each kind of step is a graph of its own.
bool duel_step_every(duel_step *s, int64_t n);
// An input of the step, which `in` says how to fill: one number. All graphs of a run share it by its name.
duel_val duel_step_number(duel_step *s, duel_step_input in);
// A number that may change from step to step, under a name of its own; the schedule outlives the run.
duel_val duel_step_scheduled(duel_step *s, const char *name, const duel_schedule *schedule);

// ---- for runs
double duel_step_rate(const duel_model *m, int net, const duel_instant *now); // the net's learning rate
typedef struct duel_step_data {
  duel_dtype dtype;
  int64_t items;
  duel_order *order; // says which items of the resident set a step takes; NULL: they are inputs themselves (streamed)
  const uint8_t *labels; // [items]; NULL: there are none
} duel_step_data;
// Adds the variables (items 0: sampling's alone).
duel_status duel_step_open(duel_step_vars *v, const duel_model *m, duel_vars *vars, duel_dtype real,
                           const duel_step_data *data);
// What a kind of step does, as its graph has it.
typedef struct duel_step_made {
  unsigned on;                // which of every[] it is a step of
  uint64_t reported;          // the scalars that it makes, by index
  int updates[DUEL_MAX_NETS]; // of each net
} duel_step_made;
// The graph of a training step that is one of made->on; fills in the rest.
duel_status duel_step_train(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real,
                            duel_step_made *made);
// Items -> logits of the game's net in inference mode (its moving average where there is one).
duel_status duel_step_test(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real);
// Of a model that stands (duel_model_stands): one of DUEL_STANDING batches of latents through the net that samples, its
// moving average; adds its share to the means that are the average's running statistics.
duel_status duel_step_stand(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real);
// Names the scalars of the nets' learning rates, behind those that the steps report.
void duel_step_report_rates(duel_step_vars *v, const duel_model *m);
// latents -> samples through the game's net in inference mode (its moving average where there is one).
duel_status duel_step_sample(duel_graph **g, duel_step_vars *v, duel_model *m, const duel_vars *vars, duel_dtype real);

#endif
