// What the files of the recipe reader share; nobody else includes this.
//
//   recipe.c     finding, loading and resolving: the calls of recipe.h
//   schema.c     the vocabulary: sections, their keys, and what a game adds
//   merge.c      base, recipe and settings become one tree
//   read.c       the tree becomes values, and those a duel_recipe
//   lists.c      lists of layers
//   value.c      numbers, expressions, lengths, schedules
//   schedule.c   lengths and schedules in steps
//   text.c       values as canonical text
//   fitting.c    which sizes of images the expressions of a recipe take
//   compare.c    what differs between two texts
//   problem.c    mistakes: collecting, "did you mean"
#ifndef DUEL_RECIPE_PARTS_H
#define DUEL_RECIPE_PARTS_H

#include <stdbool.h>

#include "recipe/recipe.h"
#include "recipe/yaml.h"

enum {
  DUEL_RECIPE_VERSION = 1,
  DUEL_MAX_PROBLEMS = 20,
  DUEL_MAX_LAYERS = 10000, // of a net, copies counted
  DUEL_SHOWN = 48,         // of a value in a message
  DUEL_MAX_KNOWN = 128,    // words that a hint chooses from
};

typedef struct duel_problem {
  const char *file;
  int line, col, order;
  char text[240];
} duel_problem;

typedef struct duel_name { // one of vars
  const char *name;
  int64_t value;
  bool known; // false: depends on data that is not there, or was a mistake
  struct duel_name *next;
} duel_name;

// One reading of a recipe. Mistakes are collected and reading goes on; what could not be read has some harmless value.
typedef struct duel_reading {
  duel_pool *pool;
  const duel_data_shape *data; // NULL: not known yet
  const duel_yaml *root;
  const duel_game_kind *game;
  const duel_key *words; // the vocabulary: a SECTION, the whole recipe
  duel_name *vars;
  struct {
    int depth;      // blocks around the list at hand
    int64_t copies; // of this list, all repeats around it multiplied
    int64_t layers; // of the net so far, copies counted
  } lists;
  duel_problem problem[DUEL_MAX_PROBLEMS];
  int problems, more;          // collected; further ones
  const duel_yaml *needs_data; // the first value that depends on data that is not there
  int fractions;               // divisions that leave a rest
  bool no_memory;
  bool settings, conflicts; // what is merged are settings; one into another
} duel_reading;

// A value, and what messages call it: "G.2.residual.3.conv".
typedef struct duel_place {
  duel_reading *rd;
  const duel_yaml *node;
  const char *path;
} duel_place;

// ---- schema.c
// The game that the tree names; the first one where that is none.
const duel_game_kind *duel_game_named(const duel_yaml *root);
const duel_key *duel_vocabulary(duel_pool *pool, const duel_game_kind *game); // NULL without memory
const char *duel_game_with(const char *section, const char *key);             // a game that adds the key; NULL: none
const duel_key *duel_key_find(const duel_key *keys, const char *name);
const duel_table *duel_key_table(const duel_key *key);             // of INIT, CHOSEN and ENTRIES; else NULL
void duel_take_fields(duel_recipe *r, const duel_game_kind *game); // from r->root
extern const duel_kind duel_net_kind;
enum {
  DUEL_NET_LAYERS,
  DUEL_NET_INIT,
  DUEL_NET_OPTIM,
  DUEL_NET_EMA,
  DUEL_NET_CONSTRAINT,
  DUEL_NET_EQUALIZED,
  DUEL_NET_LR_MUL,
  DUEL_NET_FROZEN,
  DUEL_NET_KEYS
};

// ---- problem.c
// All yield false. "PATH: …" where the value stands; without the path; where its key stands.
bool duel_problem_of(const duel_place *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool duel_problem_value(duel_reading *rd, const duel_yaml *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool duel_problem_key(duel_reading *rd, const duel_yaml *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
duel_status duel_problems_status(duel_reading *rd); // USAGE with all of them, DEVICE without memory, or OK
// "; did you mean X?" if a known word is near, else "; there are a, b, c" if those are few.
const char *duel_hint(duel_reading *rd, const char *word, const char *const *known, int n);
const char *duel_hint_row(duel_reading *rd, const char *word, const duel_table *table);
const char *duel_shown(duel_reading *rd, const duel_yaml *node); // in a message
const char *duel_shown_key(duel_reading *rd, const char *key);
// Text and room in the reading's pool. Without memory rd->no_memory is set and they yield "" and NULL.
#define duel_phrase(rd, ...) duel_kept(rd, duel_pool_format((rd)->pool, __VA_ARGS__))
const char *duel_kept(duel_reading *rd, const char *text);
void *duel_room(duel_reading *rd, size_t bytes);

// ---- value.c
// Reports a mistake and then yields false, and something harmless in *v. An integer that depends on data that is not
// there sets rd->needs_data and yields false too. key: a type that neither chooses from a table nor holds layers.
typedef bool duel_reader(const duel_place *p, const duel_key *key, duel_key_value *v);
duel_reader duel_read_single;
void duel_read_vars(duel_reading *rd, const duel_yaml *vars);
void duel_length_text(char dst[48], duel_length l);
void duel_bytes_text(char dst[48], double bytes);

// ---- read.c
// The keys of a kind, from a map that may hold `also` too, or from a value that stands for the main key; node NULL: all
// are absent. at: where something is missing.
duel_key_value *duel_read_keys(const duel_place *at, const duel_kind *kind, const duel_yaml *node, const char *also);
const char *duel_path(duel_reading *rd, const char *path, const duel_kind *kind,
                      const char *name);                 // item k of G is G.k
void duel_read_recipe(duel_reading *rd, duel_recipe *r); // everything into r, whose strings live in rd's pool

// ---- lists.c
bool duel_read_layers(const duel_place *p, duel_key_value *v);
const char *duel_item_name(const duel_yaml *item);      // NULL: it names no layer
const duel_kind *duel_item_kind(const duel_yaml *item); // NULL: no layer has this name

// ---- merge.c
// All yield the merged tree; *into NULL: begins with an empty one. Trees share nodes with what they were made from.
void duel_merge_document(duel_reading *rd, duel_yaml **into, duel_yaml *document);
void duel_merge_settings(duel_reading *rd, duel_yaml *root, const duel_setting *setting, int n);
void duel_merge_defaults(duel_reading *rd, duel_yaml *root); // init and optim at the top are every net's

// ---- fitting.c
// Where the sizes of the data leave a rest, says for which there is none; else "". own: the recipe's data.size, or 0.
const char *duel_fitting_sizes(duel_reading *rd, const char *name, int64_t own);

// ---- text.c
char *duel_recipe_text(duel_pool *pool, const duel_recipe *r); // NULL without memory

#endif
