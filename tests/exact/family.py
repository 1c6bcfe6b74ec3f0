"""The rows of the engine's tables in PyTorch: losses, penalties, optimizers. A row is looked up by its name in a recipe.

`keys` are those that the recipe gives; a row knows the defaults of the others.
"""
import numpy as np
import torch
import torch.nn.functional as F

import recipes

softplus = F.softplus


# ---- losses: D's terms on real and on fake logits (None where its logits are), then what G descends. LOSSES has beside
# them the share of the terms' sum that is reported as d_loss.

def bce_d(r, f, keys):
    target = 1 - keys.get("label_smoothing", 0)
    return (None if r is None else (target * softplus(-r) + (1 - target) * softplus(r)).mean(),
            None if f is None else softplus(f).mean())


def bce_g(r, f, keys):
    return softplus(-f).mean()


def hinge_d(r, f, keys):
    return None if r is None else F.relu(1 - r).mean(), None if f is None else F.relu(1 + f).mean()


def hinge_g(r, f, keys):
    return -f.mean()


LOSSES = {"bce": (bce_d, bce_g, 0.5), "hinge": (hinge_d, hinge_g, 0.5)}


# ---- penalties: (run, keys, real, fake, sub-step) -> the scalar that the weight multiplies. A row may call
# run.forward("D", x): a pass of its own. LOSSES of D have them in this order.

PENALTIES = {}


# ---- optimizers: (parameters, keys) -> one of PyTorch's; its rate is set before each update.

def adam(parameters, keys):
    return torch.optim.AdamW(parameters, 0.0, keys.get("betas", (0.9, 0.999)), keys.get("eps", 1e-8),
                             weight_decay=keys.get("weight_decay", 0))


def sgd(parameters, keys):
    return torch.optim.SGD(parameters, 0.0, momentum=keys.get("momentum", 0))


OPTIMIZERS = {"adam": adam, "sgd": sgd}


def scheduled(value, step, steps):
    """A number that may change over time; lengths are in steps."""
    if not isinstance(value, dict):
        return value
    warmup = value.get("warmup", 0)
    if step < warmup:
        return value["from"] * step / warmup
    if "to" not in value:
        return value["from"]
    part = min(1, (step - warmup) / (value.get("over") or steps - warmup))
    if value["curve"] == "cosine":
        part = 0.5 * (1 - np.cos(np.pi * part))
    return value["from"] + (value["to"] - value["from"]) * part


def penalties(recipe):
    """(name, keys) of the recipe's, in the table's order."""
    given = recipe.get("penalty", {})
    return [(name, recipes.choice(given[name], "weight")) for name in PENALTIES if name in given]
