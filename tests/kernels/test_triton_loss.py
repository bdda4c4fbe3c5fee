"""What is known of the loss holds through Triton's kernels, in float32.

The paper authors' recorded values, loops in float64, and the laws are those
of tests/functional, which run the other implementations in float64.
"""

import functools

import pytest
import torch

from mmseg_jml.functional import RegionLossOptions, jaccard_metric_loss
from tests.functional import test_against_loops as loops
from tests.functional import test_golden as golden
from tests.functional import test_laws as laws

pytest.importorskip('mmseg_jml.kernels.triton.engine')
from tests.functional.test_laws import (  # noqa: E402, F401
    test_a_hard_target_object_is_the_label,
    test_a_one_hot_soft_label_is_the_hard_label,
    test_an_absent_class_is_finite,
    test_an_all_ignored_batch_is_zero_with_a_zero_gradient,
    test_an_ignored_image_counts_for_nothing,
    test_hard_labels_make_jml1_jml2_and_soft_jaccard_one,
    test_ignored_pixels_change_neither_value_nor_gradient,
    test_no_pixels_at_all_is_zero,
    test_padding_with_ignored_pixels_is_a_no_op,
    test_renaming_classes_changes_nothing,
    test_smoothing_everywhere_is_the_dense_smooth_label,
    test_symmetry,
    test_teacher_logits_are_their_probabilities,
    test_values_lie_between_zero_and_one,
)

LEVELS = dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3)


@pytest.fixture
def impl(device):
    if device == 'cuda':
        pytest.skip('tests/functional draws on the CPU')
    return 'triton'


@pytest.fixture(autouse=True)
def _float32(monkeypatch):
    """Draws the laws' numbers in float32, and compares them as such."""
    for name in ('random_logits', 'distributions'):
        draw = getattr(laws, name)
        monkeypatch.setattr(
            laws,
            name,
            lambda *args, draw=draw, **kwargs: draw(*args, **kwargs).float(),
        )
    close = functools.partial(
        torch.testing.assert_close, rtol=1e-4, atol=1e-6, check_dtype=False
    )
    monkeypatch.setattr(torch.testing, 'assert_close', close)


@pytest.mark.parametrize('case', golden.CASES, ids=lambda c: f'{c["case"]}')
def test_recorded_values_and_gradients(case, impl):
    """Norms other than 1 and 2 are refused."""
    if case.get('norm', 1) in (1, 2):
        golden.test_value_and_gradient(case, torch.float32, impl)
    else:
        with pytest.raises(ValueError, match='but norm is'):
            golden.test_value_and_gradient(case, torch.float32, impl)


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('mode', loops.ACTIVE)
@pytest.mark.parametrize('options', [LEVELS, *loops.OPTIONS], ids=str)
def test_loops(options, mode, soft, impl):
    if options.get('norm') == 1.5:
        options = options | dict(norm=2)  # others are refused
    logits, label, weight = loops.draw(0, soft)
    logits[:, 3] -= 12  # below the threshold in PROB
    modes = dict(active_classes_mode_hard=mode, active_classes_mode_soft=mode)
    label_there = torch.tensor(label)
    result = jaccard_metric_loss(
        torch.tensor(logits).float(),
        label_there.float() if soft else label_there,
        torch.tensor(weight).float(),
        options=RegionLossOptions(**options, **modes),
        impl=impl,
    )
    expected = loops.expected(logits, label, weight, mode, options)
    assert result.item() == pytest.approx(expected, abs=1e-5)
