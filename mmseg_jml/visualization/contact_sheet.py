"""Many images and their labels on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ['draw_contact_sheet']

COLUMNS = 4
MOST_IN_LEGEND = 40


def draw_contact_sheet(
    rows: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray | None]]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> np.ndarray:
    """Draws images with their labels over them.

    Ignored pixels keep the colour of the image; classes that occur are named
    below.

    Args:
        rows (Mapping): What to write over the images, and for each text the
            images, (H, W, 3) uint8 RGB, with their labels, (H, W) integers or
            None.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB of each class, 0 to 255.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.
    """
    # a second that most runs need not spend
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    cells = [
        [(text, *view) for view in views[i : i + COLUMNS]]
        for text, views in rows.items()
        for i in range(0, len(views), COLUMNS)
    ]
    figure = Figure((12, 3.2 * len(cells) + 1), dpi=100, layout='constrained')
    axes = figure.subplots(len(cells), COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    seen = set()
    for line, views in zip(axes, cells):
        for axis, (text, image, label) in zip(line, views):
            axis.imshow(_overlay(image, label, palette))
            axis.set_title(text, fontsize='medium')
            seen.update(() if label is None else np.unique(label).tolist())
    named = [i for i in sorted(seen) if i < len(classes)][:MOST_IN_LEGEND]
    if named:
        patches = [
            Patch(color=np.array(palette[i]) / 255, label=classes[i])
            for i in named
        ]
        figure.legend(handles=patches, loc='outside lower center', ncols=6)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def _overlay(
    image: np.ndarray,
    label: np.ndarray | None,
    palette: Sequence[Sequence[int]],
) -> np.ndarray:
    if label is None:
        return image
    known = (label >= 0) & (label < len(palette))
    colours = np.array(palette)[np.where(known, label, 0)]
    mixed = (image.astype(int) + colours) // 2
    return np.where(known[..., None], mixed, image).astype(np.uint8)
