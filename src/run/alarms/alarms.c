#include "run/alarms/alarms.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gan/games/game.h"
#include "gan/losses.h"

enum { READS = 3 };

typedef struct view { // what an alarm sees of a tick
  const duel_alarm_facts *facts;
  double x[READS]; // the scalars that it reads
  bool begins;     // it was not seen before
  double first;    // x[0] when it was first seen
  double most;     // the largest x[0] of all ticks so far
  int64_t since;   // and the step then
  int net;
} view;

// ---- the game gan

enum { G, D };

// Share of the way from a D that has won to one that cannot tell.
static double d_level(const view *v, double d_loss) {
  return (d_loss - v->facts->won) / (v->facts->blind - v->facts->won);
}

static bool d_wins(const view *v) {
  return d_level(v, v->x[0]) < 3e-4;
}

// So far a D may well be ahead for some hundred steps: dcgan-64 begins so.
static bool d_leads(const view *v) {
  return d_level(v, v->x[0]) < 0.005 && !d_wins(v);
}

static void say_d_wins(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "D tells all fakes: its loss is %.4f since step %" PRId64 ", G's %.4g, and G no longer learns; try a lower "
           "rate for D, D.optim.lr=%.2g",
           v->x[0], v->since, v->x[1], v->facts->rate[D] / 4);
}

static const double FOOLED = 0.99; // mean sign of D's output

static bool d_fooled(const view *v) {
  return v->facts->signs && v->x[0] > FOOLED && d_level(v, v->x[1]) > 4;
}

static void say_d_fooled(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "D takes all fakes for real items since step %" PRId64
           " (its loss on them is %.4g), so G learns nothing from "
           "it; try a higher rate for D, D.optim.lr=%.2g, or train.d_steps=2",
           v->since, v->x[1], v->facts->rate[D] * 4);
}

// G's items are nearly one, or were many kinds and now are a few.
static bool collapsed(const view *v) {
  const double spread = v->x[0] / v->x[1], most = v->most / v->x[1];
  return (spread < 0.02 && v->x[0] < 2 * v->first) || (spread < 0.2 && most > 0.5);
}

// Small weights begin so too, and dcgan-64 stays so for some hundred steps.
static bool narrow(const view *v) {
  return v->x[0] < 0.4 * v->x[1] && v->x[0] < 1.2 * v->first && !collapsed(v);
}

static void say_collapsed(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "G makes too few different items since step %" PRId64
           ": two of them differ by %.2g, two of the data by %.2g; try a "
           "lower rate for G, G.optim.lr=%.2g, a larger train.batch, or begin anew with another train.seed",
           v->since, v->x[0], v->x[1], v->facts->rate[G] / 4);
}

static bool saturated(const view *v) {
  return 1 - v->x[0] < 0.4 * (1 - v->x[1]);
}

static void say_saturated(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "%.1f %% of G's numbers are at the ends of what its last layer can yield since step %" PRId64
           ", %.1f %% of the data's are: there it hardly learns; try a smaller init of G, G.init={name: normal, std: "
           "0.02}, or a lower rate, G.optim.lr=%.2g",
           100 * v->x[0], v->since, 100 * v->x[1], v->facts->rate[G] / 4);
}

// A G that nothing teaches yields the same, but for batchnorm's running averages.
static bool unchanged(const view *v) {
  return fabs(v->x[0] - v->first) <= 0.004 * v->first;
}

static bool stuck(const view *v) {
  return v->x[0] > 0.1 * v->x[1] && unchanged(v);
}

static void say_stuck(const view *v, char *text, size_t n) {
  snprintf(
      text, n,
      "G stands still since step %" PRId64 ": its items are %.2g apart from the data all along, two of which differ by "
      "%.2g; see whether its rate, G.optim.lr=%.2g, and ema.half_life fit the length of the run, and whether D learns",
      v->since, v->x[0], v->x[1], v->facts->rate[G]);
}

// It may first move away, as points do that spread over the whole plane.
static bool lost(const view *v) {
  return v->x[0] > 0.2 * v->x[1] && v->x[0] > 0.75 * v->first && (v->begins || !unchanged(v));
}

static void say_lost(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "G's items come no nearer to the data since step %" PRId64
           ": %.2g apart, two of the data differ by %.2g; try "
           "lower rates, G.optim.lr=%.2g and D.optim.lr=%.2g, or larger nets",
           v->since, v->x[0], v->x[1], v->facts->rate[G] / 4, v->facts->rate[D] / 4);
}

// As only a G without bounds can. One that began far away comes nearer soon.
static bool away(const view *v) {
  return v->x[0] > 2 * v->x[1] && v->x[0] > 0.9 * v->most;
}

static void say_away(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "G runs away from the data since step %" PRId64
           ": its items are %.2g apart from them, two of the data differ by %.2g; try a lower rate for G, "
           "G.optim.lr=%.2g, or let it end in tanh",
           v->since, v->x[0], v->x[1], v->facts->rate[G] / 10);
}

// Both lose at times; where D takes all fakes for real items, that is another alarm.
static bool unsteady(const view *v) {
  return d_level(v, v->x[0]) > 2 && v->x[1] > v->facts->blind && (!v->facts->signs || v->x[2] < FOOLED);
}

static void say_unsteady(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "D's loss is %.3g, in ticks since step %" PRId64
           " more than twice the %.2g of a D that cannot tell, G's %.3g: each "
           "throws the other off; try lower rates, G.optim.lr=%.2g and D.optim.lr=%.2g",
           v->x[0], v->since, v->facts->blind, v->x[1], v->facts->rate[G] / 4, v->facts->rate[D] / 4);
}

// ---- all games

// A D without one has won.
static bool no_gradient(const view *v) {
  return v->x[0] < 1e-8 && !(v->net == D && isfinite(v->facts->won));
}

static void say_no_gradient(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "%s learns nothing since step %" PRId64
           ": its gradient is %.2g; where a layer has become constant (relu with "
           "nothing above 0, tanh or sigmoid at its ends) begin anew with a lower optim.lr or another init",
           v->facts->net[v->net], v->since, v->x[0]);
}

static bool guesses(const view *v) {
  return v->x[0] > 0.98 * v->facts->guess;
}

static void say_guesses(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "C guesses: its loss is %.4f since step %" PRId64
           ", and %.4f without looking at the items; try another rate, "
           "optim.lr=%.2g, and see whether the labels belong to the items",
           v->x[0], v->since, v->facts->guess, v->facts->rate[0] / 4);
}

// Fewer are missed as it learns: no less than at first.
static bool misses(const view *v) {
  return v->x[0] > 0 && v->x[0] >= v->first;
}

static void say_misses(const view *v, char *text, size_t n) {
  const int class = (int)v->x[1], others = (int)v->x[0] - 1;
  char name[80] = "", more[40] = "";
  if (v->facts->class_name) snprintf(name, sizeof name, " (%.60s)", v->facts->class_name[class]);
  if (others > 0) snprintf(more, sizeof more, ", nor for %d other%s", others, others == 1 ? "" : "s");
  snprintf(text, n,
           "C takes no item of the test set for class %d%s%s of the %d since step %" PRId64
           ": where a class has few items, give it more (copies of them will do); else try another rate, "
           "optim.lr=%.2g, and see whether the labels belong to the items",
           class, name, more, (int)v->facts->classes, v->since, v->facts->rate[0] / 4);
}

static bool by_heart(const view *v) {
  return v->x[0] - v->x[1] > 0.3;
}

static void say_by_heart(const view *v, char *text, size_t n) {
  snprintf(text, n,
           "C knows its items by heart: %.1f %% of them are right, of the test set %.1f %%, since step %" PRId64
           "; try "
           "train.noise=0.4, dropout, weight_decay in optim, or more data",
           100 * v->x[0], 100 * v->x[1], v->since);
}

// ---- the table

// A scalar whose name ends in '_' goes on with the net's letter. A tick without one of them says nothing.
typedef struct row {
  const char *name;
  const char *reads[READS]; // scalars
  bool each_net;            // it is looked for in every net
  int ticks, steps;         // that must have seen it; from the first of them to the last
  bool (*seen)(const view *v);
  void (*say)(const view *v, char *text, size_t n);
} row;

static const row rows[] = {{"d_wins", {"d_loss", "g_loss"}, false, 3, 20, d_wins, say_d_wins},
                           {"d_leads", {"d_loss", "g_loss"}, false, 8, 500, d_leads, say_d_wins},
                           {"d_fooled", {"sign_fake", "d_loss_fake"}, false, 3, 20, d_fooled, say_d_fooled},
                           {"g_collapsed", {"spread_fake", "spread_real"}, false, 3, 50, collapsed, say_collapsed},
                           {"g_narrow", {"spread_fake", "spread_real"}, false, 8, 700, narrow, say_collapsed},
                           {"g_saturated", {"ends_fake", "ends_real"}, false, 3, 20, saturated, say_saturated},
                           {"g_stuck", {"apart", "spread_real"}, false, 8, 200, stuck, say_stuck},
                           {"g_lost", {"apart", "spread_real"}, false, 8, 1000, lost, say_lost},
                           {"g_away", {"apart", "spread_real"}, false, 4, 150, away, say_away},
                           {"unsteady", {"d_loss", "g_loss", "sign_fake"}, false, 3, 20, unsteady, say_unsteady},
                           {"no_gradient", {"grad_norm_"}, true, 3, 20, no_gradient, say_no_gradient},
                           {"c_guesses", {"loss"}, false, 6, 300, guesses, say_guesses},
                           {"c_misses", {"test.missed", "test.missed_class"}, false, 4, 200, misses, say_misses},
                           {"c_by_heart", {"accuracy", "test.accuracy"}, false, 3, 20, by_heart, say_by_heart}};
enum { ROWS = sizeof rows / sizeof *rows };
_Static_assert((int)ROWS <= (int)DUEL_MAX_ALARMS, "all have a place");

// ---- ticks

static bool find(const duel_scalar *scalar, int n, const char *name, const char *end, double *value) {
  char whole[2 * DUEL_SCALAR_NAME];
  snprintf(whole, sizeof whole, "%s%s", name, end);
  for (int i = 0; i < n; i++) {
    if (strcmp(scalar[i].name, whole) != 0) continue;
    *value = scalar[i].value;
    return true;
  }
  return false;
}

static bool read(const row *r, view *v, const duel_scalar *scalar, int n) {
  for (int i = 0; i < READS && r->reads[i]; i++) {
    const char *name = r->reads[i], *end = name[strlen(name) - 1] == '_' ? v->facts->lower[v->net] : "";
    if (!find(scalar, n, name, end, &v->x[i])) return false;
  }
  return true;
}

void duel_alarms_tick(duel_alarms *a, int64_t step, const duel_scalar *scalar, int n, duel_alarm_tell *tell,
                      void *ctx) {
  char text[DUEL_ALARM_TEXT];
  for (int i = 0; i < ROWS; i++)
    for (int net = 0; net < (rows[i].each_net ? a->facts.n_nets : 1); net++) {
      const row *r = &rows[i];
      if (a->facts.frozen && !r->each_net) continue; // the others are no match for it, and need not be
      view v = {.facts = &a->facts, .since = step, .net = net};
      if (a->at[i][net].told || !read(r, &v, scalar, n)) continue;
      const bool begins = a->at[i][net].ticks == 0;
      v.begins = begins;
      v.most = a->at[i][net].most = fmax(a->at[i][net].most, v.x[0]);
      v.first = begins ? v.x[0] : a->at[i][net].first;
      if (!r->seen(&v)) {
        a->at[i][net].ticks -= !begins; // one good tick among bad ones does not end it
        continue;
      }
      if (begins) a->at[i][net].since = step;
      if (begins) a->at[i][net].first = v.first;
      v.since = a->at[i][net].since;
      if (++a->at[i][net].ticks < r->ticks || step - v.since < r->steps) continue;
      a->at[i][net].told = true;
      r->say(&v, text, sizeof text);
      tell(ctx, r->name, text);
    }
}

void duel_alarms_begin(duel_alarms *a, const duel_trainer *t, const duel_look *look, duel_alarm_tell *tell, void *ctx) {
  const duel_recipe *r = t->recipe;
  const duel_game *game = t->model.game;
  *a = (duel_alarms){.facts = {.n_nets = r->n_nets, .blind = (double)NAN, .won = (double)NAN, .guess = (double)NAN}};
  for (int net = 0; net < r->n_nets; net++) {
    a->facts.net[net] = r->net[net].name;
    a->facts.lower[net] = t->model.net[net].lower;
    a->facts.rate[net] = duel_alarms_rate(r, net);
    a->facts.frozen |= t->model.net[net].slab < 0;
  }
  const duel_loss *loss = game->kind.losses == &duel_losses ? duel_loss_of(&r->loss) : NULL;
  a->facts.signs = loss && loss->signs;
  if (loss && loss->ends) {
    const duel_loss_ends levels = loss->ends(&r->loss);
    a->facts.blind = levels.blind;
    a->facts.won = levels.won;
  }
  if (game->tests >= 0 && t->model.classes > 1) a->facts.guess = log((double)t->model.classes);
  a->facts.classes = t->model.classes;
  a->facts.class_name = t->data->class_name;
  duel_alarms_start(t, look, tell, ctx);
}
