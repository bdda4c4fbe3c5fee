"""What the Jaccard metric loss must obey; each test is named for its law."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close

from mmseg_jml.kernels import HardLabel, TeacherLogits
from tests.functional.on_device import LEVELS, loss_and_gradient, loss_of
from tests.tolerances import SUMMED

CLASSES, PIXELS = 5, 40
VARIANTS = ('jml1', 'jml2')
CE = dict(ce_weight=0.5)


def distributions(seed, count=1, concentration=0.5):
    """``count`` soft labels (1, C, P) whose pixels are distributions."""
    rng = np.random.default_rng(seed)
    value = rng.dirichlet([concentration] * CLASSES, (count, 1, PIXELS))
    return torch.tensor(value).transpose(2, 3)


def random_logits(seed, images=2, shape=(CLASSES, PIXELS)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, *shape, generator=generator)
    return 2 * logits.double()


def random_label(seed, images=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, CLASSES, (images, PIXELS), generator=generator)


def one_hot(label):
    return F.one_hot(label, CLASSES).transpose(1, 2).double()


def distance(a, b, impl='auto', **options):
    """The loss between two soft labels, as a function of the two."""
    return loss_of(a.log(), b, impl=impl, smooth=0.0, **options)


@pytest.mark.parametrize('variant', VARIANTS)
def test_hard_labels_make_jml1_jml2_and_soft_jaccard_one(variant, impl):
    """Value and gradient; the soft Jaccard is I / (P + Y - I)."""
    logits, label = random_logits(0).requires_grad_(), random_label(0)
    prob, hot = logits.softmax(1), one_hot(label)
    inter, total = (prob * hot).sum((0, 2)), (prob + hot).sum((0, 2))
    soft = (1 - (inter + 1) / (total - inter + 1)).mean()
    expected = soft.detach(), *torch.autograd.grad(soft, logits)
    found = loss_and_gradient(logits, label, impl=impl, variant=variant)
    assert_close(found, expected)


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('seed', range(5))
def test_loss_is_zero_at_the_soft_label_and_only_there(variant, seed, impl):
    label, other = distributions(seed, 2)
    assert distance(label, label, impl, variant=variant).abs() < SUMMED
    for step in (1e-3, 0.1, 1.0):
        mixed = (1 - step) * label + step * other
        assert distance(mixed, label, impl, variant=variant) > 1e-5


def test_soft_jaccard_is_not_minimal_at_a_soft_label_and_jml_is(impl):
    """One pixel, y = (.7, .3): the minima are near p = .845 and at .7."""
    label = torch.tensor([[[0.7], [0.3]]], dtype=torch.float64)
    grid = torch.arange(0.5, 0.999, 0.0005, dtype=torch.float64)
    prob = torch.stack([grid, 1 - grid]).unsqueeze(0)  # (1, 2, grid)
    inter = prob * label
    soft = (1 - inter / (prob + label - inter)).mean(1)[0]
    # where .845 is rounded
    assert abs(grid[soft.argmin()].item() - 0.845) < 5e-3
    jml = [distance(p, label, impl) for p in prob.split(1, 2)]
    # the grid has steps of 5e-4
    assert abs(grid[torch.stack(jml).argmin()].item() - 0.7) < 1e-3


@pytest.mark.parametrize('variant', VARIANTS)
def test_symmetry(variant, impl):
    a, b = distributions(3, 2)
    there = distance(a, b, impl, variant=variant)
    assert_close(there, distance(b, a, impl, variant=variant))


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('concentration', [0.05, 0.5, 5.0])
def test_triangle_inequality(variant, concentration, impl):
    for seed in range(60):
        a, b, c = distributions(seed, 3, concentration)[..., :2].clamp(1e-12)
        sides = [
            distance(x, y, impl, variant=variant).item()
            for x, y in ((a, b), (b, c), (a, c))
        ]
        assert max(sides) <= sum(sides) - max(sides) + SUMMED


@pytest.mark.parametrize('soft', [False, True])
def test_values_lie_between_zero_and_one(soft, impl):
    for seed in range(10):
        label = distributions(seed, 2)[:, 0] if soft else random_label(seed)
        for levels in ({}, LEVELS):
            logits = 10 * random_logits(seed)
            assert 0 <= loss_of(logits, label, impl=impl, **levels) <= 1


@pytest.mark.parametrize('soft', [False, True])
def test_renaming_classes_changes_nothing(soft, impl):
    logits = random_logits(1)
    label = distributions(1, 2)[:, 0] if soft else random_label(1)
    order = torch.tensor([3, 0, 4, 1, 2])
    renamed = label[:, order] if soft else order.argsort()[label]
    keywords = dict(LEVELS, impl=impl)
    value, grad = loss_and_gradient(logits, label, **keywords)
    other = loss_and_gradient(logits[:, order], renamed, **keywords)
    assert_close(other, (value, grad[:, order]))


@pytest.mark.parametrize(
    'options', [{}, LEVELS, dict(variant='jml2')], ids=str
)
def test_a_one_hot_soft_label_is_the_hard_label(options, impl):
    logits, label = random_logits(2), random_label(2)
    label[0, :9] = 255
    keywords = dict(CE, mode='PRESENT', impl=impl, **options)
    keywords['class_weight'] = torch.tensor([1.0, 2.0, 0.5, 1.0, 1.0])
    hard = loss_and_gradient(logits, label, **keywords)
    hot, weight = one_hot(label.clamp(max=4)), (label != 255).double()
    soft = loss_and_gradient(logits, hot, weight, **keywords)
    assert_close(hard, soft)


@pytest.mark.parametrize('kind', ['hard', 'uniform', 'soft'])
def test_ignored_pixels_change_neither_value_nor_gradient(kind, impl):
    logits, target = random_logits(4), random_label(4)
    target[:, ::3] = 255
    keywords = dict(CE, impl=impl, **LEVELS)
    if kind == 'uniform':
        keywords['label_smoothing'] = dict(mode='uniform', epsilon=0.3)
    if kind == 'soft':
        keywords['weight'] = (target != 255).double()
        target = distributions(4, 2)[:, 0]
    value, grad = loss_and_gradient(logits, target, **keywords)
    assert not grad[..., ::3].any()
    logits[..., ::3] = 50 * torch.randn_like(logits[..., ::3])
    again = loss_and_gradient(logits, target, **keywords)
    assert_close(again, (value, grad))


@pytest.mark.parametrize('ce_weight', [0.0, 0.5])
def test_padding_with_ignored_pixels_is_a_no_op(ce_weight, impl):
    logits, label = random_logits(5), random_label(5)
    keywords = dict(LEVELS, ce_weight=ce_weight, impl=impl)
    value, grad = loss_and_gradient(logits, label, **keywords)
    more = F.pad(logits, (0, 17)), F.pad(label, (0, 17), value=255)
    padded = loss_and_gradient(*more, **keywords)
    assert_close(padded, (value, F.pad(grad, (0, 17))))


@pytest.mark.parametrize('mode', ['PRESENT', 'ALL', 'PROB'])
@pytest.mark.parametrize('levels', [{}, LEVELS], ids=str)
def test_an_ignored_image_counts_for_nothing(levels, mode, impl):
    logits, label = random_logits(6, 3), random_label(6, 3)
    label[1] = 255
    kept = [0, 2]
    keywords = dict(CE, mode=mode, impl=impl, **levels)
    value, grad = loss_and_gradient(logits, label, **keywords)
    fewer = loss_and_gradient(logits[kept], label[kept], **keywords)
    assert_close(fewer, (value, grad[kept]))
    assert not grad[1].any()


@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('mode', ['ALL', 'PRESENT', 'PROB', 'BOTH', [1]])
@pytest.mark.parametrize('smooth', [0.0, 1.0])
def test_an_all_ignored_batch_is_zero_with_a_zero_gradient(
    smooth, mode, use_sigmoid, impl
):
    label = torch.full((2, PIXELS), 255)
    keywords = dict(CE, use_sigmoid=use_sigmoid, mode=mode, impl=impl)
    keywords.update(LEVELS, smooth=smooth)
    value, grad = loss_and_gradient(random_logits(7), label, **keywords)
    assert value == 0
    assert torch.equal(grad, torch.zeros_like(grad))


@pytest.mark.parametrize('shape', [(0, CLASSES, 4), (2, CLASSES, 0)])
def test_no_pixels_at_all_is_zero(shape, impl):
    logits = torch.zeros(shape)
    label = torch.zeros(shape[0], shape[2], dtype=torch.long)
    loss, grad = loss_and_gradient(logits, label, impl=impl, **CE, **LEVELS)
    assert loss == 0
    assert grad.shape == shape


@pytest.mark.parametrize('smooth', [0.0, 1e-3, 1.0])
def test_an_absent_class_is_finite(smooth, impl):
    label = torch.zeros(2, PIXELS, dtype=torch.long)
    logits = random_logits(8)
    logits[:, 3] = -1000.0  # p underflows to exactly 0
    keywords = dict(LEVELS, mode='ALL', smooth=smooth, impl=impl)
    for value in loss_and_gradient(logits, label, **keywords):
        assert value.isfinite().all()


@pytest.mark.parametrize('temperature', [0.5, 1.0, 4.0])
def test_teacher_logits_are_their_probabilities(temperature, impl):
    logits, teacher = random_logits(9), random_logits(10)
    by_logits = TeacherLogits(teacher, temperature)
    assert_close(
        loss_and_gradient(logits, by_logits, impl=impl, **CE),
        loss_and_gradient(
            logits, (teacher / temperature).softmax(1), impl=impl, **CE
        ),
    )


def test_smoothing_everywhere_is_the_dense_smooth_label(impl):
    logits, label = random_logits(11), random_label(11)
    keywords = dict(CE, impl=impl)
    dense = 0.8 * one_hot(label).to(logits) + 0.2 / CLASSES
    expected = loss_and_gradient(logits, dense, **keywords)
    keywords['label_smoothing'] = dict(mode='uniform', epsilon=0.2)
    assert_close(loss_and_gradient(logits, label, **keywords), expected)


@pytest.mark.parametrize('norm', [1, 2, 1.5])
@pytest.mark.parametrize('kind', ['hard', 'boundary', 'soft', 'teacher'])
def test_gradcheck_away_from_ties(kind, norm, impl):
    logits, teacher, target = (
        random_logits(seed, shape=(3, 4, 4)) for seed in range(3)
    )
    target = target.argmax(1)
    target[0, 0] = 255
    keywords = dict(CE, impl=impl, norm=norm, **LEVELS)
    if kind == 'boundary':
        keywords['label_smoothing'] = dict(mode='boundary', epsilon=0.5)
    elif kind == 'soft':
        target = teacher.softmax(1)
    elif kind == 'teacher':
        target = TeacherLogits(teacher)
    assert torch.autograd.gradcheck(
        lambda z: loss_of(z, target, **keywords), logits.requires_grad_()
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_float32(dtype, impl):
    """100,000 pixels of probability 1/2: float16 overflows at 65,504."""
    logits = torch.zeros(1, 2, 100_000, dtype=dtype)
    label = torch.zeros(1, 100_000, dtype=torch.long)
    loss, gradient = loss_and_gradient(logits, label, impl=impl)
    assert loss.dtype == torch.float32
    assert gradient.dtype == dtype
    assert_close(loss.item(), 1 - 50_001 / 100_001)


def test_autocast_does_not_reach_the_sums(device, impl):
    data = random_logits(12).float(), random_label(12)
    plain = loss_and_gradient(*data, impl=impl, **CE)
    with torch.autocast(device.type, torch.bfloat16):
        cast = loss_and_gradient(*data, impl=impl, **CE)
    assert all(map(torch.equal, plain, cast))


def test_a_hard_target_object_is_the_label(impl):
    logits, label = random_logits(13), random_label(13)
    found = loss_and_gradient(logits, HardLabel(label), impl=impl)
    assert_close(found, loss_and_gradient(logits, label, impl=impl))
    assert found[0] > 0
