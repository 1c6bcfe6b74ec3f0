"""The rows of the engine's tables in PyTorch: losses, penalties, optimizers. A row is looked up by its name in a recipe.

`keys` are those that the recipe gives; a row knows the defaults of the others.
"""
from typing import Callable, NamedTuple, Optional

import numpy as np
import torch
import torch.nn.functional as F

import augment
import recipes
import spec

softplus = F.softplus


# ---- losses: what D descends, as terms by the names that they are told by ("" is not told), and what G descends.
# LOSSES has beside them the share of the terms' sum that is d_loss, and whether they compare: then D's terms need both
# sides, and G's turn shows D real items too. Else r or f may be None.

def apart(on_real, on_fake):
    """D's terms of a loss that looks at the sides one by one. wrong_…: rows of a side whose label is the other one's."""
    def d(r, f, keys, wrong_real=torch.tensor(False), wrong_fake=torch.tensor(False)):
        terms = {}
        if r is not None:
            terms["d_loss_real"] = torch.where(wrong_real, on_fake(r, keys), on_real(r, keys)).mean()
        if f is not None:
            terms["d_loss_fake"] = torch.where(wrong_fake, on_real(f, keys), on_fake(f, keys)).mean()
        return terms

    return d


def target(keys):
    return 1 - keys.get("label_smoothing", 0)


def bce_real(r, keys):
    return target(keys) * softplus(-r) + (1 - target(keys)) * softplus(r)


def bce_g(r, f, keys):
    return -softplus(f).mean() if keys.get("generator") == "minimax" else softplus(-f).mean()


def rpgan_d(r, f, keys):
    return {"": softplus(-(r - f)).mean()}


def rpgan_g(r, f, keys):
    return softplus(-(f - r)).mean()


def ragan_d(r, f, keys):
    return dict(d_loss_real=softplus(-(r - f.mean())).mean() / 2, d_loss_fake=softplus(f - r.mean()).mean() / 2)


def ragan_g(r, f, keys):
    return (softplus(r - f.mean()).mean() + softplus(-(f - r.mean())).mean()) / 2


def g_raises(r, f, keys):
    return -f.mean()


LOSSES = {
    "bce": (apart(bce_real, lambda f, keys: softplus(f)), bce_g, 0.5, False),
    "lsgan": (apart(lambda r, keys: (r - target(keys)) ** 2 / 2, lambda f, keys: f ** 2 / 2),
              lambda r, f, keys: ((f - 1) ** 2).mean() / 2, 1, False),
    "hinge": (apart(lambda r, keys: F.relu(1 - r), lambda f, keys: F.relu(1 + f)), g_raises, 0.5, False),
    "wasserstein": (apart(lambda r, keys: -r, lambda f, keys: f), g_raises, 1, False),
    "rpgan": (rpgan_d, rpgan_g, 1, True),
    "ragan": (ragan_d, ragan_g, 1, True),
}


def loss(keys):
    """A row of the table, D's and G's functions with their keys."""
    d, g, share, compares = LOSSES[keys["name"]]
    return lambda r, f, *wrong: d(r, f, keys, *wrong), lambda r, f: g(r, f, keys), share, compares


# ---- penalties, in the engine's order

class Penalty(NamedTuple):
    """sides: of D's output, those that its update learns from; terms: (run, keys, at) -> the scalar that the weight
    multiplies, beside D's loss and beside G's, the latter with its weight's key and default; passes: of both, whose numbers
    are kept in steps without it; watch: called in each sub-step. at has the sub-step j, latents z, the items real and fake,
    D's output on_real and on_fake. A term may call run.forward("D", x): a pass of its own."""
    sides: tuple
    term: Callable
    of_g: Optional[Callable] = None
    weight_g: tuple = ()
    passes: tuple = (0, 0)
    watch: Optional[Callable] = None


BOTH, SLOT = ("on_real", "on_fake"), 4096


def slope(x, y):
    """Of each row of x, the gradient of its own y."""
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0].flatten(1)


def uniform_rows(run, x, j):
    """One number for all elements of a row."""
    return run.uniform(spec.PENALTY, SLOT * j, x.shape[:1]).reshape(-1, *[1] * (x.dim() - 1))


def unit_slope(run, x, least=1e-12):
    x = x.detach().requires_grad_()
    norm = (slope(x, run.forward("D", x)).square().sum(1) + least).sqrt()
    return (norm - 1).square().mean()


def gp(run, keys, at):
    share = uniform_rows(run, at.real, at.j)
    return unit_slope(run, share * at.real + (1 - share) * at.fake)


def dragan(run, keys, at):
    noise = 0.5 * run.spread(at.real) * run.uniform(spec.PENALTY, SLOT * at.j + 1, at.real.shape)
    return unit_slope(run, at.real + uniform_rows(run, at.real, at.j) * noise)


def r1(run, keys, at):
    return 0.5 * slope(at.real, at.on_real).square().sum(1).mean()


def r2(run, keys, at):
    return 0.5 * slope(at.fake, at.on_fake).square().sum(1).mean()


def watch_lecam(run, at, kept=0.99):
    """All sub-steps of a step see the averages as they stood before it."""
    if at.j == 0:
        n = run.step_number * run.train["d_steps"]
        run.lecam = getattr(run, "lecam", [torch.zeros((), dtype=run.dtype)] * 2)
        run.before = [a / (1 - kept ** n) if n else a for a in run.lecam]
    run.lecam = [kept * a + (1 - kept) * on.detach().mean() for a, on in zip(run.lecam, (at.on_real, at.on_fake))]


def lecam(run, keys, at, excess=F.relu):
    if run.step_number < keys.get("start", 1000):
        return torch.zeros((), dtype=run.dtype)
    real, fake = run.before
    return excess(at.on_real - fake).square().mean() + excess(real - at.on_fake).square().mean()


def neighbor(run, keys, at):
    """G's items on latents nearby."""
    return run.forward("G", at.z + keys.get("radius", 0.05) * run.normal(spec.PENALTY, SLOT * at.j + 2, at.z.shape))


def consistency(run, keys, at):
    """Weights and all."""
    total = 0
    for side in ("real", "fake"):
        if side in keys:
            x = augment.transformed(run, getattr(at, side), run.forwards)
            difference = getattr(at, "on_" + side) - run.forward("D", x)
            total = total + scheduled(keys[side], run.step_number, run.steps) * difference.square().mean()
    if "z" in keys:
        difference = at.on_fake - run.forward("D", neighbor(run, keys, at))
        total = total + scheduled(keys["z"], run.step_number, run.steps) * difference.square().mean()
    return total


def consistency_g(run, keys, at):
    return -(at.fake - neighbor(run, keys, at)).square().mean()


PENALTIES = {"gp": Penalty(BOTH, gp, passes=(1, 0)), "dragan": Penalty(BOTH, dragan, passes=(1, 0)),
             "r1": Penalty(("on_real",), r1), "r2": Penalty(("on_fake",), r2),
             "lecam": Penalty(BOTH, lecam, watch=watch_lecam),
             "consistency": Penalty(BOTH, consistency, consistency_g, ("generator", 0.5))}


def passes(name, keys):
    """That a penalty makes beside D's loss, and beside G's."""
    if name != "consistency":
        return PENALTIES[name].passes
    return sum(side in keys for side in ("real", "fake")) + 2 * ("z" in keys), int("z" in keys)


def share(recipe, net):
    """Of a usual update that each one of the net is: n of n + 1, where penalties have one of their own in n steps."""
    every = [own["every"] for _, own in penalties(recipe) if own.get("update") == "own"]
    return every[0] / (every[0] + 1) if every and net == "D" else 1


# ---- optimizers: (parameters, keys, share of a usual update) -> one of PyTorch's; its rate is set before each update, by
# set_rates.

def adam(parameters, keys, share):
    betas = [beta ** share for beta in keys.get("betas", (0.9, 0.999))]
    return torch.optim.AdamW(parameters, 0.0, betas, keys.get("eps", 1e-8),
                             weight_decay=keys.get("weight_decay", 0))


def adamw(parameters, keys, share):
    return adam(parameters, {"weight_decay": 0.01, **keys}, share)


def rmsprop(parameters, keys, share):
    return torch.optim.RMSprop(parameters, 0.0, alpha=keys.get("alpha", 0.99) ** share, eps=keys.get("eps", 1e-8))


class Lion(torch.optim.Optimizer):
    """PyTorch has none. Chen et al. 2023, arXiv:2302.06675, algorithm 2."""

    def __init__(self, parameters, betas, weight_decay):
        super().__init__(parameters, dict(lr=0.0, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                way = (beta1 * m + (1 - beta1) * p.grad).sign()
                p.mul_(1 - lr * group["weight_decay"]).sub_(lr * way)
                m.mul_(beta2).add_((1 - beta2) * p.grad)


def lion(parameters, keys, share):
    return Lion(parameters, [beta ** share for beta in keys.get("betas", (0.9, 0.99))], keys.get("weight_decay", 0))


def sgd(parameters, keys, share):
    return torch.optim.SGD(parameters, 0.0, momentum=keys.get("momentum", 0) ** share)


OPTIMIZERS = {"adam": adam, "adamw": adamw, "rmsprop": rmsprop, "lion": lion, "sgd": sgd}


def set_rates(optimizer, keys, step, steps, share):
    """What changes from step to step."""
    for group in optimizer.param_groups:
        group["lr"] = share * scheduled(keys.get("lr", 2e-4), step, steps)
        if "beta2" in keys:
            group["betas"] = (group["betas"][0], scheduled(keys["beta2"], step, steps) ** share)


def scheduled(value, step, steps, number=lambda x: x):
    """A number that may change over time; lengths are in steps. number: of what it begins and ends with."""
    if not isinstance(value, dict):
        return number(value)
    warmup, first, last = value.get("warmup", 0), number(value["from"]), number(value.get("to", value["from"]))
    if step < warmup:
        return first * step / warmup
    if "to" not in value:
        return first
    part = min(1, (step - warmup) / (value.get("over") or steps - warmup))
    if value["curve"] == "cosine":
        part = 0.5 * (1 - np.cos(np.pi * part))
    return first + (last - first) * part


def penalties(recipe):
    """(name, keys) of the recipe's, in the table's order."""
    given = recipe.get("penalty", {})
    return [(name, recipes.choice(given[name], "weight")) for name in PENALTIES if name in given]
