"""Labels smoothed towards neighbours, piece by piece and in bounded memory."""

import pytest
import torch

from benchmarks.measure import Tracked, size_of
from mmseg_jml.functional import jaccard_metric_loss, smooth_label
from mmseg_jml.kernels import Request, chunked
from tests.kernels.cases import OPTIONS, assert_right, assert_same, draw, run

SIZES = pytest.mark.parametrize('size', [(12, 13), (5, 4)])


def problem(dtype, size, options, kernel_size=5, device='cpu'):
    """Logits, a smoothed target of 12 x 13 pixels, and weights."""
    use_sigmoid, there = 'use_sigmoid' in options, dict(device=device)
    shape = 3, 6, 12, 13
    logits, hard, weight = draw(
        'hard', shape, dtype, True, use_sigmoid, **there
    )
    logits = logits[:, :, : size[0], : size[1]].contiguous()
    label = hard.label.where(hard.label != 2, torch.zeros_like(hard.label))
    target = smooth_label(label, 6, 'neighbours', 0.4, kernel_size)
    return logits, target, weight


@pytest.mark.parametrize('elements', [64, 700, 2**19])
@SIZES
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_pieces_of_any_size(options, size, elements, monkeypatch):
    """Windows reach beyond a piece."""
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', elements)
    data = problem(torch.float64, size, options)
    assert_same(run(*data, **options), run(*data, 'reference', **options))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@SIZES
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_the_error_budget(options, size, dtype, engine):
    impl, device = engine
    data = problem(dtype, size, options, device=device)
    if impl == 'triton':
        with pytest.raises(ValueError, match='towards neighbours are not'):
            run(*data, impl)
    else:
        assert_right(*data, impl, **options)


def test_triton_says_that_it_does_not_serve_them(monkeypatch):
    engine = pytest.importorskip('mmseg_jml.kernels.triton.engine')
    monkeypatch.setattr(engine, '_INTERPRETED', True)
    logits, target, weight = problem(torch.float32, (12, 13), {})
    reason = engine.why_not(Request(logits, target, weight))
    assert reason == 'labels smoothed towards neighbours are not served'
    plain = smooth_label(target.label, 6, 'boundary')
    assert engine.why_not(Request(logits, plain)) is None


@pytest.mark.parametrize('kernel_size', [3, 7])
def test_memory(kernel_size, monkeypatch):
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
