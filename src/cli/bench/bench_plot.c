// The chart of `duel bench`, an SVG of panels under each other: images/s over the batch, a line for each backend and
// number of threads; then the ops of each backend as bars. Colors are classes, with a second set for dark screens.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { WIDTH = 820, LEFT = 88, RIGHT = 28, SCALE_HEIGHT = 500, PLOT_TOP = 128, PLOT_BOTTOM = 420, BAR = 24 };
enum { MOST_BARS = 14, BARS_TOP = 116, COLORS = 6 };

static const char style[] =
    "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:13px;fill:#52514e}\n"
    ".page{fill:#fcfcfb}.title{font-size:17px;font-weight:600;fill:#0b0b0b}.ink{fill:#0b0b0b}\n"
    ".grid{stroke:#e1e0d9}.axis{stroke:#898781}.end{text-anchor:end}.middle{text-anchor:middle}\n"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}\n"
    ".c0{stroke:#2a78d6}.c1{stroke:#c2571a}.c2{stroke:#1a8a63}.c3{stroke:#7a4fc9}.c4{stroke:#a8326e}.c5{stroke:#7a6a00}"
    "\n"
    ".f0{fill:#2a78d6}.f1{fill:#c2571a}.f2{fill:#1a8a63}.f3{fill:#7a4fc9}.f4{fill:#a8326e}.f5{fill:#7a6a00}"
    ".rest{fill:#898781}\n"
    "@media (prefers-color-scheme:dark){text{fill:#c3c2b7}.page{fill:#1a1a19}.title,.ink{fill:#ffffff}"
    ".grid{stroke:#33332f}\n"
    ".c0{stroke:#5aa2f2}.c1{stroke:#f0894a}.c2{stroke:#3fc795}.c3{stroke:#a98bf0}.c4{stroke:#e571a8}.c5{stroke:#cdb93b}"
    "\n"
    ".f0{fill:#5aa2f2}.f1{fill:#f0894a}.f2{fill:#3fc795}.f3{fill:#a98bf0}.f4{fill:#e571a8}.f5{fill:#cdb93b}}\n";

// ---- pieces

static void print_text(FILE *out, const char *s) {
  for (; *s; s++) switch (*s) {
    case '<':
      fputs("&lt;", out);
      break;
    case '>':
      fputs("&gt;", out);
      break;
    case '&':
      fputs("&amp;", out);
      break;
    default:
      if ((unsigned char)*s >= ' ') fputc(*s, out);
    }
}

static void text(FILE *out, double x, double y, const char *class, const char *s) {
  fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
  print_text(out, s);
  fputs("</text>\n", out);
}

static void line(FILE *out, double x1, double y1, double x2, double y2, const char *class) {
  fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class);
}

// "1.5k", "20k": thousands as k.
static const char *short_number(char text[32], double x) {
  if (x >= 1e6)
    snprintf(text, 32, "%gM", x / 1e6);
  else if (x >= 1e3)
    snprintf(text, 32, "%gk", x / 1e3);
  else
    snprintf(text, 32, "%g", x);
  return text;
}

// What a panel is about, in three lines.
static void heading(FILE *out, const duel_bench_row *r, double top, const char *title, const char *about) {
  char words[512];
  snprintf(words, sizeof words, "%s: %s on %s", title, r->info.recipe, r->info.data);
  text(out, LEFT - 64, top + 34, "title", words);
  text(out, LEFT - 64, top + 56, "", about);
  text(out, LEFT - 64, top + 74, "", r->info.device);
}

// ---- images/s over the batch

typedef struct scale {
  const duel_bench *b;
  double low, high, step; // of the y axis
  int logarithmic;
  int batches;
} scale;

static double x_of(const scale *s, int64_t batch) {
  const double room = WIDTH - LEFT - RIGHT - 40;
  return LEFT + 20 + (s->batches > 1 ? room * log2((double)batch / 16) / (s->batches - 1) : room / 2);
}

static double y_of(const scale *s, double top, double y) {
  const double part = s->logarithmic ? log(y / s->low) / log(s->high / s->low) : (y - s->low) / (s->high - s->low);
  return top + PLOT_BOTTOM - part * (PLOT_BOTTOM - PLOT_TOP);
}

// The least of 1, 2, 5 times a power of ten that is not below x.
static double round_up(double x) {
  const double power = pow(10, floor(log10(x)));
  return x <= power * 1.0001 ? power : x <= 2 * power ? 2 * power : x <= 5 * power ? 5 * power : 10 * power;
}

static scale scale_of(const duel_bench *b) {
  scale s = {.b = b, .low = INFINITY};
  for (int i = 0; i < b->n_points; i++) {
    const duel_bench_point *p = &b->point[i];
    if (*p->error) continue;
    s.low = fmin(s.low, p->images_per_sec);
    s.high = fmax(s.high, p->images_per_sec);
  }
  for (int64_t batch = 16; batch <= b->batch_max; batch *= 2) s.batches++;
  if (!(s.high > 0)) s.low = s.high = 1; // nothing to draw
  s.logarithmic = s.high > 30 * s.low;   // a GPU beside a CPU
  if (s.logarithmic) {
    s.low = round_up(s.low) / 10;
    s.high = round_up(s.high);
  } else {
    s.step = round_up(s.high / 7);
    s.low = 0;
    s.high = s.step * ceil(s.high / s.step);
  }
  return s;
}

static void draw_axes(FILE *out, const scale *s, double top) {
  char number[32];
  for (double y = s->low; y <= s->high * 1.0001; y = s->logarithmic ? round_up(1.5 * y) : y + s->step) {
    const double at = y_of(s, top, y);
    line(out, LEFT, at, WIDTH - RIGHT, at, y > s->low ? "grid" : "axis");
    text(out, LEFT - 8, at + 4, "end", short_number(number, y));
  }
  for (int64_t batch = 16; batch <= s->b->batch_max; batch *= 2) {
    snprintf(number, sizeof number, "%lld", (long long)batch);
    line(out, x_of(s, batch), top + PLOT_BOTTOM, x_of(s, batch), top + PLOT_BOTTOM + 5, "axis");
    text(out, x_of(s, batch), top + PLOT_BOTTOM + 20, "middle", number);
  }
  text(out, (LEFT + WIDTH - RIGHT) / 2.0, top + PLOT_BOTTOM + 44, "middle", "batch");
  fprintf(out, "<text transform=\"translate(%d %.1f) rotate(-90)\" class=\"middle\">images/s%s</text>\n", LEFT - 58,
          top + (PLOT_TOP + PLOT_BOTTOM) / 2.0, s->logarithmic ? " (logarithmic)" : "");
}

static int same_series(const duel_bench_point *p, const duel_bench_point *q) {
  return p->threads == q->threads && !strcmp(p->backend, q->backend);
}

// The line of the points that belong with `first`, and its entry in the legend.
static void draw_series(FILE *out, const scale *s, double top, const duel_bench_point *first, int number) {
  const duel_bench *b = s->b;
  char name[64], class[8];
  const char *dash = number >= COLORS ? " stroke-dasharray=\"6 4\"" : "";
  fprintf(out, "<polyline class=\"line c%d\"%s points=\"", number % COLORS, dash);
  for (int i = 0; i < b->n_points; i++) {
    const duel_bench_point *p = &b->point[i];
    if (same_series(p, first) && !*p->error)
      fprintf(out, "%.1f,%.1f ", x_of(s, p->batch), y_of(s, top, p->images_per_sec));
  }
  fputs("\"/>\n", out);
  for (int i = 0; i < b->n_points; i++) {
    const duel_bench_point *p = &b->point[i];
    if (!same_series(p, first) || *p->error) continue;
    fprintf(out, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>", number % COLORS, x_of(s, p->batch),
            y_of(s, top, p->images_per_sec));
    fprintf(out, "%s, batch %lld, %.0f images/s, %.3f ms a step</title></circle>\n", p->backend, (long long)p->batch,
            p->images_per_sec, p->ms.median);
  }
  if (first->threads)
    snprintf(name, sizeof name, "%s, %d thread%s", first->backend, first->threads, first->threads > 1 ? "s" : "");
  else
    snprintf(name, sizeof name, "%s", first->backend);
  const double x = LEFT + number % 5 * 142, y = top + 98 + number / 5 * 18;
  snprintf(class, sizeof class, "f%d", number % COLORS);
  fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"line c%d\"%s/>\n", x, y - 4, x + 22,
          y - 4, number % COLORS, dash);
  fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", class, x + 11, y - 4);
  text(out, x + 28, y, "ink", name);
}

static void draw_scale(FILE *out, const duel_bench *b, const duel_bench_row *first, double top) {
  const scale s = scale_of(b);
  char about[512];
  int series = 0;
  snprintf(about, sizeof about, "Training, both players' updates; medians, repetitions: %lld",
           (long long)b->scale_repetitions);
  heading(out, first, top, "Images a second", about);
  draw_axes(out, &s, top);
  for (int i = 0; i < b->n_points; i++) {
    int seen = 0;
    for (int k = 0; k < i; k++) seen |= same_series(&b->point[k], &b->point[i]);
    if (!seen) draw_series(out, &s, top, &b->point[i], series++);
  }
}

// ---- ops

static int bars_of(int ops) {
  return ops < MOST_BARS ? ops : MOST_BARS;
}

// The shortest ones together.
static int join_rest(duel_bench_op *op, int n) {
  if (n <= MOST_BARS) return n;
  duel_bench_op *rest = &op[MOST_BARS - 1];
  for (int i = MOST_BARS; i < n; i++) {
    rest->calls += op[i].calls;
    rest->seconds += op[i].seconds;
    rest->flops += op[i].flops;
    rest->bytes += op[i].bytes;
  }
  rest->op = "all others";
  return MOST_BARS;
}

static void draw_legend(FILE *out, double top) {
  static const char *const names[] = {"bound by compute", "bound by memory"}, *const classes[] = {"f0", "f1"};
  for (int i = 0; i < 2; i++) {
    const double x = LEFT - 64 + i * 150;
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" rx=\"2\" class=\"%s\"/>\n", x, top + 89,
            classes[i]);
    text(out, x + 18, top + 100, "ink", names[i]);
  }
}

static void draw_ops(FILE *out, const duel_bench *b, const duel_bench_row *r, const duel_bench_op *op, int n,
                     double top) {
  enum { NAMES = 212, VALUES = 300 };
  char words[512];
  double all = 0;
  for (int i = 0; i < n; i++) all += op[i].seconds;
  snprintf(words, sizeof words, "%s, batch %lld: %.3f ms in ops; a step without clocks in it takes %.3f ms",
           r->info.backend, (long long)r->info.batch, 1000 * all,
           duel_bench_spread_of(r->sorted, b->repetitions).median);
  heading(out, r, top, "Where a step goes", words);
  if (!*r->peaks_error) draw_legend(out, top);
  const double unit = (WIDTH - NAMES - VALUES) / (op[0].seconds > 0 ? op[0].seconds : 1);
  for (int i = 0; i < n; i++) {
    const duel_bench_bound bound = duel_bench_bound_of(&r->peaks, &op[i]);
    const double y = top + BARS_TOP + i * BAR, width = fmax(op[i].seconds * unit, 1);
    const char *class = *bound.name == 'c' ? "f0" : *bound.name == 'm' ? "f1" : "rest";
    snprintf(words, sizeof words, "%s, %d×", op[i].op, op[i].calls);
    text(out, NAMES - 10, y + 15, "end ink", words);
    fprintf(out, "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"3\" class=\"%s\"/>\n", NAMES, y + 2,
            width, BAR - 6, class);
    int used = snprintf(words, sizeof words, "%.3f ms, %.1f %%", 1000 * op[i].seconds, 100 * op[i].seconds / all);
    if (*bound.name)
      snprintf(words + used, sizeof words - (size_t)used, "; %.0f %% of %s peak", 100 * bound.share, bound.name);
    text(out, NAMES + width + 8, y + 15, "", words);
  }
}

static double ops_height(int bars) {
  return BARS_TOP + bars * BAR + 40;
}

void duel_bench_plot(FILE *out, const duel_bench *b, const duel_bench_row *first) {
  duel_bench_op *op[DUEL_BENCH_ROWS] = {NULL};
  int n[DUEL_BENCH_ROWS] = {0};
  double height = b->n_points ? SCALE_HEIGHT : 0, top = height;
  for (int i = 0; i < b->n; i++) {
    const duel_bench_row *r = &b->row[i];
    if (!r->run || !r->node || !(op[i] = calloc((size_t)r->info.step_nodes + 1, sizeof **op))) continue;
    n[i] = duel_bench_sum_ops(r, op[i]);
    height += ops_height(bars_of(n[i]));
  }
  fprintf(out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n"
          "<style>\n%s</style>\n<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n",
          WIDTH, height, WIDTH, height, style);
  if (b->n_points) draw_scale(out, b, first, 0);
  for (int i = 0; i < b->n; i++) {
    if (!op[i]) continue;
    n[i] = join_rest(op[i], n[i]);
    draw_ops(out, b, &b->row[i], op[i], n[i], top);
    top += ops_height(n[i]);
    free(op[i]);
  }
  fputs("</svg>\n", out);
}
