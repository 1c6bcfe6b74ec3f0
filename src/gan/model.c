// Declares the model by walking its layers once in a throwaway graph, lays out the slabs, and draws the initial
// weights.
#include "gan/model.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "gan/games/game.h"
#include "gan/inits.h"
#include "gan/layers/layers.h"
#include "gan/optimizers.h"

// ---- declaring

duel_status duel_model_declare(duel_model *m, int net, duel_shape in, duel_shape *out) {
  duel_graph *g;
  duel_vars none = {0};
  if (in.rank + 1 > DUEL_MAX_RANK)
    return duel_fail(DUEL_ERR_USAGE, "%s reads too many sizes", m->recipe->net[net].name);
  duel_shape batch = {.rank = in.rank + 1};
  batch.dim[0] = m->recipe->train.batch / m->recipe->train.shards;
  for (int i = 0; i < in.rank; i++) batch.dim[i + 1] = in.dim[i];
  DUEL_TRY(duel_graph_open(&g, &none, m->real));
  duel_pass pass = {.g = g, .model = m, .net = net, .declare = true, .key = DUEL_NONE};
  const duel_val y = duel_forward(&pass, duel_constant(g, batch, 0));
  const duel_status status = duel_graph_status(g);
  if (status == DUEL_OK) {
    const duel_shape whole = duel_val_shape(g, y);
    *out = (duel_shape){.rank = whole.rank - 1};
    for (int i = 0; i < out->rank; i++) out->dim[i] = whole.dim[i + 1];
  }
  m->net[net].reads = in;
  duel_graph_close(g);
  return status;
}

duel_status duel_model_state(duel_model *m, const char *name) {
  if (m->n_states == DUEL_MAX_STATES) return duel_fail(DUEL_ERR_INTERNAL, "%s: no room for more state", name);
  m->state[m->n_states++] = (duel_model_state_row){.name = name};
  return DUEL_OK;
}

duel_val duel_model_state_of(const duel_model *m, duel_graph *g, const char *name) {
  for (int i = 0; i < m->n_states; i++)
    if (!strcmp(m->state[i].name, name)) return duel_state(g, m->state[i].var);
  return duel_graph_error(g, "%s: no such state", name);
}

// A tensor's place in a slab, which grows by it.
static int64_t place(int64_t *size, duel_shape shape, duel_dtype real) {
  const int64_t align = DUEL_ALIGN / (int64_t)duel_dtype_size(real), at = *size;
  *size += (duel_shape_count(shape) + align - 1) / align * align;
  return at;
}

// A slab and its moving average, where there is one.
static duel_status add_slab(duel_vars *vars, const duel_net *n, duel_arena arena, const char *what, duel_dtype real,
                            int64_t size, int *var, int *ema) {
  char name[160];
  const duel_shape slab = DUEL_SHAPE(size);
  *var = *ema = -1;
  if (size == 0) return DUEL_OK;
  snprintf(name, sizeof name, "%s%s", n->name, what);
  DUEL_TRY(duel_vars_add(vars, arena, name, real, slab, var));
  snprintf(name, sizeof name, "%s_ema%s", n->name, what);
  return n->ema.on ? duel_vars_add(vars, arena, name, real, slab, ema) : DUEL_OK;
}

static duel_status add_buffer(duel_vars *vars, const duel_net *n, duel_param *p, duel_dtype real) {
  char name[160];
  DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_BUFFER, p->name, real, p->shape, &p->var));
  snprintf(name, sizeof name, "%s_ema%s", n->name, p->name + strlen(n->name));
  return n->ema.on ? duel_vars_add(vars, DUEL_ARENA_BUFFER, name, real, p->shape, &p->ema_var) : DUEL_OK;
}

// Where the net's tensors lie in their slabs, and all its variables.
static duel_status place_net(duel_model *m, int net, duel_vars *vars, duel_dtype real) {
  duel_model_net *own = &m->net[net];
  const duel_net *n = &m->recipe->net[net];
  char name[160];
  for (int i = 0; i < own->n; i++) {
    duel_param *p = &own->param[i];
    if (p->vector) p->offset = place(&own->vectors_size, p->shape, real);
    if (p->buffer && !p->vector) DUEL_TRY(add_buffer(vars, n, p, real));
    if (p->buffer) continue;
    p->ordinal = m->ordinals++;
    p->offset = place(p->frozen ? &own->frozen_size : &own->slab_size, p->shape, real);
    own->params += duel_shape_count(p->shape);
    if (own->params > INT64_C(1) << 34) return duel_fail(DUEL_ERR_USAGE, "%s has more than 2^34 parameters", n->name);
  }
  if (own->params == 0)
    return duel_fail(DUEL_ERR_USAGE, "%s has no parameters to learn; give it at least one dense layer", n->name);
  DUEL_TRY(add_slab(vars, n, DUEL_ARENA_PARAM, "", real, own->slab_size, &own->slab, &own->ema));
  DUEL_TRY(add_slab(vars, n, DUEL_ARENA_PARAM, ".frozen", real, own->frozen_size, &own->frozen, &own->frozen_ema));
  DUEL_TRY(add_slab(vars, n, DUEL_ARENA_BUFFER, ".vectors", real, own->vectors_size, &own->vectors, &own->vectors_ema));
  for (int i = 0; i < own->n; i++) {
    duel_param *p = &own->param[i];
    if (p->buffer && !p->vector) continue;
    p->var = p->vector ? own->vectors : p->frozen ? own->frozen : own->slab;
    p->ema_var = p->vector ? own->vectors_ema : p->frozen ? own->frozen_ema : own->ema;
  }
  for (int k = 0; k < DUEL_MAX_MOMENTS; k++) {
    own->moment[k] = -1;
    snprintf(name, sizeof name, "opt.%s.%c", n->name, "mv"[k]);
    if (k < duel_optimizer_of(&n->optim)->moments && own->slab >= 0)
      DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_OPT, name, real, DUEL_SHAPE(own->slab_size), &own->moment[k]));
  }
  return DUEL_OK;
}

bool duel_model_reads_labels(const duel_model *m) {
  return m->game->labels || m->labels > 0;
}

bool duel_model_stands(const duel_model *m) {
  const int net = m->game->samples;
  if (net < 0 || !m->recipe->net[net].ema.on || m->recipe->net[net].ema.buffers != DUEL_BUFFERS_STANDING) return false;
  for (int i = 0; i < m->net[net].n; i++)
    if (m->net[net].param[i].buffer && !m->net[net].param[i].vector) return true;
  return false;
}

static duel_status check_average(const duel_model *m, int net) {
  const duel_net *n = &m->recipe->net[net];
  if (!n->ema.on || n->ema.buffers != DUEL_BUFFERS_STANDING || net == m->game->samples) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE,
                   "ema.buffers: standing statistics are measured with latents, which %s does not read; let its "
                   "ema.buffers be copy or average",
                   n->name);
}

static void name_net(duel_model_net *p, const char *name) {
  size_t i = 0;
  for (; name[i] && i + 1 < sizeof p->lower; i++) p->lower[i] = (char)tolower((unsigned char)name[i]);
  p->lower[i] = 0;
  snprintf(p->coef_name, sizeof p->coef_name, "coef.%.16s", name);
  snprintf(p->average_name, sizeof p->average_name, "average.%.15s", name);
}

static duel_status open_model(duel_model *m, duel_shape item, duel_vars *vars) {
  const duel_recipe *r = m->recipe;
  DUEL_TRY(duel_shards_check(r->train.batch, r->train.shards));
  for (int net = 0; net < r->n_nets; net++) {
    name_net(&m->net[net], r->net[net].name);
    m->net[net].share = 1;
  }
  DUEL_TRY(m->game->declare(m, item));
  for (int net = 0; net < r->n_nets; net++) DUEL_TRY(check_average(m, net));
  bool learns = item.rank == 0; // from a checkpoint alone nothing is to
  for (int net = 0; net < r->n_nets; net++) {
    DUEL_TRY(place_net(m, net, vars, m->real));
    learns |= m->net[net].slab >= 0;
  }
  if (!learns)
    return duel_fail(DUEL_ERR_USAGE,
                     "all that could learn is frozen; leave frozen out of one net, as in %s.frozen=false",
                     r->net[0].name);
  for (int i = 0; i < m->n_states; i++)
    DUEL_TRY(duel_vars_add(vars, DUEL_ARENA_BUFFER, m->state[i].name, m->real, DUEL_SCALAR, &m->state[i].var));
  for (int net = 0; net < r->n_nets; net++)
    for (int i = 0; i < m->net[net].n; i++)
      if (m->net[net].param[i].vector) m->net[net].param[i].ordinal = m->ordinals++;
  return DUEL_OK;
}

duel_status duel_model_open(duel_model *m, const duel_recipe *recipe, duel_shape item, int64_t classes, duel_vars *vars,
                            duel_dtype real) {
  *m = (duel_model){.recipe = recipe, .game = duel_game_of(recipe), .classes = classes, .augmented = -1, .real = real};
  const duel_status status = open_model(m, item, vars);
  if (status != DUEL_OK) duel_model_close(m);
  return status;
}

void duel_model_close(duel_model *m) {
  for (int net = 0; net < DUEL_MAX_NETS; net++) {
    duel_free(m->net[net].param);
    duel_free(m->net[net].row);
  }
  *m = (duel_model){0};
}

// ---- initial values

// fl(fl(2u − 1)·scale) + offset, or fl(n·scale) + offset, each operation rounded to float.
duel_status duel_param_init(const duel_param *p, uint64_t seed, float *dst) {
  int64_t count = duel_shape_count(p->shape);
  const duel_chosen *init = p->start.init;
  duel_filling f = {DUEL_FIXED, (float)p->start.value, 0};
  if (init) f = duel_init_of(init)->fill(init, (double)p->fan_in, (double)p->fan_out);
  duel_draw draw = {.seed = seed, .t = 0, .purpose = DUEL_PURPOSE_INIT, .k = (uint32_t)p->ordinal};
  f.offset = (float)((double)f.offset * p->start_scale);
  f.scale = (float)((double)f.scale * p->start_scale);
  if (f.draw == DUEL_UNIFORM) {
    duel_draw_uniform(draw, 0, count, dst);
    for (int64_t i = 0; i < count; i++) dst[i] = (2 * dst[i] - 1) * f.scale + f.offset;
  } else if (f.draw == DUEL_FIXED) {
    for (int64_t i = 0; i < count; i++) dst[i] = f.offset;
  } else {
    duel_draw_normal(draw, 0, count, dst);
    if (f.draw == DUEL_ORTHOGONAL) DUEL_TRY(duel_orthogonal(p->shape.dim[0], count / p->shape.dim[0], dst));
    for (int64_t i = 0; i < count; i++) dst[i] = dst[i] * f.scale + f.offset;
  }
  return DUEL_OK;
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

void duel_model_print(const duel_model *m, FILE *out) {
  char text[32];
  int path = 14, kind = 12, output = 10; // widths of the columns
  for (int net = 0; net < m->recipe->n_nets; net++)
    for (int i = 0; i < m->net[net].n_rows; i++) {
      const duel_layer_row *row = &m->net[net].row[i];
      int length = (int)strlen(row->path), name = (int)strlen(row->kind),
          shape = (int)strlen(duel_shape_text(row->output));
      if (length > path) path = length;
      if (name > kind) kind = name;
      if (shape > output) output = shape;
    }
  for (int net = 0; net < m->recipe->n_nets; net++) {
    const duel_model_net *own = &m->net[net];
    fprintf(out, "%-*s  %-*s  %-*s  %10s\n", path, m->recipe->net[net].name, kind, "layer", output, "output",
            "parameters");
    fprintf(out, "%-*s  %-*s  ", path, "reads", kind, "");
    duel_print_padded(out, duel_shape_text(own->reads), output);
    fprintf(out, "  %10s\n", "-");
    for (int i = 0; i < own->n_rows; i++) {
      const duel_layer_row *row = &own->row[i];
      fprintf(out, "%-*s  %-*s  ", path, row->path, kind, row->kind);
      duel_print_padded(out, duel_shape_text(row->output), output);
      fprintf(out, "  %10s%s\n", row->params ? grouped(row->params, text) : "-", row->frozen ? "  frozen" : "");
    }
    fprintf(out, "%-*s  %10s\n\n", path + kind + output + 4, "total", grouped(own->params, text));
  }
}
