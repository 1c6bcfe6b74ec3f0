"""BMPs: palettes and RLE, 16 to 32 bits, masks and alpha, from the top and from below, of Windows and of OS/2."""
import struct

import numpy as np

import draw

MASKS = {"565": (0xF800, 0x7E0, 0x1F), "555": (0x7C00, 0x3E0, 0x1F)}


def rows(values, bits, from_top):
    """[H,W] whole numbers of so many bits, each row padded to four bytes."""
    out = b""
    for row in values if from_top else values[::-1]:
        if bits < 8:
            text = "".join(format(int(v), f"0{bits}b") for v in row)
            text += "0" * (-len(text) % 8)
            line = bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))
        else:
            line = b"".join(int(v).to_bytes(bits // 8, "little") for v in row)
        out += line + b"\0" * (-len(line) % 4)
    return out


def bmp(h, w, bits, data, palette=None, compression=0, masks=(), from_top=False, header=40, colors=0):
    if header == 12:
        head = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, w, -h if from_top else h, 1, bits, compression, len(data), 2835, 2835,
                           colors, 0)
        head += struct.pack(f"<{len(masks)}I", *masks)
        head = head.ljust(header, b"\0") if header > 40 else head
    entry = 3 if header == 12 else 4
    table = b"" if palette is None else b"".join(bytes(c[::-1]) + b"\0" * (entry - 3) for c in palette)
    at = 14 + len(head) + len(table)
    return struct.pack("<2sIHHI", b"BM", at + len(data), 0, 0, at) + head + table + data


def packed(values):
    """[H,W,3 or 4] bytes to numbers of blue, green, red, alpha."""
    shift = [16, 8, 0, 24]
    return sum(values[..., c].astype(np.uint64) << shift[c] for c in range(values.shape[2]))


def ramp(n):
    return np.repeat(np.arange(n, dtype=np.uint8)[:, None], 3, axis=1)


def pictures():
    h, w = 6, 11
    for bits in (1, 4, 8):
        table = draw.noise(1, 2**bits, 3, 255, bits)[0].astype(np.uint8)
        index = draw.noise(h, w, 1, 2**bits - 1)[..., 0]
        for name, options in (("", {}), ("-top", {"from_top": True}), ("-os2", {"header": 12}), ("-v5", {"header": 124})):
            top = options.get("from_top", False)
            yield f"palette{bits}{name}.bmp", 0, bmp(h, w, bits, rows(index, bits, top), table, **options), None
    few = draw.noise(h, w, 1, 4)[..., 0]
    table = draw.noise(1, 5, 3, 255)[0].astype(np.uint8)
    yield "palette8-five.bmp", 0, bmp(h, w, 8, rows(few, 8, False), table, colors=5), None
    yield "gray8.bmp", 0, bmp(h, w, 8, rows(draw.noise(h, w, 1, 255)[..., 0], 8, False), ramp(256)), None
    black = np.array([[0] * 3, [255] * 3], np.uint8)
    bits = draw.noise(h, w, 1, 1)[..., 0]
    yield "gray1.bmp", 0, bmp(h, w, 1, rows(bits, 1, False), black), None
    yield "inverted1.bmp", 0, bmp(h, w, 1, rows(bits, 1, False), black[::-1]), None
    yield from colors(h, w)
    yield from runs()


def colors(h, w):
    rgb, rgba = draw.noise(h, w, 3, 255), draw.noise(h, w, 4, 255)
    rgba[0, 1:4, 3] = 0, 255, 1
    for top in (False, True):
        yield f"rgb24{'-top' if top else ''}.bmp", 0, bmp(h, w, 24, rows(packed(rgb), 24, top), from_top=top), None
    yield "rgb24-os2.bmp", 0, bmp(h, w, 24, rows(packed(rgb), 24, False), header=12), None
    yield "rgb32.bmp", 0, bmp(h, w, 32, rows(packed(rgba), 32, False)), None
    all16 = np.arange(65536, dtype=np.uint32).reshape(64, 1024)[::7, ::37]
    n, m = all16.shape
    yield "rgb555.bmp", 0, bmp(n, m, 16, rows(all16, 16, False)), None
    for name, masks in MASKS.items():
        yield f"masks-{name}.bmp", 0, bmp(n, m, 16, rows(all16, 16, False), None, 3, masks), None
    for name, masks in (("bgrx", (0xFF0000, 0xFF00, 0xFF)), ("xbgr", (0xFF000000, 0xFF0000, 0xFF00))):
        yield f"masks-{name}.bmp", 0, bmp(h, w, 32, rows(packed(rgba), 32, False), None, 3, masks), None
    for name, masks in (("bgra", (0xFF0000, 0xFF00, 0xFF, 0xFF000000)), ("abgr", (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
                        ("rgba", (0xFF, 0xFF00, 0xFF0000, 0xFF000000)), ("none", (0, 0, 0, 0))):
        for header in (56, 124):
            yield f"masks-{name}-{header}.bmp", 0, bmp(h, w, 32, rows(packed(rgba), 32, False), None, 3, masks, header=header), None
    yield "v3-no-alpha.bmp", 0, bmp(h, w, 32, rows(packed(rgba), 32, True), None, 3, (0xFF0000, 0xFF00, 0xFF, 0), True, 56), None


def runs():
    """RLE: runs, pixels as they are (odd and even), jumps, ends of rows, and a run beyond its row."""
    table = draw.noise(1, 256, 3, 255, 8)[0].astype(np.uint8)
    eight = bytes([4, 7, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0,      # 4 of 7, five as they are, padding, end of row
                   3, 200, 0, 2, 2, 1, 5, 9, 0, 0,          # 3 of 200, a jump, 5 of 9
                   0, 3, 10, 11, 12, 0, 9, 1, 0, 0,         # three as they are, then more than fits
                   0, 4, 1, 2, 3, 4, 5, 6, 0, 0,
                   9, 33, 0, 0, 9, 255, 0, 0, 0, 1])
    yield "rle8.bmp", 0, bmp(6, 9, 8, eight, table, 1), None
    yield "rle8-top.bmp", 0, bmp(6, 9, 8, eight, table, 1, from_top=True), None
    four = bytes([5, 0x12, 0, 5, 0x34, 0x56, 0x70, 0, 0, 0,  # 1 2 1 2 1, then 3 4 5 6 7, end of row
                  2, 0xAB, 0, 2, 3, 1, 4, 0xCD, 0, 0,
                  0, 6, 0x12, 0x34, 0x56, 0, 4, 0xFF, 0, 0,
                  10, 0x9A, 0, 0, 10, 0, 0, 0, 0, 1])
    yield "rle4.bmp", 0, bmp(5, 10, 4, four, table[:16], 2), None
