// Labels of pictures: of a dataset.json, or of folders. Invariant: they follow from the pictures that are left, as if
// there had never been others.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "io/data/pictures.h"

static const char *path_of(const duel_pictures *p, int64_t i) {
  return p->files->file[p->item[i]].path;
}

static duel_status make_labels(duel_pictures *p) {
  if (!p->label) p->label = duel_malloc((size_t)p->n);
  return p->label ? DUEL_OK : duel_fail_memory(p->files->root, (size_t)p->n);
}

static void forget_labels(duel_pictures *p) {
  duel_free(p->label);
  p->label = NULL;
  p->class_name = NULL;
  p->classes = 0;
}

// ---- by folders

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The names of the folders that all pictures lie in. The files are sorted, so those of one folder are neighbors; but
// "a b/" comes before "a/", so the names are sorted once more. 0: some lie in none, or there are too many: −1.
static duel_status folders_of(duel_pictures *p, const char *name[DUEL_FOLDER_CLASSES], int *n) {
  const char *begin = NULL;
  size_t length = 0;
  *n = 0;
  for (int64_t i = 0; i < p->n; i++) {
    const char *path = path_of(p, i), *slash = strchr(path, '/');
    if (!slash) return *n = 0, DUEL_OK;
    if (begin && length == (size_t)(slash - path) && !memcmp(begin, path, length)) continue;
    begin = path;
    length = (size_t)(slash - path);
    if (*n == DUEL_FOLDER_CLASSES) return *n = -1, DUEL_OK;
    name[*n] = duel_pool_text(&p->pool, path, length);
    if (!name[(*n)++]) return duel_fail_memory(p->files->root, length);
  }
  qsort(name, (size_t)*n, sizeof *name, by_name);
  return DUEL_OK;
}

// Whether folders of five digits or more only divide the pictures by thousands, as FFHQ's: 69000/69123.png, or
// 00069/img00069123.png.
static bool count_thousands(const duel_pictures *p) {
  for (int64_t i = 0; i < p->n; i++) {
    const char *path = path_of(p, i), *slash = strchr(path, '/'), *digits = slash + 1;
    const size_t length = strspn(path, "0123456789");
    if (length < 5 || path + length != slash) return false;
    while (*digits && (*digits < '0' || *digits > '9')) digits++;
    if (!*digits || strchr(digits, '/')) return false;
    const long long folder = atoll(path), number = atoll(digits);
    if (folder != number / 1000 && folder != number / 1000 * 1000) return false;
  }
  return true;
}

static duel_status label_by_folder(duel_pictures *p, bool first) {
  const char *name[DUEL_FOLDER_CLASSES];
  int n;
  DUEL_TRY(folders_of(p, name, &n));
  const bool counted = n > 0 && count_thousands(p);
  if (counted && first)
    duel_data_note(p->options, "the folders of %s count their pictures by thousands and are no classes: no labels",
                   p->files->root);
  if (n < 0 && first)
    duel_data_note(p->options, "the pictures of %s lie in more than %d folders, too many to be classes: no labels",
                   p->files->root, DUEL_FOLDER_CLASSES);
  duel_free(p->counted);
  p->counted = NULL;
  if (n <= 0) return forget_labels(p), DUEL_OK;
  p->class_name = duel_pool_alloc(&p->pool, (size_t)n * sizeof *name);
  if (!p->class_name) return duel_fail_memory(p->files->root, (size_t)n * sizeof *name);
  DUEL_TRY(make_labels(p));
  memcpy(p->class_name, name, (size_t)n * sizeof *name);
  for (int64_t i = 0; i < p->n; i++) {
    const char *path = path_of(p, i);
    char own[NAME_MAX + 1];
    snprintf(own, sizeof own, "%.*s", (int)(strchr(path, '/') - path), path);
    const char *key = own, **found = bsearch(&key, name, (size_t)n, sizeof *name, by_name);
    p->label[i] = found ? (uint8_t)(found - name) : 0; // a name that long is a zip file's
  }
  p->classes = n;
  if (!counted) return DUEL_OK;
  p->counted = p->label;
  p->label = NULL;
  return forget_labels(p), DUEL_OK;
}

// Where all pictures lie in one folder and, in that, in several, those are the classes that somebody means.
static duel_status check_depth(const duel_pictures *p) {
  const char *first = path_of(p, 0);
  size_t length = 0; // of the folders that all share
  for (const char *slash; (slash = strchr(first + length, '/')) != NULL; length = (size_t)(slash - first) + 1)
    for (int64_t i = 1; i < p->n; i++)
      if (strncmp(path_of(p, i), first, (size_t)(slash - first) + 1)) goto found;
found:
  if (length == 0) return DUEL_OK;
  for (int64_t i = 0; i < p->n; i++)
    if (!strchr(path_of(p, i) + length, '/')) return DUEL_OK; // pictures lie beside the folders, or there are none
  return duel_fail(DUEL_ERR_DATA,
                   "all pictures of %s lie in %s/%.*s, in folders of it, which are the classes: name %s/%.*s",
                   p->files->root, p->files->root, (int)length - 1, first, p->files->root, (int)length - 1, first);
}

// ---- train, val and test

typedef enum part { NO_PART, TRAIN, VAL, TEST } part;

// What part of a set a folder is called after: train, val2017, Test_images, trainA.
static part part_of(const char *name) {
  static const struct {
    const char *word;
    part part;
  } words[] = {{"training", TRAIN}, {"train", TRAIN},  {"validation", VAL}, {"valid", VAL}, {"val", VAL},
               {"dev", VAL},        {"testing", TEST}, {"test", TEST},      {"eval", TEST}};
  static const char *const ends[] = {"a", "b", "x", "set", "data", "images", "imgs", "split", ""};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    const size_t n = strlen(words[i].word);
    if (strncasecmp(name, words[i].word, n)) continue;
    const char *rest = name + n + strspn(name + n, "_- .0123456789");
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
      if (!strcasecmp(rest, ends[k])) return words[i].part;
  }
  return NO_PART;
}

bool duel_classes_mixed(const char *const *name, int64_t classes, int64_t *train) {
  int64_t trains = 0;
  *train = -1;
  for (int64_t i = 0; name && i < classes; i++) {
    const part is = part_of(name[i]);
    if (is == NO_PART) return false;
    trains += is == TRAIN;
    if (is == TRAIN && *train < 0) *train = i;
  }
  return trains > 0 && trains < classes;
}

static void tell_mixed(const duel_pictures *p) {
  char list[2048];
  size_t at = 0;
  int64_t train, told = 0;
  const char *root = p->files->root;
  if (!strncmp(root, "./", 2)) root += 2;
  if (!duel_classes_mixed(p->class_name, p->classes, &train)) return;
  for (part k = TRAIN; k <= TEST; k++)
    for (int64_t i = 0; i < p->classes && at < sizeof list; i++) {
      if (part_of(p->class_name[i]) != k) continue;
      const char *between = told == 0 ? "" : told + 1 == p->classes ? " and " : ", ";
      at += (size_t)snprintf(list + at, sizeof list - at, "%s%s/%.60s", between, root, p->class_name[i]);
      told++;
    }
  duel_data_note(p->options, "Data: %s are all trained on, as %lld classes; name %s/%s for the first alone", list,
                 (long long)p->classes, root, p->class_name[train]);
}

// ---- by dataset.json: {"labels": [["00000/img00000000.png", 6], …]}, or null

typedef struct given {
  const char *path;
  int64_t label;
} given;

static int by_path(const void *a, const void *b) {
  return strcmp(((const given *)a)->path, ((const given *)b)->path);
}

// The pairs; −1 as a label that is no number from 0 to 255.
static duel_status read_given(const duel_json *labels, given **list, size_t *n) {
  *n = 0;
  for (const duel_json *j = labels->child; j; j = j->next) ++*n;
  *list = duel_malloc((*n + 1) * sizeof **list);
  if (!*list) return duel_fail_memory("dataset.json", *n * sizeof **list);
  *n = 0;
  for (const duel_json *j = labels->child; j; j = j->next) {
    const duel_json *path = j->type == DUEL_JSON_ARRAY ? j->child : NULL, *label = path ? path->next : NULL;
    if (!label || path->type != DUEL_JSON_STRING) continue;
    const bool fits = label->type == DUEL_JSON_NUMBER && label->is_integer && label->integer >= 0 &&
                      label->integer < DUEL_FOLDER_CLASSES;
    (*list)[(*n)++] = (given){path->text, fits ? label->integer : -1};
  }
  qsort(*list, *n, sizeof **list, by_path);
  return DUEL_OK;
}

static void count_classes(duel_pictures *p) {
  p->classes = 0;
  for (int64_t i = 0; i < p->n; i++)
    if (p->label[i] >= p->classes) p->classes = p->label[i] + 1;
}

static duel_status apply(duel_pictures *p, const given *list, size_t n) {
  int64_t labeled = 0, first = -1; // without a label
  DUEL_TRY(make_labels(p));
  for (int64_t i = 0; i < p->n; i++) {
    const given key = {.path = path_of(p, i)};
    const given *found = n ? bsearch(&key, list, n, sizeof key, by_path) : NULL;
    const bool good = found && found->label >= 0;
    if (good) p->label[i] = (uint8_t)found->label;
    if (!good && first < 0) first = i;
    labeled += good;
  }
  if (first < 0) {
    count_classes(p);
    return DUEL_OK;
  }
  duel_data_note(p->options,
                 "%s/dataset.json has labels from 0 to %d for %lld of %lld pictures, and none for %s: no labels",
                 p->files->root, DUEL_FOLDER_CLASSES - 1, (long long)labeled, (long long)p->n, path_of(p, first));
  forget_labels(p);
  return DUEL_OK;
}

// Leaves p->numbered false where the file is another program's.
static duel_status label_by_json(duel_pictures *p, int64_t file) {
  enum { MOST = 1 << 28 };
  uint8_t *bytes;
  size_t n;
  duel_json *root = NULL;
  duel_status status = duel_files_read(p->files, file, MOST, &bytes, &n);
  if (status == DUEL_OK) {
    status = duel_json_parse(&root, (const char *)bytes, n);
    duel_free(bytes);
  }
  if (status == DUEL_ERR_DEVICE) return status;
  const duel_json *labels = root && root->type == DUEL_JSON_OBJECT ? duel_json_get(root, "labels") : NULL;
  if (status != DUEL_OK)
    duel_data_note(p->options, "%s/dataset.json is not read: %s", p->files->root, duel_last_error());
  duel_clear_error();
  status = DUEL_OK;
  p->numbered = labels != NULL;
  if (labels && labels->type == DUEL_JSON_ARRAY && labels->child) {
    given *list;
    status = read_given(labels, &list, &n);
    if (status == DUEL_OK) status = apply(p, list, n);
    duel_free(list);
  }
  duel_free(root);
  return status;
}

// ---- both

duel_status duel_classes_find(duel_pictures *p, duel_found *found) {
  for (int64_t i = 0; i < found->files.n && !p->numbered; i++) {
    if (strcmp(found->files.file[i].path, "dataset.json") || found->files.file[i].why) continue;
    DUEL_TRY(label_by_json(p, i));
    if (p->numbered) found->used = i;
  }
  if (p->numbered) return DUEL_OK;
  DUEL_TRY(check_depth(p));
  DUEL_TRY(label_by_folder(p, true));
  tell_mixed(p);
  return DUEL_OK;
}

duel_status duel_classes_again(duel_pictures *p) {
  if (!p->numbered) return label_by_folder(p, false);
  if (p->label) count_classes(p);
  return DUEL_OK;
}
