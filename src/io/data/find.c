// From a spec to a path, as people write paths; and to the test set beside it.
#include "io/data/find.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "io/data/synthetic.h"
#include "io/file.h"
#include "io/gzip.h"
#include "io/picture.h"

enum { HEAD = 4096 };

static bool exists(const char *path) {
  struct stat st;
  return stat(path, &st) == 0;
}

// path = FOLDER/NAME, if that is there.
static bool found_in(char path[PATH_MAX], const char *folder, const char *name) {
  return duel_join(path, PATH_MAX, folder, name) && exists(path);
}

static bool is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

// The set's name from its path: the file's, without .gz and the format's habitual endings, or the folder's. Only
// characters that suit a directory's name.
static void name_from(char name[64], const char *path) {
  static const char *const endings[] = {".gz",  "-idx3-ubyte", ".idx3-ubyte", "-idx4-ubyte", "-ubyte",
                                        ".idx", ".npy",        ".npz",        ".zip",        ".bin"};
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  size_t start = n;
  while (start > 0 && path[start - 1] != '/') start--;
  char base[64];
  snprintf(base, sizeof base, "%.*s", (int)(n - start), path + start);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t length = strlen(base), cut = strlen(endings[i]);
    if (length > cut && !strcmp(base + length - cut, endings[i])) base[length - cut] = 0;
  }
  for (char *c = base; *c; c++)
    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c)) *c = '-';
  snprintf(name, 64, "%s", base[0] && strcmp(base, ".") && strcmp(base, "..") ? base : "data");
}

static duel_status keep(duel_found *f, const char **dst, const char *path) {
  *dst = duel_pool_text(&f->pool, path, strlen(path));
  return *dst ? DUEL_OK : duel_fail_memory(path, strlen(path));
}

// ---- paths as people write them

// A spec without the blanks, quotes and file:// around it, and with $HOME for ~.
static duel_status clean(char text[PATH_MAX], const char *spec) {
  size_t n = strlen(spec);
  while (n > 0 && strchr(" \t\r\n", spec[n - 1])) n--;
  while (n > 0 && strchr(" \t\r\n", *spec)) spec++, n--;
  if (n > 1 && (*spec == '"' || *spec == '\'') && spec[n - 1] == *spec) spec++, n -= 2;
  const bool is_url = n >= 7 && !strncasecmp(spec, "file://", 7);
  if (is_url) spec += 7, n -= 7;
  if (is_url && n >= 10 && !strncasecmp(spec, "localhost/", 10)) spec += 9, n -= 9;
  const char *home = getenv("HOME");
  const bool at_home = n > 0 && *spec == '~' && (n == 1 || spec[1] == '/') && home;
  const int length = snprintf(text, PATH_MAX, "%s%.*s", at_home ? home : "", (int)(n - at_home), spec + at_home);
  if (length >= PATH_MAX) return duel_fail(DUEL_ERR_DATA, "data set %.100s…: the path is too long", spec);
  if (!is_url) return DUEL_OK;
  char *to = text;
  for (const char *c = text; *c; c++, to++) { // %20
    unsigned int code;
    *to = *c;
    if (*c == '%' && strspn(c + 1, "0123456789abcdefABCDEF") >= 2 && sscanf(c + 1, "%2x", &code) == 1 && code) {
      *to = (char)code;
      c += 2;
    }
  }
  *to = 0;
  return DUEL_OK;
}

static bool holds_mnist_files(const char *folder) {
  char path[PATH_MAX];
  return found_in(path, folder, "train-images-idx3-ubyte") || found_in(path, folder, "train-images-idx3-ubyte.gz");
}

// A path as it stands; a bare name in $DUEL_DATA, here, then where packages put data sets.
static bool look_for(char path[PATH_MAX], const char *text) {
  const char *data = getenv("DUEL_DATA");
  if (strchr(text, '/')) return snprintf(path, PATH_MAX, "%s", text) < PATH_MAX && exists(path);
  if (data && data[0]) {
    if (found_in(path, data, text)) return true;
    if (!strcmp(text, "fashion-mnist") && holds_mnist_files(data))
      return snprintf(path, PATH_MAX, "%s", data) < PATH_MAX;
  }
  if (!strcmp(text, ".") || !strcmp(text, "..")) return snprintf(path, PATH_MAX, "%s", text) > 0;
  return found_in(path, ".", text) || found_in(path, "/usr/share/datasets", text) ||
         found_in(path, "/usr/local/share/datasets", text);
}

// A path that goes on in a zip file: "set.zip/train" is set.zip and `below` "train".
static bool look_in_zip(char path[PATH_MAX], char below[PATH_MAX], const char *text) {
  char file[PATH_MAX], part[PATH_MAX];
  uint8_t head[4];
  size_t n;
  snprintf(part, sizeof part, "%s", text);
  for (char *slash; (slash = strrchr(part, '/')) != NULL && slash > part;) {
    *slash = 0;
    if (!look_for(file, part)) continue;
    if (duel_file_head(file, head, sizeof head, &n) != DUEL_OK || !duel_is_zip(head, n)) return false;
    strcpy(path, file);
    strcpy(below, text + (slash - part) + 1);
    for (n = strlen(below); n > 0 && below[n - 1] == '/';) below[--n] = 0;
    return true;
  }
  return false;
}

// Other ways in which the same path may have been meant.
static bool look_otherwise(char path[PATH_MAX], char text[PATH_MAX]) {
  char other[PATH_MAX];
  size_t n = strlen(text);
  snprintf(other, sizeof other, "%s", text);
  while (n > 1 && other[n - 1] == '/') other[--n] = 0; // behind a file's name
  if (look_for(path, other)) return true;
  if (!strchr(text, '\\') && !(n > 2 && text[1] == ':' && text[2] == '/')) return false;
  for (char *c = other; *c; c++)
    if (*c == '\\') *c = '/';
  if (look_for(path, other)) return true;
  const char drive = (char)(other[0] | 32); // C:\photos is /mnt/c/photos under WSL
  return other[1] == ':' && drive >= 'a' && drive <= 'z' &&
         snprintf(path, PATH_MAX, "/mnt/%c%s", drive, other + 2) < PATH_MAX && exists(path);
}

// The name in a folder that differs from `name` by its letters' case alone.
static bool find_similar(char similar[NAME_MAX + 1], const char *folder, const char *name) {
  DIR *dir = opendir(folder);
  bool found = false;
  for (struct dirent *e; dir && !found && (e = readdir(dir)) != NULL;) {
    found = !strcasecmp(e->d_name, name);
    if (found) snprintf(similar, NAME_MAX + 1, "%s", e->d_name);
  }
  if (dir) closedir(dir);
  return found;
}

// Where a path ends: at the first part of it that is not there.
static duel_status explain_path(const char *text) {
  char part[PATH_MAX], folder[PATH_MAX], target[PATH_MAX], similar[NAME_MAX + 1];
  struct stat st;
  snprintf(part, sizeof part, "%s", text);
  for (char *slash; (slash = strrchr(part, '/')) != NULL && slash > part;) {
    *slash = 0;
    if (lstat(part, &st) == 0) {
      *slash = '/';
      part[slash - part + 1 + strcspn(slash + 1, "/")] = 0;
      break;
    }
    if (errno == EACCES) break;
  }
  duel_folder_of(part, folder);
  const char *slash = strrchr(part, '/'), *name = slash ? slash + 1 : part;
  const ssize_t n = readlink(part, target, sizeof target - 1);
  if (n > 0) {
    target[n] = 0;
    return duel_fail(DUEL_ERR_DATA, "data set %.200s: %s is a link to %s, which is not there", text, part, target);
  }
  if (access(folder, X_OK) != 0 && errno == EACCES)
    return duel_fail(DUEL_ERR_IO, "data set %.200s: folder %s may not be entered: check its permissions", text, folder);
  if (find_similar(similar, folder, name))
    return duel_fail(DUEL_ERR_DATA, "data set %.200s: no such file or folder; in %s there is %s", text, folder,
                     similar);
  return duel_fail(DUEL_ERR_DATA, "data set %.200s: no such file or folder: %s has no %s", text, folder, name);
}

static duel_status explain(const char *text) {
  const char *data = getenv("DUEL_DATA");
  if (!strcmp(text, "fashion-mnist"))
    return duel_fail(DUEL_ERR_DATA,
                     "fashion-mnist is neither in $DUEL_DATA (%s) nor in /usr/share/datasets: apt install "
                     "dataset-fashion-mnist, or set DUEL_DATA to the folder that holds it",
                     data && data[0] ? data : "not set");
  if (!strncasecmp(text, "http", 4) && strstr(text, "://"))
    return duel_fail(DUEL_ERR_DATA,
                     "data set %.200s: nothing is loaded from the net: fetch it first (curl -LO '%.200s'), and name "
                     "the file, or the folder that it unpacks to",
                     text, text);
  if (strstr(text, "://"))
    return duel_fail(DUEL_ERR_DATA, "data set %.200s: nothing is loaded from the net: copy it here, and name the copy",
                     text);
  if (text[0] && text[1] == ':' && strchr("/\\", text[2]))
    return duel_fail(DUEL_ERR_DATA, "data set %.200s: a path of Windows; under WSL drive %c: is /mnt/%c", text, text[0],
                     text[0] | 32);
  if (strpbrk(text, "*?"))
    return duel_fail(DUEL_ERR_DATA,
                     "data set %.200s: no such file or folder; patterns are not followed: name the folder", text);
  if (text[0] == '$')
    return duel_fail(DUEL_ERR_DATA,
                     "data set %.200s: no such file or folder; variables of the shell are not known here: write the "
                     "path out",
                     text);
  if (strchr(text, '/')) return explain_path(text);
  struct stat st;
  if (lstat(text, &st) == 0) return explain_path(text); // a link that leads nowhere
  char similar[NAME_MAX + 1];
  if (find_similar(similar, ".", text))
    return duel_fail(DUEL_ERR_DATA, "data set %.200s: no such file or folder; here there is %s", text, similar);
  return duel_fail(DUEL_ERR_DATA,
                   "data set %.200s: no such file or folder; fashion-mnist, " DUEL_SYNTHETIC_NAMES " are known by name",
                   text);
}

// ---- a spec

// What a file is that is no data of ours is said before what it is not.
static duel_status check_known(const char *path, uint8_t *head, size_t n) {
  uint8_t inflated[HEAD];
  char cure[2 * PATH_MAX];
  if (duel_is_gzip(head, n)) {
    DUEL_TRY(duel_inflate_head(head, n, inflated, sizeof inflated, &n));
    head = inflated;
  }
  const duel_known *known = duel_known_file(path, head, n);
  const bool side = known->role == DUEL_KNOWN_SIDE, bin = duel_ends_with(path, ".bin");
  if (duel_picture_of(head, n) || known->role == DUEL_KNOWN_READ) return DUEL_OK;
  if (side && (bin || !duel_is_text(head, n))) return DUEL_OK; // CIFAR has no magic
  duel_known_cure(known, path, cure, sizeof cure);
  return duel_fail(DUEL_ERR_DATA, "%s is %s%s", path, known->what,
                   side ? ": name the folder of pictures, or the file of images" : cure);
}

static duel_status find_one(duel_found *f) {
  uint8_t head[HEAD];
  size_t n;
  DUEL_TRY(duel_files_head(&f->files, f->file[0].at, head, sizeof head, &n));
  DUEL_TRY(check_known(f->file[0].path, head, n));
  f->n_files = 1;
  return duel_find_labels(f, &f->file[0]);
}

static duel_status find_in_files(duel_found *f, const char *path, const char *below) {
  DUEL_TRY(duel_files_open(&f->files, path, ""));
  if (!*below) return duel_choose(f);
  char whole[PATH_MAX];
  if (duel_join(whole, PATH_MAX, path, below) && // one file of it, or one array
      (duel_locate(f, whole, &f->file[0]) ||
       (strlen(whole) + 5 < PATH_MAX && duel_locate(f, strcat(whole, ".npy"), &f->file[0]))))
    return find_one(f);
  duel_files_close(&f->files);
  DUEL_TRY(duel_files_open(&f->files, path, below));
  if (f->files.n == 0) return duel_fail(DUEL_ERR_DATA, "%s has no file or folder %s in it", path, below);
  return duel_choose(f);
}

static duel_status find_file(duel_found *f, const char *path) {
  uint8_t head[HEAD];
  size_t n;
  DUEL_TRY(duel_file_head(path, head, HEAD, &n));
  DUEL_TRY(check_known(path, head, n));
  if (duel_is_zip(head, n)) return find_in_files(f, path, "");
  f->n_files = 1;
  f->file[0].at = -1;
  DUEL_TRY(keep(f, &f->file[0].path, path));
  return duel_find_labels(f, &f->file[0]);
}

// Where a spec leads: to a file or folder on the disk, and `below` to what is meant within a zip file. text: as it was
// understood.
static duel_status look_up(char path[PATH_MAX], char below[PATH_MAX], char text[PATH_MAX], const char *spec) {
  bool found = look_for(path, spec); // as it stands, however strange
  snprintf(text, PATH_MAX, "%s", spec);
  *below = 0;
  if (!found) {
    DUEL_TRY(clean(text, spec));
    if (!text[0]) return duel_fail(DUEL_ERR_USAGE, "no data set is named");
    found = look_for(path, text) || look_otherwise(path, text) || look_in_zip(path, below, text);
  }
  return found ? DUEL_OK : explain(text);
}

duel_status duel_find_path(char path[PATH_MAX], const char *spec) {
  char text[PATH_MAX], file[PATH_MAX], below[PATH_MAX];
  DUEL_TRY(look_up(file, below, text, spec));
  if (snprintf(path, PATH_MAX, "%s%s%s", file, *below ? "/" : "", below) < PATH_MAX) return DUEL_OK;
  return duel_fail(DUEL_ERR_DATA, "data set %.100s…: the path is too long", spec);
}

duel_status duel_find(duel_found *f, const char *spec) {
  char text[PATH_MAX], path[PATH_MAX], below[PATH_MAX];
  *f = (duel_found){.used = -1};
  DUEL_TRY(look_up(path, below, text, spec));
  for (char *c = text; *c; c++)
    if (*c == '\\') *c = '/';
  name_from(f->name, text);
  DUEL_TRY(keep(f, &f->path, path));
  return is_folder(path) || *below ? find_in_files(f, path, below) : find_file(f, path);
}

void duel_found_close(duel_found *f) {
  duel_files_close(&f->files);
  duel_pool_close(&f->pool);
  duel_free(f->known);
  duel_free(f->picture);
  *f = (duel_found){.n_files = 0};
}

// ---- the test set beside a set

// Beside the file: the same name with another word for its last "train", plain or .gz; in its folder's name too, where
// each file has a folder of its name.
static bool find_test_file(duel_found *f, char path[PATH_MAX], const char *file) {
  static const char *const words[] = {"t10k", "test"};
  const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
  duel_located l;
  if (!strncmp(base, "data_batch_", 11))
    return snprintf(path, PATH_MAX, "%.*stest_batch.bin", (int)(base - file), file) < PATH_MAX &&
           duel_locate(f, path, &l);
  for (int i = 0; i < 4; i++) {
    if (!duel_other_name(path, file, "train", words[i / 2], i % 2)) continue;
    size_t n = strlen(path);
    if (duel_locate(f, path, &l)) return true;
    if (duel_ends_with(path, ".gz"))
      path[n - 3] = 0;
    else if (n + 3 < PATH_MAX)
      strcpy(path + n, ".gz");
    if (duel_locate(f, path, &l)) return true;
  }
  return false;
}

// Beside the folder, if it is called train.
static bool find_test_folder(const duel_found *f, char path[PATH_MAX]) {
  static const char *const names[] = {"test", "val", "valid", "validation"};
  char whole[PATH_MAX], part[PATH_MAX];
  const char *root = f->files.root;
  if (f->files.zip)
    snprintf(whole, sizeof whole, "%s", root);
  else if (!realpath(root, whole))
    return false;
  char *base = strrchr(whole, '/');
  if (!base || strcmp(base, "/train")) return false;
  *base = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!duel_join(path, PATH_MAX, whole, names[i])) continue;
    if (!f->files.zip && is_folder(path)) return true;
    duel_files files;
    snprintf(part, sizeof part, "%s", path + strlen(f->path) + (f->files.zip ? 1 : 0));
    const bool there = f->files.zip && duel_files_open(&files, f->path, part) == DUEL_OK && files.n > 0;
    if (f->files.zip) duel_files_close(&files);
    if (there) return true;
  }
  return false;
}

duel_status duel_find_test(char path[PATH_MAX], const char *spec) {
  duel_found f;
  duel_status status = duel_find(&f, spec);
  if (status == DUEL_OK && !(f.pictures ? find_test_folder(&f, path) : find_test_file(&f, path, f.file[0].path)))
    path[0] = 0;
  duel_found_close(&f);
  return status;
}
