"""Divide the images of a data set, the same way on every machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from .progress import shorten

__all__ = ['count_of', 'rank_names', 'resolve_lines']


def rank_names(names: Iterable[str], seed: int) -> list[str]:
    """Shuffle names in an order that does not depend on which there are.

    They are sorted by a hash. The first n names are therefore a random sample
    that the first 2n contain, and images that are added to a data set later
    do not change the order of the others.

    Examples:
        >>> rank_names('abcd', seed=0)
        ['d', 'a', 'c', 'b']
        >>> rank_names('bcd', seed=0)
        ['d', 'c', 'b']
    """

    def place(name: str) -> bytes:
        return hashlib.sha256(f'{seed}:{name}'.encode()).digest()

    return sorted(names, key=place)


def count_of(ratio: Fraction, total: int) -> int:
    """Return the number of images in a share of a data set, rounded up.

    The published splits of VOC and Cityscapes have these sizes.

    Examples:
        >>> [count_of(Fraction(1, n), 10582) for n in (16, 8, 4)]
        [662, 1323, 2646]
    """
    return math.ceil(ratio * total)


def resolve_lines(
    lines: Iterable[str], names: Sequence[str], img_suffix: str
) -> list[str]:
    """Find the image of a data set that each line of a published list means.

    A line is a name, or the path of an image, perhaps followed by that of its
    label. It may have more folders than the names of the data set, or fewer
    if the file name is unique.

    Raises:
        ValueError: If a line matches no image, or several.

    Examples:
        >>> resolve_lines(['JPEGImages/7.jpg Segmentation/7.png', 'b/8'],
        ...               ['7', 'b/8'], '.jpg')
        ['7', 'b/8']
    """
    by_file: dict[str, list[str]] = {}
    for name in names:
        by_file.setdefault(name.rpartition('/')[2], []).append(name)
    found, unknown = [], []
    for line in filter(None, map(str.strip, lines)):
        for path in (line, line.split()[0]):  # a name may contain blanks
            fits = _fitting(path, by_file, img_suffix)
            if fits:
                break
        if len(fits) == 1:
            found += fits
        else:
            unknown.append(line)
    if unknown:
        raise ValueError(
            f'Expected each line to mean one image of the data set, which has '
            f'{shorten(names, 3)}, but got {len(unknown)} that do not: '
            f'{shorten(map(repr, unknown))}.'
        )
    return found


def _fitting(
    path: str, by_file: dict[str, list[str]], img_suffix: str
) -> list[str]:
    """Return the names whose folders agree with a path as far as both go."""
    # a line may end in '_leftImg8bit.png', '_leftImg8bit' or neither
    for ending in (img_suffix, img_suffix.rpartition('.')[0]):
        if ending and path.endswith(ending):
            path = path[: -len(ending)]
            break
    file = path.rpartition('/')[2]
    return [
        name
        for name in by_file.get(file, ())
        if f'/{path}'.endswith(f'/{name}') or f'/{name}'.endswith(f'/{path}')
    ]
