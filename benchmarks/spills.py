"""Registers and spills of the Triton kernels, compiled without a GPU.

    python -m benchmarks.spills

prints the table of docs/triton.md: each kernel for each variant, number of
classes and architecture, as ptxas assembles it.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    TeacherLogits,
    triton_engine,
)

CLASSES = (2, 19, 150, 300, 919)
ARCHITECTURES = (80, 90, 100)

# target, dtype, the rest of the request; strided: a slice, with weights
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
        kind='boundary', dtype=torch.float16, strided=True
    ),
    'teacher': dict(kind='teacher'),
    'teacher, with product': dict(kind='teacher', with_product=True),
    'teacher, with maxima and product': dict(
        kind='teacher', largest_of='both', with_product=True
    ),
    'soft, sigmoid, squares, bfloat16': dict(
        kind='soft', dtype=torch.bfloat16, use_sigmoid=True, norm=2
    ),
}

_POINTER = {
    torch.float16: '*fp16',
    torch.bfloat16: '*bf16',
    torch.float32: '*fp32',
    torch.float64: '*fp64',
    torch.int64: '*i64',
    torch.uint8: '*u8',
}


class Compiler:
    """Stands for a kernel, and compiles each launch in place of running it.

    Types, divisibility and constants are those of the arguments of the
    launch, as Triton would see them.
    """

    def __init__(self, kernel: triton.JITFunction, architecture: int):
        self.kernel = kernel
        self.target = GPUTarget('cuda', architecture, 32)
        self.compiled = None

    def __getitem__(self, grid: tuple[int, ...]):
        """The launch of a grid."""
        return self.launch

    def launch(self, **arguments) -> None:
        """Compiles for these arguments."""
        options = {
            name: arguments.pop(name)
            for name in ('num_warps', 'maxnreg', 'enable_fp_fusion')
            if name in arguments
        }
        signature, constants, hints = {}, {}, {}
        for index, parameter in enumerate(self.kernel.params):
            name = parameter.name
            value = arguments[name]
            special = isinstance(value, int) and not (
                parameter.do_not_specialize
            )
            constant = parameter.is_constexpr or value is None
            if constant or (special and value == 1):
                signature[name] = 'constexpr'
                constants[(index,)] = value
            elif isinstance(value, torch.Tensor):
                signature[name] = _POINTER[value.dtype]
            elif isinstance(value, float):
                signature[name] = 'fp32'
            else:
                signature[name] = 'i64' if value >= 2**31 else 'i32'
            if isinstance(value, torch.Tensor) or (
                special and not parameter.is_constexpr and value % 16 == 0
            ):
                hints[(index,)] = [['tt.divisibility', 16]]
        source = ASTSource(self.kernel, signature, constants, hints)
        self.compiled = triton.compile(
            source, target=self.target, options=options
        )


@contextmanager
def compilers(architecture: int):
    """The engine's two kernels, replaced by compilers."""
    names = ('forward_kernel', 'backward_kernel')
    both = [
        Compiler(getattr(triton_engine, name), architecture) for name in names
    ]
    with mock.patch.multiple(triton_engine, **dict(zip(names, both))):
        yield both


def compile_both(
    architecture: int,
    classes: int,
    kind: str,
    dtype: torch.dtype = torch.float32,
    strided: bool = False,
    **options,
) -> list[CompiledKernel]:
    """Both kernels as compiled for a small request with cross-entropy."""
    shape = (2, classes, 16, 32)
    logits = torch.zeros(shape, dtype=dtype)
    weight = class_weight = None
    if strided:
        logits = logits.repeat(1, 1, 2, 2)[:, :, 1:17, 1:33]
        weight = torch.ones(2, 16, 32)
        class_weight = torch.ones(classes)
    label = torch.zeros(2, 16, 32, dtype=torch.long)
    target = {
        'hard': lambda: HardLabel(label),
        'boundary': lambda: HardLabel(label, 255, 0.75, 0.01, label > 0),
        'soft': lambda: Probabilities(torch.zeros(shape)),
        'teacher': lambda: TeacherLogits(torch.zeros(shape, dtype=dtype), 2.0),
    }[kind]()
    request = Request(
        logits,
        target,
        weight,
        class_weight,
        with_cross_entropy=True,
        **options,
    )
    with compilers(architecture) as both:
        sums = triton_engine.sums(request)
        triton_engine.gradient(request, sums.by_class, sums.by_image)
    return [compiler.compiled for compiler in both]


def usage(compiled: CompiledKernel) -> tuple[int, int]:
    """Registers of a thread, and the bytes that it spills."""
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


def table(architectures: list[int], classes: list[int]) -> str:
    """Registers of both kernels, and bytes spilled where there are any."""
    heads = [f'{c} classes' for c in classes]
    lines = [
        '| ' + ' | '.join(['request', 'sm', *heads]) + ' |',
        '| --- ' * (len(classes) + 2) + '|',
    ]
    for name, architecture in itertools.product(VARIANTS, architectures):
        cells = []
        for number in classes:
            found = map(
                usage, compile_both(architecture, number, **VARIANTS[name])
            )
            cells.append(
                ', '.join(f'{r}' + f' ({s} B)' * bool(s) for r, s in found)
            )
        lines.append(f'| {name} | {architecture} | {" | ".join(cells)} |')
        print(lines[-1], flush=True)
    return '\n'.join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--classes', nargs='+', type=int, default=CLASSES)
    parser.add_argument('--sm', nargs='+', type=int, default=ARCHITECTURES)
    arguments = parser.parse_args()
    print(f'Triton {triton.__version__}\n')
    table(arguments.sm, arguments.classes)


if __name__ == '__main__':
    main()
