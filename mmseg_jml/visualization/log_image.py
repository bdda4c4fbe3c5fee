"""Pictures into the work directory and to the visualizer's backends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import LocalVisBackend, Visualizer

__all__ = ['log_image']


def log_image(name: str, image: np.ndarray) -> None:
    """Hands a picture to all backends that the config names.

    Where ``LocalVisBackend`` is not among them it is used all the same, so
    that ``vis_data/vis_image`` in the directory of the log holds a PNG.

    Args:
        name (str): Its name; the iteration of the run is added.
        image (np.ndarray): (H, W, 3) uint8, RGB.
    """
    visualizer = Visualizer.get_current_instance()
    step = MessageHub.get_current_instance().get_info('iter', 0)
    visualizer.add_image(name, image, step)
    if visualizer.get_backend('LocalVisBackend') is None:
        log_file = MMLogger.get_current_instance().log_file
        folder = Path(log_file or '.').parent / 'vis_data'
        LocalVisBackend(str(folder)).add_image(name, image, step)
