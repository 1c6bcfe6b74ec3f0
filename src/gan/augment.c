#include "gan/augment.h"

#include "base/rng.h"
#include "gan/games/game.h"

// ---- the section

enum { FLIP_ALONE, DIFFAUGMENT, ADA };      // policies
enum { PIPE_DEFAULT, PIPE_BGC, PIPE_NONE }; // pipes
enum { POLICY, PIPE, P, TARGET, SPEED, MOST, FILTER, SHARES };
#define SHARE(name, help)                                                                                              \
  { name, DUEL_KEY_NUMBER, "", 0, 1, NULL, help }

static const char ADAPTIVE[] = "adaptive";
static const duel_key keys[] = {
    {"policy", DUEL_KEY_CHOICE, NULL, 0, 0, "flip|diffaugment|ada", "whose changes and laws"},
    {"pipe", DUEL_KEY_CHOICE, "default", 0, 0, "default|bgc|none", "ada: which changes, but for those named here"},
    {"p", DUEL_KEY_SCHEDULE, "", 0, 1, ADAPTIVE, "how probable each change is; ada: adaptive, others: 1"},
    {"target", DUEL_KEY_NUMBER, "0.6", -1, 1, NULL, "adaptive: the mean sign of D on real items that p is moved for"},
    {"speed", DUEL_KEY_NUMBER, "500", DUEL_ABOVE_0, 1e9, NULL, "adaptive: kimg in which p may go from 0 to 1"},
    {"most", DUEL_KEY_NUMBER, "0.8", 0, 1, NULL, "adaptive: p stays at or below it"},
    {"filter", DUEL_KEY_CHOICE, "bilinear", 0, 0, "bilinear|sym6", "ada: how pixels between pixels are made"},
    SHARE("flip", "left and right change places, of half of the items: a share of p, as those below"),
    SHARE("rotate90", "quarter turns"),
    SHARE("shift", "by whole pixels, an eighth of the side at most"),
    SHARE("scale", "larger or smaller"),
    SHARE("rotate", "by any angle"),
    SHARE("stretch", "wider as it gets lower"),
    SHARE("fraction", "a shift by any distance"),
    SHARE("brightness", "a number added"),
    SHARE("saturation", "distance to gray"),
    SHARE("contrast", "times a number"),
    SHARE("luma", "brightness inverted, of half of the items"),
    SHARE("hue", "colors turned around gray"),
    SHARE("cutout", "a quarter of the pixels, in one rectangle, becomes 0"),
    SHARE("noise", "normal noise"),
    {.name = NULL}};
const duel_kind duel_augment_kind = {"augment", "policy", keys, "random changes to what D sees"};

#define BIT(change) (1u << DUEL_##change)
// By policy: all that it has.
static const unsigned known[] = {[FLIP_ALONE] = BIT(FLIP),
                                 [DIFFAUGMENT] =
                                     BIT(BRIGHTNESS) | BIT(SATURATION) | BIT(CONTRAST) | BIT(SHIFT) | BIT(CUTOUT),
                                 [ADA] = (1u << DUEL_CHANGES) - 1};
static const unsigned colors = BIT(SATURATION) | BIT(HUE); // nothing to gray
// By pipe, of ada. The default leaves out what shows in samples: turns, inversion, hue.
static const unsigned pipes[] = {[PIPE_DEFAULT] = BIT(FLIP) | BIT(SHIFT) | BIT(SCALE) | BIT(STRETCH) | BIT(FRACTION) |
                                                  BIT(BRIGHTNESS) | BIT(CONTRAST) | BIT(SATURATION),
                                 [PIPE_BGC] = ((1u << DUEL_CHANGES) - 1) & ~(BIT(CUTOUT) | BIT(NOISE)),
                                 [PIPE_NONE] = 0};

static int number_of(const duel_recipe *r, int key) {
  return (int)r->augment->value[key].number[0];
}
static int policy_of(const duel_recipe *r) {
  return number_of(r, POLICY);
}
static bool is_adaptive(const duel_recipe *r) {
  if (!r->augment) return false;
  const duel_key_value *p = &r->augment->value[P];
  return p->n ? p->text != NULL : policy_of(r) == ADA;
}

// The share of a change, of items with so many channels.
static double share_of(const duel_recipe *r, int change, int64_t channels) {
  const duel_key_value *own = &r->augment->value[SHARES + change];
  const int pipe = number_of(r, PIPE);
  if (own->n) return own->number[0];
  if (channels != 3 && (colors >> change & 1)) return 0;
  const unsigned on = policy_of(r) == ADA || pipe == PIPE_NONE ? pipes[pipe] : known[policy_of(r)];
  return on >> change & 1;
}

static const char state_p[] = "augment.p", state_signs[] = "augment.signs";

static duel_status check_change(const duel_model *m, int change) {
  const duel_recipe *r = m->recipe;
  const int64_t channels = m->item.dim[0];
  const char *name = keys[SHARES + change].name, *policy = r->augment->value[POLICY].text;
  if (!r->augment->value[SHARES + change].n || share_of(r, change, channels) == 0) return DUEL_OK;
  if (!(known[policy_of(r)] >> change & 1))
    return duel_fail(DUEL_ERR_USAGE,
                     "augment.%s: the policy %s has no such change; set augment.policy=ada, or leave it out", name,
                     policy);
  if (channels != 3 && (colors >> change & 1))
    return duel_fail(DUEL_ERR_USAGE,
                     "augment.%s changes colors, but items have %lld %s; leave it out, or set data.channels=3", name,
                     (long long)channels, channels == 1 ? "channel" : "channels");
  return DUEL_OK;
}

duel_status duel_augment_declare(duel_model *m, int net) {
  const duel_recipe *r = m->recipe;
  m->augmented = -1;
  if (!r->augment) return DUEL_OK;
  if (m->item.rank != 3)
    return duel_fail(DUEL_ERR_USAGE,
                     "augment changes images, but the data are points of %s numbers; leave it out, or set augment=null",
                     duel_shape_text(m->item));
  if (policy_of(r) != ADA && number_of(r, PIPE) == PIPE_BGC)
    return duel_fail(DUEL_ERR_USAGE, "augment.pipe: bgc is ada's; set augment.policy=ada, or leave the pipe out");
  if (policy_of(r) != ADA && number_of(r, FILTER) != 0)
    return duel_fail(DUEL_ERR_USAGE, "augment.filter: sym6 is ada's; set augment.policy=ada, or leave the filter out");
  for (int i = 0; i < DUEL_CHANGES; i++) DUEL_TRY(check_change(m, i));
  m->augmented = net;
  if (!is_adaptive(r)) return DUEL_OK;
  DUEL_TRY(duel_model_state(m, state_p));
  return duel_model_state(m, state_signs);
}

// ---- the changes

static duel_val probability(duel_step *s) {
  const duel_key_value *p = &s->r->augment->value[P];
  if (is_adaptive(s->r)) return duel_model_state_of(s->m, s->g, state_p);
  return p->n ? duel_step_scheduled(s, state_p, &p->schedule) : duel_constant(s->g, DUEL_SCALAR, 1);
}

// What happens to a shard's rows.
typedef struct drawn {
  duel_graph *g;
  duel_changes c;
  int64_t rows;
  duel_val map, numbers; // [rows, 2, 3]; [10·rows]
} drawn;

static drawn draw(duel_step *s, duel_val p, duel_changes c, duel_val x) {
  const duel_shape in = duel_val_shape(s->g, x);
  drawn d = {.g = s->g, .c = c, .rows = in.dim[0]};
  d.c.channels = (int32_t)in.dim[1], d.c.height = (int32_t)in.dim[2], d.c.width = (int32_t)in.dim[3];
  duel_val of[2];
  duel_augment(s->g, s->key, p, &d.c, s->shards.at > 0 ? s->shards.at * d.rows : 0, d.rows, of);
  d.map = of[0];
  d.numbers = duel_reshape(s->g, of[1], DUEL_SHAPE(DUEL_CHANGED_NUMBERS * d.rows));
  return d;
}

static bool has(const drawn *d, unsigned changes) {
  for (int i = 0; i < DUEL_CHANGES; i++)
    if ((changes >> i & 1) && d->c.share[i] > 0) return true;
  return false;
}

// One of duel_changed's numbers behind its map, for each row: [rows, 1, 1, 1].
enum { SAME, SUM, NEXT, ADD, CONTRAST, NOISE, TOP, BOTTOM, LEFT, RIGHT };
static duel_val each(const drawn *d, int number) {
  return duel_view(d->g, d->numbers, number * d->rows, DUEL_SHAPE(d->rows, 1, 1, 1));
}

// Symlets of order 6, as ADA has them: convolution up, correlation down. They sum to 1.
static const duel_resampling up_by_sym6 = {
    .mode = DUEL_FIR,
    .fir = {.up = {2, 2},
            .down = {1, 1},
            .pad = {6, 6, 5, 5},
            .taps = 12,
            .gain = 4,
            .tap = {-0.0055159337546900012, 0.0012499610463900003, 0.031625281329940004, -0.014891875649220001,
                    -0.051362484930900017, 0.23895218566605003, 0.55694639196396001, 0.34722898647835004,
                    -0.034161560793240002, -0.083431607705840016, 0.0024683061859200003, 0.010892350163280001}}};
static const duel_resampling down_by_sym6 = {
    .mode = DUEL_FIR,
    .fir = {.up = {1, 1},
            .down = {2, 2},
            .pad = {5, 5, 5, 5},
            .taps = 12,
            .gain = 1,
            .tap = {0.010892350163280001, 0.0024683061859200003, -0.083431607705840016, -0.034161560793240002,
                    0.34722898647835004, 0.55694639196396001, 0.23895218566605003, -0.051362484930900017,
                    -0.014891875649220001, 0.031625281329940004, 0.0012499610463900003, -0.0055159337546900012}}};

static duel_val move(const drawn *d, duel_val x) {
  const unsigned moves =
      BIT(FLIP) | BIT(ROTATE90) | BIT(SHIFT) | BIT(SCALE) | BIT(ROTATE) | BIT(STRETCH) | BIT(FRACTION);
  duel_graph *g = d->g;
  if (!has(d, moves)) return x;
  if (!d->c.twice) return duel_warp2d(g, x, d->map);
  const duel_val twice = duel_resample2d(g, x, &up_by_sym6);
  return duel_resample2d(g, duel_warp2d(g, twice, d->map), &down_by_sym6);
}

// x_{c+2} − x_{c+1}, of three channels counted around.
static duel_val around(const drawn *d, duel_val x) {
  duel_graph *g = d->g;
  duel_val channel[3];
  duel_shape one = duel_val_shape(g, x);
  one.dim[1] = 1;
  for (int i = 0; i < 3; i++) channel[i] = duel_slice(g, x, (int64_t[]){0, i, 0, 0}, one);
  const duel_val two = duel_concat(g, 3, (duel_val[]){channel[2], channel[0], channel[1]}, 1);
  return duel_sub(g, two, duel_concat(g, 3, (duel_val[]){channel[1], channel[2], channel[0]}, 1));
}

static duel_val recolor(const drawn *d, duel_val x) {
  duel_graph *g = d->g;
  const bool ada = d->c.laws == DUEL_LAWS_ADA, mixes = d->c.channels > 1;
  const unsigned mixing = BIT(SATURATION) | (ada ? BIT(LUMA) | BIT(HUE) : 0);
  duel_val y = x;
  if (has(d, (mixes ? mixing : mixing & ~colors) | (ada ? BIT(CONTRAST) : 0))) y = duel_mul(g, each(d, SAME), x);
  if (mixes && has(d, mixing)) y = duel_add(g, y, duel_mul(g, each(d, SUM), duel_reduce_sum(g, x, 1u << 1)));
  if (d->c.channels == 3 && has(d, BIT(HUE))) y = duel_add(g, y, duel_mul(g, each(d, NEXT), around(d, x)));
  if (has(d, BIT(BRIGHTNESS))) y = duel_add(g, y, each(d, ADD));
  if (ada || !has(d, BIT(CONTRAST))) return y;
  const double pixels = (double)d->c.channels * d->c.height * d->c.width;
  const duel_val mean = duel_affine(g, duel_reduce_sum(g, y, 1u << 1 | 1u << 2 | 1u << 3), 1 / pixels, 0);
  return duel_add(g, duel_mul(g, duel_sub(g, y, mean), each(d, CONTRAST)), mean);
}

// 1 from `first` up to and without `end`, along an axis of n, else 0.
static duel_val between(const drawn *d, int first, int64_t n, duel_shape along) {
  duel_graph *g = d->g;
  const duel_val i = duel_reshape(g, duel_iota(g, n), along);
  const duel_val behind = duel_less_equal(g, each(d, first + 1), i);
  return duel_mul(g, duel_less_equal(g, each(d, first), i), duel_affine(g, behind, -1, 1));
}

static duel_val cut_out(const drawn *d, duel_val x) {
  duel_graph *g = d->g;
  const int64_t height = d->c.height, width = d->c.width;
  if (!has(d, BIT(CUTOUT))) return x;
  const duel_val rows = between(d, TOP, height, DUEL_SHAPE(1, 1, height, 1));
  const duel_val hole = duel_mul(g, rows, between(d, LEFT, width, DUEL_SHAPE(1, 1, 1, width)));
  return duel_mul(g, x, duel_affine(g, hole, -1, 1));
}

duel_val duel_step_augment(duel_step *s, duel_val x, int pass) {
  duel_graph *g = s->g;
  const duel_shape in = duel_val_shape(g, x);
  duel_changes c = {.laws = policy_of(s->r) == DIFFAUGMENT ? DUEL_LAWS_DIFFAUGMENT : DUEL_LAWS_ADA,
                    .pass = (uint32_t)pass};
  if (x == DUEL_NONE) return x;
  c.twice = number_of(s->r, FILTER);
  for (int i = 0; i < DUEL_CHANGES; i++) c.share[i] = (float)share_of(s->r, i, in.dim[1]);
  duel_scope(g, "%s", "augment");
  const drawn d = draw(s, probability(s), c, x);
  if (c.laws == DUEL_LAWS_DIFFAUGMENT) {
    x = cut_out(&d, move(&d, recolor(&d, x)));
  } else {
    x = recolor(&d, move(&d, x));
    if (has(&d, BIT(NOISE))) {
      const uint32_t k = (uint32_t)(4096 * pass + DUEL_NOISE_ELEMENTS);
      x = duel_add(g, x, duel_mul(g, each(&d, NOISE), duel_step_normal(s, DUEL_PURPOSE_AUGMENT, k, in)));
    }
    x = cut_out(&d, x);
  }
  duel_scope(g, "%s", "");
  return x;
}

duel_val duel_step_transform(duel_step *s, duel_val x, int pass) {
  duel_graph *g = s->g;
  if (x == DUEL_NONE) return x;
  const duel_shape in = duel_val_shape(g, x);
  const int64_t down = in.dim[2] / 8, right = in.dim[3] / 8;
  duel_changes c = {.laws = DUEL_LAWS_CONSISTENCY, .pass = (uint32_t)pass, .border = {(int32_t)down, (int32_t)right}};
  c.share[DUEL_FLIP] = 0.5f;
  c.share[DUEL_SHIFT] = 1;
  const drawn d = draw(s, duel_constant(g, DUEL_SCALAR, 1), c, x);
  const duel_val wide = duel_reflect_pad(g, x, (int64_t[]){down, right, down, right});
  return duel_slice(g, duel_warp2d(g, wide, d.map), (int64_t[]){0, 0, down, right}, in);
}

// ---- the controller

enum { TURN = 4 }; // p moves after so many steps

static void fill_turn(const duel_step_input *in, const duel_instant *now, void *dst) {
  (void)in;
  *(float *)dst = (now->step + 1) % TURN == 0;
}

static duel_val sign(duel_graph *g, duel_val x) { // −1, 0 or 1
  const duel_val zero = duel_constant(g, DUEL_SCALAR, 0);
  return duel_sub(g, duel_less_equal(g, zero, x), duel_less_equal(g, x, zero));
}

void duel_augment_watch(duel_step *s, duel_val on_real) {
  if (!is_adaptive(s->r)) return;
  duel_scope(s->g, "%s", "augment");
  const duel_val mean = duel_step_mean(s, duel_mean(s->g, sign(s->g, on_real)));
  if (mean != DUEL_NONE) {
    s->signs = s->watched ? duel_add(s->g, s->signs, mean) : mean;
    s->watched++;
  }
  duel_scope(s->g, "%s", "");
}

void duel_augment_move(duel_step *s) {
  duel_graph *g = s->g;
  if (!s->r->augment) return;
  duel_scope(g, "%s", "augment");
  const duel_val p = probability(s);
  if (is_adaptive(s->r) || s->r->augment->value[P].n)
    duel_step_report(s, state_p, NULL, DUEL_LAST, p, DUEL_REPORT_SUM, 1);
  if (is_adaptive(s->r)) {
    const duel_key_value *value = s->r->augment->value;
    const int64_t images = s->m->game->items(s->r), rounds = s->watched;
    const double target = value[TARGET].number[0], most = value[MOST].number[0];
    const double rate = TURN * (double)images / (1000 * value[SPEED].number[0]);
    const duel_val zero = duel_constant(g, DUEL_SCALAR, 0), top = duel_constant(g, DUEL_SCALAR, most);
    const duel_val turn = duel_step_number(s, (duel_step_input){.name = "augment.turn", .fill = fill_turn});
    const duel_val before = duel_model_state_of(s->m, g, state_signs), signs = duel_add(g, before, s->signs);
    const duel_val excess = sign(g, duel_affine(g, signs, 1 / (double)(TURN * rounds), -target));
    duel_val next = duel_add(g, p, duel_mul(g, turn, duel_affine(g, excess, rate, 0)));
    next = duel_select(g, duel_less_equal(g, next, zero), zero, next);
    next = duel_select(g, duel_less_equal(g, top, next), top, next);
    duel_assign(g, p, next);
    duel_assign(g, before, duel_mul(g, signs, duel_affine(g, turn, -1, 1)));
  }
  duel_scope(g, "%s", "");
}
