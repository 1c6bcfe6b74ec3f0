"""The dense GAN of recipes/mlp.yaml in PyTorch as its users would write it well: the peer that bench/ compares with.

Fused Adam, the data set resident as bytes, one latent batch and one forward of G a step, D's weight gradients not
computed in G's turn.
"""
import os
import sys

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "exact"))
import spec  # noqa: E402

LATENT = 100


def generator():
    return nn.Sequential(nn.Linear(LATENT, 256), nn.LeakyReLU(0.2), nn.Linear(256, 512), nn.BatchNorm1d(512),
                         nn.LeakyReLU(0.2), nn.Linear(512, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


def discriminator():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1))


def glorot(module):
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def images(name="train-images-idx3-ubyte"):
    return torch.tensor(spec.fashion_mnist(name))[:, None]


class Trainer:
    def __init__(self, data, batch=64, seed=0, compiled=False):
        torch.manual_seed(seed)
        self.data, self.batch, self.order = data, batch, torch.empty(0, dtype=torch.int64)
        self.g, self.d = generator().apply(glorot), discriminator().apply(glorot)
        self.one, self.zero = torch.ones(batch, 1), torch.zeros(batch, 1)
        self.opt_g, self.opt_d = (torch.optim.Adam(m.parameters(), 2e-4, betas=(0.5, 0.999), fused=True)
                                  for m in (self.g, self.d))
        if compiled:
            self.g, self.d = torch.compile(self.g), torch.compile(self.d)

    def real(self):
        """The next batch; no item is dropped at the end of an epoch."""
        while len(self.order) < self.batch:
            self.order = torch.cat([self.order, torch.randperm(len(self.data))])
        rows, self.order = self.order[:self.batch], self.order[self.batch:]
        return self.data[rows].float().div_(127.5).sub_(1)

    def update_d(self, x, target):
        self.opt_d.zero_grad()
        bce(self.d(x), target).backward()
        self.opt_d.step()

    def step(self):
        fake = self.g(torch.randn(self.batch, LATENT))
        self.update_d(self.real(), self.one)
        self.update_d(fake.detach(), self.zero)
        self.d.requires_grad_(False)
        self.opt_g.zero_grad()
        bce(self.d(fake), self.one).backward()
        self.opt_g.step()
        self.d.requires_grad_(True)
