"""What impl='torch' keeps, and what it copies: nothing of the logits' size."""

import pytest
import torch

from benchmarks.measure import Tracked, size_of
from mmseg_jml.functional import RegionLossOptions, jaccard_metric_loss
from mmseg_jml.kernels import HardLabel, TeacherLogits, chunked
from tests.kernels.cases import (
    KINDS,
    LAYOUTS,
    OPTIONS,
    assert_same,
    draw,
    run,
)

LIMITS = {
    (2, 19, 512, 1024): (1.15, 0.10),
    (4, 21, 512, 512): (1.15, 0.10),
    (2, 150, 512, 512): (1.06, 0.03),
}
TARGETS = ('hard', 'boundary', 'uniform', 'soft', 'teacher')


@pytest.fixture
def cut(monkeypatch):
    """Sets the size of a piece: at most 1 of 64 chunks of some logits."""

    def cut(logits):
        monkeypatch.setattr(chunked, '_PIECE_ON_CPU', logits.numel() // 64)

    return cut


def loss_of(kind, shape, stride=1):
    """Logits, smaller than the shape by the stride, and their loss."""
    low = [length // stride for length in shape[2:]]
    logits = torch.randn(*shape[:2], *low, requires_grad=True)
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]))
    target[:, ::10] = 255
    options = dict(ce_weight=0.25, impl='torch')
    if kind in ('boundary', 'uniform'):
        options['label_smoothing'] = dict(mode=kind, epsilon=0.5)
    elif kind == 'soft':
        target = torch.full(shape, 1 / shape[1])
    elif kind == 'teacher':
        target = TeacherLogits(logits.detach(), 2.0, size=shape[2:])
    return logits, lambda: jaccard_metric_loss(logits, target, **options)


@pytest.mark.parametrize('kind', TARGETS)
@pytest.mark.parametrize('shape', LIMITS, ids=str)
def test_a_step_takes_little_more_than_the_gradient(kind, shape):
    logits, loss = loss_of(kind, shape)
    peak, held = (limit * size_of(logits) for limit in LIMITS[shape])
    with Tracked() as memory:
        result = loss()
        result.backward()
    assert size_of(logits) < memory.peak <= peak
    logits.grad = None
    with Tracked() as memory:
        result = loss()
    assert memory.held <= held
    assert result.requires_grad


@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', KINDS)
def test_no_option_makes_a_dense_copy(kind, options, cut):
    """Work takes less than a quarter of the logits."""
    use_sigmoid = 'use_sigmoid' in options
    shape = 1, 19, 256, 256
    data = draw(kind, shape, torch.float32, True, use_sigmoid)
    cut(data[0])
    with Tracked() as memory:
        run(*data, **options)
    assert memory.peak < 1.25 * size_of(data[0])


@pytest.mark.parametrize('mode', ['PRESENT', 'PROB', 'BOTH'])
@pytest.mark.parametrize('kind', ['hard', 'boundary', 'soft', 'teacher'])
def test_choosing_active_classes_makes_no_dense_copy(kind, mode, cut):
    data = draw(kind, (1, 19, 128, 96), torch.float32)
    cut(data[0])
    options = RegionLossOptions(
        active_classes_mode_hard=mode, active_classes_mode_soft=mode
    )
    with Tracked() as memory:
        jaccard_metric_loss(*data, options=options)
    assert memory.peak < 0.25 * size_of(data[0])


@pytest.mark.parametrize('layout', LAYOUTS)
def test_no_layout_costs_a_copy(layout, cut):
    logits, target, _ = draw('hard', (2, 19, 128, 128), torch.float32)
    cut(logits)
    logits = LAYOUTS[layout](logits)
    with Tracked() as memory:
        run(logits, target)
    assert memory.peak < 1.25 * size_of(logits)


def test_logits_shared_by_all_pixels():
    """Expanded logits, as of a head that predicts one vector an image."""
    logits = torch.randn(2, 4, 1, 1, dtype=torch.float64)
    target = HardLabel(torch.randint(0, 4, (2, 6, 5)))
    expected = run(logits.repeat(1, 1, 6, 5), target)
    assert_same(run(logits.expand(2, 4, 6, 5), target), expected)


@pytest.mark.parametrize('kind', TARGETS)
@pytest.mark.parametrize(
    ('shape', 'stride'), [((2, 27, 384, 768), 4), ((2, 150, 512, 512), 8)]
)
def test_small_logits_never_exist_at_full_size(kind, shape, stride):
    """In units of the logits at full size."""
    _, loss = loss_of(kind, shape, stride)
    with Tracked() as memory:
        loss().backward()
    full = torch.Size(shape).numel() * 4
    assert memory.peak <= (0.2 if kind == 'hard' else 0.26) * full


@pytest.mark.parametrize('kernel_size', [3, 7])
def test_memory_of_windows(kernel_size, monkeypatch):
    """A window costs a byte a pixel, and pieces what they cost anyway."""
    shape = (2, 19, 256, 256)
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', 2**16)
    logits = torch.randn(shape, requires_grad=True)
    label = torch.randint(0, 19, (2, 256, 256))
    pixels = label.numel()
    smoothing = dict(mode='neighbours', kernel_size=kernel_size)
    options = dict(ce_weight=0.25, label_smoothing=smoothing, check=False)

    def loss(epsilon):
        smoothing['epsilon'] = epsilon
        return jaccard_metric_loss(logits, label, **options)

    held = []
    for epsilon in (0, 0.5):
        with Tracked() as memory:
            kept = loss(epsilon)
        held.append(memory.held)
        assert kept.requires_grad
    assert pixels < held[1] - held[0] < 1.1 * pixels
    with Tracked() as memory:
        loss(0.5).backward()
    # making the window takes a copy of the label for a while
    assert memory.peak < size_of(logits) + 2 * size_of(label)
