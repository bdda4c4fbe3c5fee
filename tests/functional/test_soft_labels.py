"""Boundary smoothing, against a window walked by hand."""

import itertools

import pytest
import torch

from mmseg_jml import functional
from tests.devices import on_device

boundary_mask = on_device(functional.boundary_mask)
smooth_label = on_device(functional.smooth_label)


def walk(label, kernel_size, ignore_index):
    """The rule in words, pixel by pixel."""
    height, width = label.shape
    reach = kernel_size // 2
    mask = torch.zeros_like(label, dtype=torch.bool)
    for i, j in itertools.product(range(height), range(width)):
        window = label[
            max(i - reach, 0) : i + reach + 1,
            max(j - reach, 0) : j + reach + 1,
        ]
        other = (window != label[i, j]).any()
        mask[i, j] = other and not (window == ignore_index).any()
    return mask


@pytest.mark.parametrize('kernel_size', [3, 5, 7])
@pytest.mark.parametrize('ignore_index', [255, 0, None])
def test_boundary_mask(kernel_size, ignore_index):
    generator = torch.Generator().manual_seed(kernel_size)
    label = torch.randint(0, 3, (3, 9, 12), generator=generator)
    label = label.repeat_interleave(2, 1).repeat_interleave(3, 2)
    label[0, 5, 7] = 255 if ignore_index is None else ignore_index
    expected = torch.stack(
        [
            walk(
                image,
                kernel_size,
                -1 if ignore_index is None else ignore_index,
            )
            for image in label
        ]
    )
    assert torch.equal(
        boundary_mask(label, kernel_size, ignore_index), expected
    )


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
    ignored = -1 if ignore_index is None else ignore_index
    target = smooth_label(
        label, num_classes, 'boundary', ignore_index=ignore_index
    )
    expected = torch.stack([walk(image, 3, ignored) for image in label])
    assert expected.any()
    assert torch.equal(target.smoothed, expected)


def test_the_image_border_is_neutral():
    assert not boundary_mask(torch.ones(1, 4, 4, dtype=torch.long)).any()


@pytest.mark.parametrize(('use_sigmoid', 'share'), [(False, 0.1), (True, 0.2)])
def test_values_of_smoothed_pixels(use_sigmoid, share):
    """Epsilon .4 over four classes, or over the two answers of a sigmoid."""
    label = torch.tensor([[[2, 2, 2, 0]]])
    target = smooth_label(label, 4, 'boundary', 0.4, use_sigmoid=use_sigmoid)
    dense = target.dense(4, torch.float64)[0, :, 0]
    high = 0.6 + share
    expected = (
        torch.tensor(
            [
                [0, 0, 1, 0],
                [0, 0, 1, 0],
                [share, share, high, share],
                [high, share, share, share],
            ]
        )
        .double()
        .T
    )
    torch.testing.assert_close(dense, expected)
