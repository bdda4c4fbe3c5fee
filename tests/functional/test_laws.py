"""What the Jaccard metric loss must obey; each test is named for its law."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mmseg_jml import functional, kernels
from mmseg_jml.functional import RegionLossOptions
from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    TeacherLogits,
)
from tests.devices import on_device

jaccard_metric_loss = on_device(functional.jaccard_metric_loss)
overlap_index = on_device(functional.overlap_index)
region_sums = on_device(kernels.region_sums)

CLASSES, PIXELS = 5, 40
LEVELS = dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3)
EXACT = RegionLossOptions(smooth=0.0, active_classes_mode_hard='ALL')


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


def distance(a, b, impl='auto', **options):
    """The loss between two soft labels, as a function of the two."""
    keywords = dict(smooth=0.0) | options
    return jaccard_metric_loss(
        a.log(), b, options=RegionLossOptions(**keywords), impl=impl
    )


def gradient(logits, target, **keywords):
    logits = logits.detach().requires_grad_()
    loss = jaccard_metric_loss(logits, target, **keywords)
    loss.backward()
    return loss.detach(), logits.grad


def test_hard_labels_make_jml1_jml2_and_soft_jaccard_one(impl):
    """Value and gradient; the soft Jaccard is I / (P + Y - I)."""
    logits, label = random_logits(0), random_label(0)
    results = [
        gradient(
            logits,
            label,
            impl=impl,
            options=RegionLossOptions(variant=variant),
        )
        for variant in ('jml1', 'jml2')
    ]
    logits.requires_grad_()
    prob = logits.softmax(1)
    hot = F.one_hot(label, CLASSES).transpose(1, 2)
    inter, total = (prob * hot).sum((0, 2)), (prob + hot).sum((0, 2))
    soft = (1 - (inter + 1) / (total - inter + 1)).mean()
    soft.backward()
    for value, grad in results:
        torch.testing.assert_close(value, soft.detach())
        torch.testing.assert_close(grad, logits.grad)


@pytest.mark.parametrize('variant', ['jml1', 'jml2'])
@pytest.mark.parametrize('seed', range(5))
def test_loss_is_zero_at_the_soft_label_and_only_there(variant, seed, impl):
    label, other = distributions(seed, 2)
    assert distance(label, label, impl, variant=variant).abs() < 1e-12
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
    assert abs(grid[soft.argmin()].item() - 0.845) < 5e-3
    jml = torch.stack(
        [distance(prob[..., i : i + 1], label, impl) for i in range(len(grid))]
    )
    assert abs(grid[jml.argmin()].item() - 0.7) < 1e-3


@pytest.mark.parametrize('variant', ['jml1', 'jml2'])
def test_symmetry(variant, impl):
    a, b = distributions(3, 2)
    torch.testing.assert_close(
        distance(a, b, impl, variant=variant),
        distance(b, a, impl, variant=variant),
    )


@pytest.mark.parametrize('variant', ['jml1', 'jml2'])
@pytest.mark.parametrize('concentration', [0.05, 0.5, 5.0])
def test_triangle_inequality(variant, concentration, impl):
    for seed in range(60):
        a, b, c = distributions(seed, 3, concentration)[..., :2].clamp(1e-12)
        sides = [
            distance(x, y, impl, variant=variant).item()
            for x, y in ((a, b), (b, c), (a, c))
        ]
        assert max(sides) <= sum(sides) - max(sides) + 1e-12


@pytest.mark.parametrize(
    ('options', 'sets', 'sides'),
    [
        # the sets {1}, {1, 2} and {2} of two pixels
        (
            dict(alpha=0.5, beta=0.5),
            [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
            [1 / 3, 1 / 3, 1.0],
        ),
        # numbers: d(x, y) = 1 - xy / (x^2 + y^2 - xy)
        (
            dict(norm=2),
            [[0.8], [0.9], [1.0]],
            [1 - 72 / 73, 1 - 90 / 91, 1 - 80 / 84],
        ),
    ],
    ids=['dice', 'squared'],
)
def test_dice_and_squared_forms_break_the_triangle_inequality(
    options, sets, sides
):
    """By hand."""

    def side(a, b):
        a, b = torch.tensor([[[a]], [[b]]]).double()
        norm = options.get('norm', 1)
        request = Request(
            a.logit(), Probabilities(b), use_sigmoid=True, norm=norm
        )
        index = overlap_index(
            region_sums(request), RegionLossOptions(smooth=0.0, **options)
        )
        return 1 - index.item()

    a, b, c = sets
    found = side(a, b), side(b, c), side(a, c)
    assert found == pytest.approx(sides)
    assert found[2] > found[0] + found[1]


@pytest.mark.parametrize('soft', [False, True])
def test_values_lie_between_zero_and_one(soft, impl):
    for seed in range(10):
        label = distributions(seed, 2)[:, 0] if soft else random_label(seed)
        for options in (RegionLossOptions(), RegionLossOptions(**LEVELS)):
            loss = jaccard_metric_loss(
                random_logits(seed) * 10, label, options=options, impl=impl
            )
            assert 0 <= loss <= 1


@pytest.mark.parametrize('soft', [False, True])
def test_renaming_classes_changes_nothing(soft, impl):
    logits = random_logits(1)
    label = distributions(1, 2)[:, 0] if soft else random_label(1)
    order = torch.tensor([3, 0, 4, 1, 2])
    renamed = label[:, order] if soft else order.argsort()[label]
    options = RegionLossOptions(**LEVELS)
    value, grad = gradient(logits, label, options=options, impl=impl)
    other, moved = gradient(
        logits[:, order], renamed, options=options, impl=impl
    )
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(grad[:, order], moved)


@pytest.mark.parametrize(
    'options', [{}, LEVELS, dict(variant='jml2')], ids=str
)
def test_a_one_hot_soft_label_is_the_hard_label(options, impl):
    logits, label = random_logits(2), random_label(2)
    label[0, :9] = 255
    weight = (label != 255).double()
    hot = F.one_hot(label.clamp(max=CLASSES - 1), CLASSES)
    modes = dict(active_classes_mode_soft='PRESENT')
    keywords = dict(
        options=RegionLossOptions(**options, **modes),
        ce_weight=0.5,
        class_weight=torch.tensor([1.0, 2.0, 0.5, 1.0, 1.0]),
        impl=impl,
    )
    hard = gradient(logits, label, **keywords)
    soft = gradient(
        logits, hot.transpose(1, 2).double(), weight=weight, **keywords
    )
    torch.testing.assert_close(hard, soft)


@pytest.mark.parametrize('kind', ['hard', 'uniform', 'soft'])
def test_ignored_pixels_change_neither_value_nor_gradient(kind, impl):
    logits = random_logits(4)
    label = random_label(4)
    label[:, ::3] = 255
    weight = None
    target = label
    keywords = dict(
        options=RegionLossOptions(**LEVELS), ce_weight=0.5, impl=impl
    )
    if kind == 'uniform':
        keywords['label_smoothing'] = dict(mode='uniform', epsilon=0.3)
    if kind == 'soft':
        target, weight = distributions(4, 2)[:, 0], (label != 255).double()
    value, grad = gradient(logits, target, weight=weight, **keywords)
    changed = logits.clone()
    changed[..., ::3] = 50 * torch.randn(
        changed[..., ::3].shape, generator=torch.Generator().manual_seed(0)
    )
    again, moved = gradient(changed, target, weight=weight, **keywords)
    torch.testing.assert_close(value, again)
    torch.testing.assert_close(grad, moved)
    assert not grad[..., ::3].any()


@pytest.mark.parametrize('ce_weight', [0.0, 0.5])
def test_padding_with_ignored_pixels_is_a_no_op(ce_weight, impl):
    logits, label = random_logits(5), random_label(5)
    keywords = dict(
        options=RegionLossOptions(**LEVELS), ce_weight=ce_weight, impl=impl
    )
    value, grad = gradient(logits, label, **keywords)
    padded, moved = gradient(
        F.pad(logits, (0, 17)), F.pad(label, (0, 17), value=255), **keywords
    )
    torch.testing.assert_close(value, padded)
    torch.testing.assert_close(F.pad(grad, (0, 17)), moved)


@pytest.mark.parametrize('levels', [{}, LEVELS], ids=str)
def test_an_ignored_image_counts_for_nothing(levels, impl):
    logits, label = random_logits(6, 3), random_label(6, 3)
    label[1] = 255
    kept = [0, 2]
    for mode in ('PRESENT', 'ALL', 'PROB'):
        keywords = dict(
            options=RegionLossOptions(active_classes_mode_hard=mode, **levels),
            ce_weight=0.5,
            impl=impl,
        )
        value, grad = gradient(logits, label, **keywords)
        fewer, part = gradient(logits[kept], label[kept], **keywords)
        torch.testing.assert_close(value, fewer)
        torch.testing.assert_close(grad[kept], part)
        assert not grad[1].any()


@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('mode', ['ALL', 'PRESENT', 'PROB', 'BOTH', [1]])
@pytest.mark.parametrize('smooth', [0.0, 1.0])
def test_an_all_ignored_batch_is_zero_with_a_zero_gradient(
    smooth, mode, use_sigmoid, impl
):
    label = torch.full((2, PIXELS), 255)
    value, grad = gradient(
        random_logits(7),
        label,
        ce_weight=0.5,
        use_sigmoid=use_sigmoid,
        impl=impl,
        options=RegionLossOptions(
            active_classes_mode_hard=mode, smooth=smooth, **LEVELS
        ),
    )
    assert value == 0
    assert torch.equal(grad, torch.zeros_like(grad))


def test_no_pixels_at_all_is_zero(impl):
    for shape in ((0, CLASSES, 4), (2, CLASSES, 0)):
        logits = torch.zeros(shape, requires_grad=True)
        label = torch.zeros(shape[0], shape[2], dtype=torch.long)
        loss = jaccard_metric_loss(
            logits,
            label,
            ce_weight=0.5,
            impl=impl,
            options=RegionLossOptions(**LEVELS),
        )
        loss.backward()
        assert loss == 0
        assert logits.grad.shape == shape


@pytest.mark.parametrize('smooth', [0.0, 1e-3, 1.0])
def test_an_absent_class_is_finite(smooth, impl):
    label = torch.zeros(2, PIXELS, dtype=torch.long)
    logits = random_logits(8)
    logits[:, 3] = -1000.0  # p underflows to exactly 0
    value, grad = gradient(
        logits,
        label,
        impl=impl,
        options=RegionLossOptions(
            active_classes_mode_hard='ALL', smooth=smooth, **LEVELS
        ),
    )
    assert value.isfinite()
    assert grad.isfinite().all()


@pytest.mark.parametrize('temperature', [0.5, 1.0, 4.0])
def test_teacher_logits_are_their_probabilities(temperature, impl):
    logits, teacher = random_logits(9), random_logits(10)
    keywords = dict(ce_weight=0.5, impl=impl)
    by_logits = gradient(
        logits, TeacherLogits(teacher, temperature), **keywords
    )
    by_value = gradient(logits, (teacher / temperature).softmax(1), **keywords)
    torch.testing.assert_close(by_logits, by_value)


def test_smoothing_everywhere_is_the_dense_smooth_label(impl):
    logits, label = random_logits(11), random_label(11)
    hot = F.one_hot(label, CLASSES).transpose(1, 2)
    keywords = dict(ce_weight=0.5, impl=impl)
    smoothed = gradient(
        logits,
        label,
        label_smoothing=dict(mode='uniform', epsilon=0.2),
        **keywords,
    )
    dense = gradient(logits, 0.8 * hot + 0.2 / CLASSES, **keywords)
    torch.testing.assert_close(smoothed, dense)


def test_at_a_tie_the_gradient_is_half_way_between_its_sides(impl):
    """At p = y each of two classes moves its min(p, y) by half of dp."""
    logits = torch.zeros(1, 2, 1, dtype=torch.float64, requires_grad=True)
    tie = Probabilities(torch.full((1, 2, 1), 0.5).double())
    sums = region_sums(Request(logits, tie), impl)
    sums.overlap[0, 0].backward()
    # dT0/dp0 = 1/2 and dp0/dz = (1/4, -1/4)
    torch.testing.assert_close(logits.grad.flatten().tolist(), [0.125, -0.125])


@pytest.mark.parametrize('norm', [1, 2, 1.5])
@pytest.mark.parametrize('kind', ['hard', 'boundary', 'soft', 'teacher'])
def test_gradcheck_away_from_ties(kind, norm, impl):
    logits = random_logits(0, shape=(3, 4, 4)).requires_grad_()
    teacher = random_logits(1, shape=(3, 4, 4))
    target = random_logits(2, shape=(3, 4, 4)).argmax(1)
    target[0, 0] = 255
    smoothing = None
    if kind == 'boundary':
        smoothing = dict(mode='boundary', epsilon=0.5)
    elif kind == 'soft':
        target = teacher.softmax(1)
    elif kind == 'teacher':
        target = TeacherLogits(teacher)

    def loss(z):
        return jaccard_metric_loss(
            z,
            target,
            ce_weight=0.5,
            label_smoothing=smoothing,
            impl=impl,
            options=RegionLossOptions(norm=norm, **LEVELS),
        )

    assert torch.autograd.gradcheck(loss, (logits,))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_float32(dtype, impl):
    """100,000 pixels of probability 1/2: float16 overflows at 65,504."""
    logits = torch.zeros(1, 2, 100_000, dtype=dtype, requires_grad=True)
    label = torch.zeros(1, 100_000, dtype=torch.long)
    loss = jaccard_metric_loss(logits, label, impl=impl)
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad.dtype == dtype
    torch.testing.assert_close(loss.item(), 1 - 50_001 / 100_001)


def test_autocast_does_not_reach_the_sums(device, impl):
    logits, label = random_logits(12).float(), random_label(12)
    plain = gradient(logits, label, ce_weight=0.5, impl=impl)
    with torch.autocast(device.type, torch.bfloat16):
        cast = gradient(logits, label, ce_weight=0.5, impl=impl)
    torch.testing.assert_close(plain, cast, rtol=0, atol=0)


def test_a_hard_target_object_is_the_label(impl):
    logits, label = random_logits(13), random_label(13)
    torch.testing.assert_close(
        gradient(logits, HardLabel(label), impl=impl),
        gradient(logits, label, impl=impl),
    )
    assert gradient(logits, label, options=EXACT, impl=impl)[0] > 0
