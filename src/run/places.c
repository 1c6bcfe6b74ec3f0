#include "run/places.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/text.h"
#include "io/data/find.h"
#include "io/file.h"
#include "recipe/yaml.h"

static const char file_name[] = "places.yaml";

// The same file under an absolute path. A link keeps its name, since a data set is called by it.
static bool make_absolute(char dst[PATH_MAX], const char *path) {
  char folder[PATH_MAX], whole[PATH_MAX], bare[PATH_MAX];
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  if (n >= sizeof bare) return false;
  snprintf(bare, sizeof bare, "%.*s", (int)n, path);
  const char *slash = strrchr(bare, '/'), *base = slash ? slash + 1 : bare;
  if (!*base || !strcmp(base, ".") || !strcmp(base, "..")) return realpath(bare, dst) != NULL;
  duel_folder_of(bare, folder);
  return realpath(folder, whole) && duel_join(dst, PATH_MAX, whole, base);
}

void duel_place_of(char place[PATH_MAX], const char *spec) {
  char path[PATH_MAX];
  *place = 0;
  if (!strncmp(spec, "synthetic:", 10)) return;
  if (duel_find_path(path, spec) != DUEL_OK) {
    duel_clear_error();
    return;
  }
  if ((!strchr(spec, '/') && strncmp(path, "./", 2)) || !make_absolute(place, path)) *place = 0;
}

// `to` seen from the folder `from`, both absolute: "../../photos".
static bool seen_from(char dst[PATH_MAX], const char *from, const char *to) {
  size_t common = 0, n = 0;
  for (size_t i = 0;; i++) {
    const bool end_from = !from[i] || from[i] == '/', end_to = !to[i] || to[i] == '/';
    if (end_from && end_to) common = i;
    if (from[i] != to[i] || !from[i]) break;
  }
  const char *rest = to + common + (to[common] == '/');
  *dst = 0;
  for (const char *up = from + common; *up; up++)
    if (*up == '/' && up[1]) n += (size_t)snprintf(dst + n, n < PATH_MAX ? PATH_MAX - n : 0, "../");
  return n < PATH_MAX && snprintf(dst + n, PATH_MAX - n, "%s", *rest ? rest : n ? "" : ".") < (int)(PATH_MAX - n);
}

static bool add_place(duel_pool *pool, const char *folder, const char *key, const char *place, const char **text) {
  enum { SHOWN = 6 * PATH_MAX };
  char seen[PATH_MAX];
  if (!*place) return true;
  if (!seen_from(seen, folder, place)) return true; // too long to be told
  char *shown = duel_pool_alloc(pool, SHOWN);
  if (!shown) return false;
  duel_yaml_show(shown, SHOWN, &(duel_yaml){.type = DUEL_YAML_SCALAR, .text = seen, .quoted = true});
  *text = duel_pool_format(pool, "%s%s: %s\n", *text, key, shown);
  return *text != NULL;
}

duel_status duel_places_write(const char *folder, const duel_places *places) {
  static const char head[] = "# Where the data lie, seen from this folder.\n";
  char path[PATH_MAX], real[PATH_MAX];
  duel_pool pool = {0};
  const char *text = head;
  if (!realpath(folder, real) || !duel_join(path, PATH_MAX, folder, file_name))
    return duel_fail(DUEL_ERR_IO, "%s cannot be found", folder);
  const bool made = add_place(&pool, real, "data.path", places->data, &text) &&
                    add_place(&pool, real, "data.test", places->test, &text);
  duel_status status = DUEL_OK;
  if (!made)
    status = duel_fail_memory(file_name, 0);
  else if (text == head)
    unlink(path); // it may not be there
  else
    status = duel_file_write(path, text, strlen(text));
  duel_pool_close(&pool);
  return status;
}

// A file that cannot be read is as none: it is an aid, and a stranger may have made it.
void duel_places_find(char place[PATH_MAX], const char *checkpoint, const char *key) {
  char folder[PATH_MAX], path[PATH_MAX], there[PATH_MAX], found[PATH_MAX];
  uint8_t *bytes = NULL;
  size_t n;
  duel_pool pool = {0};
  duel_yaml *root;
  *place = 0;
  duel_folder_of(checkpoint, folder);
  if (duel_join(path, PATH_MAX, folder, file_name) && access(path, F_OK) == 0 &&
      duel_file_read(path, DUEL_YAML_MAX_BYTES, &bytes, &n) == DUEL_OK &&
      duel_yaml_parse(&root, &pool, file_name, (const char *)bytes, n) == DUEL_OK) {
    const duel_yaml *value = duel_yaml_get(root, key);
    const bool text = value && value->type == DUEL_YAML_SCALAR && *value->text;
    if (!text || *value->text == '/' || !duel_join(path, PATH_MAX, folder, value->text) ||
        duel_find_path(found, path) != DUEL_OK || !make_absolute(there, path))
      *there = 0;
    snprintf(place, PATH_MAX, "%s", there);
  }
  duel_clear_error();
  duel_free(bytes);
  duel_pool_close(&pool);
}
