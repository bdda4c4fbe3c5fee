"""Smoothing towards the classes in a window, against loops over pixels."""

import itertools

import numpy as np
import pytest
import torch

from mmseg_jml import functional
from mmseg_jml.functional import RegionLossOptions
from mmseg_jml.kernels import Probabilities, label_entropy, region_sums
from tests.devices import on_device
from tests.functional.test_distributed import SHARES
from tests.processes import run_in_processes
from tests.tolerances import EXACT

jaccard_metric_loss = on_device(functional.jaccard_metric_loss)
smooth_label = on_device(functional.smooth_label)

CLASSES = 5
LEVELS = dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3)


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
    reach = kernel_size // 2
    for n, i, j in itertools.product(*map(range, label.shape)):
        own = int(label[n, i, j])
        if own == ignore_index:
            continue
        votes = [
            int(label[n, y, x])
            for y in range(max(i - reach, 0), min(i + reach + 1, height))
            for x in range(max(j - reach, 0), min(j + reach + 1, width))
            if label[n, y, x] != ignore_index
        ]
        soft[n, own, i, j] = 1 - epsilon
        for vote in votes:
            soft[n, vote, i, j] += epsilon / len(votes)
    return torch.from_numpy(soft)


def smoothing(epsilon=0.5, kernel_size=3):
    return dict(mode='neighbours', epsilon=epsilon, kernel_size=kernel_size)


def with_gradient(logits, target, *arguments, **keywords):
    logits = logits.detach().requires_grad_()
    loss = jaccard_metric_loss(logits, target, *arguments, **keywords)
    return loss, *torch.autograd.grad(loss, logits)


@pytest.mark.parametrize('epsilon', [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize('ignore_index', [255, 0, -100, None])
@pytest.mark.parametrize('kernel_size', [3, 5, 7])
def test_the_label(kernel_size, ignore_index, epsilon):
    label = draw(kernel_size, ignore_index)
    target = smooth_label(
        label, CLASSES, 'neighbours', epsilon, kernel_size, ignore_index
    )
    dense = target.dense(CLASSES, torch.float64)
    expected = by_loops(label, epsilon, kernel_size, ignore_index)
    torch.testing.assert_close(dense, expected, **EXACT)


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_windows_larger_than_the_image(size):
    label = draw(ignore_index=None, size=size)
    dense = smooth_label(label, CLASSES, 'neighbours', 0.5, 7).dense(
        CLASSES, torch.float64
    )
    torch.testing.assert_close(dense, by_loops(label, 0.5, 7), **EXACT)


@pytest.mark.parametrize('classes', [255, 256, 32768])
def test_many_classes(classes):
    """The labels of a window need one, two or eight bytes."""
    label = draw(ignore_index=None, size=(2, 7)) + classes - CLASSES + 1
    target = smooth_label(label, classes, 'neighbours', ignore_index=None)
    logits = torch.zeros(3, classes, 2, 7, dtype=torch.float64)
    entropy = label_entropy(functional.make_request(logits, target))
    shifted = by_loops(label - classes + CLASSES, 0.5, 3)
    expected = torch.special.entr(shifted).sum()
    torch.testing.assert_close(entropy, expected, **EXACT)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('epsilon', [0.1, 0.3, 0.5, 0.9])
def test_laws(epsilon, dtype, impl):
    label = draw()
    target = smooth_label(label, CLASSES, 'neighbours', epsilon)
    dense = target.dense(CLASSES, dtype)
    counted = label != 255
    hot = by_loops(label, 0.0, 3).bool()
    near = by_loops(label, 1.0, 3) > 0
    inside = counted & (near.sum(1) == 1)
    assert inside.any()
    # probabilities as the engines see them: against p = 0, 1 in a class
    for soft in (dense, seen_by(impl, target, label.shape, dtype)):
        chosen = soft.movedim(1, -1)
        # the interior is unchanged and absent classes get 0, to the bit
        assert torch.equal(
            chosen[inside], hot.to(dtype).movedim(1, -1)[inside]
        )
        assert (chosen[counted][~near.movedim(1, -1)[counted]] == 0).all()
        total = chosen[counted].sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total))


def seen_by(impl, target, shape, dtype):
    """The label of each pixel, as the sums of an image of one pixel."""
    pixels = shape.numel()
    logits = torch.zeros(pixels, CLASSES, 1, 1, dtype=dtype)
    window = target.window.permute(0, 3, 4, 1, 2).reshape(pixels, 3, 3, 1, 1)
    one = type(target)(
        target.label.reshape(pixels, 1, 1), 255, on=target.on, window=window
    )
    sums = region_sums(functional.make_request(logits, one), impl)
    soft = sums.target.to(dtype).view(*shape, CLASSES)
    return soft.movedim(-1, 1)


@pytest.mark.parametrize('size', [(11, 14), (4, 5)])
@pytest.mark.parametrize('mode', ['neighbours', 'boundary', 'uniform'])
def test_epsilon_0_is_no_smoothing_to_the_bit(mode, size, impl):
    logits = torch.randn(3, CLASSES, *size)
    keywords = dict(ce_weight=0.5, impl=impl)
    plain = with_gradient(logits, draw(), **keywords)
    smooth = with_gradient(
        logits,
        draw(),
        label_smoothing=dict(mode=mode, epsilon=0),
        **keywords,
    )
    for ours, theirs in zip(smooth, plain):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize('variant', ['jml1', 'jml2'])
@pytest.mark.parametrize('norm', [1, 2])
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('size', [(11, 14), (4, 5)])
@pytest.mark.parametrize('kernel_size', [3, 5, 7])
def test_the_loss_is_that_of_the_loops_label(
    kernel_size, size, weighted, use_sigmoid, norm, variant, impl
):
    """At full size and from logits at a head's resolution."""
    generator = torch.Generator().manual_seed(kernel_size)
    label = draw(kernel_size)
    logits = torch.randn(3, CLASSES, *size, generator=generator).double()
    weight = None
    if weighted:
        weight = torch.rand(label.shape, generator=generator).double()
        weight[weight < 0.2] = 0
    keywords = dict(
        use_sigmoid=use_sigmoid,
        options=RegionLossOptions(
            norm=norm,
            variant=variant,
            active_classes_mode_soft='BOTH',
            **LEVELS,
        ),
        ce_weight=0.25,
        class_weight=torch.linspace(1, 2, CLASSES),
        impl=impl,
    )
    smooth = with_gradient(
        logits,
        label,
        weight,
        label_smoothing=smoothing(0.4, kernel_size),
        **keywords,
    )
    counted = (label != 255).double()
    soft = with_gradient(
        logits,
        Probabilities(by_loops(label, 0.4, kernel_size)),
        counted if weight is None else counted * weight,
        **keywords,
    )
    for ours, theirs in zip(smooth, soft):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize('size', [(11, 14), (4, 5)])
def test_a_head_with_one_channel(size, impl):
    """Its probability is the share of label 1."""
    logits = torch.randn(3, 1, *size, dtype=torch.float64)
    label = draw()
    label[label != 255] %= 2
    keywords = dict(use_sigmoid=True, ce_weight=0.25, impl=impl)
    smooth = with_gradient(
        logits, label, label_smoothing=smoothing(), **keywords
    )
    soft = Probabilities(by_loops(label, 0.5, 3, classes=2)[:, 1:])
    expected = with_gradient(logits, soft, (label != 255).double(), **keywords)
    for ours, theirs in zip(smooth, expected):
        torch.testing.assert_close(ours, theirs, **EXACT)


def sync(rank):
    """Two processes with batches of unequal size, and one with all images."""
    generator = torch.Generator().manual_seed(3)
    label = draw(3, size=(12, 12)).repeat(2, 1, 1)[:5]
    for size in [(12, 12), (5, 6)]:
        logits = torch.randn(5, CLASSES, *size, generator=generator).double()
        keywords = dict(
            label_smoothing=smoothing(0.3, 5),
            options=RegionLossOptions(**LEVELS),
            ce_weight=0.5,
        )
        loss, whole = with_gradient(logits, label, **keywords)
        share = SHARES[rank]
        ours, part = with_gradient(
            logits[share], label[share], sync=True, **keywords
        )
        torch.testing.assert_close(ours, loss, **EXACT)
        # DistributedDataParallel divides by the number of processes
        torch.testing.assert_close(part / 2, whole[share], **EXACT)


def test_sync_is_the_loss_of_the_global_batch(tmp_path):
    run_in_processes(sync, tmp_path)
