"""What is found in all of MMSegmentation's configs, without building any."""

import json
from collections import Counter
from copy import deepcopy

import pytest

from mmseg_jml.config import replace_pixel_loss

from . import catalog, stacks
from .test_zoo import CALLS

# The fork ships one config more (UNet on hyperspectral images).
MORE = int(stacks.stack() == 'onedl')
MAIN = 'model.decode_head'


@pytest.fixture(scope='module')
def outcomes():
    """Returns for each config what was replaced, or why nothing was."""
    found = {}
    for name, cfg in catalog.all_configs().items():
        cfg = deepcopy(cfg)
        try:
            found[name] = replace_pixel_loss(cfg, 'JaccardMetricLoss')
        except ValueError as error:
            found[name] = str(error)
    return found


def test_loss_is_replaced_or_refused(outcomes):
    refused = Counter(
        catalog.family(name)
        for name, outcome in outcomes.items()
        if isinstance(outcome, str)
    )
    assert refused == dict(mask2former=13, maskformer=4, san=6, vpd=2)
    assert len(outcomes) - refused.total() == 656 + MORE


def test_places_of_the_loss(outcomes):
    places = Counter(
        tuple(outcome.items())
        for outcome in outcomes.values()
        if isinstance(outcome, dict)
    )
    ce, ohem = 'CrossEntropyLoss', 'OhemCrossEntropy'
    two_heads = (f'{MAIN}.0.loss_decode', ce), (f'{MAIN}.1.loss_decode', ce)
    first, second, fourth = (f'{MAIN}.loss_decode.{i}' for i in (0, 1, 3))
    assert places == {
        ((f'{MAIN}.loss_decode', ce),): 604 + MORE,
        ((f'{MAIN}.kernel_generate_head.loss_decode', ce),): 7,
        ((first, ce),): 12,
        two_heads: 28,
        ((first, ohem), (second, ohem)): 2,
        ((first, ce), (second, ohem), (fourth, ohem)): 3,
    }


@pytest.mark.parametrize(
    ('family', 'reason'),
    [
        ('mask2former', 'a loss_decode entry is ignored silently'),
        ('maskformer', 'a loss_decode entry is ignored silently'),
        ('san', 'classifies whole masks'),
        ('vpd', 'regresses depth'),
    ],
)
def test_refusal_names_the_reason(outcomes, family, reason):
    named = {x for x in outcomes if catalog.family(x) == family}
    messages = [outcomes[name] for name in named]
    assert messages
    assert all(reason in message for message in messages)


def test_picks_stand_for_all(record_property):
    picks = catalog.picks()
    record_property('picks', json.dumps(dict(picks)))
    record_property('stack', stacks.stack())
    record_property('versions', json.dumps(stacks.versions()))
    assert len(picks) == 81 + MORE
    assert sum(pick.stands_for for pick in picks) == 656 + MORE
    named = {*CALLS, *stacks.stock_loss_cannot_run()}
    assert named <= {pick.config for pick in picks}
