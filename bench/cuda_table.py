#!/usr/bin/env python3
"""What one training step launches on the CUDA backend, and what it should cost on an H100: the prediction that a
measurement is held against.

    bench/cuda_table.py [--tree build] [--recipe mlp] [--batch 64] [--precision tf32] [--measured FILE] [--json]
    bench/cuda_table.py --launches             the step's launches by kernel
    bench/cuda_table.py --products             writes bench/cuda_products.txt, the shapes that cuda_probe times
    bench/cuda_table.py --check TREE           launches within BUDGET, and that file is what the emulator runs

Nothing here is written by hand: the emulator (in every tree with tests) writes down what a step and a profile of it
launch, without running it, and the profile's marks say which node launched what. A node's bytes and FLOPs come from
`duel info RECIPE --plan`; registers and spills from bench/cuda_budget.txt.

A product takes what cuda_probe measured for its shape; else the larger of a small one's time and its FLOPs or bytes at
the measured rates. Any other launch takes its part of the node's bytes and FLOPs, which a node's launches share by their
blocks; beside products they also read and write what these leave, or work on where it is more than the node's own:
patches of a convolution. Two times a launch:
  peak     at these rates, and at least what an empty kernel takes in a chain.
  filled   an empty kernel's time, START_US until its first bytes are there, and its bytes at no more than BLOCK_RATE a
           block, since 256 threads wait for memory most of the time. These two were fitted to the kernels of both
           recipes on an H100, as ncu timed them with warm caches. A product that was not measured has the tensor cores'
           rate for the share of the SMs that have a tile of 64×64 and of k by 512. A measured one is the same in both.
The constants are those of --measured, cuda_probe's JSON or gpu_check's.
What is not in it: the host's launch of the graph and two small copies, once in 8 steps.
"""
import argparse
import collections
import datetime
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PRODUCTS_FILE = os.path.join(HERE, "cuda_products.txt")
LISTED = [(recipe, batch) for recipe in ("mlp", "dcgan") for batch in (64, 256)]  # in that file
BUDGET = {"mlp": (60, 30), "dcgan": (100, 50)}  # launches, groups
SMS, LANES, TILE, SPLIT = 132, 4, 64, 512
IN_CACHE = 16 << 20  # bytes that a launch moves and L2, of 50 MB, still holds
ELEMENT_WISE = 67e12  # FLOP/s, float32
START_US, BLOCK_RATE = 0.9, 10e9  # of a kernel; bytes a second
RATES = {"fp32": 67e12, "tf32": 495e12, "bf16": 989e12}  # of products, dense; factors are float32 in memory in each
FIELDS = "m n k ta tb lda ldb ldc count stride_a stride_b stride_c add".split()  # of a product, row-major as duel_gemm


class Costs:
    """As cuda_probe measured them."""

    def __init__(self, path):
        with open(path) as f:
            probe = json.load(f)
        probe = probe if "node_us" in probe else probe.get("probe") or {}
        if "node_dependent_us" not in probe:
            sys.exit(f"cuda_table: error: {path} has no numbers of cuda_probe: no node_dependent_us")
        self.device = probe["device"] + (" (quick: these numbers mean nothing)" if probe["quick"] else "")
        self.node_us, self.fork_join_us = probe["node_dependent_us"], probe["fork_join_us"]
        self.dram, self.cache = 1e12 * probe["copy_dram_tb_s"], 1e12 * probe["copy_l2_tb_s"]
        self.products = {(p["precision"], *(p[f] for f in FIELDS)): p["us"] for p in probe["products"]}
        small = [p["us"] for p in probe["products"] if p["m"] * p["n"] * p["k"] * p["count"] < 1e8]
        self.product_us = min(small, default=self.node_us)

    def bandwidth(self, moved):
        return self.cache if moved <= IN_CACHE else self.dram

    def said(self, precision):
        what = (f"{self.node_us:.2f} us a kernel in a CUDA graph, {self.fork_join_us:.2f} a fork and join, "
                f"{self.product_us:.1f} at least a product, {self.dram / 1e12:.2f} TB/s, {self.cache / 1e12:.2f} in L2")
        rates = f"element-wise {ELEMENT_WISE / 1e12:.0f} TFLOP/s, products {RATES[precision] / 1e12:.0f} (on paper)"
        return f"measured on {self.device}: {what}, {len(self.products)} products; {rates}"


class Node:
    def __init__(self, group, op, layer, flops, moved):
        self.group, self.op, self.layer, self.flops, self.bytes, self.launches = group, op, layer, flops, moved, []

    def share(self):
        """Gives the bytes and FLOPs to the launches."""
        plain = [launch for launch in self.launches if not launch.shape]
        products = [launch for launch in self.launches if launch.shape]
        moved, blocks = sum(launch.bytes for launch in products), sum(launch.blocks for launch in plain)
        left = max(0, self.bytes - moved) + 2 * sum(launch.result for launch in products)
        if moved > 1.01 * self.bytes + 1024:  # the plan's numbers are rounded
            left = moved
        flops = max(0, self.flops - sum(launch.flops for launch in products))
        for launch in plain:
            launch.bytes, launch.flops = left * launch.blocks / blocks, flops * launch.blocks / blocks


class Launch:
    """Of a kernel, or, with a shape, of a product."""

    def __init__(self, kernel, blocks, shape=None):
        self.kernel, self.blocks, self.shape, self.bytes, self.flops = kernel, blocks, shape, 0, 0
        if shape:
            m, n, k, count, a, b = (shape[FIELDS.index(f)] for f in ("m", "n", "k", "count", "stride_a", "stride_b"))
            self.result, self.flops = 4 * count * m * n, 2 * count * m * n * k
            self.bytes = 4 * (m * k * (count if a else 1) + k * n * (count if b else 1)) + self.result
            self.blocks = count * math.ceil(m / TILE) * math.ceil(n / TILE) * math.ceil(k / SPLIT)

    def same(self, other):
        return (self.kernel, self.blocks, self.shape) == (other.kernel, other.blocks, other.shape)

    def us(self, costs, precision, filled):
        known = self.shape and costs.products.get((precision, *self.shape))
        if known:
            return known
        rate = costs.bandwidth(self.bytes)
        if self.shape:
            share = min(1, self.blocks / SMS) if filled else 1
            return max(costs.product_us, 1e6 * max(self.bytes / rate, self.flops / RATES[precision]) / share)
        if not filled:
            return max(costs.node_us, 1e6 * max(self.bytes / rate, self.flops / ELEMENT_WISE))
        slowest = max(self.bytes / min(rate, self.blocks * BLOCK_RATE), self.flops / ELEMENT_WISE)
        return costs.node_us + START_US + 1e6 * slowest


# ---- reading
def run(command, env):
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"cuda_table: error: {shlex.join(command)} failed:\n{done.stdout}")
    return done.stdout


def emulated_library(tree):
    """A build tree's emulated backend. In a tree that also has the real one it lies with the tests."""
    for path in "tests/cuemu/libduel_cuda.so", "libduel_cuda.so":
        if os.path.exists(os.path.join(tree, path)):
            return os.path.join(tree, path)
    sys.exit(f"cuda_table: error: {tree} has no emulated CUDA backend: build the tests there (with a C++ compiler)")


def flags_of(args):
    return ["--backend", "cuda", "--batch", str(args.batch), "--data", args.data,
            *(word for setting in args.set for word in ("--set", setting))]


def read_plan(args, env):
    """The nodes in order, by the columns that the plan's header has."""
    text = run([os.path.join(args.tree, "duel"), "info", args.recipe, "--plan", *flags_of(args)], env)
    nodes, group, at = [], 0, None
    for line in text.split("\n"):
        if line.startswith("group  op"):
            at = [line.index(word) for word in ("op", "layer", "result")]
        elif at and line:
            group = int(line[:at[0]].strip() or group)
            flops, moved = re.fullmatch(r".*?\s+([\d.]+)\s+([\d.]+)\s+\S+", line[at[2]:]).groups()
            nodes.append(Node(group, line[at[0]:at[1]].strip(), line[at[1]:at[2]].strip(), 1e6 * float(flops),
                              1024 * float(moved)))
    return nodes


def read_trace(path, names):
    """[what ran] of each launch of a graph: launches, and None for a mark."""
    graphs, graph = [], None
    with open(path) as f:
        for word in map(str.split, f):
            if word[0] == "graph":
                graph = []
            elif word[0] == "end":
                graphs.append(graph)
                graph = None
            elif graph is not None and word[0] == "mark":
                graph.append(None)
            elif graph is not None and word[0] == "kernel":
                grid = math.prod(map(int, word[2].split("x")))
                graph.append(Launch(names.get(int(word[1], 16), " ".join(word[4:])), grid))
            elif graph is not None and word[0] == "product":  # in columns: the factors change places, as in blas.cu
                n, m, k, tb, ta, ldb, lda, ldc, count, stride_b, stride_a, stride_c, add = map(int, word[1:])
                shape = (m, n, k, ta, tb, lda, ldb, ldc, count, stride_a, stride_b, stride_c, add)
                graph.append(Launch("product (cuBLAS)", 0, shape))
    return graphs


def read_step(args):
    """The nodes of a step with their launches, between one each for what begins and ends it."""
    library = emulated_library(args.tree)
    names = {}
    for line in run(["nm", "-C", library], None).split("\n"):
        found = re.match(r"([0-9a-f]+) [tTwW] (?:void )?(.*)\(", line)
        if found:
            names[int(found[1], 16)] = found[2].split("(")[0].replace("> >", ">>")
    env = {**os.environ, "DUEL_CUDA_LIBRARY": os.path.abspath(library), "CUEMU_ORDER": "forward"}
    nodes = read_plan(args, env)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace")
        run([os.path.join(args.tree, "duel"), "bench", "--recipe", args.recipe, *flags_of(args), "--ops", "--warmup", "1",
             "--steps", "1", "--repetitions", "1", "--peak-seconds", "1e-9", "-q"],
            {**env, "CUEMU_DRY": "1", "CUEMU_TRACE": path})
        if not os.path.exists(path):
            sys.exit(f"cuda_table: error: {library} is not the emulated backend: build the tests in {args.tree}")
        graphs = read_trace(path, names)
    profile = next((g for g in graphs if g.count(None) == len(nodes) + 1), None)
    if not nodes or not profile:
        sys.exit(f"cuda_table: error: no profile has a mark before each of the plan's {len(nodes)} nodes")
    at = -1
    for launch in profile[:-1]:
        at += launch is None
        if launch and not (nodes[at].op == "constant" and nodes[at].group == 0):
            nodes[at].launches.append(launch)  # a step makes such constants while it takes its inputs
    launches = [launch for node in nodes for launch in node.launches]
    for step in sorted((g for g in graphs if None not in g), key=len):
        for first in range(len(step) - len(launches) + 1):
            if all(map(Launch.same, step[first:], launches)):
                ends = Node(0, "(begin)", "", 0, 0), Node(nodes[-1].group, "(end)", "", 0, 0)
                ends[0].launches, ends[1].launches = step[:first], step[first + len(launches):]
                nodes = [ends[0], *nodes, ends[1]]
                for node in nodes:
                    node.share()
                return nodes
    sys.exit("cuda_table: error: no step runs what its profile runs, in that order")


def launches_of(nodes):
    return [launch for node in nodes for launch in node.launches]


def read_budget():
    with open(os.path.join(HERE, "cuda_budget.txt")) as f:
        rows = [line.rsplit(None, 2) for line in f if line.strip() and line[0] != "#"]
    return {name: (registers, spill) for name, registers, spill in rows}


# ---- the table
def side_by_side(nodes, us):
    """Nodes of a group share LANES streams, in turn; a group takes as long as its longest stream."""
    def time(node):
        return sum(map(us, node.launches))
    total = time(nodes[0]) + time(nodes[-1])
    groups = collections.defaultdict(list)
    for node in nodes[1:-1]:
        groups[node.group].append(time(node))
    return total + sum(max(sum(times[lane::LANES]) for lane in range(LANES)) for times in groups.values()), \
        sum(len(times) > 1 for times in groups.values())


def totals(nodes, precision, costs):
    launches, times = launches_of(nodes), {}
    for name, filled in ("peak", False), ("filled", True):
        def us(launch, filled=filled):
            return launch.us(costs, precision, filled)
        longest, forks = side_by_side(nodes, us)
        times[f"{name}_us"] = {"in_a_row": round(sum(map(us, launches)), 1),
                               "side_by_side": round(longest + forks * costs.fork_join_us, 1)}
    products = [launch for launch in launches if launch.shape]
    return {"launches": len(launches), "products": len(products), "groups": nodes[-1].group + 1, "forks": forks,
            "products_measured": sum((precision, *launch.shape) in costs.products for launch in products),
            "bytes": round(sum(launch.bytes for launch in launches)),
            "flops": round(sum(launch.flops for launch in launches)), **times}


def print_table(args, nodes, costs):
    budget = read_budget()
    wide, layers = (max(map(len, names)) for names in
                    ([launch.kernel for launch in launches_of(nodes)], [node.layer for node in nodes]))
    print(f"One step of {args.recipe} at batch {args.batch}, --precision {args.precision}, as predicted "
          f"({datetime.date.today()}, {shlex.join(['bench/cuda_table.py', *sys.argv[1:]])})")
    print(costs.said(args.precision))
    print(f"peak: at these rates; filled: {START_US} us more a kernel, and at most {BLOCK_RATE / 1e9:.0f} GB/s a block")
    print("registers, spills: the most of all architectures; cuBLAS's own are not known\n")
    print(f"group  {'op':<15}  {'layer':<{layers}}  {'kernel':<{wide}}  regs  spill  blocks        KiB     MFLOP  "
          "peak us  filled us")
    for node in nodes:
        for launch in node.launches:
            registers, spill = budget.get(launch.kernel, ("", ""))
            print(f"{node.group:5d}  {node.op:<15}  {node.layer:<{layers}}  {launch.kernel:<{wide}}  {registers:>4}  "
                  f"{spill:>5}  {launch.blocks:>6}  {launch.bytes / 1024:9.1f}  {launch.flops / 1e6:8.3f}  "
                  f"{launch.us(costs, args.precision, False):7.2f}  {launch.us(costs, args.precision, True):9.2f}")
    t = totals(nodes, args.precision, costs)
    print(f"\n{t['launches']} launches ({t['products']} products of cuBLAS, each counted as one; "
          f"{t['products_measured']} of them measured), {t['bytes'] / 1048576:.1f} MiB, {t['flops'] / 1e6:.1f} MFLOP; "
          "microseconds a step:")
    print(f"{'':24}{'peak':>8}{'filled':>9}")
    for key, what in (("in_a_row", "all in a row"), ("side_by_side", f"groups on {LANES} streams")):
        print(f"{what:24}{t['peak_us'][key]:8.1f}{t['filled_us'][key]:9.1f}")
    print(f"{t['groups']} groups, of which {t['forks']} fork and join")


def print_launches(args, nodes):
    kernels = collections.defaultdict(list)
    for node in nodes:
        for launch in node.launches:
            kernels[launch.kernel].append(node.op)
    launches, groups = sum(map(len, kernels.values())), nodes[-1].group + 1
    print(f"{args.recipe}, batch {args.batch}: {launches} launches in {groups} groups")
    for kernel, ops in sorted(kernels.items(), key=lambda item: (-len(item[1]), item[0])):
        of = ", ".join(f"{op} {n}" if n > 1 else op for op, n in collections.Counter(ops).most_common())
        print(f"{len(ops):4d}  {kernel:<44}  {of}")


# ---- the products and the check
def products_text(args):
    lines = ["# The matrix products of one step, for bench/cuda_probe: row-major, as duel_cuda_gemm takes them. Made by",
             "# bench/cuda_table.py --products from what the emulator runs.",
             "# recipe batch " + " ".join(FIELDS) + " times"]
    for args.recipe, args.batch in LISTED:
        shapes = collections.Counter(launch.shape for launch in launches_of(read_step(args)) if launch.shape)
        lines += [f"{args.recipe} {args.batch} {' '.join(map(str, shape))} {times}" for shape, times in shapes.items()]
    return "\n".join(lines) + "\n"


def check(args):
    failed = False
    for args.recipe, args.batch in ((recipe, 64) for recipe in BUDGET):
        nodes = read_step(args)
        print_launches(args, nodes)
        launches, groups = len(launches_of(nodes)), 1 + max(node.group for node in nodes)
        if launches > BUDGET[args.recipe][0] or groups > BUDGET[args.recipe][1]:
            print(f"cuda_table: FAIL: a step of {args.recipe} has {launches} launches in {groups} groups, and its budget is "
                  "{} in {}".format(*BUDGET[args.recipe]), file=sys.stderr)
            failed = True
    with open(PRODUCTS_FILE) as f:
        if f.read() != products_text(args):
            print("cuda_table: FAIL: bench/cuda_products.txt is not what the emulator runs; write it anew: "
                  f"bench/cuda_table.py --products --tree {args.tree}", file=sys.stderr)
            failed = True
    return int(failed)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tree", default="build", help="a build tree with tests (default %(default)s)")
    p.add_argument("--duel", help="the command in that tree, instead of --tree")
    p.add_argument("--recipe", default="mlp", help="any recipe of duel (default %(default)s)")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--precision", choices=RATES, default="tf32")
    p.add_argument("--data", default="synthetic:shapes", help="the costs are the same for all of 28×28 uint8 images")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as duel's, such as data.size=64")
    p.add_argument("--measured", metavar="FILE", default=os.path.join(HERE, "results", "gpu-h100.json"),
                   help="of cuda_probe --json or gpu_check.sh (default bench/results/gpu-h100.json)")
    p.add_argument("--json", action="store_true", help="the totals alone, one object")
    p.add_argument("--launches", action="store_true", help="the step's launches by kernel")
    p.add_argument("--products", action="store_true", help="write bench/cuda_products.txt")
    p.add_argument("--check", metavar="TREE", help="that the launches are within budget, and the products as written")
    args = p.parse_args()
    args.tree = args.check or (os.path.dirname(args.duel) or "." if args.duel else args.tree)
    if args.check:
        return check(args)
    if args.products:
        text = products_text(args)
        with open(PRODUCTS_FILE, "w") as f:
            f.write(text)
        return 0
    costs = Costs(args.measured)
    nodes = read_step(args)
    if args.launches:
        print_launches(args, nodes)
    elif args.json:
        print(json.dumps({"recipe": args.recipe, "batch": args.batch, "precision": args.precision,
                          **totals(nodes, args.precision, costs)}))
    else:
        print_table(args, nodes, costs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
