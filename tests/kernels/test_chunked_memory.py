"""What impl='torch' keeps, and what it copies: nothing of the logits' size."""

import pytest
import torch

from benchmarks.measure import Tracked, size_of
from mmseg_jml.functional import RegionLossOptions, jaccard_metric_loss
from mmseg_jml.kernels import HardLabel, Probabilities, TeacherLogits, chunked
from tests.kernels.cases import KINDS, OPTIONS, assert_same, draw, run

LIMITS = {
    (2, 19, 512, 1024): (1.15, 0.10),
    (4, 21, 512, 512): (1.15, 0.10),
    (2, 150, 512, 512): (1.06, 0.03),
}
TARGETS = ('hard', 'boundary', 'uniform', 'soft', 'teacher')


def test_tracked_counts_bytes():
    with Tracked() as memory:
        kept = torch.zeros(1000)
        gone = torch.zeros(500, dtype=torch.float64)
        del gone
        torch.zeros(10)
    assert memory.held == size_of(kept) == 4000
    assert memory.peak == 8000


def loss_of(kind, shape, stride=1):
    """Logits, smaller than the shape by the stride, and their loss."""
    low = [length // stride for length in shape[2:]]
    logits = torch.randn(*shape[:2], *low, requires_grad=True)
    label = torch.randint(0, shape[1], (shape[0], *shape[2:]))
    label[:, ::10] = 255
    target, smoothing = label, None
    if kind in ('boundary', 'uniform'):
        smoothing = dict(mode=kind, epsilon=0.5)
    elif kind == 'soft':
        target = torch.full(shape, 1 / shape[1])
    elif kind == 'teacher':
        target = TeacherLogits(logits.detach(), 2.0, size=shape[2:])
    return logits, lambda: jaccard_metric_loss(
        logits, target, ce_weight=0.25, label_smoothing=smoothing, impl='torch'
    )


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
def test_no_option_makes_a_dense_copy(kind, options, monkeypatch):
    """Work takes less than a quarter of the logits in 1 of 64 chunks."""
    data = draw(
        kind,
        (1, 19, 256, 256),
        torch.float32,
        weighted=True,
        use_sigmoid=options.get('use_sigmoid', False),
    )
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', data[0].numel() // 64)
    with Tracked() as memory:
        run(*data, **options)
    assert memory.peak < 1.25 * size_of(data[0])


@pytest.mark.parametrize('mode', ['PRESENT', 'PROB', 'BOTH'])
@pytest.mark.parametrize('kind', ['hard', 'boundary', 'soft', 'teacher'])
def test_choosing_active_classes_makes_no_dense_copy(kind, mode, monkeypatch):
    logits, target, weight = draw(kind, (1, 19, 128, 96), torch.float32)
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', logits.numel() // 64)
    options = RegionLossOptions(
        active_classes_mode_hard=mode, active_classes_mode_soft=mode
    )
    with Tracked() as memory:
        jaccard_metric_loss(logits, target, weight, options=options)
    assert memory.peak < 0.25 * size_of(logits)


def crop(value):
    frame = value.new_full(
        (*value.shape[:-2], value.shape[-2] + 3, value.shape[-1] + 2), 99
    )
    frame[..., 2:-1, 1:-1] = value
    return frame[..., 2:-1, 1:-1]


LAYOUTS = {
    'channels last': lambda x: (
        x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    ),
    'crop': crop,
    'transposed': lambda x: x.mT.contiguous().mT,
    'every other': lambda x: x.repeat_interleave(2, -1)[..., ::2],
    'flipped channels': lambda x: (
        torch.stack(x.unbind(1)[::-1]).transpose(0, 1).flip(1)
        if x.ndim == 4
        else x
    ),
    'batch last': lambda x: torch.stack(x.unbind(0), -1).movedim(-1, 0),
}


@pytest.mark.parametrize('work', [2**19, 256])
@pytest.mark.parametrize('which', ['logits', 'others', 'all'])
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('kind', ['boundary', 'soft'])
def test_any_layout(kind, layout, which, work, monkeypatch):
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', work)
    logits, target, weight = draw(kind, weighted=True)
    expected = run(logits, target, weight, with_cross_entropy=True)
    change = LAYOUTS[layout]
    if which in ('logits', 'all'):
        logits = change(logits)
    if which in ('others', 'all'):
        weight = change(weight)
        target = (
            Probabilities(change(target.value))
            if kind == 'soft'
            else HardLabel(
                change(target.label),
                255,
                target.on,
                target.off,
                change(target.smoothed),
            )
        )
    result = run(logits, target, weight, with_cross_entropy=True)
    assert_same(result, expected)
    assert result[1].shape == logits.shape


@pytest.mark.parametrize('layout', LAYOUTS)
def test_no_layout_costs_a_copy(layout, monkeypatch):
    logits, target, _ = draw('hard', (2, 19, 128, 128), torch.float32)
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', logits.numel() // 64)
    logits = LAYOUTS[layout](logits)
    with Tracked() as memory:
        run(logits, target)
    assert memory.peak < 1.25 * size_of(logits)


def test_logits_shared_by_all_pixels():
    """Expanded logits, as of a head that predicts one vector an image."""
    logits = torch.randn(2, 4, 1, 1, dtype=torch.float64)
    target = HardLabel(torch.randint(0, 4, (2, 6, 5)))
    assert_same(
        run(logits.expand(2, 4, 6, 5), target),
        run(logits.repeat(1, 1, 6, 5), target),
    )


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
