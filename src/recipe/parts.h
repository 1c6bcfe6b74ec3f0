// What the files of the recipe reader share; nobody else includes this.
//
//   recipe.c           finding, loading and resolving: the calls of recipe.h
//   recipe_merge.c     base, recipe and settings become one tree
//   recipe_schema.c    the table of keys: types, defaults, ranges
//   recipe_read.c      the tree of keys becomes a duel_recipe
//   recipe_layers.c    the lists G and D
//   recipe_value.c     numbers, expressions, lengths, schedules
//   recipe_text.c      a duel_recipe as canonical text, and comparing two of them
//   recipe_problem.c   mistakes: collecting, "did you mean"
#ifndef DUEL_RECIPE_PARTS_H
#define DUEL_RECIPE_PARTS_H

#include <stdbool.h>

#include "recipe/recipe.h"
#include "recipe/yaml.h"

enum {
  DUEL_RECIPE_VERSION = 1,
  DUEL_MAX_PROBLEMS = 20,
  DUEL_MAX_LAYERS = 10000, // of a player, copies counted
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
  duel_name *vars;
  duel_problem problem[DUEL_MAX_PROBLEMS];
  int problems, more;          // collected; further ones
  const duel_yaml *needs_data; // the first value that depends on data that is not there
  bool no_memory;
} duel_reading;

// ---- recipe_problem.c
// Where the value of `at` stands; at NULL: the recipe as a whole.
void duel_problem_value(duel_reading *rd, const duel_yaml *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void duel_problem_key(duel_reading *rd, const duel_yaml *at, const char *fmt, ...) // where its key stands
    __attribute__((format(printf, 3, 4)));
duel_status duel_problems_status(duel_reading *rd); // USAGE with all of them, DEVICE without memory, or OK
// "; did you mean X?" if a known word is near, else "; there are a, b, c" if those are few. Lives in dst.
const char *duel_hint(char dst[160], const char *word, const char *const *known, int n);

// ---- recipe_value.c
typedef struct duel_range {  // all zero: any
  double min, max;           // max 0 with min > 0 is a real limit; HUGE_VAL: none
  bool above_min, below_max; // the limit itself is out
} duel_range;
// Each reports a mistake under `path` and then yields false, leaving *dst alone. An integer that depends on data that
// is not known yet yields false too, without a report.
bool duel_read_int(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, int64_t *dst);
bool duel_read_number(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, double *dst);
bool duel_read_bool(duel_reading *rd, const duel_yaml *node, const char *path, bool *dst);
// The index of the word among choices ("a|b" or "a, b"); *word is that word, in the pool.
bool duel_read_choice(duel_reading *rd, const duel_yaml *node, const char *path, const char *choices, int *index,
                      char **word);
bool duel_read_extent(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, int64_t dst[2]);
bool duel_read_bytes(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, int64_t *dst);
bool duel_read_length(duel_reading *rd, const duel_yaml *node, const char *path, bool zero, duel_length *dst);
bool duel_read_schedule(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range,
                        duel_schedule *dst);
void duel_read_vars(duel_reading *rd, const duel_yaml *vars);
void duel_length_text(char dst[48], duel_length l);
void duel_extent_text(char dst[48], const int64_t extent[2]);
void duel_bytes_text(char dst[48], int64_t bytes);

// ---- recipe_schema.c
typedef enum duel_field_type {
  DUEL_FIELD_INT,   // int
  DUEL_FIELD_INT64, // int64_t
  DUEL_FIELD_SEED,  // uint64_t
  DUEL_FIELD_NUMBER,
  DUEL_FIELD_PAIR,   // double[2]
  DUEL_FIELD_TEXT,   // char *
  DUEL_FIELD_WORD,   // char *, one of choices
  DUEL_FIELD_CHOICE, // int: index of the word among choices
  DUEL_FIELD_EXTENT, // int64_t[2]: one number is both; 0: none
  DUEL_FIELD_BYTES,  // int64_t: 64M; auto: 0
  DUEL_FIELD_LENGTH,
  DUEL_FIELD_SCHEDULE,
  DUEL_FIELD_LATER, // part of the format, not of this version
} duel_field_type;

typedef struct duel_field {
  const char *section, *key; // key "": the section is itself the value
  duel_field_type type;
  const char *standard; // default as recipe text; NULL: required, or absent with its section
  duel_range range;     // LENGTH: min 0 allows 0, for never
  const char *choices;
  size_t offset;    // in duel_recipe; of section optim: in duel_optim
  const char *only; // the section's name (of optim: adam) that has this key; NULL: all
  const char *help;
} duel_field;
extern const duel_field duel_fields[]; // in the order of canonical text; ends with section NULL

typedef struct duel_section {
  const char *name;
  const char *main; // the key that a scalar stands for; NULL: none
  bool mapping;     // false: a value or a list of its own
} duel_section;
extern const duel_section duel_sections[]; // all keys that a recipe may hold; ends with name NULL
const duel_section *duel_section_find(const char *name);
const char *duel_field_choices(const duel_field *field);

typedef struct duel_init_kind {
  const char *name, *help;
  const char *key[2]; // its numbers; NULL: none
} duel_init_kind;
extern const duel_init_kind duel_init_kinds[]; // ends with name NULL
double *duel_init_number(duel_init *init, const char *key);

// ---- recipe_layers.c
const duel_layer_kind *duel_layer_find(const char *name);
void duel_read_layers(duel_reading *rd, const duel_yaml *list, const char *path, duel_layers *dst);
bool duel_read_init(duel_reading *rd, const duel_yaml *node, const char *path, duel_init *dst);

// ---- recipe_read.c
// Everything into r, whose strings live in rd's pool.
void duel_read_recipe(duel_reading *rd, duel_recipe *r);

// ---- recipe_merge.c
// Both yield the merged tree; *into NULL: begins with an empty one. Trees share nodes with what they were made from.
bool duel_merge_document(duel_reading *rd, duel_yaml **into, duel_yaml *document);
void duel_merge_settings(duel_reading *rd, duel_yaml *root, const duel_setting *setting, int n);

// ---- recipe_text.c
char *duel_recipe_text(duel_pool *pool, const duel_recipe *r); // NULL without memory

#endif
