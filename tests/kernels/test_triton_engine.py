"""What Triton's kernels alone have to be tested for, wherever they run."""

import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    TeacherLogits,
    region_sums,
)
from tests.kernels.cases import ALL, CE, KINDS, assert_right, draw
from tests.tolerances import FLOAT32

engine = pytest.importorskip('mmseg_jml.kernels.triton.engine')
full_size = pytest.importorskip('mmseg_jml.kernels.triton.full_size')


@contextmanager
def fill_uninitialized_memory(value):
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = value
    yield
    torch.utils.deterministic.fill_uninitialized_memory = before


@pytest.mark.parametrize('stride', [2**30 - 20, 2**30])
@pytest.mark.parametrize('kind', ['hard', 'teacher'])
def test_offsets_beyond_32_bits(kind, stride, device):
    """Three classes that far apart end just below 2^31 elements, or above.

    Of the memory that holds them only the pages that are read come to be.
    """
    with fill_uninitialized_memory(False):
        far = torch.empty(2 * stride + 40, dtype=torch.half, device=device)
    logits = far.as_strided((1, 3, 4, 5), (1, stride, 10, 2))
    logits.copy_(torch.randn(1, 3, 4, 5))
    wide = full_size.span(logits.shape, logits.stride()) >= 2**31
    assert wide == (stride == 2**30)
    near, target, _ = draw(kind, logits.shape, torch.float32, device=device)
    assert_right(logits, target, None, 'triton', **CE)
    assert_right(near, TeacherLogits(logits), None, 'triton', **CE)


SEVERAL_TILES = dict(tiles=3, BLOCK_P=32)
# The last chunk of 9 classes has one; of two programs an image, the last is
# half empty.
CHUNKS = dict(BLOCK_C=4, BLOCK_P=64)
LAUNCHES = [
    (SEVERAL_TILES, 'boundary', (2, 3, 29, 31), CE),
    (SEVERAL_TILES, 'boundary', (2, 30, 29, 31), CE),
    *((CHUNKS, kind, (2, 9, 9, 11), CE) for kind in KINDS),
    *(
        (CHUNKS, kind, (2, 9, 9, 11), dict(CE, use_sigmoid=True))
        for kind in KINDS
    ),
    # chunks as on a GPU, and for sums too many for the registers
    ({}, 'boundary', (1, 193, 2, 3), CE),
    ({}, 'soft', (1, 19, 7, 9), ALL),
]


@pytest.mark.parametrize(('launch', 'kind', 'shape', 'options'), LAUNCHES)
def test_tiles_programs_and_chunks(
    launch, kind, shape, options, configure, device
):
    configure(lambda _, usual: {**usual, **launch})
    use_sigmoid = 'use_sigmoid' in options
    data = draw(kind, shape, torch.float32, True, use_sigmoid, device=device)
    assert_right(*data, 'triton', **options)


def test_usual_launches(configure):
    """More classes than 192 take chunks, large inputs several tiles."""
    configure(lambda _, usual: usual)
    launch = full_size.launch_configuration
    assert launch(193, 1)['BLOCK_C'] == 4
    tiles = launch(19, 128 * 1024), launch(19, 8 * 512 * 1024)
    assert [one['tiles'] for one in tiles] == [1, 32]
    many = launch(150, 512 * 512)
    assert (many['BLOCK_P'], many['num_warps']) == (32, 8)


def test_small_cross_entropies_keep_their_digits(device):
    """log(1 + e), where PyTorch rounds 1 + e to 1: the series e - e^2 / 2."""
    logits = torch.tensor([[[-20.0], [-30.0]]], device=device)
    target = Probabilities(torch.zeros(1, 2, 1, device=device))
    request = Request(logits, target, use_sigmoid=True, **CE)
    expected = math.exp(-20) - math.exp(-40) / 2 + math.exp(-30)
    result = region_sums(request, 'triton').cross_entropy.item()
    assert result == pytest.approx(expected, rel=FLOAT32)


def test_what_is_kept_is_small(device):
    """A row of 32-bit sums a program, and their total in 64 bits."""
    logits, target, _ = draw(
        'hard', (2, 5, 10, 10), torch.float32, device=device
    )
    sums = region_sums(Request(logits.requires_grad_(), target), 'triton')
    kept = [x for x in sums.by_class.grad_fn.saved_tensors if x is not None]
    inputs = {logits.data_ptr(), target.label.data_ptr()}
    assert {x.data_ptr() for x in kept} == inputs


REFUSED = {  # logits and options
    'norm is 1.5, and': (torch.zeros(1, 3, 4, 4), dict(norm=1.5)),
    'the logits are torch.float64': (torch.zeros(1, 3, 4, 4).double(), {}),
    'an image has 2^30 pixels': (
        torch.zeros(1, 3, 1, 1).expand(1, 3, 2**15, 2**15),
        {},
    ),
}


@pytest.mark.parametrize('reason', REFUSED)
def test_why_not(reason, device):
    logits, options = REFUSED[reason]
    label = torch.zeros(1, 1, 1, device=device).long()
    target = HardLabel(label.expand(1, *logits.shape[2:]))
    request = Request(logits.to(device), target, **options)
    assert reason in engine.why_not(request)
    with pytest.raises(ValueError, match="for impl='triton', but .*"):
        region_sums(request, 'triton')


def test_whatever_else_is_served(device):
    logits = torch.zeros(1, 1000, 4, 4, dtype=torch.bfloat16, device=device)
    request = Request(logits, TeacherLogits(logits), norm=2)
    assert engine.why_not(request) is None
    small = replace(request, logits=logits[:, :, ::2, ::2])
    assert engine.why_not(small) is None
