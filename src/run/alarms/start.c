// Alarms that recipe and data give before the first step: what can only fail is said at once.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gan/games/game.h"
#include "gan/losses.h"
#include "gan/optimizers.h"
#include "gan/penalties.h"
#include "run/alarms/alarms.h"

typedef struct start { // what they see
  const duel_trainer *t;
  const duel_look *look;
  int net;
  char *text;
  size_t n;
} start;

#define SAY(s, ...) (snprintf((s)->text, (s)->n, __VA_ARGS__), true)

// ---- the data

static bool data_alike(const start *s) {
  if (s->look->distance > 0) return false;
  if (s->t->items == 1) return SAY(s, "the data set %s has one item: there is nothing else to learn", s->t->data->name);
  return SAY(s, "all of the %lld items of %s that were looked at are the same: G can learn no more than this one",
             (long long)(s->t->items < s->look->n ? s->t->items : s->look->n), s->t->data->name);
}

// Where the numbers are likely to have come from: bytes and shares are known by their size.
static void guess_range(double *low, double *high) {
  if (*low < 0) return;
  if (*high <= 1) *low = 0, *high = 1;
  if (*high > 16 && *high <= 255) *low = 0, *high = 255;
}

// Floats are taken as they are, so that their unit may be wrong: they shall reach over more than half of what G can
// yield. Bytes have one: where they reach over less than a third, a mask of 0 and 1 or the like was taken for a
// picture.
static const double FLOATS_REACH = 0.6, BYTES_REACH = 0.3;
static const double BEYOND = 0.05; // of G's reach
static const double LARGE = 16;    // where nothing bounds G

static bool scale(const start *s, double low, double high, const char *why) {
  double from = low, to = high;
  guess_range(&from, &to);
  const char *last = s->look->reach.layer;
  char yields[80] = "";
  if (last && isfinite(s->look->reach.high))
    snprintf(yields, sizeof yields, ", G's %s from %g to %g", last, s->look->reach.low, s->look->reach.high);
  else if (last)
    snprintf(yields, sizeof yields, ", G's %s from %g up", last, s->look->reach.low);
  if (!s->t->data->is_float)
    return SAY(s, "the bytes of %s go from %.0f to %.0f of 255, a small part of what G yields; save them from 0 to 255",
               s->t->data->name, 127.5 * (low + 1), 127.5 * (high + 1));
  return SAY(s, "the numbers of %s go from %g to %g%s: %s; save (x - %g)/%g in float32, which goes from -1 to 1%s%s",
             s->t->data->name, low, high, yields, why, (from + to) / 2, (to - from) / 2,
             last && !strcmp(last, "tanh") ? "" : ", and let G end in tanh",
             from == 0 && to == 255 ? ", or save bytes" : "");
}

static bool data_range(const start *s) {
  const duel_reach g = s->look->reach;
  const double low = (double)s->look->low, high = (double)s->look->high, reach = g.high - g.low;
  const bool bytes = !s->t->data->is_float;
  if (s->t->model.game->samples < 0 || !(low < high)) return false; // all alike is another alarm
  if (!g.layer) {
    if (fmax(fabs(low), fabs(high)) <= LARGE) return false;
    return scale(s, low, high, "nets learn badly from numbers of this size");
  }
  const double margin = isfinite(reach) ? BEYOND * reach : 0;
  if (low < g.low - margin || high > g.high + margin) {
    if (!bytes) return scale(s, low, high, "G can never meet the data");
    return SAY(s,
               "bytes are trained on as x/127.5 - 1, from -1 to 1, but G's %s yields no number below %g: G can never "
               "meet the data; let G end in tanh",
               g.layer, g.low);
  }
  if (!isfinite(reach) || high - low >= (bytes ? BYTES_REACH : FLOATS_REACH) * reach) return false;
  return scale(s, low, high, "they fill a small part of it, far from G's first items");
}

static bool batch_over_data(const start *s) {
  const duel_trainer *t = s->t;
  const int64_t batch = t->recipe->train.batch;
  const duel_length l = t->recipe->train.length;
  char length[80] = "";
  if (batch <= t->items) return false;
  if (l.unit == DUEL_EPOCHS)
    snprintf(length, sizeof length, ", and %g epochs are %lld step%s", l.n, (long long)t->steps,
             t->steps == 1 ? "" : "s");
  // Batchnorm refuses a batch of one.
  char batches[64] = "";
  if (t->items > 1) snprintf(batches, sizeof batches, "train.batch=%lld and ", (long long)t->items);
  return SAY(s,
             "the batch (%lld) is larger than the data set (%lld item%s): a step passes it %.3g times%s; set "
             "%strain.length=1000",
             (long long)batch, (long long)t->items, t->items == 1 ? "" : "s", (double)batch / (double)t->items, length,
             batches);
}

// ---- rates, schedules, averages

static const duel_schedule *lr_of(const start *s) {
  return duel_optimizer_lr(&s->t->recipe->net[s->net].optim);
}

double duel_alarms_rate(const duel_recipe *r, int net) {
  const duel_schedule *lr = duel_optimizer_lr(&r->net[net].optim);
  return lr->curve == DUEL_CURVE_CONSTANT ? lr->from : fmax(lr->from, lr->to);
}

static bool same_optimizer(const duel_trainer *t, int a, int b) {
  return t->recipe->net[a].optim.kind == t->recipe->net[b].optim.kind;
}

static const double APART = 100;    // rates of two nets
static const double USUAL = 2e-4;   // rate
static const double BOUNDED = 1e-6; // rate of an optimizer that moves no number by much more
static const double MUCH = 0.5;     // of label smoothing
enum { TRIAL = 100 };               // steps: a shorter run shall show nothing but that it runs

static bool rate(const start *s) {
  const duel_recipe *r = s->t->recipe;
  const double own = duel_alarms_rate(r, s->net);
  const char *name = r->net[s->net].name;
  if (own <= 0) return SAY(s, "%s never moves: its rate is 0; set %s.optim.lr=0.0002", name, name);
  for (int net = 0; net < r->n_nets; net++) {
    const double other = duel_alarms_rate(r, net);
    if (!same_optimizer(s->t, net, s->net) || own * APART >= other) continue;
    const int wrong = fabs(log(own / USUAL)) > fabs(log(other / USUAL)) ? s->net : net;
    return SAY(s, "%s moves %.3g times as slowly as %s, whose rate is %g: it will hardly learn; set %s.optim.lr=%g",
               name, other / own, r->net[net].name, other, r->net[wrong].name, wrong == net ? own : other);
  }
  if (own < BOUNDED && duel_optimizer_of(&r->net[s->net].optim)->bounded)
    return SAY(
        s,
        "%s hardly moves: with its rate of %g all %lld steps move no weight by more than %.2g; set %s.optim.lr=0.0002",
        name, own, (long long)s->t->steps, own * (double)s->t->steps, name);
  return false;
}

static bool schedule(const start *s) {
  const duel_trainer *t = s->t;
  const duel_schedule *lr = lr_of(s);
  const int64_t per_step = duel_trainer_items_per_step(t);
  const int64_t warmup = duel_length_steps(lr->warmup, per_step, t->items);
  const char *name = t->recipe->net[s->net].name;
  if (t->steps < TRIAL) return false;
  if (warmup >= t->steps)
    return SAY(s,
               "the run ends before %s's rate has warmed up: after %lld of %lld steps; set train.length to more, or a "
               "rate without warmup, %s.optim.lr=%g",
               name, (long long)t->steps, (long long)warmup, name, lr->from);
  if (lr->curve == DUEL_CURVE_CONSTANT || lr->over.n <= 0) return false;
  const int64_t over = duel_length_steps(lr->over, per_step, t->items);
  if (t->steps - warmup >= over / 2) return false;
  return SAY(s,
             "the run ends long before %s's rate has gone from %g to %g: after %lld of %lld steps; set train.length to "
             "more, or leave `over` out of optim.lr, so that it spans the run",
             name, lr->from, lr->to, (long long)t->steps, (long long)(warmup + over));
}

static bool average(const start *s) {
  const duel_trainer *t = s->t;
  const duel_net *net = &t->recipe->net[s->net];
  const int64_t per_step = duel_trainer_items_per_step(t);
  if (!net->ema.on || t->steps < TRIAL) return false;
  const duel_length end = {net->ema.half_life.to, net->ema.half_life.unit};
  const double half_life = duel_length_images(end, per_step, t->items) / (double)per_step;
  if (half_life <= (double)t->steps) return false;
  return SAY(s,
             "the moving average of %s, which pictures and generate show, hardly moves: half of it is new after %.6g "
             "steps, and the run has %lld; set train.length to more, or ema.half_life=%lld",
             net->name, half_life, (long long)t->steps, (long long)(t->steps / 20 + 1));
}

static const duel_layer *batchnorm_of(const duel_layers *layers);

// Parameters are a mean over many steps, running statistics those of the last few.
static bool average_statistics(const start *s) {
  const duel_trainer *t = s->t;
  const duel_net *net = &t->recipe->net[s->net];
  const duel_layer *norm = batchnorm_of(&net->layers);
  if (!net->ema.on || net->ema.buffers != DUEL_BUFFERS_COPY || !norm || t->steps < TRIAL) return false;
  return SAY(
      s,
      "the moving average of %s takes the running statistics of %s itself (%s), which are those of other weights "
      "(Brock et al. 2019, arXiv:1809.11096, measure them anew); set ema.buffers=%s",
      net->name, net->name, norm->path, s->net == t->model.game->samples ? "standing" : "average");
}

// The smallest momentum of a batchnorm; 1: there is none.
static double least_momentum(const duel_layers *layers) {
  double least = 1;
  for (int i = 0; i < layers->n; i++) {
    const duel_layer *l = &layers->layer[i];
    for (int k = 0; l->kind->keys[k].name; k++) {
      const duel_key_value *value = &l->value[k];
      if (l->kind->keys[k].type == DUEL_KEY_LAYERS && value->n > 0) least = fmin(least, least_momentum(value->layers));
      if (!strcmp(l->kind->name, "batchnorm") && !strcmp(l->kind->keys[k].name, "momentum"))
        least = fmin(least, value->number[0]);
    }
  }
  return least;
}

// What pictures, tests and generate see is the net with its running averages.
static bool batchnorm(const start *s) {
  const duel_trainer *t = s->t;
  const int shown = t->model.game->samples >= 0 ? t->model.game->samples : t->model.game->tests;
  if (shown < 0 || t->steps < TRIAL) return false;
  const double momentum = least_momentum(&t->recipe->net[shown].layers);
  if (momentum * (double)t->steps >= 3) return false;
  return SAY(s,
             "the running averages of a batchnorm of %s, which pictures, tests and generate use, hardly move: with a "
             "momentum of %g %.0f %% of them are still the first after %lld steps; leave momentum out",
             t->recipe->net[shown].name, momentum, 100 * pow(1 - momentum, (double)t->steps), (long long)t->steps);
}

// ---- losses

enum { G, D }; // of the game gan

// The first batchnorm of a net, or NULL.
static const duel_layer *batchnorm_of(const duel_layers *layers) {
  const duel_layer *found = NULL;
  for (int i = 0; i < layers->n && !found; i++) {
    const duel_layer *l = &layers->layer[i];
    if (!strcmp(l->kind->name, "batchnorm")) return l;
    for (int k = 0; l->kind->keys[k].name && !found; k++)
      if (l->kind->keys[k].type == DUEL_KEY_LAYERS && l->value[k].n > 0) found = batchnorm_of(l->value[k].layers);
  }
  return found;
}

static bool penalty_batchnorm(const start *s) {
  const duel_recipe *r = s->t->recipe;
  const duel_layer *norm = batchnorm_of(&r->net[s->net].layers);
  for (int i = 0; i < r->n_penalties && norm && s->net != s->t->model.game->samples; i++) {
    const char *name = r->penalty[i].kind->name;
    if (!duel_penalty_of(&r->penalty[i])->slope) continue;
    return SAY(s,
               "penalty.%s is on the slope of %s at each item, but with batchnorm (%s) an item's output depends on the "
               "whole batch (Gulrajani et al. 2017, arXiv:1704.00028, section 4); use layernorm or instancenorm there",
               name, r->net[s->net].name, norm->path);
  }
  return false;
}

// Losses take logits, and squash them themselves.
static bool logits(const start *s) {
  const duel_trainer *t = s->t;
  const duel_reach reach = duel_layers_reach(&t->recipe->net[s->net].layers);
  const char *name = t->recipe->net[s->net].name;
  if (!t->model.game->kind.losses || s->net == t->model.game->samples || !reach.layer) return false;
  return SAY(s, "%s ends in %s, but the loss %s takes logits, numbers without bounds: leave the %s at its end out",
             name, reach.layer, t->recipe->loss.kind->name, reach.layer);
}

static bool labels(const start *s) {
  const duel_chosen *loss = &s->t->recipe->loss;
  if (!s->t->model.game->kind.losses) return false;
  for (int k = 0; loss->kind->keys[k].name; k++) {
    const char *name = loss->kind->keys[k].name;
    if (!strncmp(name, "label_", 6) && loss->value[k].number[0] >= MUCH)
      return SAY(s, "with loss.%s=%g the targets hardly tell one side from the other; set loss.%s=0.1", name,
                 loss->value[k].number[0], name);
  }
  return false;
}

static bool kept_flat(const duel_trainer *t, int net) {
  const duel_model_net *own = &t->model.net[net];
  bool flat = duel_loss_clip(&t->recipe->loss) > 0;
  for (int i = 0; i < t->recipe->n_penalties; i++) flat = flat || duel_penalty_of(&t->recipe->penalty[i])->slope;
  for (int i = 0; i < own->n; i++) flat = flat || own->param[i].spectral;
  return flat;
}

// A loss without ends has a least value only while D cannot be steep.
static bool unbounded(const start *s) {
  const duel_recipe *r = s->t->recipe;
  if (s->t->model.game->kind.losses != &duel_losses || duel_loss_of(&r->loss)->ends || kept_flat(s->t, D)) return false;
  return SAY(s,
             "nothing keeps D from becoming steep, and the loss %s needs that (Arjovsky et al. 2017, arXiv:1701.07875, "
             "section 3); set loss.clip=0.01",
             r->loss.kind->name);
}

// The share of a net's last move that goes on, and what sets it to none.
static double momentum(const duel_chosen *optim, const char **cure) {
  for (int k = 0; optim->kind->keys[k].name; k++) {
    *cure = !strcmp(optim->kind->keys[k].name, "betas")      ? "betas=[0, 0.99]"
            : !strcmp(optim->kind->keys[k].name, "momentum") ? "momentum=0"
                                                             : NULL;
    if (*cure) return optim->value[k].number[0];
  }
  return 0;
}

static bool clipped_with_momentum(const start *s) {
  const duel_recipe *r = s->t->recipe;
  const char *cure = NULL;
  if (!s->t->model.game->kind.losses || duel_loss_clip(&r->loss) == 0) return false;
  const double share = momentum(&r->net[D].optim, &cure);
  if (share <= 0) return false;
  return SAY(
      s,
      "D is clipped and moves with a momentum of %g, which Arjovsky et al. 2017 (arXiv:1701.07875, section 4) found "
      "unstable; set D.optim.%s",
      share, cure);
}

// ---- the table

static const struct {
  const char *name;
  bool each_net;
  bool (*seen)(const start *s); // and says it
} rows[] = {{"data_alike", false, data_alike},
            {"data_range", false, data_range},
            {"batch_over_data", false, batch_over_data},
            {"rate", true, rate},
            {"schedule", true, schedule},
            {"average", true, average},
            {"average_statistics", true, average_statistics},
            {"batchnorm", false, batchnorm},
            {"logits", true, logits},
            {"labels", false, labels},
            {"unbounded", false, unbounded},
            {"clip", false, clipped_with_momentum},
            {"penalty_batchnorm", true, penalty_batchnorm}};

void duel_alarms_start(const duel_trainer *t, const duel_look *look, duel_alarm_tell *tell, void *ctx) {
  char text[DUEL_ALARM_TEXT];
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (int net = 0; net < (rows[i].each_net ? t->recipe->n_nets : 1); net++)
      if (rows[i].seen(&(start){.t = t, .look = look, .net = net, .text = text, .n = sizeof text}))
        tell(ctx, rows[i].name, text);
}
