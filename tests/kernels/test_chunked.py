"""impl='torch' computes what the reference formulas say, however it is cut."""

import pytest
import torch

from mmseg_jml.kernels import (
    HardLabel,
    Request,
    TeacherLogits,
    chunked,
    region_sums,
)
from tests.devices import AsOnGPU, move
from tests.kernels.cases import (
    CE,
    EVERY_KIND,
    OPTIONS,
    assert_same,
    draw,
    draw_upsampled,
    run,
)
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
    keywords = dict(weighted=weighted, use_sigmoid='use_sigmoid' in options)
    data = draw_upsampled(kind, *SIZES[sizes], **keywords)
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


def test_only_images_are_upsampled():
    label = HardLabel(torch.zeros(1, 4, 4, 9, dtype=torch.long))
    with pytest.raises(ValueError, match=r'logits of shape \(N, C, h, w\)'):
        region_sums(Request(torch.zeros(1, 3, 2, 2, 3), label))


def test_ratio_one_is_the_full_size():
    """A band of rows and a chunk of pixels agree."""
    logits, target, weight = draw('soft')
    teacher = target.value.log()
    small = TeacherLogits(teacher, size=(12, 13))
    full = TeacherLogits(teacher)
    assert_same(run(logits, small, weight), run(logits, full, weight))


@pytest.mark.parametrize('options', OPTIONS[:4], ids=str)
def test_hard_labels_on_a_gpu_are_summed_in_float64_too(options):
    logits, target, weight = draw('hard', weighted=True)
    there = HardLabel(target.label.as_subclass(AsOnGPU))
    theirs = run(logits, target, weight, impl='reference', **options)
    assert_same(run(logits, there, weight, **options), theirs)


@pytest.mark.parametrize('kind', ['hard', 'boundary', 'soft'])
def test_class_weights_may_lie_on_another_device(kind):
    logits, target, _ = (move(part, 'meta') for part in draw(kind))
    weights = torch.rand(logits.shape[1])
    sums = chunked.sums(Request(logits, target, None, weights, **CE))
    assert sums.mass.is_meta
