"""The Triton kernels compiled for GPUs that are not there."""

import re

import pytest
import torch

pytest.importorskip('triton', reason='Triton is not installed')

from benchmarks import spills  # noqa: E402
from mmseg_jml.kernels.triton import engine  # noqa: E402


@pytest.fixture(autouse=True, scope='module')
def _cache(tmp_path_factory):
    """Compiles anew, and once in this module."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp('triton'))
        patch.setenv('TRITON_CACHE_DIR', folder)
        yield


# What architectures share is compiled for one of them.
FULL_SIZE = [
    *((sm, n, 'hard') for sm in spills.ARCHITECTURES for n in (19, 150, 300)),
    *((sm, n, 'teacher') for sm in spills.ARCHITECTURES for n in (19, 150)),
    *(
        (90, classes, variant)
        for variant, options in spills.VARIANTS.items()
        if 'ratio' not in options and variant != 'hard'
        for classes in (2, 19, 150, 300)
    ),
    *((90, classes, 'hard') for classes in (919, 24, 171, 192)),
]


# Bytes that Triton 3.8 spills where 3.7, for which launches were chosen,
# spills none (docs/triton.md).
MORE = 64 if engine._VERSION >= (3, 8) else 0


def assert_no_atomics(compiled):
    """The same bits every time."""
    assert 'atom' not in compiled.asm['ptx']
    assert '\tred.' not in compiled.asm['ptx']


@pytest.mark.parametrize(
    ('architecture', 'classes', 'variant'), dict.fromkeys(FULL_SIZE)
)
def test_full_size_spills_nothing(architecture, classes, variant):
    """Up to 192 classes; with more, a few bytes where the docs say so.

    Triton 3.6 moves tiles of strided slices between threads, and spills.
    """
    moves = 'strided' in variant and engine._VERSION < (3, 7)
    both = [
        launch.compile(architecture)
        for launch in spills.launches_of(classes, **spills.VARIANTS[variant])
    ]
    assert len(both) == 2
    for compiled in both:
        registers, spilled = spills.usage(compiled)
        allowed = 512 if moves else 0 if classes <= 192 else 16
        allowed = max(allowed, MORE)
        assert spilled <= allowed, f'{registers} registers, {spilled} bytes'
        # one pixel and its classes in a thread: tiles stay where they are
        tile = r'convert_layout.*tensor<\d+x\d{2,}x'
        assert moves or not re.findall(tile, compiled.asm['ttgir'])
        assert_no_atomics(compiled)
    if variant == 'hard, bfloat16':
        assert 'cvt.rn.bf16' in both[1].asm['ptx']
    if variant == 'hard' and classes in (19, 150):
        # two programs of 8 warps, or four of 4, on a multiprocessor
        assert spills.usage(both[1])[0] <= 128


# architecture, classes, options, bytes that may spill
UPSAMPLED = [
    (90, 19, dict(ratio=4), 0),
    (100, 27, dict(ratio=8, dtype=torch.bfloat16, weighted=True), 24),
    (90, 150, dict(ratio=4), 8),
    (80, 150, dict(ratio=8, dtype=torch.bfloat16, weighted=True), 32),
]


@pytest.mark.parametrize(
    ('architecture', 'classes', 'options', 'allowed'), UPSAMPLED
)
def test_upsampled_spills_little(architecture, classes, options, allowed):
    launches = spills.launches_of(
        classes, 'hard', size=(1, 16, 16), with_hits=True, **options
    )
    assert len(launches) == (2 if classes <= 32 else 4)
    for launch in launches:
        compiled = launch.compile(architecture)
        registers, spilled = spills.usage(compiled)
        assert spilled <= max(allowed, MORE), (
            f'{launch.name}: {registers} registers, {spilled} bytes'
        )
        assert_no_atomics(compiled)
        # no value of a class goes through shared memory in a loop, but one
        # that is handed over to neighbours
        loops = compiled.asm['ttgir'].partition('scf.for')[2]
        block = [launch.arguments[f'BLOCK_{axis}'] for axis in 'CQ']
        tile = r'convert_layout.*-> tensor<(\d+x)?{}x{}xf32'.format(*block)
        assert len(re.findall(tile, loops)) <= 1


# size of the logits, classes, ratio, dtype
HELD = [
    ((2, 128, 256), 19, 4, torch.float32),
    ((2, 128, 256), 19, 4, torch.bfloat16),
    ((2, 64, 128), 19, 8, torch.bfloat16),
    ((2, 128, 128), 150, 4, torch.float32),
    ((2, 128, 128), 150, 4, torch.bfloat16),
    ((16, 64, 64), 150, 8, torch.bfloat16),
]


@pytest.mark.parametrize(('size', 'classes', 'ratio', 'dtype'), HELD)
def test_what_upsampled_logits_hold(size, classes, ratio, dtype):
    """At most 0.12 of what the logits would take at the label's size."""
    launches = spills.launches_of(
        classes, 'hard', dtype, ratio=ratio, size=size
    )
    last = {launch.name: launch.arguments for launch in launches}
    full = last['gradient_kernel']['grad'].nbytes * ratio**2
    # the normalizer of the forward pass is gone when the backward one comes
    for name in ('sums_kernel', 'gradient_kernel'):
        for given in ('logits', 'label', 'slopes'):
            last[name].pop(given, None)
        tensors = [x for x in last[name].values() if torch.is_tensor(x)]
        held = {id(value): value.nbytes for value in tensors}
        assert sum(held.values()) < 0.12 * full, name
