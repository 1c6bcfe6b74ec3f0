"""Time from the command to its first finished step, and the peak of memory.

    python bench/first_step.py --duel build/duel

Trains mlp on Fashion-MNIST for one step, some times over, the data inflated anew each time. The step has ended when the
first line of stats.jsonl is there. Exit status 1 if the median time or the largest peak is over its limit.
"""
import argparse
import glob
import os
import statistics
import subprocess
import tempfile
import time


def once(duel, flags):
    """Seconds to the first step, and MiB at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        process = subprocess.Popen([duel, "train", "--steps", "1", "-q", "--outdir", folder, *flags],
                                   stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{duel} ended with {os.waitstatus_to_exitcode(status)}")
        stats, = glob.glob(os.path.join(folder, "0*", "stats.jsonl"))
        return os.stat(stats).st_mtime - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duel", default="build/duel", help="the command (default build/duel)")
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.25, help="limit of the median (default 0.25)")
    parser.add_argument("--mib", type=float, default=200, help="limit of the peak (default 200)")
    parser.add_argument("flags", nargs="*", help="more flags for duel train, after --")
    args = parser.parse_args()
    runs = [once(args.duel, args.flags) for _ in range(args.times)]
    seconds = sorted(s for s, _ in runs)
    peak = max(m for _, m in runs)
    median = statistics.median(seconds)
    print(f"first step after {median:.3f} s, median of {args.times} (from {seconds[0]:.3f} to {seconds[-1]:.3f}); "
          f"peak {peak:.0f} MiB")
    if median > args.seconds or peak > args.mib:
        raise SystemExit(f"over the limit of {args.seconds} s or {args.mib:.0f} MiB")


if __name__ == "__main__":
    main()
