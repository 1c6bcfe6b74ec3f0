"""What the scripts beside it share: trainings that are kept in a folder, samples, and what a classifier takes them for."""
import glob
import json
import os
import shutil
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "exact"))
import spec  # noqa: E402

CLASSES = 10


def add_options(parser, work):
    parser.add_argument("--duel", default="build/duel", help="default %(default)s")
    parser.add_argument("--judge", default="build/bench/judge", help="built with the tests; default %(default)s")
    parser.add_argument("--work", default=work, help="what is finished stays there; default %(default)s")
    parser.add_argument("--threads", type=int, default=0, help="0: what the machine allows")
    parser.add_argument("--backend", default="auto")


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout


class Training:
    """A run of a recipe in --work, made once."""

    def __init__(self, args, name, *flags):
        self.args, self.folder = args, os.path.join(args.work, name)
        key = json.dumps([str(f) for f in flags])
        done = os.path.join(self.folder, "done")
        if not (os.path.exists(done) and open(done).read() == key):
            shutil.rmtree(self.folder, ignore_errors=True)
            os.makedirs(self.folder)
            run(args.duel, "train", *flags, "--outdir", self.folder, "--threads", args.threads, "--backend", args.backend,
                "-q")
            with open(done, "w") as f:
                f.write(key)
        self.path, = glob.glob(os.path.join(self.folder, "0*"))

    def checkpoint(self):
        return max(glob.glob(os.path.join(self.path, "checkpoint-*.safetensors")))

    def samples(self, count):
        """uint8 [count, ...] as G's pictures are; of a G that is told classes, seed s has class s mod classes."""
        path = os.path.join(self.folder, f"samples-{count}.npy")
        if not os.path.exists(path):
            run(self.args.duel, "generate", self.path, "--count", count, "--out", path, "-q")
        return np.clip(np.rint((np.load(path) + 1) * 127.5), 0, 255).astype(np.uint8)

    def stats(self, key):
        """Of each tick that has it: (step, value)."""
        with open(os.path.join(self.path, "stats.jsonl")) as f:
            ticks = [json.loads(line) for line in f]
        return [(t["step"], t[key]) for t in ticks if key in t]

    def warnings(self):
        with open(os.path.join(self.path, "log.txt")) as f:
            return [line.strip() for line in f if "warning" in line]


def write_idx(path, a):
    with open(path, "wb") as f:
        f.write(bytes([0, 0, 8, a.ndim]) + np.array(a.shape, ">u4").tobytes() + a.tobytes())


class Judge:
    """classifier-28, trained with noise on Fashion-MNIST: a clean one takes the speckles of generated pictures for shirts
    (results/quality.txt)."""

    def __init__(self, args):
        self.args = args
        self.training = Training(args, "judge", "--recipe", "classifier-28", "--seed", "0")

    def classes(self, pictures):
        """Of uint8 [n, height, width], resized to 28×28 by the reader of data sets."""
        folder = os.path.join(self.args.work, "judged")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        path = os.path.join(folder, "set-images-idx3-ubyte")
        write_idx(path, np.ascontiguousarray(pictures))
        write_idx(path.replace("images-idx3", "labels-idx1"), np.arange(len(pictures), dtype=np.int64).astype(np.uint8) % CLASSES)
        out = run(self.args.judge, self.training.checkpoint(), path, 28)
        return np.frombuffer(out, np.uint8)
