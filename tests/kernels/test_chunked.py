"""impl='torch' in pieces computes what the reference formulas say."""

import pytest
import torch

from mmseg_jml.functional import jaccard_metric_loss
from mmseg_jml.kernels import chunked
from tests.kernels.cases import (
    KINDS,
    OPTIONS,
    SMALL_TEACHERS,
    assert_same,
    draw,
    draw_upsampled,
    run,
)


@pytest.fixture(params=[2**20, 128], ids=['one piece', 'many pieces'])
def piece(request, monkeypatch):
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', request.param)


@pytest.mark.usefixtures('piece')
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', KINDS)
def test_float64_equals_the_reference(kind, options, weighted):
    data = draw(
        kind, weighted=weighted, use_sigmoid=options.get('use_sigmoid', False)
    )
    assert_same(run(*data, **options), run(*data, impl='reference', **options))


@pytest.mark.usefixtures('piece')
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', [*KINDS, *SMALL_TEACHERS])
def test_float64_upsampled_equals_the_reference(kind, options, align_corners):
    data = draw_upsampled(
        kind,
        (5, 4),
        (9, 7),
        align_corners,
        weighted=True,
        use_sigmoid=options.get('use_sigmoid', False),
    )
    options = options | dict(align_corners=align_corners)
    assert_same(run(*data, **options), run(*data, impl='reference', **options))


@pytest.mark.usefixtures('piece')
@pytest.mark.parametrize('weighted', [False, True])
def test_the_loss_of_a_small_batch_keeps_what_it_knows(weighted):
    """Its gradient starts from what the sums made, that of pieces anew."""
    logits, target, weight = draw('hard', weighted=weighted)
    logits.requires_grad_()
    ours, theirs = (
        torch.autograd.grad(
            jaccard_metric_loss(
                logits, target, weight, ce_weight=0.5, impl=impl
            ),
            logits,
        )[0]
        for impl in ('torch', 'reference')
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
