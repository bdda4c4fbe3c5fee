"""impl='torch' computes what the reference formulas say, however it is cut."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    TeacherLogits,
    chunked,
    region_sums,
)
from mmseg_jml.kernels.upsampling import axis
from tests.kernels.cases import KINDS, OPTIONS, assert_same, draw, run


@pytest.fixture(params=[2**19, 256], ids=['one piece', 'many pieces'])
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


# sizes of logits, of the label, and align_corners: ratios 1.75 and 2, 4 and
# 1.5, 8 and 3.2, sizes that do not divide, one axis as it is, one input
SIZES = {
    'even': ((8, 7), (14, 14), False),
    'aligned': ((6, 7), (24, 11), True),
    'no divisor': ((5, 6), (40, 19), False),
    'rows alone': ((4, 9), (13, 9), False),
    'one column': ((3, 1), (12, 5), False),
    'one pixel, aligned': ((1, 1), (6, 4), True),
}


def enlarge(kind, sizes, weighted=False, use_sigmoid=False):
    """Small logits, a target of the label's size, and pixel weights."""
    low, size, _ = SIZES[sizes]
    logits = draw(kind, (2, 4, *low), use_sigmoid=use_sigmoid)[0]
    _, target, weight = draw(
        kind, (2, 4, *size), weighted=weighted, use_sigmoid=use_sigmoid
    )
    return logits, target, weight


@pytest.mark.usefixtures('piece')
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('kind', KINDS)
def test_small_logits_are_interpolated(kind, sizes, options, weighted):
    """The reference does so by F.interpolate, at full size."""
    data = enlarge(kind, sizes, weighted, options.get('use_sigmoid', False))
    options = dict(options, align_corners=SIZES[sizes][2])
    assert_same(
        run(*data, **options),
        run(*data, impl='reference', **options),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.usefixtures('piece')
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize(
    'teacher', [(5, 6), (3, 2), (8, 19), (40, 19)], ids=str
)
@pytest.mark.parametrize('student', [(5, 6), (40, 19)], ids=str)
def test_a_teacher_of_another_size(student, teacher, aligned, use_sigmoid):
    generator = torch.Generator().manual_seed(3)
    logits, value = (
        torch.randn(2, 4, *size, generator=generator).double()
        for size in (student, teacher)
    )
    target = TeacherLogits(value, 2.0, use_sigmoid, (40, 19), aligned)
    options = dict(use_sigmoid=use_sigmoid, with_cross_entropy=True)
    assert_same(
        run(logits, target, **options),
        run(logits, target, impl='reference', **options),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('sizes', [(4, 7), (5, 20), (3, 24), (6, 6), (1, 3)])
def test_an_axis_interpolates_as_torch_does(sizes, align_corners):
    inputs, outputs = sizes
    table = axis(
        inputs, outputs, align_corners, torch.float64, torch.device('cpu')
    )
    value = torch.randn(inputs, dtype=torch.float64)
    padded = F.pad(value[None], (1, 1), mode='replicate')[0]
    left, right = padded[:-1, None], padded[1:, None]
    result = value.new_zeros(outputs)
    every = (left + table.share * (right - left))[table.inside]
    result[table.position[table.inside]] = every
    expected = F.interpolate(
        value.view(1, 1, inputs, 1),
        size=(outputs, 1),
        mode='bilinear',
        align_corners=align_corners,
    )
    torch.testing.assert_close(result, expected.flatten())
    assert table.inside.sum() == outputs


def test_only_images_are_upsampled():
    label = HardLabel(torch.zeros(1, 4, 4, 9, dtype=torch.long))
    with pytest.raises(ValueError, match=r'logits of shape \(N, C, h, w\)'):
        region_sums(Request(torch.zeros(1, 3, 2, 2, 3), label))


@pytest.mark.parametrize('sizes', ['even', 'aligned', 'no divisor'])
@pytest.mark.parametrize('kind', ['hard', 'boundary', 'soft'])
def test_gradcheck_of_small_logits(kind, sizes):
    logits, target, _ = enlarge(kind, sizes)

    def overlap(x):
        request = Request(
            x, target, with_cross_entropy=True, align_corners=SIZES[sizes][2]
        )
        sums = region_sums(request, 'torch')
        return sums.overlap, sums.cross_entropy

    few = logits[:, :, :3, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(overlap, few, atol=1e-6)


def test_ratio_one_is_the_full_size():
    """A band of rows and a chunk of pixels agree."""
    logits, target, weight = draw('soft')
    teacher = TeacherLogits(target.value.log())
    small = TeacherLogits(
        F.interpolate(teacher.value, size=(12, 13)), size=(12, 13)
    )
    assert_same(run(logits, small, weight), run(logits, teacher, weight))
    assert isinstance(target, Probabilities)
