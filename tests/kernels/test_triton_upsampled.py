"""The kernels for upsampled logits and hard labels, against float64.

Uninitialised memory is filled with NaN.
"""

from dataclasses import replace

import pytest
import torch

from mmseg_jml.kernels import HardLabel, Request, reference
from tests.kernels.cases import CE
from tests.tolerances import assert_within_budget

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
    'ratio-1': (4, (3, 5), (3, 5), False),
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
    'chunked-strips-and-tiles': (9, (17, 20), (17, 20), False),
    '33': (33, (2, 2), (3, 4), False),
    '150': (150, (1, 2), (2, 3), False),
    '300': (300, (1, 1), (1, 2), False),
}
# so few pixels that what cancels is larger than their sum
SLACK = {'one-pixel': 1e-5, '300': 1e-5}
# the forms, for what does not depend on sizes
FORMS = {
    'whole': (2, (3, 2), (5, 4), False),
    'chunked': (9, (1, 2), (3, 4), False),
}


pytestmark = pytest.mark.usefixtures('device', 'unwritten_memory_is_nan')


def chunk_few_classes(name, monkeypatch):
    """Lets 9 classes go in two chunks, which interpret faster than 33."""
    if name.startswith('chunked'):
        monkeypatch.setattr(triton_upsampled, 'WHOLE', 4)


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    chunk_few_classes(request.param, monkeypatch)
    return FORMS[request.param]


@pytest.fixture
def draw(device):
    """Draws a request with ignored pixels, and all it can ask for."""

    def on_device(case, images=1, weights=True, **options):
        classes, size, label_size, align_corners = case
        label = torch.randint(classes, (images, *label_size))
        label[torch.rand(label.shape) < 0.1] = 255
        logits = 3 * torch.randn(images, classes, *size)
        asked = dict(CE, with_product=True, with_hits=True)
        if weights:
            asked['weight'] = torch.rand(label.shape).to(device)
            asked['class_weight'] = torch.rand(classes).to(device)
        asked.update(options, align_corners=align_corners)
        target = HardLabel(label.to(device))
        return Request(logits.to(device), target, **asked)

    return on_device


def random_slopes(request, images=None):
    """Those by the sums, (N, 3 or 4, C), and by the log-likelihood, (N, 1).

    Of ``images`` images, or of those of the request.
    """
    logits = request.logits
    images = images or len(logits)
    shape = images, 3 + request.with_product, logits.shape[1]
    by_class, by_likelihood = torch.randn(shape), torch.randn(images, 1)
    there = dict(device=logits.device, dtype=torch.float64)
    return by_class.to(**there), by_likelihood.to(**there)


def gradient(request, by_class, by_likelihood):
    """What the kernels make of these slopes."""
    slopes = by_class.clone()
    slopes[:, 1] = by_likelihood * request.with_cross_entropy
    if request.class_weight is not None:
        slopes[:, 1] *= request.class_weight
    return triton_upsampled.gradient(request, slopes)


def expected(request, by_class, by_likelihood, dtype):
    """The reference in a dtype: sums, hits and gradient."""
    logits = request.logits.detach().to(dtype).requires_grad_()
    sums = reference.region_sums(replace(request, logits=logits))
    loss = (sums.by_class * by_class).sum()
    loss = loss + (sums.by_image[:, :1] * by_likelihood).sum()
    (result,) = torch.autograd.grad(loss, logits)
    return sums, result


def check(request, oracle=None, slack=0, shared=False):
    """Compares sums, hits and gradient by the budget of the dtype."""
    oracle = oracle or request
    dtype = request.logits.dtype
    slopes = random_slopes(request, 1 if shared else None)
    plain, plain_gradient = expected(oracle, *slopes, torch.float32)
    truth, truth_gradient = expected(oracle, *slopes, torch.float64)
    assert triton_upsampled.serves(request)
    sums = triton_upsampled.sums(request)
    for name in ('by_class', 'by_image', 'hits'):
        values = (getattr(s, name) for s in (sums, plain, truth))
        if getattr(request, f'with_{name}', True):
            assert_within_budget(*values, torch.float32)
    result = gradient(request, *slopes)
    assert result.dtype == dtype
    assert result.stride() == torch.empty_like(request.logits).stride()
    excess = slack * truth_gradient.abs()
    plain_gradient = plain_gradient.to(dtype).double()
    # moves the plain result away from the truth, to allow for more
    away = torch.where(plain_gradient < truth_gradient, -excess, excess)
    assert_within_budget(result, plain_gradient + away, truth_gradient, dtype)


@pytest.mark.parametrize('case', CASES)
def test_sizes(case, draw, monkeypatch):
    chunk_few_classes(case, monkeypatch)
    images = 2 if case in ('undivided', '33') else 1
    slack = SLACK.get(case, 0)
    check(draw(CASES[case], images), slack=slack, shared=case == 'undivided')


def test_one_class(draw):
    """Its probability is 1 and has no gradient."""
    request = draw((1, (2, 2), (4, 4), False))
    sums = triton_upsampled.sums(request)
    truth = reference.region_sums(request)
    assert torch.allclose(sums.by_class, truth.by_class)
    assert not sums.cross_entropy.any()
    result = gradient(request, *random_slopes(request))
    assert result.abs().max() < 1e-5


def test_alone(form, draw):
    """Without weights, product and hits, with one slope at a time."""
    request = draw(form, weights=False, with_product=False, with_hits=False)
    sums = triton_upsampled.sums(request)
    assert sums.hits is None
    check(request)
    by_class, by_likelihood = random_slopes(request)
    for some in ((by_class, 0 * by_likelihood), (0 * by_class, by_likelihood)):
        _, truth = expected(request, *some, torch.float64)
        result = gradient(request, *some)
        assert torch.allclose(result.double(), truth, atol=1e-5)


def test_no_cross_entropy(form, draw):
    request = draw(form, with_cross_entropy=False)
    assert not triton_upsampled.sums(request).cross_entropy.any()
    check(request)


@pytest.mark.parametrize('ignore_index', [1, None, -100])
def test_labels_that_do_not_count(form, draw, ignore_index):
    """Ignored or no class at all: as if such a pixel weighed nothing."""
    request = draw(form, weight=None)
    label = request.target.label
    strange = [-1, -100, form[0], 255, 2**31, 2**40 + 1, -(2**63)]
    label.view(-1)[: len(strange)] = torch.tensor(strange).to(label)
    counted = (label >= 0) & (label < form[0])
    if ignore_index is not None:
        counted &= label != ignore_index
    target = HardLabel(label.where(counted, torch.zeros_like(label)), None)
    oracle = replace(request, target=target, weight=counted.float())
    target = HardLabel(label, ignore_index)
    check(replace(request, target=target), oracle)


def test_no_pixel_counts(form, draw):
    request = draw(form)
    request.target.label.fill_(255)
    sums = triton_upsampled.sums(request)
    assert not sums.by_class.any()
    assert not sums.by_image.any()
    assert not sums.hits.any()
    result = gradient(request, *random_slopes(request))
    assert torch.equal(result, torch.zeros_like(result))


@pytest.mark.parametrize('label_type', [torch.uint8, torch.int32])
def test_types_of_labels(label_type, draw):
    request = draw(FORMS['whole'])
    label = request.target.label.to(label_type)
    other = triton_upsampled.sums(replace(request, target=HardLabel(label)))
    assert torch.equal(other.by_class, triton_upsampled.sums(request).by_class)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(form, draw, dtype):
    request = draw(form)
    # the interpreter casts to bfloat16 towards zero, unlike a GPU
    interpreted = not request.logits.is_cuda
    slack = 2**-8 if dtype == torch.bfloat16 and interpreted else 0
    check(replace(request, logits=request.logits.to(dtype)), slack=slack)


@pytest.mark.parametrize('layout', ['channels_last', 'slice', 'transposed'])
def test_layouts(form, draw, layout):
    request = draw(form)
    logits, label = request.logits, request.target.label
    if layout == 'channels_last':
        logits = logits.to(memory_format=torch.channels_last)
    elif layout == 'slice':
        bigger = torch.full([2 * n + 1 for n in logits.shape], torch.nan)
        inner = bigger.to(logits.device)[1::2, 1::2, 1::2, 1::2]
        logits = inner.copy_(logits)
    else:
        logits = logits.transpose(2, 3).contiguous().transpose(2, 3)
        label = label.transpose(1, 2).contiguous().transpose(1, 2)
    check(replace(request, logits=logits, target=HardLabel(label)))


def test_the_same_bits_twice(form, draw):
    request = draw(form)
    slopes = random_slopes(request)
    one, two = (triton_upsampled.sums(request) for _ in range(2))
    assert torch.equal(one.by_class, two.by_class)
    assert torch.equal(one.by_image, two.by_image)
    first, second = (gradient(request, *slopes) for _ in range(2))
    assert torch.equal(first, second)


def test_large_logits(form, draw):
    request = draw(form)
    request.logits.mul_(1e4 / 3)
    truth, _ = expected(request, *random_slopes(request), torch.float64)
    sums = triton_upsampled.sums(request)
    assert torch.allclose(sums.by_class, truth.by_class, atol=1e-2)
    assert torch.allclose(sums.by_image, truth.by_image, rtol=1e-6)
    assert torch.equal(sums.hits, truth.hits.float().double())
    assert gradient(request, *random_slopes(request)).isfinite().all()


def test_equal_logits_hit_as_the_reference_says(form, draw):
    request = draw(form)
    flat = replace(request, logits=torch.ones_like(request.logits))
    hits = triton_upsampled.sums(flat).hits
    assert torch.allclose(hits, reference.region_sums(flat).hits)
    assert hits > 0


def test_nothing_to_sum(draw):
    request = draw(FORMS['whole'])
    target = HardLabel(request.target.label[:0])
    none = dict(logits=request.logits[:0], weight=request.weight[:0])
    none = replace(request, target=target, **none)
    assert triton_upsampled.sums(none).by_class.shape == (0, 4, 2)
    slopes = torch.zeros(1, 4, 2)
    assert triton_upsampled.gradient(none, slopes).shape == none.logits.shape


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
def test_what_goes_by_bands(reason, draw):
    request = draw(FORMS['whole'])
    assert triton_upsampled.serves(request)
    other = replace(request, **NOT_SERVED[reason])
    assert not triton_upsampled.serves(other)


def test_an_older_triton_goes_by_bands(draw, monkeypatch):
    """``tl.gather`` came with Triton 3.3."""
    monkeypatch.delattr(triton_upsampled.tl, 'gather')
    assert not triton_upsampled.serves(draw(FORMS['whole']))
