"""Composes scenes of handwritten digits, the same pixels on every machine.

The digits are those of scikit-learn. What could differ between machines is
left out: the random numbers are uniform draws of numpy's frozen
``RandomState``, enlarging is written out in elementwise arithmetic instead of
being taken from an image library, and nothing calls a mathematical library or
depends on an order of summation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

__all__ = ['SPLITS', 'SceneRecipe', 'compose_scene', 'digit_samples']

SPLITS = ('training', 'validation')

# scikit-learn keeps the samples of a writer together. A cut in this order,
# unlike a shuffle, leaves few of the 13 writers on both sides.
FIRST_VALIDATION_SAMPLE = 1200


@dataclass(frozen=True)
class SceneRecipe:
    """What scenes are made of. Ranges include both ends.

    Args:
        size (int, optional): Height and width of a scene, more than 1.1
            times the largest digit. Defaults to 64.
        digits (tuple, optional): Range of the digits in a scene. Defaults to
            (2, 4).
        heights (tuple, optional): Range of their heights in pixels. Defaults
            to (20, 40).
        tail (float, optional): A digit is this much as frequent as the one
            before it: with 0.8, there are 7.5 zeros to one nine. Defaults to
            0.8.
        contrast (tuple, optional): Range of the grey levels between ink and
            paper. Defaults to (80, 130).
        occluders (tuple, optional): Range of the bars that cover ink.
            Defaults to (0, 2).
        noise (int, optional): The largest grey level that noise adds or
            takes. Defaults to 16.
        seed (int, optional): Another seed gives other scenes. Defaults to 0.
    """

    size: int = 64
    digits: tuple[int, int] = (2, 4)
    heights: tuple[int, int] = (20, 40)
    tail: float = 0.8
    contrast: tuple[int, int] = (80, 130)
    occluders: tuple[int, int] = (0, 2)
    noise: int = 16
    seed: int = 0


@lru_cache
def digit_samples(split: str) -> tuple[np.ndarray, ...]:
    """Returns the handwritten digits that a split draws from.

    Args:
        split (str): 'training' or 'validation'. They share no sample.

    Returns:
        tuple[np.ndarray, ...]: For each of the ten digits its samples, a
        float64 array (N, 8, 8) in [0, 1].

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'Expected scikit-learn, which holds the handwritten digits, but '
            'got none. Install it: pip install scikit-learn'
        ) from error
    samples = load_digits()
    cut = FIRST_VALIDATION_SAMPLE
    part = slice(cut) if split == 'training' else slice(cut, None)
    images, labels = samples.images[part] / 16, samples.target[part]
    return tuple(images[labels == digit] for digit in range(10))


def compose_scene(
    split: str, index: int, recipe: SceneRecipe | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Composes one scene.

    Args:
        split (str): 'training' or 'validation'.
        index (int): Number of the scene. Each is drawn by itself.
        recipe (SceneRecipe, optional): What it is made of. Defaults to None,
            which stands for `SceneRecipe()`.

    Returns:
        tuple[np.ndarray, np.ndarray]: The RGB image, uint8 (H, W, 3), and its
        mask, uint8 (H, W): 0 on paper and occluders, d + 1 on the ink of
        digit d.
    """
    recipe = recipe or SceneRecipe()
    draw = _Draw(recipe.seed, SPLITS.index(split), index)
    paper = draw.number(40, 130, 3)
    image = paper + _texture(draw, recipe.size)
    mask = np.zeros((recipe.size, recipe.size), np.uint8)
    for _ in range(draw.integer(*recipe.digits)):
        digit = draw.ranked(10, recipe.tail)
        ink = _write(draw, digit_samples(split)[digit], recipe.heights)
        colour = paper + draw.number(*recipe.contrast) * draw.number(0.6, 1, 3)
        place = _free_place(draw, mask, ink.shape)
        # Ink fades out at its border: half covered where the mask ends.
        cover = np.clip((ink - 0.25) / 0.3, 0, 1)[..., None]
        image[place] += cover * (colour - image[place])
        mask[place][ink > 0.4] = digit + 1
    for _ in range(draw.integer(*recipe.occluders)):
        bar = draw.integer(3, 5), draw.integer(16, 48)
        bar = bar if draw.integer(0, 1) else bar[::-1]
        place = _place(draw, recipe.size, bar)
        image[place] = paper + draw.number(-80, 80, 3)
        mask[place] = 0
    image += draw.number(-recipe.noise, recipe.noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


class _Draw:
    """Random numbers that do not depend on the version of numpy."""

    def __init__(self, *seed: int) -> None:
        self._random = np.random.RandomState(seed)

    def number(self, low: float, high: float, shape=None):
        return low + (high - low) * self._random.random_sample(shape)

    def integer(self, low: int, high: int) -> int:
        return int(self.number(low, high + 1))

    def ranked(self, count: int, ratio: float) -> int:
        """Draws a rank; each is `ratio` times as frequent as the last."""
        ends = np.cumsum(np.cumprod(np.full(count, ratio)))
        return int(np.searchsorted(ends, self.number(0, ends[-1]), 'right'))


def _bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Reads a (H, W) image at the places (y, x); it is 0 outside."""
    height, width = image.shape
    image = np.pad(image, 1)
    y, x = np.clip(y + 1, 0, height + 0.999), np.clip(x + 1, 0, width + 0.999)
    top, left = y.astype(int), x.astype(int)
    y, x = y - top, x - left
    above = image[top, left] * (1 - x) + image[top, left + 1] * x
    below = image[top + 1, left] * (1 - x) + image[top + 1, left + 1] * x
    return above * (1 - y) + below * y


def _texture(draw: _Draw, size: int) -> np.ndarray:
    """Returns blotches of three sizes around 0, a float64 (H, W, 3) array."""
    texture = np.zeros((size, size, 3))
    for cells, amplitude in ((3, 40), (9, 24), (24, 16)):
        grid = draw.number(-amplitude, amplitude, (cells + 1, cells + 1))
        steps = np.arange(size) * (cells / size)
        blotches = _bilinear(grid, steps[:, None], steps[None])
        texture += blotches[..., None] * draw.number(0.4, 1, 3)
    return texture


def _write(
    draw: _Draw, samples: np.ndarray, heights: tuple[int, int]
) -> np.ndarray:
    """Enlarges, stretches and slants a sample, a float64 (h, w) array."""
    sample = samples[draw.integer(0, len(samples) - 1)]
    height = draw.integer(*heights)
    width = int(height * draw.number(0.8, 1.1))
    y = (np.arange(height)[:, None] + 0.5) / height - 0.5
    x = (np.arange(width)[None] + 0.5) / width - 0.5
    x = x + draw.number(-0.25, 0.25) * y
    return _bilinear(sample, y * 8 + 3.5, x * 8 + 3.5)


def _place(
    draw: _Draw, size: int, shape: tuple[int, int]
) -> tuple[slice, slice]:
    starts = [draw.integer(0, size - length) for length in shape]
    rows, columns = (slice(a, a + n) for a, n in zip(starts, shape))
    return rows, columns


def _free_place(
    draw: _Draw, mask: np.ndarray, shape: tuple[int, int]
) -> tuple[slice, slice]:
    """Returns the one of four places that covers the least ink."""
    places = [_place(draw, len(mask), shape) for _ in range(4)]
    return min(places, key=lambda place: np.count_nonzero(mask[place]))
