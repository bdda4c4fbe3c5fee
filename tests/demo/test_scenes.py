"""The scenes: what they promise about digits, plates and files."""

import numpy as np
import pytest
from PIL import Image

from demo.scenes import compose, materials, write_scenes


@pytest.fixture(scope='module')
def composed():
    """300 images and their masks."""
    random, parts = np.random.RandomState(0), materials('training')
    scenes = [compose(random, *parts) for _ in range(300)]
    return tuple(map(np.stack, zip(*scenes)))


@pytest.fixture(scope='module')
def masks(composed):
    return composed[1]


def test_images_and_masks(composed):
    again = compose(np.random.RandomState(0), *materials('training'))
    for found, other in zip(composed, again):
        np.testing.assert_array_equal(found[0], other)
    images, masks = composed
    assert images.shape == (300, 64, 64, 3)
    assert masks.shape == (300, 64, 64)
    assert images.dtype == masks.dtype == np.uint8
    assert set(np.unique(masks)) == set(range(11))


def test_digits_are_a_long_tail(masks):
    """0.75 ** 9 is 0.075; 300 scenes hold some 16 nines."""
    pixels = np.bincount(masks.ravel())[1:]
    assert pixels[:3].min() > 2 * pixels[-3:].max()
    assert 0.02 < pixels[9] / pixels[0] < 0.2


def test_plates_are_several_times_wider_than_their_boundary(masks):
    """Most of a plate is inside: there a 3x3 window holds one class."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)), mode='edge')
    windows = np.lib.stride_tricks.sliding_window_view(padded, (1, 3, 3))
    inside = (windows == masks[..., None, None, None]).all((-3, -2, -1))
    assert inside[masks > 0].mean() > 0.75


def test_the_splits_share_no_digit_and_no_part_of_a_photograph():
    photos, digits = materials('training')
    others, unseen = materials('validation')
    assert sum(map(len, digits)) == 1200
    assert sum(map(len, unseen)) == 1797 - 1200
    for photo, other in zip(photos, others):
        assert photo.shape[1] + other.shape[1] == 320


def test_files_are_written_once(home):
    def written():
        return {x: x.stat().st_mtime_ns for x in root.rglob('*.png')}

    root = home / 'data/demo_scenes'
    before = written()
    assert len(before) == 2 * (100 + 10)
    write_scenes(root)
    assert before == written()
    image, mask = compose(np.random.RandomState(1), *materials('validation'))
    for kind, pixels in (('images', image), ('annotations', mask)):
        path = root / kind / 'validation/0000.png'
        np.testing.assert_array_equal(np.array(Image.open(path)), pixels)
