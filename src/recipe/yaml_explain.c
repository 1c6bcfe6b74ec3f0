#include "recipe/yaml_explain.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// ---- places

static bool is_break(char c) {
  return c == '\n' || c == '\r';
}

static size_t line_of(const duel_yaml_fault *f, size_t at) {
  while (at > 0 && !is_break(f->text[at - 1])) at--;
  return at;
}

static size_t end_of(const duel_yaml_fault *f, size_t at) {
  while (at < f->n && !is_break(f->text[at])) at++;
  return at;
}

static size_t indent_of(const duel_yaml_fault *f, size_t line) {
  size_t at = line;
  while (at < f->n && (f->text[at] == ' ' || f->text[at] == '\t')) at++;
  return at;
}

// The line before this one that says something; its own beginning where there is none.
static size_t line_before(const duel_yaml_fault *f, size_t line) {
  for (size_t at = line; at > 0;) {
    at = line_of(f, at - 1);
    const size_t first = indent_of(f, at);
    if (first < f->n && !is_break(f->text[first]) && f->text[first] != '#') return at;
  }
  return line;
}

void duel_yaml_position(const char *text, size_t at, size_t *line, size_t *col) {
  *line = *col = 0;
  for (size_t i = 0; i < at; i++) {
    if (text[i] == '\n' || (text[i] == '\r' && !(i + 1 < at && text[i + 1] == '\n')))
      ++*line, *col = 0;
    else if (((unsigned char)text[i] & 0xC0) != 0x80 && text[i] != '\r')
      ++*col;
  }
}

static size_t line_number(const duel_yaml_fault *f, size_t at) {
  size_t line, col;
  duel_yaml_position(f->text, at, &line, &col);
  return line + 1;
}

// ---- characters

size_t duel_yaml_lookalike(const char *s, size_t n, const char **name, const char **type) {
  static const struct {
    const char *bytes, *name, *type;
  } known[] = {{"\xC2\xA0", "a no-break space (U+00A0)", "a blank"},
               {"\xE2\x80\x87", "a figure space (U+2007)", "a blank"},
               {"\xE2\x80\x8B", "a zero-width space (U+200B)", NULL},
               {"\xE2\x80\xA8", "a line separator (U+2028)", "a blank"},
               {"\xE2\x80\xAF", "a narrow no-break space (U+202F)", "a blank"},
               {"\xE3\x80\x80", "a wide space (U+3000)", "a blank"},
               {"\xEF\xBB\xBF", "a byte-order mark (U+FEFF)", NULL},
               {"\xE2\x80\x9C", "a typographic quote (U+201C)", "\""},
               {"\xE2\x80\x9D", "a typographic quote (U+201D)", "\""},
               {"\xE2\x80\x9E", "a typographic quote (U+201E)", "\""},
               {"\xE2\x80\x98", "a typographic quote (U+2018)", "'"},
               {"\xE2\x80\x99", "a typographic quote (U+2019)", "'"},
               {"\xE2\x80\x93", "a dash (U+2013)", "-"},
               {"\xE2\x80\x94", "a dash (U+2014)", "-"},
               {"\xE2\x88\x92", "a minus sign (U+2212)", "-"},
               {"\xEF\xBC\x9A", "a wide colon (U+FF1A)", ":"},
               {"\xEF\xBC\x8C", "a wide comma (U+FF0C)", ","}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    const size_t length = strlen(known[i].bytes);
    if (n < length || memcmp(s, known[i].bytes, length) != 0) continue;
    *name = known[i].name;
    *type = known[i].type;
    return length;
  }
  return 0;
}

const char *duel_yaml_foreign(const char *text, size_t n) {
  if (n >= 2 && (!memcmp(text, "\xFF\xFE", 2) || !memcmp(text, "\xFE\xFF", 2)))
    return "the file is in UTF-16: save it as UTF-8";
  if (n >= 4 && ((!text[0] && text[1] && !text[2]) || (text[0] && !text[1] && text[2] && !text[3])))
    return "the file is in UTF-16: save it as UTF-8";
  return memchr(text, 0, n) ? "no text: a recipe is a text file in UTF-8" : "";
}

// ---- what is wrong, by how it looks. Each yields whether it knows

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool tab(duel_yaml_fault *f, char *dst, size_t n) {
  const size_t line = line_of(f, f->at), end = indent_of(f, line);
  const char *found = memchr(f->text + line, '\t', end - line);
  if (!found) return false;
  f->at = (size_t)(found - f->text);
  snprintf(dst, n, "a tab: YAML is indented with blanks");
  return true;
}

static bool lookalike(duel_yaml_fault *f, size_t line, char *dst, size_t n) {
  const char *name, *type;
  for (size_t at = line; at < f->n && !is_break(f->text[at]) && f->text[at] != '#'; at++) {
    if (!duel_yaml_lookalike(f->text + at, f->n - at, &name, &type)) continue;
    f->at = at;
    snprintf(dst, n, type ? "%s: type %s in its place" : "%s, which does not show: take it out", name, type);
    return true;
  }
  return false;
}

static bool no_blank(duel_yaml_fault *f, size_t line, char *dst, size_t n) {
  const size_t at = indent_of(f, line);
  if (at + 1 >= f->n || f->text[at] != '-' || !is_word(f->text[at + 1])) return false;
  f->at = at;
  snprintf(dst, n, "a blank is missing after '-'");
  return true;
}

// A line that was to be `key: value`, or an item, and is neither.
static bool no_pair(duel_yaml_fault *f, size_t line, char *dst, size_t n) {
  const size_t end = end_of(f, line);
  size_t at = indent_of(f, line);
  if (no_blank(f, line, dst, n)) return true;
  if (at + 1 < end && f->text[at] == '-' && f->text[at + 1] == ' ') at += 2;
  const size_t word = at;
  while (at < end && is_word(f->text[at])) at++;
  const int length = at - word < 40 ? (int)(at - word) : 40;
  size_t next = at;
  while (next < end && f->text[next] == ' ') next++;
  if (at == word) return false;
  if (f->text[at] == ':' && at + 1 < end && f->text[at + 1] != ' ') {
    snprintf(dst, n, "a blank is missing after the ':' of %.*s", length, f->text + word);
  } else if (next == end || f->text[next] == '#') {
    snprintf(dst, n, "a ':' is missing after %.*s", length, f->text + word);
  } else if (f->text[next] == '=') {
    snprintf(dst, n, "'=' gives no value here: write %.*s: …", length, f->text + word);
  } else {
    return false;
  }
  f->at = at;
  return true;
}

// "mapping values are not allowed": a ':' where no key may stand.
static void second_pair(duel_yaml_fault *f, char *dst, size_t n) {
  const size_t line = line_of(f, f->at), before = line_before(f, line);
  for (size_t at = line; at + 1 < f->at; at++)
    if (f->text[at] == ':' && f->text[at + 1] == ' ') {
      snprintf(dst, n,
               "a second ':' in one line: put text that has one in quotes, and keys on lines of their own or in {}");
      return;
    }
  if (no_blank(f, line, dst, n) || (before != line && no_pair(f, before, dst, n))) return;
  f->at = indent_of(f, line);
  snprintf(dst, n, "this line is indented deeper than line %zu, which has a value already: begin both in one column",
           line_number(f, before));
}

// "did not find expected key": a line of a mapping that is none of its keys.
static void no_key(duel_yaml_fault *f, char *dst, size_t n) {
  const size_t line = line_of(f, f->at), first = indent_of(f, line), before = line_before(f, line);
  size_t begin_line, col;
  duel_yaml_position(f->text, f->begin, &begin_line, &col);
  if (f->at > first) {
    snprintf(dst, n, "the value ends before this: put all of it in quotes, or take this away");
    return;
  }
  if (before != line && no_blank(f, before, dst, n)) return;
  snprintf(dst, n, "a key is due in column %zu, where line %zu has one: indent this line as its neighbors", col + 1,
           begin_line + 1);
}

static void not_closed(duel_yaml_fault *f, char open, char close, char *dst, size_t n) {
  snprintf(dst, n, "',' or '%c' is due here: '%c' of line %zu is not closed", close, open, line_number(f, f->begin));
}

// ---- what is wrong, by libyaml's words

static bool says(const char *problem, const char *words) {
  return problem && strstr(problem, words) != NULL;
}

static bool by_context(duel_yaml_fault *f, char *dst, size_t n) {
  if (says(f->problem, "did not find expected ',' or ']'")) {
    not_closed(f, '[', ']', dst, n);
  } else if (says(f->problem, "did not find expected ',' or '}'")) {
    not_closed(f, '{', '}', dst, n);
  } else if (says(f->context, "quoted scalar") && says(f->problem, "end of stream")) {
    f->at = f->begin;
    snprintf(dst, n, "the quote that opens here is not closed");
  } else if (says(f->problem, "mapping values are not allowed")) {
    second_pair(f, dst, n);
  } else if (says(f->problem, "could not find expected ':'")) {
    f->at = f->begin;
    if (!no_pair(f, line_of(f, f->at), dst, n)) snprintf(dst, n, "a ':' is missing in this line");
  } else if (says(f->context, "block mapping") && says(f->problem, "expected key")) {
    no_key(f, dst, n);
  } else if (says(f->problem, "expected '-' indicator")) {
    snprintf(dst, n,
             "an item of the list of line %zu is due: begin it with '- ', or indent this line as what it belongs to",
             line_number(f, f->begin));
  } else {
    return false;
  }
  return true;
}

void duel_yaml_explain(duel_yaml_fault *f, char *dst, size_t n) {
  static const char *const words[][2] = {
      {"block sequence entries are not allowed", "a list's '-' begins a line of its own; in one line a list is [a, b]"},
      {"cannot start any token", "no value begins with this character: put the value in quotes"},
      {"mapping keys are not allowed", "text that begins with ? stands in quotes"},
      {"incompatible YAML document", "leave the line with %YAML out"},
      {"unknown escape character", "in double quotes \\ begins an escape: write \\\\, or use single quotes"},
      {"expected node content", "a value is due here; text that begins with this character stands in quotes"},
      {"expected <document start>", "the recipe has ended before this line: indent it as the first one"},
      {"while scanning a directive", "a line cannot begin with %: put it in quotes"},
      {"while scanning an alias", "text that begins with * stands in quotes"},
      {"while scanning an anchor", "text that begins with & stands in quotes"},
      {"scanning a tag", "text that begins with ! stands in quotes"},
      {"while scanning a block scalar",
       "text after | and > begins on the next line, deeper; put other text in quotes"}};
  const size_t line = line_of(f, f->at), begin = line_of(f, f->begin);
  if (tab(f, dst, n) || lookalike(f, line, dst, n) || (begin < line && lookalike(f, begin, dst, n))) return;
  if (lookalike(f, line_before(f, line), dst, n) || by_context(f, dst, n)) return;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (says(f->problem, words[i][0]) || says(f->context, words[i][0])) {
      snprintf(dst, n, "%s", words[i][1]);
      return;
    }
  snprintf(dst, n, "%s", f->problem ? f->problem : "not YAML");
}
