// Systems as people have them: file systems that lack a call, temporaries of other machines and containers, folders
// that others use at the same time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/host.h"
#include "io/data/cache.h"
#include "io/file.h"
#include "io_help.h"
#include "run/rundir.h"
#include "run_help.h"

static bool is_there(const char *name) {
  struct stat st;
  return lstat(scratch(name), &st) == 0;
}

static bool holds(const char *name, const char *text) {
  size_t n;
  uint8_t *bytes = scratch_get(name, &n);
  const bool same = bytes && n == strlen(text) && !memcmp(bytes, text, n);
  free(bytes);
  return same;
}

static duel_status write_text(const char *name, const char *text) {
  return duel_file_write(scratch(name), text, strlen(text));
}

static void grow_old(const char *name) {
  const struct timespec past[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
  assert_int_equal(utimensat(AT_FDCWD, scratch(name), past, AT_SYMLINK_NOFOLLOW), 0);
}

static void no_more_lacks(void) {
  char text[8192];
  while (duel_file_lacks(text, sizeof text)) {}
}

// ---- calls that a file system does not know

static void written_without(void **state) {
  (void)state;
  static const struct {
    const char *letters;
    int errors[6];
  } lacks[] = {{"l", {ENOLCK, ENOSYS, EOPNOTSUPP, EINVAL, EBADF, EIO}},    // locks
               {"a", {EOPNOTSUPP, ENOSYS, EINVAL, ENOTTY, EPERM}},         // reserving space
               {"F", {EINVAL, ENOSYS, EOPNOTSUPP, EBADF, EACCES, EISDIR}}, // syncing folders
               {"O", {EACCES}},                                            // reading them
               {"f", {EINVAL, ENOSYS, EOPNOTSUPP}},                        // syncing files
               {"laFf", {ENOSYS, EOPNOTSUPP, EINVAL}}};
  for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++)
    for (int k = 0; k < 6 && lacks[i].errors[k]; k++) {
      const int files = open_files();
      scratch_put("a", "old", 3);
      fault_lack(lacks[i].letters, lacks[i].errors[k]);
      const duel_status status = write_text("a", "new");
      fault_end();
      must(status);
      assert_true(holds("a", "new"));
      assert_int_equal(scratch_count(), 1);
      assert_int_equal(open_files(), files);
    }
  no_more_lacks();
}

static void not_without(void **state) { // what says that the disk is full or broken
  (void)state;
  static const char *const letters[] = {"a", "f", "n", "w"};
  for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
    scratch_put("a", "old", 3);
    fault_lack(letters[i], ENOSPC);
    const duel_status status = write_text("a", "new");
    fault_end();
    assert_int_equal(status, DUEL_ERR_IO);
    assert_message("free some space");
    assert_true(holds("a", "old"));
    assert_int_equal(scratch_count(), 1);
  }
}

static void lack_is_told_once(void **state) {
  (void)state;
  char text[8192], later[8192];
  for (int i = 0; i < 2; i++) {
    fault_lack("f", ENOSYS);
    must(write_text("a", "new"));
    fault_end();
  }
  assert_true(duel_file_lacks(text, sizeof text));
  assert_non_null(strstr(text, "power failure"));
  assert_non_null(strstr(text, scratch("")));
  assert_false(duel_file_lacks(later, sizeof later));
}

// Some file systems refuse to rename over a file that is there.
static int (*real_rename)(const char *from, const char *to);
static int rename_refusing(const char *from, const char *to) {
  struct stat st;
  if (lstat(to, &st) == 0) return errno = EEXIST, -1;
  return real_rename(from, to);
}

static void replaced_in_two_steps(void **state) {
  (void)state;
  scratch_put("a", "old", 3);
  real_rename = duel_fs.rename;
  duel_fs.rename = rename_refusing;
  const duel_status status = write_text("a", "new"), link = duel_file_link("a", scratch("latest")),
                    again = duel_file_link("b", scratch("latest"));
  duel_fs.rename = real_rename;
  must(status);
  must(link);
  must(again);
  assert_true(holds("a", "new"));
  char target[8] = "";
  assert_int_equal(readlink(scratch("latest"), target, sizeof target - 1), 1);
  assert_string_equal(target, "b");
  assert_int_equal(scratch_count(), 2);
  fault_lack("n", EPERM); // no renaming at all
  const duel_status none = write_text("a", "newer");
  fault_end();
  assert_int_equal(none, DUEL_ERR_IO);
  assert_true(holds("a", "new"));
  assert_int_equal(scratch_count(), 2);
  no_more_lacks();
}

static void long_names(void **state) {
  (void)state;
  char name[256] = "";
  while (strlen(name) < 255)
    strcat(name, strlen(name) % 2 ? "\303\244" : "x"); // the temporary's must fit, and be UTF-8
  name[255] = 0;
  must(write_text(name, "long"));
  assert_true(holds(name, "long"));
  assert_int_equal(scratch_count(), 1);
}

// ---- temporaries

static void swept_if_nobody_writes_it(void **state) {
  (void)state;
  int status, files = open_files();
  duel_draft draft;
  must(duel_draft_begin(&draft, scratch("mine"), 3));
  const int other = open(scratch(".theirs.tmp.1.0"), O_RDWR | O_CREAT, 0600); // of another container's process 1
  assert_int_equal(flock(other, LOCK_EX), 0);
  grow_old(".theirs.tmp.1.0");
  scratch_put(".dead.tmp.1.1", "", 0);
  scratch_put(".a.tmp.1.tmp.999999999.1", "", 0); // the name itself may look so
  scratch_put(".x.tmp.notanumber.1", "", 0);
  scratch_put("x.tmp.999999999.1", "", 0); // not hidden: not ours
  assert_int_equal(mkdir(scratch(".folder.tmp.1.0"), 0700), 0);
  assert_int_equal(symlink("x", scratch(".new.tmp.1.0")), 0);
  assert_int_equal(symlink("x", scratch(".old.tmp.1.0")), 0);
  grow_old(".old.tmp.1.0");
  const pid_t pid = fork(); // another process sweeps
  if (pid == 0) {
    duel_file_sweep(scratch(""));
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(is_there(".theirs.tmp.1.0") && is_there(".x.tmp.notanumber.1") && is_there("x.tmp.999999999.1") &&
              is_there(".folder.tmp.1.0") && is_there(".new.tmp.1.0"));
  assert_int_equal(scratch_count(), 6); // and that of the draft
  must(duel_draft_put(&draft, "abc", 3, 0));
  must(duel_draft_commit(&draft));
  assert_true(holds("mine", "abc"));
  close(other);
  duel_file_sweep(scratch(""));
  assert_false(is_there(".theirs.tmp.1.0"));
  duel_file_sweep(scratch("none"));
  assert_int_equal(open_files(), files);
}

static void swept_by_age_without_locks(void **state) {
  (void)state;
  scratch_put(".young.tmp.999999999.0", "", 0);
  scratch_put(".old.tmp.999999999.0", "", 0);
  grow_old(".old.tmp.999999999.0");
  fault_lack("l", ENOLCK);
  duel_file_sweep(scratch(""));
  fault_end();
  assert_true(is_there(".young.tmp.999999999.0"));
  assert_false(is_there(".old.tmp.999999999.0"));
}

static void name_of_another_is_left_alone(void **state) {
  (void)state;
  fault_begin(FAULT_ERROR, 2, 0, EEXIST); // a process of our number, in another container, has a file of that name
  const duel_status status = write_text("a", "mine");
  fault_end();
  must(status);
  assert_memory_equal(fault_log(), "Oool", 4); // another name is taken, and none is removed
  assert_null(strchr(fault_log(), 'u'));
  assert_true(holds("a", "mine"));
  fault_lack("o", EEXIST); // there is an end to that
  assert_int_equal(write_text("a", "more"), DUEL_ERR_IO);
  fault_end();
  assert_true(holds("a", "mine"));
}

// A sweep between the making of a temporary and its lock.
static int (*real_flock)(int fd, int operation);
static int sweeps_left;
static int flock_after_a_sweep(int fd, int operation) {
  if (sweeps_left-- > 0) {
    duel_fs.flock = real_flock;
    duel_file_sweep(scratch(""));
    duel_fs.flock = flock_after_a_sweep;
  }
  return real_flock(fd, operation);
}

static void swept_too_early(void **state) {
  (void)state;
  real_flock = duel_fs.flock;
  duel_fs.flock = flock_after_a_sweep;
  sweeps_left = 3;
  const duel_status status = write_text("a", "mine");
  duel_fs.flock = real_flock;
  must(status);
  assert_true(sweeps_left < 0 && holds("a", "mine"));
  assert_int_equal(scratch_count(), 1);
}

static void unfinished_are_removed(void **state) {
  (void)state;
  duel_draft draft[20]; // more than are remembered
  char name[8];
  for (int i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "%d", i);
    must(duel_draft_begin(&draft[i], scratch(name), 1));
  }
  duel_draft_drop(&draft[0]);
  must(write_text("done", "done"));
  duel_remove_unfinished();
  assert_int_equal(scratch_count(), 4 + 1);
  assert_true(holds("done", "done"));
  for (int i = 1; i < 20; i++) duel_draft_drop(&draft[i]);
  assert_int_equal(scratch_count(), 1);
}

// ---- the cache's places

static duel_status write_some(const duel_cache_place *place, char path[PATH_MAX]) {
  return duel_cache_write(place, path, &(duel_part){"cache", 5}, 1);
}

static duel_cache_place places(void) {
  duel_cache_place place;
  snprintf(place.beside, sizeof place.beside, "%s", scratch("beside/.duel.cache"));
  snprintf(place.home, sizeof place.home, "%s", scratch("home/duel/x.cache"));
  return place;
}

static void cache_goes_home(void **state) {
  (void)state;
  duel_cache_place place = places();
  char path[PATH_MAX];
  assert_int_equal(mkdir(scratch("beside"), 0700), 0);
  must(write_some(&place, path));
  assert_string_equal(path, place.beside);
  fault_begin(FAULT_ERROR, 2, 0, EACCES); // access() says that the folder can be written, and opening a file otherwise
  const duel_status status = write_some(&place, path);
  fault_end();
  must(status);
  assert_string_equal(path, place.home);
  fault_lack("o", ENOSPC);
  assert_int_equal(write_some(&place, path), DUEL_ERR_IO);
  fault_end();
  assert_message(place.beside);
  assert_message(place.home);
  assert_message("XDG_CACHE_HOME");
  place.home[0] = 0;
  strcpy(place.beside, scratch("none/.duel.cache"));
  assert_int_equal(write_some(&place, path), DUEL_ERR_IO);
  assert_message("neither XDG_CACHE_HOME nor HOME is set");
}

// ---- run directories

static duel_status create(duel_rundir *d, const char *recipe, const char *desc) {
  return duel_rundir_create(d, scratch("runs"), recipe, "data", 8, desc);
}

static const char *name_of(const duel_rundir *d) {
  return strrchr(d->path, '/') + 1;
}

static void run_without_locks(void **state) {
  (void)state;
  static const int errors[] = {ENOLCK, ENOSYS, EOPNOTSUPP, EINVAL};
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    duel_rundir d, again;
    fault_lack("l", errors[i]);
    must(create(&d, "r", NULL));
    must(duel_rundir_open(&again, d.path));
    fault_end();
    assert_int_equal(d.unlocked, errors[i]);
    assert_int_equal(again.unlocked, errors[i]);
    duel_rundir_close(&again);
    duel_rundir_discard(&d);
  }
  duel_rundir d, again;
  must(create(&d, "r", NULL));
  assert_int_equal(d.unlocked, 0);
  assert_int_equal(duel_rundir_open(&again, d.path), DUEL_ERR_IO);
  assert_message("another process");
  duel_rundir_discard(&d);
}

static void run_without_links(void **state) {
  (void)state;
  char path[4096], note[256];
  duel_rundir d[3];
  assert_int_equal(duel_find_checkpoint("latest", scratch("runs"), path, sizeof path, note, sizeof note),
                   DUEL_ERR_DATA);
  assert_message("there is no latest run in");
  for (int i = 0; i < 3; i++) {
    char name[128];
    must(create(&d[i], i == 1 ? "b" : "a", NULL));
    snprintf(name, sizeof name, "runs/%.40s/checkpoint-00000000.safetensors", name_of(&d[i]));
    if (i < 2) scratch_put(name, "", 0); // the third has none yet
    fault_lack("s", EPERM);
    assert_int_equal(duel_rundir_point_latest(&d[i], scratch("runs")), DUEL_ERR_IO);
    fault_end();
    assert_message("highest number");
    duel_rundir_close(&d[i]);
  }
  assert_int_equal(duel_find_checkpoint("latest", scratch("runs"), path, sizeof path, note, sizeof note),
                   DUEL_ERR_DATA);
  assert_message("00001-b-data"); // whose checkpoint is no checkpoint
  must(duel_rundir_point_latest(&d[0], scratch("runs")));
  assert_int_equal(duel_find_checkpoint("latest", scratch("runs"), path, sizeof path, note, sizeof note),
                   DUEL_ERR_DATA);
  assert_message("runs/latest: no checkpoint of 1");
}

static void long_run_names(void **state) {
  (void)state;
  char word[301];
  duel_rundir d;
  memset(word, 'x', sizeof word - 1);
  word[sizeof word - 1] = 0;
  must(create(&d, word, word));
  assert_true(strlen(name_of(&d)) <= 255 && !strncmp(name_of(&d), "00000-xxx", 9));
  duel_rundir_discard(&d);
}

// Processes that begin at once never share a number, whatever their names.
static void numbers_are_exclusive(void **state) {
  (void)state;
  enum { PROCESSES = 4, RUNS = 10 };
  bool seen[PROCESSES * RUNS] = {false};
  pid_t pid[PROCESSES];
  int status;
  must(duel_make_folder(scratch("runs")));
  for (int i = 0; i < PROCESSES; i++) {
    pid[i] = fork();
    if (pid[i] != 0) continue;
    for (int k = 0; k < RUNS; k++) {
      duel_rundir d;
      if (create(&d, (const char[]){(char)('a' + i), 0}, NULL) != DUEL_OK) _exit(1);
      duel_rundir_close(&d);
    }
    _exit(0);
  }
  for (int i = 0; i < PROCESSES; i++) {
    assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  for (int n = 0; n < PROCESSES * RUNS; n++)
    for (int i = 0; i < PROCESSES; i++) {
      char name[64];
      snprintf(name, sizeof name, "runs/%05d-%c-data-batch8", n, 'a' + i);
      if (!is_there(name)) continue;
      assert_false(seen[n]);
      seen[n] = true;
    }
  for (int n = 0; n < PROCESSES * RUNS; n++) assert_true(seen[n]);
}

// ---- memory

static void put_number(const char *name, const char *text) {
  scratch_put(name, text, strlen(text));
}

static double quota(const char *cgroups) {
  put_number("cgroups", cgroups);
  return duel_quota_memory(scratch("cgroups"), scratch(""));
}

static void memory_of_cgroups(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++)
    must(duel_make_folder(scratch((const char *[]){"a/b/c", "memory/x/y", "a", "memory"}[i])));
  assert_true(quota("0::/a/b/c\n") == 0); // no files at all
  put_number("a/b/c/memory.max", "max\n");
  assert_true(quota("0::/a/b/c\n") == 0);
  put_number("a/memory.max", "268435456\n"); // a parent's counts too
  assert_true(quota("0::/a/b/c\n") == 268435456);
  put_number("a/memory.current", "200000000\n");
  assert_true(quota("0::/a/b/c\n") == 68435456);
  put_number("a/memory.stat", "anon 100000000\nfile 99000000\ninactive_file 60000000\nactive_file 30000000\n");
  assert_true(quota("0::/a/b/c\n") == 158435456); // files are dropped when memory runs short
  put_number("a/b/memory.max", "100000000\n");
  put_number("a/b/memory.current", "100000001\n");
  assert_true(quota("0::/a/b/c\n") == 1); // none is left, which is another thing than no limit
  put_number("memory/x/memory.limit_in_bytes", "9223372036854771712\n"); // that of no limit
  put_number("memory/memory.limit_in_bytes", "134217728\n");
  assert_true(quota("9:cpu:/x/y\n4:memory:/x/y\n") == 134217728);
  put_number("memory/x/y/memory.limit_in_bytes", "100000000\n");
  put_number("memory/x/y/memory.usage_in_bytes", "90000000\n");
  put_number("memory/x/y/memory.stat", "cache 5\ninactive_file 1\ntotal_inactive_file 50000000\ntotal_active_file 7\n");
  assert_true(quota("4:memory,hugetlb:/x/y\n") == 60000007);
  assert_true(quota("4:memory:/not/seen/here\n") == 134217728); // as in a container
  assert_true(duel_host_memory() > 0);
  must(duel_host_room("a byte", 1, "cure"));
  assert_int_equal(duel_host_room("one file", 1e18, "draw fewer"), DUEL_ERR_DEVICE);
  assert_message("one file needs 953674316406 MiB of memory: only ");
  assert_message(" MiB are free; draw fewer");
}

// ---- a training there

typedef struct told {
  char warnings[8192];
  int n;
} told;

static void hear(void *ctx, duel_run *run, const duel_train_event *event) {
  told *t = ctx;
  (void)run;
  if (event->kind != DUEL_EVENT_WARNING) return;
  t->n++;
  snprintf(t->warnings + strlen(t->warnings), sizeof t->warnings - strlen(t->warnings), "%s\n", event->text);
}

static void training_without(void **state) {
  (void)state;
  static duel_train_result result;
  static const struct {
    const char *letters;
    int error;
    const char *says; // NULL: nothing
  } lacks[] = {
      {"l", ENOSYS, "locks do not work on this file system: nothing keeps two trainings apart in "},
      {"l", ENOLCK, "locks do not work on this file system: nothing keeps two trainings apart in "},
      {"s", EPERM, "latest cannot be set: Operation not permitted; `latest` is the run of the highest number there"},
      {"a", EOPNOTSUPP, NULL},
      {"F", EINVAL, NULL}};
  const duel_set set = {.key = "train.length", .value = "2 steps"};
  for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
    told t = {.n = 0};
    char outdir[8];
    snprintf(outdir, sizeof outdir, "runs%zu", i);
    const duel_train_options o = {.run = {.recipe = small_recipe, .set = &set, .n_set = 1},
                                  .outdir = scratch(outdir),
                                  .on_event = hear,
                                  .ctx = &t};
    fault_lack(lacks[i].letters, lacks[i].error);
    const duel_status status = duel_train(&o, &result);
    fault_end();
    must(status);
    assert_int_equal(t.n, lacks[i].says != NULL);
    if (lacks[i].says) assert_non_null(strstr(t.warnings, lacks[i].says));
  }
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      TEST(lack_is_told_once), // first: once is once a process
      TEST(written_without),
      TEST(not_without),
      TEST(replaced_in_two_steps),
      TEST(long_names),
      TEST(swept_if_nobody_writes_it),
      TEST(swept_by_age_without_locks),
      TEST(name_of_another_is_left_alone),
      TEST(swept_too_early),
      TEST(unfinished_are_removed),
      TEST(cache_goes_home),
      TEST(run_without_locks),
      TEST(run_without_links),
      TEST(long_run_names),
      TEST(numbers_are_exclusive),
      TEST(memory_of_cgroups),
      cmocka_unit_test_setup_teardown(training_without, small_recipe_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
