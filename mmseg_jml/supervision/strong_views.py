"""Strong views: distorted colours, boxes of other images, fewer channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from inspect import signature
from typing import Any

import torch
from mmengine.utils import apply_to
from torch import Tensor, nn

from ..functional import complementary_dropout, cutmix_boxes
from ..normalisation import Normalisation
from .options import is_list, refuse
from .pseudo_labels import Views

__all__ = [
    'PhotometricDistortion',
    'channels_dropped',
    'check_distortions',
    'strong_views',
]

# The distortions of UniMatch (arXiv 2208.09910). A window of 13 pixels holds
# three standard deviations of the widest blur on each side.
_JITTER = dict(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)
_BLUR = dict(kernel_size=(13, 13), sigma=(0.1, 2.0))
UNIMATCH = (
    dict(type='ColorJitter', p=0.8, **_JITTER),
    dict(type='RandomGrayscale', p=0.2),
    dict(type='RandomGaussianBlur', p=0.5, **_BLUR),
)


def strong_views(
    weak: Views,
    distort: PhotometricDistortion,
    number: int,
    cutmix: float,
    source: Views | None,
) -> Views:
    """Make several strong views of each image: distort it, then CutMix.

    Each of the ``number`` views is drawn by itself, and has a box of another
    image with the probability ``cutmix``. Without a source the boxes come
    from the distorted images themselves. The first views of all images come
    first, then the second ones ...
    """
    height, width = weak.images.shape[2:]
    views = []
    for _ in range(number):
        distorted = weak._replace(images=distort(weak.images, weak.valid))
        boxes = cutmix_boxes(len(weak.images), (height, width), cutmix)
        boxes = boxes.to(weak.images.device)  # once for all that is mixed
        views.append(distorted.mixed(boxes, source))
    return Views.joined(views)


class PhotometricDistortion:
    """Apply kornia's augmentations to normalised images.

    The entries, which :func:`check_distortions` has accepted, are intensity
    augmentations of ``kornia.augmentation``, applied in this order and drawn
    for each image by itself. 'unimatch' stands for ``UNIMATCH``, None for
    none.

    Raises:
        ImportError: If kornia is not installed.
        ValueError: If kornia has no such augmentation, it moves pixels, or
            it takes no such options.
    """

    def __init__(
        self, entries: str | Sequence[dict] | None, preprocessor: nn.Module
    ) -> None:
        self._normalisation = Normalisation.of(preprocessor)
        chosen = UNIMATCH if isinstance(entries, str) else entries or ()
        self._steps = [_build(entry) for entry in chosen]

    @torch.no_grad()
    def __call__(self, images: Tensor, valid: Tensor) -> Tensor:
        """Distort colours and sharpness of normalised images (N, 3, H, W).

        Pixels that are not valid, (N, H, W) bool, stay as they are. It is a
        ValueError if the images do not have three channels.
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


def check_distortions(value: object) -> None:
    """Raise a ValueError unless ``distortions`` look like entries of kornia.

    Whether kornia knows them is found out when training starts.
    """
    if value is None or value == 'unimatch':
        return
    if not is_list(value) or not all(
        isinstance(entry, Mapping) and isinstance(entry.get('type'), str)
        for entry in value
    ):
        entries = "[dict(type='ColorJitter', brightness=0.5)], or [] for none,"
        expected = f"'unimatch', a list of entries such as {entries}"
        refuse('distortions', expected, value)


def _build(entry: Mapping) -> nn.Module:
    try:
        import kornia.augmentation as augmentation  # seconds, and optional
    except ImportError as error:
        raise ImportError(
            'Expected kornia to be installed for the strong views of '
            "unlabelled images (pip install 'mmseg_jml[semi]'; torch below "
            f"2.5 needs 'kornia<0.8.3') but importing it failed: {error}"
        ) from error
    options = dict(entry)
    name = options.pop('type')
    step = getattr(augmentation, name, None)
    base = augmentation.IntensityAugmentationBase2D
    if not (isinstance(step, type) and issubclass(step, base)):
        raise ValueError(
            'Expected distortions to name intensity augmentations of '
            'kornia.augmentation, which leave pixels in their places, such '
            f'as ColorJitter, but got {name!r}.'
        )
    try:
        return step(**options)
    except Exception as error:  # kornia raises all kinds
        raise ValueError(
            f'Expected the entry {name!r} of distortions to have options of '
            f'kornia.augmentation.{name}, which are '
            f'{", ".join(signature(step).parameters)}, but got '
            f'{dict(entry)!r}: {error}'
        ) from error


def channels_dropped(
    backbone: nn.Module, share: float
) -> AbstractContextManager:
    """Drop from each of two views the channels that the other one keeps.

    Within the block a forward hook of torch changes the feature maps of a
    backbone, in tuples, lists or dictionaries, on their way to neck and heads.
    The batch has N first views, then N second ones. The share of the images is
    that of :func:`~mmseg_jml.functional.complementary_dropout`.

    Examples:
        >>> backbone = nn.Identity()
        >>> with channels_dropped(backbone, share=1.0):
        ...     views = backbone(torch.ones(2, 8, 1, 1))
        >>> views.sum(0).flatten()  # what one view lacks the other one has
        tensor([2., 2., 2., 2., 2., 2., 2., 2.])
    """
    if not share:
        return nullcontext()
    return backbone.register_forward_hook(partial(_drop, share), prepend=True)


def _drop(share: float, backbone: nn.Module, args: tuple, output: Any) -> Any:
    maps: list[Tensor] = []
    apply_to(output, _is_map, maps.append)
    if not maps:
        raise ValueError(
            'Expected the backbone to return feature maps (N, C, H, W) '
            'for feature_dropout to drop channels of, but got '
            f'{type(output).__name__} without any. Set feature_dropout=0.'
        )
    dropped = iter(complementary_dropout(maps, share))
    return apply_to(output, _is_map, lambda _: next(dropped))


def _is_map(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4
