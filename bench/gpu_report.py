"""What bench/gpu_check.sh found, as one table and as OUT/gpu-check.json.

Reads OUT/parts.txt, OUT/bench-*.json and OUT/torch.json, and asks bench/cuda_table.py for its prediction.
"""
import argparse
import datetime
import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def read_json(path):
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return json.load(f)


def read_parts(out):
    with open(os.path.join(out, "parts.txt")) as f:
        rows = [line.rstrip("\n").split("\t") for line in f]
    return [dict(zip(("part", "verdict", "seconds", "note"), row)) for row in rows]


def read_benches(out):
    """{(batch, precision): {backend: its object}}"""
    found = {}
    for path in glob.glob(os.path.join(out, "bench-*-*.json")):
        precision = re.fullmatch(r"bench-(\w+)-\d+\.json", os.path.basename(path)).group(1)
        bench = read_json(path)
        found[bench["batch"], precision] = {b["backend"]: b for b in bench["backends"]}
    return found


def prediction(args, batch, precision):
    command = [sys.executable, os.path.join(HERE, "cuda_table.py"), "--duel", args.duel, "--data", args.data, "--json",
               "--batch", str(batch), "--precision", precision]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def ms_of(backend):
    return backend["ms_per_step"]["median"] if backend and backend["usable"] else None


def number(x, form="9.3f"):
    return format(x, form) if x is not None else format("-", ">" + form.split(".")[0])


def ratio(a, b):
    return a / b if a is not None and b is not None else None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in "out", "duel", "data", "device":
        p.add_argument("--" + name, required=True)
    args = p.parse_args()
    parts, benches, torch = read_parts(args.out), read_benches(args.out), read_json(os.path.join(args.out, "torch.json"))
    peers = {}
    for row in torch["rows"] if torch else []:
        peers.setdefault((row["batch"], row["precision"]), {})[row["way"]] = row
    ways = list(dict.fromkeys(way for rows in peers.values() for way in rows))
    version = torch["torch"] if torch else None
    rows = []
    print(f"{args.device}, {datetime.date.today()}, mlp on {args.data}; ms a step, medians" +
          (f"; PyTorch {version}" if version else "; PyTorch was not measured"))
    print("predicted: groups side by side, at peak rates and as filled (bench/cuda_table.py)\n")
    print(f"{'batch':>5}  {'precision':<9} {'duel':>9} {'predicted':>15} {'CPU':>9}" +
          "".join(f" {way:>13}" for way in ways) + (f" {'duel/best':>10}" if ways else ""))
    for batch, precision in sorted(set(benches) | set(peers), key=lambda k: (k[0], ["fp32", "tf32", "bf16"].index(k[1]))):
        own, others = benches.get((batch, precision), {}), peers.get((batch, precision), {})
        duel, cpu = ms_of(own.get("cuda")), ms_of(own.get("cpu"))
        guess = prediction(args, batch, precision)
        least, most = ((guess[k]["side_by_side"] / 1000 for k in ("peak_us", "filled_us")) if guess else (None, None))
        times = {way: others.get(way, {}).get("ms_per_step") for way in ways}
        best = min((t for t in times.values() if t is not None), default=None)
        span = f"{least:.3f}-{most:.3f}" if guess else "-"
        print(f"{batch:5d}  {precision:<9} {number(duel)} {span:>15} {number(cpu)}" +
              "".join(f" {number(times[way], '13.3f')}" for way in ways) +
              (f" {number(ratio(duel, best), '10.3f')}" if ways else ""))
        rows.append({"batch": batch, "precision": precision, "duel_ms": duel, "cpu_ms": cpu, "predicted": guess,
                     "torch_ms": times, "duel_over_best_torch": ratio(duel, best),
                     "duel_over_predicted": ratio(duel, least)})
    for (batch, precision), own in sorted(benches.items()):
        cuda = own.get("cuda")
        if cuda and cuda["usable"] and "cpu" in own and own["cpu"]["usable"]:
            d = cuda["difference"]
            print(f"\nCPU against GPU, batch {batch}, {precision}, first {len(cuda['d_loss'])} steps: "
                  f"D loss {d['d_loss']:.2g}, G loss {d['g_loss']:.2g}, items {d['items']:.2g}", end="")
    print("\n")
    for row in parts:
        print(f"{row['part']:<9} {row['verdict']:<8} {row['seconds']:>4} s  {row['note']}".rstrip())
    result = {"date": str(datetime.date.today()), "device": args.device, "data": args.data, "parts": parts, "table": rows,
              "bench": [{"batch": b, "precision": p, "backends": own} for (b, p), own in sorted(benches.items())],
              "torch": torch}
    with open(os.path.join(args.out, "gpu-check.json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
