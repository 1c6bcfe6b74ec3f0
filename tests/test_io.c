// Files: whatever call fails, and wherever the process dies, a path holds its old or its new content.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <png.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/image.h"
#include "io/records/idx.h"
#include "io/records/npy.h"
#include "io_help.h"

static int holds(const char *name, const void *bytes, size_t n) {
  size_t got;
  uint8_t *b = scratch_get(name, &got);
  int same = b && got == n && !memcmp(b, bytes, n);
  free(b);
  return same;
}

// ---- checksum

static uint32_t crc_by_bits(const uint8_t *p, size_t n) {
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    for (int k = 0; k < 8; k++) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
  }
  return ~crc;
}

static void crc32c_known_answers(void **state) {
  (void)state;
  static const uint8_t zeros[32];
  assert_int_equal(duel_crc32c(0, "123456789", 9), 0xE3069283);
  assert_int_equal(duel_crc32c(0, zeros, 32), 0x8A9136AA);
  assert_int_equal(duel_crc32c(0, "", 0), 0);
}

static void crc32c_in_every_way(void **state) {
  (void)state;
  static uint8_t bytes[40007];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * i * 7 + i / 300);
  static const size_t sizes[] = {1, 7, 8, 9, 4095, 12287, 12288, 12289, 24577, 40000};
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
    for (size_t start = 0; start < 8; start += 3) {
      size_t n = sizes[k], cut = n / 3;
      const uint8_t *p = bytes + start > bytes + sizeof bytes - n ? bytes : bytes + start;
      uint32_t expected = crc_by_bits(p, n);
      assert_int_equal(duel_crc32c(0, p, n), expected);
      assert_int_equal(duel_crc32c_portable(0, p, n), expected);
      assert_int_equal(duel_crc32c(duel_crc32c_portable(0, p, cut), p + cut, n - cut), expected);
    }
}

// ---- reading

static void read_what_is_there(void **state) {
  (void)state;
  uint8_t *b;
  size_t n;
  scratch_put("a", "hello", 5);
  assert_int_equal(duel_file_read(scratch("a"), 5, &b, &n), DUEL_OK);
  assert_int_equal(n, 5);
  assert_string_equal((char *)b, "hello");
  duel_free(b);
  scratch_put("empty", "", 0);
  assert_int_equal(duel_file_read(scratch("empty"), 5, &b, &n), DUEL_OK);
  assert_int_equal(n, 0);
  duel_free(b);
  assert_int_equal(duel_file_read("/proc/self/status", 1 << 20, &b, &n), DUEL_OK); // says that it has 0 bytes
  assert_true(n > 100 && strlen((char *)b) == n);
  duel_free(b);
}

static void read_what_is_wrong(void **state) {
  (void)state;
  uint8_t *b;
  size_t n;
  int files = open_files();
  scratch_put("a", "hello", 5);
  assert_int_equal(duel_file_read(scratch("a"), 4, &b, &n), DUEL_ERR_DATA);
  assert_message("5 bytes");
  assert_int_equal(duel_file_read("/proc/self/status", 100, &b, &n), DUEL_ERR_DATA);
  assert_message("100");
  assert_int_equal(duel_file_read(scratch("none"), 99, &b, &n), DUEL_ERR_DATA);
  assert_message("No such file");
  assert_message(scratch("none"));
  assert_int_equal(duel_file_read(scratch("a/b"), 99, &b, &n), DUEL_ERR_DATA);
  assert_int_equal(duel_file_read(scratch(""), 99, &b, &n), DUEL_ERR_DATA);
  assert_message("folder");
  assert_int_equal(duel_file_read("/dev/zero", 99, &b, &n), DUEL_ERR_DATA);
  assert_message("device");
  assert_int_equal(mkfifo(scratch("fifo"), 0666), 0);
  assert_int_equal(duel_file_read(scratch("fifo"), 99, &b, &n), DUEL_ERR_DATA);
  if (geteuid() != 0) {
    chmod(scratch("a"), 0);
    assert_int_equal(duel_file_read(scratch("a"), 99, &b, &n), DUEL_ERR_IO);
    assert_message("permissions");
  }
  assert_int_equal(open_files(), files);
}

static void read_with_faults(void **state) {
  (void)state;
  uint8_t *b;
  size_t n;
  int files = open_files();
  scratch_put("a", "hello", 5);
  for (int all = 0; all < 2; all++)
    for (int at = 1; at <= 4; at++) { // open, read, read the end, close
      fault_begin(FAULT_ERROR, at, all, EIO);
      duel_status s = duel_file_read(scratch("a"), 99, &b, &n);
      fault_end();
      assert_int_equal(s, at < 4 ? DUEL_ERR_IO : DUEL_OK);
      if (s == DUEL_OK) duel_free(b);
      fault_begin(FAULT_ERROR, at, all, EINTR);
      s = duel_file_read(scratch("a"), 99, &b, &n);
      fault_end();
      assert_int_equal(s, all && at < 4 ? DUEL_ERR_IO : DUEL_OK);
      if (s == DUEL_OK) duel_free(b);
    }
  fault_begin(FAULT_SHORT, 1, 1, 0);
  assert_int_equal(duel_file_read(scratch("a"), 99, &b, &n), DUEL_OK);
  fault_end();
  assert_string_equal((char *)b, "hello");
  duel_free(b);
  assert_int_equal(open_files(), files);
}

// ---- writing

static const char old_text[] = "the old content", new_text[] = "the new content, which is longer";
static const duel_part new_parts[] = {{new_text, 7}, {new_text, 0}, {new_text + 7, sizeof new_text - 7}};
static duel_status write_new(void) {
  return duel_file_write_parts(scratch("a"), new_parts, 3);
}
static int holds_old(void) {
  return holds("a", old_text, sizeof old_text);
}
static int holds_new(void) {
  return holds("a", new_text, sizeof new_text);
}

static void write_in_order(void **state) {
  (void)state;
  fault_begin(FAULT_COUNT, 0, 0, 0);
  assert_int_equal(write_new(), DUEL_OK);
  fault_end();
  // The bytes are on the disk before the name, the name before we return; the last c gives the lock back.
  assert_string_equal(fault_log(), "OolawwfcnFcc");
  assert_true(holds_new());
  assert_int_equal(scratch_count(), 1);
  assert_int_equal(duel_file_write(scratch("b"), "", 0), DUEL_OK);
  assert_true(holds("b", "", 0));
  assert_int_equal(chdir(scratch("")), 0);
  assert_int_equal(duel_file_write("c", "here", 4), DUEL_OK); // a bare name
  assert_true(holds("c", "here", 4));
  assert_int_equal(chdir("/"), 0);
}

static void write_with_errors(void **state) {
  (void)state;
  static const int errors[] = {ENOSPC, EIO, EDQUOT, EINTR};
  int files = open_files(), ends = 0, restarts = 0;
  for (int all = 0; all < 2; all++)
    for (size_t k = 0; k < sizeof errors / sizeof *errors; k++)
      for (int at = 1;; at++) {
        scratch_put("a", old_text, sizeof old_text);
        fault_begin(FAULT_ERROR, at, all, errors[k]);
        duel_status s = write_new();
        long calls = fault_end();
        if (s == DUEL_OK) {
          assert_true(holds_new());
          restarts += strstr(fault_log(), "fuccOo") != NULL;
        } else {
          assert_int_equal(s, DUEL_ERR_IO);
          assert_message("a");
          // Only after the rename may the new content be there: the folder's sync failed.
          assert_true(strchr(fault_log(), 'F') ? holds_new() : holds_old());
        }
        if (errors[k] == EINTR && !all) assert_int_equal(s, DUEL_OK);
        assert_int_equal(scratch_count(), 1);
        assert_int_equal(open_files(), files);
        if (calls < at) {
          ends++;
          break;
        }
      }
  assert_int_equal(ends, 8);
  assert_int_equal(restarts, 3); // one failed fsync (not EINTR): written anew
}

static void write_where_space_cannot_be_reserved(void **state) {
  (void)state;
  fault_begin(FAULT_ERROR, 4, 0, EOPNOTSUPP);
  assert_int_equal(write_new(), DUEL_OK);
  fault_end();
  assert_int_equal(fault_log()[3], 'a');
  assert_true(holds_new());
}

static void write_with_short_writes(void **state) {
  (void)state;
  fault_begin(FAULT_SHORT, 1, 1, 0);
  assert_int_equal(write_new(), DUEL_OK);
  assert_true(fault_end() > (long)sizeof new_text);
  assert_true(holds_new());
}

static void write_and_die(void **state) {
  (void)state;
  int died = 0;
  for (int at = 1;; at++) {
    scratch_put("a", old_text, sizeof old_text);
    pid_t pid = fork();
    if (pid == 0) {
      fault_begin(FAULT_KILL, at, 0, 0);
      _exit(write_new() == DUEL_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(holds_old() || holds_new());
    duel_file_sweep(scratch(""));
    assert_int_equal(scratch_count(), 1);
    if (WIFEXITED(status)) {
      assert_int_equal(WEXITSTATUS(status), 0);
      break;
    }
    died++;
  }
  assert_int_equal(died, 12);
}

static void write_to_odd_places(void **state) {
  (void)state;
  assert_int_equal(duel_file_write("/dev/null", "x", 1), DUEL_ERR_IO);
  struct stat st;
  assert_true(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
  assert_int_equal(duel_file_write(scratch(""), "x", 1), DUEL_ERR_IO);
  assert_message("folder");
  assert_int_equal(duel_file_write(scratch("none/a"), "x", 1), DUEL_ERR_IO);
  assert_message("No such file");
  scratch_put("target", "old", 3);
  assert_int_equal(symlink(scratch("target"), scratch("link")), 0);
  assert_int_equal(duel_file_write(scratch("link"), "new", 3), DUEL_OK);
  assert_true(holds("target", "new", 3));
  assert_true(lstat(scratch("link"), &st) == 0 && S_ISLNK(st.st_mode));
  assert_int_equal(symlink(scratch("none"), scratch("broken")), 0);
  assert_int_equal(duel_file_write(scratch("broken"), "x", 1), DUEL_ERR_IO);
  assert_message("nowhere");
  char path[5000];
  memset(path, 'x', sizeof path);
  path[sizeof path - 1] = 0;
  assert_int_equal(duel_file_write(path, "x", 1), DUEL_ERR_IO);
  path[300] = 0;
  assert_int_equal(duel_file_write(scratch(path), "x", 1), DUEL_ERR_IO);
  assert_message("too long");
}

static void append_lines(void **state) {
  (void)state;
  assert_int_equal(duel_file_append(scratch("log"), "one\n", 4), DUEL_OK);
  assert_int_equal(duel_file_append(scratch("log"), "two\n", 4), DUEL_OK);
  fault_begin(FAULT_COUNT, 0, 0, 0);
  assert_int_equal(duel_file_append(scratch("log"), "three\n", 6), DUEL_OK);
  fault_end();
  assert_string_equal(fault_log(), "owc");
  assert_true(holds("log", "one\ntwo\nthree\n", 14));
  for (int at = 1; at <= 3; at++) {
    fault_begin(FAULT_ERROR, at, 1, ENOSPC);
    assert_int_equal(duel_file_append(scratch("log"), "x", 1), DUEL_ERR_IO);
    fault_end();
    assert_message("free some space");
  }
  assert_int_equal(duel_file_append(scratch("none/log"), "x", 1), DUEL_ERR_IO);
  struct rlimit old, small;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = 16;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  assert_int_equal(duel_file_append(scratch("full"), "a line of 15 b\n", 15), DUEL_OK);
  duel_status status = duel_file_append(scratch("full"), "more\n", 5); // there is room for 1 byte of it
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_int_equal(status, DUEL_ERR_IO);
  assert_message("too large");
  assert_true(holds("full", "a line of 15 b\n", 15)); // and none stays
}

static void make_folders(void **state) {
  (void)state;
  struct stat st;
  assert_int_equal(duel_make_folder(scratch("a/b//c/")), DUEL_OK);
  assert_true(stat(scratch("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
  assert_int_equal(duel_make_folder(scratch("a/b/c")), DUEL_OK);
  assert_int_equal(duel_make_folder("/"), DUEL_OK);
  assert_int_equal(duel_make_folder(""), DUEL_ERR_IO);
  scratch_put("file", "", 0);
  assert_int_equal(duel_make_folder(scratch("file")), DUEL_ERR_IO);
  assert_message("a file has that name");
  assert_int_equal(duel_make_folder(scratch("file/b")), DUEL_ERR_IO);
}

// ---- pictures and arrays

static uint8_t *read_png(const char *name, png_image *image) {
  memset(image, 0, sizeof *image);
  image->version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_file(image, scratch(name))) fail_msg("%s", image->message);
  uint8_t *pixels = malloc(PNG_IMAGE_SIZE(*image));
  assert_true(png_image_finish_read(image, NULL, pixels, 0, NULL));
  return pixels;
}

static void bytes_round_and_clip(void **state) {
  (void)state;
  float all[256];
  uint8_t back[256];
  for (int i = 0; i < 256; i++) all[i] = (float)i / 127.5f - 1;
  duel_to_bytes(back, all, 256);
  for (int i = 0; i < 256; i++) assert_int_equal(back[i], i);
  const float odd[] = {-2, 2, 0.0f / 0.0f, 1e30f, -1e30f, 1.0f / 0.0f, 0};
  const uint8_t expected[] = {0, 255, 0, 255, 0, 255, 128};
  duel_to_bytes(back, odd, 7);
  assert_memory_equal(back, expected, 7);
}

static void grids(void **state) {
  (void)state;
  static const int channels[] = {1, 3, 2, 4};
  for (int k = 0; k < 4; k++) { // 5 items of 2×3 in 2 columns: the sixth cell is black, or transparent
    int64_t C = channels[k], dim[3] = {C, 2, 3};
    float items[5 * 4 * 6];
    for (int64_t i = 0; i < 5 * C * 6; i++) items[i] = (float)(i + 1) / 127.5f - 1;
    assert_int_equal(duel_grid_write(scratch("g.png"), items, 5, 2, dim), DUEL_OK);
    png_image image;
    uint8_t *pixels = read_png("g.png", &image);
    int64_t shown = C == 3 || C == 4 ? C : 1;
    assert_int_equal(image.width, 6);
    assert_int_equal(image.height, 6);
    assert_int_equal(image.format, shown == 4 ? PNG_FORMAT_RGBA : shown == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY);
    for (int64_t y = 0; y < 6; y++)
      for (int64_t x = 0; x < 6; x++)
        for (int64_t c = 0; c < shown; c++) {
          int64_t item = y / 2 * 2 + x / 3, expected = item > 4 ? 0 : ((item * C + c) * 2 + y % 2) * 3 + x % 3 + 1;
          assert_int_equal(pixels[(y * 6 + x) * shown + c], expected);
        }
    free(pixels);
  }
  const float one[1] = {1};
  assert_int_equal(duel_grid_write(scratch("g.png"), one, 1, 8, (int64_t[]){1, 1, 1}), DUEL_OK);
  png_image image;
  free(read_png("g.png", &image));
  assert_int_equal(image.width, 1);
  assert_int_equal(duel_grid_write(scratch("g.png"), one, INT64_MAX / 4, 1, (int64_t[]){1, 8, 8}), DUEL_ERR_USAGE);
  assert_int_equal(duel_png_write(scratch("g.png"), (const uint8_t *)"", 2000000, 1, 1), DUEL_ERR_USAGE);
}

// More than the writer's buffer holds, item after item: 11 cells of noise in 3 columns.
enum { BIG = 200, BIG_ITEMS = 11 };
static duel_status big_grid(const float *items) {
  duel_grid *g;
  DUEL_TRY(duel_grid_begin(&g, scratch("a"), BIG_ITEMS, 3, (int64_t[]){3, BIG, BIG}));
  duel_status status = DUEL_OK;
  for (int64_t i = 0, n = 1; i < BIG_ITEMS && status == DUEL_OK; i += n, n = i + 4 <= BIG_ITEMS ? 4 : BIG_ITEMS - i)
    status = duel_grid_add(g, items + i * 3 * BIG * BIG, n);
  if (status == DUEL_OK) status = duel_grid_end(g);
  duel_grid_close(g);
  return status;
}

static void big_grids(void **state) {
  (void)state;
  const int64_t item = 3 * BIG * BIG, files = open_files();
  float *items = malloc((size_t)(BIG_ITEMS * item) * sizeof *items);
  assert_non_null(items);
  uint32_t word = 1;
  for (int64_t i = 0; i < BIG_ITEMS * item; i++) {
    word = word * 1664525U + 1013904223U;
    items[i] = (float)(word >> 24) / 127.5f - 1;
  }
  must(big_grid(items));
  png_image image;
  uint8_t *pixels = read_png("a", &image), expected;
  assert_true(image.width == 3 * BIG && image.height == 4 * BIG);
  for (int64_t y = 0; y < 4 * BIG; y++)
    for (int64_t x = 0; x < 3 * BIG; x++)
      for (int64_t c = 0; c < 3; c++) {
        const int64_t i = y / BIG * 3 + x / BIG;
        expected = 0;
        if (i < BIG_ITEMS) duel_to_bytes(&expected, items + i * item + (c * BIG + y % BIG) * BIG + x % BIG, 1);
        assert_int_equal(pixels[(y * 3 * BIG + x) * 3 + c], expected);
      }
  free(pixels);
  for (int at = 1;; at++) { // the old file stays, and nothing else
    scratch_put("a", old_text, sizeof old_text);
    fault_begin(FAULT_ERROR, at, 1, ENOSPC);
    const duel_status status = big_grid(items);
    const long calls = fault_end();
    assert_int_equal(scratch_count(), 1);
    assert_int_equal(open_files(), files);
    if (calls < at) break;
    if (status == DUEL_OK) continue; // what is not needed
    assert_int_equal(status, DUEL_ERR_IO);
    if (strchr(fault_log(), 'F')) continue; // it is there, and its folder not synced
    assert_message("free some space");
    assert_true(holds_old());
  }
  free(items);
}

static void scatter(void **state) {
  (void)state;
  const float points[] = {1, 0, 0.0f / 0.0f, 0, 9, 9}, reals[] = {0, 1};
  assert_int_equal(duel_scatter_write(scratch("s.png"), points, 3, reals, 1, 300), DUEL_OK);
  png_image image;
  uint8_t *pixels = read_png("s.png", &image);
  assert_int_equal(pixels[150 * 300 + 250], 0);
  assert_int_equal(pixels[50 * 300 + 150], 200);
  assert_int_equal(pixels[250 * 300 + 150], 255);
  free(pixels);
}

static void arrays(void **state) {
  (void)state;
  const float values[6] = {1, 2, 3, 4, 5, 6};
  uint8_t expected[152] = "\x93NUMPY\x01\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  memset(expected + 10 + strlen((char *)expected + 10), ' ', 128 - 10 - strlen((char *)expected + 10));
  expected[127] = '\n';
  memcpy(expected + 128, values, 24);
  assert_int_equal(duel_npy_write(scratch("a.npy"), values, 2, (int64_t[]){2, 3}), DUEL_OK);
  assert_true(holds("a.npy", expected, sizeof expected));
  assert_int_equal(duel_npy_write(scratch("a.npy"), values, 1, (int64_t[]){6}), DUEL_OK);
  size_t n;
  uint8_t *b = scratch_get("a.npy", &n);
  assert_true(n == 152 && strstr((char *)b + 10, "'shape': (6,), }"));
  free(b);

  const uint8_t idx[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 255, 128, 255, 0, 64};
  const float pixels[6] = {-1, 1, 0, 2, -2, -0.5f};
  assert_int_equal(duel_idx_write(scratch("a.idx"), pixels, 2, (int64_t[]){1, 1, 3}), DUEL_OK);
  assert_true(holds("a.idx", idx, sizeof idx));
  assert_int_equal(duel_idx_write(scratch("a.idx"), pixels, 1, (int64_t[]){3, 1, 2}), DUEL_OK);
  b = scratch_get("a.idx", &n);
  assert_true(n == 26 && !memcmp(b, "\0\0\x08\4\0\0\0\1\0\0\0\3\0\0\0\1\0\0\0\2", 20));
  free(b);
}

static duel_status grid_for_memory(void) {
  static const float items[12 * 3];
  return duel_grid_write(scratch("a"), items, 3, 2, (int64_t[]){3, 2, 2});
}
static duel_status read_for_memory(void) {
  uint8_t *b;
  size_t n;
  duel_status s = duel_file_read("/proc/self/status", 1 << 20, &b, &n);
  if (s == DUEL_OK) duel_free(b);
  return s;
}

static void without_memory(void **state) {
  (void)state;
  duel_status (*const jobs[])(void) = {grid_for_memory, read_for_memory};
  for (int k = 0; k < 2; k++)
    for (int all = 0; all < 2; all++) {
      int failures = 0;
      for (uint64_t at = 1;; at++) {
        scratch_put("a", old_text, sizeof old_text);
        duel_mem_fail_at(at, all);
        duel_status s = jobs[k]();
        duel_mem_fail_at(0, 0);
        if (s == DUEL_OK) break;
        failures++;
        assert_int_equal(s, DUEL_ERR_DEVICE);
        assert_message("memory");
        assert_true(holds_old());
      }
      assert_true(failures > 0);
    }
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(crc32c_known_answers),
      cmocka_unit_test(crc32c_in_every_way),
      WITH_FOLDER(read_what_is_there),
      WITH_FOLDER(read_what_is_wrong),
      WITH_FOLDER(read_with_faults),
      WITH_FOLDER(write_in_order),
      WITH_FOLDER(write_with_errors),
      WITH_FOLDER(write_where_space_cannot_be_reserved),
      WITH_FOLDER(write_with_short_writes),
      WITH_FOLDER(write_and_die),
      WITH_FOLDER(write_to_odd_places),
      WITH_FOLDER(append_lines),
      WITH_FOLDER(make_folders),
      cmocka_unit_test(bytes_round_and_clip),
      WITH_FOLDER(grids),
      WITH_FOLDER(big_grids),
      WITH_FOLDER(scatter),
      WITH_FOLDER(arrays),
      WITH_FOLDER(without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
