"""Compose scenes of number plates in front of photographs.

Handwritten digits and photographs come with scikit-learn, so that nothing is
downloaded. Training and validation share no handwritten digit and no pixel of
a photograph.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from mmseg_jml.conversion.files import whole_file

SCENES = Path('data/demo_scenes')  # as in config.py
SIZE = 64
NUM_SCENES = {'training': 1600, 'validation': 400}
# Each digit is three quarters as frequent as the one before it.
FREQUENCIES = 0.75 ** np.arange(10)
# Deviation of the hue of a digit; the hues of digits lie 0.1 apart.
HUE_SPREAD = 0.03


def materials(split: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the photographs and the samples (N, 8, 8) of each digit."""
    left, first = slice(220), slice(1200)  # of 320 columns, of 1797 digits
    if split == 'validation':
        left, first = slice(220, None), slice(1200, None)
    photos = [
        np.array(Image.fromarray(photo).resize((320, 213)))[:, left]
        for photo in load_sample_images().images
    ]
    digits = load_digits()
    images, labels = digits.images[first] / 16, digits.target[first]
    return photos, [images[labels == digit] for digit in range(10)]


def compose(random: np.random.RandomState, photos, digits) -> tuple:
    """Compose a scene of two to four plates, of `materials`.

    Returns the image, uint8 (64, 64, 3), and the mask, uint8 (64, 64): d + 1
    on a plate with digit d, 0 elsewhere.
    """
    image = _crop(random, photos, SIZE, SIZE)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for _ in range(random.randint(2, 5)):
        digit = random.choice(10, p=FREQUENCIES / FREQUENCIES.sum())
        sample = digits[digit][random.randint(len(digits[digit]))]
        height = random.randint(20, 33)
        width = int(height * random.uniform(0.8, 1.1))
        corners = random.randint((SIZE - height, SIZE - width), size=(4, 2))
        places = [np.s_[y : y + height, x : x + width] for y, x in corners]
        place = min(places, key=lambda place: np.count_nonzero(mask[place]))
        power = random.choice([2, 3, 6])  # from an ellipse to a rectangle
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        plate = np.abs(y) ** power + np.abs(x) ** power < 1
        texture = _crop(random, photos, height, width)
        painted = _paint(random, texture, sample, digit)
        image[place][plate] = painted[plate]
        mask[place][plate] = digit + 1
    image += random.uniform(-8, 8, image.shape)
    return image.clip(0, 255).astype(np.uint8), mask


def _crop(random, photos, height: int, width: int) -> np.ndarray:
    photo = photos[random.randint(len(photos))]
    y = random.randint(photo.shape[0] - height + 1)
    x = random.randint(photo.shape[1] - width + 1)
    return photo[y : y + height, x : x + width].astype(float)


def _paint(random, texture, sample, digit: int) -> np.ndarray:
    """Write a digit on a piece of a photograph, tinted with its hue."""
    height, width = texture.shape[:2]
    ink = Image.fromarray(np.pad(sample, 1).astype(np.float32))
    cover = np.array(ink.resize((width, height)))[..., None]
    hue = (0.3 * digit + HUE_SPREAD * random.standard_normal()) % 1
    tint = 255 * np.array(hsv_to_rgb(hue, *random.uniform(0.4, 0.9, 2)))
    contrast = random.uniform(60, 120) * random.choice([-1, 1])
    return 0.4 * texture + 0.6 * tint + cover * contrast


def write_scenes(root: Path) -> None:
    """Write images and masks to a folder, unless it exists."""
    if root.exists():
        return
    with whole_file(root) as fresh:
        for seed, (split, number) in enumerate(NUM_SCENES.items()):
            random, parts = np.random.RandomState(seed), materials(split)
            for kind in ('images', 'annotations'):
                (fresh / kind / split).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                image, mask = compose(random, *parts)
                name = f'{split}/{index:04}.png'
                Image.fromarray(image).save(fresh / 'images' / name)
                Image.fromarray(mask).save(fresh / 'annotations' / name)
