// Declares the model by walking its layers once in a throwaway graph, lays out the slabs, and draws the initial
// weights.
#include "gan/model.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "gan/inits.h"
#include "gan/layers.h"
#include "gan/optimizers.h"

static const char *const letter[DUEL_PLAYERS] = {"G", "D"};

// ---- declaring

// Walks a player on a batch of the given item shape; yields the item shape that comes out.
static duel_status declare_player(duel_model *m, int player, duel_shape item, duel_dtype real, duel_shape *result) {
  duel_graph *g;
  duel_vars none = {0};
  DUEL_TRY(duel_graph_open(&g, &none, real));
  duel_shape batch = {.rank = item.rank + 1};
  duel_status status = DUEL_OK;
  if (batch.rank > DUEL_MAX_RANK) status = duel_fail(DUEL_ERR_USAGE, "%s reads too many sizes", letter[player]);
  batch.dim[0] = m->recipe->train.batch;
  for (int i = 0; i < item.rank && batch.rank <= DUEL_MAX_RANK; i++) batch.dim[i + 1] = item.dim[i];
  if (status == DUEL_OK) {
    duel_pass pass = {.g = g, .model = m, .player = player, .declare = true, .key = DUEL_NONE};
    duel_val y = duel_forward(&pass, duel_constant(g, batch, 0));
    status = duel_graph_status(g);
    if (status == DUEL_OK) {
      duel_shape out = duel_val_shape(g, y);
      result->rank = out.rank - 1;
      for (int i = 0; i < result->rank; i++) result->dim[i] = out.dim[i + 1];
    }
  }
  duel_graph_close(g);
  return status;
}

// Offsets of the player's parameters in its slab, and all its variables.
static duel_status place_player(duel_model *m, int which, duel_vars *vars, duel_dtype real) {
  duel_player *player = &m->player[which];
  const duel_recipe *r = m->recipe;
  int64_t align = DUEL_ALIGN / (int64_t)duel_dtype_size(real);
  bool ema = which == DUEL_G && r->net[DUEL_G].ema.on;
  char name[160];
  player->slab = player->ema = player->m = player->v = -1;
  for (int i = 0; i < player->n; i++) {
    duel_param *p = &player->param[i];
    if (p->buffer) {
      DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_BUFFER, p->name, real, p->shape, &p->var));
      if (!ema) continue;
      snprintf(name, sizeof name, "G_ema%s", p->name + 1);
      DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_BUFFER, name, real, p->shape, &p->ema_var));
      continue;
    }
    int64_t count = duel_shape_count(p->shape);
    p->ordinal = m->ordinals++;
    p->offset = player->slab_size;
    player->params += count;
    player->slab_size += (count + align - 1) / align * align;
    if (player->slab_size > INT64_C(1) << 34)
      return duel_fail(DUEL_ERR_USAGE, "%s has more than 2^34 parameters", letter[which]);
  }
  if (player->params == 0)
    return duel_fail(DUEL_ERR_USAGE, "%s has no parameters to learn; give it at least one dense layer", letter[which]);
  duel_shape slab = DUEL_SHAPE(player->slab_size);
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_PARAM, letter[which], real, slab, &player->slab));
  if (ema) DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_PARAM, "G_ema", real, slab, &player->ema));
  snprintf(name, sizeof name, "opt.%s.m", letter[which]);
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_OPT, name, real, slab, &player->m));
  if (duel_optimizer_of(&r->net[which].optim)->moments < 2) return DUEL_OK;
  snprintf(name, sizeof name, "opt.%s.v", letter[which]);
  return duel_vars_add(vars, DUEL_ARENA_OPT, name, real, slab, &player->v);
}

static duel_status open_model(duel_model *m, duel_shape item, duel_vars *vars, duel_dtype real) {
  duel_shape latent = DUEL_SHAPE(m->recipe->latent), logit = {0};
  DUEL_TRY(declare_player(m, DUEL_G, latent, real, &m->item));
  if (item.rank > 0 && !duel_shape_equal(item, m->item))
    return duel_fail(
        DUEL_ERR_USAGE,
        "G yields %s but the data has %s; let G end with the data's shape, for example dense: $C*$H*$W, then "
        "reshape: [$C, $H, $W]",
        duel_shape_text(m->item), duel_shape_text(item));
  if (m->item.rank != 3 && m->item.rank != 1)
    return duel_fail(DUEL_ERR_USAGE,
                     "G yields %s; images are C×H×W (let it end with reshape: [$C, $H, $W]) and points are one row",
                     duel_shape_text(m->item));
  DUEL_TRY(declare_player(m, DUEL_D, m->item, real, &logit));
  if (logit.rank != 1 || logit.dim[0] != 1)
    return duel_fail(DUEL_ERR_USAGE,
                     "D yields %s an item but must yield one number (a logit); let it end with dense: 1",
                     duel_shape_text(logit));
  for (int player = 0; player < DUEL_PLAYERS; player++) DUEL_TRY(place_player(m, player, vars, real));
  return DUEL_OK;
}

duel_status duel_model_open(duel_model *m, const duel_recipe *recipe, duel_shape item, duel_vars *vars,
                            duel_dtype real) {
  *m = (duel_model){.recipe = recipe};
  duel_status status = open_model(m, item, vars, real);
  if (status != DUEL_OK) duel_model_close(m);
  return status;
}

void duel_model_close(duel_model *m) {
  for (int player = 0; player < DUEL_PLAYERS; player++) {
    duel_free(m->player[player].param);
    duel_free(m->player[player].row);
  }
  *m = (duel_model){0};
}

// ---- initial values

// fl(fl(2u − 1)·scale) + offset, or fl(n·scale) + offset, each operation rounded to float.
void duel_param_init(const duel_param *p, uint64_t seed, float *dst) {
  int64_t count = duel_shape_count(p->shape);
  const duel_chosen *init = p->start.init;
  duel_filling f = {DUEL_FIXED, (float)p->start.value, 0};
  if (init) f = duel_init_of(init)->fill(init, (double)p->fan_in, (double)p->fan_out);
  duel_draw draw = {.seed = seed, .t = 0, .purpose = DUEL_PURPOSE_INIT, .k = (uint32_t)p->ordinal};
  if (f.draw == DUEL_UNIFORM) {
    duel_draw_uniform(draw, 0, count, dst);
    for (int64_t i = 0; i < count; i++) dst[i] = (2 * dst[i] - 1) * f.scale + f.offset;
  } else if (f.draw == DUEL_NORMAL) {
    duel_draw_normal(draw, 0, count, dst);
    for (int64_t i = 0; i < count; i++) dst[i] = dst[i] * f.scale + f.offset;
  } else {
    for (int64_t i = 0; i < count; i++) dst[i] = f.offset;
  }
}

// ---- printing

// "1,234,567"; the text lives in `text`.
static const char *grouped(int64_t n, char text[32]) {
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%lld", (long long)n), out = 0;
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0) text[out++] = ',';
    text[out++] = digits[i];
  }
  text[out] = 0;
  return text;
}

// Columns are padded by what a reader sees: × takes two bytes but one place.
static void print_padded(FILE *out, const char *text, int width) {
  int seen = 0;
  for (const char *c = text; *c; c++) seen += ((unsigned char)*c & 0xC0) != 0x80;
  fprintf(out, "%s%*s", text, width > seen ? width - seen : 0, "");
}

void duel_model_print(const duel_model *m, FILE *out) {
  char text[32];
  int path = 14, kind = 12, output = 10; // widths of the columns
  for (int which = 0; which < DUEL_PLAYERS; which++)
    for (int i = 0; i < m->player[which].n_rows; i++) {
      const duel_layer_row *row = &m->player[which].row[i];
      int length = (int)strlen(row->path), name = (int)strlen(row->kind),
          shape = (int)strlen(duel_shape_text(row->output));
      if (length > path) path = length;
      if (name > kind) kind = name;
      if (shape > output) output = shape;
    }
  for (int which = 0; which < DUEL_PLAYERS; which++) {
    const duel_player *player = &m->player[which];
    bool g = which == DUEL_G;
    fprintf(out, "%-*s  %-*s  %-*s  %10s\n", path, g ? "generator" : "discriminator", kind, "layer", output, "output",
            "parameters");
    fprintf(out, "%-*s  %-*s  ", path, g ? "latent" : "item", kind, "");
    print_padded(out, duel_shape_text(g ? DUEL_SHAPE(m->recipe->latent) : m->item), output);
    fprintf(out, "  %10s\n", "-");
    for (int i = 0; i < player->n_rows; i++) {
      const duel_layer_row *row = &player->row[i];
      fprintf(out, "%-*s  %-*s  ", path, row->path, kind, row->kind);
      print_padded(out, duel_shape_text(row->output), output);
      fprintf(out, "  %10s\n", row->params ? grouped(row->params, text) : "-");
    }
    fprintf(out, "%-*s  %10s\n\n", path + kind + output + 4, "total", grouped(player->params, text));
  }
}
