// Data as people have them: folders with other things in them, damaged pictures, parts of sets, labels in a file, and
// sets that are told what they are.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io_help.h"
#include "picture_help.h"
#include "set_help.h"

static void noted(const char *part) {
  if (!strstr(set_notes, part)) fail_msg("\"%s\" lacks \"%s\"", set_notes, part);
}

static void put(const char *name, const char *text) {
  scratch_put(name, text, strlen(text));
}

static uint8_t pixels[64 * 64 * 3], file[PICTURE_ROOM];
static size_t make_picture(int i) {
  draw_pixels(pixels, 8, 6, 3, i);
  return make_png(file, &(png_kind){6, 8, 8, 2, 0, 0}, pixels);
}

// Picture number i at a path whose folders are made.
static void put_picture(const char *name, int i) {
  char part[256];
  for (const char *slash = name; (slash = strchr(slash, '/')) != NULL; slash++) {
    snprintf(part, sizeof part, "%.*s", (int)(slash - name), name);
    mkdir(scratch(part), 0777);
  }
  const size_t n = make_picture(i); // scratch_put's bytes are in file
  scratch_put(name, file, n);
}

// The pictures that a set holds, by their numbers.
static void assert_pictures(const duel_dataset *d, const int *number, int n) {
  uint8_t item[3 * 48];
  assert_int_equal(d->items, n);
  for (int32_t i = 0; i < n; i++) {
    must(duel_dataset_read(d, &i, 1, item));
    draw_pixels(pixels, 8, 6, 3, number[i]);
    for (int k = 0; k < 48; k++)
      for (int c = 0; c < 3; c++) assert_int_equal(item[48 * c + k], pixels[3 * k + c]);
  }
}

static void forget_cache(const char *folder) {
  char command[PATH_MAX + 64];
  snprintf(command, sizeof command, "rm -f '%s'/.duel-*.cache", scratch(folder));
  assert_int_equal(system(command), 0);
}

// ---- what is passed over

static void side_files(void **state) {
  (void)state;
  static const struct {
    const char *name, *bytes;
    size_t n;
    const char *told;
  } side[] = {
      {"Thumbs.db", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", 8, "Thumbs.db (Windows' own)"},
      {"desktop.ini", "[.ShellClassInfo]\r\n", 19, "desktop.ini (Windows' own)"},
      {"README.txt", "Faces.\n", 7, "README.txt (text)"},
      {"labels.csv", "name,age,sex\na.png,3,x\n", 23, "labels.csv (a CSV table)"},
      {"captions.json", "{\"a\": 1}", 8, "captions.json (JSON)"},
      {"list.xml", "<?xml version=\"1.0\"?><a/>", 25, "list.xml (XML)"},
      {"model.pkl", "\x80\4\x95\0\0\0\0\0", 8, "model.pkl (a pickle of Python)"},
      {"clip.mp4",
       "\0\0\0\x18"
       "ftypisom\0\0\0\0",
       16, "clip.mp4 (a video)"},
      {"sheet.xlsx", "PK\3\4\x14\0\0\0", 8, "sheet.xlsx (a document)"},
      {"noise", "\1\2\3\4\xFF", 5, "noise (of no format known here)"},
      {"empty", "", 0, "empty (empty)"},
      {"photo.jpg.part", "\xFF\xD8\xFF\xE0", 4, "photo.jpg.part (an unfinished download)"},
      {"photo.png.crdownload", "\x89PNG\r\n\x1A\n", 8, "photo.png.crdownload (an unfinished download)"},
      {"images.txt", "1 001/0.png\n", 12, "images.txt (text)"},
      {"train-images-idx3-ubyte", "<html>404</html>", 16, "(a page of the web, not the file"},
  };
  put_picture("p/1.png", 1);
  put_picture("p/0.png", 0);
  for (size_t i = 0; i < sizeof side / sizeof *side; i++) {
    char path[128];
    snprintf(path, sizeof path, "p/%s", side[i].name);
    scratch_put(path, side[i].bytes, side[i].n);
    duel_dataset *d = set_open("p", (duel_dataset_options){.limit = 0});
    assert_pictures(d, (int[]){0, 1}, 2);
    duel_dataset_close(d);
    noted("passed over 1 file of ");
    noted(side[i].told);
    unlink(scratch(path));
  }
  for (int i = 0; i < 9; i++) {
    char path[64];
    snprintf(path, sizeof path, "p/%d.txt", i);
    put(path, "x");
  }
  duel_dataset_close(set_open("p", (duel_dataset_options){.limit = 0}));
  noted("passed over 9 files of ");
  noted("5.txt (text) and 3 more");
}

// An IDX file comes before pictures if its name says that it holds images; else it is passed over.
static void records_beside_pictures(void **state) {
  (void)state;
  static const uint8_t idx[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4};
  put_picture("p/0.png", 0);
  put_picture("p/1.png", 1);
  scratch_put("p/digits.idx", idx, sizeof idx);
  duel_dataset *d = set_open("p", (duel_dataset_options){.limit = 0});
  assert_pictures(d, (int[]){0, 1}, 2);
  duel_dataset_close(d);
  noted("digits.idx (records of images)");
  scratch_put("p/train-images-idx3-ubyte", idx, sizeof idx);
  d = set_open("p", (duel_dataset_options){.limit = 0});
  assert_int_equal(d->items, 1);
  duel_dataset_close(d);
  noted("the data are train-images-idx3-ubyte, not the pictures beside it (2)");
}

static void links_and_pipes(void **state) {
  (void)state;
  char path[PATH_MAX];
  put_picture("p/a/0.png", 0);
  put_picture("q/1.png", 1);
  snprintf(path, sizeof path, "%s", scratch("p/b"));
  assert_int_equal(symlink("../q", path), 0); // a folder elsewhere: part of the data
  snprintf(path, sizeof path, "%s", scratch("p/a/up"));
  assert_int_equal(symlink("..", path), 0);
  snprintf(path, sizeof path, "%s", scratch("p/gone"));
  assert_int_equal(symlink("nowhere", path), 0);
  snprintf(path, sizeof path, "%s", scratch("p/round"));
  assert_int_equal(symlink("round", path), 0);
  assert_int_equal(mkfifo(scratch("p/pipe"), 0600), 0);
  mkdir(scratch("p/lost+found"), 0777);
  put_picture("p/__MACOSX/9.png", 9);
  put_picture("p/@eaDir/9.png", 9);
  duel_dataset *d = set_open("p", (duel_dataset_options){.limit = 0});
  assert_pictures(d, (int[]){0, 1}, 2);
  assert_true(d->classes == 2 && !strcmp(d->class_name[1], "b"));
  duel_dataset_close(d);
  noted("a/up/ (a link to a folder above it)");
  noted("gone (a link that leads nowhere)");
  noted("pipe (a device, pipe or socket)");
  noted("__MACOSX/ (what macOS adds to archives)");
  noted("passed over 7 files");
  snprintf(path, sizeof path, "%s", scratch("p/a/lost.png"));
  assert_int_equal(symlink("nowhere.png", path), 0); // called a picture: a bad one
  set_refused("p", "p/a/lost.png: No such file or directory");
}

// ---- bad pictures

static void put_bad_folder(void) {
  char path[64];
  for (int i = 0; i < 30; i++) {
    snprintf(path, sizeof path, "p/%c/%02d.png", i < 15 ? 'a' : i < 29 ? 'b' : 'c', i);
    put_picture(path, i);
  }
  const size_t n = make_picture(3);
  scratch_put("p/a/03.png", file, n - 20); // only decoding shows it
  scratch_put("p/b/20.png", file, n - 30);
  scratch_put("p/a/07.png", "", 0);
  put("p/b/16.png", "<html>not found</html>");
  put("p/c/29.png", "text");
}

static void all_bad_ones_at_once(void **state) {
  (void)state;
  duel_dataset *d;
  put_bad_folder();
  for (int threads = 1; threads < 4; threads++)
    for (int64_t memory = 0; memory < 2; memory++) {
      const duel_status status = set_try(&d, "p", (duel_dataset_options){.threads = threads, .memory = memory});
      assert_int_equal(status, DUEL_ERR_DATA);
      assert_message("5 of 30 pictures of ");
      assert_message("p/a/03.png is damaged: it is cut short\n");
      assert_message("p/a/07.png is empty\n");
      assert_message("p/b/16.png is no picture but a web page");
      assert_message("p/b/20.png is damaged");
      assert_message("p/c/29.png is no picture, whatever its name says\n");
      assert_message("or train without them, by data.on_bad=skip");
    }
  put_picture("p/a/07.png", 7);
  put_picture("p/b/16.png", 16);
  put_picture("p/c/29.png", 29);
  set_refused("p", "2 of 30 pictures of "); // all headers are fine
  assert_message("p/a/03.png");
  assert_message("p/b/20.png");
  for (int i = 0; i < 30; i++) {
    char path[64];
    snprintf(path, sizeof path, "p/%c/%02d.png", i < 15 ? 'a' : i < 29 ? 'b' : 'c', i);
    scratch_put(path, "", 0);
  }
  set_refused("p", "all 30 pictures of ");
  assert_message("b/19.png is empty\n");
  assert_message("and 10 more");
}

// The same set as if they had never been there: items, classes, fingerprint.
static void bad_ones_left_out(void **state) {
  (void)state;
  int number[25], n = 0;
  put_bad_folder();
  for (int i = 0; i < 29; i++)
    if (i != 3 && i != 7 && i != 16 && i != 20) number[n++] = i;
  uint32_t fingerprint[2];
  for (int64_t memory = 0; memory < 2; memory++)
    for (int cached = 0; cached < 2; cached++) {
      const duel_dataset_options o = {.skip_bad = true, .memory = memory, .threads = 2};
      duel_dataset *d = set_open("p", o);
      assert_pictures(d, number, n);
      assert_true(d->classes == 2 && d->class_name && !strcmp(d->class_name[1], "b")); // c has none left
      for (int i = 0; i < n; i++) assert_int_equal(d->labels[i], number[i] >= 15);
      noted(cached ? "left out 5 of 30 pictures" : "p/a/07.png is empty");
      if (cached) noted("were bad when the cache was made");
      if (cached) assert_int_equal(fingerprint[memory], d->fingerprint);
      fingerprint[memory] = d->fingerprint;
      duel_dataset_close(d);
      if (cached) set_refused("p", "5 of 30 pictures of "); // its cache is of no use where they stop
      if (cached) forget_cache("p");
    }
  assert_int_equal(fingerprint[0], fingerprint[1]);
  unlink(scratch("p/a/03.png"));
  unlink(scratch("p/a/07.png"));
  unlink(scratch("p/b/16.png"));
  unlink(scratch("p/b/20.png"));
  unlink(scratch("p/c/29.png"));
  for (int skip = 0; skip < 2; skip++) { // and the cache of one is good for the other
    duel_dataset *d = set_open("p", (duel_dataset_options){.skip_bad = skip});
    assert_int_equal(d->fingerprint, fingerprint[0]);
    assert_true(!strstr(set_notes, "left out") && !strstr(set_notes, "made anew"));
    duel_dataset_close(d);
  }
}

static void leaving_out_without_memory(void **state) {
  (void)state;
  put_bad_folder();
  for (int64_t memory = 0; memory < 2; memory++)
    for (uint64_t at = 1;; at += 7) {
      duel_dataset *d;
      const duel_dataset_options o = {.skip_bad = true, .memory = memory, .threads = 1};
      duel_mem_fail_at(at, 0);
      const duel_status status = duel_dataset_open_with(&d, scratch("p"), &o);
      duel_mem_fail_at(0, 0);
      assert_true(status == DUEL_OK || status == DUEL_ERR_DEVICE);
      if (status == DUEL_OK) assert_int_equal(d->items, 25);
      duel_dataset_close(d);
      forget_cache("p");
      if (status == DUEL_OK && at > 300) break;
    }
}

// ---- what training leaves in the data

static void runs_in_the_data(void **state) {
  (void)state;
  put_picture("p/a/0.png", 0);
  put_picture("p/b/1.png", 1);
  duel_dataset *d = set_open("p", (duel_dataset_options){.limit = 0});
  const uint32_t fingerprint = d->fingerprint;
  duel_dataset_close(d);
  put_picture("p/runs/00000-tiny-p-batch4/fakes-00000000.png", 7);
  put("p/runs/00000-tiny-p-batch4/recipe.yaml", "recipe: 1\n");
  put("p/runs/00000-tiny-p-batch4/log.txt", "x");
  put_picture("p/runs/samples/0.png", 8);
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s", scratch("p/runs/latest"));
  assert_int_equal(symlink("00000-tiny-p-batch4", path), 0);
  put_picture("p/00001-other/fakes-00000000.png", 7); // in the data's own folder
  put("p/00001-other/recipe.yaml", "recipe: 1\n");
  put("p/00001-other/stats.jsonl", "{}\n");
  for (int cached = 0; cached < 2; cached++) {
    d = set_open("p", (duel_dataset_options){.limit = 0});
    assert_int_equal(d->fingerprint, fingerprint);
    duel_dataset_close(d);
    noted("runs/ (runs of duel's)");
    noted("00001-other/ (a run of duel's)");
    forget_cache("p");
  }
  set_refused("p/runs/latest", "is a run of duel's, no data: name the folder that it was trained on");
}

// ---- folders of folders

static void parts_of_a_set(void **state) {
  (void)state;
  static const struct {
    const char *folder[4], *told;
  } cases[] = {
      {{"train", "val", "test"},
       "set/train, %sset/val and %sset/test are all trained on, as 3 classes; name %sset/train"},
      {{"train", "test"}, "set/train and %sset/test are all trained on, as 2 classes; name %sset/train"},
      {{"Training", "Validation"}, "set/Training and %sset/Validation are all trained on"},
      {{"train2017", "val2017"}, "set/train2017 and %sset/val2017 are all trained on"},
      {{"trainA", "trainB", "testA", "testB"}, "set/trainA, %sset/trainB, %sset/testA and %sset/testB are all"},
      {{"train", "valleys"}, NULL},
      {{"train", "bus"}, NULL},
      {{"test", "val"}, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[128], told_text[512], root[PATH_MAX];
    for (int k = 0; k < 4 && cases[i].folder[k]; k++) {
      snprintf(path, sizeof path, "%zu/set/%s/%d.png", i, cases[i].folder[k], k);
      put_picture(path, k);
    }
    snprintf(path, sizeof path, "%zu/set", i);
    duel_dataset_close(set_open(path, (duel_dataset_options){.limit = 0}));
    if (!cases[i].told) {
      assert_null(strstr(set_notes, "trained on"));
      continue;
    }
    snprintf(root, sizeof root, "%s", scratch(path));
    root[strlen(root) - strlen("set")] = 0;
    size_t n = 0; // every %s is the root
    for (const char *c = cases[i].told; *c && n < sizeof told_text - 1; c++)
      if (c[0] == '%' && c[1] == 's') {
        n += (size_t)snprintf(told_text + n, sizeof told_text - n, "%s", root);
        c++;
      } else {
        told_text[n++] = *c;
      }
    told_text[n] = 0;
    noted(told_text);
  }
}

static void classes_lie_deeper(void **state) {
  (void)state;
  put_picture("birds/images/001/0.png", 0);
  put_picture("birds/images/002/1.png", 1);
  put("birds/images.txt", "1 001/0.png\n");
  set_refused("birds", "in folders of it, which are the classes: name ");
  assert_message("/birds/images");
  put_picture("all/only/0.png", 0); // one folder of pictures is one class
  duel_dataset *d = set_open("all", (duel_dataset_options){.limit = 0});
  assert_int_equal(d->classes, 1);
  duel_dataset_close(d);
  put_picture("twice/only/only/x/0.png", 0);
  put_picture("twice/only/only/y/0.png", 0);
  set_refused("twice", "/twice/only/only, in folders of it");
  put_picture("twice/only/only/9.png", 0); // pictures beside the folders
  duel_dataset_close(set_open("twice", (duel_dataset_options){.limit = 0}));
}

static void too_many_classes(void **state) {
  (void)state;
  char path[64];
  for (int i = 0; i < 257; i++) {
    snprintf(path, sizeof path, "p/%03d/0.png", i);
    put_picture(path, i % 7);
  }
  duel_dataset *d = set_open("p", (duel_dataset_options){.limit = 0});
  assert_true(!d->labels && d->classes == 0 && d->items == 257);
  duel_dataset_close(d);
  noted("in more than 256 folders, too many to be classes");
}

static void counted_folders(void **state) {
  (void)state;
  put_picture("ffhq/00000/00007.png", 0);
  put_picture("ffhq/69000/69999.png", 1);
  put_picture("gan/00000/img00000999.png", 0);
  put_picture("gan/00001/img00001000.png", 1);
  put_picture("zip/12345/a12345.png", 0); // a number of its own: a class
  put_picture("zip/00001/b2.png", 1);
  put_picture("digits/0/00000.png", 0);
  put_picture("digits/1/01000.png", 1);
  static const char *const sets[] = {"ffhq", "gan", "zip", "digits"};
  for (int k = 0; k < 12; k++) { // from a file, decoded or cached; mirrored
    const int i = k / 3;
    const duel_dataset_options o = {.memory = k % 3 == 1, .mirror = k % 3 == 2};
    duel_dataset *d = set_open(sets[i], o), *classes = set_open("digits", o); // as if they were some
    assert_int_equal(d->older, i < 2 ? classes->fingerprint : 0);
    duel_dataset_close(classes);
    duel_dataset_close(d);
  }
  for (int i = 0; i < 4; i++) {
    duel_dataset *d = set_open(sets[i], (duel_dataset_options){.limit = 0});
    assert_int_equal(d->classes, i < 2 ? 0 : 2);
    assert_true(d->items == 2 && (d->labels != NULL) == (i >= 2));
    duel_dataset_close(d);
    if (i < 2) noted("count their pictures by thousands and are no classes: no labels");
  }
}

// ---- nothing but other files

static void what_most_of_it_is(void **state) {
  (void)state;
  mkdir(scratch("p"), 0777);
  put("p/a.h5", "\x89HDF\r\n\x1A\n");
  put("p/b.mat", "MATLAB 5.0 MAT-file, of more bytes");
  put("p/c.h5", "\x89HDF\r\n\x1A\n");
  put("p/d.mat", "MATLAB 5.0 MAT-file, of more bytes");
  put("p/e.mat", "MATLAB 5.0 MAT-file, of more bytes");
  put("p/readme.txt", "a text that is longer than all of them, which is nothing that anybody would mean as a data set");
  set_refused("p", "p holds no pictures: b.mat is a MATLAB file, one of 3: save its pictures");
}

// ---- dataset.json

static void labels_of_a_file(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    char path[64];
    snprintf(path, sizeof path, "p/00000/img%d.png", i);
    put_picture(path, i);
  }
  put("p/dataset.json", "{\"labels\": [[\"00000/img2.png\", 4], [\"00000/img0.png\", 1], [\"00000/img1.png\", 0],\n"
                        "[\"00000/img3.png\", 1], [\"gone.png\", 9]]}");
  for (int64_t memory = 0; memory < 2; memory++)
    for (int cached = 0; cached < 2; cached++) {
      duel_dataset *d = set_open("p", (duel_dataset_options){.memory = memory});
      assert_true(d->items == 4 && d->classes == 5 && !d->class_name);
      assert_memory_equal(d->labels, ((uint8_t[]){1, 0, 4, 1}), 4);
      assert_null(strstr(set_notes, "passed over"));
      duel_dataset_close(d);
    }
  put("p/dataset.json", "{\"labels\": [[\"00000/img2.png\", 0], [\"00000/img0.png\", 0], [\"00000/img1.png\", 1],"
                        "[\"00000/img3.png\", 1]]}"); // the cache knows that it changed
  duel_dataset *d = set_open("p", (duel_dataset_options){.limit = 0});
  assert_memory_equal(d->labels, ((uint8_t[]){0, 1, 0, 1}), 4);
  duel_dataset_close(d);
  put("p/dataset.json", "{\"labels\": null}"); // the folder is no class
  d = set_open("p", (duel_dataset_options){.limit = 0});
  assert_true(!d->labels && d->classes == 0);
  duel_dataset_close(d);
  static const struct {
    const char *text, *told;
  } others[] = {{"{\"labels\": [[\"00000/img2.png\", 1]]}",
                 "labels from 0 to 255 for 1 of 4 pictures, and none for 00000/img0.png"},
                {"{\"labels\": [[\"00000/img0.png\", 256], [\"00000/img1.png\", [0.5, 1]], [\"00000/img2.png\"], 7]}",
                 "for 0 of 4 pictures"},
                {"{\"labels\": [", "dataset.json is not read"},
                {"[1, 2]", "dataset.json (JSON)"}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    put("p/dataset.json", others[i].text);
    d = set_open("p", (duel_dataset_options){.limit = 0});
    assert_true(d->items == 4);
    assert_true(i >= 2 || !d->labels);
    duel_dataset_close(d);
    noted(others[i].told);
  }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(side_files),           WITH_FOLDER(records_beside_pictures), WITH_FOLDER(links_and_pipes),
      WITH_FOLDER(all_bad_ones_at_once), WITH_FOLDER(bad_ones_left_out),       WITH_FOLDER(leaving_out_without_memory),
      WITH_FOLDER(runs_in_the_data),     WITH_FOLDER(parts_of_a_set),          WITH_FOLDER(classes_lie_deeper),
      WITH_FOLDER(too_many_classes),     WITH_FOLDER(counted_folders),         WITH_FOLDER(what_most_of_it_is),
      WITH_FOLDER(labels_of_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
