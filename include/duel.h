// duel: a GAN training engine.
//
// This is the whole public interface, simple calls first. A first program:
//
//     duel_run *run;
//     DUEL_TRY(duel_run_open(&run, &(duel_run_options){.recipe = "mlp", .data = "fashion-mnist"}));
//     while (!duel_run_done(run)) DUEL_TRY(duel_run_advance(run, 100));
//     DUEL_TRY(duel_run_save(run, "mlp.safetensors"));
//     DUEL_TRY(duel_generate_png(run, "grid.png", 8, 8, 0));
//     duel_run_close(run);
//
// Every call that can fail returns a duel_status; duel_last_error() then says what was wrong, where, and what to do.
// Nothing here prints or exits. A run belongs to one thread at a time, which computes too and needs 512 KiB of stack;
// different runs are independent of each other.
// Link with -lduel (pkg-config duel).
#ifndef DUEL_H
#define DUEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DUEL_API __attribute__((visibility("default")))
#else
#define DUEL_API
#endif

#define DUEL_VERSION "0.1.0"

// ---- errors: the numbers are the exit codes of the command too

typedef enum duel_status {
  DUEL_OK = 0,
  DUEL_ERR_INTERNAL = 1, // a bug of ours
  DUEL_ERR_USAGE = 2,    // a wrong option or recipe
  DUEL_ERR_DATA = 3,     // bad input: data set, checkpoint
  DUEL_ERR_IO = 4,       // a file cannot be read or written
  DUEL_ERR_DEVICE = 5,   // backend, device or memory
  DUEL_ERR_DIVERGED = 6, // a loss or gradient is no longer finite
} duel_status;

// Forwards a failure to the caller.
#define DUEL_TRY(expr)                                                                                                 \
  do {                                                                                                                 \
    duel_status duel_try_status_ = (expr);                                                                             \
    if (duel_try_status_ != DUEL_OK) return duel_try_status_;                                                          \
  } while (0)

// Message of the last failure on this thread; "" if there was none. Valid until the thread's next call. What to do
// about it is said in recipe keys ("data.limit") and fields of the options below ("options.outdir").
DUEL_API const char *duel_last_error(void);
DUEL_API const char *duel_version(void); // DUEL_VERSION of the library

// ---- runs: one training in memory

typedef struct duel_run duel_run;

typedef struct duel_set { // one recipe key and its value as recipe text: {"optim.lr", "0.0001"}
  const char *key, *value;
  const char *origin; // who says so, for messages, as "--batch"; NULL: the setting itself
} duel_set;

// All fields may be left zero. Strings are read during the call only.
typedef struct duel_run_options {
  const char
      *recipe;      // built-in name, or a path with a '/' or ending in .yaml or .yml; NULL: "mlp", or the checkpoint's
  const char *data; // replaces the recipe's data; NULL: as there
  const char *backend; // one of duel_backend_name; NULL: as in the recipe ("auto")
  int threads;         // 0: what affinity and the cgroup's quota allow
  const duel_set *set; // further recipe keys
  int n_set;
  const char *checkpoint; // go on from this checkpoint with all its state
  // Start anew, at step 0, from the weights and averages of this checkpoint that fit; on_note tells which do not, and
  // begin as the recipe draws them. init_optimizer: the moments and update counts too.
  const char *init;
  int init_optimizer;
  int sample_only; // with checkpoint: builds no training and reads no data, for duel_generate*
  int plan_only;   // plans and checks, but takes no memory: for duel_run_describe and duel_run_print
  // While data are made ready: what takes long ("Decoding", done of items; some ten times a second), and what is worth
  // a word. From the calling thread. NULL: nobody listens.
  void (*on_data)(void *ctx, const char *what, int64_t done, int64_t items);
  void (*on_note)(void *ctx, const char *text);
  void *data_ctx;
} duel_run_options;

// Reads recipe and data, builds and plans the graph, allocates everything and draws the weights.
// Errors: USAGE (recipe), DATA (data, checkpoint), DEVICE (backend, memory).
DUEL_API duel_status duel_run_open(duel_run **run, const duel_run_options *options);
DUEL_API void duel_run_close(duel_run *run); // NULL is fine

// Trains for at most `steps` further steps (fewer at the recipe's end). DIVERGED names the step. A GPU may still be at
// work when this returns: whatever asks for a result waits for it, and may then tell what failed.
DUEL_API duel_status duel_run_advance(duel_run *run, int64_t steps);
DUEL_API int duel_run_done(const duel_run *run);

typedef struct duel_stats { // after the last finished step
  int64_t step, steps;      // done, and the recipe's length
  double epoch, kimg;       // real items seen, in data sets and in thousands
} duel_stats;
DUEL_API duel_status duel_run_stats(duel_run *run, duel_stats *stats);

// What the game of a run reports by name. A GAN: d_loss, g_loss, d_loss_real, d_loss_fake; score_real, score_fake (the
// mean of D's output) and sign_real, sign_fake (of its sign); grad_norm_d, grad_norm_g; lr_d, lr_g; penalty.NAME of
// each penalty; augment.p. A classifier: loss, accuracy; test.accuracy, test.missed, test.missed_class; grad_norm_c,
// lr_c.
typedef struct duel_scalar {
  const char *name;  // "d_loss"; lives as long as the run
  const char *label; // "D loss" where lines for people show it, else NULL
  double value;
} duel_scalar;
// Those of a tick: the last step's or the mean over its steps, as the game has it; what no step of it made is not
// there. restart != 0: the next step begins a new tick. The list lives until the next call.
DUEL_API duel_status duel_run_scalars(duel_run *run, int restart, const duel_scalar **scalars, int *n);
// One of them by its name; NaN where it is not there, or a step has failed.
DUEL_API double duel_run_scalar(duel_run *run, const char *name);

typedef struct duel_run_info {                  // strings live as long as the run
  const char *recipe, *data, *backend, *device; // names; device as a sentence
  const char *text;                             // the resolved recipe, YAML
  const char *warning;                          // what the device does otherwise than asked, and why; empty: nothing
  int64_t items, batch, steps, steps_per_epoch; // steps_per_epoch rounded up
  int64_t items_per_step;                       // real ones: a GAN's batch times its d_steps
  int rank;
  int64_t dim[3]; // of one item: C, H, W, or the point's size
  int64_t classes, latent;
  int64_t conditional; // classes that the nets are told apart by; 0: they read no labels
  int samples;         // whether duel_generate* draws any: a classifier does not
  int n_nets;
  struct {
    const char *name;   // as in the recipe
    int64_t parameters; // that it learns
  } net[8];
  size_t memory_bytes;           // all arenas together
  double step_flops, step_bytes; // what the planned training step computes, reads and writes; 0 without data
  int step_nodes;                // of the planned training step; 0 without data
  int threads;                   // of the CPU backend; 0 where a device does the work
  uint64_t seed;
} duel_run_info;
DUEL_API duel_run_info duel_run_describe(const duel_run *run);

// All parameters as they are now: net after net, [their parameters together].
DUEL_API duel_status duel_run_weights(duel_run *run, float *weights);

// Writes layer tables (output shapes, parameters) and the memory plan; plan != 0 adds every node.
DUEL_API duel_status duel_run_print(duel_run *run, FILE *out, int plan);

// One safetensors file with all that a bit-exact resume needs, written atomically. DIVERGED, and nothing written, if
// any of it is not finite.
DUEL_API duel_status duel_run_save(duel_run *run, const char *path);

// Items of the net that draws them (G; of its moving average where there is one) in inference mode, [n, C, H, W] or
// [n, size]; latent i is the draw of seeds[i], and its class, where the nets read labels, seeds[i] mod their number.
// USAGE if the game draws none, DIVERGED if they are not finite.
DUEL_API duel_status duel_generate(duel_run *run, const uint64_t *seeds, int64_t n, float *dst);
// The same of these classes, one an item (NULL: those of duel_generate). USAGE if no net reads labels, or a class is
// none of theirs (duel_run_info.conditional of them, from 0).
DUEL_API duel_status duel_generate_classes(duel_run *run, const uint64_t *seeds, const int32_t *classes, int64_t n,
                                           float *dst);
// rows×columns items of seeds first_seed, first_seed+1, … as one PNG.
DUEL_API duel_status duel_generate_png(duel_run *run, const char *path, int rows, int columns, uint64_t first_seed);

// ---- measuring: what the command `duel bench` does

typedef struct duel_node_time {
  const char *op, *layer; // "conv2d_dw", "D.2 conv2d" ("" outside of layers); live as long as the run
  double seconds;         // of a step, on average
  double flops, bytes;    // what it computes, reads and writes
} duel_node_time;
// Trains for `steps` further steps as duel_run_advance does, with the same bits, but one at a time and with a clock at
// each node: node [step_nodes], in the order in which they run. On a CPU their times together are that of the step; on
// a GPU, which otherwise runs some nodes side by side, they run one after another. USAGE if fewer steps are left.
DUEL_API duel_status duel_run_profile(duel_run *run, int64_t steps, duel_node_time *node);

typedef struct duel_peaks {
  double flops;                   // a second: the best of matrix products and 1×1 convolutions of squares
  double bytes;                   // a second, read and written: the better of a copy and an update in place
  double square_side, pass_bytes; // of the largest squares tried; of a pass over the arrays, which no cache holds
} duel_peaks;
// What this run's device reaches with this library's own kernels, in the run's precision and with its threads. Tries
// growing sizes for about `seconds`; takes memory of its own meanwhile, and leaves the run as it is.
DUEL_API duel_status duel_run_peaks(duel_run *run, double seconds, duel_peaks *peaks);

// ---- training into a run directory: what the command `duel train` does

// The directory is OUTDIR/00000-<recipe>-<data>-batch<B>[-desc]/, with a link OUTDIR/latest; docs/train.md tells what
// it holds.
typedef struct duel_train_event {
  enum {
    DUEL_EVENT_START,      // everything is ready; text: the run directory
    DUEL_EVENT_STEP,       // now and then, at most 20 a second: for a live bar; stats are valid
    DUEL_EVENT_TICK,       // stats were written to stats.jsonl
    DUEL_EVENT_EPOCH,      // an epoch ended; stats are its last step's
    DUEL_EVENT_SAMPLE,     // text: the picture just written
    DUEL_EVENT_CHECKPOINT, // text: the checkpoint just written
    DUEL_EVENT_WARNING,    // text: what could not be done; training goes on
    DUEL_EVENT_NOTE,       // text: something to know
    DUEL_EVENT_END,        // text: the last checkpoint
    DUEL_EVENT_ALARM,      // text: that this training fails, what was seen of it, and what to try; once for each cause
    DUEL_EVENT_DATA,       // data are made ready, some ten times a second; text: how, "Decoding"; done of items
  } kind;
  const char *text;  // without newline; NULL where the list above names none
  const char *alarm; // ALARM: its name, "d_wins" (docs/train.md lists them); else NULL
  int64_t done, items;
  duel_stats stats;
  const duel_scalar *scalars; // of the present tick so far; TICK: of the whole of it
  int n_scalars;
  double elapsed_s, eta_s, ms_per_step, images_per_sec, rss_mib, gpu_mib;
} duel_train_event;

typedef struct duel_train_options {
  duel_run_options run;
  const char *outdir; // NULL: "runs"
  const char *desc;   // appended to the directory's name; NULL: nothing
  const char *resume; // a run directory or checkpoint, or "latest" (in outdir): go on there; NULL: a new run
  double max_seconds; // stop after the step at which this has passed; 0: never
  int dry_run;        // prepare all (run.plan_only), emit START, and return: nothing is written
  // Called from the training thread. NULL: nobody listens.
  void (*on_event)(void *ctx, duel_run *run, const duel_train_event *event);
  void *ctx;
  // Polled after every step: 0 go on; 1 checkpoint and stop; 2 checkpoint and go on (then set it back). NULL: never.
  volatile int *request;
} duel_train_options;

typedef struct duel_train_result {
  char directory[4096], checkpoint[4096]; // "" if none was written
  int64_t step;
  int fixed_length; // a schedule spans the whole run: a longer one would have had another past, and is refused
  enum {
    DUEL_STOPPED_NOT,        // it reached its length
    DUEL_STOPPED_BY_REQUEST, // duel_train_options.request
    DUEL_STOPPED_BY_TIME,    // max_seconds
    DUEL_STOPPED_BEFORE,     // it had reached its length before it began
  } stopped;
} duel_train_result;
DUEL_API duel_status duel_train(const duel_train_options *options, duel_train_result *result);

// ---- looking at things

// The checkpoint that a run directory (its newest valid one), a checkpoint file or "latest" stands for. outdir NULL:
// "runs". note (not NULL, note_n > 0): why the newest one was not taken, or "".
DUEL_API duel_status duel_find_checkpoint(const char *what, const char *outdir, char *path, size_t n, char *note,
                                          size_t note_n);

// Writes a readable table to out (json != 0: one JSON object): recipes, data sets, devices, runs of a folder, one
// checkpoint.
DUEL_API duel_status duel_info_recipes(FILE *out, int json);
DUEL_API duel_status duel_info_data(FILE *out, int json);
DUEL_API duel_status duel_info_devices(FILE *out, int json);
DUEL_API duel_status duel_info_runs(FILE *out, const char *outdir, int json);
DUEL_API duel_status duel_info_checkpoint(FILE *out, const char *path, int json);

// Writes n items [C,H,W] in [-1,1] to path by its ending: .png one grid, .npy float32 array, .idx ubyte images; a path
// that ends in '/' or names a folder: one PNG each, NAMES[i].png (names NULL: 00000.png …).
DUEL_API duel_status duel_write_items(const char *path, const float *items, int64_t n, int rank, const int64_t *dim,
                                      const uint64_t *names);
// Images [C,H,W] as one grid, a PNG of so many columns.
DUEL_API duel_status duel_write_grid(const char *path, const float *items, int64_t n, const int64_t *dim,
                                     int64_t columns);
// Whether so many bytes can be had yet, as a container's limits leave it: DEVICE, and what to do, if not.
DUEL_API duel_status duel_check_memory(const char *what, double bytes, const char *cure);
// Writes n bytes so that path holds either the old or the new content at any instant.
DUEL_API duel_status duel_write_file(const char *path, const void *bytes, size_t n);
// Removes the files that the library is in the middle of writing, whose names are temporary: for a handler of signals,
// before it ends the process.
DUEL_API void duel_remove_unfinished(void);
// What duel_run_options.backend may say: 0 is "auto", then each backend; NULL past the last.
DUEL_API const char *duel_backend_name(int i);
// The nearest of n known words, NULL if none is near: for "did you mean".
DUEL_API const char *duel_did_you_mean(const char *word, const char *const *known, int n);

// ---- writing JSON: what --json and stats.jsonl are made with

// Set `out`, or dst and room, and leave the rest zero. Into dst goes what fits of it, with a zero behind; length counts
// all of it, as snprintf's result does, so that a first pass may measure.
//
//     duel_json_writer w = {.out = stdout};
//     duel_json_object(&w, NULL);            // {"step":3,"losses":[0.5,null]}
//     duel_json_integer(&w, "step", 3);
//     duel_json_array(&w, "losses");
//     duel_json_number(&w, NULL, 0.5);
//     duel_json_number(&w, NULL, NAN);
//     duel_json_end(&w);
//     duel_json_end(&w);
typedef struct duel_json_writer {
  FILE *out;
  char *dst;
  size_t room, length;
  uint64_t is_array, has_members; // a bit a level
  int depth;                      // at most 63
} duel_json_writer;

// key: the member's name in an object; NULL in an array and for a value that stands alone.
DUEL_API void duel_json_object(duel_json_writer *w, const char *key);
DUEL_API void duel_json_array(duel_json_writer *w, const char *key);
DUEL_API void duel_json_end(duel_json_writer *w); // of the innermost object or array
// Control characters are escaped; bytes that are no UTF-8 become U+FFFD.
DUEL_API void duel_json_text(duel_json_writer *w, const char *key, const char *text);
DUEL_API void duel_json_bool(duel_json_writer *w, const char *key, int value);
DUEL_API void duel_json_integer(duel_json_writer *w, const char *key, int64_t value);
DUEL_API void duel_json_unsigned(duel_json_writer *w, const char *key, uint64_t value);
// Whole numbers below 2^53 exactly, others with 9 digits, which tell floats apart; what is not finite becomes null.
DUEL_API void duel_json_number(duel_json_writer *w, const char *key, double value);

#ifdef __cplusplus
}
#endif

#endif
