"""The results of checking a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..visualization import View

__all__ = ['Findings']


class Findings:
    """The results of checking one data set.

    Args:
        name (str): Its purpose: 'train', 'val' or 'unlabeled'.

    Attributes:
        images (int): Images that it lists.
        examined (int): Images that were opened.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB of each class, 0 to 255.
        pixels (np.ndarray): (C + 1,) int64, pixels of each class and of the
            ignored label in the images that were opened.
        problems (list[str]): Sentences on what has to be fixed.
        notes (list[str]): Sentences on what may be intended.
        advice (list[str]): Sentences on options that fit the labels.
        views (list[mmseg_jml.visualization.View]): Samples as they leave the
            pipeline; before them some in which something is wrong.

    Examples:
        >>> Findings('train').problems
        []
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.images = self.examined = 0
        self.classes: Sequence[str] = ()
        self.palette: Sequence[Sequence[int]] = ()
        self.pixels = np.zeros(1, np.int64)
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.advice: list[str] = []
        self.views: list[View] = []
