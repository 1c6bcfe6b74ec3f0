"""The GANs in PyTorch as its users would write them well: a peer of bench/compare, and the model of bench/quality.py.

Fused Adam, the data set resident as bytes, one latent batch and one forward of G a step, D's weight gradients not
computed in G's turn. Ways: eager; channels_last, the storage order that PyTorch advises for convolutions; compile, both
players under torch.compile (and channels_last where there are convolutions).
"""
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import models
import protocol
from models import ADAM, ITEM, LATENT, RECIPES

WAYS = {"eager": ("mlp", "dcgan"), "channels_last": ("dcgan",), "compile": ("mlp", "dcgan")}


def module(layer, entered, left):
    kind, taps = layer[0], {"kernel_size": 4, "stride": 2, "padding": 1}
    if kind == "dense":
        return nn.Linear(entered[0], left[0], bias=layer[2])
    if kind == "conv":
        return nn.Conv2d(entered[0], left[0], bias=layer[2], **taps)
    if kind == "conv_transpose":
        return nn.ConvTranspose2d(entered[0], left[0], bias=layer[2], **taps)
    if kind == "batchnorm":
        norm = nn.BatchNorm1d if len(entered) == 1 else nn.BatchNorm2d
        return norm(entered[0], eps=models.EPS, momentum=models.MOMENTUM)
    return {"leaky_relu": lambda: nn.LeakyReLU(models.SLOPE), "relu": nn.ReLU, "tanh": nn.Tanh, "flatten": nn.Flatten,
            "reshape": lambda: nn.Unflatten(1, layer[-1])}[kind]()


def initialize(player, init):
    for m in player:
        if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if init == "normal":
                nn.init.normal_(m.weight, 0, models.STD)
            else:
                nn.init.xavier_uniform_(m.weight)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) and init == "normal":
            nn.init.normal_(m.weight, 1, models.STD)
    return player


def players(recipe):
    """G and D, with their first values."""
    table = RECIPES[recipe]
    return tuple(initialize(nn.Sequential(*(module(*at) for at in models.walk(table[player], shape))), table["init"])
                 for player, shape in (("G", (LATENT,)), ("D", ITEM)))


def images(name="train-images-idx3-ubyte"):
    return torch.from_numpy(protocol.images(name).copy())  # its own memory: a file's is read-only


def adam(player, **more):
    return torch.optim.Adam(player.parameters(), ADAM["lr"], ADAM["betas"], ADAM["eps"], fused=True, **more)


class Trainer:
    def __init__(self, data, recipe="mlp", batch=64, seed=0, way="eager"):
        torch.manual_seed(seed)
        self.data, self.batch, self.order = data, batch, protocol.Order(len(data), batch, seed)
        self.g, self.d = players(recipe)
        self.layout = torch.contiguous_format
        if way == "channels_last" or way == "compile" and recipe == "dcgan":
            self.layout = torch.channels_last
            self.g, self.d = self.g.to(memory_format=self.layout), self.d.to(memory_format=self.layout)
        self.one, self.zero = torch.ones(batch, 1), torch.zeros(batch, 1)
        self.opt_g, self.opt_d = adam(self.g), adam(self.d)
        self.compiled = way == "compile"
        if self.compiled:
            self.g, self.d = torch.compile(self.g), torch.compile(self.d)

    def real(self):
        rows = torch.from_numpy(self.order.next())
        return self.data[rows].float().div_(127.5).sub_(1).contiguous(memory_format=self.layout)

    def update_d(self, x, target):
        self.opt_d.zero_grad()
        loss = bce(self.d(x), target)
        loss.backward()
        self.opt_d.step()
        return loss.detach()

    def step(self):
        fake = self.g(torch.randn(self.batch, LATENT))
        real_loss = self.update_d(self.real(), self.one)
        fake_loss = self.update_d(fake.detach(), self.zero)
        self.d.requires_grad_(False)
        self.opt_g.zero_grad()
        loss = bce(self.d(fake), self.one)
        loss.backward()
        self.opt_g.step()
        self.d.requires_grad_(True)
        return real_loss, fake_loss, loss.detach()

    def wait(self, losses):
        pass

    def parameters(self):
        return {name: sum(p.numel() for p in player.parameters()) for name, player in (("G", self.g), ("D", self.d))}

    def flops(self):
        from torch.utils.flop_counter import FlopCounterMode  # not at the top: it takes its time
        if self.compiled:
            return None  # its products are out of the counter's sight
        with FlopCounterMode(display=False) as counter:
            self.step()
        return counter.get_total_flops()


def make(recipe, batch, threads, way):
    torch.set_num_threads(threads)
    return Trainer(images(), recipe, batch, way=way)


if __name__ == "__main__":
    protocol.serve("PyTorch", torch.__version__, WAYS, make)
