"""Smoothing towards the classes in a window, against loops over pixels."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mmseg_jml import functional
from mmseg_jml.kernels import Probabilities, label_entropy, region_sums
from tests.devices import on_device
from tests.functional.on_device import LEVELS, loss_and_gradient
from tests.oracles import windows
from tests.tolerances import EXACT

smooth_label = on_device(functional.smooth_label)

CLASSES = 5
# of logits: the label's size, and that of a head
SIZES = pytest.mark.parametrize('size', [(11, 14), (4, 5)])


def draw(seed=0, ignore_index=255, size=(11, 14)):
    """Label maps of small objects, some pixels of them ignored."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, -(-size[0] // 2), -(-size[1] // 3))
    label = torch.randint(0, CLASSES - 1, shape, generator=generator)
    label = label.repeat_interleave(2, 1).repeat_interleave(3, 2)
    label = label[:, : size[0], : size[1]].contiguous()
    if ignore_index is not None:
        dots = torch.rand(label.shape, generator=generator) < 0.1
        label[dots] = ignore_index
        label[1, :5, :5] = ignore_index  # windows without any vote
    return label


def by_loops(label, epsilon, kernel_size, ignore_index=255, classes=CLASSES):
    """The rule in words, pixel by pixel: (N, C, H, W), 0 where ignored."""
    images, height, width = label.shape
    soft = np.zeros((images, classes, height, width))
    for (n, i, j), votes in windows(label, kernel_size):
        own = int(label[n, i, j])
        if own == ignore_index:
            continue
        votes = [vote for vote in votes if vote != ignore_index]
        soft[n, own, i, j] = 1 - epsilon
        for vote in votes:
            soft[n, vote, i, j] += epsilon / len(votes)
    return torch.from_numpy(soft)


def smoothing(epsilon=0.5, kernel_size=3):
    return dict(mode='neighbours', epsilon=epsilon, kernel_size=kernel_size)


@pytest.mark.parametrize('epsilon', [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize('ignore_index', [255, 0, -100, None])
@pytest.mark.parametrize('kernel_size', [3, 5, 7])
def test_the_label(kernel_size, ignore_index, epsilon):
    label = draw(kernel_size, ignore_index)
    options = epsilon, kernel_size, ignore_index
    target = smooth_label(label, CLASSES, 'neighbours', *options)
    dense = target.dense(CLASSES, torch.float64)
    assert_close(dense, by_loops(label, *options), **EXACT)


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_windows_larger_than_the_image(size):
    label = draw(ignore_index=None, size=size)
    target = smooth_label(label, CLASSES, 'neighbours', 0.5, 7)
    dense = target.dense(CLASSES, torch.float64)
    assert_close(dense, by_loops(label, 0.5, 7), **EXACT)


@pytest.mark.parametrize('classes', [255, 256, 32768])
def test_many_classes(classes):
    """The labels of a window need one, two or eight bytes."""
    label = draw(ignore_index=None, size=(2, 7)) + classes - CLASSES + 1
    target = smooth_label(label, classes, 'neighbours', ignore_index=None)
    logits = torch.zeros(3, classes, 2, 7, dtype=torch.float64)
    entropy = label_entropy(functional.make_request(logits, target))
    shifted = by_loops(label - classes + CLASSES, 0.5, 3)
    assert_close(entropy, torch.special.entr(shifted).sum(), **EXACT)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('epsilon', [0.1, 0.3, 0.5, 0.9])
def test_laws(epsilon, dtype, impl):
    label = draw()
    target = smooth_label(label, CLASSES, 'neighbours', epsilon)
    counted = label != 255
    # of each pixel that counts: its class, the classes of its window
    hot, near = (
        by_loops(label, share, 3).movedim(1, -1)[counted] for share in (0, 1)
    )
    inside = (near > 0).sum(1) == 1
    assert inside.any()
    # probabilities as the engines see them: against p = 0, 1 in a class
    for soft in (
        target.dense(CLASSES, dtype),
        seen_by(impl, target, label.shape, dtype),
    ):
        chosen = soft.movedim(1, -1)[counted]
        # the interior is unchanged and absent classes get 0, to the bit
        assert torch.equal(chosen[inside], hot.to(dtype)[inside])
        assert (chosen[near == 0] == 0).all()
        assert_close(chosen.sum(-1), torch.ones_like(chosen[:, 0]))


def seen_by(impl, target, shape, dtype):
    """The label of each pixel, as the sums of an image of one pixel."""
    pixels = shape.numel()
    logits = torch.zeros(pixels, CLASSES, 1, 1, dtype=dtype)
    window = target.window.permute(0, 3, 4, 1, 2).reshape(pixels, 3, 3, 1, 1)
    label = target.label.reshape(pixels, 1, 1)
    one = type(target)(label, 255, on=target.on, window=window)
    sums = region_sums(functional.make_request(logits, one), impl)
    return sums.target.to(dtype).view(*shape, CLASSES).movedim(-1, 1)


@SIZES
@pytest.mark.parametrize('mode', ['neighbours', 'boundary', 'uniform'])
def test_epsilon_0_is_no_smoothing_to_the_bit(mode, size, impl):
    logits = torch.randn(3, CLASSES, *size)
    keywords = dict(ce_weight=0.5, impl=impl)
    plain = loss_and_gradient(logits, draw(), **keywords)
    keywords['label_smoothing'] = dict(mode=mode, epsilon=0)
    smooth = loss_and_gradient(logits, draw(), **keywords)
    assert all(map(torch.equal, smooth, plain))


@pytest.mark.parametrize('variant', ['jml1', 'jml2'])
@pytest.mark.parametrize('norm', [1, 2])
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('weighted', [False, True])
@SIZES
@pytest.mark.parametrize('kernel_size', [3, 5, 7])
def test_the_loss_is_that_of_the_loops_label(
    kernel_size, size, weighted, use_sigmoid, norm, variant, impl
):
    generator = torch.Generator().manual_seed(kernel_size)
    label = draw(kernel_size)
    logits = torch.randn(3, CLASSES, *size, generator=generator).double()
    weight = torch.ones(label.shape).double()
    if weighted:
        weight = torch.rand(label.shape, generator=generator).double()
        weight[weight < 0.2] = 0
    keywords = dict(LEVELS, norm=norm, variant=variant, mode='BOTH')
    keywords.update(use_sigmoid=use_sigmoid, ce_weight=0.25, impl=impl)
    keywords['class_weight'] = torch.linspace(1, 2, CLASSES)
    soft = Probabilities(by_loops(label, 0.4, kernel_size))
    counted = weight * (label != 255)
    expected = loss_and_gradient(logits, soft, counted, **keywords)
    keywords['label_smoothing'] = smoothing(0.4, kernel_size)
    smooth = loss_and_gradient(
        logits, label, weight if weighted else None, **keywords
    )
    assert_close(smooth, expected, **EXACT)


@SIZES
def test_a_head_with_one_channel(size, impl):
    """Its probability is the share of label 1."""
    logits = torch.randn(3, 1, *size, dtype=torch.float64)
    label = draw()
    counted = label != 255
    label[counted] %= 2
    keywords = dict(use_sigmoid=True, ce_weight=0.25, impl=impl)
    soft = Probabilities(by_loops(label, 0.5, 3, classes=2)[:, 1:])
    expected = loss_and_gradient(logits, soft, counted.double(), **keywords)
    keywords['label_smoothing'] = smoothing()
    smooth = loss_and_gradient(logits, label, **keywords)
    assert_close(smooth, expected, **EXACT)
