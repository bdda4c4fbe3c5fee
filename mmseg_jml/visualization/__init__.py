"""Pictures of what is measured."""

from .log_image import log_image
from .reliability_diagram import reliability_diagram

__all__ = ['log_image', 'reliability_diagram']
