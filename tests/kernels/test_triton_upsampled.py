"""The kernels for upsampled logits and hard labels, against float64.

Uninitialised memory is filled with NaN. What holds for logits of any size is
in test_engines.py.
"""

from dataclasses import replace

import pytest
import torch

from mmseg_jml.kernels import HardLabel, Request
from tests.kernels.cases import (
    CE,
    LAYOUTS,
    ask,
    assert_right,
    assert_same,
    draw_upsampled,
    run,
)
from tests.tolerances import EXCESS

triton_upsampled = pytest.importorskip('mmseg_jml.kernels.triton.upsampled')

# classes, size of the logits, size of the label, align_corners
CASES = {
    'ratio-4': (19, (2, 3), (8, 12), False),
    'ratio-4-corners': (19, (1, 2), (4, 8), True),
    'ratio-8': (5, (2, 1), (16, 8), False),
    'ratio-8-corners': (3, (1, 2), (3, 16), True),
    'ratio-1.75': (2, (4, 4), (7, 7), False),
    'ratio-1.75-corners': (2, (4, 4), (7, 7), True),
    'undivided': (7, (3, 4), (7, 11), False),
    'undivided-corners': (7, (3, 4), (7, 11), True),
    'ratio-1-in-x': (4, (2, 5), (6, 5), False),
    'ratio-1-in-y': (4, (5, 2), (5, 6), True),
    'one-pixel': (2, (1, 1), (3, 4), False),
    'one-row': (3, (1, 4), (3, 9), True),
    'one-column': (3, (4, 1), (9, 1), False),
    'strips-and-tiles': (2, (10, 20), (10, 40), False),
    'tiles-of-16': (19, (1, 17), (1, 34), False),
    'tiles-of-8': (27, (2, 5), (4, 10), True),
    'chunked-corners': (9, (1, 3), (2, 5), True),
    'chunked-ratio-4': (9, (1, 2), (4, 8), False),
    'chunked-ratio-8': (9, (1, 1), (1, 8), False),
    'chunked-strips-and-tiles': (9, (17, 20), (17, 21), False),
    '33': (33, (2, 2), (3, 4), False),
    '150': (150, (1, 2), (2, 3), False),
    '300': (300, (1, 1), (1, 2), False),
}
# the forms, for what does not depend on sizes
FORMS = {
    'whole': (2, (3, 2), (5, 4), False),
    'chunked': (9, (1, 2), (3, 4), False),
}
EVERY = dict(CE, with_product=True, with_hits=True, class_weight=True)

pytestmark = pytest.mark.usefixtures('device', 'unwritten_memory_is_nan')


@pytest.fixture
def drawn(device, monkeypatch):
    """Draws logits, hard labels and weights of a case."""

    def drawn(name, images=1):
        classes, *sizes = {**CASES, **FORMS}[name]
        if name.startswith('chunked'):  # 9 interpret faster than 33
            monkeypatch.setattr(triton_upsampled, 'WHOLE', 4)
        there = dict(dtype=torch.float32, device=device, weighted=True)
        return draw_upsampled('hard', *sizes, images, classes, **there)

    return drawn


def check(logits, target, weight=None, align_corners=False, **options):
    """Compares all that is summed, and the gradient."""
    options = dict(EVERY, align_corners=align_corners, **options)
    request = ask(logits, target, weight, **options)
    assert triton_upsampled.serves(request)
    gradient = assert_right(logits, target, weight, 'triton', **options)
    assert gradient.stride() == torch.empty_like(logits).stride()


@pytest.mark.parametrize('case', CASES)
def test_sizes(case, drawn):
    images = 2 if case in ('undivided', '33') else 1
    check(*drawn(case, images), align_corners=CASES[case][-1])


def test_one_class(device):
    """Its probability is 1 and has no gradient."""
    logits = torch.randn(1, 1, 2, 2, device=device)
    label = torch.zeros(1, 4, 4, dtype=torch.long, device=device)
    sums, gradient = run(logits, HardLabel(label), impl='triton', **CE)
    for value in (sums.prediction, sums.target, sums.overlap):
        assert value.item() == pytest.approx(16)
    assert not sums.cross_entropy.any()
    # 16 times 1 - 1, each with a unit of float32
    assert gradient.abs().max() < 1e-5


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('ignore_index', [1, None, -100])
def test_labels_that_do_not_count(form, ignore_index, drawn):
    """Ignored or no class at all: as if such a pixel weighed nothing."""
    logits, target, _ = drawn(form)
    label, classes = target.label, logits.shape[1]
    strange = [-1, -100, classes, 255, 2**31, 2**40 + 1, -(2**63)]
    label.view(-1)[: len(strange)] = torch.tensor(strange).to(label)
    counted = (label >= 0) & (label < classes)
    if ignore_index is not None:
        counted &= label != ignore_index
    plain = HardLabel(label.where(counted, torch.zeros_like(label)), None)
    expected = run(logits, plain, counted.float(), 'triton', **EVERY)
    target = HardLabel(label, ignore_index)
    assert_same(run(logits, target, None, 'triton', **EVERY), expected)


@pytest.mark.parametrize('label_type', [torch.uint8, torch.int32])
def test_types_of_labels(label_type, drawn):
    logits, target, _ = drawn('whole')
    other = HardLabel(target.label.to(label_type))
    one, two = (run(logits, x, impl='triton') for x in (target, other))
    assert_same(one, two)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(form, dtype, drawn, device, monkeypatch):
    # the interpreter casts to bfloat16 towards zero, unlike a GPU
    if device == 'cpu':
        monkeypatch.setitem(EXCESS, torch.bfloat16, 2.0**-7)
    logits, *others = drawn(form)
    check(logits.to(dtype), *others)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('layout', ['channels last', 'crop', 'transposed'])
def test_layouts(form, layout, drawn):
    logits, target, weight = drawn(form)
    target = HardLabel(target.label.mT.contiguous().mT)
    check(LAYOUTS[layout](logits), target, weight)


@pytest.mark.parametrize('form', FORMS)
def test_large_logits(form, drawn):
    logits, *others = drawn(form)
    results = [
        run(1e4 * logits, *others, impl, **CE)
        for impl in ('triton', 'reference')
    ]
    # a unit of float32 is 1e-3 at 1e4
    assert_same(*results, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize('form', FORMS)
def test_equal_logits_hit_as_the_reference_says(form, drawn):
    logits, *others = drawn(form)
    check(torch.ones_like(logits), *others)


LINE = torch.zeros(1, 7).long()
NOT_SERVED = {
    'smoothed': dict(target=HardLabel(torch.zeros(1, 7, 7).long(), on=0.9)),
    'sigmoid': dict(use_sigmoid=True),
    'norm': dict(norm=2),
    'largest': dict(largest_of='both'),
    'one dimension': dict(logits=torch.zeros(1, 2, 4), target=HardLabel(LINE)),
    'many images': dict(
        logits=torch.zeros(1, 1, 1, 1).expand(2**16, 2, 4, 4),
        target=HardLabel(torch.zeros(1, 1, 1).long().expand(2**16, 7, 7)),
    ),
    'huge': dict(logits=torch.zeros(1, 1, 1, 1).expand(1, 2**29, 4, 4)),
}


@pytest.mark.parametrize('reason', NOT_SERVED)
def test_what_goes_by_bands(reason, drawn):
    request = Request(*drawn('whole'))
    assert triton_upsampled.serves(request)
    other = replace(request, **NOT_SERVED[reason])
    assert not triton_upsampled.serves(other)


def test_an_older_triton_goes_by_bands(drawn, monkeypatch):
    """``tl.gather`` came with Triton 3.3."""
    monkeypatch.delattr(triton_upsampled.tl, 'gather')
    assert not triton_upsampled.serves(Request(*drawn('whole')))
