// Single values: whole numbers and their expressions, numbers, words, lengths and schedules.
#include <math.h>
#include <string.h>

#include "recipe/parts.h"

enum { SHOWN = DUEL_SHOWN };

// ---- ranges

static bool in_range(const duel_key *key, double x) {
  return (key->min == 0 && key->max == 0) || (x >= key->min && x <= key->max);
}

static bool check_range(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *key, double x) {
  if (in_range(key, x)) return true;
  char shown[SHOWN], min[DUEL_YAML_NUMBER_BYTES], max[DUEL_YAML_NUMBER_BYTES];
  bool above = key->min == DUEL_ABOVE_0, below = key->max == DUEL_BELOW_1;
  const char *least = above ? "more than" : "at least";
  duel_yaml_show(shown, sizeof shown, node);
  duel_yaml_number_text(min, above ? 0 : key->min);
  duel_yaml_number_text(max, below ? 1 : key->max);
  if (isinf(key->max))
    duel_problem_value(rd, node, "%s: %s is out of range: it must be %s %s", path, shown, least, min);
  else
    duel_problem_value(rd, node, "%s: %s is out of range: it must be %s %s and %s %s", path, shown, least, min,
                       below ? "less than" : "at most", max);
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

static bool read_int(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range, int64_t *dst) {
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

static bool read_number(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range, double *dst) {
  double value;
  if (!duel_yaml_number(node, &value)) return ill_typed(rd, node, path, "a finite number");
  if (!check_range(rd, node, path, range, value)) return false;
  *dst = value == 0 ? 0 : value; // no −0
  return true;
}

static bool read_choice(duel_reading *rd, const duel_yaml *node, const char *path, const char *choices, int *index,
                        const char **word) {
  const char *known[DUEL_MAX_KNOWN];
  int n = 0;
  char shown[SHOWN], hint[160], *rest = duel_pool_text(rd->pool, choices, strlen(choices));
  if (!rest) return rd->no_memory = true, false;
  for (char *part; n < DUEL_MAX_KNOWN && (part = strtok_r(NULL, "|", &rest));) known[n++] = part;
  if (node->type != DUEL_YAML_SCALAR || duel_yaml_is_null(node)) {
    duel_problem_value(rd, node, "%s: %s is not a word%s", path, duel_yaml_show(shown, sizeof shown, node),
                       duel_hint(hint, "", known, n));
    return false;
  }
  for (int i = 0; i < n; i++)
    if (!strcmp(node->text, known[i])) return *index = i, *word = known[i], true;
  duel_problem_value(rd, node, "%s: %s: no such choice%s", path, duel_yaml_show(shown, sizeof shown, node),
                     duel_hint(hint, node->text, known, n));
  return false;
}

static bool read_text(duel_reading *rd, const duel_yaml *node, const char *path, const char **dst) {
  if (node->type != DUEL_YAML_SCALAR || !*node->text) return ill_typed(rd, node, path, "text");
  *dst = duel_pool_text(rd->pool, node->text, strlen(node->text));
  rd->no_memory |= !*dst;
  return *dst;
}

static bool read_seed(duel_reading *rd, const duel_yaml *node, const char *path, uint64_t *dst) {
  return duel_yaml_uint(node, dst) || ill_typed(rd, node, path, "a whole number from 0 to 18446744073709551615");
}

// ---- lists

static bool read_ints(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range,
                      duel_key_value *v) {
  bool list = node->type == DUEL_YAML_LIST;
  const duel_yaml *item = list ? node->child : node;
  int count = list ? duel_yaml_count(node) : 1;
  if (count < 1 || count > DUEL_MAX_LIST) {
    duel_problem_value(rd, node, "%s: a list of 1 to %d whole numbers is due, this has %d", path, DUEL_MAX_LIST, count);
    return false;
  }
  for (v->n = 0; item; item = list ? item->next : NULL) {
    int64_t number = 1;
    read_int(rd, item, path, range, &number);
    v->number[v->n++] = (double)number;
  }
  return true;
}

static bool read_pair(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range, double *dst) {
  if (node->type != DUEL_YAML_LIST || duel_yaml_count(node) != 2)
    return ill_typed(rd, node, path, "a list of two numbers");
  const bool first = read_number(rd, node->child, path, range, &dst[0]);
  return read_number(rd, node->child->next, path, range, &dst[1]) && first;
}

// ---- sizes

static bool read_extent(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range, double *dst) {
  int64_t value[2] = {0};
  if (node->type == DUEL_YAML_SCALAR) {
    bool none = duel_yaml_int(node, value) && value[0] == 0;
    if (!none && !read_int(rd, node, path, range, value)) return false;
    value[1] = value[0];
  } else {
    if (node->type != DUEL_YAML_LIST || duel_yaml_count(node) != 2)
      return ill_typed(rd, node, path, "a number of pixels, or a list of two: [height, width]");
    const bool height = read_int(rd, node->child, path, range, &value[0]);
    if (!read_int(rd, node->child->next, path, range, &value[1]) || !height) return false;
  }
  for (int i = 0; i < 2; i++) dst[i] = (double)value[i];
  return true;
}

void duel_extent_text(char dst[48], const double extent[2]) {
  if (extent[0] == extent[1])
    snprintf(dst, 48, "%.0f", extent[0]);
  else
    snprintf(dst, 48, "[%.0f, %.0f]", extent[0], extent[1]);
}

static const char byte_units[] = "KMGT"; // 2^10, 2^20, …

static bool read_bytes(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range, double *dst) {
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
  return *dst = fmin(value, 0x1p62), true;
}

void duel_bytes_text(char dst[48], double bytes) {
  int unit = -1;
  for (; bytes > 0 && fmod(bytes, 1024) == 0 && unit < 3; unit++) bytes /= 1024;
  if (bytes == 0)
    snprintf(dst, 48, "auto");
  else
    snprintf(dst, 48, "%.0f%.*s", bytes, unit >= 0, unit < 0 ? "" : byte_units + unit);
}

// ---- lengths

static const char *const units[] = {"steps", "epochs", "images", "kimg"};
static const char *const units_one[] = {"step", "epoch", "image", "kimg"};
static const double unit_most[] = {4294967295.0, 4294967295.0, 9007199254740992.0, 9007199254740.0};

static bool read_length(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range,
                        duel_length *dst) {
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
  const duel_key limits = {.min = range->min, .max = unit_most[unit]};
  if (!check_range(rd, node, path, &limits, value)) return false;
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

// ---- schedules

const char *const duel_curve_names = "constant|linear|cosine";

static bool read_curve(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range,
                       duel_schedule *dst) {
  enum { FROM, TO, CURVE, OVER, WARMUP };
  const duel_key keys[] = {{"from", DUEL_KEY_NUMBER, NULL, range->min, range->max, NULL, "the value to begin with"},
                           {"to", DUEL_KEY_NUMBER, "", range->min, range->max, NULL, "the value to end with"},
                           {"curve", DUEL_KEY_CHOICE, "", 0, 0, duel_curve_names, "how it gets there"},
                           {"over", DUEL_KEY_LENGTH, "", 0, 0, NULL, "how long it takes; the whole run"},
                           {"warmup", DUEL_KEY_LENGTH, "", 0, 0, NULL, "how long it first rises from 0"},
                           {.name = NULL}};
  const duel_kind kind = {"schedule", NULL, keys, NULL};
  const int problems = rd->problems + rd->more;
  const duel_key_value *v = duel_read_keys(rd, &kind, (duel_source){.map = node, .at = node}, path);
  if (!v || rd->problems + rd->more > problems) return false;
  duel_schedule s = {.from = v[FROM].number[0], .to = v[v[TO].n ? TO : FROM].number[0]};
  s.over = v[OVER].length;
  s.warmup = v[WARMUP].length;
  s.curve = v[CURVE].n ? (duel_curve)v[CURVE].number[0] : v[TO].n ? DUEL_CURVE_LINEAR : DUEL_CURVE_CONSTANT;
  bool constant = s.curve == DUEL_CURVE_CONSTANT;
  if (constant && (v[TO].n || s.over.n > 0))
    duel_problem_value(rd, node, "%s: a constant has no `to` and no `over`; take curve: linear or cosine", path);
  else if (!constant && !v[TO].n)
    duel_problem_value(rd, node, "%s.to: missing; a curve needs a value to end with", path);
  else
    return *dst = s, true;
  return false;
}

static bool read_schedule(duel_reading *rd, const duel_yaml *node, const char *path, const duel_key *range,
                          duel_schedule *dst) {
  if (node->type == DUEL_YAML_MAP) return read_curve(rd, node, path, range, dst);
  if (node->type == DUEL_YAML_LIST) return ill_typed(rd, node, path, "a number or {from, to, curve, over, warmup}");
  if (!read_number(rd, node, path, range, &dst->from)) return false;
  dst->to = dst->from;
  return true;
}

// ---- any of them

bool duel_read_single(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                      duel_key_value *v) {
  duel_key_value got = {.n = 1};
  int64_t integer = 1;
  bool ok = false, truth = false;
  int index = 0;
  switch (key->type) {
  case DUEL_KEY_INT:
    ok = read_int(rd, node, path, key, &integer);
    got.number[0] = (double)integer;
    break;
  case DUEL_KEY_NUMBER:
    ok = read_number(rd, node, path, key, got.number);
    break;
  case DUEL_KEY_BOOL:
    ok = duel_yaml_bool(node, &truth) || ill_typed(rd, node, path, "true or false");
    got.number[0] = truth;
    break;
  case DUEL_KEY_CHOICE:
    ok = read_choice(rd, node, path, key->of, &index, &got.text);
    got.number[0] = index;
    break;
  case DUEL_KEY_INTS:
    ok = read_ints(rd, node, path, key, &got);
    break;
  case DUEL_KEY_NUMBERS:
    ok = read_pair(rd, node, path, key, got.number);
    got.n = 2;
    break;
  case DUEL_KEY_TEXT:
    ok = read_text(rd, node, path, &got.text);
    break;
  case DUEL_KEY_SEED:
    ok = read_seed(rd, node, path, &got.seed);
    break;
  case DUEL_KEY_EXTENT:
    ok = read_extent(rd, node, path, key, got.number);
    break;
  case DUEL_KEY_BYTES:
    ok = read_bytes(rd, node, path, key, got.number);
    break;
  case DUEL_KEY_LENGTH:
    ok = read_length(rd, node, path, key, &got.length);
    break;
  case DUEL_KEY_SCHEDULE:
    ok = read_schedule(rd, node, path, key, &got.schedule);
    break;
  default: // the rest is read.c's
    break;
  }
  *v = got; // where it is wrong, something harmless
  return ok;
}
