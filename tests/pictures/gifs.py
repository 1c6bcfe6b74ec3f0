"""GIFs: with maps of their own and of the file, interlaced, transparent, smaller and larger than their canvas, moving."""
import io
import struct

import numpy as np
from PIL import Image

import draw


def lzw(values, bits):
    """GIF's LZW without a dictionary: a clear code before the codes would get longer."""
    clear, size, out, kept = 1 << bits, bits + 1, 0, 0
    codes = [clear]
    for i, v in enumerate(values):
        if i and i % ((1 << bits) - 2) == 0:
            codes.append(clear)
        codes.append(int(v))
    codes.append(clear + 1)
    for c in codes:
        out |= c << kept
        kept += size
    data = out.to_bytes((kept + 7) // 8, "little")
    return bytes([bits]) + b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)) + b"\0"


def table(colors):
    return colors.astype(np.uint8).tobytes()


def frame(values, bits, at=(0, 0), local=None, interlaced=False, transparent=None):
    h, w = values.shape
    out = b""
    if transparent is not None:
        out += struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 1, 0, transparent, 0)
    flags = (0x40 if interlaced else 0) | (0x80 | (len(local).bit_length() - 2) if local is not None else 0)
    out += struct.pack("<BHHHHB", 0x2C, at[1], at[0], w, h, flags) + (table(local) if local is not None else b"")
    order = values
    if interlaced:
        order = np.concatenate([values[0::8], values[4::8], values[2::4], values[1::2]])
    return out + lzw(order.reshape(-1), bits)


def gif(h, w, *frames, colors=None, background=0):
    flags = 0x70 | (0x80 | (len(colors).bit_length() - 2) if colors is not None else 0)
    head = b"GIF89a" + struct.pack("<HHBBB", w, h, flags, background, 0) + (table(colors) if colors is not None else b"")
    return head + b"".join(frames) + b";"


def by_pillow(image, **options):
    out = io.BytesIO()
    image.save(out, "GIF", **options)
    return out.getvalue()


def pictures():
    h, w = 13, 10
    for bits in (2, 4, 8):
        colors, other = (draw.noise(1, 2**bits, 3, 255, s)[0] for s in (bits, bits + 1))
        v = draw.noise(h, w, 1, 2**bits - 1)[..., 0]
        clear = int(v[4, 4])
        for lace in (False, True):
            end = f"{bits}{'-interlaced' if lace else ''}.gif"
            yield "map" + end, 0, gif(h, w, frame(v, bits, interlaced=lace), colors=colors), None
            yield "own-map" + end, 0, gif(h, w, frame(v, bits, local=other, interlaced=lace), colors=colors), None
            yield "transparent" + end, 0, gif(h, w, frame(v, bits, interlaced=lace, transparent=clear), colors=colors), None
    colors = draw.noise(1, 4, 3, 255)[0]
    v = draw.noise(5, 4, 1, 3)[..., 0]
    yield "within.gif", 0, gif(9, 9, frame(v, 2, (3, 2)), colors=colors, background=2), None
    yield "within-transparent.gif", 0, gif(9, 9, frame(v, 2, (3, 2), transparent=1), colors=colors, background=2), None
    yield "beyond.gif", 0, gif(3, 3, frame(v, 2, (1, 2)), colors=colors), None
    second = frame(draw.noise(9, 9, 1, 3, 5)[..., 0], 2)
    first = frame(draw.noise(9, 9, 1, 3)[..., 0], 2, transparent=2)
    yield "moving.gif", 0, gif(9, 9, first, second, colors=colors), None
    comment = b"\x21\xfe\x05hello\0" + b"\x21\xff\x0bNETSCAPE2.0\3\1\0\0\0"
    yield "no-end.gif", 0, gif(9, 9, second, colors=colors)[:-2], None
    yield "comment.gif", 0, gif(9, 9, comment, second, colors=colors), None
    gray = np.repeat(np.arange(256)[:, None], 3, axis=1)
    v = draw.noise(h, w, 1, 255)[..., 0]
    yield "gray.gif", 0, gif(h, w, frame(v, 8), colors=gray), None
    yield "gray-transparent.gif", 0, gif(h, w, frame(v, 8, transparent=int(v[2, 2])), colors=gray), None
    yield "no-map.gif", 0, gif(h, w, frame(v, 8)), None
    photo = Image.fromarray(draw.smooth(40, 60, 3))
    yield "pillow.gif", 0, by_pillow(photo.quantize(32)), None
    yield "pillow-gray.gif", 0, by_pillow(photo.convert("L")), None
    flat = Image.fromarray(np.zeros((200, 200), np.uint8) + 77)
    yield "flat.gif", 0, by_pillow(flat), None
