#!/usr/bin/env python3
"""Every kernel launch of one training step of `mlp` on the CUDA backend, with what it should cost on an H100: the
prediction that a measurement is held against.

    bench/cuda_table.py --duel build/duel [--batch 64] [--precision tf32] [--json]
    bench/cuda_table.py --check TREE           a build tree with the emulator, as every tree with tests is

The nodes, their bytes and FLOPs come from `duel info mlp --plan`; the table LAUNCHES below says what each op launches;
registers and spills (the most of all architectures, and of a template's variants) from bench/cuda_budget.txt. --check
trains on the emulator, which writes down what it runs, and compares: kernels, order and grids must be this table's.

Two times a launch, both with LAUNCH_US for what a node of a CUDA graph adds when the one before it is done:
  peak     the larger of bytes / 3.0 TB/s and FLOPs / the unit's rate. Nothing runs faster out of memory; data that
           stays in the L2 cache (50 MB; a step at batch 64 works on 14 MB) can.
  filled   the same with both rates times the share of the 132 SMs that have a block, as if each had 1/132 of all.
           Small products are far from the tensor cores' rate for this reason: at batch 64 there are 8 to 13 tiles of
           64×64 (except for weight gradients), and cuBLAS reaches no more than about 70 % of the peak at any size.
What is not in it: the host's launch of the graph and two small copies, once in 8 steps.
"""
import argparse
import datetime
import fnmatch
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BANDWIDTH = 3.0e12  # bytes a second, of 3.35 on paper
SMS, LANES = 132, 4
ELEMENT_WISE = 67e12  # FLOP/s, float32
PRODUCTS = {"fp32": 67e12, "tf32": 495e12, "bf16": 989e12}  # dense; factors are float32 in memory in each
LAUNCH_US = 1.3  # assumption: of a kernel in a CUDA graph, behind another
THREADS, TILE = 256, 64
BATCHES = 64, 1024  # above, rows are split and kernels join them; below, tiles are wider


class Node:
    def __init__(self, group, op, layer, shape, flops, moved):
        self.group, self.op, self.layer, self.flops, self.bytes = group, op, layer, flops, moved
        self.shape = [int(d) for d in re.findall(r"\d+", shape.split(",")[0])]
        self.count = math.prod(self.shape)


class Launch:
    """kernel: a pattern of names in cuda_budget.txt, or "product"; blocks None: not foretold."""

    def __init__(self, kernel, blocks, moved, flops):
        self.kernel, self.blocks, self.bytes, self.flops = kernel, blocks, moved, flops

    def us(self, precision, filled):
        share = min(1, (self.blocks or 1) / SMS) if filled else 1
        rate = PRODUCTS[precision] if self.kernel == "product" else ELEMENT_WISE
        return 1e6 * max(self.bytes / BANDWIDTH, self.flops / rate) / share + LAUNCH_US


# ---- what an op launches; blocks as the sources in src/cuda have them
def blocks_of(threads):
    return max(1, math.ceil(threads / THREADS))


def element_wise(functor):
    return lambda n: [Launch(f"duel_map_kernel<{functor}>", blocks_of(n.count / 4), n.bytes, n.flops)]


def one(kernel, blocks):
    return lambda n: [Launch(kernel, blocks(n), n.bytes, n.flops)]


def columns(n):  # tiles of 8 channels (columns.cuh, at these batches)
    return math.ceil(n.shape[-1] / 8)


def product(n, other):
    """The product of a node that moves `other` more floats than its factors and its result."""
    rows, cols = n.shape
    inner = round((n.bytes / 4 - other - rows * cols) / (rows + cols))
    return Launch("product", math.ceil(rows / TILE) * math.ceil(cols / TILE),
                  4 * (rows * inner + inner * cols + rows * cols), 2 * rows * cols * inner)


def dense(n):
    cols = n.shape[-1]
    return [product(n, cols), Launch("duel_map_kernel<dense_finish_biased<*>>", blocks_of(n.count / 4),
                                     4 * (2 * n.count + cols), 4 * n.count)]


def matmul_grad(n):
    cols = n.shape[-1]
    return [product(n, n.count + cols), Launch("scale_and_sum<*>", columns(n), 4 * (3 * n.count + cols), 4 * n.count)]


def adam(n):
    blocks = blocks_of(n.count / 4)
    return [Launch("adam_kernel", blocks, n.bytes, n.flops), Launch("squares_kernel", 1, 4 * blocks, blocks)]


def pack(n):  # a gap or a gradient that could not be computed in its place
    return [Launch("pack_kernel", None, n.bytes, 0)] if n.bytes > 0 else []


LAUNCHES = {
    "random_normal": one("random_kernel<true>", lambda n: blocks_of(n.count / 4)),
    "batch": one("batch_kernel<unsigned char>", lambda n: blocks_of(n.count / 4)),
    "dense": dense,
    "matmul": lambda n: [product(n, 0)],
    "matmul_grad": matmul_grad,
    "batchnorm": one("batchnorm_normalize<?, 1>", columns),
    "batchnorm_grad": one("batchnorm_d_x<?, 1>", columns),
    "bce_logits": one("bce_blocks<4>", lambda n: 1),
    "bce_logits_grad": element_wise("bce_grad"),
    "reduce_sum": one("reduce_teams<false, 4>", lambda n: 1),
    "adam": adam,
    "pack": pack,
    "assign": one("pack_kernel", lambda n: None),
    **{op: element_wise(f"{op}_of") for op in ("constant", "affine", "add", "sub", "mul", "less_equal", "ema")},
}


# ---- reading
def read_plan(args, duel, backend):
    """The nodes, by the columns that the table's header has."""
    command = [duel, "info", "mlp", "--plan", "--batch", str(args.batch), "--data", args.data, "--backend", backend]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"cuda_table: error: {shlex.join(command)} failed:\n{done.stdout}")
    nodes, group, at = [], 0, None
    for line in done.stdout.split("\n"):
        if line.startswith("group  op"):
            at = [line.index(word) for word in ("op", "layer", "result")]
        elif at and line:
            group = int(line[:at[0]].strip() or group)
            shape, flops, moved, _ = re.fullmatch(r"(.*?)\s+([\d.]+)\s+([\d.]+)\s+(\S+)", line[at[2]:]).groups()
            nodes.append(Node(group, line[at[0]:at[1]].strip(), line[at[1]:at[2]].strip(), shape,
                              1e6 * float(flops), 1024 * float(moved)))
    if not nodes:
        sys.exit("cuda_table: error: the plan has no nodes")
    return nodes


def read_budget():
    with open(os.path.join(HERE, "cuda_budget.txt")) as f:
        rows = [line.rsplit(None, 2) for line in f if line.strip() and line[0] != "#"]
    return {name: (int(registers), int(spill)) for name, registers, spill in rows}


def launches_of(nodes, batch):
    """[(node, launch)] in order; the ends of a step have a node of their own."""
    words = 4 * (batch + 64)  # item indices and per-step numbers, about
    ends = [Node(0, "take_inputs", "", "", 0, 0), Node(nodes[-1].group, "put_outputs", "", "", 0, 0)]
    unknown = sorted({n.op for n in nodes} - set(LAUNCHES))
    if unknown:
        sys.exit(f"cuda_table: error: LAUNCHES does not say what {', '.join(unknown)} launches")
    own = [(n, launch) for n in nodes for launch in LAUNCHES[n.op](n)]
    return [(ends[0], Launch("take_inputs", None, 2 * words, 0)), *own, (ends[1], Launch("put_outputs", 1, 72, 0))]


# ---- the table
def side_by_side(rows, precision, filled):
    """Nodes of a group share LANES streams, in turn; a group takes as long as its longest stream."""
    total = sum(launch.us(precision, filled) for _, launch in (rows[0], rows[-1]))
    for group in sorted({n.group for n, _ in rows}):
        nodes = list(dict.fromkeys(n for n, _ in rows[1:-1] if n.group == group))
        lanes = [0.0] * LANES
        for i, node in enumerate(nodes):
            lanes[i % LANES] += sum(launch.us(precision, filled) for n, launch in rows if n is node)
        total += max(lanes)
    return total


def totals(rows, precision):
    times = {f"{name}_us": {"in_a_row": round(sum(launch.us(precision, filled) for _, launch in rows), 1),
                            "side_by_side": round(side_by_side(rows, precision, filled), 1)}
             for name, filled in (("peak", False), ("filled", True))}
    return {"launches": len(rows), "products": sum(launch.kernel == "product" for _, launch in rows),
            "bytes": round(sum(launch.bytes for _, launch in rows)),
            "flops": round(sum(launch.flops for _, launch in rows)), **times}


def print_table(args, rows):
    budget = read_budget()
    kernels = [launch.kernel for _, launch in rows]
    wide, layers = max(map(len, kernels)), max(len(n.layer) for n, _ in rows)
    print(f"One step of mlp at batch {args.batch}, --precision {args.precision}, as predicted for an H100 "
          f"({datetime.date.today()}, {shlex.join(['bench/cuda_table.py', *sys.argv[1:]])})")
    print(f"{BANDWIDTH / 1e12:.1f} TB/s; element-wise {ELEMENT_WISE / 1e12:.0f} TFLOP/s, products "
          f"{PRODUCTS[args.precision] / 1e12:.0f}; {LAUNCH_US} us a kernel within a CUDA graph (an assumption)")
    print("peak: at these rates; filled: these rates times the share of the 132 SMs that have a block")
    print("registers, spills: the most of all architectures; cuBLAS's own are not known\n")
    print(f"group  {'op':<15}  {'layer':<{layers}}  {'kernel':<{wide}}  regs  spill  blocks        KiB     MFLOP  "
          "peak us  filled us")
    for node, launch in rows:
        known = [r for name, r in budget.items() if fnmatch.fnmatchcase(name, launch.kernel)]
        if not known and launch.kernel != "product":
            sys.exit(f"cuda_table: error: cuda_budget.txt has no kernel {launch.kernel}")
        registers, spill = (max(r[i] for r in known) for i in range(2)) if known else ("", "")
        print(f"{node.group:5d}  {node.op:<15}  {node.layer:<{layers}}  {launch.kernel:<{wide}}  {registers:>4}  "
              f"{spill:>5}  {launch.blocks or '':>6}  {launch.bytes / 1024:9.1f}  {launch.flops / 1e6:8.3f}  "
              f"{launch.us(args.precision, False):7.2f}  {launch.us(args.precision, True):9.2f}")
    t = totals(rows, args.precision)
    print(f"\n{t['launches']} kernels ({t['products']} products of cuBLAS, each counted as one), "
          f"{t['bytes'] / 1048576:.1f} MiB, {t['flops'] / 1e6:.1f} MFLOP; microseconds a step:")
    print(f"{'':24}{'peak':>8}{'filled':>9}")
    for key, what in (("in_a_row", "all in a row"), ("side_by_side", f"groups on {LANES} streams")):
        print(f"{what:24}{t['peak_us'][key]:8.1f}{t['filled_us'][key]:9.1f}")
    print(f"{'of which launching':24}{t['launches'] * LAUNCH_US:8.1f}{t['launches'] * LAUNCH_US:9.1f}  (all in a row)")


# ---- the check
def traced(args, tree):
    """[(kernel or "product", x size of its grid)] of each of 16 steps, the emulator's word."""
    library = os.path.join(tree, "tests/cuemu/libduel_cuda.so")
    if not os.path.exists(library):
        library = os.path.join(tree, "libduel_cuda.so")  # where DUEL_CUDA=EMULATE puts it
    names = {}
    for line in subprocess.run(["nm", "-C", library], stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n"):
        found = re.match(r"([0-9a-f]+) [tTwW] (?:void )?(.*)\(", line)
        if found:
            names[int(found[1], 16)] = found[2].split("(")[0].replace("> >", ">>")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace")
        command = [os.path.join(tree, "duel"), "train", "--recipe", "mlp", "--backend", "cuda", "--steps", "16",
                   "--batch", str(args.batch), "--data", args.data, "--outdir", folder, "--sample", "0",
                   "--checkpoint", "0", "-q"]
        env = {**os.environ, "DUEL_CUDA_LIBRARY": library, "CUEMU_TRACE": path, "CUEMU_ORDER": "forward"}
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"cuda_table: error: {shlex.join(command)} failed:\n{done.stdout}")
        steps = []
        with open(path) as f:
            for word in map(str.split, f):
                name = names[int(word[1], 16)] if word[0] == "kernel" else "product"
                if name == "take_inputs":
                    steps.append([])
                if steps:
                    steps[-1].append((name, int(word[2].split("x")[0])))
                if name == "put_outputs" and len(steps) == 16:
                    return steps  # what follows is no step
    sys.exit(f"cuda_table: error: the emulator ran {len(steps)} of 16 steps")


def check(args):
    rows = launches_of(read_plan(args, os.path.join(args.check, "duel"), "cpu"), args.batch)
    for number, ran in enumerate(traced(args, args.check)):
        for i in range(max(len(rows), len(ran))):
            launch = rows[i][1] if i < len(rows) else None
            kernel, blocks = ran[i] if i < len(ran) else (None, None)
            same = launch and kernel and fnmatch.fnmatchcase(kernel, launch.kernel)
            if same and (launch.kernel == "product" or launch.blocks in (None, blocks)):
                continue
            table = f"{launch.kernel} of {rows[i][0].op} on {launch.blocks} blocks" if launch else "nothing"
            print(f"cuda_table: FAIL: step {number}, launch {i}: the table has {table}, the emulator ran "
                  f"{kernel or 'nothing'} on {blocks} blocks", file=sys.stderr)
            return 1
    print(f"cuda_table: batch {args.batch}: the emulator ran the table's {len(rows)} kernels in each of 16 steps")
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duel", default="build/duel", help="the command (default %(default)s)")
    p.add_argument("--batch", type=int, default=64, help="64 to 1024, a multiple of 4 (default %(default)s)")
    p.add_argument("--precision", choices=PRODUCTS, default="tf32")
    p.add_argument("--data", default="fashion-mnist", help="of 28×28 uint8 images; the costs are the same for all")
    p.add_argument("--json", action="store_true", help="the totals alone, one object")
    p.add_argument("--check", metavar="TREE", help="compare with what the emulator runs")
    args = p.parse_args()
    if not BATCHES[0] <= args.batch <= BATCHES[1] or args.batch % 4:
        p.error(f"--batch {args.batch}: the table holds for multiples of 4 from {BATCHES[0]} to {BATCHES[1]}")
    if args.check:
        return check(args)
    rows = launches_of(read_plan(args, args.duel, "cpu"), args.batch)
    if args.json:
        print(json.dumps({"batch": args.batch, "precision": args.precision, **totals(rows, args.precision)}))
    else:
        print_table(args, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
