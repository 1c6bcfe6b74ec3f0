"""PNMs: PGM and PPM of 8 and 16 bits, of any largest number, with blanks and comments."""
import io

import numpy as np
from PIL import Image

import draw


def pnm(samples, top, head=None):
    kind = b"P6" if samples.shape[2] == 3 else b"P5"
    h, w = samples.shape[:2]
    head = head or b"%b\n%d %d\n%d\n"
    return head % (kind, w, h, top) + samples.astype(np.uint8 if top < 256 else ">u2").tobytes()


def check(data, samples, top):
    """Pillow sees the same, as far as it tells: of gray of more than 8 bits it keeps 16, of colors 8."""
    seen = np.asarray(Image.open(io.BytesIO(data))).astype(float)
    off = np.abs(seen.reshape(samples.shape) / (65535 if top > 255 and samples.shape[2] == 1 else 255) - samples / top)
    assert off.max() <= 0.5 / 255 + 1e-9, off.max()


def pictures():
    for channels, ending in ((1, "pgm"), (3, "ppm")):
        for top in (255, 65535, 1, 15, 100, 256, 1000):
            samples = draw.noise(5, 7, channels, top)
            data = pnm(samples, top)
            check(data, samples, top)
            yield f"top{top}.{ending}", 0, data, (samples, top)
    samples = draw.noise(6, 4, 3, 255)
    comments = b"%b # of 4 by 6\n#\n  %d# wide\r\n\t%d\n# 9 9\n\n%d "
    yield "comments.ppm", 0, pnm(samples, 255, comments), (samples, 255)
    yield "many.pnm", 0, 2 * pnm(samples, 255), (samples, 255)
    yield "one.pgm", 0, b"P5 1 1 255\n\x80", None
