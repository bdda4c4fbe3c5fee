"""What a check of a data set has to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ['Findings', 'View']


class View(NamedTuple):
    """What a pipeline makes of an image.

    Attributes:
        image (np.ndarray): (H, W, 3) uint8, RGB.
        label (np.ndarray | None): (H, W), out of the classes where ignored.
    """

    image: np.ndarray
    label: np.ndarray | None


class Findings:
    """What was found out about one data set.

    Args:
        name (str): What the data set is for.

    Attributes:
        images (int): Images that it lists.
        examined (int): Images that were opened.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB of each class, 0 to 255.
        pixels (np.ndarray): (C + 1,) int64, pixels of each class in what was
            examined, and of the ignored label.
        problems (list[str]): Sentences on what has to be mended.
        notes (list[str]): Sentences on what may be intended.
        views (list[View]): Samples as training sees them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.images = self.examined = 0
        self.classes: Sequence[str] = ()
        self.palette: Sequence[Sequence[int]] = ()
        self.pixels = np.zeros(1, np.int64)
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.views: list[View] = []
