"""The Triton kernels without a GPU: interpreted, and compiled for sm_90."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmseg_jml
from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    RegionSums,
    TeacherLogits,
    region_sums,
)

triton = pytest.importorskip('triton', reason='Triton is not installed')

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from mmseg_jml.kernels import (  # noqa: E402
    triton_function,
    triton_region_sums,
)

HERE = Path(__file__).parent
POINTER = {
    torch.float16: '*fp16',
    torch.bfloat16: '*bf16',
    torch.float32: '*fp32',
    torch.float64: '*fp64',
    torch.int64: '*i64',
    torch.uint8: '*u8',
}


def test_values_and_gradients_in_the_interpreter():
    """All of triton_in_interpreter.py, in a process of its own."""
    cases = str(HERE / 'triton_in_interpreter.py')
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            '-p',
            'no:cacheprovider',
            cases,
        ],
        cwd=HERE.parents[1],
        env=os.environ | {'TRITON_INTERPRET': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    passed = int(re.search(r'(\d+) passed', result.stdout).group(1))
    assert passed > 200
    assert 'skipped' not in result.stdout


def test_triton_is_missed_only_when_asked_for(monkeypatch):
    for name in list(sys.modules):
        if name.startswith('mmseg_jml.kernels'):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(mmseg_jml, 'kernels', mmseg_jml.kernels)
    monkeypatch.setitem(sys.modules, 'triton', None)
    kernels = importlib.import_module('mmseg_jml.kernels')
    label = kernels.HardLabel(torch.zeros(1, 4, dtype=torch.long))
    logits = torch.zeros(1, 3, 4)
    assert kernels.region_sums(logits, label).mass.item() == 4
    with pytest.raises(ModuleNotFoundError, match="for impl='triton', but"):
        kernels.region_sums(logits, label, impl='triton')


def test_cpu_tensors_are_refused():
    label = HardLabel(torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match='Expected CUDA logits .* on cpu'):
        region_sums(torch.zeros(1, 3, 4), label, impl='triton')


class Compiler:
    """Stands for a kernel, and compiles each launch in place of running it.

    Types, divisibility and constants are those of the arguments of the
    launch, as Triton would see them.
    """

    def __init__(self, kernel):
        self.kernel = kernel
        self.compiled = []

    def __getitem__(self, grid):
        return self.launch

    def launch(self, **arguments):
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
                signature[name] = POINTER[value.dtype]
            elif isinstance(value, float):
                signature[name] = 'fp32'
            else:
                signature[name] = 'i64' if value >= 2**31 else 'i32'
            if isinstance(value, torch.Tensor) or (
                special and not parameter.is_constexpr and value % 16 == 0
            ):
                hints[(index,)] = [['tt.divisibility', 16]]
        source = ASTSource(self.kernel, signature, constants, hints)
        self.compiled.append(
            triton.compile(
                source,
                target=GPUTarget('cuda', 90, 32),
                options=options,
            )
        )


@pytest.fixture
def compilers(monkeypatch, tmp_path):
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(triton_region_sums, '_INTERPRETED', True)
    both = []
    for name in ('forward_kernel', 'backward_kernel'):
        both.append(Compiler(getattr(triton_function, name)))
        monkeypatch.setattr(triton_function, name, both[-1])
    return both


def compile_both(compilers, kind, dtype, classes, plain=True, **options):
    """Launches both kernels on a small input of the given kind."""
    shape = (2, classes, 16, 32)
    logits = torch.zeros(shape, dtype=dtype)
    if not plain:
        logits = logits.repeat(1, 1, 2, 2)[:, :, 1:17, 1:33]
    logits.requires_grad_()
    label = torch.zeros(2, 16, 32, dtype=torch.long)
    target = {
        'hard': lambda: HardLabel(label),
        'boundary': lambda: HardLabel(label, 255, 0.75, 0.01, label > 0),
        'probabilities': lambda: Probabilities(torch.zeros(shape)),
        'teacher': lambda: TeacherLogits(torch.zeros(shape, dtype=dtype), 2.0),
    }[kind]()
    sums = region_sums(
        logits,
        target,
        None if plain else torch.ones(2, 16, 32),
        class_weight=None if plain else torch.ones(classes),
        with_cross_entropy=True,
        impl='triton',
        **options,
    )
    sums = RegionSums(*(v if v is not None else 0 for v in sums))
    loss = sums.overlap.sum() + sums.prediction.sum() * 2
    loss = loss + sums.cross_entropy.sum()
    (loss + torch.as_tensor(sums.product).sum()).backward()
    return [compiler.compiled[-1] for compiler in compilers]


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


VARIANTS = {
    'hard': dict(kind='hard', dtype=torch.float32),
    'hard-bfloat16': dict(kind='hard', dtype=torch.bfloat16),
    'boundary-weighted-strided-float16': dict(
        kind='boundary', dtype=torch.float16, plain=False
    ),
    'teacher-product': dict(
        kind='teacher', dtype=torch.float32, with_product=True
    ),
    'probabilities-sigmoid-squares': dict(
        kind='probabilities', dtype=torch.bfloat16, use_sigmoid=True, norm=2
    ),
}


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('classes', [19, 21, 150])
def test_compiled_for_sm_90_nothing_spills(
    classes, variant, compilers, tmp_path
):
    both = compile_both(compilers, classes=classes, **VARIANTS[variant])
    for compiled in both:
        registers, spilled = usage(compiled, tmp_path)
        assert spilled == 0, f'{registers} registers, {spilled} bytes'
        # one pixel and its classes in a thread: tiles stay where they are
        tile = rf'convert_layout.*tensor<{triton.next_power_of_2(classes)}x'
        moved = re.findall(tile + r'\d{2,}x', compiled.asm['ttgir'])
        assert not moved
    if variant.endswith('bfloat16'):
        assert 'cvt.rn.bf16' in both[1].asm['ptx']
    if variant.startswith('hard'):
        # two programs of 8 warps, or four of 4, on a multiprocessor
        assert usage(both[1], tmp_path)[0] <= 128


def test_150_classes_take_tiles_of_32_pixels():
    configuration = triton_function.launch_configuration(150, 512 * 512)
    assert configuration['BLOCK_P'] == 32
    assert configuration['num_warps'] == 8


def test_no_kernel_waits_or_adds_atomically(compilers):
    for compiled in compile_both(compilers, 'hard', torch.float32, 19):
        ptx = compiled.asm['ptx']
        assert 'atom' not in ptx
        assert '\tred.' not in ptx
