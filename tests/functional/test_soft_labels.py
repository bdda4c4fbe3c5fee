"""Boundary smoothing, against a window walked by hand; averaged votes."""

import pytest
import torch
from torch.testing import assert_close

from tests.functional.on_device import (
    boundary_mask,
    mean_vote,
    smooth_label,
)
from tests.oracles import windows


def walk(labels, kernel_size, ignore_index):
    """The rule in words, pixel by pixel."""
    mask = torch.zeros_like(labels, dtype=torch.bool)
    for pixel, window in windows(labels, kernel_size):
        mask[pixel] = len({*window}) > 1 and ignore_index not in window
    return mask


@pytest.mark.parametrize('kernel_size', [3, 5, 7])
@pytest.mark.parametrize('ignore_index', [255, 0, None])
def test_boundary_mask(kernel_size, ignore_index):
    generator = torch.Generator().manual_seed(kernel_size)
    label = torch.randint(0, 3, (3, 9, 12), generator=generator)
    label = label.repeat_interleave(2, 1).repeat_interleave(3, 2)
    label[0, 5, 7] = 255 if ignore_index is None else ignore_index
    expected = walk(label, kernel_size, ignore_index)
    mask = boundary_mask(label, kernel_size, ignore_index)
    assert torch.equal(mask, expected)


@pytest.mark.parametrize(
    ('num_classes', 'ignore_index'),
    [(256, 255), (257, 255), (300, -100), (70000, 65536), (65536, None)],
)
def test_labels_that_share_their_last_bytes_differ(num_classes, ignore_index):
    generator = torch.Generator().manual_seed(num_classes)
    values = [0, num_classes - 1, ignore_index or 0, 156, num_classes - 256]
    choice = torch.randint(0, 5, (2, 9, 12), generator=generator)
    choice[torch.rand(choice.shape, generator=generator) < 0.9] = 0
    label = torch.tensor(values)[choice]
    target = smooth_label(
        label, num_classes, 'boundary', ignore_index=ignore_index
    )
    expected = walk(label, 3, ignore_index)
    assert expected.any()
    assert torch.equal(target.smoothed, expected)


def test_the_image_border_is_neutral():
    assert not boundary_mask(torch.ones(1, 4, 4, dtype=torch.long)).any()


@pytest.mark.parametrize(('use_sigmoid', 'share'), [(False, 0.1), (True, 0.2)])
def test_values_of_smoothed_pixels(use_sigmoid, share):
    """Epsilon .4 over four classes, or over the two answers of a sigmoid."""
    label = torch.tensor([[[2, 2, 2, 0]]])
    target = smooth_label(label, 4, 'boundary', 0.4, use_sigmoid=use_sigmoid)
    high = 0.6 + share
    expected = [
        [0, 0, 1, 0],
        [0, 0, 1, 0],
        [share, share, high, share],
        [high, share, share, share],
    ]
    pixels = target.dense(4, torch.float64)[0, :, 0].T
    assert_close(pixels, torch.tensor(expected).double())


@pytest.mark.parametrize('ignore_index', [255, 2])
def test_votes_are_averaged_pixel_by_pixel(ignore_index):
    """Of four annotators two, one or none leave a pixel out."""
    masks = torch.tensor(
        [
            [[0, 0, 0], [0, 1, 9]],
            [[0, 1, 1], [0, 9, 9]],
            [[0, 1, 3], [9, 9, 9]],
            [[0, 1, 3], [9, 1, 9]],
        ]
    )
    masks[masks == 9] = ignore_index
    expected = torch.zeros(4, 2, 3)
    expected[0] = torch.tensor([[1, 1 / 4, 1 / 4], [1, 0, 0]])
    expected[1] = torch.tensor([[0, 3 / 4, 1 / 4], [0, 1, 0]])
    expected[3] = torch.tensor([[0, 0, 1 / 2], [0, 0, 0]])
    assert_close(mean_vote(masks, 4, ignore_index), expected)
