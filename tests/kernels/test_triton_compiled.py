"""The Triton kernels for upsampled logits: run, compiled, and what they hold.

Without a GPU they run in Triton's interpreter and are compiled for GPUs that
are not there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_jml.kernels import HardLabel, Request

triton = pytest.importorskip('triton', reason='Triton is not installed')

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from mmseg_jml.kernels import triton_upsampled  # noqa: E402

HERE = Path(__file__).parent
KERNELS = ('normalizer_kernel', 'sums_kernel', 'gradient_kernel')
POINTER = {
    torch.bfloat16: '*bf16',
    torch.float32: '*fp32',
    torch.float64: '*fp64',
    torch.int32: '*i32',
    torch.int64: '*i64',
}


def test_values_and_gradients():
    """All of upsampled_in_triton.py, in a process of its own."""
    cases = str(HERE / 'upsampled_in_triton.py')
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
    interpret = {} if torch.cuda.is_available() else {'TRITON_INTERPRET': '1'}
    result = subprocess.run(
        [*command, cases],
        cwd=HERE.parents[1],
        env={**os.environ, **interpret},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    assert int(re.search(r'(\d+) passed', result.stdout).group(1)) > 60
    assert 'skipped' not in result.stdout


class Launches:
    """Stands for a kernel, and notes its launches in place of running them."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.arguments = []

    def __getitem__(self, grid):
        return lambda **arguments: self.arguments.append(arguments)

    def compile(self, arguments, architecture):
        """One launch, with the types and constants that Triton would see."""
        arguments = dict(arguments)
        signature, constants, hints = {}, {}, {}
        for index, parameter in enumerate(self.kernel.params):
            name = parameter.name
            value = arguments.pop(name)
            special = type(value) is int and not parameter.do_not_specialize
            if (
                parameter.is_constexpr
                or value is None
                or (special and value == 1)
            ):
                signature[name] = 'constexpr'
                constants[(index,)] = value
            elif isinstance(value, torch.Tensor):
                signature[name] = POINTER[value.dtype]
            else:
                signature[name] = 'i32'
            if isinstance(value, torch.Tensor) or (
                special and not parameter.is_constexpr and value % 16 == 0
            ):
                hints[(index,)] = [['tt.divisibility', 16]]
        return triton.compile(
            ASTSource(self.kernel, signature, constants, hints),
            target=GPUTarget('cuda', architecture, 32),
            options={k: v for k, v in arguments.items() if v is not None},
        )


@pytest.fixture
def launches(monkeypatch, tmp_path):
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    noted = {
        name: Launches(getattr(triton_upsampled, name)) for name in KERNELS
    }
    for name in KERNELS:
        monkeypatch.setattr(triton_upsampled, name, noted[name])
    return noted


def launch(shape, label_shape, dtype=torch.float32, weights=False):
    """Forward and backward pass of a loss with all that mmseg asks for.

    Tensors without memory will do, since no kernel runs.
    """
    options = dict(device='meta')
    weight = torch.empty(label_shape, **options) if weights else None
    class_weight = torch.empty(shape[1], **options) if weights else None
    request = Request(
        torch.empty(shape, dtype=dtype, **options),
        HardLabel(torch.empty(label_shape, dtype=torch.int64, **options)),
        weight,
        class_weight,
        with_cross_entropy=True,
        with_hits=True,
    )
    options['dtype'] = torch.float64
    triton_upsampled.sums(request)
    by_class = torch.empty(shape[0], 3, shape[1], **options)
    by_image = torch.empty(shape[0], 2, **options)
    return triton_upsampled.gradient(request, by_class, by_image)


def usage(compiled, folder):
    """Registers and bytes on the stack of a thread, as the assembler says."""
    binary = folder / 'kernel.cubin'
    binary.write_bytes(compiled.asm['cubin'])
    tool = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
    text = subprocess.run(
        [tool, '-res-usage', binary],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r'REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)', text)
    registers, stack, local = map(int, found.groups())
    return registers, stack + local


# architecture, classes, stride, dtype, weights, bytes that may spill
COMPILED = [
    (90, 19, 4, torch.float32, False, 0),
    (100, 27, 8, torch.bfloat16, True, 24),
    (90, 150, 4, torch.float32, False, 8),
    (80, 150, 8, torch.bfloat16, True, 32),
]


@pytest.mark.parametrize(
    ('architecture', 'classes', 'stride', 'dtype', 'weights', 'spills'),
    COMPILED,
)
def test_compiled(
    architecture, classes, stride, dtype, weights, spills, launches, tmp_path
):
    label = 1, 16 * stride, 16 * stride
    launch((1, classes, 16, 16), label, dtype, weights)
    compiled = [
        (name, kernel.compile(arguments, architecture))
        for name, kernel in launches.items()
        for arguments in kernel.arguments
    ]
    assert len(compiled) == (2 if classes <= 32 else 4)
    for name, binary in compiled:
        registers, spilled = usage(binary, tmp_path)
        print(f'{name}: {registers} registers, {spilled} bytes spilled')
        assert spilled <= spills, f'{name}: {registers} registers, {spilled}'
        # no atomics, and no value of a class goes through shared memory
        assert 'atom' not in binary.asm['ptx']
        assert '\tred.' not in binary.asm['ptx']
        loops = binary.asm['ttgir'].partition('scf.for')[2]
        tile = r'convert_layout.*-> tensor<(\d+x)?{}x{}xf32'
        last = launches[name].arguments[-1]
        tile = tile.format(last['BLOCK_C'], last['BLOCK_Q'])
        assert len(re.findall(tile, loops)) <= 1  # to hand over to neighbours


# shape of the logits, stride, dtype
HELD = [
    ((2, 19, 128, 256), 4, torch.float32),
    ((2, 19, 128, 256), 4, torch.bfloat16),
    ((2, 19, 64, 128), 8, torch.bfloat16),
    ((2, 150, 128, 128), 4, torch.float32),
    ((2, 150, 128, 128), 4, torch.bfloat16),
    ((16, 150, 64, 64), 8, torch.bfloat16),
]


@pytest.mark.parametrize(('shape', 'stride', 'dtype'), HELD)
def test_what_is_held(shape, stride, dtype, launches):
    """At most 0.12 of what the logits would take at the label's size."""
    label = shape[0], shape[2] * stride, shape[3] * stride
    gradient = launch(shape, label, dtype)
    last = {
        name: kernel.arguments[-1]
        for name, kernel in launches.items()
        if kernel.arguments
    }
    assert last['gradient_kernel']['grad'] is gradient
    # the normalizer of the forward pass is gone when the backward one comes
    peaks = []
    for name in ('sums_kernel', 'gradient_kernel'):
        tensors = {
            id(value): value.nbytes
            for key, value in last[name].items()
            if isinstance(value, torch.Tensor)
            and key not in ('logits', 'label', 'by_class', 'by_image')
        }
        peaks.append(sum(tensors.values()))
    share = max(peaks) / (gradient.nbytes * stride**2)
    print(f'{share:.3f} of the logits at full size')
    assert share < 0.12
