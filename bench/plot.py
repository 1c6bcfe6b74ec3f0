#!/usr/bin/env python3
"""Draws what `duel bench --scale --ops --json bench.json` measured, as an SVG: images/s over the batch, a line for each
backend and number of threads; then where a step goes, a bar for each op.

    python3 bench/plot.py bench.json bench.svg
"""
import argparse
import json
import math
from html import escape

WIDTH, LEFT, RIGHT, TOP, BOTTOM, SCALE_HEIGHT = 820, 88, 28, 128, 420, 500
BARS_TOP, BAR, MOST_BARS, NAMES, VALUES = 116, 24, 14, 212, 300
COLORS = ["#2a78d6", "#c2571a", "#1a8a63", "#7a4fc9", "#a8326e", "#7a6a00"]
BOUND = {"compute": COLORS[0], "memory": COLORS[1], None: "#898781"}
STYLE = """text{font-family:system-ui,Helvetica,Arial,sans-serif;font-size:13px;fill:#52514e}
.title{font-size:17px;font-weight:600;fill:#0b0b0b}.end{text-anchor:end}.middle{text-anchor:middle}
.grid{stroke:#e1e0d9}.axis{stroke:#898781}.line{fill:none;stroke-width:2}"""


def element(name, body=None, **attributes):
    """One element; x1 and the like are numbers, class_ and stroke_width are class and stroke-width."""
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        words.append(f'{key}="{value:.1f}"' if isinstance(value, float) else f'{key}="{escape(str(value))}"')
    return f"<{' '.join(words)}/>" if body is None else f"<{' '.join(words)}>{body}</{name}>"


def text(x, y, words, class_=""):
    return element("text", escape(words), x=float(x), y=float(y), class_=class_)


def line(x1, y1, x2, y2, **style):
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), **style)


def heading(bench, top, title, *about):
    yield text(LEFT - 64, top + 34, f"{title}: {bench['recipe']} on {bench['data']}", "title")
    for i, words in enumerate(about):
        yield text(LEFT - 64, top + 56 + 18 * i, words)


def round_up(x):
    """The least of 1, 2, 5 times a power of ten that is not below x."""
    power = 10.0 ** math.floor(math.log10(x))
    return next(m * power for m in (1, 2, 5, 10) if x <= m * power * 1.0001)


def ticks_of(points):
    """Where the lines of the y axis are, and whether it is logarithmic: with a GPU beside a CPU."""
    low, high = min(p["images_per_sec"] for p in points), max(p["images_per_sec"] for p in points)
    if high > 30 * low:
        ticks = [round_up(low) / 10]
        while ticks[-1] < round_up(high):
            ticks.append(round_up(1.5 * ticks[-1]))
        return ticks, True
    step = round_up(high / 7)
    return [i * step for i in range(math.ceil(high / step) + 1)], False


def draw_scale(bench, device, top):
    points = [p for p in bench["scale"] if p["usable"]]
    batches = sorted({p["batch"] for p in points})
    repetitions = bench["scale_repetitions"]
    yield from heading(bench, top, "Images a second",
                       f"Training, the updates of all nets; medians, repetitions: {repetitions}", device)
    if not points:
        return
    ticks, logarithmic = ticks_of(points)
    scaled = math.log if logarithmic else float
    room = WIDTH - LEFT - RIGHT - 40
    wide = math.log2(batches[-1] / batches[0]) or 1

    def x_of(batch):
        return LEFT + 20 + room * math.log2(batch / batches[0]) / wide

    def y_of(y):
        part = (scaled(y) - scaled(ticks[0])) / (scaled(ticks[-1]) - scaled(ticks[0]))
        return top + BOTTOM - part * (BOTTOM - TOP)

    for tick in ticks:
        yield line(LEFT, y_of(tick), WIDTH - RIGHT, y_of(tick), class_="axis" if tick == ticks[0] else "grid")
        yield text(LEFT - 8, y_of(tick) + 4, f"{tick / 1000:g}k" if tick >= 1000 else f"{tick:g}", "end")
    for batch in batches:
        yield line(x_of(batch), top + BOTTOM, x_of(batch), top + BOTTOM + 5, class_="axis")
        yield text(x_of(batch), top + BOTTOM + 20, str(batch), "middle")
    yield text((LEFT + WIDTH - RIGHT) / 2, top + BOTTOM + 44, "batch", "middle")
    yield element("text", "images/s" + (" (logarithmic)" if logarithmic else ""), class_="middle",
                  transform=f"translate({LEFT - 58} {top + (TOP + BOTTOM) / 2:.1f}) rotate(-90)")
    series = list(dict.fromkeys((p["backend"], p["threads"]) for p in points))
    for number, (backend, threads) in enumerate(series):
        style = {"stroke": COLORS[number % len(COLORS)]}
        if number >= len(COLORS):
            style["stroke_dasharray"] = "6 4"
        mine = [p for p in points if (p["backend"], p["threads"]) == (backend, threads)]
        places = [(x_of(p["batch"]), y_of(p["images_per_sec"])) for p in mine]
        yield element("polyline", class_="line", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), **style)
        for (x, y), p in zip(places, mine):
            told = f"{backend}, batch {p['batch']}, {p['images_per_sec']:.0f} images/s, {p['ms_per_step']['median']:.3f} ms"
            yield element("circle", element("title", escape(told)), cx=x, cy=y, r=4, fill=style["stroke"])
        x, y = LEFT + number % 5 * 142, top + 98 + number // 5 * 18
        yield line(x, y - 4, x + 22, y - 4, class_="line", **style)
        yield text(x + 28, y, f"{backend}, {threads} thread{'s' * (threads > 1)}" if threads else backend)


def joined(ops):
    """The shortest ones together."""
    head, rest = ops[:MOST_BARS - 1], ops[MOST_BARS - 1:]
    if len(rest) < 2:
        return ops
    sums = {key: sum(o[key] for o in rest) for key in ("calls", "ms", "share")}
    return head + [{"op": "all others", **sums}]


def draw_ops(bench, row, ops, top):
    yield from heading(bench, top, "Where a step goes",
                       f"{row['backend']}, batch {bench['batch']}: {row['ops_ms']:.3f} ms in ops; a step without clocks in "
                       f"it takes {row['ms_per_step']['median']:.3f} ms", row["device"])
    for i, bound in enumerate(("compute", "memory")):
        yield element("rect", x=LEFT - 64 + i * 150, y=top + 89, width=12, height=12, fill=BOUND[bound])
        yield text(LEFT - 46 + i * 150, top + 100, f"bound by {bound}")
    unit = (WIDTH - NAMES - VALUES) / (ops[0]["ms"] or 1)
    for i, op in enumerate(ops):
        y, width, bound = top + BARS_TOP + i * BAR, max(op["ms"] * unit, 1.0), op.get("bound")
        told = f"{op['ms']:.3f} ms, {100 * op['share']:.1f} %"
        if bound:
            told += f"; {100 * op['of_bound']:.0f} % of {bound} peak"
        yield text(NAMES - 10, y + 15, f"{op['op']}, {op['calls']}×", "end")
        yield element("rect", x=NAMES, y=y + 2, width=width, height=BAR - 6, fill=BOUND[bound])
        yield text(NAMES + width + 8, y + 15, told)


def draw(bench):
    rows = [row for row in bench["backends"] if row["usable"]]
    body, height = [], 0
    if "scale" in bench:
        body += draw_scale(bench, rows[0]["device"], height)
        height += SCALE_HEIGHT
    for row in rows:
        if "ops" not in row:
            continue
        ops = joined(row["ops"])
        body += draw_ops(bench, row, ops, height)
        height += BARS_TOP + len(ops) * BAR + 40
    if not body:
        raise SystemExit("plot.py: there is nothing to draw: bench with --scale, with --ops, or with both")
    page = element("rect", width="100%", height="100%", fill="#fcfcfb")
    return element("svg", "\n".join(["", element("style", STYLE), page, *body, ""]), xmlns="http://www.w3.org/2000/svg",
                   width=WIDTH, height=height, viewBox=f"0 0 {WIDTH} {height}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", help="what duel bench wrote")
    parser.add_argument("svg", help="the chart")
    args = parser.parse_args()
    with open(args.json, encoding="utf-8") as f:
        svg = draw(json.load(f))
    with open(args.svg, "w", encoding="utf-8") as f:
        f.write(svg + "\n")


if __name__ == "__main__":
    main()
