"""List registers and spills of the Triton kernels, without a GPU.

    python -m benchmarks.spills

prints the table of docs/triton.md: the kernels as ptxas assembles them for
each variant, number of classes and architecture.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    TeacherLogits,
)
from mmseg_jml.kernels.triton import engine

CLASSES = (2, 19, 150, 300, 919)
ARCHITECTURES = (80, 90, 100)

# arguments of launches_of
VARIANTS = {
    'hard': dict(kind='hard'),
    'hard, bfloat16': dict(kind='hard', dtype=torch.bfloat16),
    'hard, with hits, maxima and product': dict(
        kind='hard',
        with_hits=True,
        largest_of='prediction',
        with_product=True,
    ),
    'boundary, float16, strided, weighted': dict(
        kind='boundary', dtype=torch.float16, strided=True, weighted=True
    ),
    'teacher': dict(kind='teacher'),
    'teacher, with product': dict(kind='teacher', with_product=True),
    'teacher, with maxima and product': dict(
        kind='teacher', largest_of='both', with_product=True
    ),
    'soft, sigmoid, squares, bfloat16': dict(
        kind='soft', dtype=torch.bfloat16, use_sigmoid=True, norm=2
    ),
    'hard, upsampled by 4': dict(kind='hard', ratio=4),
    'hard, upsampled by 8, bfloat16, weighted': dict(
        kind='hard', ratio=8, dtype=torch.bfloat16, weighted=True
    ),
}

_POINTER = {
    torch.float16: '*fp16',
    torch.bfloat16: '*bf16',
    torch.float32: '*fp32',
    torch.float64: '*fp64',
    torch.int32: '*i32',
    torch.int64: '*i64',
    torch.uint8: '*u8',
}


class Launch(NamedTuple):
    """A kernel and the arguments of its launch."""

    kernel: triton.JITFunction
    arguments: dict

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return self.kernel.fn.__name__

    def compile(self, architecture: int) -> CompiledKernel:
        """Compile the kernel for the types and constants of its arguments."""
        arguments = dict(self.arguments)
        signature, constants, hints = {}, {}, {}
        for index, parameter in enumerate(self.kernel.params):
            name, value = parameter.name, arguments.pop(parameter.name)
            special = isinstance(value, int) and not (
                parameter.do_not_specialize
            )
            constant = parameter.is_constexpr or value is None
            if constant or (special and value == 1):
                signature[name] = 'constexpr'
                constants[(index,)] = value
            elif isinstance(value, Tensor):
                signature[name] = _POINTER[value.dtype]
            elif isinstance(value, float):
                signature[name] = 'fp32'
            else:
                signature[name] = 'i64' if value >= 2**31 else 'i32'
            if isinstance(value, Tensor) or (
                special and not parameter.is_constexpr and value % 16 == 0
            ):
                hints[(index,)] = [['tt.divisibility', 16]]
        return triton.compile(
            ASTSource(self.kernel, signature, constants, hints),
            target=GPUTarget('cuda', architecture, 32),
            options={k: v for k, v in arguments.items() if v is not None},
        )


def launches_of(
    classes: int,
    kind: str,
    dtype: torch.dtype = torch.float32,
    weighted: bool = False,
    strided: bool = False,
    ratio: int = 1,
    size: tuple[int, ...] = (2, 16, 32),
    **options,
) -> list[Launch]:
    """Return the launches of both passes of a request with cross-entropy.

    Tensors are on the meta device, since no kernel runs. The slopes are those
    of a batch, in float32.
    """

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device='meta')

    images, *space = size
    shape = images, classes, *space
    pixels = images, *(ratio * n for n in space)
    logits = empty(*shape, dtype=dtype)
    if strided:
        frame = empty(images, classes, *(2 * n for n in space), dtype=dtype)
        logits = frame[:, :, 1 : space[0] + 1, 1 : space[1] + 1]
    label = empty(*pixels, dtype=torch.long)
    target = {
        'hard': lambda: HardLabel(label),
        'boundary': lambda: HardLabel(label, 255, 0.75, 0.01, label > 0),
        'soft': lambda: Probabilities(empty(*shape)),
        'teacher': lambda: TeacherLogits(empty(*shape, dtype=dtype), 2.0),
    }[kind]()
    request = Request(
        logits,
        target,
        empty(*pixels) if weighted else None,
        empty(classes) if weighted else None,
        with_cross_entropy=True,
        **options,
    )
    launches = []

    def note(kernel: triton.JITFunction, grid, warmup, **arguments) -> None:
        launches.append(Launch(kernel, arguments))

    with mock.patch.object(triton.JITFunction, 'run', note):
        sums = engine.sums(request)
        slopes = sums.by_class[:1].float()
        engine.gradient(request, slopes)
    return launches


def usage(compiled: CompiledKernel) -> tuple[int, int]:
    """Return the registers of a thread, and the bytes that it spills."""
    tool = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / 'kernel.cubin'
        binary.write_bytes(compiled.asm['cubin'])
        text = subprocess.run(
            [tool, '-res-usage', binary],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r'REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)', text)
    registers, stack, local = map(int, found.groups())
    return registers, stack + local


def show_table(architectures: list[int], classes: list[int]) -> None:
    """Tabulate the registers of each launch, and bytes spilled if any."""
    heads = [f'{c} classes' for c in classes]
    print(f'| {" | ".join(["request", "sm", *heads])} |')
    print('| --- ' * (len(classes) + 2) + '|')
    for name, architecture in itertools.product(VARIANTS, architectures):
        cells = []
        for number in classes:
            found = (
                usage(launch.compile(architecture))
                for launch in launches_of(number, **VARIANTS[name])
            )
            cells.append(
                ', '.join(f'{r}' + f' ({s} B)' * bool(s) for r, s in found)
            )
        row = f'| {name} | {architecture} | {" | ".join(cells)} |'
        print(row, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--classes', nargs='+', type=int, default=CLASSES)
    parser.add_argument('--sm', nargs='+', type=int, default=ARCHITECTURES)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    arguments = parse_arguments()
    print(f'Triton {triton.__version__}\n')
    show_table(arguments.sm, arguments.classes)


if __name__ == '__main__':
    main()
