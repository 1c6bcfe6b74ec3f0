// Training on every kind of data, in memory and streamed: the same bits. On the backend of the environment's
// DUEL_TEST_BACKENDS.
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
#include "base/rng.h"
#include "duel.h"
#include "io/data/prefetch.h"
#include "io/records/npy.h"
#include "io_help.h"
#include "picture_help.h"

static const char recipe_text[] = "recipe: 1\n"
                                  "data: ./set\n"
                                  "latent: 12\n"
                                  "G: [dense: 24, leaky_relu: 0.2, dense: $C*$H*$W, tanh, reshape: [$C, $H, $W]]\n"
                                  "D: [flatten, dense: 20, leaky_relu: 0.2, dense: 1]\n"
                                  "train: {length: 20 steps, batch: 7, d_steps: 2}\n";
static const char *backend = "cpu";

static int set_up(void **state) {
  if (getenv("DUEL_TEST_BACKENDS")) backend = getenv("DUEL_TEST_BACKENDS");
  scratch_setup(state);
  scratch_put("small.yaml", recipe_text, sizeof recipe_text - 1);
  return 0;
}
// ---- sets

static void put_pictures(void) {
  static uint8_t pixels[40 * 24 * 3], file[PICTURE_ROOM];
  mkdir(scratch("photos"), 0777);
  mkdir(scratch("photos/left"), 0777);
  mkdir(scratch("photos/right"), 0777);
  for (int i = 0; i < 37; i++) {
    char name[64];
    snprintf(name, sizeof name, "photos/%s/%02d.png", i % 2 ? "left" : "right", i);
    draw_pixels(pixels, 40, 24, 3, i);
    scratch_put(name, file, make_png(file, &(png_kind){24, 40, 8, 2, 0, 0}, pixels));
  }
}

static void put_cifar(void) {
  static uint8_t record[41][3073];
  for (int i = 0; i < 41; i++) {
    record[i][0] = (uint8_t)(i % 10);
    draw_pixels(record[i] + 1, 1, 3072, 1, i);
  }
  scratch_put("cifar.bin", record, sizeof record);
}

// uint8, N×H×W×C.
static void put_npy(void) {
  static uint8_t file[128 + 30 * 9 * 5 * 3];
  char *header = (char *)file;
  memset(header, ' ', 128);
  memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
  static const char dict[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (30, 9, 5, 3), }";
  memcpy(header + 10, dict, sizeof dict - 1);
  header[127] = '\n';
  for (int i = 0; i < 30; i++) draw_pixels(file + 128 + i * 135, 9, 5, 3, i);
  scratch_put("set.npy", file, sizeof file);
}

static void put_floats(void) {
  static float values[33][3][4][6];
  float *v = &values[0][0][0][0];
  for (int i = 0; i < 33 * 72; i++) v[i] = (float)(i * 37 % 101) / 50 - 1;
  must(duel_npy_write(scratch("floats.npy"), v, 4, (int64_t[]){33, 3, 4, 6}));
}

// ---- ranges

static void range_of(const char *name, int64_t memory, float lo, float hi) {
  duel_dataset *d;
  float least, most;
  must(duel_dataset_open_with(&d, scratch(name), &(duel_dataset_options){.memory = memory}));
  assert_int_equal(d->values != NULL, memory == 0);
  must(duel_dataset_range(d, &least, &most));
  assert_true(least == lo && most == hi);
  duel_dataset_close(d);
}

static void ranges(void **state) {
  (void)state;
  static float values[6000]; // points: more than are looked at where they lie in a file
  for (int i = 0; i < 6000; i++) values[i] = (float)(i % 7) - 2;
  must(duel_npy_write(scratch("points.npy"), values, 2, (int64_t[]){6000, 1}));
  put_floats();
  static uint8_t record[2][3073];
  memset(record, 51, sizeof record);
  record[0][0] = record[1][0] = 0;
  record[1][9] = 102;
  scratch_put("two.bin", record, sizeof record);
  for (int streamed = 0; streamed < 2; streamed++) {
    range_of("points.npy", streamed, -2, 4);
    range_of("floats.npy", streamed, -1, 1);
    range_of("two.bin", streamed, 51 / 127.5f - 1, 102 / 127.5f - 1);
  }
}

// ---- training

static duel_run *open_run(const char *data, const char *memory, const char *from) {
  duel_run *run;
  const duel_set set[] = {{"run.data_memory", memory, "--data-memory"}};
  const duel_run_options o = {.backend = backend,
                              .recipe = scratch("small.yaml"),
                              .data = scratch(data),
                              .set = set,
                              .n_set = 1,
                              .threads = 2,
                              .checkpoint = from};
  must(duel_run_open(&run, &o));
  return run;
}

static void train(const char *data, const char *memory, const char *from, int64_t to, const char *path) {
  duel_run *run = open_run(data, memory, from);
  duel_stats s;
  must(duel_run_stats(run, &s));
  must(duel_run_advance(run, to - s.step));
  must(duel_run_save(run, path));
  duel_run_close(run);
}

// Epochs of 30 to 41 items end within steps of 14.
static void assert_same_when_streamed(const char *data) {
  train(data, "1G", NULL, 20, scratch("resident"));
  train(data, "1K", NULL, 20, scratch("streamed")); // into the cache
  assert_true(scratch_same("resident", "streamed"));
  train(data, "1K", NULL, 20, scratch("streamed")); // from it
  assert_true(scratch_same("resident", "streamed"));
  train(data, "1K", NULL, 9, scratch("part"));
  train(data, "1K", scratch("part"), 20, scratch("rest"));
  assert_true(scratch_same("resident", "rest"));
  train(data, "1G", scratch("part"), 20, scratch("rest"));
  assert_true(scratch_same("resident", "rest"));
}

static void pictures(void **state) {
  (void)state;
  put_pictures();
  assert_same_when_streamed("photos");
  duel_run *run = open_run("photos", "1K", NULL);
  const duel_run_info info = duel_run_describe(run);
  assert_true(info.items == 37 && info.dim[0] == 3 && info.dim[1] == 40 && info.dim[2] == 24 && info.classes == 2);
  duel_run_close(run);
}

static void cifar(void **state) {
  (void)state;
  put_cifar();
  assert_same_when_streamed("cifar.bin");
}

static void npy(void **state) {
  (void)state;
  put_npy();
  assert_same_when_streamed("set.npy");
  put_floats();
  assert_same_when_streamed("floats.npy");
}

static void run_directories(void **state) {
  (void)state;
  put_pictures();
  char directory[2][4096];
  for (int i = 0; i < 2; i++) {
    const duel_set set[] = {{"run.data_memory", i ? "1K" : "1G", "--data-memory"}};
    static duel_train_result result;
    const duel_train_options o = {.run = {.backend = backend,
                                          .recipe = scratch("small.yaml"),
                                          .data = scratch("photos"),
                                          .set = set,
                                          .n_set = 1,
                                          .threads = 1},
                                  .outdir = scratch(i ? "streamed" : "resident")};
    must(duel_train(&o, &result));
    snprintf(directory[i], sizeof directory[i], "%s/00000-small-photos-batch7/", i ? "streamed" : "resident");
  }
  static const char *const names[] = {"reals.png", "fakes-00000020.png", "checkpoint-00000020.safetensors"};
  for (int i = 0; i < 3; i++) {
    char a[PATH_MAX], b[PATH_MAX];
    snprintf(a, sizeof a, "%.3000s%s", directory[0], names[i]);
    snprintf(b, sizeof b, "%.3000s%s", directory[1], names[i]);
    assert_true(scratch_same(a, b));
  }
  size_t n; // two classes, a row each: 16·24 by 2·40 pixels, RGB
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%.3000sreals.png", directory[0]);
  uint8_t *png = scratch_get(path, &n);
  assert_true(n > 33 && png[18] == 1 && png[19] == 128 && png[23] == 80 && png[24] == 8 && png[25] == 2);
  free(png);
}

// Read ahead: items and, where they are wanted, labels beside them, in the order of the seed, over epochs; from any
// step on. What else is in a block is not touched.
static void labels_read_ahead(void **state) {
  (void)state;
  enum { N = 7, ITEM = 3072, LABELS = 8, VALUES = LABELS + N * 4, BYTES = VALUES + N * ITEM + 8 };
  static const int64_t steps[] = {0, 1, 2, 3, 4, 5, 6, 2, 3, 11};
  duel_dataset *d;
  duel_prefetch *p;
  uint8_t item[ITEM];
  int32_t order[41];
  uint32_t sort[3 * 41];
  put_cifar();
  must(duel_dataset_open_with(&d, scratch("cifar.bin"), &(duel_dataset_options){.memory = 1, .threads = 1}));
  assert_null(d->values);
  must(duel_prefetch_open(&p, d, 5, N, BYTES, VALUES));
  duel_prefetch_labels(p, LABELS);
  for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
    unsigned char *block;
    must(duel_prefetch_take(p, steps[s], &block));
    for (int64_t i = 0; i < N; i++) {
      const int64_t q = steps[s] * N + i;
      int32_t label;
      duel_data_order(5, (uint64_t)(q / 41), 41, order, sort);
      must(duel_dataset_read(d, &order[q % 41], 1, item));
      memcpy(&label, block + LABELS + 4 * i, sizeof label);
      assert_int_equal(label, order[q % 41] % 10);
      assert_memory_equal(block + VALUES + i * ITEM, item, ITEM);
    }
    for (int i = 0; i < 8; i++) assert_true(block[i] == 0 && block[BYTES - 8 + i] == 0);
  }
  duel_prefetch_close(p);
  duel_dataset_close(d);
}

static void damage_ends_the_run(void **state) {
  (void)state;
  put_npy();
  duel_run *run = open_run("set.npy", "1K", NULL);
  must(duel_run_advance(run, 2));
  char command[512];
  snprintf(command, sizeof command,
           "dd if=/dev/zero of=$(ls '%s'/.set.npy.*.cache) bs=1 seek=4096 count=4050 conv=notrunc status=none",
           scratch(""));
  assert_int_equal(system(command), 0);
  duel_status status = duel_run_advance(run, 18);
  assert_int_equal(status, DUEL_ERR_DATA);
  assert_non_null(strstr(duel_last_error(), "was damaged (in item"));
  duel_run_close(run);
}

static void advancing_allocates_nothing(void **state) {
  (void)state;
  put_npy();
  duel_run *run = open_run("set.npy", "1K", NULL);
  must(duel_run_advance(run, 1));
  const uint64_t ours = duel_mem_count();
  must(duel_run_advance(run, 19));
  assert_int_equal(duel_mem_count(), ours);
  duel_run_close(run);
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  put_npy();
  for (uint64_t n = 1;; n++) {
    duel_run *run = NULL;
    const duel_set set[] = {{"run.data_memory", "1K", NULL}};
    const duel_run_options o = {.backend = backend,
                                .recipe = scratch("small.yaml"),
                                .data = scratch("set.npy"),
                                .set = set,
                                .n_set = 1,
                                .threads = 1};
    duel_mem_fail_at(n, 0);
    duel_status status = duel_run_open(&run, &o);
    duel_mem_fail_at(0, 0);
    duel_run_close(run);
    if (status == DUEL_OK && n > 400) return;
    if (status != DUEL_OK && !*duel_last_error()) fail_msg("allocation %d fails without a message", (int)n);
  }
}

// What a GPU cannot hold beside the rest is streamed to it from the host's memory. The emulator's GPU is made small for
// a process of its own; a real one holds all of it, and has the same bits anyway.
static void small_device(void **state) {
  (void)state;
  const char *tree = getenv("DUEL_BINARY"), *library = getenv("DUEL_CUDA_LIBRARY");
  if (strcmp(backend, "cuda") || !tree) skip();
  enum { RECORDS = 2800 };
  uint8_t *records = calloc(RECORDS, 3073);
  for (int i = 0; i < RECORDS; i++) draw_pixels(records + 3073 * i + 1, 1, 3072, 1, i);
  scratch_put("cifar.bin", records, (size_t)RECORDS * 3073);
  free(records);
  char command[1024], path[2][PATH_MAX];
  for (int i = 0; i < 2; i++) {
    snprintf(command, sizeof command,
             "CUEMU_MEMORY=%d '%s/duel' train --backend cuda --recipe '%s' --data '%s' --steps 3 --outdir '%s' >'%s'",
             i ? 146663296 : 500000000, tree, scratch("small.yaml"), scratch("cifar.bin"),
             scratch(i ? "small" : "large"), scratch(i ? "small.txt" : "large.txt"));
    assert_int_equal(system(command), 0);
    snprintf(path[i], sizeof path[i], "%s/00000-small-cifar-batch7/checkpoint-00000003.safetensors",
             i ? "small" : "large");
  }
  assert_true(scratch_same(path[0], path[1]));
  if (!library || !strstr(library, "cuemu")) return;
  for (int i = 0; i < 2; i++) {
    size_t n;
    double mib = 0;
    char *text = (char *)scratch_get(i ? "small.txt" : "large.txt", &n);
    text[n] = 0;
    const char *at = strstr(text, "Memory:");
    assert_true(at && sscanf(at, "Memory: %lf", &mib) == 1);
    assert_true(i ? mib < 8 : mib > 8); // the set takes 8.2 MiB
    free(text);
  }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, scratch_teardown)
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(ranges),
      WITH_FOLDER(pictures),
      WITH_FOLDER(cifar),
      WITH_FOLDER(npy),
      WITH_FOLDER(run_directories),
      WITH_FOLDER(labels_read_ahead),
      WITH_FOLDER(damage_ends_the_run),
      WITH_FOLDER(advancing_allocates_nothing),
      WITH_FOLDER(every_allocation_may_fail),
      WITH_FOLDER(small_device),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
