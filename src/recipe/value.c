// Single values: whole numbers and their expressions, numbers, words, lengths and schedules.
#include <math.h>
#include <string.h>

#include "recipe/parts.h"

// ---- ranges

static bool check_range(const duel_place *p, const duel_key *key, double x) {
  if ((key->min == 0 && key->max == 0) || (x >= key->min && x <= key->max)) return true;
  char min[DUEL_YAML_NUMBER_BYTES], max[DUEL_YAML_NUMBER_BYTES];
  bool above = key->min == DUEL_ABOVE_0, below = key->max == DUEL_BELOW_1, open = isinf(key->max);
  duel_yaml_number_text(min, above ? 0 : key->min);
  duel_yaml_number_text(max, below ? 1 : key->max);
  return duel_problem_of(p, "%s is out of range: it must be %s %s%s%s", duel_shown(p->rd, p->node),
                         above ? "more than" : "at least", min,
                         open    ? ""
                         : below ? " and less than "
                                 : " and at most ",
                         open ? "" : max);
}

static bool ill_typed(const duel_place *p, const char *due) {
  return duel_problem_of(p, "%s is not %s", duel_shown(p->rd, p->node), due);
}

// ---- expressions: integers and $names, * and exact /, left to right

typedef struct expression {
  const duel_place *p;
  const char *at;
  bool known; // false once a name depends on data that is not there
} expression;

static const char *const data_names[] = {"C", "H", "W", "classes"};
enum { CLASSES = 3, DATA_NAMES };
static const char product[] = "a whole number or a product such as $C*$H*$W/4";

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

// DATA_NAMES: it is none of theirs.
static int data_name(const char *name) {
  int i = 0;
  while (i < DATA_NAMES && strcmp(name, data_names[i])) i++;
  return i;
}

static bool unknown_name(const duel_place *p, const char *name) {
  const char *known[32];
  int n = 0;
  for (; n < DATA_NAMES; n++) known[n] = data_names[n];
  for (const duel_name *v = p->rd->vars; v && n < 32; v = v->next) known[n++] = v->name;
  if (!duel_yaml_is_null(duel_yaml_get(duel_yaml_get(p->rd->root, "vars"), name)))
    return duel_problem_of(p, "$%s stands further down in vars; a name may use earlier ones only", name);
  return duel_problem_of(p, "$%s: no such name%s", name, duel_hint(p->rd, name, known, n));
}

// The value shows later, with the data.
static bool is_open(expression *e) {
  e->known = false;
  if (!e->p->rd->needs_data) e->p->rd->needs_data = e->p->node;
  return true;
}

static bool look_up_data(expression *e, int which, int64_t *dst) {
  const duel_data_shape *data = e->p->rd->data;
  if (!data) return is_open(e);
  if (which == CLASSES && data->classes <= 0)
    return duel_problem_of(e->p,
                           "the data has no labels, so no $classes; pictures get them by a folder for each class");
  if (which != CLASSES && which >= data->rank)
    return duel_problem_of(
        e->p, "the data are points, which have no $%s; name pictures, or take a recipe for points, such as ring",
        data_names[which]);
  *dst = which == CLASSES ? data->classes : data->dim[which];
  return true;
}

static bool look_up(expression *e, int64_t *dst) {
  size_t length = name_length(e->at);
  char name[DUEL_SHOWN];
  if (!length || length >= sizeof name) return ill_typed(e->p, "a product such as $C*$H*$W/4");
  snprintf(name, sizeof name, "%.*s", (int)length, e->at);
  e->at += length;
  if (data_name(name) < DATA_NAMES) return look_up_data(e, data_name(name), dst);
  for (const duel_name *v = e->p->rd->vars; v; v = v->next) {
    if (strcmp(name, v->name)) continue;
    *dst = v->value;
    return v->known || is_open(e);
  }
  return unknown_name(e->p, name);
}

static bool too_large(const duel_place *p) {
  return duel_problem_of(p, "%s is too large a number", duel_shown(p->rd, p->node));
}

static bool term(expression *e, int64_t *dst) {
  bool over = false;
  e->at += strspn(e->at, " ");
  if (*e->at == '$') {
    e->at++;
    *dst = 1;
    if (!look_up(e, dst)) return false;
  } else {
    if (!digit(*e->at)) return ill_typed(e->p, product);
    for (*dst = 0; digit(*e->at); e->at++)
      over = over || __builtin_mul_overflow(*dst, 10, dst) || __builtin_add_overflow(*dst, *e->at - '0', dst);
  }
  e->at += strspn(e->at, " ");
  return !over || too_large(e->p);
}

static bool evaluate(expression *e, int64_t *value) {
  int64_t right;
  if (!term(e, value)) return false;
  while (*e->at) {
    char op = *e->at++;
    if (op != '*' && op != '/') return ill_typed(e->p, product);
    if (!term(e, &right)) return false;
    if (!e->known) continue;
    if (op == '*') {
      if (__builtin_mul_overflow(*value, right, value)) return too_large(e->p);
    } else if (right == 0 || *value % right) {
      e->p->rd->fractions++;
      return duel_problem_of(e->p, "%s: %lld/%lld is not a whole number", duel_shown(e->p->rd, e->p->node),
                             (long long)*value, (long long)right);
    } else {
      *value /= right;
    }
  }
  return true;
}

// False, with *dst untouched, too if it depends on data that is not there.
static bool read_expression(const duel_place *p, int64_t *dst) {
  const duel_yaml *node = p->node;
  if (duel_yaml_int(node, dst)) return true;
  double number;
  bool text = node->type == DUEL_YAML_SCALAR && *node->text && !duel_yaml_is_null(node);
  if (!text || (duel_yaml_number(node, &number) && strpbrk(node->text, ".eE"))) return ill_typed(p, "a whole number");
  if (node->quoted && !strchr(node->text, '$')) return ill_typed(p, "a whole number; take the quotes away");
  expression e = {.p = p, .at = node->text, .known = true};
  int64_t value;
  if (!evaluate(&e, &value) || !e.known) return false;
  *dst = value;
  return true;
}

static bool read_int(const duel_place *p, const duel_key *key, duel_key_value *v) {
  int64_t value;
  v->number[0] = 1; // harmless
  if (!read_expression(p, &value) || !check_range(p, key, (double)value)) return false;
  v->number[0] = (double)value;
  return true;
}

// ---- vars

void duel_read_vars(duel_reading *rd, const duel_yaml *vars) {
  duel_name **end = &rd->vars;
  for (const duel_yaml *item = vars && vars->type == DUEL_YAML_MAP ? vars->child : NULL; item; item = item->next) {
    const char *path = duel_phrase(rd, "vars.%s", duel_shown_key(rd, item->key));
    const size_t length = name_length(item->key);
    if (data_name(item->key) < DATA_NAMES) {
      duel_problem_key(rd, item, "%s: $%s comes from the data; take another name", path, item->key);
    } else if (!length || item->key[length] || length >= DUEL_SHOWN) {
      duel_problem_key(rd, item, "%s: a name is letters, digits and _, and begins with a letter", path);
    } else if (!duel_yaml_is_null(item)) {
      duel_name *name = duel_room(rd, sizeof *name);
      if (!name) return;
      *name = (duel_name){.name = item->key, .value = 1};
      name->known = read_expression(&(duel_place){rd, item, path}, &name->value);
      *end = name;
      end = &name->next;
    }
  }
}

// ---- numbers and words

static bool read_number(const duel_place *p, const duel_key *key, duel_key_value *v) {
  double value;
  if (!duel_yaml_number(p->node, &value)) return ill_typed(p, "a finite number");
  if (!check_range(p, key, value)) return false;
  v->number[0] = value == 0 ? 0 : value; // no −0
  return true;
}

static bool read_bool(const duel_place *p, const duel_key *key, duel_key_value *v) {
  (void)key;
  bool truth = false;
  if (!duel_yaml_bool(p->node, &truth)) return ill_typed(p, "true or false");
  v->number[0] = truth;
  return true;
}

static bool read_choice(const duel_place *p, const duel_key *key, duel_key_value *v) {
  const char *known[DUEL_MAX_KNOWN];
  int n = 0;
  char *rest = duel_pool_text(p->rd->pool, key->of, strlen(key->of));
  if (!rest) return p->rd->no_memory = true, false;
  for (char *part; n < DUEL_MAX_KNOWN && (part = strtok_r(NULL, "|", &rest));) known[n++] = part;
  bool word = p->node->type == DUEL_YAML_SCALAR && !duel_yaml_is_null(p->node);
  for (int i = 0; word && i < n; i++)
    if (!strcmp(p->node->text, known[i])) return v->number[0] = i, v->text = known[i], true;
  return duel_problem_of(p, word ? "%s: no such choice%s" : "%s is not a word%s", duel_shown(p->rd, p->node),
                         duel_hint(p->rd, word ? p->node->text : "", known, n));
}

static bool read_text(const duel_place *p, const duel_key *key, duel_key_value *v) {
  (void)key;
  if (p->node->type != DUEL_YAML_SCALAR || !*p->node->text) return ill_typed(p, "text");
  v->text = duel_phrase(p->rd, "%s", p->node->text);
  return true;
}

static bool read_seed(const duel_place *p, const duel_key *key, duel_key_value *v) {
  (void)key;
  return duel_yaml_uint(p->node, &v->seed) || ill_typed(p, "a whole number from 0 to 18446744073709551615");
}

// ---- lists

// n numbers, each read as `one` reads a value: from `item` on.
static bool read_items(const duel_place *p, const duel_key *key, const duel_yaml *item, int n, duel_reader *one,
                       duel_key_value *v) {
  bool ok = true;
  for (v->n = 0; v->n < n; item = item->next) {
    duel_key_value value = {0};
    ok &= one(&(duel_place){p->rd, item, p->path}, key, &value);
    v->number[v->n++] = value.number[0];
  }
  return ok;
}

static bool read_ints(const duel_place *p, const duel_key *key, duel_key_value *v) {
  bool list = p->node->type == DUEL_YAML_LIST;
  int count = list ? duel_yaml_count(p->node) : 1;
  if (count >= 1 && count <= DUEL_MAX_LIST)
    return read_items(p, key, list ? p->node->child : p->node, count, read_int, v);
  return duel_problem_of(p, "a list of 1 to %d whole numbers is due, this has %d", DUEL_MAX_LIST, count);
}

static bool is_pair(const duel_yaml *node) {
  return node->type == DUEL_YAML_LIST && duel_yaml_count(node) == 2;
}

static bool read_pair(const duel_place *p, const duel_key *key, duel_key_value *v) {
  if (!is_pair(p->node)) return ill_typed(p, "a list of two numbers");
  return read_items(p, key, p->node->child, 2, read_number, v);
}

static bool read_extent(const duel_place *p, const duel_key *key, duel_key_value *v) {
  int64_t value;
  if (is_pair(p->node)) return read_items(p, key, p->node->child, 2, read_int, v);
  if (p->node->type != DUEL_YAML_SCALAR)
    return ill_typed(p, duel_phrase(p->rd, "a number, or a list of two: %s", (const char *)key->of));
  bool none = duel_yaml_int(p->node, &value) && value == 0;
  if (!none && !read_int(p, key, v)) return false;
  v->number[1] = v->number[0];
  return true;
}

// ---- bytes

static const char byte_units[] = "KMGT"; // 2^10, 2^20, …

static bool read_bytes(const duel_place *p, const duel_key *key, duel_key_value *v) {
  const char *text = p->node->text;
  char number[DUEL_SHOWN];
  double value;
  if (p->node->type == DUEL_YAML_SCALAR && !strcmp(text, "auto")) return true;
  const size_t n = p->node->type == DUEL_YAML_SCALAR ? strlen(text) : 0;
  const char *unit = n > 1 ? strchr(byte_units, text[n - 1]) : NULL;
  snprintf(number, sizeof number, "%.*s", (int)(n - (unit != NULL)), n ? text : "");
  if (n >= sizeof number || !duel_yaml_number_read(number, &value))
    return ill_typed(p, "a number of bytes such as 64M or 2G, or auto");
  value = floor(ldexp(value, unit ? 10 * (int)(unit - byte_units + 1) : 0));
  if (!check_range(p, key, value)) return false;
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

static bool read_length(const duel_place *p, const duel_key *key, duel_key_value *v) {
  static const char due[] = "a length such as 20000 steps, 5 epochs, 10 kimg";
  const char *text = p->node->text;
  char number[DUEL_SHOWN];
  int64_t whole;
  double value;
  int unit = DUEL_STEPS;
  if (p->node->type != DUEL_YAML_SCALAR || (p->node->quoted && !strchr(text, ' '))) return ill_typed(p, due);
  if (duel_yaml_int(p->node, &whole)) {
    value = (double)whole;
  } else {
    size_t length = strcspn(text, " ");
    const char *word = text + length + strspn(text + length, " ");
    snprintf(number, sizeof number, "%.*s", (int)length, text);
    if (length >= sizeof number || !*word || !duel_yaml_number_read(number, &value)) return ill_typed(p, due);
    for (unit = 0; unit < 4; unit++)
      if (!strcmp(word, units[unit]) || !strcmp(word, units_one[unit])) break;
    if (unit == 4)
      return duel_problem_of(p, "%s: no such unit%s", duel_shown(p->rd, p->node), duel_hint(p->rd, word, units, 4));
  }
  if (!check_range(p, &(duel_key){.min = key->min, .max = unit_most[unit]}, value)) return false;
  if ((unit == DUEL_STEPS || unit == DUEL_IMAGES) && value != floor(value))
    return ill_typed(p, "a whole number of them");
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

// The values that a curve begins and ends with.
static bool read_ends(const duel_place *p, bool lengths, const duel_key_value *from, const duel_key_value *to,
                      duel_schedule *dst) {
  *dst = (duel_schedule){.from = from->number[0], .to = to->number[0]};
  if (!lengths) return true;
  const duel_length a = from->length, b = to->length;
  *dst = (duel_schedule){.from = a.n, .to = b.n, .unit = b.n > 0 ? b.unit : a.unit};
  return a.n == 0 || b.n == 0 || a.unit == b.unit ||
         duel_problem_of(p, "`from` and `to` have two units; give both in %s", units[b.unit]);
}

static bool read_curve(const duel_place *p, const duel_key *key, duel_schedule *dst) {
  enum { FROM, TO, CURVE, OVER, WARMUP };
  const bool lengths = key->type == DUEL_KEY_LENGTHS;
  const duel_key_type type = lengths ? DUEL_KEY_LENGTH : DUEL_KEY_NUMBER;
  const double min = lengths ? 0 : key->min;
  const duel_key keys[] = {{"from", type, NULL, min, key->max, NULL, "the value to begin with"},
                           {"to", type, "", min, key->max, NULL, "the value to end with"},
                           {"curve", DUEL_KEY_CHOICE, "", 0, 0, "constant|linear|cosine", "how it gets there"},
                           {"over", DUEL_KEY_LENGTH, "", DUEL_ABOVE_0, 0, NULL, "how long it takes; the whole run"},
                           {"warmup", DUEL_KEY_LENGTH, "", 0, 0, NULL, "how long it first rises from 0"},
                           {.name = NULL}};
  const duel_kind kind = {"schedule", NULL, keys, NULL};
  const int problems = p->rd->problems + p->rd->more;
  const duel_key_value *v = duel_read_keys(p, &kind, p->node, NULL);
  if (!v || p->rd->problems + p->rd->more > problems) return false;
  duel_schedule s;
  if (!read_ends(p, lengths, &v[FROM], &v[v[TO].n ? TO : FROM], &s)) return false;
  s.over = v[OVER].length;
  s.warmup = v[WARMUP].length;
  s.curve = v[CURVE].n ? (duel_curve)v[CURVE].number[0] : v[TO].n ? DUEL_CURVE_LINEAR : DUEL_CURVE_CONSTANT;
  bool constant = s.curve == DUEL_CURVE_CONSTANT;
  if (constant && (v[TO].n || s.over.n > 0))
    return duel_problem_of(p, "a constant has no `to` and no `over`; take curve: linear or cosine");
  if (!constant && !v[TO].n)
    return duel_problem_value(p->rd, p->node, "%s.to: missing; a curve needs a value to end with", p->path);
  *dst = s;
  return true;
}

static bool read_schedule(const duel_place *p, const duel_key *key, duel_key_value *v) {
  duel_key_value number = {0};
  if (p->node->type == DUEL_YAML_MAP) return read_curve(p, key, &v->schedule);
  if (key->of && p->node->type == DUEL_YAML_SCALAR && !strcmp(p->node->text, key->of)) return v->text = key->of, true;
  if (p->node->type == DUEL_YAML_LIST) return ill_typed(p, "a number or {from, to, curve, over, warmup}");
  if (!read_number(p, key, &number)) return false;
  v->schedule = (duel_schedule){.from = number.number[0], .to = number.number[0]};
  return true;
}

static bool read_lengths(const duel_place *p, const duel_key *key, duel_key_value *v) {
  duel_key_value one = {0};
  if (p->node->type == DUEL_YAML_MAP) return read_curve(p, key, &v->schedule);
  if (!read_length(p, key, &one)) return false;
  v->schedule = (duel_schedule){.from = one.length.n, .to = one.length.n, .unit = one.length.unit};
  return true;
}

// ---- any of them

bool duel_read_single(const duel_place *p, const duel_key *key, duel_key_value *v) {
  static duel_reader *const readers[] = {
      [DUEL_KEY_INT] = read_int,        [DUEL_KEY_NUMBER] = read_number, [DUEL_KEY_BOOL] = read_bool,
      [DUEL_KEY_CHOICE] = read_choice,  [DUEL_KEY_INTS] = read_ints,     [DUEL_KEY_NUMBERS] = read_pair,
      [DUEL_KEY_TEXT] = read_text,      [DUEL_KEY_SEED] = read_seed,     [DUEL_KEY_EXTENT] = read_extent,
      [DUEL_KEY_BYTES] = read_bytes,    [DUEL_KEY_LENGTH] = read_length, [DUEL_KEY_SCHEDULE] = read_schedule,
      [DUEL_KEY_LENGTHS] = read_lengths};
  *v = (duel_key_value){.n = 1};
  return readers[key->type](p, key, v);
}
