"""Turn figures of matplotlib into arrays, and log them."""

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
        height (float): In inches of 100 pixels.
    """
    # importing matplotlib takes a second, which most runs need not spend
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=100, layout='constrained')


def to_array(figure: Figure) -> np.ndarray:
    """Render a figure.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def log_image(name: str, image: np.ndarray) -> None:
    """Log a picture to all visualization backends of the config.

    If ``LocalVisBackend`` is not among them, it is used as well, so that there
    is always a PNG, in ``vis_data/vis_image`` beside the log.

    Args:
        name (str): Its name, to which the number of training steps is added.
        image (np.ndarray): (H, W, 3) uint8, RGB.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> backends = [dict(type='LocalVisBackend')]
        >>> with TemporaryDirectory() as folder:
        ...     _ = Visualizer.get_instance(  # in a run the runner does this
        ...         'example', vis_backends=backends, save_dir=folder
        ...     )
        ...     log_image('black', np.zeros((4, 6, 3), np.uint8))
        ...     [path.stem[:5] for path in Path(folder).rglob('*.png')]
        ['black']
    """
    visualizer = Visualizer.get_current_instance()
    # steps that are done, as for scalars in the log; 0 without training
    step = MessageHub.get_current_instance().get_info('iter', -1) + 1
    visualizer.add_image(name, image, step)
    if visualizer.get_backend('LocalVisBackend') is None:
        log_file = MMLogger.get_current_instance().log_file
        folder = Path(log_file or '.').parent / 'vis_data'
        LocalVisBackend(str(folder)).add_image(name, image, step)
