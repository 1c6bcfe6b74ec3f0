#!/usr/bin/env python3
"""Are the alarms silent in good trainings, and soon there in broken ones?

    bench/alarms.py                            # all of it: hours on two cores
    bench/alarms.py --good mlp,ring --seeds 0 --epochs 2 --broken ''
    bench/alarms.py --good '' --broken all     # the broken ones: some minutes

Good trainings are the built-in recipes as they are, at most --epochs long: each must end without an alarm. Broken ones,
of different causes, are in the table CASES. Of them a judge of its own looks at what a person would look at, the
pictures of each tick and those of the data (of a classifier the share of the test set that is right), and knows none
of the scalars that alarms read: the first alarm must come at most 5 ticks after the first tick that it calls broken. It
also looks at the good ones' pictures and must call none broken.

What is finished stays in --work, so that the script goes on where it was stopped. Exit status 1 if anything is not as
it must be. Needs Python alone.
"""
import argparse
import glob
import itertools
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
LATE = 5  # ticks that an alarm may come after the judge
SIDE = 28

# ---- data and pictures
def npy(path, values, shape, kind):
    """values: floats, or bytes for '|u1'. The file's path."""
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    body = bytes(values) if kind == "|u1" else struct.pack(f"<{len(values)}f", *values)
    with open(path + ".npy", "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body)
    return path + ".npy"


def discs(n):
    """n bytes images of a bright disc on black, each of its own place and size."""
    images = []
    for i in range(n):
        x, y, r = 8 + i * 7 % 12, 8 + i * 5 % 13, 3 + i * 3 % 5
        images += [255 * ((a - x) ** 2 + (b - y) ** 2 <= r * r) * (40 + i % 60) // 100
                   for b in range(SIDE) for a in range(SIDE)]
    return images


def floats_255(path):
    return npy(path, [float(v) for v in discs(200)], (200, SIDE, SIDE), "<f4")


def floats_1(path):
    return npy(path, [v / 255 for v in discs(200)], (200, SIDE, SIDE), "<f4")


def bytes_1(path):
    return npy(path, [v > 0 for v in discs(200)], (200, SIDE, SIDE), "|u1")


def constant(path):
    return npy(path, discs(1) * 16, (16, SIDE, SIDE), "|u1")


def eight(path):
    return npy(path, discs(8), (8, SIDE, SIDE), "|u1")


RARE = 10  # one item in so many is of the rare class, in the test set too


def rare(path):
    """A folder of IDX files: images and labels of two classes, to train on and to test."""
    os.mkdir(path)
    for prefix, n in (("train", 400), ("t10k", 200)):
        for name, head, body in (("images-idx3", [n, SIDE, SIDE], discs(n)),
                                 ("labels-idx1", [n], [i % RARE == 0 for i in range(n)])):
            with open(os.path.join(path, f"{prefix}-{name}-ubyte"), "wb") as f:
                f.write(struct.pack(f">4B{len(head)}I", 0, 0, 8, len(head), *head) + bytes(body))
    return path


def unfilter(kind, line, above, step):
    for i, v in enumerate(line):
        a = line[i - step] if i >= step else 0
        b, c = above[i], above[i - step] if i >= step else 0
        if kind == 4:
            p, q, r = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            guess = a if p <= q and p <= r else b if q <= r else c
        else:
            guess = (0, a, b, (a + b) // 2)[kind]
        line[i] = (v + guess) & 255


def read_png(path):
    """Rows of grey or color bytes, and the channels."""
    with open(path, "rb") as f:
        data = f.read()
    width, height, bits, color = struct.unpack(">IIBB", data[16:26])
    if bits != 8 or color not in (0, 2):
        raise SystemExit(f"{path}: {bits} bits of type {color} are none of duel's pictures")
    step, packed, at = 1 if color == 0 else 3, b"", 8
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at:at + 8])
        packed += data[at + 8:at + 8 + size] if name == b"IDAT" else b""
        at += size + 12
    raw, rows, above = zlib.decompress(packed), [], bytearray(width * step)
    for y in range(height):
        start = y * (width * step + 1)
        line = bytearray(raw[start + 1:start + 1 + width * step])
        unfilter(raw[start], line, above, step)
        rows.append(line)
        above = line
    return rows, step


def cells(path, side):
    """The items of a grid, 16 a row, as bytes."""
    rows, step = read_png(path)
    wide = side * step
    return [b"".join(bytes(row[x:x + wide]) for row in rows[y:y + side])
            for y in range(0, len(rows) - side + 1, side) for x in range(0, len(rows[0]) - wide + 1, wide)]


# ---- the judge
def mean(values):
    values = list(values)
    return sum(values) / len(values)


def difference(a, b):
    return mean(abs(x - y) for x, y in zip(a, b))


def typical_pair(items):
    pairs = sorted(difference(a, b) for a, b in zip(items, items[1:] + items[:1]))
    return pairs[len(pairs) // 2]


def mean_item(items):
    return [sum(column) / len(items) for column in zip(*items)]


def ends(items):
    return mean(mean(v <= 2 or v >= 253 for v in item) for item in items)


def judge_data(real):
    """What is wrong with the data alone."""
    if not any(difference(real[0], item) for item in real):
        return "all of the data are the same"
    if len(set(real)) < 16:
        return "there are few data"
    low, high = min(map(min, real)), max(map(max, real))
    if high - low < 150:
        return f"the data use {low} to {high} of 0 to 255"
    if mean(mean(v == 255 for v in item) for item in real) > 0.9:
        return "the data are white"
    return None


def judge_items(history, real):
    """What is wrong with the newest of the pictures so far, the untrained one first, as lists of items."""
    fake, typical = history[-1], typical_pair(real)
    if len(history) < 3:
        return None
    near = sum(difference(a, b) < typical / 5 for a, b in itertools.combinations(fake[:24], 2))
    if near > 24 * 23 / 4:
        return "more than half of the pairs are alike"
    if 1 - ends(fake) < 0.4 * (1 - ends(real)):
        return "all is black or white"
    off = difference(mean_item(fake), mean_item(real))
    if len(history) > 10 and off > 25 and all(difference(mean_item(fake), mean_item(h)) < 4 for h in history[-9:]):
        return "nothing has changed in 8 ticks"
    if len(history) > 10 and off > 45:
        return "the mean picture is another one"
    return None


def judge_points(rows, real, ticks):
    """Of the dots of the data's plot, few have one of G's nearby."""
    if ticks < 20:
        return None
    step = 16
    dots = [{(y // step, x // step) for y, row in enumerate(picture) for x, v in enumerate(row) if v == 0}
            for picture in (real, rows)]
    around = {(y + a, x + b) for y, x in dots[1] for a in (-1, 0, 1) for b in (-1, 0, 1)}
    met = len(dots[0] & around) / len(dots[0])
    return f"{100 * met:.0f} % of the data are met" if met < 0.5 else None


def judge(folder, sides):
    """(number of the picture, verdict) of the first broken one; (None, None)."""
    pictures = sorted(glob.glob(os.path.join(folder, "fakes-*.png")))
    reals = os.path.join(folder, "reals.png")
    if sides == 0:
        real = read_png(reals)[0]
        for i, picture in enumerate(pictures):
            verdict = judge_points(read_png(picture)[0], real, i)
            if verdict:
                return i, verdict
        return None, None
    real, history = cells(reals, sides)[:64], []
    verdict = judge_data(real)
    if verdict:
        return 0, verdict
    for i, picture in enumerate(pictures):
        history.append(cells(picture, sides)[:64])
        verdict = judge_items(history, real)
        if verdict:
            return i, verdict
    return None, None


def judge_classes(folder):
    """(tick, verdict) of the first but one in which a classifier of the set `rare` is no better than one that takes all
    items for the larger class."""
    for i, tick in enumerate(stats(folder), 1):
        if i > 1 and tick["test.accuracy"] <= 1 - 1 / RARE:
            return i, f"{100 * tick['test.accuracy']:.0f} % right: it may as well not look"
    return None, None


CLASSIFIER = "C=[flatten, dense: 32, relu, dense: $classes]"

# name: recipe, settings, data (None: the recipe's), steps a tick, ticks
CASES = {
    "a G that hardly moves": ("mlp", ["G.optim={name: sgd, lr: 0.0001}"], None, 50, 14),
    "a D that hardly moves": ("mlp", ["D.optim={name: sgd, lr: 0.000001}"], None, 50, 14),
    "a D of zeros": ("mlp", ["D.init={name: constant, value: 0}"], None, 50, 14),
    "a D that died": ("mlp", ["D=[flatten, dense: 64, relu, dense: 64, relu, dense: 1]", "D.optim={name: sgd, lr: 10}"],
                      None, 50, 14),
    "a G of zeros": ("mlp", ["G.init={name: constant, value: 0}"], None, 50, 10),
    "a G of large weights": ("mlp", ["G.init={name: normal, std: 1}"], None, 50, 10),
    "rates too high": ("mlp", ["optim.lr=0.02"], None, 50, 14),
    "rates too low": ("mlp", ["optim={name: sgd, lr: 0.000001}"], None, 50, 18),
    "weights that decay": ("mlp", ["optim={name: adam, lr: 0.0002, weight_decay: 1000}"], None, 50, 10),
    "an average that stands": ("mlp", ["ema={half_life: 1000 epochs}"], None, 50, 14),
    "floats from 0 to 255": ("mlp", [], floats_255, 20, 6),
    "floats from 0 to 1": ("mlp", [], floats_1, 20, 6),
    "bytes of 0 and 1": ("mlp", [], bytes_1, 20, 6),
    "one item": ("mlp", [], constant, 20, 6),
    "eight items, and a batch of 64": ("mlp", ["train.length=100 epochs"], eight, 2, 6),
    "D wins at once": ("dcgan", ["optim.lr=0.02", "train.batch=16"], constant, 10, 6),
    "a rare class": ("classifier-28", [CLASSIFIER, "optim={name: sgd, lr: 0.00003}", "train.noise=0"], rare, 100, 8),
    "a classifier that died": ("classifier-28", [CLASSIFIER, "optim={name: sgd, lr: 100}", "train.noise=0"], rare, 100, 8),
    "a G that runs away": ("ring", ["G.optim.lr=0.02", "train.batch=64"], None, 25, 25),
    "modes lost on the ring": ("ring", ["G.optim.lr=0.02", "D=[dense: 16, relu, dense: 1]"], None, 100, 30),
}


# ---- trainings
def train(args, name, flags, data=None):
    """The run directory of a finished training; data: makes them in a file."""
    key = re.sub(r"[^a-z0-9]+", "-", name.lower()) + f"-{zlib.crc32(repr(flags).encode()):08x}"
    folder = os.path.join(args.work, key)
    done = os.path.join(folder, "finished")
    if not os.path.exists(done):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        command = [args.duel, "train", "--outdir", folder, "--checkpoint", "0", "--threads", str(args.threads), "-q",
                   "--backend", args.backend, *flags]
        if data:
            command += ["--data", data(os.path.join(folder, "data"))]
        with open(os.path.join(folder, "said"), "w") as said:
            code = subprocess.run(command, stdout=said, stderr=said, check=False).returncode
        if code not in (0, 6):
            raise SystemExit(f"{' '.join(command)}\nended with {code}; {folder}/said tells why")
        open(done, "w").close()
    return glob.glob(os.path.join(folder, "0*"))[0]


def alarms(folder):
    """[(step, name)]"""
    with open(os.path.join(folder, "log.txt")) as f:
        return [(int(m[2]), m[1]) for m in re.finditer(r"alarm (\w+) at step (\d+): ", f.read())]


def stats(folder):
    with open(os.path.join(folder, "stats.jsonl")) as f:
        return [json.loads(line) for line in f]


def span(ticks, name, of=None):
    values = [t[name] / (t[of] if of else 1) for t in ticks if name in t]
    return f"{min(values):.3g} … {max(values):.3g}" if values else ""


def side_of(recipe):
    return {"ring": 0, "grid": 0, "dcgan-64": 64, "resnet-32": 32, "sngan-32": 32, "r3gan-32": 32}.get(recipe, SIDE)


def good(args, recipe, seed):
    """Whether there is no alarm, and no picture that the judge calls broken."""
    with open(os.path.join(ROOT, "recipes", recipe + ".yaml")) as f:
        length = re.search(r"length: ([0-9.]+) (\w+)", f.read())
    flags = ["--recipe", recipe, "--seed", str(seed)]
    name = f"good {recipe} {seed}"
    if length[2] == "epochs" and float(length[1]) > args.epochs:
        flags += ["--epochs", str(args.epochs)]
        name += f" {args.epochs:g} epochs"
    folder = train(args, name, flags)
    ticks, told = stats(folder), alarms(folder)
    broken, verdict = (None, None) if recipe.startswith("classifier") else judge(folder, side_of(recipe))
    print(f"{recipe:14}{seed:2}{ticks[-1]['step']:8}  {span(ticks, 'd_loss'):17}{span(ticks, 'sign_fake'):16}"
          f"{span(ticks, 'spread_fake', 'spread_real'):16}{span(ticks, 'apart', 'spread_real'):18}"
          f"{span(ticks, 'ends_fake'):18}{', '.join(n for _, n in told) or 'none'}"
          + (f"; the judge: {verdict} in picture {broken}" if verdict else ""), flush=True)
    return not told and not verdict


def bad(args, name):
    """Whether the judge calls it broken, and an alarm comes soon enough."""
    recipe, sets, data, tick, ticks = CASES[name]
    classifier = recipe.startswith("classifier")
    flags = ["--recipe", recipe, "--steps", str(tick * ticks), "--set", f"output.tick={tick}", "--set",
             f"output.{'test' if classifier else 'sample'}={tick}"]
    if any(s.startswith("train.length") for s in sets):
        del flags[2:4]
    for s in sets:
        flags += ["--set", s]
    run = train(args, "bad " + name, flags, data)
    at, verdict = judge_classes(run) if classifier else judge(run, side_of(recipe))
    told = [(math.ceil(step / tick), alarm) for step, alarm in alarms(run)]
    first = min((t for t, _ in told), default=None)
    well = at is not None and first is not None and first <= at + LATE
    print(f"{name:32}{'-' if at is None else at:>4}  {verdict or 'not broken':40}{'-' if first is None else first:>4}  "
          f"{', '.join(f'{n} ({t})' for t, n in told) or 'none'}{'' if well else '   <- not as it must be'}", flush=True)
    return well


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    builtin = sorted(os.path.basename(p)[:-5] for p in glob.glob(os.path.join(ROOT, "recipes", "*.yaml")))
    parser.add_argument("--duel", default=os.path.join(ROOT, "build", "duel"), help="the command (default build/duel)")
    parser.add_argument("--good", default=",".join(builtin), help="recipes, by commas (default: all built-in ones)")
    parser.add_argument("--broken", default="all", help="parts of names of cases, by commas; all; '': none")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--epochs", type=float, default=20, help="most of a good training (default 20)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", default="alarms-work", help="where trainings stay (default alarms-work)")
    args = parser.parse_args()
    well = True
    recipes = [r for r in args.good.split(",") if r]
    if recipes:
        print("recipe      seed   steps  d_loss           sign_fake       spread/data's   apart/spread      ends_fake"
              "         alarms")
    for recipe in recipes:
        for seed in args.seeds.split(","):
            well &= good(args, recipe, int(seed))
    parts = [p for p in args.broken.split(",") if p]
    cases = [n for n in CASES if parts == ["all"] or any(p in n for p in parts)]
    if cases:
        print(f"\n{'broken training':32}tick  {'the judge':40}tick  alarms")
    for name in cases:
        well &= bad(args, name)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
