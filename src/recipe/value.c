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

static bool read_int(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                     duel_key_value *v) {
  bool known;
  int64_t value;
  v->number[0] = 1; // harmless
  if (!read_expression(rd, node, path, &known, &value) || !known) return false;
  if (!check_range(rd, node, path, key, (double)value)) return false;
  v->number[0] = (double)value;
  return true;
}

// ---- vars

static bool is_taken(const char *name) {
  for (int i = 0; i < 4; i++)
    if (!strcmp(name, data_names[i])) return true;
  return false;
}

void duel_read_vars(duel_reading *rd, const duel_yaml *vars) {
  duel_name **end = &rd->vars;
  for (const duel_yaml *item = vars && vars->type == DUEL_YAML_MAP ? vars->child : NULL; item; item = item->next) {
    char path[SHOWN + 8], shown[SHOWN];
    snprintf(path, sizeof path, "vars.%s", duel_yaml_show(shown, sizeof shown, &(duel_yaml){.text = item->key}));
    if (is_taken(item->key)) {
      duel_problem_key(rd, item, "%s: $%s comes from the data; take another name", path, item->key);
    } else if (!name_length(item->key) || item->key[name_length(item->key)] || strlen(item->key) >= SHOWN) {
      duel_problem_key(rd, item, "%s: a name is letters, digits and _, and begins with a letter", path);
    } else if (!duel_yaml_is_null(item)) {
      duel_name *name = duel_pool_alloc(rd->pool, sizeof *name);
      rd->no_memory |= !name;
      if (!name) return;
      *name = (duel_name){.name = item->key, .value = 1};
      bool known;
      name->known = read_expression(rd, item, path, &known, &name->value) && known;
      *end = name;
      end = &name->next;
    }
  }
}

// ---- numbers and words

static bool read_number(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                        duel_key_value *v) {
  double value;
  if (!duel_yaml_number(node, &value)) return ill_typed(rd, node, path, "a finite number");
  if (!check_range(rd, node, path, key, value)) return false;
  v->number[0] = value == 0 ? 0 : value; // no −0
  return true;
}

static bool read_bool(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                      duel_key_value *v) {
  (void)key;
  bool truth = false;
  if (!duel_yaml_bool(node, &truth)) return ill_typed(rd, node, path, "true or false");
  v->number[0] = truth;
  return true;
}

static bool read_choice(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                        duel_key_value *v) {
  const char *known[DUEL_MAX_KNOWN];
  int n = 0;
  char shown[SHOWN], hint[160], *rest = duel_pool_text(rd->pool, key->of, strlen(key->of));
  if (!rest) return rd->no_memory = true, false;
  for (char *part; n < DUEL_MAX_KNOWN && (part = strtok_r(NULL, "|", &rest));) known[n++] = part;
  bool word = node->type == DUEL_YAML_SCALAR && !duel_yaml_is_null(node);
  for (int i = 0; word && i < n; i++)
    if (!strcmp(node->text, known[i])) return v->number[0] = i, v->text = known[i], true;
  duel_yaml_show(shown, sizeof shown, node);
  duel_hint(hint, word ? node->text : "", known, n);
  duel_problem_value(rd, node, word ? "%s: %s: no such choice%s" : "%s: %s is not a word%s", path, shown, hint);
  return false;
}

static bool read_text(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                      duel_key_value *v) {
  (void)key;
  if (node->type != DUEL_YAML_SCALAR || !*node->text) return ill_typed(rd, node, path, "text");
  v->text = duel_pool_text(rd->pool, node->text, strlen(node->text));
  rd->no_memory |= !v->text;
  return v->text;
}

static bool read_seed(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                      duel_key_value *v) {
  (void)key;
  return duel_yaml_uint(node, &v->seed) || ill_typed(rd, node, path, "a whole number from 0 to 18446744073709551615");
}

// ---- lists

// n items, each read as `one` reads a value.
static bool read_items(duel_reading *rd, const duel_key *key, const duel_yaml *item, int n, const char *path,
                       duel_reader *one, duel_key_value *v) {
  bool ok = true;
  for (v->n = 0; v->n < n; item = item->next) {
    duel_key_value value = {0};
    ok &= one(rd, key, item, path, &value);
    v->number[v->n++] = value.number[0];
  }
  return ok;
}

static bool read_ints(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                      duel_key_value *v) {
  bool list = node->type == DUEL_YAML_LIST;
  int count = list ? duel_yaml_count(node) : 1;
  if (count >= 1 && count <= DUEL_MAX_LIST)
    return read_items(rd, key, list ? node->child : node, count, path, read_int, v);
  duel_problem_value(rd, node, "%s: a list of 1 to %d whole numbers is due, this has %d", path, DUEL_MAX_LIST, count);
  return false;
}

static bool read_pair(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                      duel_key_value *v) {
  if (node->type != DUEL_YAML_LIST || duel_yaml_count(node) != 2)
    return ill_typed(rd, node, path, "a list of two numbers");
  return read_items(rd, key, node->child, 2, path, read_number, v);
}

static bool read_extent(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                        duel_key_value *v) {
  int64_t value;
  if (node->type == DUEL_YAML_LIST && duel_yaml_count(node) == 2)
    return read_items(rd, key, node->child, 2, path, read_int, v);
  if (node->type != DUEL_YAML_SCALAR)
    return ill_typed(rd, node, path, "a number of pixels, or a list of two: [height, width]");
  bool none = duel_yaml_int(node, &value) && value == 0;
  if (!none && !read_int(rd, key, node, path, v)) return false;
  v->number[1] = v->number[0];
  return true;
}

// ---- bytes

static const char byte_units[] = "KMGT"; // 2^10, 2^20, …

static bool read_bytes(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                       duel_key_value *v) {
  static const char due[] = "a number of bytes such as 64M or 2G, or auto";
  char number[SHOWN];
  double value;
  if (node->type != DUEL_YAML_SCALAR) return ill_typed(rd, node, path, due);
  if (!strcmp(node->text, "auto")) return true;
  const size_t n = strlen(node->text);
  const char *unit = n > 1 ? strchr(byte_units, node->text[n - 1]) : NULL;
  snprintf(number, sizeof number, "%.*s", (int)(n - (unit != NULL)), node->text);
  if (n >= sizeof number || !duel_yaml_number_read(number, &value) || !isfinite(value))
    return ill_typed(rd, node, path, due);
  value = floor(ldexp(value, unit ? 10 * (int)(unit - byte_units + 1) : 0));
  if (!check_range(rd, node, path, key, value)) return false;
  v->number[0] = fmin(value, 0x1p62);
  return true;
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

static bool read_length(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                        duel_key_value *v) {
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
  const duel_key limits = {.min = key->min, .max = unit_most[unit]};
  if (!check_range(rd, node, path, &limits, value)) return false;
  if ((unit == DUEL_STEPS || unit == DUEL_IMAGES) && value != floor(value))
    return ill_typed(rd, node, path, "a whole number of them");
  v->length = (duel_length){.n = value == 0 ? 0 : value, .unit = value == 0 ? DUEL_STEPS : (duel_unit)unit};
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

static bool read_curve(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                       duel_schedule *dst) {
  enum { FROM, TO, CURVE, OVER, WARMUP };
  const duel_key keys[] = {{"from", DUEL_KEY_NUMBER, NULL, key->min, key->max, NULL, "the value to begin with"},
                           {"to", DUEL_KEY_NUMBER, "", key->min, key->max, NULL, "the value to end with"},
                           {"curve", DUEL_KEY_CHOICE, "", 0, 0, "constant|linear|cosine", "how it gets there"},
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

static bool read_schedule(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                          duel_key_value *v) {
  duel_key_value number = {0};
  if (node->type == DUEL_YAML_MAP) return read_curve(rd, key, node, path, &v->schedule);
  if (node->type == DUEL_YAML_LIST) return ill_typed(rd, node, path, "a number or {from, to, curve, over, warmup}");
  if (!read_number(rd, key, node, path, &number)) return false;
  v->schedule = (duel_schedule){.from = number.number[0], .to = number.number[0]};
  return true;
}

// ---- any of them

bool duel_read_single(duel_reading *rd, const duel_key *key, const duel_yaml *node, const char *path,
                      duel_key_value *v) {
  static duel_reader *const readers[] = {
      [DUEL_KEY_INT] = read_int,       [DUEL_KEY_NUMBER] = read_number, [DUEL_KEY_BOOL] = read_bool,
      [DUEL_KEY_CHOICE] = read_choice, [DUEL_KEY_INTS] = read_ints,     [DUEL_KEY_NUMBERS] = read_pair,
      [DUEL_KEY_TEXT] = read_text,     [DUEL_KEY_SEED] = read_seed,     [DUEL_KEY_EXTENT] = read_extent,
      [DUEL_KEY_BYTES] = read_bytes,   [DUEL_KEY_LENGTH] = read_length, [DUEL_KEY_SCHEDULE] = read_schedule};
  *v = (duel_key_value){.n = 1};
  return readers[key->type](rd, key, node, path, v);
}
