"""The warning where smoothing gives a class more label than it has."""

import logging

import mmseg  # noqa: F401 (lets the package speak in mmengine's log)
import pytest
import torch
from mmengine.logging import MMLogger
from torch.testing import assert_close

from mmseg_jml.functional import (
    boundary_mask,
    make_request,
    smooth_label,
    smoothing_watch,
)
from mmseg_jml.functional.smoothing_watch import (
    swamped_classes,
    warn_of_swamped_classes,
)
from mmseg_jml.losses import JaccardMetricCELoss
from tests.devices import on_device

label_mass = on_device(smoothing_watch.label_mass)

BOUNDARY = dict(mode='boundary', epsilon=0.5, kernel_size=3)
# Percent of the pixels of Cityscapes' training set that have a label: road,
# sidewalk, building, wall, fence, pole, light, sign, vegetation, terrain,
# sky, person, rider, car, truck, bus, train, motorcycle, bicycle.
CITYSCAPES = (
    *(36.9, 6.1, 22.8, 0.66, 0.88, 1.23, 0.21, 0.55, 15.9, 1.16),
    *(4.0, 1.22, 0.135, 7.0, 0.27, 0.235, 0.233, 0.099, 0.414),
)


@pytest.fixture(autouse=True)
def _nothing_seen():
    smoothing_watch._watch.cache_clear()
    yield
    smoothing_watch._watch.cache_clear()


@pytest.fixture
def said(caplog):
    """Gives what was said until now."""
    caplog.set_level(logging.WARNING, 'mmseg_jml')
    return lambda: caplog.messages


def city(seed):
    """A street: large areas in bands, things on them, 512 x 1024.

    Each class has its share of Cityscapes; the rarer ones are in some images
    alone, as there.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*bounds):
        return int(torch.randint(*bounds, (), generator=generator))

    label = torch.full((512, 1024), 2)
    label[:20], label[20:100], label[280:470], label[470:] = 10, 8, 0, 1
    for index, percent in enumerate(CITYSCAPES):
        if index in (0, 1, 2, 8, 10):
            continue
        pixels = percent / 100 * label.numel()
        number = max(1, round(pixels / 8000))
        if pixels < 2000:  # in one of two images, or less
            rarity = 2 if pixels > 1000 else 4
            if (seed + index) % rarity:
                continue
            pixels *= rarity
        for _ in range(number):
            height = max(6, round((pixels / number) ** 0.5))
            width = round(pixels / number / height)
            y, x = random(100, 505 - height), random(0, 1023 - width)
            label[y : y + height, x : x + width] = index
    return label


def thin(seed):
    """64 x 64, with wires of classes 1 to 9 one pixel wide, and a rare one."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.zeros(64, 64, dtype=torch.long)
    for index in range(1, 10):
        row = int(torch.randint(0, 64, (), generator=generator))
        label[row, :40] = index
    label[30:33, 60:62] = 10
    return label


def watch(labels, classes):
    """What a loss does before it computes."""
    logits = torch.zeros(1, classes, 1, 1)
    for label in labels:
        warn_of_swamped_classes(
            make_request(logits, label[None], label_smoothing=BOUNDARY)
        )


@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('mode', ['boundary', 'uniform'])
def test_label_mass_is_that_of_the_dense_label(mode, use_sigmoid):
    label = torch.stack([thin(0), thin(1)])
    label[0, :20] = 255
    target = smooth_label(label, 12, mode, 0.3, use_sigmoid=use_sigmoid)
    dense = target.dense(12, torch.float64).movedim(1, -1)
    is_own = label.unsqueeze(-1) == torch.arange(12)
    masses = [
        dense.where(of, torch.zeros_like(dense)).sum((0, 1, 2))
        for of in (is_own, ~is_own)
    ]
    assert_close([*label_mass(target, 12)], masses)


def test_thin_and_rare_classes_are_named_once(said):
    watch(map(thin, range(49)), 11)
    assert not said()
    watch(map(thin, range(49, 120)), 11)
    (message,) = said()
    # of 64 x 64 pixels class 10 has 6, all at the boundary
    own = 6 * (0.5 + 0.5 / 11) / 64**2
    assert f'class 10 (1 % against {100 * own:.2g} %)' in message
    assert 'class 0 ' not in message
    assert "label_smoothing=dict(mode='neighbours')" in message


def test_cityscapes_is_not_swamped(said):
    labels = torch.stack([city(seed) for seed in range(50)])
    share = torch.bincount(labels.flatten(), minlength=19) / labels.numel()
    expected = torch.tensor(CITYSCAPES) / 100
    assert ((share / expected - 1).abs() < 0.5).all(), share
    assert 0.02 < boundary_mask(labels).float().mean() < 0.03
    watch(labels, 19)
    assert not said()


def test_a_class_in_a_few_batches_is_not_judged(said):
    label = thin(0)
    without = label.where(label == 0, torch.ones_like(label))
    labels = [without] * 46 + [label] * 4
    watch(labels, 11)
    assert not said()
    smoothing_watch._watch.cache_clear()
    watch(labels[1:] + [label], 11)
    assert 'class 10' in said()[-1]


def call(*losses):
    for seed in range(60):
        for loss in losses:
            loss(torch.zeros(1, 11, 2, 2), thin(seed).unsqueeze(0))


@pytest.mark.parametrize(
    'arguments',
    [
        dict(label_smoothing=dict(mode='neighbours', epsilon=0.5)),
        dict(label_smoothing=dict(mode='boundary', epsilon=0)),
        dict(label_smoothing=BOUNDARY, jml_weight=0.0),
        dict(label_smoothing=BOUNDARY, check=False),
        dict(),
    ],
    ids=str,
)
def test_nothing_to_say(arguments, said):
    call(JaccardMetricCELoss(**arguments))
    assert not said()


def test_it_stands_in_the_log_of_the_run(tmp_path, said):
    path = tmp_path / 'run.log'
    MMLogger.get_instance('swamped', log_file=str(path))
    # a head's and an auxiliary head's
    call(*(JaccardMetricCELoss(label_smoothing=BOUNDARY) for _ in range(2)))
    assert path.read_text().count('Label smoothing gives classes more') == 1
    assert len(said()) == 1


def test_a_message_names_the_worst_classes():
    message = swamped_classes([97.0, 1.0, 0.0, 0.5], [0.0, 0.6, 0.0, 0.9])
    assert 'class 3 (0.9 % against 0.5 %) of all label' in message
    assert 'class 1' not in message
    message = swamped_classes([9.0, *range(1, 8)], [9.0] * 8)
    assert 'their own: class 1 (' in message
    assert 'class 5 (8.3 % against 4.6 %), 2 more of all label' in message
    assert swamped_classes([1.0, 0.0], [1.0, 9.0]) is None
