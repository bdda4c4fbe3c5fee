"""What is known of the loss holds through Triton's kernels, in float32.

The paper authors' recorded values, loops in float64, and the laws are those
of tests/functional, which run the other implementations in float64.
"""

import functools

import pytest
import torch

from tests.functional import test_against_loops as loops
from tests.functional import test_golden as golden
from tests.functional import test_laws as laws
from tests.functional.on_device import loss_of

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
from tests.tolerances import FLOAT32, RECORDED


@pytest.fixture
def impl(device):
    if device == 'cuda':
        pytest.skip('tests/functional draws on the CPU')
    return 'triton'


def in_float32(draw):
    return lambda *args, **kwargs: draw(*args, **kwargs).float()


@pytest.fixture(autouse=True)
def _float32(monkeypatch):
    """Draws the laws' numbers in float32, and compares them as such."""
    for name in ('random_logits', 'distributions'):
        monkeypatch.setattr(laws, name, in_float32(getattr(laws, name)))
    tolerance = dict(
        rtol=RECORDED[torch.float32], atol=FLOAT32, check_dtype=False
    )
    close = functools.partial(torch.testing.assert_close, **tolerance)
    monkeypatch.setattr(laws, 'assert_close', close)


@pytest.mark.parametrize('case', golden.CASES, ids=golden.number)
def test_recorded_values_and_gradients(case, impl):
    """Norms other than 1 and 2 are refused."""
    if case.get('norm', 1) in (1, 2):
        golden.test_value_and_gradient(case, torch.float32, impl)
    else:
        with pytest.raises(ValueError, match='but norm is'):
            golden.test_value_and_gradient(case, torch.float32, impl)


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('mode', loops.ACTIVE)
@pytest.mark.parametrize('options', loops.OPTIONS, ids=str)
def test_loops(options, mode, soft, impl):
    if options.get('norm') == 1.5:
        options = dict(options, norm=2)  # others are refused
    logits, label, weight = loops.draw(0, soft)
    logits[:, 3] -= 12  # below the threshold in PROB
    prob = loops.softmax(logits)
    expected = loops.by_loops(prob, label, weight, mode, **options)
    data = [torch.tensor(value) for value in (logits, label, weight)]
    data = [x.float() if x.is_floating_point() else x for x in data]
    result = loss_of(*data, mode=mode, impl=impl, **options).item()
    assert result == pytest.approx(expected, abs=RECORDED[torch.float32])
