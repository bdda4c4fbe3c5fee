"""Draw many images and their labels on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .drawing import new_figure, to_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ['View', 'draw_contact_sheet']

COLUMNS = 4
MOST_IN_LEGEND = 40
STRANGE = (255, 0, 255)


class View(NamedTuple):
    """An image to be drawn, with its label.

    Attributes:
        name (str): Its title.
        image (np.ndarray | None): (H, W, 3) uint8, RGB; None if the image
            could not be loaded.
        label (np.ndarray | None): (H, W) integers.
        problem (str): What is wrong with it; empty if nothing is.

    Examples:
        >>> View('7.png', problem='its label has no file').image is None
        True
    """

    name: str
    image: np.ndarray | None = None
    label: np.ndarray | None = None
    problem: str = ''


def draw_contact_sheet(
    rows: Mapping[str, Sequence[View]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    ignore_index: int = 255,
) -> np.ndarray:
    """Draw images with their labels over them.

    Ignored pixels keep the colour of the image; those whose value is neither
    ignored nor a class are magenta. The problem of an image is written over
    it in red. A legend below names the classes that occur.

    Args:
        rows (Mapping[str, Sequence[View]]): The views of each data set.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB of each class, 0 to 255.
        ignore_index (int): The ignored label. Defaults to 255.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.

    Examples:
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> views = [View('7.png', image, np.zeros((4, 6), int))]
        >>> sheet = draw_contact_sheet({'train': views}, ['road'], [[9, 9, 9]])
        >>> sheet.shape, sheet.dtype
        ((420, 1200, 3), dtype('uint8'))
    """
    lines = [
        (title, views[i : i + COLUMNS])
        for title, views in rows.items()
        for i in range(0, len(views), COLUMNS)
    ]
    figure = new_figure(12, 3.2 * len(lines) + 1)
    axes = figure.subplots(len(lines), COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    seen: set[int] = set()
    for line, (title, views) in zip(axes, lines):
        for axis, view in zip(line, views):
            _draw(axis, title, view, palette, ignore_index)
            if view.label is not None:
                seen.update(np.unique(view.label).tolist())
    named = [i for i in sorted(seen) if 0 <= i < len(classes)]
    if named:
        from matplotlib.patches import Patch

        patches = [
            Patch(color=_hex(palette[i]), label=classes[i])
            for i in named[:MOST_IN_LEGEND]
        ]
        figure.legend(handles=patches, loc='outside lower center', ncols=6)
    return to_array(figure)


def _hex(colour: Sequence[int]) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*colour)


def _draw(
    axis: Axes,
    title: str,
    view: View,
    palette: Sequence[Sequence[int]],
    ignored: int,
) -> None:
    problem = f'\n{view.problem}' if view.problem else ''
    axis.set_title(
        f'{title}: {view.name}{problem}',
        fontsize='small',
        color='red' if problem else 'black',
        wrap=True,
    )
    if view.image is not None:
        image = view.image
        if view.label is not None:
            image = _overlay(image, view.label, palette, ignored)
        axis.imshow(image)


def _overlay(
    image: np.ndarray,
    label: np.ndarray,
    palette: Sequence[Sequence[int]],
    ignored: int,
) -> np.ndarray:
    known = (label >= 0) & (label < len(palette))
    colours = np.array([*palette, STRANGE])[np.where(known, label, -1)]
    mixed = (image.astype(int) + colours) // 2
    mixed = np.where(known[..., None], mixed, colours)
    return np.where((label == ignored)[..., None], image, mixed).astype(
        np.uint8
    )
