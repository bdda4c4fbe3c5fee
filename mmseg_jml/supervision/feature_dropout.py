"""Complementary dropout of the channels of a backbone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from ..functional import complementary_dropout
from ..stand_in import switched

__all__ = ['FeatureDropout']

_Nest = Any  # feature maps in tuples and lists, as backbones return


class FeatureDropout:
    """Drop from each of two views the channels that the other one keeps.

    Within :meth:`active`, a forward hook of torch changes the feature maps of
    a backbone on their way to neck and heads: a single one, or tuples and
    lists of them. The share of the images is that of
    :func:`~mmseg_jml.functional.complementary_dropout`; 0 attaches no hook.

    Examples:
        >>> import torch
        >>> backbone = nn.Identity()
        >>> dropout = FeatureDropout(backbone, share=1.0)
        >>> with dropout.active():
        ...     views = backbone(torch.ones(2, 8, 1, 1))
        >>> views.sum(0).flatten()  # what one view lacks the other one has
        tensor([2., 2., 2., 2., 2., 2., 2., 2.])
    """

    def __init__(self, backbone: nn.Module, share: float) -> None:
        self._share, self._active = share, False
        self._handles = []
        if share:
            self._handles = [backbone.register_forward_hook(self._drop)]

    def active(self) -> AbstractContextManager:
        """Drop channels of 2 N images: N first views, then N second."""
        return switched([self], '_active', to=True)

    def remove(self) -> None:
        """Detach the hook."""
        for handle in self._handles:
            handle.remove()

    def _drop(self, backbone: nn.Module, args: tuple, output: _Nest) -> _Nest:
        if not self._active:
            return None
        maps = list(_maps(output))
        if not maps:
            raise ValueError(
                'Expected the backbone to return feature maps (N, C, H, W) '
                'for feature_dropout to drop channels of, but got '
                f'{type(output).__name__} without any. Set feature_dropout=0.'
            )
        dropped = iter(complementary_dropout(maps, self._share))
        return _replaced(output, dropped)


def _maps(output: _Nest) -> Iterator[Tensor]:
    if isinstance(output, (list, tuple)):
        for part in output:
            yield from _maps(part)
    elif isinstance(output, Tensor) and output.ndim == 4:
        yield output


def _replaced(output: _Nest, maps: Iterator[Tensor]) -> _Nest:
    """Put other maps into the nest, in the order of :func:`_maps`."""
    if isinstance(output, (list, tuple)):
        return type(output)([_replaced(part, maps) for part in output])
    if isinstance(output, Tensor) and output.ndim == 4:
        return next(maps)
    return output
