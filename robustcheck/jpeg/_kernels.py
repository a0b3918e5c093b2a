"""The two Triton kernels of the round trip: blocks of pixels to coded planes, coded planes to pixels.

In the first a lane owns a whole 8x8 block and keeps its 64 samples in registers, a to h by row, 0 to 7 by
column, so that neither pass of the DCT exchanges anything between lanes. All values are int32 and exact,
centred as in `pipeline`, which states the same arithmetic more briefly. A kernel is compiled once for all sizes of
images: specialised on them it would be the same machine code, seconds later. On a machine without Triton this
module still imports; there are only no kernels in it.
"""

# Triton's own way: constants in capitals, arguments without types, long straight lines of arithmetic.
# ruff: noqa: ANN001, ANN003, ANN202, N803, N806, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import triton
    from triton import language as tl
except ImportError:  # macOS and Windows
    VERSION = "not installed"

    def jit(function=None, **_):
        return function or jit
else:
    jit, VERSION = triton.jit, triton.__version__

if TYPE_CHECKING:
    from triton import language as tl


@jit
def _pixels(base, x, y, stride_c, stride_h, stride_w, component, LUMA: tl.constexpr):
    """The centred luma, or blue or red difference, of pixels [jccolor.c]."""
    here = base + y * stride_h + x * stride_w
    red = tl.load(here).to(tl.int32)
    green = tl.load(here + stride_c).to(tl.int32)
    blue = tl.load(here + 2 * stride_c).to(tl.int32)
    if LUMA:
        value = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16) - 128
    else:
        is_red = component == 1
        red_weight = tl.where(is_red, 32768, -11059)
        green_weight = tl.where(is_red, -27439, -21709)
        blue_weight = tl.where(is_red, -5329, 32768)
        value = (red_weight * red + green_weight * green + blue_weight * blue + 32767) >> 16
    return value


@jit
def _samples(base, x, y, width, height, stride_c, stride_h, stride_w, component,
             ACROSS: tl.constexpr, DOWN: tl.constexpr, LUMA: tl.constexpr):  # fmt: skip
    """Samples of a plane: the means of their ACROSS x DOWN pixels, by an alternating bias [jcsample.c]."""
    # Below the plane its last row is repeated, not the picture's: 4:2:0 averages before it pads.
    y = tl.minimum(y, (height + DOWN - 1) // DOWN - 1)
    left, top = tl.minimum(x * ACROSS, width - 1), tl.minimum(y * DOWN, height - 1)
    total = _pixels(base, left, top, stride_c, stride_h, stride_w, component, LUMA)
    if ACROSS == 2:
        right = tl.minimum(x * 2 + 1, width - 1)
        total += _pixels(base, right, top, stride_c, stride_h, stride_w, component, LUMA)
        if DOWN == 2:
            bottom = tl.minimum(y * 2 + 1, height - 1)
            total += _pixels(base, left, bottom, stride_c, stride_h, stride_w, component, LUMA)
            total += _pixels(base, right, bottom, stride_c, stride_h, stride_w, component, LUMA)
        total = (total + (DOWN - 1 + (x & 1))) >> DOWN
    return total


@jit
def _split(tile):
    """The eight slices of a tile (B, 8, 2, 2, 2), indexed by its last three axes."""
    even, odd = tl.split(tile)
    x04, x26 = tl.split(even)
    x15, x37 = tl.split(odd)
    x0, x4 = tl.split(x04)
    x2, x6 = tl.split(x26)
    x1, x5 = tl.split(x15)
    x3, x7 = tl.split(x37)
    return x0, x1, x2, x3, x4, x5, x6, x7


@jit
def _turned(x0, x1, x2, x3, x4, x5, x6, x7, BLOCKS: tl.constexpr):
    """Transpose each block: from slices by column, lanes by row, to slices by row, lanes by column."""
    low = tl.join(tl.join(x0, x1), tl.join(x2, x3))
    high = tl.join(tl.join(x4, x5), tl.join(x6, x7))
    bits = tl.reshape(tl.join(low, high), (BLOCKS, 2, 2, 2, 2, 2, 2))  # lane 4, 2, 1; slice 1, 2, 4
    bits = tl.permute(bits, (0, 6, 5, 4, 1, 2, 3))  # slice 4, 2, 1; lane 4, 2, 1
    return _split(tl.reshape(bits, (BLOCKS, 8, 2, 2, 2)))


@jit
def _forward(x0, x1, x2, x3, x4, x5, x6, x7, BITS: tl.constexpr):
    """One pass of the DCT: `tables.DCT_MATRIX` by its even and odd halves, rounded by BITS [jfdctint.c]."""
    half: tl.constexpr = 1 << (BITS - 1)
    outer, inner = x0 + x7 + x3 + x4, x1 + x6 + x2 + x5
    p, q = x0 + x7 - x3 - x4, x1 + x6 - x2 - x5
    d0, d1, d2, d3 = x0 - x7, x1 - x6, x2 - x5, x3 - x4
    y0 = ((outer + inner) * 8192 + half) >> BITS
    y4 = ((outer - inner) * 8192 + half) >> BITS
    y2 = (10703 * p + 4433 * q + half) >> BITS
    y6 = (4433 * p - 10704 * q + half) >> BITS
    y1 = (11363 * d0 + 9633 * d1 + 6437 * d2 + 2260 * d3 + half) >> BITS
    y3 = (9633 * d0 - 2259 * d1 - 11362 * d2 - 6436 * d3 + half) >> BITS
    y5 = (6437 * d0 - 11362 * d1 + 2261 * d2 + 9633 * d3 + half) >> BITS
    y7 = (2260 * d0 - 6436 * d1 + 9633 * d2 - 11363 * d3 + half) >> BITS
    return y0, y1, y2, y3, y4, y5, y6, y7


@jit
def _inverse(y0, y1, y2, y3, y4, y5, y6, y7, BITS: tl.constexpr):
    """One pass of the inverse DCT, by the transposed matrix [jidctint.c]."""
    half: tl.constexpr = 1 << (BITS - 1)
    total, difference = (y0 + y4) * 8192 + half, (y0 - y4) * 8192 + half
    p, q = 10703 * y2 + 4433 * y6, 4433 * y2 - 10704 * y6
    e0, e1, e2, e3 = total + p, difference + q, difference - q, total - p
    d0 = 11363 * y1 + 9633 * y3 + 6437 * y5 + 2260 * y7
    d1 = 9633 * y1 - 2259 * y3 - 11362 * y5 - 6436 * y7
    d2 = 6437 * y1 - 11362 * y3 + 2261 * y5 + 9633 * y7
    d3 = 2260 * y1 - 6436 * y3 + 9633 * y5 - 11363 * y7
    x0, x1, x2, x3 = (e0 + d0) >> BITS, (e1 + d1) >> BITS, (e2 + d2) >> BITS, (e3 + d3) >> BITS
    x4, x5, x6, x7 = (e3 - d3) >> BITS, (e2 - d2) >> BITS, (e1 - d1) >> BITS, (e0 - d0) >> BITS
    return x0, x1, x2, x3, x4, x5, x6, x7


@jit
def _quantised(coefficients, steps, inverses, ROW: tl.constexpr):
    """The nearest multiple of the steps in a ROW of the tables, halves away from zero [jcdctmgr.c]."""
    levels = (tl.abs(coefficients).to(tl.float32) * tl.load(inverses + 8 * ROW) + 0.5).to(tl.int32)
    return tl.where(coefficients < 0, -levels, levels) * tl.load(steps + 8 * ROW)


@jit
def _byte(sample):
    return tl.minimum(tl.maximum(sample, -128), 127) + 128


@jit
def _packed(x0, x1, x2, x3):
    """Four samples as the bytes of one word, the first one lowest."""
    return _byte(x0) | (_byte(x1) << 8) | (_byte(x2) << 16) | (_byte(x3) << 24)


@jit(
    do_not_specialize=("tiles_high", "tiles_wide", "blocks_high", "blocks_wide", "width", "height"),
    do_not_specialize_on_alignment=("stride_n", "stride_c", "stride_h", "stride_w"),
)
def code_planes(pixels, planes, steps, inverses, tiles_high, tiles_wide, blocks_high, blocks_wide, width, height,
                stride_n, stride_c, stride_h, stride_w,
                ACROSS: tl.constexpr, DOWN: tl.constexpr, LUMA: tl.constexpr, SIDE: tl.constexpr):  # fmt: skip
    """Colour, padding, downsampling, DCT, quantisation and inverse DCT of SIDE x SIDE blocks of a component.

    Program axis 0 runs over such tiles of all images, axis 1 over components: luma, or the two chroma.
    `pixels` is uint8 (N, 3, H, W) by its strides; `planes` the coded components (N, components,
    8 blocks_high, 2 blocks_wide) of packed words; `steps` and `inverses` are (N, 2, 64).
    """
    BLOCKS: tl.constexpr = SIDE * SIDE
    tile, component = tl.program_id(0), tl.program_id(1)
    n = tile // (tiles_high * tiles_wide)
    block = tl.arange(0, BLOCKS)[:, None]
    block_x = tile % tiles_wide * SIDE + block % SIDE
    block_y = tile // tiles_wide % tiles_high * SIDE + block // SIDE
    place = tl.arange(0, 8)[None, :]

    x = (block_x * 8 + place)[:, None, :]
    y = (block_y * 8 + place)[:, :, None]
    base = pixels + n.to(tl.int64) * stride_n
    samples = _samples(base, x, y, width, height, stride_c, stride_h, stride_w, component, ACROSS, DOWN, LUMA)
    a, b, c, d, e, f, g, h = _split(tl.reshape(samples, (BLOCKS, 8, 2, 2, 2)))
    a, b, c, d, e, f, g, h = _forward(a, b, c, d, e, f, g, h, 11)
    a, b, c, d, e, f, g, h = _turned(a, b, c, d, e, f, g, h, BLOCKS)
    a, b, c, d, e, f, g, h = _forward(a, b, c, d, e, f, g, h, 15)

    table = n * 128 + (0 if LUMA else 64) + place
    steps += table
    inverses += table
    a, b = _quantised(a, steps, inverses, 0), _quantised(b, steps, inverses, 1)
    c, d = _quantised(c, steps, inverses, 2), _quantised(d, steps, inverses, 3)
    e, f = _quantised(e, steps, inverses, 4), _quantised(f, steps, inverses, 5)
    g, h = _quantised(g, steps, inverses, 6), _quantised(h, steps, inverses, 7)

    a, b, c, d, e, f, g, h = _inverse(a, b, c, d, e, f, g, h, 11)
    a, b, c, d, e, f, g, h = _turned(a, b, c, d, e, f, g, h, BLOCKS)
    a, b, c, d, e, f, g, h = _inverse(a, b, c, d, e, f, g, h, 18)
    plane = n.to(tl.int64) * tl.num_programs(1) + component
    words = planes + plane * (blocks_high * blocks_wide * 16)
    words += (block_y * 8 + place) * (2 * blocks_wide) + 2 * block_x
    inside = (block_x < blocks_wide) & (block_y < blocks_high) & (place < 8)
    tl.store(words, _packed(a, b, c, d), mask=inside)
    tl.store(words + 1, _packed(e, f, g, h), mask=inside)


@jit
def _column(plane, x, y, inside, pitch, height, DOWN: tl.constexpr):
    """Chroma in a column: three parts the near row and one the far one, where rows are shared."""
    near_y = y // DOWN
    value = tl.load(plane + (near_y * pitch + x), mask=inside, other=0).to(tl.int32)
    if DOWN == 2:
        far_y = tl.minimum(tl.maximum(near_y + 2 * (y & 1) - 1, 0), height - 1)
        value = 3 * value + tl.load(plane + (far_y * pitch + x), mask=inside, other=0).to(tl.int32)
    return value


@jit
def _upsampled(plane, x, y, inside, pitch, width, height, DOWN: tl.constexpr, FANCY: tl.constexpr):
    """The centred chroma of the two pixels that share column `x`, by the triangle filter [jdsample.c]."""
    if FANCY:
        near = 3 * _column(plane, x, y, inside, pitch, height, DOWN)
        before = _column(plane, tl.maximum(x - 1, 0), y, inside, pitch, height, DOWN)
        after = _column(plane, tl.minimum(x + 1, width - 1), y, inside, pitch, height, DOWN)
        if DOWN == 2:
            even, odd = (near + before + 8) >> 4, (near + after + 7) >> 4
        else:
            even, odd = (near + before + 1) >> 2, (near + after + 2) >> 2
    else:
        even = tl.load(plane + (y // DOWN * pitch + x), mask=inside, other=0).to(tl.int32)
        odd = even
    return even - 128, odd - 128


@jit
def _store_colour(pixel, colour, inside):
    tl.store(pixel, tl.minimum(tl.maximum(colour, 0), 255).to(tl.uint8), mask=inside)


@jit
def _store_pixel(pixel, luma, blue, red, size, inside):
    """Convert to RGB [jdcolor.c]."""
    light = tl.load(luma, mask=inside, other=0).to(tl.int32)
    _store_colour(pixel, light + ((91881 * red + 32768) >> 16), inside)
    _store_colour(pixel + size, light + ((-22554 * blue - 46802 * red + 32768) >> 16), inside)
    _store_colour(pixel + 2 * size, light + ((116130 * blue + 32768) >> 16), inside)


@jit(
    do_not_specialize=(
        *("tiles_high", "width", "height"),
        *("luma_pitch", "luma_size", "chroma_pitch", "chroma_size"),
    )
)
def merge_planes(luma, chroma, pixels, tiles_high, width, height, luma_pitch, luma_size, chroma_pitch, chroma_size,
                 ACROSS: tl.constexpr, DOWN: tl.constexpr, FANCY: tl.constexpr,
                 ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # fmt: skip
    """Upsample the coded chroma and convert to RGB: ROWS of pixels by COLUMNS of chroma samples.

    Program axis 0 runs over rows of tiles of all images, axis 1 over columns of tiles. `luma` (N, rows, pitch)
    and `chroma` (N, 2, rows, pitch) are uint8; `pixels` is contiguous (N, 3, H, W).
    """
    n = (tl.program_id(0) // tiles_high).to(tl.int64)
    y = tl.program_id(0) % tiles_high * ROWS + tl.arange(0, ROWS)[:, None]
    chroma_x = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    x = chroma_x * ACROSS
    inside = (y < height) & (x < width)
    chroma_width, chroma_height = (width + ACROSS - 1) // ACROSS, (height + DOWN - 1) // DOWN

    plane = chroma + n * (2 * chroma_size)
    blue, next_blue = _upsampled(
        plane, chroma_x, y, inside, chroma_pitch, chroma_width, chroma_height, DOWN, FANCY
    )
    plane += chroma_size
    red, next_red = _upsampled(
        plane, chroma_x, y, inside, chroma_pitch, chroma_width, chroma_height, DOWN, FANCY
    )

    size = width * height
    light = luma + n * luma_size + (y * luma_pitch + x)
    pixel = pixels + n * (3 * size) + (y * width + x)
    _store_pixel(pixel, light, blue, red, size, inside)
    if ACROSS == 2:
        _store_pixel(pixel + 1, light + 1, next_blue, next_red, size, inside & (x + 1 < width))
