"""Drawings of matplotlib as arrays, in the work directory and the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import LocalVisBackend, Visualizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ['log_image', 'new_figure', 'to_array']


def new_figure(width: float, height: float) -> Figure:
    """Make a figure without a window.

    Args:
        width (float): In inches of 100 pixels.
        height (float): The same.
    """
    # a second that most runs need not spend
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=100, layout='constrained')


def to_array(figure: Figure) -> np.ndarray:
    """Draw a figure.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def log_image(name: str, image: np.ndarray) -> None:
    """Hand a picture to all backends that the config names.

    Where ``LocalVisBackend`` is not among them it is used all the same, so
    that ``vis_data/vis_image`` in the directory of the log holds a PNG.

    Args:
        name (str): Its name; the number of training steps is added.
        image (np.ndarray): (H, W, 3) uint8, RGB.
    """
    visualizer = Visualizer.get_current_instance()
    # steps that are done, as for the scalars beside it; 0 without training
    step = MessageHub.get_current_instance().get_info('iter', -1) + 1
    visualizer.add_image(name, image, step)
    if visualizer.get_backend('LocalVisBackend') is None:
        log_file = MMLogger.get_current_instance().log_file
        folder = Path(log_file or '.').parent / 'vis_data'
        LocalVisBackend(str(folder)).add_image(name, image, step)
