"""Draw data sets, soft labels and calibration."""

from .contact_sheet import View, draw_contact_sheet
from .drawing import log_image
from .reliability_diagram import reliability_diagram
from .soft_labels import SoftLabelPicture, draw_soft_labels, restore_image

__all__ = [
    'SoftLabelPicture',
    'View',
    'draw_contact_sheet',
    'draw_soft_labels',
    'log_image',
    'reliability_diagram',
    'restore_image',
]
