// The game classifier: one net C learns which class an item is of, by softmax cross-entropy. Its accuracy on a test set
// is a scalar; with noise in training it may judge generated items too.
#include "base/rng.h"
#include "gan/games/game.h"

enum { C };
enum { NOISE };                         // the game's keys
enum { LABEL_SMOOTHING };               // the loss's
enum { SLOT_LEVEL = 4094, SLOT_NOISE }; // of purpose 9, in the pass that reads the items

static const duel_key keys[] = {{"noise", DUEL_KEY_NUMBER, "0", 0, 1e6, NULL,
                                 "normal noise on training items, its level uniform up to this, one an item"},
                                {.name = NULL}};
static const char *const nets[] = {"C", NULL};
static const duel_key keys_cross_entropy[] = {
    {"label_smoothing", DUEL_KEY_NUMBER, "0", 0, DUEL_BELOW_1, NULL, "share of the target that all classes have alike"},
    {.name = NULL}};
static const duel_kind losses[] = {
    {"cross_entropy", NULL, keys_cross_entropy, "softmax cross-entropy on one logit a class"}, {.name = NULL}};
static const duel_table loss_table = {losses, sizeof *losses, "loss"};

static duel_status declare(duel_model *m, duel_shape item) {
  duel_shape logits = {0};
  m->item = item;
  DUEL_TRY(duel_model_declare(m, C, item, &logits));
  if (m->labels > 0)
    return duel_fail(DUEL_ERR_USAGE, "C reads the labels that it is to tell; leave label, projection and "
                                     "class_batchnorm out");
  if (logits.rank == 1 && logits.dim[0] == m->classes) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE,
                   "C yields %s an item but must yield one number a class, and the data have %lld; let it end with "
                   "dense: $classes",
                   duel_shape_text(logits), (long long)m->classes);
}

static int64_t items(const duel_recipe *r) {
  return r->train.batch;
}

static int updates(const duel_recipe *r, int net) {
  (void)r, (void)net;
  return 1;
}

// x + level·N(0, 1), the level of each item uniform up to `most`.
static duel_val with_noise(duel_step *s, duel_val x, double most) {
  duel_graph *g = s->g;
  const duel_shape shape = duel_val_shape(g, x);
  duel_shape each = {.rank = shape.rank};
  each.dim[0] = shape.dim[0];
  for (int i = 1; i < each.rank; i++) each.dim[i] = 1;
  const uint32_t k = (uint32_t)(4096 * s->forwards); // of the pass to come
  const duel_val level = duel_step_uniform(s, DUEL_PURPOSE_NOISE, k + SLOT_LEVEL, DUEL_SHAPE(shape.dim[0]));
  const duel_val normal = duel_step_normal(s, DUEL_PURPOSE_NOISE, k + SLOT_NOISE, shape);
  return duel_add(g, x, duel_mul(g, normal, duel_reshape(g, duel_affine(g, level, most, 0), each)));
}

static void train(duel_step *s) {
  const double noise = s->r->game.value[NOISE].number[0], smoothing = s->r->loss.value[LABEL_SMOOTHING].number[0];
  while (duel_step_shard(s)) {
    duel_val x = duel_step_real(s, 0);
    const duel_val labels = duel_step_labels(s, 0);
    if (noise > 0) x = with_noise(s, x, noise);
    const duel_val logits = duel_step_forward(s, C, x), loss = duel_softmax_ce(s->g, logits, labels, smoothing);
    duel_step_report(s, "loss", "loss", DUEL_MEAN, loss, DUEL_REPORT_SUM, 1);
    duel_step_report(s, "accuracy", "accuracy", DUEL_MEAN, duel_hits(s->g, logits, labels), DUEL_REPORT_SUM,
                     1 / (double)duel_step_rows(s));
    duel_step_descend(s, C, loss);
  }
  duel_step_report(s, "grad_norm_c", NULL, DUEL_ROOT_LAST, duel_step_update(s, C), DUEL_REPORT_SUM, 1);
  duel_step_average(s, C);
}

const duel_game duel_game_classifier = {
    .kind = {.kind = {"classifier", NULL, keys, "C tells the classes of items apart"},
             .nets = nets,
             .generator = "C",
             .losses = &loss_table,
             .tested = true},
    .declare = declare,
    .items = items,
    .updates = updates,
    .train = train,
    .samples = -1,
    .labels = true,
    .tests = C};
