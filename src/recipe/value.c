// Single values: whole numbers and their expressions, numbers, words, lengths and schedules.
#include <math.h>
#include <string.h>

#include "recipe/parts.h"

enum { SHOWN = 48 };

// ---- ranges

static bool in_range(duel_range r, double x) {
  if (r.min == 0 && r.max == 0) return true;
  if (r.above_min ? !(x > r.min) : !(x >= r.min)) return false;
  return r.below_max ? x < r.max : x <= r.max;
}

static bool check_range(duel_reading *rd, const duel_yaml *node, const char *path, duel_range r, double x) {
  if (in_range(r, x)) return true;
  char shown[SHOWN], min[DUEL_YAML_NUMBER_BYTES], max[DUEL_YAML_NUMBER_BYTES];
  duel_yaml_show(shown, sizeof shown, node);
  duel_yaml_number_text(min, r.min);
  if (isinf(r.max)) {
    duel_problem_value(rd, node, "%s: %s is out of range: it must be %s %s", path, shown,
                       r.above_min ? "more than" : "at least", min);
    return false;
  }
  duel_yaml_number_text(max, r.max);
  duel_problem_value(rd, node, "%s: %s is out of range: it must be %s %s and %s %s", path, shown,
                     r.above_min ? "more than" : "at least", min, r.below_max ? "less than" : "at most", max);
  return false;
}

static bool ill_typed(duel_reading *rd, const duel_yaml *node, const char *path, const char *due) {
  char shown[SHOWN];
  duel_problem_value(rd, node, "%s: %s is not %s", path, duel_yaml_show(shown, sizeof shown, node), due);
  return false;
}

// ---- expressions: integers and $names, * and exact /, left to right

typedef struct expression {
  duel_reading *rd;
  const duel_yaml *node;
  const char *path, *at;
  bool known; // false once a name depends on data that is not there
} expression;

static const char *const data_names[] = {"C", "H", "W", "classes"};

static bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool digit(char c) {
  return c >= '0' && c <= '9';
}
static size_t name_length(const char *s) {
  size_t n = 0;
  if (letter(*s))
    while (letter(s[n]) || digit(s[n])) n++;
  return n;
}

// What the data says for a name of theirs; NULL if they have no such thing.
static const int64_t *data_value(const duel_data_shape *data, int which) {
  if (which == 3) return data->classes > 0 ? &data->classes : NULL;
  return which < data->rank ? &data->dim[which] : NULL;
}

static bool unknown_name(expression *e, const char *name) {
  const char *known[32];
  int n = 0;
  char hint[160];
  for (; n < 4; n++) known[n] = data_names[n];
  for (const duel_name *v = e->rd->vars; v && n < 32; v = v->next) known[n++] = v->name;
  const duel_yaml *vars = duel_yaml_get(e->rd->root, "vars");
  if (duel_yaml_get(vars, name) && !duel_yaml_is_null(duel_yaml_get(vars, name)))
    duel_problem_value(e->rd, e->node, "%s: $%s stands further down in vars; a name may use earlier ones only", e->path,
                       name);
  else
    duel_problem_value(e->rd, e->node, "%s: $%s: no such name%s", e->path, name, duel_hint(hint, name, known, n));
  return false;
}

// The value shows later, with the data.
static bool is_open(expression *e) {
  e->known = false;
  if (!e->rd->needs_data) e->rd->needs_data = e->node;
  return true;
}

static bool look_up(expression *e, int64_t *dst) {
  size_t length = name_length(e->at);
  char name[SHOWN];
  if (!length || length >= sizeof name) return ill_typed(e->rd, e->node, e->path, "a product such as $C*$H*$W/4");
  snprintf(name, sizeof name, "%.*s", (int)length, e->at);
  e->at += length;
  for (int i = 0; i < 4; i++) {
    if (strcmp(name, data_names[i])) continue;
    const int64_t *value = e->rd->data ? data_value(e->rd->data, i) : NULL;
    if (value) return *dst = *value, true;
    if (!e->rd->data) return is_open(e);
    if (i == 3)
      duel_problem_value(e->rd, e->node, "%s: the data has no labels, so no $classes", e->path);
    else
      duel_problem_value(e->rd, e->node, "%s: the data are points, which have no $%s", e->path, name);
    return false;
  }
  for (const duel_name *v = e->rd->vars; v; v = v->next) {
    if (strcmp(name, v->name)) continue;
    *dst = v->value;
    return v->known || is_open(e);
  }
  return unknown_name(e, name);
}

static bool too_large(expression *e) {
  char shown[SHOWN];
  duel_problem_value(e->rd, e->node, "%s: %s is too large a number", e->path,
                     duel_yaml_show(shown, sizeof shown, e->node));
  return false;
}

static bool term(expression *e, int64_t *dst) {
  *dst = 1;
  e->at += strspn(e->at, " ");
  if (*e->at == '$') {
    e->at++;
    if (!look_up(e, dst)) return false;
  } else {
    if (!digit(*e->at)) return ill_typed(e->rd, e->node, e->path, "a whole number or a product such as $C*$H*$W/4");
    int64_t value = 0;
    bool over = false;
    for (; digit(*e->at); e->at++)
      over = over || __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *e->at - '0', &value);
    if (over) return too_large(e);
    *dst = value;
  }
  e->at += strspn(e->at, " ");
  return true;
}

static bool evaluate(expression *e, int64_t *dst) {
  int64_t value = 1, right;
  char shown[SHOWN];
  if (!term(e, &value)) return false;
  while (*e->at) {
    char op = *e->at++;
    if (op != '*' && op != '/')
      return ill_typed(e->rd, e->node, e->path, "a whole number or a product such as $C*$H*$W/4");
    if (!term(e, &right)) return false;
    if (!e->known) continue;
    if (op == '*') {
      if (__builtin_mul_overflow(value, right, &value)) return too_large(e);
    } else if (right == 0 || (right == -1 && value == INT64_MIN) || value % right) {
      duel_problem_value(e->rd, e->node, "%s: %s: %lld/%lld is not a whole number", e->path,
                         duel_yaml_show(shown, sizeof shown, e->node), (long long)value, (long long)right);
      return false;
    } else {
      value /= right;
    }
  }
  *dst = value;
  return true;
}

// *known false: it depends on data that is not there; then *dst is untouched.
static bool read_expression(duel_reading *rd, const duel_yaml *node, const char *path, bool *known, int64_t *dst) {
  *known = true;
  if (duel_yaml_int(node, dst)) return true;
  double number;
  bool text = node->type == DUEL_YAML_SCALAR && *node->text && !duel_yaml_is_null(node);
  if (!text || (duel_yaml_number(node, &number) && strpbrk(node->text, ".eE")))
    return ill_typed(rd, node, path, "a whole number");
  if (node->quoted && !strchr(node->text, '$'))
    return ill_typed(rd, node, path, "a whole number; take the quotes away");
  expression e = {.rd = rd, .node = node, .path = path, .at = node->text, .known = true};
  int64_t value = 1;
  if (!evaluate(&e, &value)) return false;
  *known = e.known;
  if (e.known) *dst = value;
  return true;
}

bool duel_read_int(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, int64_t *dst) {
  bool known;
  int64_t value;
  if (!read_expression(rd, node, path, &known, &value) || !known) return false;
  if (!check_range(rd, node, path, range, (double)value)) return false;
  *dst = value;
  return true;
}

void duel_read_vars(duel_reading *rd, const duel_yaml *vars) {
  if (duel_yaml_is_null(vars) || vars->type != DUEL_YAML_MAP) return;
  duel_name **end = &rd->vars;
  for (const duel_yaml *item = vars->child; item; item = item->next) {
    char path[SHOWN + 8], shown[SHOWN];
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = item->key});
    snprintf(path, sizeof path, "vars.%s", shown);
    bool taken = false;
    for (int i = 0; i < 4; i++) taken |= !strcmp(item->key, data_names[i]);
    if (taken)
      duel_problem_key(rd, item, "%s: $%s comes from the data; take another name", path, item->key);
    else if (!name_length(item->key) || item->key[name_length(item->key)] || strlen(item->key) >= SHOWN)
      duel_problem_key(rd, item, "%s: a name is letters, digits and _, and begins with a letter", path);
    else if (!duel_yaml_is_null(item)) {
      duel_name *name = duel_pool_alloc(rd->pool, sizeof *name);
      if (!name) {
        rd->no_memory = true;
        return;
      }
      *name = (duel_name){.name = item->key, .value = 1};
      bool known;
      name->known = read_expression(rd, item, path, &known, &name->value) && known;
      *end = name;
      end = &name->next;
    }
  }
}

// ---- numbers and words

bool duel_read_number(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, double *dst) {
  double value;
  if (!duel_yaml_number(node, &value)) return ill_typed(rd, node, path, "a finite number");
  if (!check_range(rd, node, path, range, value)) return false;
  *dst = value == 0 ? 0 : value; // no −0
  return true;
}

bool duel_read_bool(duel_reading *rd, const duel_yaml *node, const char *path, bool *dst) {
  return duel_yaml_bool(node, dst) || ill_typed(rd, node, path, "true or false");
}

bool duel_read_choice(duel_reading *rd, const duel_yaml *node, const char *path, const char *choices, int *index,
                      char **word) {
  const char *known[24];
  int n = 0;
  char shown[SHOWN], hint[160], *rest = duel_pool_text(rd->pool, choices, strlen(choices));
  if (!rest) return rd->no_memory = true, false;
  for (char *part; n < 24 && (part = strtok_r(NULL, "|, ", &rest));) known[n++] = part;
  if (node->type != DUEL_YAML_SCALAR || duel_yaml_is_null(node)) {
    duel_problem_value(rd, node, "%s: %s is not a word%s", path, duel_yaml_show(shown, sizeof shown, node),
                       duel_hint(hint, "", known, n));
    return false;
  }
  for (int i = 0; i < n; i++) {
    if (strcmp(node->text, known[i])) continue;
    *index = i;
    if (word) *word = (char *)(uintptr_t)known[i];
    return true;
  }
  duel_problem_value(rd, node, "%s: %s: no such choice%s", path, duel_yaml_show(shown, sizeof shown, node),
                     duel_hint(hint, node->text, known, n));
  return false;
}

// ---- sizes

bool duel_read_extent(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, int64_t dst[2]) {
  int64_t value;
  if (duel_yaml_int(node, &value) && value == 0) return dst[0] = dst[1] = 0, true;
  if (node->type == DUEL_YAML_SCALAR) {
    if (!duel_read_int(rd, node, path, range, &value)) return false;
    return dst[0] = dst[1] = value, true;
  }
  if (node->type != DUEL_YAML_LIST || duel_yaml_count(node) != 2)
    return ill_typed(rd, node, path, "a number of pixels, or a list of two: [height, width]");
  const bool height = duel_read_int(rd, node->child, path, range, &dst[0]);
  return duel_read_int(rd, node->child->next, path, range, &dst[1]) && height;
}

void duel_extent_text(char dst[48], const int64_t extent[2]) {
  if (extent[0] == extent[1])
    snprintf(dst, 48, "%lld", (long long)extent[0]);
  else
    snprintf(dst, 48, "[%lld, %lld]", (long long)extent[0], (long long)extent[1]);
}

static const char byte_units[] = "KMGT"; // 2^10, 2^20, …

bool duel_read_bytes(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range, int64_t *dst) {
  static const char due[] = "a number of bytes such as 64M or 2G, or auto";
  char number[SHOWN];
  double value;
  if (node->type != DUEL_YAML_SCALAR) return ill_typed(rd, node, path, due);
  if (!strcmp(node->text, "auto")) return *dst = 0, true;
  const size_t n = strlen(node->text);
  const char *unit = n > 1 ? strchr(byte_units, node->text[n - 1]) : NULL;
  snprintf(number, sizeof number, "%.*s", (int)(n - (unit != NULL)), node->text);
  if (n >= sizeof number || !duel_yaml_number_read(number, &value) || !isfinite(value))
    return ill_typed(rd, node, path, due);
  value = floor(ldexp(value, unit ? 10 * (int)(unit - byte_units + 1) : 0));
  if (!check_range(rd, node, path, range, value)) return false;
  return *dst = value < 0x1p62 ? (int64_t)value : INT64_C(1) << 62, true;
}

void duel_bytes_text(char dst[48], int64_t bytes) {
  int unit = -1;
  for (; bytes && bytes % 1024 == 0 && unit < 3; unit++) bytes /= 1024;
  if (!bytes)
    snprintf(dst, 48, "auto");
  else if (unit < 0)
    snprintf(dst, 48, "%lld", (long long)bytes);
  else
    snprintf(dst, 48, "%lld%c", (long long)bytes, byte_units[unit]);
}

// ---- lengths

static const char *const units[] = {"steps", "epochs", "images", "kimg"};
static const char *const units_one[] = {"step", "epoch", "image", "kimg"};
static const double unit_most[] = {4294967295.0, 4294967295.0, 9007199254740992.0, 9007199254740.0};

bool duel_read_length(duel_reading *rd, const duel_yaml *node, const char *path, bool zero, duel_length *dst) {
  static const char due[] = "a length such as 20000 steps, 5 epochs, 10 kimg";
  char number[SHOWN], shown[SHOWN], hint[160];
  int64_t whole;
  double value;
  int unit = DUEL_STEPS;
  if (node->type != DUEL_YAML_SCALAR || (node->quoted && !strchr(node->text, ' ')))
    return ill_typed(rd, node, path, due);
  if (duel_yaml_int(node, &whole)) {
    value = (double)whole;
  } else {
    size_t length = strcspn(node->text, " ");
    const char *word = node->text + length + strspn(node->text + length, " ");
    if (length >= sizeof number || !*word) return ill_typed(rd, node, path, due);
    snprintf(number, sizeof number, "%.*s", (int)length, node->text);
    if (!duel_yaml_number_read(number, &value)) return ill_typed(rd, node, path, due);
    for (unit = 0; unit < 4; unit++)
      if (!strcmp(word, units[unit]) || !strcmp(word, units_one[unit])) break;
    if (unit == 4) {
      duel_problem_value(rd, node, "%s: %s: no such unit%s", path, duel_yaml_show(shown, sizeof shown, node),
                         duel_hint(hint, word, units, 4));
      return false;
    }
  }
  duel_range range = {.min = 0, .max = unit_most[unit], .above_min = !zero};
  if (!check_range(rd, node, path, range, value)) return false;
  if ((unit == DUEL_STEPS || unit == DUEL_IMAGES) && value != floor(value))
    return ill_typed(rd, node, path, "a whole number of them");
  *dst = (duel_length){.n = value == 0 ? 0 : value, .unit = value == 0 ? DUEL_STEPS : (duel_unit)unit};
  return true;
}

void duel_length_text(char dst[48], duel_length l) {
  char number[DUEL_YAML_NUMBER_BYTES];
  duel_yaml_number_text(number, l.n);
  if (l.n == 0)
    snprintf(dst, 48, "0");
  else
    snprintf(dst, 48, "%s %s", number, l.n == 1 ? units_one[l.unit] : units[l.unit]);
}

// ⌈a·b / c⌉ for a ≥ 0 and b, c > 0, in integers where a is one; INT64_MAX where it is larger.
static int64_t scaled(double a, int64_t b, int64_t c) {
  double items = a * (double)b, nearest = nearbyint(items);
  int64_t whole;
  if (a != floor(a) || a >= 0x1p53 || __builtin_mul_overflow((int64_t)a, b, &whole)) {
    // A fraction: 0.1 epochs of 60000 are 6000 items, not 6000.000000000001.
    if (fabs(items - nearest) > 1e-9 * nearest) nearest = ceil(items);
    if (nearest >= 0x1p63) return INT64_MAX;
    whole = (int64_t)nearest;
  }
  return whole / c + (whole % c != 0);
}

int64_t duel_length_steps(duel_length l, int64_t items_per_step, int64_t set_size) {
  switch (l.unit) {
  case DUEL_STEPS:
    return scaled(l.n, 1, 1);
  case DUEL_EPOCHS:
    return scaled(l.n, set_size, items_per_step);
  case DUEL_IMAGES:
    return scaled(l.n, 1, items_per_step);
  case DUEL_KIMG:
    return scaled(l.n, 1000, items_per_step);
  }
  return 0;
}

// ---- schedules

bool duel_read_schedule(duel_reading *rd, const duel_yaml *node, const char *path, duel_range range,
                        duel_schedule *dst) {
  static const char *const keys[] = {"from", "to", "curve", "over", "warmup"};
  duel_schedule s = {0};
  char sub[5][96], hint[160];
  if (node->type != DUEL_YAML_MAP) {
    if (node->type != DUEL_YAML_SCALAR) return ill_typed(rd, node, path, "a number or {from, to, curve, over, warmup}");
    if (!duel_read_number(rd, node, path, range, &s.from)) return false;
    s.to = s.from;
    *dst = s;
    return true;
  }
  bool ok = true;
  const duel_yaml *value[5];
  for (int i = 0; i < 5; i++) {
    value[i] = duel_yaml_get(node, keys[i]);
    if (duel_yaml_is_null(value[i])) value[i] = NULL;
    snprintf(sub[i], sizeof sub[i], "%.80s.%s", path, keys[i]);
  }
  for (const duel_yaml *item = node->child; item; item = item->next) {
    bool known = false;
    for (int i = 0; i < 5; i++) known |= !strcmp(item->key, keys[i]);
    if (known) continue;
    char shown[SHOWN];
    duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = item->key});
    duel_problem_key(rd, item, "%s.%s: no such key%s", path, shown, duel_hint(hint, item->key, keys, 5));
    ok = false;
  }
  int curve = value[1] ? DUEL_CURVE_LINEAR : DUEL_CURVE_CONSTANT;
  if (value[0])
    ok &= duel_read_number(rd, value[0], sub[0], range, &s.from);
  else
    duel_problem_value(rd, node, "%s: missing; the value to begin with", sub[0]), ok = false;
  s.to = s.from;
  if (value[1]) ok &= duel_read_number(rd, value[1], sub[1], range, &s.to);
  if (value[2]) ok &= duel_read_choice(rd, value[2], sub[2], "constant|linear|cosine", &curve, NULL);
  if (value[3]) ok &= duel_read_length(rd, value[3], sub[3], true, &s.over);
  if (value[4]) ok &= duel_read_length(rd, value[4], sub[4], true, &s.warmup);
  if (ok && curve == DUEL_CURVE_CONSTANT && (value[1] || s.over.n > 0))
    duel_problem_value(rd, node, "%s: a constant has no `to` and no `over`; take curve: linear or cosine", path),
        ok = false;
  if (ok && curve != DUEL_CURVE_CONSTANT && !value[1])
    duel_problem_value(rd, node, "%s: missing; a curve needs a value to end with", sub[1]), ok = false;
  s.curve = (duel_curve)curve;
  if (ok) *dst = s;
  return ok;
}

double duel_schedule_at(const duel_schedule *s, int64_t step, int64_t total_steps, int64_t items_per_step,
                        int64_t set_size) {
  int64_t warmup = duel_length_steps(s->warmup, items_per_step, set_size);
  if (step < warmup) return s->from * (double)step / (double)warmup;
  if (s->curve == DUEL_CURVE_CONSTANT) return s->from;
  int64_t over = s->over.n > 0 ? duel_length_steps(s->over, items_per_step, set_size) : total_steps - warmup;
  int64_t done = step - warmup;
  if (done >= over) return s->to;
  double part = (double)done / (double)over;
  if (s->curve == DUEL_CURVE_COSINE) part = 0.5 * (1 - cos(3.14159265358979323846 * part));
  return s->from + (s->to - s->from) * part;
}
