"""impl='torch' computes what the reference formulas say, however it is cut."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mmseg_jml.kernels import (
    HardLabel,
    Request,
    TeacherLogits,
    chunked,
    region_sums,
)
from mmseg_jml.kernels.upsampling import axis
from tests.kernels.cases import CE, EVERY_KIND, OPTIONS, assert_same, draw, run
from tests.tolerances import SUMMED, UPSAMPLED

# sizes of logits, of the label, and align_corners: ratios 1.75 and 2, 4 and
# 1.5, 8 and 3.2, sizes that do not divide, one axis as it is, one input
SIZES = {
    'the same': ((12, 13), (12, 13), False),
    'even': ((8, 7), (14, 14), False),
    'aligned': ((6, 7), (24, 11), True),
    'no divisor': ((5, 6), (40, 19), False),
    'rows alone': ((4, 9), (13, 9), False),
    'one column': ((3, 1), (12, 5), False),
    'one pixel, aligned': ((1, 1), (6, 4), True),
}


@pytest.fixture(params=[2**19, 256], ids=['one piece', 'many pieces'])
def piece(request, monkeypatch):
    monkeypatch.setattr(chunked, '_PIECE_ON_CPU', request.param)


def enlarge(kind, sizes, weighted=False, use_sigmoid=False):
    """Logits, a target of the label's size, and pixel weights."""
    low, size, _ = SIZES[sizes]
    logits = draw(kind, (2, 4, *low), use_sigmoid=use_sigmoid)[0]
    keywords = dict(weighted=weighted, use_sigmoid=use_sigmoid)
    return logits, *draw(kind, (2, 4, *size), **keywords)[1:]


def check(*data, sizes='other', **options):
    """At full size nothing is rounded otherwise."""
    error = SUMMED if sizes == 'the same' else UPSAMPLED
    theirs = run(*data, impl='reference', **options)
    assert_same(run(*data, **options), theirs, rtol=error, atol=error)


@pytest.mark.usefixtures('piece')
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('kind', EVERY_KIND)
def test_float64_equals_the_reference(kind, sizes, options, weighted):
    """The reference upsamples by F.interpolate, to full size."""
    data = enlarge(kind, sizes, weighted, 'use_sigmoid' in options)
    aligned = SIZES[sizes][2]
    check(*data, sizes=sizes, align_corners=aligned, **options)


@pytest.mark.usefixtures('piece')
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize(
    'teacher', [(5, 6), (3, 2), (8, 19), (40, 19)], ids=str
)
@pytest.mark.parametrize('student', [(5, 6), (40, 19)], ids=str)
def test_a_teacher_of_another_size(student, teacher, aligned, use_sigmoid):
    logits, value = (
        torch.randn(2, 4, *size, dtype=torch.float64)
        for size in (student, teacher)
    )
    target = TeacherLogits(value, 2.0, use_sigmoid, (40, 19), aligned)
    check(logits, target, use_sigmoid=use_sigmoid, **CE)


@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize('sizes', [(4, 7), (5, 20), (3, 24), (6, 6), (1, 3)])
def test_an_axis_interpolates_as_torch_does(sizes, aligned):
    table = axis(*sizes, aligned, torch.float64, torch.device('cpu'))
    value = torch.randn(sizes[0], dtype=torch.float64)
    padded = F.pad(value[None], (1, 1), mode='replicate')[0]
    left, right = padded[:-1, None], padded[1:, None]
    result = value.new_zeros(sizes[1])
    every = (left + table.share * (right - left))[table.inside]
    result[table.position[table.inside]] = every
    options = dict(mode='bilinear', align_corners=aligned)
    column = F.interpolate(value.view(1, 1, -1, 1), (sizes[1], 1), **options)
    torch.testing.assert_close(result, column.flatten())
    assert table.inside.sum() == sizes[1]


def test_only_images_are_upsampled():
    label = HardLabel(torch.zeros(1, 4, 4, 9, dtype=torch.long))
    with pytest.raises(ValueError, match=r'logits of shape \(N, C, h, w\)'):
        region_sums(Request(torch.zeros(1, 3, 2, 2, 3), label))


@pytest.mark.parametrize('sizes', ['even', 'aligned', 'no divisor'])
@pytest.mark.parametrize('kind', ['hard', 'boundary', 'soft'])
def test_gradcheck_of_small_logits(kind, sizes):
    logits, target, _ = enlarge(kind, sizes)
    options = dict(CE, align_corners=SIZES[sizes][2])

    def overlap(x):
        sums = region_sums(Request(x, target, **options), 'torch')
        return sums.overlap, sums.cross_entropy

    few = logits[:, :, :3, :2].clone().requires_grad_()
    # of a difference quotient
    assert torch.autograd.gradcheck(overlap, few, atol=1e-6)


def test_ratio_one_is_the_full_size():
    """A band of rows and a chunk of pixels agree."""
    logits, target, weight = draw('soft')
    teacher = target.value.log()
    small = TeacherLogits(teacher, size=(12, 13))
    full = TeacherLogits(teacher)
    assert_same(run(logits, small, weight), run(logits, full, weight))
