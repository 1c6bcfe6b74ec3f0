// Recipes: found, read with all their bases, merged with the settings, checked, resolved. The tree of a source is never
// changed after loading, so it can be resolved any number of times.
#include "recipe/recipe.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "io/file.h"
#include "recipe/parts.h"

enum { MAX_BASES = 16 };

struct duel_recipe_source {
  duel_pool pool;
  const char *name;
  duel_yaml *root;
  duel_recipe draft; // as far as it can be read without the data
  int64_t size;      // data.size as the recipe or a base has it, whatever settings say; 0: none
};

typedef struct document {
  const char *label;   // in messages
  const char *file;    // path; NULL: built in, or given as text
  const char *builtin; // name; NULL: a file, or given as text
  duel_yaml *root;
} document;

// ---- finding

// Length of the ending that makes a name a file's: .yaml or .yml; 0 where there is none.
static size_t yaml_ending(const char *name) {
  const size_t n = duel_ends_with(name, ".yaml") ? 5 : duel_ends_with(name, ".yml") ? 4 : 0;
  return strlen(name) > n ? n : 0;
}

static duel_status parse_file(duel_reading *rd, document *d) {
  uint8_t *bytes;
  size_t n;
  duel_status status = duel_file_read(d->file, DUEL_YAML_MAX_BYTES, &bytes, &n);
  if (status == DUEL_ERR_DATA) return duel_fail(DUEL_ERR_USAGE, "%s", duel_last_error());
  DUEL_TRY(status);
  status = duel_yaml_parse(&d->root, rd->pool, d->label, (const char *)bytes, n);
  duel_free(bytes);
  return status;
}

static duel_status parse_builtin(duel_reading *rd, const char *name, document *d) {
  const char *known[64];
  int n = 0;
  for (const duel_builtin *b = duel_builtins; b < duel_builtins + duel_builtins_n; b++) {
    if (n < 64) known[n++] = b->name;
    if (strcmp(b->name, name)) continue;
    d->builtin = b->name;
    d->label = duel_phrase(rd, "%s.yaml", name);
    return duel_yaml_parse(&d->root, rd->pool, d->label, b->text, strlen(b->text));
  }
  return duel_fail(DUEL_ERR_USAGE, "%.200s: no such recipe (a file's name has a '/' or ends in .yaml or .yml)%s", name,
                   duel_hint(rd, name, known, n));
}

// `from`: the document that names this one as its base; NULL: the recipe itself.
static duel_status open_document(duel_reading *rd, const char *name, const document *from, document *d) {
  *d = (document){0};
  if (!strchr(name, '/') && !yaml_ending(name)) return parse_builtin(rd, name, d);
  const char *slash = from && from->file ? strrchr(from->file, '/') : NULL;
  const int folder = slash && *name != '/' ? (int)(slash + 1 - from->file) : 0;
  d->label = d->file = duel_phrase(rd, "%.*s%s", folder, folder ? from->file : "", name);
  return parse_file(rd, d);
}

static bool same_document(const document *a, const document *b) {
  char x[PATH_MAX], y[PATH_MAX];
  if (a->builtin || b->builtin) return a->builtin == b->builtin;
  return a->file && b->file && realpath(a->file, x) && realpath(b->file, y) && !strcmp(x, y);
}

// ---- loading

// Puts where the node stands in front of the message.
static duel_status placed(duel_status status, const duel_yaml *at) {
  return duel_context(status, "%s:%d:%d", at->file, at->line, at->col);
}

static duel_status check_document(const document *d) {
  if (d->root->type != DUEL_YAML_MAP)
    return placed(duel_fail(DUEL_ERR_USAGE, "a recipe is a mapping of keys, such as `latent: 100`"), d->root);
  const duel_yaml *version = duel_yaml_get(d->root, "recipe");
  int64_t number;
  if (duel_yaml_is_null(version))
    return duel_fail(DUEL_ERR_USAGE, "%s:1:1: recipe: missing; begin with the version of the format, `recipe: %d`",
                     d->label, DUEL_RECIPE_VERSION);
  duel_status status = DUEL_OK;
  if (!duel_yaml_int(version, &number) || number < 1)
    status =
        duel_fail(DUEL_ERR_USAGE, "recipe: the version of the format is a number: `recipe: %d`", DUEL_RECIPE_VERSION);
  else if (number > DUEL_RECIPE_VERSION)
    status =
        duel_fail(DUEL_ERR_USAGE, "recipe: format %lld is newer than this version of duel, which reads %d: update duel",
                  (long long)number, DUEL_RECIPE_VERSION);
  return placed(status, version);
}

static duel_status open_base(duel_reading *rd, const duel_yaml *base, document *chain, int n) {
  if (base->type != DUEL_YAML_SCALAR) return duel_fail(DUEL_ERR_USAGE, "one name of a recipe or a file is due");
  if (n == MAX_BASES) return duel_fail(DUEL_ERR_USAGE, "more than %d recipes on each other", MAX_BASES);
  DUEL_TRY(open_document(rd, base->text, &chain[n - 1], &chain[n]));
  for (int i = 0; i < n; i++)
    if (same_document(&chain[i], &chain[n]))
      return duel_fail(DUEL_ERR_USAGE, "%s is its own base: name another one, or none", base->text);
  return DUEL_OK;
}

// Follows base from chain[0] on.
static duel_status open_bases(duel_reading *rd, document *chain, int *n) {
  for (;; ++*n) {
    DUEL_TRY(check_document(&chain[*n - 1]));
    const duel_yaml *base = duel_yaml_get(chain[*n - 1].root, "base");
    if (duel_yaml_is_null(base)) return DUEL_OK;
    DUEL_TRY(placed(duel_context(open_base(rd, base, chain, *n), "base"), base));
  }
}

// "mlp" from "recipes/mlp.yaml".
static const char *short_name(duel_reading *rd, const char *name) {
  const char *slash = strrchr(name, '/');
  if (slash) name = slash + 1;
  const size_t n = strlen(name) - yaml_ending(name);
  return n ? duel_phrase(rd, "%.*s", (int)n, name) : "recipe";
}

// The game's words are needed to merge what names it: of settings, the recipe and its bases the first that does.
static void choose_game(duel_reading *rd, const document *chain, int documents, const duel_setting *setting, int n) {
  const duel_kind *named = NULL;
  for (int i = 0; i < n; i++)
    if (!strcmp(setting[i].key, "game") || !strcmp(setting[i].key, "game.name"))
      named = duel_table_find(&duel_game_kinds, setting[i].value);
  int k = 0;
  while (k < documents - 1 && duel_yaml_is_null(duel_yaml_get(chain[k].root, "game"))) k++;
  rd->game = named ? (const duel_game_kind *)named : duel_game_named(chain[k].root);
  rd->words = duel_vocabulary(rd->pool, rd->game);
  rd->no_memory |= !rd->words;
}

// The sizes that its authors meant are good ones to advise.
static void note_size(duel_recipe_source *s, const duel_yaml *root) {
  const duel_yaml *size = duel_yaml_get(duel_yaml_get(root, "data"), "size");
  int64_t own;
  if (!duel_yaml_is_null(size) && duel_yaml_int(size, &own) && own > 0) s->size = own;
}

static duel_status merge_source(duel_reading *rd, duel_recipe_source *s, const char *label, const char *source) {
  duel_yaml *root;
  DUEL_TRY(duel_yaml_parse(&root, rd->pool, label, source, strlen(source)));
  if (root->type == DUEL_YAML_MAP) duel_merge_document(rd, &s->root, root);
  return DUEL_OK;
}

static duel_status load(duel_recipe_source *s, const char *name, const char *text, const char *source,
                        const duel_setting *setting, int n) {
  duel_reading rd = {.pool = &s->pool};
  document chain[MAX_BASES] = {0};
  int documents = 1;
  s->name = short_name(&rd, name);
  if (text) {
    chain[0].label = duel_phrase(&rd, "%s", name);
    DUEL_TRY(duel_yaml_parse(&chain[0].root, &s->pool, chain[0].label, text, strlen(text)));
  } else {
    DUEL_TRY(open_document(&rd, name, NULL, &chain[0]));
  }
  DUEL_TRY(open_bases(&rd, chain, &documents));
  choose_game(&rd, chain, documents, setting, n);
  while (documents-- > 0 && !rd.no_memory) {
    note_size(s, chain[documents].root);
    duel_merge_document(&rd, &s->root, chain[documents].root);
  }
  if (source && !rd.no_memory) DUEL_TRY(merge_source(&rd, s, chain[0].label, source));
  rd.root = s->root;
  if (!rd.no_memory) duel_merge_settings(&rd, s->root, setting, n);
  if (!rd.no_memory) duel_merge_defaults(&rd, s->root);
  if (!rd.no_memory) duel_read_recipe(&rd, &s->draft);
  return duel_problems_status(&rd);
}

duel_status duel_recipe_load(duel_recipe_source **result, const char *name, const char *text, const char *source,
                             const duel_setting *setting, int n) {
  duel_recipe_source *s = duel_calloc(1, sizeof *s);
  if (!s) return duel_fail_memory("a recipe", sizeof *s);
  duel_status status = load(s, name, text, source, setting, n);
  if (status == DUEL_OK)
    *result = s;
  else
    duel_recipe_source_close(s);
  return status;
}

const duel_recipe *duel_recipe_draft(const duel_recipe_source *s) {
  return &s->draft;
}

duel_dataset_options duel_recipe_data_options(const duel_recipe_source *s) {
  static const int channels[4] = {0, 1, 3, 4}; // auto|1|3|4
  const duel_recipe *r = &s->draft;
  return (duel_dataset_options){.limit = r->data.limit,
                                .height = r->data.size[0],
                                .width = r->data.size[1],
                                .stretch = !r->data.crop,
                                .channels = channels[r->data.channels],
                                .skip_bad = r->data.on_bad,
                                .transpose = r->data.transpose,
                                .mirror = r->data.mirror,
                                .memory = r->run.data_memory,
                                .threads = r->run.threads};
}

void duel_recipe_source_close(duel_recipe_source *s) {
  if (!s) return;
  duel_pool_close(&s->pool);
  duel_free(s);
}

// ---- resolving

// {vars: …, G: {layers: …}, …} of the merged tree, if reading it yields the same again.
static const char *source_of(duel_reading *rd) {
  duel_yaml item[DUEL_MAX_NETS + 1], net[DUEL_MAX_NETS], root = {.type = DUEL_YAML_MAP, .child = item}, *again;
  const duel_yaml *vars = duel_yaml_get(rd->root, "vars");
  int n = 0;
  if (!duel_yaml_is_null(vars)) item[n++] = *vars;
  for (int i = 0; i < DUEL_MAX_NETS && rd->game->nets[i]; i++) {
    const duel_yaml *own = duel_yaml_get(rd->root, rd->game->nets[i]),
                    *layers = own && own->type == DUEL_YAML_MAP ? duel_yaml_get(own, duel_net_kind.main_key) : own;
    if (!layers) return "";
    net[i] = *layers;
    net[i].key = duel_net_kind.main_key;
    net[i].next = NULL;
    item[n++] = (duel_yaml){.type = DUEL_YAML_MAP, .key = rd->game->nets[i], .child = &net[i]};
  }
  for (int i = 0; i < n; i++) item[i].next = i + 1 < n ? &item[i + 1] : NULL;
  for (size_t size = 4096; size <= DUEL_YAML_MAX_BYTES; size *= 4) {
    char *text = duel_room(rd, size);
    if (!text) return "";
    duel_yaml_show(text, size, &root);
    if (strlen(text) + 8 > size) continue; // cut short
    const bool same =
        duel_yaml_parse(&again, rd->pool, "source", text, strlen(text)) == DUEL_OK && duel_yaml_equal(again, &root);
    if (!same) duel_clear_error();
    return same ? text : "";
  }
  return "";
}

static duel_status resolve(duel_recipe *r, duel_pool *pool, const duel_recipe_source *s, const duel_data_shape *data) {
  duel_reading rd = {.pool = pool, .data = data, .root = s->root};
  duel_read_recipe(&rd, r);
  if (!data && rd.needs_data) duel_problem_value(&rd, rd.needs_data, "depends on the data, which is not at hand");
  r->name = duel_phrase(&rd, "%s", s->name);
  const duel_status status = duel_problems_status(&rd);
  const char *cure = status == DUEL_ERR_USAGE ? duel_fitting_sizes(&rd, r->name, s->size) : "";
  if (*cure) return duel_fail(status, "%s\n%s", duel_last_error(), cure);
  DUEL_TRY(status);
  r->source = source_of(&rd);
  r->text = duel_recipe_text(pool, r);
  return r->text ? DUEL_OK : duel_fail_memory("a recipe's text", 0);
}

duel_status duel_recipe_resolve(duel_recipe **r, const duel_recipe_source *s, const duel_data_shape *data) {
  duel_pool pool = {0};
  duel_recipe *recipe = duel_pool_alloc(&pool, sizeof *recipe);
  duel_pool *kept = duel_pool_alloc(&pool, sizeof *kept);
  duel_status status = recipe && kept ? resolve(recipe, &pool, s, data) : duel_fail_memory("a recipe", sizeof *recipe);
  if (status != DUEL_OK) {
    duel_pool_close(&pool);
    return status;
  }
  *kept = pool;
  recipe->pool = kept;
  *r = recipe;
  return DUEL_OK;
}

void duel_recipe_close(duel_recipe *r) {
  if (!r) return;
  duel_pool pool = *r->pool; // it holds itself
  duel_pool_close(&pool);
}
