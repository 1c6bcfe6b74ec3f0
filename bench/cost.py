"""What do penalties, averages, spectral norm and augmentation add to a step, and how long does a step take PyTorch?

    python bench/cost.py --duel build/duel                       # a quarter of an hour on two cores
    python bench/cost.py --duel build/duel --rows r1 --rounds 5
    python bench/cost.py --duel build/duel --torch               # wgan-gp and sngan-32 beside bench/peers/torch_family.py

A row of ROWS is a recipe, its settings without and with what is measured, and the most that it may add. The two take turns,
in an order that turns from round to round, each for --steps steps of `duel bench`; told is the median of the rounds'
ratios, with their quartiles. With --torch the twin's step takes turns with duel's likewise. Exit status 1 if a row adds
more than its bound. Needs torch for --torch alone. Run it on a machine that does nothing else.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# name: recipe, settings without, settings with, the most that it may add (None: no bound)
ROWS = {
    "r1 every 16 steps": ("dcgan", [], ["penalty={r1: {weight: 1, every: 16}}"], 0.10),
    "average of G": ("dcgan", ["ema=null"], ["ema={half_life: 10 kimg}"], 0.01),
    "spectral norm": ("sngan-32", ["D.constraint=null"], ["D.constraint=spectral"], 0.10),
    "ada, p 0.6": ("dcgan-ada", ["augment=null"], ["augment={policy: ada, p: 0.6}"], 0.15),
    "diffaugment": ("dcgan", [], ["augment=diffaugment"], None),
    "r1 every step": ("dcgan", [], ["penalty={r1: 1}"], None),
    "gradient penalty": ("wgan-gp", ["penalty=null"], ["penalty={gp: 10}"], None),
}


def step_ms(args, recipe, settings):
    command = [args.duel, "bench", "--recipe", recipe, "--backend", "cpu", "--threads", str(args.threads), "--warmup", "16",
               "--repetitions", "1", "--steps", str(args.steps), "--peak-seconds", "0.01", "--json", "-"]
    done = subprocess.run(command + [flag for s in settings for flag in ("--set", s)], text=True, stdout=subprocess.PIPE,
                          check=True)
    return json.loads(done.stdout)["backends"][0]["ms_per_step"]["median"]


def take_turns(rounds, a, b):
    """Both times in milliseconds, and the ratio of the second to the first with its quartiles: medians."""
    times = []
    for i in range(rounds):
        order = (a, b) if i % 2 == 0 else (b, a)
        first, second = order[0](), order[1]()
        times.append((first, second) if i % 2 == 0 else (second, first))
    ratios = [second / first for first, second in times]
    low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    return [statistics.median(t) for t in zip(*times)], low, middle, high


def twin_of(args, recipe):
    """A function that runs so many steps in PyTorch and yields the milliseconds of one."""
    sys.path.insert(0, os.path.join(HERE, "peers"))
    import torch
    import torch_family
    torch.set_num_threads(args.threads)
    trainer = torch_family.Trainer(torch_family.images_of(recipe), recipe, 0, 1 << 20)
    for _ in range(3):
        trainer.step()

    def run():
        start = time.perf_counter()
        for _ in range(args.steps):
            trainer.step()
        return (time.perf_counter() - start) * 1000 / args.steps

    return run


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duel", default="build/duel", help="the command (default %(default)s)")
    p.add_argument("--rows", default="", help="parts of names of rows, by commas (default: all)")
    p.add_argument("--torch", action="store_true", help="the twins instead")
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--steps", type=int, default=48, help="of each in a round (default %(default)s; with r1, a multiple of 16)")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    parts, good = [x for x in args.rows.split(",") if x], True
    print(f"{'':20} {'recipe':10} {'without':>10} {'with':>10}   with/without (quartiles)" if not args.torch else
          f"{'':20} {'recipe':10} {'PyTorch':>10} {'duel':>10}   duel/PyTorch (quartiles)")
    if args.torch:
        rows = {name: (name, twin_of(args, name), lambda name=name: step_ms(args, name, []), None)
                for name in ("wgan-gp", "sngan-32")}
    else:
        rows = {name: (r, lambda r=r, s=a: step_ms(args, r, s), lambda r=r, s=b: step_ms(args, r, s), most)
                for name, (r, a, b, most) in ROWS.items()}
    for name, (recipe, first, second, most) in rows.items():
        if parts and not any(x in name for x in parts):
            continue
        (without, with_it), low, middle, high = take_turns(args.rounds, first, second)
        fine = most is None or middle <= 1 + most
        good &= fine
        bound = "" if most is None else f"  {'at most' if fine else 'MORE than'} {1 + most:.2f}"
        print(f"{'' if args.torch else name:20} {recipe:10} {without:7.2f} ms {with_it:7.2f} ms   {middle:.3f} ({low:.3f}-{high:.3f})"
              f"{bound}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
