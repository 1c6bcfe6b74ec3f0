"""projgan-32 and r3gan-32 in PyTorch as its users would write them: what bench/quality.py compares recipes/ of these names with.

projgan-32 is sngan-32 told the class (Miyato and Koyama 2018); r3gan-32 is the authors' net and step, narrow (Huang et al.
2024): a relativistic loss on pairs, penalties on both sides, rates and weights that fall by cosines, an average of G.
"""
import copy
import math

import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, softplus

import protocol
import torch_family
from torch_family import BATCH, CH, D_STEPS, Residual, SumOverImage, conv3

NAMES = "projgan-32", "r3gan-32"
CLASSES = 10


def labels():
    return torch.tensor(protocol.spec.fashion_mnist("train-labels-idx1-ubyte").astype("int64"))


# ---- projgan-32
class ClassBatchNorm(nn.Module):
    """Takes the classes from whoever runs the net."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Embedding(CLASSES, channels), nn.Embedding(CLASSES, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x):
        return self.norm(x) * self.scale(self.classes)[..., None, None] + self.shift(self.classes)[..., None, None]


class Projection(nn.Module):
    def __init__(self, body, features):
        super().__init__()
        self.body, self.dense, self.rows = body, nn.Linear(features, 1), nn.Embedding(CLASSES, features)

    def forward(self, x, classes):
        x = self.body(x)
        return self.dense(x) + (x * self.rows(classes)).sum(1, keepdim=True)


def projgan_players():
    g, d = torch_family.sngan_players()
    wide = 2 * CH
    for block in g[2:5]:
        block.body[0], block.body[4] = ClassBatchNorm(wide), ClassBatchNorm(wide)
    d = Projection(d[:-1], CH)
    nn.init.xavier_uniform_(d.dense.weight)
    nn.init.zeros_(d.dense.bias)
    nn.init.xavier_uniform_(d.rows.weight)
    nn.utils.spectral_norm(d.dense)
    nn.utils.spectral_norm(d.rows)
    return g, d


class ProjGan(torch_family.Trainer):
    def __init__(self, images, seed, steps, device):
        torch.manual_seed(seed)
        self.images, self.labels, self.device, self.at = images.to(device), labels().to(device), device, 0
        self.g, self.d = (p.to(device) for p in projgan_players())
        self.norms = [m for m in self.g.modules() if isinstance(m, ClassBatchNorm)]
        self.opts = [torch.optim.Adam(p.parameters(), 2e-4, (0.0, 0.9), 1e-8) for p in (self.g, self.d)]
        self.rates = [torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 - t / steps) for o in self.opts]

    def real(self):
        rows = self.rows()
        return self.images[rows].float() / 127.5 - 1, self.labels[rows]

    def fake(self, z, classes):
        for norm in self.norms:
            norm.classes = classes
        return self.g(z)

    def latents(self):
        return torch.randn(BATCH, 128, device=self.device)

    def step(self):
        opt_g, opt_d = self.opts
        for _ in range(D_STEPS):
            real, classes = self.real()
            opt_d.zero_grad()
            on_real = self.d(real, classes)
            on_fake = self.d(self.fake(self.latents(), classes).detach(), classes)
            (torch.relu(1 - on_real).mean() + torch.relu(1 + on_fake).mean()).backward()
            opt_d.step()
        opt_g.zero_grad()
        classes = self.labels[torch.randint(len(self.labels), (BATCH,), device=self.device)]
        (-self.d(self.fake(self.latents(), classes), classes).mean()).backward()
        opt_g.step()
        for rate in self.rates:
            rate.step()

    @torch.no_grad()
    def pictures(self, n):
        state = torch.get_rng_state()
        self.g.eval()
        classes = torch.arange(n) % CLASSES
        parts = [self.fake(z.to(self.device), c.to(self.device)).cpu()
                 for z, c in zip(torch.randn(n, 128).split(1000), classes.split(1000))]
        self.g.train()
        torch.set_rng_state(state)
        return torch.cat(parts)


# ---- r3gan-32
WIDTH, GROUP, GAIN = 32, 16, 0.6934  # vars.ch, channels a group, init.gain


def he(layer, gain):
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0, gain * math.sqrt(2 / fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Filter(nn.Module):
    """Twice or half the size, by [1, 3, 3, 1]."""

    def __init__(self, up):
        super().__init__()
        taps = torch.tensor([1.0, 3, 3, 1]) / 8
        self.up = up
        self.register_buffer("taps", (torch.outer(taps, taps) * (4 if up else 1)).expand(WIDTH, 1, 4, 4).contiguous())

    def forward(self, x):
        way = conv_transpose2d if self.up else conv2d
        return way(x, self.taps, stride=2, padding=1, groups=WIDTH)


def block():
    wide = 2 * WIDTH
    last = nn.Conv2d(wide, WIDTH, 1, bias=False)
    nn.init.zeros_(last.weight)
    return Residual([he(nn.Conv2d(WIDTH, wide, 1), GAIN), nn.LeakyReLU(0.2),
                     he(nn.Conv2d(wide, wide, 3, padding=1, groups=wide // GROUP), GAIN), nn.LeakyReLU(0.2), last], [])


def r3gan_players():
    plain = 0.7071
    basis = nn.ConvTranspose2d(WIDTH, WIDTH, 4, groups=WIDTH, bias=False)
    nn.init.normal_(basis.weight)
    g = [he(nn.Linear(64, WIDTH, bias=False), plain), nn.Unflatten(1, (WIDTH, 1, 1)), basis, block()]
    d = [he(nn.Conv2d(1, WIDTH, 1, bias=False), plain), block()]
    for _ in range(3):
        g += [Filter(True), block()]
        d += [Filter(False), block()]
    g += [he(nn.Conv2d(WIDTH, 1, 1, bias=False), plain)]
    d += [he(nn.Conv2d(WIDTH, WIDTH, 4, groups=WIDTH, bias=False), plain), nn.Flatten(),
          he(nn.Linear(WIDTH, 1, bias=False), plain)]
    return nn.Sequential(*g), nn.Sequential(*d)


def cosine(first, last, part):
    return first + (last - first) * 0.5 * (1 - math.cos(math.pi * part))


def flatness(x, y):
    slope, = torch.autograd.grad(y.sum(), x, create_graph=True)
    return slope.flatten(1).square().sum(1).mean()


class R3Gan(torch_family.Trainer):
    def __init__(self, images, seed, steps, device):
        torch.manual_seed(seed)
        self.images, self.device, self.at, self.steps, self.done = images.to(device), device, 0, steps, 0
        self.latent, (self.trained, self.d) = 64, (p.to(device) for p in r3gan_players())
        self.g = copy.deepcopy(self.trained)  # the average, which draws pictures
        self.opts = [torch.optim.Adam(p.parameters(), 1e-3, (0.0, 0.9), 1e-8) for p in (self.trained, self.d)]

    def fake(self):
        return self.trained(torch.randn(BATCH, self.latent, device=self.device))

    def step(self):
        opt_g, opt_d = self.opts
        part = self.done / self.steps
        for opt in self.opts:
            for group in opt.param_groups:
                group["lr"], group["betas"] = cosine(1e-3, 2.5e-4, part), (0.0, cosine(0.9, 0.99, part))
        opt_d.zero_grad()
        real, fake = self.real().requires_grad_(), self.fake().detach().requires_grad_()
        on_real, on_fake = self.d(real), self.d(fake)
        slopes = cosine(1, 0.1, part) / 2 * (flatness(real, on_real) + flatness(fake, on_fake))
        (softplus(on_fake - on_real).mean() + slopes).backward()
        opt_d.step()
        opt_g.zero_grad()
        on_fake = self.d(self.fake())
        softplus(self.d(self.real()).detach() - on_fake).mean().backward()
        opt_g.step()
        half_life, images = 1000 * cosine(0, 5, part), 2 * BATCH
        kept = 0.5 ** (images / half_life) if half_life else 0
        with torch.no_grad():
            for average, new in zip(self.g.parameters(), self.trained.parameters()):
                average.lerp_(new, 1 - kept)
        self.done += 1


def trainer(images, recipe, seed, steps, device="cpu"):
    """images: uint8 [items, 1, 32, 32]; of `steps` steps in all."""
    return (ProjGan if recipe == "projgan-32" else R3Gan)(images, seed, steps, device)
