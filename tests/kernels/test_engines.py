"""Every engine computes what the formulas say, within the error budget."""

import functools
import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    TeacherLogits,
    chunked,
    region_sums,
)
from tests.kernels.cases import (
    ALL,
    CE,
    EVERY_KIND,
    KINDS,
    LAYOUTS,
    OPTIONS,
    SMALL_TEACHERS,
    assert_right,
    assert_same,
    by_name,
    draw,
    draw_upsampled,
    pairs,
    run,
)
from tests.tolerances import EXCESS, FLOAT32

SIGMOID = pytest.mark.parametrize('use_sigmoid', [False, True])
# in one piece, and for Triton in chunks
CLASSES = pytest.mark.parametrize('classes', [5, 200])
# also for upsampled logits, where Triton's chunks begin with 33 classes
EACH = pytest.mark.parametrize(
    ('classes', 'low'), [(5, False), (200, False), (5, True), (33, True)]
)


def lowered(logits, low):
    """Logits that are smaller than the label, if ``low``."""
    return logits[:, :, :2, :2].clone() if low else logits


def assert_right_or_refused(data, impl, options):
    """Triton knows some labels and norms; whether there is more to test."""
    refused = None
    if options.get('norm') == 1.5:
        refused = 'but norm is 1.5'
    elif hasattr(data[1], 'window') and data[1].window is not None:
        refused = 'labels smoothed towards neighbours are not served'
    if impl == 'triton' and refused:
        with pytest.raises(ValueError, match=refused):
            run(*data, impl, **options)
        return False
    assert_right(*data, impl, **options)
    return True


@pytest.fixture
def impl(engine):
    return engine[0]


@pytest.fixture
def there(engine):
    """Tensors in float32 where the engine runs."""
    return dict(dtype=torch.float32, device=engine[1])


@pytest.fixture
def drawn(there):
    return functools.partial(draw, **there)


@pytest.mark.usefixtures('unwritten_memory_is_nan')
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', EVERY_KIND)
def test_every_kind_and_option(kind, options, weighted, impl, drawn):
    sigmoid = 'use_sigmoid' in options
    data = drawn(kind, (2, 5, 7, 9), weighted=weighted, use_sigmoid=sigmoid)
    assert_right_or_refused(data, impl, options)


# size of the logits, size of the label, align_corners
RATIOS = {
    '2': ((3, 4), (6, 8), False),
    '2, aligned': ((3, 4), (6, 8), True),
    '1.75': ((4, 4), (7, 7), False),
    '1.75, aligned': ((4, 4), (7, 7), True),
}


# every option with two of them, and one option with the others
UPSAMPLED = [
    *itertools.product(('2', '1.75, aligned'), OPTIONS),
    *itertools.product(('2, aligned', '1.75'), OPTIONS[3:4]),
]


@pytest.mark.usefixtures('unwritten_memory_is_nan')
@pytest.mark.parametrize(('ratio', 'options'), UPSAMPLED, ids=str)
@pytest.mark.parametrize('kind', [*EVERY_KIND, *SMALL_TEACHERS])
def test_logits_smaller_than_the_label(kind, ratio, options, impl, there):
    aligned = RATIOS[ratio][2]
    there.update(weighted=aligned, use_sigmoid='use_sigmoid' in options)
    data = draw_upsampled(kind, *RATIOS[ratio], **there)
    assert_right_or_refused(data, impl, dict(options, align_corners=aligned))


@pytest.fixture
def _small_pieces(engine, monkeypatch):
    """A row of an image, or an interval of rows, at a time."""
    module = chunked
    names = ['_PIECE_ON_CPU', '_LEAST_PIECE_ON_GPU']
    if engine[0] == 'triton':
        from mmseg_jml.kernels.triton import engine as module

        names = ['_BAND']
    for name in names:
        monkeypatch.setattr(module, name, 1)


@pytest.mark.usefixtures('_small_pieces', 'unwritten_memory_is_nan')
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('kind', [*KINDS, *SMALL_TEACHERS])
def test_logits_upsampled_by_small_bands(kind, dtype, impl, there):
    there.update(dtype=dtype, weighted=True)
    logits, *rest = draw_upsampled(kind, (2, 3), (5, 5), False, **there)
    logits = logits.to(memory_format=torch.channels_last)
    # hard labels have kernels of their own, but for these maxima
    options = dict(CE, largest_of='both', with_product=True)
    gradient = assert_right(logits, *rest, impl, **options)
    assert gradient.stride() == logits.stride()


@pytest.mark.parametrize('kind', ['hard', 'soft', 'teacher', 'other teacher'])
def test_logits_larger_than_the_label_are_refused(kind, impl, there):
    data = draw_upsampled(kind, (3, 5), (6, 4), False, **there)
    message = 'no larger than .* got 5 logits for 4'
    with pytest.raises(ValueError, match=message):
        run(*data, impl)


@pytest.mark.parametrize('kind', ['hard', 'boundary', 'teacher'])
@pytest.mark.parametrize('classes', [2, 19, 25, 97, 150, 192])
def test_any_number_of_classes(classes, kind, impl, drawn):
    data = drawn(kind, (1, classes, 3, 17))
    assert_right(*data, impl, with_product=True, with_hits=True, **CE)


@SIGMOID
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('classes', [300, 919])
def test_hundreds_of_classes(classes, kind, use_sigmoid, impl, drawn):
    options = dict(use_sigmoid=use_sigmoid)
    data = drawn(kind, (1, classes, 2, 3), weighted=True, seed=1, **options)
    assert_right(*data, impl, **ALL, **options)


@pytest.mark.parametrize('classes', [1, 3, 30])
def test_sigmoid_with_any_number_of_classes(classes, impl, drawn):
    logits, _, _ = drawn('hard', (2, classes, 5, 5))
    target = Probabilities(torch.rand_like(logits).round())
    assert_right(logits, target, None, impl, use_sigmoid=True, **CE)


@pytest.mark.parametrize('kind', ['hard', 'boundary', 'teacher', 'neighbours'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype, kind, engine, drawn, monkeypatch):
    """Sums are those of the rounded logits."""
    # the interpreter casts to bfloat16 towards zero, unlike a GPU
    if engine == ('triton', 'cpu'):
        monkeypatch.setitem(EXCESS, torch.bfloat16, 2.0**-7)
    data = drawn(kind, (2, 19, 5, 9), dtype=dtype)
    assert_right_or_refused(data, engine[0], CE)


OTHER_LAYOUTS = {
    'far apart': lambda x: F.interpolate(x, scale_factor=50)[:, :, ::50, ::50],
    'expanded': lambda x: x[:1].expand(3, -1, -1, -1),
}


@pytest.mark.parametrize('piece', ['whole', 'small'])
@pytest.mark.parametrize('layout', [*LAYOUTS, *OTHER_LAYOUTS])
def test_strides(layout, piece, engine, drawn, request):
    if piece == 'small':
        request.getfixturevalue('_small_pieces')
    impl, device = engine
    change = {**LAYOUTS, **OTHER_LAYOUTS}[layout]

    def normal():
        return torch.randn(3, 6, 7, 9, device=device)

    logits = change(normal())
    assert not logits.is_contiguous()
    teacher = TeacherLogits(change(normal()))
    weight = torch.rand(3, 9, 7, device=device).mT
    target = drawn('boundary', logits.shape)[1]
    names = 'label', 'smoothed'
    parts = {x: getattr(target, x).mT.contiguous().mT for x in names}
    assert_right(logits, replace(target, **parts), weight, impl, **CE)
    assert_right(logits, HardLabel(parts['label']), weight, impl, **CE)
    assert_right(normal(), teacher, weight, impl, **CE)
    gradient = assert_right(logits, teacher, weight, impl, **CE)
    if layout in ('channels last', 'transposed', 'batch last'):
        assert gradient.stride() == logits.stride()


@pytest.mark.parametrize('space', [(), (11,), (3, 5), (2, 3, 4), (2, 2, 3, 2)])
def test_any_number_of_spatial_dimensions(space, engine):
    impl, device = engine
    label = torch.randint(4, (3, *space), device=device)
    logits = torch.randn(3, 4, *space, device=device)
    assert_right(logits, HardLabel(label), None, impl, **CE)
    backwards = torch.randn(*space[::-1], 4, 3, device=device)
    backwards = backwards.permute(*range(backwards.ndim)[::-1])
    assert_right(backwards, TeacherLogits(logits), None, impl, **CE)


@EACH
@pytest.mark.parametrize('kind', ['hard', 'soft'])
@pytest.mark.parametrize(
    'name', ['prediction', 'overlap', 'product', 'cross_entropy']
)
def test_gradient_of_one_sum(name, kind, classes, low, impl, drawn):
    """Slopes that are absent, or of strides 0, as a sum's are."""
    logits, target, _ = drawn(kind, (2, classes, 4, 4))
    logits = lowered(logits, low)

    def gradient(leaf, impl):
        leaf = leaf.detach().requires_grad_()
        request = Request(leaf, target, with_product=True, **CE)
        value = getattr(region_sums(request, impl), name)
        return torch.autograd.grad(value.sum(), leaf)[0].double()

    expected = gradient(logits.double(), 'reference')
    assert_close(gradient(logits, impl), expected, rtol=0, atol=FLOAT32)


def test_the_target_and_the_mass_have_no_gradient(impl, drawn):
    logits, target, _ = drawn('hard')
    sums = region_sums(Request(logits.requires_grad_(), target, **CE), impl)
    assert not sums.target.requires_grad
    assert not sums.mass.requires_grad
    assert sums.by_class.requires_grad


@EACH
@pytest.mark.parametrize('kind', ['hard', 'boundary', 'teacher'])
def test_the_same_bits_each_time(kind, classes, low, impl, drawn):
    """Twice forward, and twice backward through one graph."""
    logits, *rest = drawn(kind, (2, classes, 3, 3), weighted=True)
    logits = lowered(logits, low)
    for options in (ALL, CE):
        one, two = (run(logits, *rest, impl, **options) for _ in range(2))
        assert all(torch.equal(a, b) for _, a, b in pairs(one, two))
    sums = region_sums(Request(logits.requires_grad_(), *rest, **CE), impl)
    loss = sums.overlap.square().sum() + sums.cross_entropy.sum()
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(loss, logits)
    assert kept.any()
    assert torch.equal(kept, first)
    assert torch.equal(first, second)


@pytest.mark.parametrize('curved', [False, True])
def test_a_second_derivative_is_refused(curved, impl, drawn):
    """Also of a scalar that is linear in the sums."""
    logits, target, _ = drawn('hard', (1, 3, 4, 4))
    logits.requires_grad_()
    overlap = region_sums(Request(logits, target), impl).overlap
    value = overlap.square().sum() if curved else overlap.sum()
    (gradient,) = torch.autograd.grad(value, logits, create_graph=True)
    with pytest.raises(NotImplementedError, match="impl='reference' has"):
        gradient.sum().backward()


@pytest.mark.parametrize('what', ['logits', 'label'])
def test_inputs_changed_in_between_are_noticed(what, impl, drawn):
    logits, target, _ = drawn('hard', (1, 3, 4, 4))
    request = Request(logits.requires_grad_() * 1, target)
    overlap = region_sums(request, impl).overlap
    request.tensors()[what].add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        overlap.sum().backward()


@pytest.mark.parametrize('use_reentrant', [False, True])
def test_checkpoint_and_func(use_reentrant, impl, drawn):
    logits, target, _ = drawn('hard', (2, 4, 5, 5))

    def loss(x, impl=impl):
        return region_sums(Request(x, target), impl).overlap.square().sum()

    leaf = logits.clone().requires_grad_()
    checkpoint(loss, leaf, use_reentrant=use_reentrant).backward()
    truth = torch.func.grad(lambda x: loss(x, 'reference'))(logits)
    assert_close(leaf.grad, truth)
    assert_close(torch.func.grad(loss)(logits), truth)


@pytest.mark.parametrize('is_plain', [False, True])
def test_half_at_a_tie(is_plain, engine):
    """p = (1/2, 1/2) = y: d sum min(p, y) / dp = 1/2, and by z it is 0.

    With y = (1/2, 1/4) the derivatives are 1/2 and 0, so that
    dz_0 = p_0 (1/2 - p_0 / 2) = 1/8 and dz_1 = -1/8.
    """
    impl, device = engine
    impl = 'reference' if is_plain else impl
    logits = torch.zeros(1, 2, 1, device=device, requires_grad=True)
    for label, expected in (([0.5, 0.5], 0.0), ([0.5, 0.25], 0.125)):
        value = torch.tensor(label, device=device).view(1, 2, 1)
        request = Request(logits, Probabilities(value))
        overlap = region_sums(request, impl).overlap
        (gradient,) = torch.autograd.grad(overlap.sum(), logits)
        assert gradient.flatten().tolist() == [expected, -expected]


def test_equal_logits_are_all_hits(engine):
    """Three logits tie at the top, and two labels are among them."""
    impl, device = engine
    logits = torch.tensor([[2.0, 2.0], [2.0, 1.0], [2.0, 2.0]], device=device)
    label = torch.tensor([[1, 1]], device=device)
    request = Request(logits.unsqueeze(0), HardLabel(label), with_hits=True)
    assert region_sums(request, impl).hits.tolist() == [1]
    label[0, 1] = 2
    assert region_sums(request, impl).hits.tolist() == [2]


@EACH
@SIGMOID
@pytest.mark.parametrize('kind', ['hard', 'boundary'])
@pytest.mark.parametrize('options', [ALL, CE], ids=str)
def test_nothing_but_ignored_pixels(
    options, kind, use_sigmoid, classes, low, impl, drawn
):
    logits, target, _ = drawn(kind, (2, classes, 3, 4))
    target.label.fill_(255)
    options = dict(options, use_sigmoid=use_sigmoid)
    result = run(lowered(logits, low), target, None, impl, **options)
    for name, value in by_name(*result).items():
        assert value is None or (value == 0).all(), name


@CLASSES
@pytest.mark.parametrize('kind', ['hard', 'boundary'])
def test_a_label_that_is_no_class_does_not_count(kind, classes, impl, drawn):
    """Nor is memory read or written where it would point to."""
    logits, target, _ = drawn(kind, (2, classes, 2, 7))
    target.label[:, 0] = 255
    expected = run(logits, target, None, impl, **ALL)
    strange = [-1, -100, 200, 256, 2**31, 2**32 + 1, -(2**62)]
    target.label[:, 0] = torch.tensor(strange).to(target.label)
    assert_same(run(logits, target, None, impl, **ALL), expected)


def assert_first_row_is_silent(data, fill, impl, **options):
    """Whatever it is filled with, once its weight is 0."""
    logits, target, weight = data
    weight[:, 0] = 0
    expected = run(*data, impl, **options)
    fill(logits, target)
    result = run(*data, impl, **options)
    assert_same(result, expected)
    assert (result[1][:, :, 0] == 0).all()


@CLASSES
@SIGMOID
@pytest.mark.parametrize('kind', KINDS)
def test_pixels_of_weight_0_may_hold_anything(
    kind, use_sigmoid, classes, impl, drawn
):
    sigmoid = dict(use_sigmoid=use_sigmoid)
    data = drawn(kind, (2, classes, 3, 4), weighted=True, **sigmoid)

    def fill(logits, target):
        logits[:, :, 0] = torch.where(logits[:, :, 0] > 0, 3e38, -3e38)
        if isinstance(target, HardLabel):
            target.label[:, 0] = 1
        else:
            target.value[:, :, 0] = -3e38

    assert_first_row_is_silent(data, fill, impl, **ALL, **sigmoid)


@SIGMOID
@pytest.mark.parametrize('norm', [1.5, 2])
def test_powers_of_labels_of_weight_0_may_overflow(
    norm, use_sigmoid, impl, drawn
):
    sigmoid = dict(use_sigmoid=use_sigmoid)
    options = dict(CE, norm=norm, **sigmoid)
    data = drawn('soft', (2, 5, 3, 4), weighted=True, **sigmoid)
    data[2][:, 0] = 0

    def fill(logits, target):
        target.value[:, :, 0] = 1e30

    if assert_right_or_refused(data, impl, options):
        assert_first_row_is_silent(data, fill, impl, **options)


@pytest.mark.parametrize('options', [ALL, dict(CE, with_product=True)])
@pytest.mark.parametrize(
    ('shape', 'low'),
    [((0, 3, 4, 4), False), ((0, 3, 4, 4), True), ((2, 3, 0, 4), False)],
)
def test_no_pixels(shape, options, low, engine):
    impl, device = engine
    logits = torch.randn(shape, device=device)
    label = torch.zeros_like(logits[:, 0]).long()
    logits = lowered(logits, low)
    sums, gradient = run(logits, HardLabel(label), None, impl, **options)
    assert sums.by_class.shape == (shape[0], 4, 3)
    assert sums.by_image.shape == (shape[0], 2)
    for name, value in by_name(sums, gradient).items():
        assert value is None or (value == 0).all(), name
    assert gradient.shape == logits.shape


@SIGMOID
def test_extreme_logits_stay_finite(use_sigmoid, engine):
    impl, device = engine
    logits = torch.tensor([[[1e4, -1e4, 88.0], [-1e4, -1e4, -88.0]]])
    target = HardLabel(torch.tensor([[1, 0, 0]], device=device))
    data = logits.to(device), target, None
    gradient = assert_right(*data, impl, use_sigmoid=use_sigmoid, **CE)
    assert gradient.isfinite().all()


@pytest.mark.parametrize('kind', KINDS)
def test_large_logits_neither_overflow_nor_cancel(kind, impl, drawn):
    """Numbers around 3000 that differ by a few units."""
    logits, target, weight = drawn(kind, (2, 5, 6, 7))
    logits[0] += 3000
    logits[1] += 4000
    assert_right(logits, target, weight, impl, **CE)


@pytest.mark.parametrize('classes', [4, 260])
def test_classes_ruled_out_by_minus_infinity(classes, engine):
    """The first and the last; torch's cross_entropy is the oracle."""
    impl, device = engine
    logits = torch.randn(2, classes, 5, device=device)
    logits[:, classes // 2 :] = -torch.inf
    logits[:, 0] = -torch.inf
    if classes > 200:
        logits[:, :9] = -torch.inf  # more than a chunk
    label = torch.full((2, 5), classes // 2 - 1, device=device)
    expected = F.cross_entropy(logits.double(), label, reduction='none')
    onehot = HardLabel(label).dense(classes, torch.float32)
    for target in (HardLabel(label), Probabilities(onehot)):
        sums, gradient = run(logits, target, None, impl, **CE)
        assert_close(sums.cross_entropy, expected.sum(1))
        assert gradient.isfinite().all()
        assert not gradient[:, classes // 2 :].any()
