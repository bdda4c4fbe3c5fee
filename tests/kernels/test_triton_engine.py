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
from tests.kernels.cases import KINDS, assert_right, draw

engine = pytest.importorskip('mmseg_jml.kernels.triton.engine')
full_size = pytest.importorskip('mmseg_jml.kernels.triton.full_size')
CE = dict(with_cross_entropy=True)


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


@pytest.mark.parametrize('classes', [3, 30])
def test_several_tiles_and_programs(classes, configure, device):
    configure(lambda _, usual: usual | dict(tiles=3, BLOCK_P=32))
    data = draw('boundary', (2, classes, 29, 31), torch.float32, device=device)
    assert_right(*data, 'triton', **CE)


@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_chunks_of_classes(kind, use_sigmoid, configure, device):
    """The last of one class; two programs an image, the last half empty."""
    configure(lambda _, usual: usual | dict(BLOCK_C=4, BLOCK_P=64))
    data = draw(
        kind, (2, 9, 9, 11), torch.float32, True, use_sigmoid, device=device
    )
    assert_right(*data, 'triton', use_sigmoid=use_sigmoid, **CE)


def test_chunks_of_classes_as_on_a_gpu(configure, device):
    configure(lambda _, usual: usual)
    assert full_size.launch_configuration(193, 1)['BLOCK_C'] == 4
    data = draw('boundary', (1, 193, 2, 3), torch.float32, device=device)
    assert_right(*data, 'triton', **CE)


def test_sums_too_many_for_the_registers_take_chunks(configure, device):
    configure(lambda _, usual: usual)
    options = dict(with_product=True, largest_of='both', **CE)
    data = draw('soft', (1, 19, 7, 9), torch.float32, True, device=device)
    assert_right(*data, 'triton', **options)


def test_large_inputs_take_several_tiles_a_program(configure):
    configure(lambda _, usual: usual)
    few = full_size.launch_configuration(19, 128 * 1024)
    many = full_size.launch_configuration(19, 8 * 512 * 1024)
    assert (few['tiles'], many['tiles']) == (1, 32)


def test_150_classes_take_tiles_of_32_pixels(configure):
    configure(lambda _, usual: usual)
    configuration = full_size.launch_configuration(150, 512 * 512)
    assert configuration['BLOCK_P'] == 32
    assert configuration['num_warps'] == 8


def test_small_cross_entropies_keep_their_digits(device):
    """log(1 + e), where PyTorch rounds 1 + e to 1: the series e - e^2 / 2."""
    logits = torch.tensor([[[-20.0], [-30.0]]], device=device)
    target = Probabilities(torch.zeros(1, 2, 1, device=device))
    request = Request(logits, target, use_sigmoid=True, **CE)
    expected = math.exp(-20) - math.exp(-40) / 2 + math.exp(-30)
    result = region_sums(request, 'triton').cross_entropy.item()
    assert result == pytest.approx(expected, rel=1e-6)


def test_what_is_kept_is_small(device):
    """A row of 32-bit sums a program, and their total in 64 bits."""
    logits, target, _ = draw(
        'hard', (2, 5, 10, 10), torch.float32, device=device
    )
    sums = region_sums(Request(logits.requires_grad_(), target), 'triton')
    kept = [x for x in sums.by_class.grad_fn.saved_tensors if x is not None]
    inputs = {logits.data_ptr(), target.label.data_ptr()}
    assert {x.data_ptr() for x in kept} == inputs


REFUSED = {
    'norm is 1.5, and': dict(norm=1.5),
    'the logits are torch.float64': dict(
        logits=torch.zeros(1, 3, 4, 4).double()
    ),
    'an image has 2^30 pixels': dict(
        logits=torch.zeros(1, 3, 1, 1).expand(1, 3, 2**15, 2**15),
        label=torch.zeros(1, 1, 1).long().expand(1, 2**15, 2**15),
    ),
}


@pytest.mark.parametrize('reason', REFUSED)
def test_why_not(reason, device):
    options = {'logits': torch.zeros(1, 3, 4, 4), **REFUSED[reason]}
    label = options.pop('label', torch.zeros(1, 4, 4, dtype=torch.long))
    request = Request(
        options.pop('logits').to(device),
        HardLabel(label.to(device)),
        **options,
    )
    assert reason in engine.why_not(request)
    with pytest.raises(ValueError, match="for impl='triton', but .*"):
        region_sums(request, 'triton')


def test_whatever_else_is_served(device):
    logits = torch.zeros(1, 1000, 4, 4, dtype=torch.bfloat16, device=device)
    request = Request(logits, TeacherLogits(logits), norm=2)
    assert engine.why_not(request) is None
    small = replace(request, logits=logits[:, :, ::2, ::2])
    assert engine.why_not(small) is None
