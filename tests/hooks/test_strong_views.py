"""Photometric distortions of normalised images."""

from __future__ import annotations

import pytest
import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor

from mmseg_jml.supervision.pseudo_labels import Views
from mmseg_jml.supervision.strong_views import PhotometricDistortion

BGR = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0])
RGB = dict(mean=[100.0, 110.0, 120.0], std=[40.0, 50.0, 60.0])


def preprocessor(**options) -> SegDataPreProcessor:
    return SegDataPreProcessor(size=(16, 16), **options)


def normalised(image, options, to_rgb=False):
    """Of an image (N, 3, H, W) from 0 to 255, BGR."""
    image = image.flip(1) if to_rgb else image
    mean, std = (
        torch.tensor(options[k]).view(3, 1, 1) for k in ('mean', 'std')
    )
    return (image - mean) / std


@pytest.fixture
def images():
    return torch.randint(256, (4, 3, 16, 16)).float()


ALL = torch.ones(4, 16, 16, dtype=torch.bool)


def distorted(seed, images, valid=ALL, entries='unimatch', **options):
    distort = PhotometricDistortion(entries, preprocessor(**options))
    torch.manual_seed(seed)
    return distort(images, valid)


def test_seed_tells_the_distortion(images):
    inputs = normalised(images, BGR)
    one, same, other = (distorted(s, inputs, **BGR) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, inputs)


def test_padding_stays(images):
    inputs = normalised(images, BGR)
    valid = ALL.clone()
    valid[:, 12:] = valid[:, :, 10:] = False
    inputs = inputs * valid.unsqueeze(1)
    found = distorted(3, inputs, valid, **BGR)
    outside = ~valid.unsqueeze(1).expand_as(inputs)
    assert not found[outside].any()
    assert not torch.equal(found, inputs)


def test_order_of_channels_makes_no_difference(images):
    """The same picture is distorted in the same way."""
    bgr = distorted(5, normalised(images, BGR), **BGR)
    rgb = distorted(5, normalised(images, RGB, True), **RGB, bgr_to_rgb=True)
    colours = [
        value * torch.tensor(o['std']).view(3, 1, 1)
        + torch.tensor(o['mean']).view(3, 1, 1)
        for value, o in ((bgr, BGR), (rgb.flip(1), BGR))
    ]
    assert not torch.allclose(colours[0], images, atol=5)
    torch.testing.assert_close(*colours, rtol=0, atol=0.01)


def test_grey_has_the_weights_of_red_green_and_blue(images):
    """Rec. 601: an exchange of red and blue would be seen."""
    grey = [dict(type='RandomGrayscale', p=1.0)]
    found = distorted(0, normalised(images, BGR), entries=grey, **BGR)
    blue, green, red = images.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = normalised(luma[:, None].expand(-1, 3, -1, -1), BGR)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_images_without_normalisation(images):
    grey = [dict(type='RandomGrayscale', p=1.0)]
    found = distorted(0, images, entries=grey)
    blue, green, red = images.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    torch.testing.assert_close(found[:, 0], luma, rtol=1e-3, atol=0.1)


def test_each_image_has_numbers_of_its_own():
    images = normalised(torch.full((16, 3, 16, 16), 90.0), BGR)
    valid = torch.ones(16, 16, 16, dtype=torch.bool)
    found = distorted(0, images, valid, **BGR)
    assert len({round(float(v), 4) for v in found.mean((1, 2, 3))}) > 8


def test_colours_stay_in_range(images):
    inputs = normalised(images, BGR)
    found = distorted(0, inputs, **BGR)
    std, mean = (torch.tensor(BGR[k]).view(3, 1, 1) for k in ('std', 'mean'))
    colours = found * std + mean
    assert colours.min() > -0.01
    assert colours.max() < 255.01


def test_mixing_moves_all_that_belongs_to_a_pixel():
    """Image, mask, confidence, label and logits come from one place."""
    place = torch.arange(2 * 6 * 6).view(2, 6, 6)
    views = Views(
        images=place[:, None].expand(-1, 3, -1, -1).float(),
        valid=place % 5 > 0,
        confident=place % 7 > 0,
        label=place,
        logits=place[:, None].expand(-1, 4, -1, -1).float(),
    )
    boxes = torch.zeros(2, 6, 6, dtype=torch.bool)
    boxes[0, 1:4, 2:5] = True
    mixed = views.mixed(boxes, source=None)
    assert (mixed.label[0, 1:4, 2:5] == place[1, 1:4, 2:5]).all()
    assert torch.equal(mixed.label[1], place[1])
    for c in range(3):
        assert torch.equal(mixed.images[:, c], mixed.label.float())
    assert torch.equal(mixed.logits[:, 3], mixed.label.float())
    assert torch.equal(mixed.valid, mixed.label % 5 > 0)
    assert torch.equal(mixed.confident, mixed.label % 7 > 0)
    assert views._replace(logits=None).mixed(boxes, None).logits is None
