"""Numbers over iterations, against values worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, RandomSampler

from mmseg_jml.supervision.schedule import Schedule


def values(option, *steps, max_iters=100):
    schedule = Schedule.parse('weight', option)
    return [schedule(step, max_iters) for step in steps]


def test_a_number_stays():
    assert values(0.5, 0, 99) == [0.5, 0.5]
    assert not Schedule.parse('weight', 2).changes


def test_constant_stays_at_its_start():
    assert values(dict(type='constant', start=3), 0, 50) == [3, 3]


def test_linear_reaches_its_stop_at_the_end_of_the_run():
    option = dict(type='linear', start=1.0, stop=0.0)
    assert values(option, 0, 25, 100) == [1.0, 0.75, 0.0]
    assert values(option, 5, max_iters=10) == [0.5]


def test_epochs_become_iterations():
    """Three epochs of five iterations, the number from the first on."""
    option = dict(
        type='linear', start=0.0, stop=1.0, begin=1, end=3, by_epoch=True
    )
    loop = loop_of(RandomSampler(range(10)))
    schedule = Schedule.parse('weight', option).in_iterations('weight', loop)
    steps = [schedule(step, 15) for step in (0, 5, 6, 14, 15)]
    assert steps == pytest.approx([0, 0, 0.1, 0.9, 1])
    open_ended = Schedule('linear', 0.0, 1.0, by_epoch=True)
    assert open_ended.in_iterations('weight', loop)(10, 20) == 0.5
    plain = Schedule('linear', 0.0, 1.0, 1)
    assert plain.in_iterations('weight', loop) is plain


def loop_of(sampler):
    """A loop of iterations over batches of two."""
    loader = DataLoader(range(10), 2, sampler=sampler)
    return SimpleNamespace(dataloader=loader)


def test_epochs_without_a_length():
    schedule = Schedule('linear', 0.0, 1.0, by_epoch=True)
    loop = loop_of(InfiniteSampler(range(10)))
    with pytest.raises(
        ValueError,
        match='for weight with by_epoch=True, .* '
        'SimpleNamespace .* never ends. Give begin and end',
    ):
        schedule.in_iterations('weight', loop)


def test_linear_between_two_iterations():
    option = dict(type='linear', start=0.0, stop=2.0, begin=10, end=20)
    assert values(option, 0, 10, 15, 20, 99) == [0.0, 0.0, 1.0, 2.0, 2.0]


def test_cosine_is_slow_at_both_ends():
    option = dict(type='cosine', start=1.0, stop=0.0)
    # (1 + cos(pi / 4)) / 2 a quarter of the way
    expected = [1.0, 0.853553, 0.5, 0.146447, 0.0]
    assert values(option, 0, 25, 50, 75, 100) == pytest.approx(expected, 1e-5)


def test_stages_that_begin_at_the_end_of_the_run_stay_at_their_start():
    option = dict(type='linear', start=1.0, stop=0.0, begin=100)
    assert values(option, 0, 99) == [1.0, 1.0]


@pytest.mark.parametrize(
    ('option', 'error', 'match'),
    [
        (True, TypeError, 'weight to be a number or a schedule .* got True'),
        (None, TypeError, 'got None'),
        (dict(start=1), TypeError, "got {'start': 1}"),
        (dict(type='linear', start=1, stop=0, steps=3), TypeError, 'steps'),
        (dict(type='step', start=1), ValueError, "linear.* but got 'step'"),
        (dict(type='linear', start=-1), ValueError, 'at least 0.0 but got -1'),
        (dict(type='linear', start='a'), ValueError, "but got 'a'"),
        (float('nan'), ValueError, 'got nan'),
        (
            dict(type='linear', start=1, stop=0, begin=5, end=5),
            ValueError,
            'end after iteration 5, where it begins, but got end=5',
        ),
        (
            dict(type='linear', start=1, end=1.5, by_epoch=True),
            ValueError,
            'end of weight to be an epoch, .* but got 1.5',
        ),
    ],
)
def test_what_is_no_schedule(option, error, match):
    with pytest.raises(error, match=match):
        Schedule.parse('weight', option)
