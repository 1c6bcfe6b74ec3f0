"""Time per step of the dense GAN: duel, PyTorch and the matrix products alone, interleaved in one run.

    python bench/pair.py --duel build/duel

Each round times every one of them for a while, in an order that turns from round to round; the others sleep meanwhile.
Medians over the rounds are compared: duel must take at most --torch-limit of PyTorch's time and at most --gemm-limit
times the products' (bench/gemm_floor.c, through the OpenBLAS that pkg-config names). Exit status 1 if it does not. Run
it on a machine that does nothing else.
"""
import argparse
import glob
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Worker:
    """A process that answers a number of steps on stdin with one JSON line."""

    def __init__(self, command, threads):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **{n: str(threads) for n in names}})

    def time(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with {self.process.wait()}")
        return json.loads(line)["ms_per_step"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Duel:
    """A short run of the command: the median of its ticks but the first, which warms up."""

    def __init__(self, args):
        self.args = args

    def time(self, steps):
        a, tick = self.args, max(1, steps // 4)
        with tempfile.TemporaryDirectory() as folder:
            command = [a.duel, "train", "--recipe", "mlp", "--data", "fashion-mnist", "--steps", str(5 * tick), "--batch",
                       str(a.batch), "--threads", str(a.threads), "--outdir", folder, "--sample", "0", "--checkpoint",
                       "0", "--set", f"output.tick={tick}", "-q", *a.flags]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                raise SystemExit(f"{shlex.join(command)}\nended with {done.returncode}:\n{done.stdout}")
            path, = glob.glob(os.path.join(folder, "0*", "stats.jsonl"))
            with open(path) as f:
                ticks = [json.loads(line)["ms_per_step"] for line in f]
        return statistics.median(ticks[1:])

    def close(self):
        pass


def build_gemm(folder):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "openblas"], stdout=subprocess.PIPE, text=True, check=True)
    path = os.path.join(folder, "gemm_floor")
    subprocess.run(["cc", "-std=c11", "-O2", os.path.join(HERE, "gemm_floor.c"), "-o", path, *flags.stdout.split()],
                   check=True)
    return path


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duel", default="build/duel", help="the command (default %(default)s)")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--seconds", type=float, default=1.0, help="for each in each round (default %(default)s)")
    p.add_argument("--compile", action="store_true", help="the peer uses torch.compile")
    p.add_argument("--torch-limit", type=float, default=0.7)
    p.add_argument("--gemm-limit", type=float, default=1.6)
    p.add_argument("flags", nargs="*", help="more flags for duel train, after --")
    args = p.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        peer = [sys.executable, os.path.join(HERE, "peer_mlp.py"), "--batch", str(args.batch), "--threads",
                str(args.threads)] + ["--compile"] * args.compile
        timers = {"duel": Duel(args), "torch": Worker(peer, args.threads),
                  "gemm": Worker([build_gemm(folder), str(args.batch)], args.threads)}
        names, times, steps = list(timers), {n: [] for n in timers}, {}
        for n, timer in timers.items():
            timer.time(20)
            steps[n] = max(20, int(1000 * args.seconds / timer.time(20)))
        for i in range(args.rounds):
            for j in range(len(names)):
                n = names[(i + j) % len(names)]
                time.sleep(0.2)  # threads of the one before stop spinning
                times[n].append(timers[n].time(steps[n]))
            print(f"\rround {i + 1} of {args.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        for timer in timers.values():
            timer.close()

    print(f"batch {args.batch}, {args.threads} threads, {args.rounds} rounds; ms per step")
    medians = {n: statistics.median(t) for n, t in times.items()}
    for n, t in times.items():
        print(f"  {n:<6} median {medians[n]:8.3f}   from {min(t):.3f} to {max(t):.3f}")
    good = True
    for n, limit in (("torch", args.torch_limit), ("gemm", args.gemm_limit)):
        ratio = medians["duel"] / medians[n]
        good &= ratio <= limit
        print(f"  duel / {n:<6} {ratio:.3f}   {'ok' if ratio <= limit else 'FAIL'}: at most {limit:g}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
