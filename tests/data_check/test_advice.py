"""Which smoothing and which level fit label maps made for the purpose."""

import numpy as np
import pytest
import torch

from mmseg_jml.data_check import Advice, advise, boundary_sums
from mmseg_jml.functional import smooth_label
from tests.functional.test_smoothing_watch import city, thin

NEIGHBOURS = dict(mode='neighbours', epsilon=0.5)
BOUNDARY = dict(mode='boundary', epsilon=0.5)


def advice(labels: list, classes: int) -> Advice:
    labels = [np.asarray(label, np.uint8) for label in labels]
    counts = [np.bincount(x.ravel(), minlength=256)[:classes] for x in labels]
    sums = sum(boundary_sums(label, classes, 255) for label in labels)
    return advise(np.stack(counts), sums)


def digits(seed):
    """64 x 64, strokes three pixels wide, each class rarer than the last.

    As the scenes of digits with which this project began.
    """
    numbers = np.random.default_rng(seed)
    label = np.zeros((64, 64), np.uint8)
    tail = 0.7 ** np.arange(10)
    for index in numbers.choice(10, 6, p=tail / tail.sum()) + 1:
        row, column = numbers.integers(0, 48, 2)
        glyph = label[row : row + 16, column : column + 12]
        glyph[:3], glyph[-3:], glyph[:, :3] = index, index, index
    return label


def areas(seed, sigma, rare=False):
    """Squares of classes 1 to 3, and in one of 30 images one of class 4.

    The logarithm of their areas is Gaussian, with 1000 pixels in the middle.
    """
    numbers = np.random.default_rng(seed)
    label = np.zeros((600, 600), np.uint8)
    for index, (row, column) in enumerate(((0, 0), (0, 300), (300, 0)), 1):
        area = 1000 * np.exp(sigma * numbers.normal())
        side = round(min(area**0.5, 290))
        label[row : row + side, column : column + side] = index
    if rare and seed % 30 == 0:
        label[400:430, 400:430] = 4
    return label


def test_sums_are_those_of_the_dense_label():
    label = thin(0).numpy().astype(np.uint8)
    label[:20] = 255
    boundary, kept, foreign = boundary_sums(label, 11, 255)
    hard = torch.from_numpy(label).long()[None]
    dense = smooth_label(hard, 11, 'boundary', 1.0).dense(11, torch.float64)[0]
    is_soft = ((dense > 0) & (dense < 1)).any(0).numpy()
    for index in range(11):
        is_own = label == index
        assert boundary[index] == (is_soft & is_own).sum()
        values = dense[index].numpy()
        assert kept[index] == pytest.approx(values[is_own].sum())
        assert foreign[index] == pytest.approx(values[~is_own].sum())


# thin, and frequent enough not to be swamped
STRIPES = np.arange(64)[:, None] // 2 % 2 * np.ones(64)


@pytest.mark.parametrize(
    ('labels', 'classes', 'smoothing', 'told'),
    [
        (map(city, range(4)), 19, BOUNDARY, 'Where they are sure, take none.'),
        (
            map(digits, range(60)),
            11,
            NEIGHBOURS,
            'gives classes more label from pixels of other classes',
        ),
        (map(thin, range(20)), 11, NEIGHBOURS, 'class 10 ('),
        ([STRIPES] * 3, 2, NEIGHBOURS, '[0, 1] are hardly more than boundary'),
        ([np.zeros((64, 64))] * 3, 2, None, 'too few for it to matter'),
    ],
    ids=['cityscapes', 'digits', 'wires', 'stripes', 'one class'],
)
def test_smoothing(labels, classes, smoothing, told):
    found = advice(labels, classes)
    assert found.smoothing == smoothing
    assert told in found.sentences[0]


def test_an_epsilon_that_swamps_no_class_is_named():
    """2 % of the pixels have 30 % of them at boundaries of others."""
    pixels = np.array([[9800, 200]])
    sums = np.array([[2800, 200], [8400, 100], [100, 1400]])
    found = advise(pixels, sums)
    # 0.5 * 1400 > 0.5 * 200 + 0.5 * 100 and 0.1 * 1400 < 0.9 * 200 + 0.1 * 100
    assert found.smoothing == NEIGHBOURS
    assert 'class 1 (' in found.sentences[0]
    assert 'Up to epsilon=0.1 none of them would.' in found.sentences[0]


@pytest.mark.parametrize(
    ('sigma', 'rare', 'level'),
    [(0.3, False, 'D'), (2.0, False, 'I'), (2.0, True, 'C')],
)
def test_level(sigma, rare, level):
    """Of sizes so distributed the lower half has Phi(-sigma): 38 and 2 %."""
    found = advice([areas(seed, sigma, rare) for seed in range(60)], 5)
    assert found.level == level
    assert found.sentences[1].startswith(f'level: {level}')
    options = 'mIoUD=0.0, mIoUI=0.5, mIoUC=0.5'
    assert (options in found.sentences[1]) == (level != 'D')
