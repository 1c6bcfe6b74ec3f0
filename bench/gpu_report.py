"""What bench/gpu_check.sh found so far: OUT/table.txt, OUT/gpu-check.json and OUT/all.tgz.

Reads WORK, where the parts leave their results: parts.txt, versions.txt, train-*, probe.json, bench-*.json, torch.json, ops-*.json
and logs; asks bench/cuda_table.py for its predictions. Each file of OUT is written under another name first, so that it is whole
at any time. A result that cannot be read is named, and the others are shown.
"""
import argparse
import concurrent.futures
import datetime
import glob
import json
import os
import re
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
RECIPES, PRECISIONS = ["mlp", "dcgan", "dcgan-64", "resnet-32", "classifier-28"], ["tf32", "fp32", "bf16"]
problems = []


def read_json(path):
    if not os.path.exists(path):
        return None
    try:
        with open(path) as f:
            return json.load(f)
    except ValueError as why:
        problems.append(f"{os.path.basename(path)} cannot be read: {why}")
        return None


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, errors="replace") as f:
        return f.read().splitlines()


def read_parts(args):
    """One object a part that was asked for, in order; the verdict of one without a line is "not finished"."""
    rows = [line.split("\t") for line in read_lines(os.path.join(args.work, "parts.txt"))]
    found = {row[0]: dict(zip(("part", "verdict", "seconds", "note"), row)) for row in rows}
    for part in args.parts.split():
        found.setdefault(part, {"part": part, "verdict": "not finished", "seconds": None, "note": ""})
    for row in found.values():
        row["seconds"] = int(row["seconds"]) if row["seconds"] else None
    return list(found.values())


def read_benches(work):
    """{(recipe, batch, precision): {backend: its object}}; "lanes1" beside the backends is the GPU on one stream."""
    found = {}
    for path in sorted(glob.glob(os.path.join(work, "bench-*.json"))):
        name = re.fullmatch(r"bench-([\w-]+)-(\w+)-(\d+)(-lanes1)?\.json", os.path.basename(path))
        bench = read_json(path)
        if not name or not bench:
            continue
        backends = {b["backend"]: b for b in bench["backends"]}
        own = found.setdefault((name[1], int(name[3]), name[2]), {})
        own.update({"lanes1": backends.get("cuda")} if name[4] else backends)
    return found


def read_trainings(work):
    """{recipe: the last line of its stats.jsonl}."""
    found = {}
    for recipe in RECIPES:
        lines = read_lines(os.path.join(work, f"train-{recipe}-stats.jsonl"))
        try:
            if lines:
                found[recipe] = json.loads(lines[-1])
        except ValueError as why:
            problems.append(f"the statistics of {recipe} cannot be read: {why}")
    return found


def prediction(args, recipe, batch, precision):
    """cuda_table.py's, with what cuda_probe measured, kept for the next time; None where it has none."""
    measured = os.path.join(args.work, "probe.json")
    kept = os.path.join(args.work, f"predicted-{recipe}-{precision}-{batch}.json")
    if not os.path.exists(kept) and os.path.exists(args.duel):
        command = [sys.executable, os.path.join(HERE, "cuda_table.py"), "--duel", args.duel, "--recipe", recipe, "--batch",
                   str(batch), "--precision", precision, "--json"]
        command += ["--measured", measured] if os.path.exists(measured) else []
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=10)
            guess = json.loads(done.stdout) if done.returncode == 0 else None
        except (ValueError, OSError, subprocess.TimeoutExpired):
            guess = None
        with open(kept, "w") as f:
            json.dump(guess, f)
    return read_json(kept)


def span_of(guess):
    """(at peak rates, as filled), ms; None where there is no prediction."""
    try:
        return tuple(guess[k]["side_by_side"] / 1000 for k in ("peak_us", "filled_us"))
    except (TypeError, KeyError):
        return None


def ms_of(backend):
    return backend["ms_per_step"]["median"] if backend and backend.get("usable") else None


def number(x, form="8.3f"):
    return format(x, form) if x is not None else format("-", ">" + form.split(".")[0])


def ratio(a, b):
    return a / b if a is not None and b is not None else None


def flat(value, name=""):
    """(name, number or text) of all that is in a JSON object; of a list its length."""
    if isinstance(value, list):
        return [(name, f"{len(value)} entries, in gpu-check.json")]
    if not isinstance(value, dict):
        return [(name, value)]
    return [pair for k, v in value.items() for pair in flat(v, f"{name}.{k}" if name else k)]


def make_rows(args, benches, peers):
    rows = []
    order = sorted(set(benches) | set(peers), key=lambda k: (
        RECIPES.index(k[0]) if k[0] in RECIPES else 9, k[1], PRECISIONS.index(k[2]) if k[2] in PRECISIONS else 9))
    with concurrent.futures.ThreadPoolExecutor() as pool:  # each is a process of a second; none for PyTorch's rows alone
        guesses = dict(zip(benches, pool.map(lambda key: prediction(args, *key), list(benches))))
    for key in order:
        recipe, batch, precision = key
        own, others = benches.get(key, {}), peers.get(key, {})
        duel = ms_of(own.get("cuda"))
        guess = guesses.get(key)
        span = span_of(guess)
        times = {way: row.get("ms_per_step") for way, row in others.items()}
        best = min((t for t in times.values() if t is not None), default=None)
        rows.append({"recipe": recipe, "batch": batch, "precision": precision, "duel_ms": duel,
                     "duel_one_lane_ms": ms_of(own.get("lanes1")), "cpu_ms": ms_of(own.get("cpu")), "predicted": guess,
                     "torch_ms": times, "duel_over_best_torch": ratio(duel, best),
                     "duel_over_predicted": ratio(duel, span[0] if span else None)})
    return rows


def print_rows(rows, ways, put):
    put("ms a step, medians; one lane: all on one stream; predicted: groups side by side, at peak rates and as filled")
    put("(bench/cuda_table.py); the other columns are PyTorch's; duel/best: over the least of these\n")
    put(f"{'recipe':<14}{'batch':>5} {'prec':<5}{'duel':>8}{'one lane':>9}{'predicted':>14}{'CPU':>9}" +
        "".join(f" {way:>{max(8, len(way))}}" for way in ways) + (f" {'duel/best':>9}" if ways else ""))
    for row in rows:
        span = span_of(row["predicted"])
        put(f"{row['recipe']:<14}{row['batch']:5d} {row['precision']:<5}{number(row['duel_ms'])}"
            f"{number(row['duel_one_lane_ms'], '9.3f')}{f'{span[0]:.3f}-{span[1]:.3f}' if span else '-':>14}"
            f"{number(row['cpu_ms'], '9.3f')}" +
            "".join(f" {number(row['torch_ms'].get(way), f'{max(8, len(way))}.3f')}" for way in ways) +
            (f" {number(row['duel_over_best_torch'], '9.3f')}" if ways else ""))


def print_ops(recipe, bench, put):
    backend = bench["backends"][0]
    if "ops" not in backend:
        return
    put(f"\n{recipe}, node after node: {1000 * backend['ops_ms']:.0f} us a step, of which")
    for op in backend["ops"][:10]:
        put(f"  {op['op']:<20} {op['calls']:4d} x {1000 * op['ms'] / op['calls']:7.1f} us {100 * op['share']:6.1f} %")


def print_all(args, parts, versions, benches, trainings, torch, probe, ops, rows, put):
    put(f"{args.device}, {datetime.date.today()}, {args.form}, {args.data}" +
        (f"; PyTorch {torch['torch']}" if torch else "; PyTorch was not measured"))
    for key, value in versions.items():
        put(f"  {key}: {value}")
    put("")
    for row in parts:
        seconds = "-" if row["seconds"] is None else row["seconds"]
        put(f"{row['part']:<9} {row['verdict']:<12} {seconds:>4} s  {row['note']}".rstrip())
    put("")
    if rows:
        print_rows(rows, list(dict.fromkeys(way for row in rows for way in row["torch_ms"])), put)
    for recipe, end in trainings.items():
        put(f"\nTraining {recipe} to its end: {end['step']} steps, {end['kimg']:.0f} thousand images, {end['elapsed_s']:.1f} s; "
            f"D loss {end['d_loss']:.3f}, G loss {end['g_loss']:.3f}")
    for row in torch["rows"] if torch else []:
        if "error" in row and not row["error"].startswith("left out"):
            put(f"\nPyTorch, {row['way']} of {row['recipe']} in {row['precision']} at {row['batch']}: {row['error']}")
    for (recipe, batch, precision), own in benches.items():
        cuda, cpu = own.get("cuda"), own.get("cpu")
        if cuda and cpu and cuda["usable"] and cpu["usable"]:
            d = cuda["difference"]
            put(f"\nCPU against GPU, {recipe}, batch {batch}, {precision}, first {len(cuda['d_loss'])} steps: "
                f"D loss {d['d_loss']:.2g}, G loss {d['g_loss']:.2g}, items {d['items']:.2g}")
        if cuda and cuda.get("usable") and cuda.get("peak_square"):
            put(f"\nPeaks in {precision}: {number(cuda.get('peak_gflops'), '1.0f')} GFLOP/s, "
                f"{number(cuda.get('peak_gbytes_per_sec'), '1.0f')} GB/s")
    if probe is not None:
        put("\nprobe")
        for key, value in flat(probe):
            put(f"  {key:<44} {value}")
    for recipe, bench in ops.items():
        print_ops(recipe, bench, put)
    for problem in problems:
        put(f"\n{problem}")


def replace(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".new", path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in "work", "out", "duel", "data", "device", "form", "parts":
        p.add_argument("--" + name, required=True)
    args = p.parse_args()
    parts, benches = read_parts(args), read_benches(args.work)
    torch, probe = (read_json(os.path.join(args.work, name + ".json")) for name in ("torch", "probe"))
    ops = {recipe: read_json(os.path.join(args.work, f"ops-{recipe}.json")) for recipe in RECIPES}
    ops = {recipe: bench for recipe, bench in ops.items() if bench}
    versions = dict(line.split(": ", 1) for line in read_lines(os.path.join(args.work, "versions.txt")) if ": " in line)
    peers = {}
    for row in torch["rows"] if torch else []:
        peers.setdefault((row["recipe"], row["batch"], row["precision"]), {})[row["way"]] = row
    rows = make_rows(args, benches, peers)
    lines = []
    trainings = read_trainings(args.work)
    print_all(args, parts, versions, benches, trainings, torch, probe, ops, rows, lines.append)
    result = {"date": str(datetime.date.today()), "device": args.device, "form": args.form, "data": args.data,
              "versions": versions, "parts": parts, "table": rows, "probe": probe,
              "bench": [{"recipe": r, "batch": b, "precision": p, "backends": own} for (r, b, p), own in benches.items()],
              "train": trainings, "torch": torch, "ops": ops, "problems": problems}
    for name, text in ("table.txt", "\n".join(lines) + "\n"), ("gpu-check.json", json.dumps(result, indent=1) + "\n"):
        replace(os.path.join(args.work, name), text)
    archive = os.path.join(args.out, "all.tgz")
    with tarfile.open(archive + ".new", "w:gz", compresslevel=6) as tar:
        tar.add(args.work, "gpu-check")
    os.replace(archive + ".new", archive)
    for name in "table.txt", "gpu-check.json":
        with open(os.path.join(args.work, name)) as f:
            replace(os.path.join(args.out, name), f.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
