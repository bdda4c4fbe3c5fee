"""How a segmentor's data preprocessor encodes colours."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ['Normalisation', 'swap_channels']


class Normalisation(NamedTuple):
    """Mean, deviation and order of the channels of normalised images.

    Attributes:
        mean (Tensor): Scalar or (C, 1, 1), on the scale from 0 to 255.
        std (Tensor): Standard deviation, in the shape of the mean.
        is_rgb (bool): Whether normalised images are RGB; they are loaded as
            BGR.
    """

    mean: Tensor
    std: Tensor
    is_rgb: bool

    @classmethod
    def of(cls, preprocessor: nn.Module) -> Normalisation:
        """Read the normalisation of a data preprocessor.

        Returns:
            Normalisation: Its numbers; mean 0 and deviation 1 if it does not
            normalise.
        """
        is_rgb = any(
            getattr(preprocessor, name, False)
            for name in ('channel_conversion', '_channel_conversion')
        )
        if getattr(preprocessor, '_enable_normalize', False):
            mean, std = map(preprocessor.get_buffer, ('mean', 'std'))
            return cls(mean, std, is_rgb)
        return cls(torch.zeros(()), torch.ones(()), is_rgb)

    def swapped(self) -> Normalisation:
        """Return the same for images whose channels are in reverse order."""
        return Normalisation(
            swap_channels(self.mean), swap_channels(self.std), not self.is_rgb
        )

    def restore(self, images: Tensor) -> Tensor:
        """Restore the colours of normalised images.

        Args:
            images (Tensor): (*, C, H, W), as the segmentor sees them.

        Returns:
            Tensor: (*, C, H, W) floats from 0 to 255, RGB if C is 3.
        """
        images = images.float() * self.std + self.mean
        return images if self.is_rgb else swap_channels(images)

    def apply(self, images: Tensor) -> Tensor:
        """Normalise colours: the inverse of :meth:`restore`.

        Args:
            images (Tensor): (*, C, H, W) floats from 0 to 255, RGB.

        Returns:
            Tensor: (*, C, H, W), as the segmentor sees them.
        """
        images = images if self.is_rgb else swap_channels(images)
        return (images - self.mean) / self.std


def swap_channels(value: Tensor) -> Tensor:
    """Exchange RGB and BGR; other than three channels stay, as in mmseg.

    Args:
        value (Tensor): (*, C, H, W), or a scalar.
    """
    has_colours = value.ndim > 2 and value.shape[-3] == 3
    return value.flip(-3) if has_colours else value
