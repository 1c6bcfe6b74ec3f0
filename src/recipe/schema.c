// The vocabulary of a recipe: sections and their keys. The reader, the writer and the merging of recipes follow these
// tables. A new key is one line in a table, one name in the list beside it, and one line of the function that takes it
// into duel_recipe. What layers, losses and the like are called stands in src/gan.
#include <math.h>
#include <string.h>

#include "recipe/parts.h"

// ---- tables

const duel_kind *duel_table_at(const duel_table *t, int i) {
  if (!t->stride) return ((const duel_kind *const *)t->first)[i];
  const duel_kind *kind = (const duel_kind *)(const void *)((const char *)t->first + (size_t)i * t->stride);
  return kind->name ? kind : NULL;
}

const duel_kind *duel_table_find(const duel_table *t, const char *name) {
  const duel_kind *kind;
  for (int i = 0; (kind = duel_table_at(t, i)); i++)
    if (!strcmp(kind->name, name)) return kind;
  return NULL;
}

int duel_table_names(const duel_table *t, const char **names, int most) {
  const duel_kind *kind;
  int n = 0;
  for (; n < most && (kind = duel_table_at(t, n)); n++) names[n] = kind->name;
  return n;
}

const duel_key *duel_key_find(const duel_key *keys, const char *name) {
  for (const duel_key *key = keys; key->name; key++)
    if (!strcmp(key->name, name)) return key;
  return NULL;
}

const duel_table *duel_key_table(const duel_key *key) {
  if (key->type == DUEL_KEY_INIT) return &duel_init_kinds;
  return key->type == DUEL_KEY_CHOSEN || key->type == DUEL_KEY_ENTRIES ? key->of : NULL;
}

bool duel_kind_is_block(const duel_kind *kind) {
  return kind->main_key && duel_key_find(kind->keys, kind->main_key)->type == DUEL_KEY_LAYERS;
}

// ---- sections

enum { PATH, LIMIT, SIZE, CROP, CHANNELS, ON_BAD, TRANSPOSE, MIRROR };
static const duel_key keys_data[] = {
    {"path", DUEL_KEY_TEXT, NULL, 0, 0, NULL, "data set: a name, a file or a folder"},
    {"limit", DUEL_KEY_INT, "0", 0, 0x1p40, NULL, "first N items only; 0: all"},
    {"size", DUEL_KEY_EXTENT, "0", 1, 16384, "[height, width]",
     "height and width that images are resized to; 0: as they are"},
    {"crop", DUEL_KEY_CHOICE, "center", 0, 0, "none|center",
     "images of other proportions than size are cropped, or stretched"},
    {"channels", DUEL_KEY_CHOICE, "auto", 0, 0, "auto|1|3|4",
     "1 gray, 3 RGB, 4 RGB and transparency; auto: as the images are, pictures 3 if some have color"},
    {"on_bad", DUEL_KEY_CHOICE, "stop", 0, 0, "stop|skip",
     "pictures that are damaged, empty or none: an error that names them all, or they are left out"},
    {"transpose", DUEL_KEY_BOOL, "false", 0, 0, NULL, "height and width of images change places (EMNIST)"},
    {"mirror", DUEL_KEY_BOOL, "false", 0, 0, NULL, "each image also with left and right swapped: twice the items"},
    {.name = NULL}};

enum { HALF_LIFE, RAMP_UP, BUFFERS };
static const duel_key keys_ema[] = {
    {"half_life", DUEL_KEY_LENGTHS, NULL, DUEL_ABOVE_0, 0, NULL,
     "how long until half of a net's moving average is new"},
    {"ramp_up", DUEL_KEY_NUMBER, "0", 0, 1e6, NULL,
     "half_life is at most this times the past; 0: from the start as it is"},
    {"buffers", DUEL_KEY_CHOICE, "copy", 0, 0, "copy|average|standing",
     "running statistics: the net's own, averaged too, or measured anew on items of the average"},
    {.name = NULL}};
static const duel_kind kind_ema = {"ema", "half_life", keys_ema, "moving average of a net"};

static const duel_key keys_net[] = {
    {"layers", DUEL_KEY_LAYERS, NULL, 0, 0, NULL, "the list of layers"},
    {"init", DUEL_KEY_INIT, "", 0, 0, NULL, "how its parameters begin, if not as the recipe's init"},
    {"optim", DUEL_KEY_CHOSEN, "", 0, 0, &duel_optim_kinds, "what moves them, if not the recipe's optim"},
    {"ema", DUEL_KEY_SECTION, "", 0, 0, &kind_ema, "its moving average"},
    {"constraint", DUEL_KEY_CHOSEN, "", 0, 0, &duel_constraint_kinds, "what its weights are held to"},
    {"equalized", DUEL_KEY_NUMBER, "", 0, 1e6, NULL,
     "its weights begin as N(0, 1) and are read times this gain/sqrt(inputs); 0: they are not"},
    {"lr_mul", DUEL_KEY_NUMBER, "", DUEL_ABOVE_0, 1e6, NULL, "its weights and biases learn at this times the rate"},
    {"frozen", DUEL_KEY_BOOL, "", 0, 0, NULL, "its parameters stay as they are"},
    {.name = NULL}};
const duel_kind duel_net_kind = {"net", "layers", keys_net, "one network"};

enum { LENGTH, BATCH, SHARDS, SEED, N_TRAIN };
static const duel_key keys_train[] = {{"length", DUEL_KEY_LENGTH, NULL, DUEL_ABOVE_0, 0, NULL, "when to stop"},
                                      {"batch", DUEL_KEY_INT, "64", 1, 1 << 20, NULL, "items a pass"},
                                      {"shards", DUEL_KEY_INT, "1", 1, 1 << 20, NULL,
                                       "pieces of the batch, one after another: less work memory; a power of two"},
                                      {"seed", DUEL_KEY_SEED, "0", 0, 0, NULL, "of all random draws"},
                                      {.name = NULL}};

static const duel_key keys_output[] = {
    {"checkpoint", DUEL_KEY_LENGTH, "1 epoch", 0, 0, NULL, "between checkpoints; 0: the first and last only"},
    {"keep", DUEL_KEY_INT, "3", 1, 1e6, NULL, "newest checkpoints kept"},
    {"tick", DUEL_KEY_LENGTH, "10 kimg", DUEL_ABOVE_0, 0, NULL, "between lines of statistics"},
    {"grid", DUEL_KEY_EXTENT, "0", 1, 1024, "[rows, columns]", "rows and columns of pictures; 0: as many as suit"},
    {.name = NULL}};

// Of games that draw samples, and of those that are tested.
static const duel_key keys_of_samples[] = {
    {"sample", DUEL_KEY_LENGTH, "1 epoch", 0, 0, NULL, "between pictures; 0: none"},
    {"keep_pictures", DUEL_KEY_INT, "0", 0, 1e6, NULL, "newest pictures kept; 0: all"},
    {.name = NULL}};
static const duel_key keys_of_tests[] = {
    {"test", DUEL_KEY_LENGTH, "1 epoch", 0, 0, NULL, "between tests on the test set; 0: none"}, {.name = NULL}};
static const duel_key keys_of_test_data[] = {
    {"test", DUEL_KEY_TEXT, "", 0, 0, NULL, "test set; without it what lies beside the data, else a tenth of them"},
    {.name = NULL}};

enum { BACKEND, DEVICE, THREADS, PRECISION, CAPTURE, DATA_MEMORY };
static const duel_key keys_run[] = {{"backend", DUEL_KEY_CHOICE, "auto", 0, 0, duel_backend_choices, "what computes"},
                                    {"device", DUEL_KEY_INT, "0", 0, 1023, NULL, "which GPU"},
                                    {"threads", DUEL_KEY_INT, "0", 0, 1024, NULL, "0: what the machine allows"},
                                    {"precision", DUEL_KEY_CHOICE, "auto", 0, 0, "auto|fp32|tf32|bf16",
                                     "of matrix products; auto: tf32 on GPUs, fp32 elsewhere"},
                                    {"capture", DUEL_KEY_CHOICE, "on", 0, 0, "off|on",
                                     "CUDA: a step is captured once and replayed; off: call by call, for debugging"},
                                    {"data_memory", DUEL_KEY_BYTES, "auto", 1, HUGE_VAL, NULL,
                                     "a larger set is streamed from a file, as in 64M, 2G; auto: half of what is free"},
                                    {.name = NULL}};

const duel_key duel_no_keys[] = {{.name = NULL}};
static const duel_kind kind_data = {"data", "path", keys_data, "the data set"};
static const duel_kind kind_train = {"train", NULL, keys_train, "the training"},
                       kind_samples = {"output", NULL, keys_of_samples, "pictures, checkpoints, lines"},
                       kind_tests = {"output", NULL, keys_of_tests, "tests, checkpoints, lines"},
                       kind_run = {"run", "backend", keys_run, "where it runs"},
                       kind_eval = {"eval", NULL, duel_no_keys, "measures"};

// ---- the whole

const duel_game_kind *duel_game_named(const duel_yaml *root) {
  const duel_yaml *game = duel_yaml_get(root, "game");
  if (game && game->type == DUEL_YAML_MAP) game = duel_yaml_get(game, "name");
  const duel_kind *kind = game && game->type == DUEL_YAML_SCALAR ? duel_table_find(&duel_game_kinds, game->text) : NULL;
  return (const duel_game_kind *)(kind ? kind : duel_table_at(&duel_game_kinds, 0));
}

// A section with a game's own keys behind the others.
static const duel_kind *joined(duel_pool *pool, const duel_kind *section, const duel_key *own) {
  int n = 0, more = 0;
  while (section->keys[n].name) n++;
  while (own[more].name) more++;
  duel_kind *kind = duel_pool_alloc(pool, sizeof *kind);
  duel_key *keys = duel_pool_alloc(pool, (size_t)(n + more + 1) * sizeof *keys);
  if (!kind || !keys) return NULL;
  memcpy(keys, section->keys, (size_t)n * sizeof *keys);
  memcpy(keys + n, own, (size_t)more * sizeof *keys);
  *kind = *section;
  kind->keys = keys;
  return kind;
}

// What a game adds to a section.
static const duel_key *own_keys(const duel_game_kind *game, const char *section) {
  if (!strcmp(section, "train")) return game->kind.keys;
  if (!strcmp(section, "output")) return game->tested ? keys_of_tests : keys_of_samples;
  return !strcmp(section, "data") && game->tested ? keys_of_test_data : duel_no_keys;
}

const char *duel_game_with(const char *section, const char *key) {
  const duel_kind *kind;
  for (int i = 0; (kind = duel_table_at(&duel_game_kinds, i)); i++)
    if (duel_key_find(own_keys((const duel_game_kind *)kind, section), key)) return kind->name;
  return NULL;
}

enum { MOST_TOP = 24 };

const duel_key *duel_vocabulary(duel_pool *pool, const duel_game_kind *game) {
  const duel_kind *train = joined(pool, &kind_train, own_keys(game, "train"));
  const duel_kind *data = joined(pool, &kind_data, own_keys(game, "data"));
  const duel_kind *output = joined(pool, game->tested ? &kind_tests : &kind_samples, keys_output);
  duel_kind *root = duel_pool_alloc(pool, sizeof *root);
  duel_key *key = duel_pool_alloc(pool, MOST_TOP * sizeof *key), *word = duel_pool_alloc(pool, sizeof *word);
  if (!train || !data || !output || !root || !key || !word) return NULL;
  *root = (duel_kind){"recipe", NULL, key, "a recipe"};
  *word = (duel_key){"recipe", DUEL_KEY_SECTION, NULL, 0, 0, root, root->help};
  *key++ = (duel_key){"recipe", DUEL_KEY_INT, NULL, 0, 0, NULL, "version of the format"};
  *key++ = (duel_key){"base", DUEL_KEY_TEXT, "", 0, 0, NULL, "the recipe that this one changes"};
  *key++ =
      (duel_key){"game", DUEL_KEY_CHOSEN, NULL, 0, 0, &duel_game_kinds, "which nets there are, and how they train"};
  *key++ = (duel_key){"data", DUEL_KEY_SECTION, NULL, 0, 0, data, data->help};
  *key++ = (duel_key){"vars", DUEL_KEY_NAMES, "", 0, 0, NULL, "$names of one's own"};
  if (game->latent)
    *key++ = (duel_key){"latent", DUEL_KEY_INT, NULL, 1, 1 << 24, NULL, "numbers that a generator starts from"};
  for (int i = 0; i < DUEL_MAX_NETS && game->nets[i]; i++)
    *key++ = (duel_key){game->nets[i], DUEL_KEY_SECTION, NULL, 0, 0, &duel_net_kind, duel_net_kind.help};
  *key++ = (duel_key){"init", DUEL_KEY_INIT, NULL, 0, 0, NULL, "how parameters begin"};
  if (game->losses) *key++ = (duel_key){"loss", DUEL_KEY_CHOSEN, NULL, 0, 0, game->losses, "what the nets descend"};
  if (game->penalties)
    *key++ = (duel_key){"penalty", DUEL_KEY_ENTRIES, "", 0, 0, game->penalties, "what is added to the loss"};
  *key++ = (duel_key){"optim", DUEL_KEY_CHOSEN, NULL, 0, 0, &duel_optim_kinds, "what moves parameters"};
  if (game->generator)
    *key++ = (duel_key){"ema", DUEL_KEY_SECTION, "", 0, 0, &kind_ema, "moving average of the generating net"};
  if (game->augment) *key++ = (duel_key){"augment", DUEL_KEY_SECTION, "", 0, 0, game->augment, game->augment->help};
  *key++ = (duel_key){"train", DUEL_KEY_SECTION, NULL, 0, 0, train, train->help};
  *key++ = (duel_key){"eval", DUEL_KEY_SECTION, "", 0, 0, &kind_eval, kind_eval.help};
  *key++ = (duel_key){"output", DUEL_KEY_SECTION, NULL, 0, 0, output, output->help};
  *key = (duel_key){"run", DUEL_KEY_SECTION, NULL, 0, 0, &kind_run, kind_run.help};
  return word;
}

// ---- from values to fields

// The value of a key; a zero one where the game has no such key.
static const duel_key_value *value_of(const duel_chosen *c, const char *name) {
  static const duel_key_value none;
  const duel_key *key = duel_key_find(c->kind->keys, name);
  return key ? &c->value[key - c->kind->keys] : &none;
}

static const duel_key_value *section(const duel_recipe *r, const char *name) {
  return value_of(&r->root, name)->chosen->value;
}

static void take_net(duel_recipe *r, const duel_game_kind *game, duel_net *net) {
  const duel_key_value *v = section(r, net->name), *ema = &v[DUEL_NET_EMA];
  net->layers = *v[DUEL_NET_LAYERS].layers;
  net->init = v[DUEL_NET_INIT].n ? *v[DUEL_NET_INIT].chosen : *value_of(&r->root, "init")->chosen;
  net->optim = v[DUEL_NET_OPTIM].n ? *v[DUEL_NET_OPTIM].chosen : *value_of(&r->root, "optim")->chosen;
  net->constraint = v[DUEL_NET_CONSTRAINT].n ? v[DUEL_NET_CONSTRAINT].chosen : NULL;
  net->equalized = v[DUEL_NET_EQUALIZED].number[0];
  net->frozen = v[DUEL_NET_FROZEN].number[0] != 0;
  net->lr_mul = v[DUEL_NET_LR_MUL].n ? v[DUEL_NET_LR_MUL].number[0] : 1;
  if (!ema->n && game->generator && !strcmp(game->generator, net->name)) ema = value_of(&r->root, "ema");
  net->ema.on = ema->n;
  if (!ema->n) return;
  net->ema.half_life = ema->chosen->value[HALF_LIFE].schedule;
  net->ema.ramp_up = ema->chosen->value[RAMP_UP].number[0];
  net->ema.buffers = (int)ema->chosen->value[BUFFERS].number[0];
}

void duel_take_fields(duel_recipe *r, const duel_game_kind *game) {
  const duel_key_value *v = section(r, "data");
  r->data.path = v[PATH].text;
  r->data.test = value_of(value_of(&r->root, "data")->chosen, "test")->text;
  r->data.limit = (int64_t)v[LIMIT].number[0];
  for (int i = 0; i < 2; i++) r->data.size[i] = (int64_t)v[SIZE].number[i];
  r->data.crop = (int)v[CROP].number[0];
  r->data.channels = (int)v[CHANNELS].number[0];
  r->data.on_bad = (int)v[ON_BAD].number[0];
  r->data.transpose = v[TRANSPOSE].number[0] != 0;
  r->data.mirror = v[MIRROR].number[0] != 0;
  r->latent = (int64_t)value_of(&r->root, "latent")->number[0];
  v = value_of(&r->root, "loss");
  if (v->n) r->loss = *v->chosen;
  v = value_of(&r->root, "penalty");
  r->penalty = v->chosen;
  r->n_penalties = v->n;
  v = value_of(&r->root, "augment");
  r->augment = v->n ? v->chosen : NULL;
  v = section(r, "train");
  r->train.length = v[LENGTH].length;
  r->train.batch = (int64_t)v[BATCH].number[0];
  r->train.shards = (int64_t)v[SHARDS].number[0];
  r->train.seed = v[SEED].seed;
  r->game = (duel_chosen){&game->kind, (duel_key_value *)(uintptr_t)(v + N_TRAIN)};
  const duel_chosen *output = value_of(&r->root, "output")->chosen;
  r->output.sample = value_of(output, "sample")->length;
  r->output.test = value_of(output, "test")->length;
  r->output.checkpoint = value_of(output, "checkpoint")->length;
  r->output.tick = value_of(output, "tick")->length;
  r->output.keep = (int)value_of(output, "keep")->number[0];
  r->output.keep_pictures = (int)value_of(output, "keep_pictures")->number[0];
  for (int i = 0; i < 2; i++) r->output.grid[i] = (int64_t)value_of(output, "grid")->number[i];
  v = section(r, "run");
  r->run.backend = v[BACKEND].text;
  r->run.device = (int)v[DEVICE].number[0];
  r->run.threads = (int)v[THREADS].number[0];
  r->run.precision = v[PRECISION].text;
  r->run.capture = (int)v[CAPTURE].number[0];
  r->run.data_memory = (int64_t)v[DATA_MEMORY].number[0];
  for (; r->n_nets < DUEL_MAX_NETS && game->nets[r->n_nets]; r->n_nets++) {
    r->net[r->n_nets].name = game->nets[r->n_nets];
    take_net(r, game, &r->net[r->n_nets]);
  }
}
