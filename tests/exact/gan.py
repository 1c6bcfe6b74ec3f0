"""A recipe's training step in PyTorch, any precision: what the engine is compared with.

Recipes are those of recipes.py. What a recipe names is in family.py, layers and initial values in nets.py, draws and
the order of the data in spec.py.
"""
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

import augment
import family
import spec
from nets import (as_matrix, frozen, initial, keys, lr_mul, minibatch_stddev, pair, scale, self_attention,  # noqa: F401
                  sizes, spectral, tensors, upfirdn)
from recipes import choice, layers, nets, of_net, training


def in_images(length):
    """Of a length: 0, "100 images", "2 kimg"."""
    number, unit = f"{length} images".split()[:2]
    return int(number) * dict(images=1, kimg=1000)[unit]


def is_buffer(name):
    return "running" in name or name.endswith(("_u", "_v"))


class Run:
    """The nets, from given tensors. `images` are uint8 [items, C, H, W] or float32 points [items, n]; or (images, labels)."""

    def __init__(self, recipe, start, images, seed, dtype, rows=None, steps=None):
        self.r, self.seed, self.dtype, self.steps = recipe, seed, dtype, steps
        images, self.labels = images if isinstance(images, tuple) else (images, None)
        self.label = None  # of the rows that the nets read next
        self.classes = None  # what an auxiliary head made last
        self.train, self.loss = training(recipe), choice(recipe["loss"])
        self.batch = self.train["batch"]
        self.batches = self.train["d_steps"] + (self.loss.get("reals") == "fresh")  # of real items in a step
        self.images, self.order, self.step_number = images, spec.Order(seed, len(images)), 0
        # a permutation of the rows of every batch: another summation order, the same mathematics
        self.rows = np.arange(self.batch) if rows is None else rows
        self.t = {n: torch.tensor(v, dtype=dtype) for n, v in start.items()}
        self.augment = choice(recipe["augment"], "policy") if recipe.get("augment") else None
        self.controller = augment.Controller(self.augment) if self.augment else None
        self.optim, self.momentum = {}, 0.1
        for net in nets(recipe):
            own = [t.requires_grad_() for n, t in self.t.items() if n[0] == net and not is_buffer(n) and not frozen(recipe, n)]
            optim = of_net(recipe, net, "optim")
            self.optim[net] = family.OPTIMIZERS[optim["name"]](own, optim, self.share(net))
        if "ema" in recipe:
            self.averaged = nets(recipe)[0]
            self.ema = {n: t.detach().clone() for n, t in self.t.items() if n[0] == self.averaged}

    def share(self, net):
        """Of a usual update, that each of the net's is."""
        return family.share(self.r, net)

    def shards(self, x):
        """The shards of a value's rows."""
        return x.chunk(self.train.get("shards", 1))

    def by_shards(self, f, *x):
        """The mean of f over the shards, of its terms if they have names; some x may be None."""
        n = self.train.get("shards", 1)
        parts = [f(*own) for own in zip(*([None] * n if v is None else self.shards(v) for v in x))]
        if isinstance(parts[0], dict):
            return {name: sum(p[name] for p in parts) / n for name in parts[0]}
        return sum(parts) / n

    def batchnorm(self, x, weight, bias, **running):
        """A shard has statistics of its own; running ones take in the mean over them, once."""
        parts, moved = [], []
        for part in self.shards(x):
            moved.append([t.clone() for t in running.values()])
            parts.append(F.batch_norm(part, *moved[-1], weight, bias, training=True, momentum=self.momentum, eps=1e-5))
        for t, of in zip(running.values(), zip(*moved)):
            t.copy_(sum(of) / len(of))
        return torch.cat(parts)

    def forward(self, net, x):
        """One training-mode forward; advances running statistics."""
        self.slot = 0
        if net == "D" and self.augment:
            x = self.changed(x)
        x = self.run(layers(self.r, net), net, x)
        self.forwards += 1
        return x

    def changed(self, x):
        return augment.changed(self, self.augment, x, self.forwards, self.controller.value(self))

    def run(self, layers, path, x):
        for i, layer in enumerate(layers):
            kind, *value = layer
            name = f"{path}.{i}."
            at = {n: self.t.get(name + n) for n in ("weight", "bias", "running_mean", "running_var")}
            if kind == "dense":
                x = F.linear(x, self.read(name + "weight"), self.bias(name + "bias"))
            elif kind == "conv":
                x = F.conv2d(x, self.read(name + "weight"), self.bias(name + "bias"), **sizes(keys(layer))[1])
            elif kind == "conv_transpose":
                x = F.conv_transpose2d(x, self.read(name + "weight"), self.bias(name + "bias"),
                                       output_padding=pair(keys(layer).get("output_pad", 0)), **sizes(keys(layer))[1])
            elif kind == "batchnorm":
                x = self.batchnorm(x, **at)
            elif kind == "class_batchnorm":
                wide = (-1, x.shape[1], *[1] * (x.dim() - 2))
                scale, shift = (at[n][self.label].reshape(wide) for n in ("weight", "bias"))
                x = self.batchnorm(x, **at | dict(weight=None, bias=None)) * scale + shift
            elif kind == "label":
                row = at["weight"][self.label] if "weight" in at and at["weight"] is not None else F.one_hot(
                    self.label, keys(layer)["classes"]).to(self.dtype)
                x = torch.cat([x, row.reshape(*row.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])], 1)
            elif kind == "projection":
                row = self.read(name + "embedding.weight")[self.label]
                x = F.linear(x, self.read(name + "weight"), self.bias(name + "bias")) + (x * row).sum(1, keepdim=True)
            elif kind == "dropout":
                k, self.slot = 4096 * self.forwards + self.slot, self.slot + 1
                u = spec.uniform(self.seed, spec.NOISE, self.step_number, k, x.numel()).reshape(x.shape)[self.rows]
                x = x * torch.tensor((u > np.float32(value[0])) / (1 - value[0]), dtype=self.dtype)
            elif kind == "noise":
                k, self.slot = 4096 * self.forwards + self.slot, self.slot + 1
                x = x + self.t[name + "strength"].reshape(-1, 1, 1) * self.pixels(k, x)
            elif kind == "leaky_relu":
                x = F.leaky_relu(x, value[0])
            elif kind in ("relu", "tanh", "sigmoid"):
                x = getattr(torch, kind)(x)
            elif kind in ("maxpool", "avgpool"):
                x = (F.max_pool2d if kind == "maxpool" else F.avg_pool2d)(x, value[0])
            elif kind in ("upsample", "downsample"):  # upsample with mode: fir
                k, side = keys(layer), "up" if kind == "upsample" else "down"
                x = upfirdn(x, k.get("taps", (1, 3, 3, 1)), **{side: pair(k.get("scale", 2))})
            elif kind == "flatten":
                x = x.flatten(1)
            elif kind == "minibatch_stddev":
                x = torch.cat([minibatch_stddev(part, **(value[0] if value else {})) for part in self.shards(x)])
            elif kind == "self_attention":
                weights = [self.read(f"{name}{part}.weight") for part in "fghv"]
                x = self_attention(x, *weights, self.t[name + "gamma"], keys(layer).get("pool", 2))
            elif kind == "residual":
                for copy in range(layer[2].get("repeat", 1)):
                    body = self.run(layer[1], f"{name}{copy}.residual", x)
                    x = body + self.run(layer[2].get("skip", ()), f"{name}{copy}.skip", x)
            elif kind == "auxiliary":
                self.classes = self.run(layer[1], name + "auxiliary", x)
            elif kind == "concat":
                for copy in range(layer[2].get("repeat", 1)):
                    x = torch.cat([x, self.run(layer[1], f"{name}{copy}.concat", x)], 1)
            elif kind == "reshape":
                x = x.reshape(len(x), *value[0])
            else:
                raise SystemExit(f"nobody has written the layer {kind} in PyTorch yet")
        return x

    def read(self, name):
        """A weight as a layer reads it. Spectral norm: torch.nn.utils.spectral_norm's; its vectors move on."""
        w, axis = self.t[name], spectral(self.r, name)
        return w * scale(self.r, name, w.shape) if axis is None else w / self.largest(name, as_matrix(w, axis))

    def bias(self, name):
        return lr_mul(self.r, name) * self.t[name] if name in self.t else None

    def largest(self, name, m):
        """The largest singular value, by one more power iteration."""
        with torch.no_grad():
            self.t[name + "_v"] = v = F.normalize(m.T @ self.t[name + "_u"], dim=0, eps=1e-12)
            self.t[name + "_u"] = u = F.normalize(m @ v, dim=0, eps=1e-12)
        return u @ m @ v

    def normal(self, purpose, k, shape):
        """Of the step, all rows of the batch in the order of this run's."""
        n = spec.normal(self.seed, purpose, self.step_number, k, int(np.prod(shape))).astype(np.float32)
        return torch.tensor(n.reshape(shape)[self.rows], dtype=self.dtype)

    def pixels(self, k, x):
        """A number for each pixel, the same for all channels."""
        return self.normal(spec.NOISE, k, (len(x), 1, *x.shape[2:]))

    def uniform(self, purpose, k, shape):
        u = spec.uniform(self.seed, purpose, self.step_number, k, int(np.prod(shape)))
        return torch.tensor(u.reshape(shape)[self.rows], dtype=self.dtype)

    def spread(self, x):
        """The standard deviation of all numbers of a shard, for each of its rows."""
        of_row = torch.cat([part.std().expand(len(part)) for part in self.shards(x)])
        return of_row.reshape(-1, *[1] * (x.dim() - 1))

    def parameters(self, net):
        return [t for n, t in self.t.items() if t.requires_grad and n[0] == net]

    def gradients(self, net, loss):
        return torch.autograd.grad(loss, self.parameters(net), retain_graph=True, materialize_grads=True)

    def clip(self, parameters, most):
        torch.nn.utils.clip_grad_norm_(parameters, most)

    def update(self, net, loss):
        optim = of_net(self.r, net, "optim")
        for t, g in zip(self.parameters(net), self.gradients(net, loss)):
            t.grad = g
        if "clip_norm" in optim:
            self.clip(self.parameters(net), optim["clip_norm"])
        family.set_rates(self.optim[net], optim, self.step_number, self.steps, self.share(net))
        self.optim[net].step()

    def items(self, j):
        """Which ones real batch number j of the step has."""
        n = self.batch
        return self.order.batch((self.step_number * self.batches + j) * n, n)[self.rows]

    def take_labels(self, j):
        """Those of real batch j are what the nets read next; j None: those of items that are drawn."""
        if self.labels is None:
            return
        word = spec.words(self.seed, spec.LABEL, self.step_number, 0, self.batch).astype(np.uint64)
        drawn = (word * np.uint64(len(self.images)) >> np.uint64(32)).astype(np.int64)[self.rows]
        self.label = torch.tensor(self.labels[drawn if j is None else self.items(j)].astype(np.int64))

    def real(self, j):
        x = torch.tensor(self.images[self.items(j)]).to(self.dtype)
        return x / 127.5 - 1 if self.images.dtype == np.uint8 else x

    def average(self):
        if "ema" not in self.r:
            return
        images, keys = self.batch * self.batches, self.r["ema"]
        half_life = family.scheduled(keys["half_life"], self.step_number, self.steps, in_images)
        if keys.get("ramp_up"):
            half_life = min(half_life, keys["ramp_up"] * self.step_number * images)
        w = 1 - 0.5 ** (images / half_life) if half_life else 1
        for n, e in self.ema.items():
            new = self.t[n].detach()
            copied = is_buffer(n) and (keys.get("buffers", "copy") != "average" or "running" not in n)
            e.copy_(new) if copied else e.add_(new - e, alpha=w)

    @torch.no_grad()
    def stand(self):
        """The average's running statistics, measured anew: means over 32 batches."""
        trained, step = self.t, self.step_number
        statistics = {n: torch.zeros_like(e) for n, e in self.ema.items() if "running" in n}
        self.t, self.momentum = dict(self.ema), 1
        for self.step_number in range(32):
            if self.labels is not None:
                word = spec.words(self.seed, spec.EVAL, self.step_number, 5, self.batch).astype(np.uint64)
                of = word * np.uint64(self.labels.max() + 1) >> np.uint64(32)
                self.label = torch.tensor(of.astype(np.int64)[self.rows])
            self.forward(self.averaged, self.normal(spec.EVAL, 1, (self.batch, self.r["latent"])))
            for n in statistics:
                statistics[n] += self.t[n] / 32
        self.t, self.step_number, self.momentum = trained, step, 0.1
        self.ema |= statistics

    def values(self):
        """All tensors in float64, those of the moving average too."""
        out = {n: t.detach().double().numpy() for n, t in self.t.items()}
        if "ema" in self.r:
            if self.r["ema"].get("buffers") == "standing":
                self.stand()
            out |= {self.averaged + "_ema" + n[1:]: t.double().numpy() for n, t in self.ema.items()}
        return out


class Gan(Run):
    penalties = family.PENALTIES

    def latent(self, k):
        return self.normal(spec.LATENT, k, (self.batch, self.r["latent"]))

    def fakes_of_d(self, fake):
        """What D learns from: no gradient reaches G."""
        return fake.detach().requires_grad_()

    def noisy(self, x):
        """As the coming pass of D sees it."""
        level = family.scheduled(self.train["noise"], self.step_number, self.steps)
        return x + level * self.normal(spec.NOISE, 4096 * self.forwards + 4095, x.shape) if level else x

    def show(self, at, sides, watched=True):
        """D sees these sides, one after the other. watched: by the controller of augmentation."""
        at.classes = {}
        for side in sides:
            x = self.noisy(at.items[side])
            setattr(at, side, x)
            setattr(at, "on_" + side, self.forward("D", x))
            at.classes[side] = self.classes
            if side == "real" and watched:
                self.signs.append(at.on_real.sign().mean().item())

    def class_loss(self, logits, weight, name, told):
        """weight times the cross-entropy of an auxiliary head."""
        if logits is None or not weight:
            return 0
        entropy = F.cross_entropy(logits, self.label)
        told[name] = entropy.item()
        return weight * entropy

    def head(self, key, standard=1):
        heads = [layer[2] for layer in layers(self.r, "D") if layer[0] == "auxiliary"]
        return heads[0].get(key, standard) if heads else 0

    def d_terms(self, at):
        """What D descends, without penalties."""
        share, k, wrong = self.loss.get("label_flips", 0), family.SLOT * (at.j + 1), []
        if share:
            wrong = [self.uniform(spec.LABEL, k + side, (self.batch, 1)) <= share for side in range(2)]
        return self.by_shards(family.loss(self.loss)[0], at.on_real, at.on_fake, *wrong)

    def penalized(self, loss, at, told, own=False):
        """The loss and what the recipe's penalties add to it that belong to an update on these sides. own: those with an
        update of their own."""
        for name, keys in family.penalties(self.r):
            row = self.penalties[name]
            if any(getattr(at, side) is None for side in row.sides) or own != (keys.get("update") == "own"):
                continue
            if row.watch:
                row.watch(self, at)
            if not self.is_due(keys):
                self.forwards += family.passes(name, keys)[0]
                continue
            weight = 1 if name == "consistency" else keys["weight"]
            loss = self.add(loss, "penalty." + name, weight, keys, row.term(self, keys, at), told)
        return loss

    def penalized_g(self, loss, at, told):
        for name, keys in family.penalties(self.r):
            row = self.penalties[name]
            if not row.of_g or family.passes(name, keys)[1] == 0 or not self.is_due(keys):
                self.forwards += family.passes(name, keys)[1]
                continue
            loss = self.add(loss, f"penalty.{name}_g", keys.get(*row.weight_g), keys, row.of_g(self, keys, at), told)
        return loss

    def is_due(self, keys):
        return self.step_number % keys.get("every", 1) == 0

    def add(self, loss, name, weight, keys, term, told):
        if weight == "auto":
            weight = 0.0002 * np.prod(self.images.shape[2:]) / self.batch
        value = family.scheduled(weight, self.step_number, self.steps) * term
        told[name] = value.item()
        return loss + keys.get("every", 1) * value

    def own_update(self, at, told):
        """Of the penalties that have one, after that on the loss: D once more on their sides."""
        apart = [(name, keys) for name, keys in family.penalties(self.r) if keys.get("update") == "own"]
        sides = {side for name, _ in apart for side in self.penalties[name].sides}
        if not apart or not self.is_due(apart[0][1]):
            self.forwards += len(sides)
            return
        self.show(at, [side for side in at.items if "on_" + side in sides], False)
        self.update("D", self.penalized(0, at, told, True))

    def update(self, net, loss):
        super().update(net, loss)
        if net == "D" and "clip" in self.loss:
            for t in self.parameters("D"):
                t.data.clamp_(-self.loss["clip"], self.loss["clip"])

    def d_turn(self, j, told):
        """Sub-step j; yields its real items and G's."""
        z = self.latent(j)
        self.take_labels(j)
        real, fake = self.real(j).requires_grad_(), self.forward("G", z)
        at = SimpleNamespace(j=j, z=z, items=dict(real=real, fake=self.fakes_of_d(fake)), on_real=None, on_fake=None)
        terms, scores = {}, {}
        for sides in [["real"], ["fake"]] if self.train["d_update"] == "separate" else [["real", "fake"]]:
            self.show(at, sides)
            now = self.d_terms(at)
            loss = sum(now.values())
            for side in sides:
                of = self.head("weight") if side == "real" or self.head("fakes", True) else 0
                loss = loss + self.class_loss(at.classes[side], of, "class_loss_" + side, told)
            if at.classes.get("real") is not None:
                told["class_accuracy"] = (at.classes["real"].argmax(1) == self.label).double().mean().item()
            self.update("D", self.penalized(loss, at, told))
            scores |= {"score_" + side: getattr(at, "on_" + side).mean().item() for side in sides}
            terms |= {name: term.item() for name, term in now.items()}
            at.on_real = at.on_fake = None
        self.own_update(at, told)
        told |= {name: term for name, term in terms.items() if name} | scores
        told |= dict(d_loss=family.loss(self.loss)[2] * sum(terms.values()))
        return real, fake

    def g_loss(self, real, fake):
        """What G descends; a loss that compares sees D on real items too, after D on fakes."""
        _, loss, _, compares = family.loss(self.loss)
        f, r = self.forward("D", self.noisy(fake)), None
        self.of_g = self.classes
        if compares:
            fresh, of_fakes = self.loss.get("reals") == "fresh", self.label
            self.take_labels(self.train["d_steps"] - (not fresh))
            real = self.real(self.train["d_steps"]) if fresh else real
            r = self.forward("D", self.noisy(real)).detach()
            self.label = of_fakes
        k = family.scheduled(self.train["top_k"] or self.batch, self.step_number, self.steps)

        def of_shard(r, f):
            best = torch.topk(f.flatten(), int(np.ceil(k * len(f) / self.batch))).indices
            return loss(r[best] if self.loss["name"] == "rpgan" else r, f[best])

        return self.by_shards(of_shard, r, f)

    def step(self):
        """One update of both players; yields what the engine reports."""
        self.forwards, self.signs, told = 0, [], {}
        p = self.controller.value(self) if self.augment else None
        for j in range(self.train["d_steps"]):
            real, fake = self.d_turn(j, told)
        last = self.train["d_steps"] - (self.train["latents"] == "shared")
        z = self.latent(last)
        if self.train["latents"] == "fresh":
            self.take_labels(None)
            fake = self.forward("G", z)
        g_loss = self.g_loss(real, fake)
        learnt = g_loss + self.class_loss(self.of_g, self.head("generator"), "class_loss_g", told)
        self.update("G", self.penalized_g(learnt, SimpleNamespace(j=self.train["d_steps"], z=z, fake=fake), told))
        self.average()
        if self.augment:
            self.controller.end(self, self.batch * self.batches)
            told |= {"augment.p": p} if self.controller.adaptive or "p" in self.augment else {}
        self.step_number += 1
        return told | dict(g_loss=g_loss.item())


class Classifier(Run):
    """C alone. `data` is (images, labels)."""

    def __init__(self, recipe, start, data, *more):
        super().__init__(recipe, start, data, *more)

    def noise(self, shape):
        """Normal numbers times a level, one an item, that is uniform up to the recipe's."""
        t, k, n = self.step_number, 4096 * self.forwards, self.batch
        level = spec.uniform(self.seed, spec.NOISE, t, k + 4094, n).reshape(n, *[1] * (len(shape) - 1))
        normal = spec.normal(self.seed, spec.NOISE, t, k + 4095, int(np.prod(shape))).reshape(shape)
        return torch.tensor((self.train["noise"] * level.astype(np.float64) * normal)[self.rows], dtype=self.dtype)

    def step(self):
        """One update; yields what the engine reports."""
        self.forwards = 0
        x, label = self.real(0), torch.tensor(self.labels[self.items(0)].astype(np.int64))
        logits = self.forward("C", x + self.noise(x.shape))
        loss = F.cross_entropy(logits, label, label_smoothing=self.loss.get("label_smoothing", 0))
        self.update("C", loss)
        self.average()
        self.step_number += 1
        return dict(loss=loss.item(), accuracy=(logits.argmax(1) == label).double().mean().item())


def train(recipe, start, data, seed, steps, dtype, rows=None, kind=None):
    """Its tensors after so many steps, and what each step told. kind: a class in the place of Gan."""
    run = (Classifier if "C" in recipe else kind or Gan)(recipe, start, data, seed, dtype, rows, steps)
    told = [run.step() for _ in range(steps)]
    return run.values(), told


def errors(result, exact, start):
    """Per tensor ‖result − exact‖ / ‖exact − start‖; None where the tensor hardly moved (see exact.py). A moving average
    begins as its net."""
    norm = np.linalg.norm
    moved = {n: norm(exact[n] - start[n.replace("_ema", "")]) for n in exact}
    out = {}
    for n in exact:
        median = np.median([m for other, m in moved.items() if m and other[:2] == n[0] + "." and not is_buffer(other)])
        out[n] = norm(result[n] - exact[n]) / moved[n] if moved[n] and moved[n] >= 1e-3 * median else None
    return out
