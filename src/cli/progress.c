// The live bar and its plain, JSON and quiet counterparts. Training never fails because its progress cannot be shown.
#include "progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "options.h"

enum { TEXT_BYTES = 4096 };
static const double REDRAW_SECONDS = 0.1;
static const double DATA_SECONDS = 10;    // between plain lines of what is decoded
static const double PICTURE_SECONDS = 20; // when the path of the first picture is told

double duel_cli_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Columns of the terminal; the lesser of what the terminal and COLUMNS say, so that a line never wraps.
static int columns(void) {
  struct winsize w;
  const char *text = getenv("COLUMNS");
  int asked = text ? atoi(text) : 0;
  int has = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
  int n = asked > 0 && has > 0 ? (asked < has ? asked : has) : asked > 0 ? asked : has > 0 ? has : 80;
  return n;
}

void duel_progress_open(duel_progress *p, int quiet, int json) {
  memset(p, 0, sizeof *p);
  const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
  int live = isatty(STDOUT_FILENO) && !(term && !strcmp(term, "dumb"));
  p->mode = json ? DUEL_PROGRESS_JSON : quiet ? DUEL_PROGRESS_QUIET : live ? DUEL_PROGRESS_LIVE : DUEL_PROGRESS_PLAIN;
  p->color = live && !(no_color && *no_color);
}

void duel_progress_clear(duel_progress *p) {
  if (p->bar) {
    fputs("\r\033[K", stdout);
    fflush(stdout);
  }
  p->bar = 0;
}

void duel_progress_duration(char *dst, size_t n, double seconds) {
  if (!(seconds >= 0 && seconds < 1e9)) {
    snprintf(dst, n, "--");
    return;
  }
  long long s = (long long)(seconds + 0.5);
  if (s < 60)
    snprintf(dst, n, "%llds", s);
  else if (s < 3600)
    snprintf(dst, n, "%lldm %02llds", s / 60, s % 60);
  else if (s < 86400)
    snprintf(dst, n, "%lldh %02lldm", s / 3600, s / 60 % 60);
  else
    snprintf(dst, n, "%lldd %02lldh", s / 86400, s / 3600 % 24);
}

// "938 steps", "1 step", and where a step passes the data more than once "1/64 step", "3/8 step".
static void epoch_text(char *dst, size_t n, const duel_run_info *i) {
  if (i->items >= i->items_per_step) {
    snprintf(dst, n, "%lld step%s", (long long)i->steps_per_epoch, i->steps_per_epoch == 1 ? "" : "s");
    return;
  }
  long long a = i->items, b = i->items_per_step, items = a, whole = b;
  while (b) { // a: their greatest common divisor
    const long long rest = a % b;
    a = b;
    b = rest;
  }
  snprintf(dst, n, "%lld/%lld step", items / a, whole / a);
}

void duel_progress_header(const duel_run *run) {
  duel_run_info i = duel_run_describe(run);
  char shape[80], epoch[48];
  epoch_text(epoch, sizeof epoch, &i);
  if (i.rank == 3)
    snprintf(shape, sizeof shape, "images of %lldx%lldx%lld", (long long)i.dim[0], (long long)i.dim[1],
             (long long)i.dim[2]);
  else
    snprintf(shape, sizeof shape, "points of %lld", (long long)i.dim[0]);
  printf("Recipe:     %s;", i.recipe);
  for (int net = 0; net < i.n_nets; net++)
    printf("%s %s %lld",
           net == 0              ? ""
           : net == i.n_nets - 1 ? " and"
                                 : ",",
           i.net[net].name, (long long)i.net[net].parameters);
  puts(" parameters");
  printf("Data:       %s; %lld %s", i.data, (long long)i.items, shape);
  if (i.classes > 0) printf(", %lld class%s", (long long)i.classes, i.classes == 1 ? "" : "es");
  printf("\nBackend:    %s; %s\n", i.backend, i.device);
  printf("Training:   %lld step%s of batch %lld, %s an epoch, seed %llu\n", (long long)i.steps, i.steps == 1 ? "" : "s",
         (long long)i.batch, epoch, (unsigned long long)i.seed);
  printf("Memory:     %.1f MiB planned\n", (double)i.memory_bytes / 1048576);
}

// "D loss 0.6931  G loss 0.6931": those that have a label, which ends at a character of `end`.
static void scalars_text(char *dst, size_t n, const duel_train_event *e, const char *end, const char *between,
                         const char *is) {
  size_t at = 0;
  *dst = 0;
  for (int i = 0; i < e->n_scalars && at < n; i++)
    if (e->scalars[i].label)
      at += (size_t)snprintf(dst + at, n - at, "%s%.*s%s%.4f", at ? between : "",
                             (int)strcspn(e->scalars[i].label, end), e->scalars[i].label, is, e->scalars[i].value);
}

// ---- the bar

typedef struct piece {
  char text[48];
  int priority; // the highest goes first when the line is too long
} piece;

static int line_length(const piece *p, int n, int priority) {
  int length = 0;
  for (int i = 0; i < n; i++)
    if (p[i].priority <= priority && *p[i].text) length += (int)strlen(p[i].text) + (length ? 2 : 0);
  return length;
}

static void draw(duel_progress *p, const duel_train_event *e) {
  const duel_stats *s = &e->stats;
  int width = columns() - 1; // a full last column would wrap on some terminals
  char left[24];
  duel_progress_duration(left, sizeof left, e->eta_s);
  double done = s->steps > 0 ? (double)s->step / (double)s->steps : 0;
  double epochs = s->step > 0 ? s->epoch / (double)s->step * (double)s->steps : 0;
  double total = ceil(epochs - 1e-9), epoch = floor(s->epoch + 1e-9) + 1;
  piece part[6] = {{.priority = 0}, {.priority = 1}, {.priority = 3},
                   {.priority = 2}, {.priority = 4}, {.priority = 4}};
  snprintf(part[0].text, sizeof part[0].text, "epoch %.0f/%.0f %3.0f%%", epoch < total ? epoch : total, total,
           floor(100 * done));
  scalars_text(part[1].text, sizeof part[1].text, e, " ", " ", " "); // "D 0.6931 G 0.6931"
  snprintf(part[2].text, sizeof part[2].text, "%.0f images/s", e->images_per_sec);
  snprintf(part[3].text, sizeof part[3].text, "%s left", left);
  snprintf(part[4].text, sizeof part[4].text, "%.0f MiB", e->rss_mib);
  if (e->gpu_mib > 0) snprintf(part[5].text, sizeof part[5].text, "GPU %.0f MiB", e->gpu_mib);
  int priority = 4;
  while (priority > 0 && line_length(part, 6, priority) > width) priority--;
  int room = width - line_length(part, 6, priority) - 3; // two brackets and a blank
  int bar = room > 30 ? 30 : room;

  char line[512];
  size_t n = 0;
  for (int i = 0; i < 6; i++) {
    if (part[i].priority > priority || !*part[i].text) continue;
    n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", n ? "  " : "", part[i].text);
    if (i > 0 || bar < 8) continue;
    int full = (int)(done * bar);
    n += (size_t)snprintf(line + n, sizeof line - n, " [%s", p->color ? "\033[36m" : "");
    for (int k = 0; k < bar; k++) line[n++] = k < full ? '#' : '.';
    n += (size_t)snprintf(line + n, sizeof line - n, "%s]", p->color ? "\033[0m" : "");
  }
  if (bar < 8 && width >= 0 && n > (size_t)width) line[width] = 0; // no colors in it: cut anywhere
  printf("\r%s\033[K", line);
  fflush(stdout);
  p->bar = 1;
  p->drawn = duel_cli_now();
}

// ---- lines

static void say(duel_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(duel_progress *p, const char *fmt, ...) {
  duel_progress_clear(p);
  va_list ap;
  va_start(ap, fmt);
  duel_cli_vput(stdout, fmt, ap);
  va_end(ap);
  putchar('\n');
  fflush(stdout); // each line counts at once, through a pipe too
}

static void plain_line(duel_progress *p, const duel_train_event *e) {
  const duel_stats *s = &e->stats;
  char left[24], gpu[32] = "", scalars[256];
  scalars_text(scalars, sizeof scalars, e, "", "  ", " ");
  duel_progress_duration(left, sizeof left, e->eta_s);
  if (e->gpu_mib > 0) snprintf(gpu, sizeof gpu, "  gpu %.0f MiB", e->gpu_mib);
  say(p, "step %lld/%lld  epoch %.2f  %s  %.2f ms/step  %.0f images/s  %s left  %.0f MiB%s", (long long)s->step,
      (long long)s->steps, s->epoch, scalars, e->ms_per_step, e->images_per_sec, left, e->rss_mib, gpu);
}

static void json_event(const duel_train_event *e) {
  static const char *const name[] = {
      [DUEL_EVENT_START] = "start",     [DUEL_EVENT_STEP] = "step",     [DUEL_EVENT_TICK] = "tick",
      [DUEL_EVENT_EPOCH] = "epoch",     [DUEL_EVENT_SAMPLE] = "sample", [DUEL_EVENT_CHECKPOINT] = "checkpoint",
      [DUEL_EVENT_WARNING] = "warning", [DUEL_EVENT_NOTE] = "note",     [DUEL_EVENT_END] = "end",
      [DUEL_EVENT_DATA] = "data",       [DUEL_EVENT_ALARM] = "alarm"};
  if (e->kind == DUEL_EVENT_STEP || (e->kind == DUEL_EVENT_DATA && e->done < e->items)) return;
  const duel_stats *s = &e->stats;
  char text[TEXT_BYTES];
  duel_json_writer w = {.out = stdout};
  duel_json_object(&w, NULL);
  duel_json_text(&w, "event", name[e->kind]);
  if (e->alarm) duel_json_text(&w, "alarm", e->alarm);
  if (e->text) duel_json_text(&w, "text", duel_cli_with_flags(text, sizeof text, e->text));
  duel_json_integer(&w, "step", s->step);
  duel_json_integer(&w, "steps", s->steps);
  for (int i = 0; i < e->n_scalars; i++) duel_json_number(&w, e->scalars[i].name, e->scalars[i].value);
  const struct {
    const char *key;
    double value;
  } number[] = {{"epoch", s->epoch},
                {"kimg", s->kimg},
                {"ms_per_step", e->ms_per_step},
                {"images_per_sec", e->images_per_sec},
                {"rss_mib", e->rss_mib},
                {"elapsed_s", e->elapsed_s},
                {"eta_s", e->eta_s}};
  for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) duel_json_number(&w, number[i].key, number[i].value);
  duel_json_end(&w);
  putchar('\n');
  fflush(stdout);
}

// Data are made ready: one line that is redrawn, or a line now and then.
static void data_line(duel_progress *p, const duel_train_event *e) {
  const double at = duel_cli_now();
  const int end = e->done >= e->items;
  if (p->mode == DUEL_PROGRESS_PLAIN && !end && at - p->drawn < DATA_SECONDS && p->drawn > 0) return;
  p->drawn = at;
  if (p->mode != DUEL_PROGRESS_LIVE || end) {
    say(p, "%s: %lld of %lld", e->text, (long long)e->done, (long long)e->items);
    return;
  }
  printf("\r%s: %lld of %lld\033[K", e->text, (long long)e->done, (long long)e->items);
  fflush(stdout);
  p->bar = 1;
}

void duel_progress_warn(const duel_train_event *e) {
  char text[TEXT_BYTES];
  snprintf(text, sizeof text, "%s%s%s", e->alarm ? e->alarm : "", e->alarm ? ": " : "", e->text);
  duel_cli_warn(text);
}

void duel_progress_event(void *progress, duel_run *run, const duel_train_event *e) {
  duel_progress *p = progress;
  const char *text = e->text ? e->text : "";
  char note[TEXT_BYTES];
  if (e->kind == DUEL_EVENT_WARNING || e->kind == DUEL_EVENT_ALARM) {
    duel_progress_clear(p);
    duel_progress_warn(e);
  }
  if (e->kind == DUEL_EVENT_SAMPLE) snprintf(p->picture, sizeof p->picture, "%s", text);
  if (e->kind == DUEL_EVENT_STEP || e->kind == DUEL_EVENT_TICK || e->kind == DUEL_EVENT_EPOCH) p->last = *e;
  if (p->mode == DUEL_PROGRESS_JSON) json_event(e);
  if (p->mode == DUEL_PROGRESS_JSON || p->mode == DUEL_PROGRESS_QUIET) return;

  char scalars[256];
  int live = p->mode == DUEL_PROGRESS_LIVE, due = live && duel_cli_now() - p->drawn >= REDRAW_SECONDS;
  switch (e->kind) {
  case DUEL_EVENT_START:
    duel_progress_header(run);
    p->samples = duel_run_describe(run).samples;
    say(p, "Directory:  %s", text);
    p->started = 1;
    break;
  case DUEL_EVENT_STEP:
    if (due) draw(p, e);
    break;
  case DUEL_EVENT_TICK:
    if (!live) plain_line(p, e);
    break;
  case DUEL_EVENT_EPOCH:
    scalars_text(scalars, sizeof scalars, e, "", ", ", ": ");
    say(p, "Epoch:[%.0f] %s", floor(e->stats.epoch + 1e-9), scalars);
    if (due) draw(p, e); // else the next step draws it
    break;
  case DUEL_EVENT_NOTE:
    say(p, "%s", duel_cli_with_flags(note, sizeof note, text));
    break;
  case DUEL_EVENT_END:
    duel_progress_clear(p);
    break;
  case DUEL_EVENT_DATA:
    data_line(p, e);
    break;
  case DUEL_EVENT_SAMPLE:
  case DUEL_EVENT_CHECKPOINT:
  case DUEL_EVENT_WARNING:
  case DUEL_EVENT_ALARM:
    break;
  }
  if (!p->picture_told && *p->picture && e->elapsed_s >= PICTURE_SECONDS) {
    say(p, "Picture:    %s", p->picture);
    p->picture_told = 1;
  }
}

void duel_progress_saved(duel_progress *p, const char *path) {
  if (p->mode == DUEL_PROGRESS_PLAIN || p->mode == DUEL_PROGRESS_LIVE) say(p, "Saved:      %s", path);
}
