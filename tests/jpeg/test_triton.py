"""The kernels without a GPU: exact in Triton's interpreter, and they compile for the devices they are for."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from robustcheck.jpeg import triton as codec

INTERPRETED = """
import sys
from importlib.util import find_spec
import torch
from robustcheck import jpeg

generator = torch.Generator().manual_seed(0)
sizes = [(1, 1), (7, 4), (34, 6), (17, 31)]
for size, subsampling in [(s, c) for s in sizes for c in ("4:4:4", "4:2:2", "4:2:0")]:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    images[1] = torch.arange(3 * size[0] * size[1]).view(3, *size) % 251
    quality = torch.randint(1, 101, (2,), generator=generator)
    for laid_out in (images, images.contiguous(memory_format=torch.channels_last))[: 1 + (size == (7, 4))]:
        kernels = jpeg.roundtrip(laid_out, quality=quality, subsampling=subsampling, codec="triton")
        pillow = jpeg.roundtrip(images, quality=quality, subsampling=subsampling, codec="pillow")
        if not torch.equal(kernels, pillow):
            sys.exit(f"{size} {subsampling} {quality.tolist()}: {int((kernels != pillow).sum())} samples differ")
print("equal")
"""

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="the package triton is not installed")


@pytest.mark.slow
@needs_triton
def test_interpreted_kernels_give_pillows_pixels():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERPRETED],
        capture_output=True, text=True, check=False, env={**os.environ, "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert (run.stdout.strip(), run.returncode) == ("equal", 0), run.stdout + run.stderr[-2000:]


POINTERS = {
    "pixels": "*u8",
    "planes": "*i32",
    "steps": "*i32",
    "inverses": "*fp32",
    "luma": "*u8",
    "chroma": "*u8",
}
MERGE = {"ROWS": codec.LAUNCH.rows, "COLUMNS": codec.LAUNCH.columns}


@needs_triton
@pytest.mark.skipif(codec.interpreted(), reason="TRITON_INTERPRET=1 takes the compiler away")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("kernel", "constants"),
    [
        ("code_planes", {"ACROSS": 1, "DOWN": 1, "LUMA": True, "SIDE": codec.LAUNCH.side}),
        ("code_planes", {"ACROSS": 2, "DOWN": 1, "LUMA": False, "SIDE": codec.LAUNCH.side}),
        ("code_planes", {"ACROSS": 2, "DOWN": 2, "LUMA": False, "SIDE": codec.LAUNCH.side}),
        ("merge_planes", {"ACROSS": 1, "DOWN": 1, "FANCY": False, **MERGE}),
        ("merge_planes", {"ACROSS": 2, "DOWN": 2, "FANCY": True, **MERGE}),
    ],
)
def test_kernels_compile_for_devices_that_are_not_here(kernel, constants, capability):
    triton = pytest.importorskip("triton")
    compiler = pytest.importorskip("triton.compiler")
    targets = pytest.importorskip("triton.backends.compiler")
    from robustcheck.jpeg import _kernels as kernels

    function = getattr(kernels, kernel)
    names = function.arg_names
    types = {name: "constexpr" if name in constants else POINTERS.get(name, "i32") for name in names}
    places = {(names.index(name),): value for name, value in constants.items()}
    try:
        source = compiler.ASTSource(function, signature=types, constexprs=places)
        target = targets.GPUTarget("cuda", capability, 32)
    except (TypeError, AttributeError) as error:
        pytest.skip(f"Triton {triton.__version__} compiles by another interface: {error}")
    compiled = triton.compile(source, target=target, options={"num_warps": 2, "enable_fp_fusion": False})
    assert len(compiled.asm["cubin"]) > 1000


@pytest.mark.parametrize(
    ("device", "interpreted", "reason"),
    [
        ("cuda", "0", None),
        ("cpu", "0", "the images are on cpu"),
        ("cpu", "1", None),
        ("cuda", "1", "TRITON_INTERPRET=1 takes CPU tensors, not cuda"),
    ],
)
@needs_triton
def test_where_the_kernels_run(monkeypatch, device, interpreted, reason):
    monkeypatch.setenv("TRITON_INTERPRET", interpreted)
    assert codec.unsupported_reason(torch.device(device)) == reason


def test_without_the_package_that_is_the_reason(uninstall):
    uninstall("triton")
    assert codec.unsupported_reason(torch.device("cuda")) == "the package triton is not installed"
