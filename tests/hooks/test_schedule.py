"""Numbers over iterations, against values worked out by hand."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, RandomSampler

from mmseg_jml.supervision.schedule import Schedule
from tests.tolerances import SUMMED

QUARTER = 2**0.5 / 4  # cos(pi / 4) / 2


def linear(start, stop, **options):
    return dict(type='linear', start=start, stop=stop, **options)


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        (0.5, {0: 0.5, 99: 0.5}),
        (dict(type='constant', start=3), {0: 3, 50: 3}),
        (linear(1.0, 0.0), {0: 1.0, 25: 0.75, 100: 0.0}),
        (
            linear(0.0, 2.0, begin=10, end=20),
            {0: 0.0, 10: 0.0, 15: 1.0, 20: 2.0, 99: 2.0},
        ),
        # a stage that begins at the end of the run
        (linear(1.0, 0.0, begin=100), {0: 1.0, 99: 1.0}),
        (
            dict(type='cosine', start=1.0, stop=0.0),
            {0: 1, 25: 0.5 + QUARTER, 50: 0.5, 75: 0.5 - QUARTER, 100: 0},
        ),
    ],
)
def test_values_at_iterations(option, expected):
    schedule = Schedule.parse('weight', option)
    found = [schedule(step, 100) for step in expected]
    assert found == pytest.approx(list(expected.values()), rel=SUMMED)


def test_end_of_the_run_is_the_end_of_the_schedule():
    assert Schedule.parse('weight', linear(1.0, 0.0))(5, 10) == 0.5
    assert not Schedule.parse('weight', 2).changes


def test_epochs_become_iterations():
    """Three epochs of five iterations, the number from the first on."""
    option = linear(0.0, 1.0, begin=1, end=3, by_epoch=True)
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
    match = 'by_epoch=True, .* SimpleNamespace .* never ends. Give begin and '
    with pytest.raises(ValueError, match=f'for weight with {match}end'):
        schedule.in_iterations('weight', loop)


@pytest.mark.parametrize(
    ('option', 'error', 'match'),
    [
        (True, TypeError, 'weight to be a number or a schedule .* got True'),
        (None, TypeError, 'got None'),
        (dict(start=1), TypeError, "got {'start': 1}"),
        (linear(1, 0, steps=3), TypeError, 'steps'),
        (dict(type='step', start=1), ValueError, "linear.* but got 'step'"),
        (dict(type='linear', start=-1), ValueError, 'at least 0.0 but got -1'),
        (dict(type='linear', start='a'), ValueError, "but got 'a'"),
        (float('nan'), ValueError, 'got nan'),
        (
            linear(1, 0, begin=5, end=5),
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
