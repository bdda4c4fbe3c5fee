"""What a check of a data set has to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..visualization import View

__all__ = ['Findings']


@dataclass
class Findings:
    """What was found out about one data set.

    Attributes:
        name (str): What the data set is for.
        images (int): Images that it lists.
        examined (int): Images that were opened.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB of each class, 0 to 255.
        pixels (np.ndarray): (C + 1,) int64, pixels of each class in what was
            examined, and of the ignored label.
        problems (list[str]): Sentences on what has to be mended.
        notes (list[str]): Sentences on what may be intended.
        advice (list[str]): Sentences on what fits the labels.
        views (list[View]): Samples as training sees them; before them some in
            which something is wrong.
    """

    name: str
    images: int = 0
    examined: int = 0
    classes: Sequence[str] = ()
    palette: Sequence[Sequence[int]] = ()
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
