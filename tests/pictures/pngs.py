"""PNGs of all colors, depths, interlaced and not, with tRNS and without, and with ways to say how the camera was held."""
import struct
import zlib

import numpy as np

import draw

PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack(samples, depth):
    """Rows, each behind its filter's number 0."""
    out = b""
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            out += b"\0" + row.astype(">u2").tobytes()
        else:
            bits = "".join(format(int(v), f"0{depth}b") for v in row)
            bits += "0" * (-len(bits) % 8)
            out += b"\0" + bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
    return out


def png(samples, depth, color, interlaced=False, before=b"", after=b""):
    h, w = samples.shape[:2]
    if interlaced:
        parts = [samples[y::dy, x::dx] for y, x, dy, dx in PASSES]
        rows = b"".join(pack(p, depth) for p in parts if p.size)
    else:
        rows = pack(samples, depth)
    head = struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(rows, 9)) + after +
            chunk(b"IEND", b""))


def with_alpha(samples, transparent, top):
    alpha = np.where((samples == transparent).all(axis=2), 0, top)
    return np.concatenate([samples, alpha[..., None]], axis=2)


def colors():
    h, w = 7, 13
    for lace in (False, True):
        end = "-interlaced.png" if lace else ".png"
        for depth in (1, 2, 4, 8, 16):
            top = 2**depth - 1
            v = draw.noise(h, w, 1, top)
            yield f"gray{depth}{end}", 0, png(v, depth, 0, lace), (v, top)
            clear = v[3, 3]
            trns = chunk(b"tRNS", struct.pack(">H", int(clear[0])))
            v[4, 4:7] = clear
            yield f"gray{depth}-trns{end}", 0, png(v, depth, 0, lace, trns), (with_alpha(v, clear, top), top)
        for depth in (8, 16):
            top = 2**depth - 1
            v = draw.noise(h, w, 3, top)
            yield f"rgb{depth}{end}", 0, png(v, depth, 2, lace), (v, top)
            v[4, 4:7] = v[3, 3]
            v[5, 5] = v[3, 3] ^ [0, 0, 1]  # almost
            trns = chunk(b"tRNS", struct.pack(">HHH", *map(int, v[3, 3])))
            yield f"rgb{depth}-trns{end}", 0, png(v, depth, 2, lace, trns), (with_alpha(v, v[3, 3], top), top)
            for name, color, n in (("ga", 4, 2), ("rgba", 6, 4)):
                v = draw.noise(h, w, n, top)
                v[0, 1:4, -1] = 0, top, 1
                yield f"{name}{depth}{end}", 0, png(v, depth, color, lace), (v, top)
        for depth in (1, 2, 4, 8):
            index, table = draw.noise(h, w, 1, 2**depth - 1), draw.noise(1, 2**depth, 3, 255, depth)[0]
            plte = chunk(b"PLTE", table.astype(np.uint8).tobytes())
            yield f"palette{depth}{end}", 0, png(index, depth, 3, lace, plte), None
            alpha = draw.noise(1, max(1, 2**depth - 1), 1, 255)[0]
            trns = chunk(b"tRNS", alpha.astype(np.uint8).tobytes())
            yield f"palette{depth}-trns{end}", 0, png(index, depth, 3, lace, plte + trns), None


def pictures():
    yield from colors()
    for h, w in ((1, 1), (1, 9), (9, 1), (3, 70)):
        yield f"size-{h}x{w}.png", 0, png(draw.noise(h, w, 3, 255), 8, 2, True), None
    v = draw.noise(3, 5, 3, 255)
    deep = draw.noise(3, 5, 4, 65535)
    for o in range(1, 9):
        yield f"exif{o}.png", 0, png(v, 8, 2, before=chunk(b"eXIf", draw.exif(o, ">"))), None
    upright = np.rot90(deep, -1)
    yield "exif6-rgba16.png", 0, png(deep, 16, 6, before=chunk(b"eXIf", draw.exif(6))), (upright, 65535)
    yield "exif-late.png", 0, png(v, 8, 2, after=chunk(b"eXIf", draw.exif(8))), None
    yield "exif-prefix.png", 0, png(v, 8, 2, before=chunk(b"eXIf", draw.exif(5, prefix=b"Exif\0\0"))), None
    said = b"XML:com.adobe.xmp\0\0\0\0\0"
    yield "xmp7.png", 0, png(v, 8, 2, before=chunk(b"iTXt", said + draw.xmp(7))), None
    digits = b"\nexif\n%8d\n%s\n" % (len(draw.exif(6)), draw.exif(6).hex().encode())
    name = b"Raw profile type exif\0"
    yield "profile6.png", 0, png(v, 8, 2, before=chunk(b"tEXt", name + digits)), None
    yield "profile6-deflated.png", 0, png(v, 8, 2, before=chunk(b"zTXt", name + b"\0" + zlib.compress(digits))), None
    both = chunk(b"iTXt", said + draw.xmp(7)) + chunk(b"eXIf", draw.exif(3))
    yield "xmp7-exif3.png", 0, png(v, 8, 2, before=both), None
    for name, bytes_ in draw.broken_exif().items():
        yield f"broken-{name}.png", 0, png(v, 8, 2, before=chunk(b"eXIf", bytes_)), None
