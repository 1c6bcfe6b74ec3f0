"""wgan-gp and sngan-32 in PyTorch as its users would write them: what bench/quality.py compares recipes/ of these names with.

Both take d_steps batches of D for one of G, fresh latents for each, a D pass on real items and one on fakes, and Adam at a
rate that the recipe says; wgan-gp's penalty is the paper's, sngan-32 has torch.nn.utils.spectral_norm in D.
"""
import torch
from torch import nn
from torch.nn.functional import interpolate, relu

import models
import peer_torch

NAMES = "wgan-gp", "sngan-32"
CH, BATCH, D_STEPS = 16, 64, 5  # vars.ch of sngan-32; train.batch and d_steps of both
SIDE = {"sngan-32": 32, "projgan-32": 32, "r3gan-32": 32}
LATENT = {"wgan-gp": 100, "sngan-32": 128}


def images_of(recipe, name="train-images-idx3-ubyte"):
    """uint8 [items, 1, side, side], at the recipe's size."""
    images, side = peer_torch.images(name), SIDE.get(recipe, 28)
    if side == 28:
        return images
    larger = interpolate(images.float(), (side, side), mode="bilinear", align_corners=False)
    return larger.round().clip(0, 255).to(torch.uint8)


class Residual(nn.Module):
    def __init__(self, body, skip):
        super().__init__()
        self.body, self.skip = nn.Sequential(*body), nn.Sequential(*skip)

    def forward(self, x):
        return self.body(x) + self.skip(x)


class SumOverImage(nn.Module):
    def forward(self, x):
        return x.sum((2, 3))


def conv3(taken, given):
    return nn.Conv2d(taken, given, 3, padding=1)


def sngan_players():
    wide = 2 * CH
    g = [nn.Linear(128, wide * 16), nn.Unflatten(1, (wide, 4, 4))]
    for _ in range(3):
        g.append(Residual([nn.BatchNorm2d(wide), nn.ReLU(), nn.Upsample(scale_factor=2), conv3(wide, wide),
                           nn.BatchNorm2d(wide), nn.ReLU(), conv3(wide, wide)],
                          [nn.Upsample(scale_factor=2), nn.Conv2d(wide, wide, 1)]))
    g += [nn.BatchNorm2d(wide), nn.ReLU(), conv3(wide, 1), nn.Tanh()]
    d = [Residual([conv3(1, CH), nn.ReLU(), conv3(CH, CH), nn.AvgPool2d(2)], [nn.AvgPool2d(2), nn.Conv2d(1, CH, 1)]),
         Residual([nn.ReLU(), conv3(CH, CH), nn.ReLU(), conv3(CH, CH), nn.AvgPool2d(2)],
                  [nn.Conv2d(CH, CH, 1), nn.AvgPool2d(2)])]
    d += [Residual([nn.ReLU(), conv3(CH, CH), nn.ReLU(), conv3(CH, CH)], []) for _ in range(2)]
    d += [nn.ReLU(), SumOverImage(), nn.Linear(CH, 1)]
    g, d = nn.Sequential(*g), nn.Sequential(*d)
    for m in [*g.modules(), *d.modules()]:
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(m.weight)
            nn.init.zeros_(m.bias)
    for m in d.modules():
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            nn.utils.spectral_norm(m)
    return g, d


def wgan_gp_players():
    g, _ = peer_torch.players("dcgan")
    d = nn.Sequential(nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(models.SLOPE), nn.Conv2d(64, 128, 4, 2, 1),
                      nn.LeakyReLU(models.SLOPE), nn.Flatten(), nn.Linear(6272, 1))
    return g, peer_torch.initialize(d, "normal")


def gradient_penalty(d, real, fake):
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    x = (share * real + (1 - share) * fake).requires_grad_()
    slope, = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


class Trainer:
    """images: uint8 [items, 1, side, side]; of `steps` steps in all."""

    def __init__(self, images, recipe, seed, steps, device="cpu"):
        torch.manual_seed(seed)
        self.spectral, self.device, self.latent = recipe == "sngan-32", device, LATENT[recipe]
        self.images, self.at = images.to(device), 0
        self.g, self.d = (p.to(device) for p in (sngan_players() if self.spectral else wgan_gp_players()))
        rate = dict(lr=2e-4 if self.spectral else 1e-4, betas=(0.0, 0.9), eps=1e-8)
        self.opts = [torch.optim.Adam(p.parameters(), **rate) for p in (self.g, self.d)]
        falling = [torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 - t / steps) for o in self.opts]
        self.rates = falling if self.spectral else []

    def rows(self):
        """Of the next batch, in an order of each epoch's own."""
        if self.at + BATCH > len(self.images) or self.at == 0:
            self.order, self.at = torch.randperm(len(self.images), device=self.device), 0
        rows = self.order[self.at:self.at + BATCH]
        self.at += BATCH
        return rows

    def real(self):
        return self.images[self.rows()].float() / 127.5 - 1

    def fake(self):
        return self.g(torch.randn(BATCH, self.latent, device=self.device))

    def d_loss(self, real, fake):
        on_real, on_fake = self.d(real), self.d(fake)
        if self.spectral:
            return relu(1 - on_real).mean() + relu(1 + on_fake).mean()
        return on_fake.mean() - on_real.mean() + 10 * gradient_penalty(self.d, real, fake)

    def step(self):
        opt_g, opt_d = self.opts
        for _ in range(D_STEPS):
            opt_d.zero_grad()
            self.d_loss(self.real(), self.fake().detach()).backward()
            opt_d.step()
        opt_g.zero_grad()
        (-self.d(self.fake()).mean()).backward()
        opt_g.step()
        for rate in self.rates:
            rate.step()

    @torch.no_grad()
    def pictures(self, n):
        state = torch.get_rng_state()
        self.g.eval()
        parts = [self.g(z.to(self.device)).cpu() for z in torch.randn(n, self.latent).split(1000)]
        self.g.train()
        torch.set_rng_state(state)
        return torch.cat(parts)
