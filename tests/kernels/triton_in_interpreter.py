"""What the Triton kernels compute, seen on a CPU by Triton's interpreter.

Run by test_triton.py in a process of its own, since TRITON_INTERPRET=1 has to
be set before triton is imported. Uninitialised memory is filled with NaN.
"""

import math
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    RegionSums,
    TeacherLogits,
    region_sums,
    triton_function,
    triton_region_sums,
)

# what the golden cases and the loops say of any implementation
from tests.functional.test_against_loops import (  # noqa: F401
    test_active_classes,
    test_class_weight_multiplies_terms,
    test_one_channel_head_predicts_label_one,
    test_options,
    test_sigmoid_heads_treat_classes_alone,
)
from tests.functional.test_golden import test_value_and_gradient  # noqa: F401
from tests.kernels.cases import KINDS, OPTIONS, draw, run

CE = dict(with_cross_entropy=True)


@pytest.fixture
def impl():
    return 'triton'


@pytest.fixture(autouse=True)
def _unwritten_memory_is_nan():
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@contextmanager
def fill_uninitialized_memory(value):
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = value
    yield
    torch.utils.deterministic.fill_uninitialized_memory = before


def check(logits, target, weight=None, slack=0, **options):
    """The kernels against the formulas in float64 on the same numbers.

    They may be off by what the formulas in PyTorch are, plus a little.
    """
    before = logits.clone()
    ours = run(logits, target, weight, 'triton', **options)
    plain = run(logits, target, weight, 'reference', **options)
    truth = run(logits.double(), target, weight, 'reference', **options)
    assert torch.equal(logits, before)
    assert ours[1].dtype == logits.dtype
    names = (*RegionSums._fields, 'gradient')
    for name, value, usual, right in zip(
        names, *((*sums, gradient) for sums, gradient in (ours, plain, truth))
    ):
        assert (value is None) == (right is None), name
        if value is not None:
            assert name == 'gradient' or value.dtype == torch.float64
            extra = slack if name == 'gradient' else 0
            close(value, right, name, usual, extra)
    return ours[1]


def close(value, right, name, usual=None, slack=0):
    assert value.shape == right.shape, name
    allowed = (2e-6 + slack) * right.abs().max()
    if usual is not None:
        allowed = allowed + (usual - right).abs().max()
    error = (value - right).abs().max()
    assert error <= allowed, f'{name} is off by {error}'


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', KINDS)
def test_every_option_equals_the_formulas(kind, options, weighted):
    data = draw(
        kind,
        (2, 5, 7, 9),
        torch.float32,
        weighted,
        options.get('use_sigmoid', False),
    )
    check(*data, **options)


@pytest.mark.parametrize('kind', ['hard', 'boundary', 'teacher'])
@pytest.mark.parametrize('classes', [2, 19, 21, 25, 33, 64, 97, 150, 171, 192])
def test_any_number_of_classes(classes, kind):
    data = draw(kind, (1, classes, 3, 17), torch.float32)
    check(*data, with_product=True, **CE)


@pytest.mark.parametrize('classes', [1, 3, 30])
def test_sigmoid_with_any_number_of_classes(classes):
    logits, _, _ = draw('hard', (2, classes, 5, 5), torch.float32)
    target = Probabilities(torch.rand(logits.shape).round())
    check(logits, target, use_sigmoid=True, **CE)


@pytest.mark.parametrize('kind', ['hard', 'teacher'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype, kind):
    """Sums are those of the rounded logits.

    The interpreter casts to bfloat16 towards zero, which a GPU does not
    (test_triton.py), and thus doubles what rounding may take.
    """
    slack = 2**-8 if dtype == torch.bfloat16 else 0
    check(*draw(kind, (2, 19, 5, 9), dtype), slack=slack, **CE)


LAYOUTS = {
    'channels last': lambda x: x.to(memory_format=torch.channels_last),
    'slice': lambda x: x.repeat(1, 2, 2, 2)[:, 1:7, 2:9, 3:12],
    'steps': lambda x: x.repeat_interleave(2, 2).repeat_interleave(3, 3)[
        :, :, ::2, ::3
    ],
    'transposed': lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    'far apart': lambda x: F.interpolate(x, scale_factor=50)[
        :, :, ::50, ::50
    ],
    'expanded': lambda x: x[:1].expand(3, -1, -1, -1),
    'batch last': lambda x: x.permute(1, 2, 3, 0).contiguous()
    .permute(3, 0, 1, 2),
}  # fmt: skip


@pytest.mark.parametrize('layout', LAYOUTS)
def test_strides(layout):
    logits = LAYOUTS[layout](torch.randn(3, 6, 7, 9))
    assert not logits.is_contiguous()
    teacher = TeacherLogits(LAYOUTS[layout](torch.randn(3, 6, 7, 9)))
    weight = torch.rand(3, 9, 7).transpose(1, 2)
    label = draw('hard', logits.shape)[1].label
    label = label.transpose(1, 2).contiguous().transpose(1, 2)
    check(logits, HardLabel(label), weight, **CE)
    check(torch.randn(logits.shape), teacher, weight, **CE)
    gradient = check(logits, teacher, weight, **CE)
    if layout in ('channels last', 'transposed', 'batch last'):
        assert gradient.stride() == logits.stride()


@pytest.mark.parametrize('space', [(), (11,), (3, 5), (2, 3, 4), (2, 2, 3, 2)])
def test_any_number_of_spatial_dimensions(space):
    shape = (3, 4, *space)
    label = torch.randint(4, (3, *space))
    check(torch.randn(shape), HardLabel(label), **CE)
    logits = torch.randn(shape[::-1]).permute(*range(len(shape))[::-1])
    check(logits, TeacherLogits(torch.randn(shape)), **CE)


@pytest.mark.parametrize('stride', [2**30 - 20, 2**30])
@pytest.mark.parametrize('kind', ['hard', 'teacher'])
def test_offsets_beyond_32_bits(kind, stride):
    """Three classes that far apart end just below 2^31 elements, or above.

    Of the memory that holds them only the pages that are read come to be.
    """
    with fill_uninitialized_memory(False):
        far = torch.empty(2 * stride + 40, dtype=torch.float16)
    logits = far.as_strided((1, 3, 4, 5), (1, stride, 10, 2))
    logits.copy_(torch.randn(1, 3, 4, 5))
    wide = triton_function._span(logits) >= 2**31
    assert wide == (stride == 2**30)
    near, target, _ = draw(kind, logits.shape, torch.float32)
    check(logits, target, **CE)
    check(near, TeacherLogits(logits), **CE)


@pytest.mark.parametrize('classes', [3, 30])
def test_several_tiles_and_programs(classes, monkeypatch):
    original = triton_function.launch_configuration

    def three_tiles(*arguments):
        return original(*arguments) | dict(tiles=3)

    monkeypatch.setattr(triton_function, 'launch_configuration', three_tiles)
    check(*draw('boundary', (2, classes, 29, 31), torch.float32), **CE)


def test_large_inputs_take_several_tiles_a_program():
    few = triton_function.launch_configuration(19, 128 * 1024)
    many = triton_function.launch_configuration(19, 8 * 512 * 1024)
    assert (few['tiles'], many['tiles']) == (1, 32)


@pytest.mark.parametrize('kind', ['hard', 'soft'])
@pytest.mark.parametrize(
    'name', ['prediction', 'overlap', 'product', 'cross_entropy']
)
def test_gradient_of_one_sum(name, kind):
    logits, target, _ = draw(kind, (2, 5, 4, 4), torch.float32)

    def gradient(leaf, impl):
        leaf = leaf.detach().requires_grad_()
        sums = region_sums(leaf, target, with_product=True, impl=impl, **CE)
        value = getattr(sums, name).square().sum()
        return torch.autograd.grad(value, leaf)[0]

    expected = gradient(logits.double(), 'reference')
    close(gradient(logits, 'triton').double(), expected, name)


def test_a_second_backward_gives_the_same():
    logits, target, _ = draw('hard', (2, 5, 6, 6), torch.float32)
    logits.requires_grad_()
    sums = region_sums(logits, target, impl='triton', **CE)
    loss = sums.overlap.square().sum() + sums.cross_entropy.sum()
    first = torch.autograd.grad(loss, logits, retain_graph=True)[0]
    kept = first.clone()
    second = torch.autograd.grad(loss, logits)[0]
    assert torch.equal(kept, first)
    assert torch.equal(first, second)


def test_double_backward_is_refused():
    logits, target, _ = draw('hard', (1, 3, 4, 4), torch.float32)
    logits.requires_grad_()
    overlap = region_sums(logits, target, impl='triton').overlap
    (gradient,) = torch.autograd.grad(overlap.sum(), logits, create_graph=True)
    with pytest.raises(NotImplementedError, match="impl='triton', but got"):
        gradient.sum().backward()


def test_logits_changed_in_between_are_noticed():
    logits, target, _ = draw('hard', (1, 3, 4, 4), torch.float32)
    changed = logits.requires_grad_() * 1
    overlap = region_sums(changed, target, impl='triton').overlap
    changed.add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        overlap.sum().backward()


def test_checkpoint_and_func():
    logits, target, _ = draw('hard', (2, 4, 5, 5), torch.float32)

    def loss(x, impl='triton'):
        sums = region_sums(x, target, impl=impl)
        return sums.overlap.square().sum()

    leaf = logits.clone().requires_grad_()
    checkpoint(loss, leaf, use_reentrant=False).backward()
    truth = logits.double().requires_grad_()
    loss(truth, 'reference').backward()
    close(leaf.grad.double(), truth.grad, 'checkpoint')
    close(torch.func.grad(loss)(logits).double(), truth.grad, 'func')


def test_half_at_a_tie():
    """p = (1/2, 1/2) = y: d sum min(p, y) / dp = 1/2, and by z it is 0.

    With y = (1/2, 1/4) the derivatives are 1/2 and 0, so that
    dz_0 = p_0 (1/2 - p_0 / 2) = 1/8 and dz_1 = -1/8.
    """
    logits = torch.zeros(1, 2, 1, requires_grad=True)
    for label, expected in (([0.5, 0.5], 0.0), ([0.5, 0.25], 0.125)):
        target = Probabilities(torch.tensor(label).view(1, 2, 1))
        overlap = region_sums(logits, target, impl='triton').overlap
        (gradient,) = torch.autograd.grad(overlap.sum(), logits)
        assert gradient.flatten().tolist() == [expected, -expected]


@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('kind', ['hard', 'boundary'])
def test_nothing_but_ignored_pixels(kind, use_sigmoid):
    logits, target, _ = draw(kind, (2, 5, 4, 4), torch.float32)
    target.label.fill_(255)
    sums, gradient = run(
        logits, target, None, 'triton', use_sigmoid=use_sigmoid, **CE
    )
    assert all((v == 0).all() for v in sums if v is not None)
    assert (gradient == 0).all()


@pytest.mark.parametrize('shape', [(0, 3, 4, 4), (2, 3, 0, 4)])
def test_no_pixels(shape):
    label = torch.zeros((shape[0], *shape[2:]), dtype=torch.long)
    sums, gradient = run(torch.randn(shape), HardLabel(label), None, 'triton')
    assert sums.overlap.shape == shape[:2]
    assert all((v == 0).all() for v in sums if v is not None)
    assert gradient.shape == shape


@pytest.mark.parametrize('use_sigmoid', [False, True])
def test_extreme_logits_stay_finite(use_sigmoid):
    logits = torch.tensor([[[1e4, -1e4, 88.0], [-1e4, -1e4, -88.0]]])
    target = HardLabel(torch.tensor([[1, 0, 0]]))
    check(logits, target, use_sigmoid=use_sigmoid, **CE)


def test_an_infinite_logit_of_another_class():
    """A class masked out by -inf; torch's cross_entropy is the oracle."""
    logits = torch.randn(2, 4, 5)
    logits[:, 3] = float('-inf')
    label = torch.randint(3, (2, 5))
    expected = F.cross_entropy(logits.double(), label, reduction='none')
    onehot = HardLabel(label).dense(4, torch.float32)
    for target in (HardLabel(label), Probabilities(onehot)):
        sums, gradient = run(logits, target, None, 'triton', **CE)
        close(sums.cross_entropy, expected.sum(1), 'cross_entropy')
        assert gradient.isfinite().all()


def test_small_cross_entropies_keep_their_digits():
    """log(1 + e), where PyTorch rounds 1 + e to 1: the series e - e^2 / 2."""
    logits = torch.tensor([[[-20.0], [-30.0]]])
    target = Probabilities(torch.zeros(1, 2, 1))
    sums = region_sums(logits, target, use_sigmoid=True, impl='triton', **CE)
    expected = math.exp(-20) - math.exp(-40) / 2 + math.exp(-30)
    assert sums.cross_entropy.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('change', ['norm', 'float64', 'classes'])
def test_the_rest_is_left_to_the_chunked_implementation(change):
    dtype = torch.float64 if change == 'float64' else torch.float32
    shape = (1, 193 if change == 'classes' else 4, 3, 3)
    norm = 1.5 if change == 'norm' else 1
    data = draw('soft', shape, dtype)
    assert triton_region_sums.unsupported(data[0], norm)
    check(*data, norm=norm, **CE)
