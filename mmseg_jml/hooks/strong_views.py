"""Distorted views of images whose pixels stay where they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..normalisation import Normalisation

__all__ = ['PhotometricDistortion']

# Those of UniMatch (arXiv 2208.09910). The window holds three deviations of
# the widest blur.
DISTORTIONS = (
    dict(
        type='ColorJitter',
        brightness=0.5,
        contrast=0.5,
        saturation=0.5,
        hue=0.25,
        p=0.8,
    ),
    dict(type='RandomGrayscale', p=0.2),
    dict(
        type='RandomGaussianBlur',
        kernel_size=(13, 13),
        sigma=(0.1, 2.0),
        p=0.5,
    ),
)


class PhotometricDistortion:
    """Applies kornia's augmentations to normalised images.

    Args:
        entries (Sequence[dict], optional): Intensity augmentations of
            ``kornia.augmentation``, applied in this order, each image with
            numbers of its own. None means ``DISTORTIONS``.
        preprocessor (nn.Module): The segmentor's ``data_preprocessor``.

    Raises:
        ImportError: If kornia is not installed.
        ValueError: If kornia has no such augmentation, or it moves pixels.
    """

    def __init__(
        self, entries: Sequence[dict] | None, preprocessor: nn.Module
    ) -> None:
        self._normalisation = Normalisation.of(preprocessor)
        entries = DISTORTIONS if entries is None else entries
        self._steps = [_build(**entry) for entry in entries]

    @torch.no_grad()
    def __call__(self, images: Tensor, valid: Tensor) -> Tensor:
        """Distorts colours and sharpness.

        Args:
            images (Tensor): (N, 3, H, W), normalised.
            valid (Tensor): (N, H, W) bool; other pixels stay as they are.

        Returns:
            Tensor: The same of the distorted images.

        Raises:
            ValueError: If images have not three channels.
        """
        if not self._steps:
            return images
        if images.shape[1] != 3:
            raise ValueError(
                'Expected images of three channels to distort but got '
                f'{images.shape[1]}; distortions=[] leaves them as they are.'
            )
        with torch.autocast(images.device.type, enabled=False):
            colours = self._normalisation.restore(images) / 255
            for step in self._steps:
                colours = step(colours.clamp(0, 1))
            distorted = self._normalisation.apply(colours.clamp(0, 1) * 255)
        return torch.where(valid.unsqueeze(1), distorted.to(images), images)


def _build(type: str, **options) -> nn.Module:  # noqa: A002
    try:
        import kornia.augmentation as augmentation  # seconds, and optional
    except ImportError as error:
        raise ImportError(
            'Expected kornia to be installed for the strong views of '
            "unlabelled images: pip install 'mmseg_jml[semi]'"
        ) from error
    step = getattr(augmentation, type, None)
    base = augmentation.IntensityAugmentationBase2D
    if not (isinstance(step, type_of_classes) and issubclass(step, base)):
        raise ValueError(
            'Expected distortions to name intensity augmentations of '
            'kornia.augmentation, which leave pixels in their places, such '
            f'as ColorJitter, but got {type!r}.'
        )
    return step(**options)


type_of_classes = type
