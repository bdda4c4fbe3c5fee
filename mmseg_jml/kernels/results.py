"""Region sums, and what a loss makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .request import Request

__all__ = ['Reduction', 'RegionSums']


@dataclass(frozen=True)
class RegionSums:
    """Sums over the pixels of each image, float64, differentiable.

    Let p be the probability, y the label, w the pixel weight and k the class
    weight.

    Args:
        by_class (Tensor): (N, 3, C), the sums P of w p^n, Y of w y^n, and
            T = (P + Y - sum of w |p - y|^n) / 2; for n = 1 that is the sum of
            w min(p, y), for n = 2 the sum of w p y. With the product
            (N, 4, C): also the sum of w p y.
        by_image (Tensor): (N, 2), the log-likelihood, which is the sum of
            w k_c y_c log p_c over pixels and classes (0 where no
            cross-entropy is asked for), and the mass that a mean divides it
            by, the sum of w k_c y_c. With sigmoid these are the sum of
            w k_c (y_c log p_c + (1 - y_c) log(1 - p_c)) and of w k_c.
        largest (Tensor, optional): (N, C), the largest p, y or p + y over
            pixels with w > 0; 0 where there is none. Not differentiable.
            Defaults to None.
        hits (Tensor, optional): (N,), the sum of w over pixels whose labelled
            class has the largest logit. Not differentiable. Defaults to None.
        kept (object, optional): Intermediate results from which an
            implementation goes on in its gradient, if they are small.
            Defaults to None.

    Examples:
        Two pixels of class 0, with p = (1/2, 1/2):

        >>> from mmseg_jml.kernels import HardLabel, Request, region_sums
        >>> label = HardLabel(torch.zeros(1, 2, dtype=torch.long))
        >>> sums = region_sums(Request(torch.zeros(1, 2, 2), label))
        >>> sums.prediction.tolist(), sums.target.tolist()
        ([[1.0, 1.0]], [[2.0, 0.0]])
        >>> sums.overlap.tolist(), sums.mass.tolist()
        ([[1.0, 0.0]], [2.0])
    """

    by_class: Tensor
    by_image: Tensor
    largest: Tensor | None = None
    hits: Tensor | None = None
    kept: object = None

    @property
    def prediction(self) -> Tensor:
        """P, (N, C): the sum of w p^n."""
        return self.by_class[:, 0]

    @property
    def target(self) -> Tensor:
        """Y, (N, C): the sum of w y^n, without derivative."""
        return self.by_class[:, 1].detach()

    @property
    def overlap(self) -> Tensor:
        """T, (N, C); for n = 1 the sum of w min(p, y)."""
        return self.by_class[:, 2]

    @property
    def product(self) -> Tensor | None:
        """The sum of w p y, (N, C); None if it was not asked for."""
        return self.by_class[:, 3] if self.by_class.shape[1] > 3 else None

    @property
    def cross_entropy(self) -> Tensor:
        """Minus the log-likelihood, (N,)."""
        return -self.by_image[:, 0]

    @property
    def mass(self) -> Tensor:
        """What a mean divides the cross-entropy by, (N,)."""
        return self.by_image[:, 1].detach()

    @classmethod
    def zeros(cls, request: Request) -> RegionSums:
        """Return sums over no pixels, to which others can be added."""
        images, classes = request.logits.shape[:2]
        rows = 4 if request.with_product else 3

        def zeros(*shape: int) -> Tensor:
            return request.logits.new_zeros(shape, dtype=torch.float64)

        return cls(
            zeros(images, rows, classes),
            zeros(images, 2),
            None if request.largest_of is None else zeros(images, classes),
            zeros(images) if request.with_hits else None,
        )

    def add_(self, part: RegionSums, images: slice) -> None:
        """Add the sums of some pixels of some images."""
        self.by_class[images] += part.by_class
        self.by_image[images] += part.by_image
        if self.largest is not None and part.largest is not None:
            rows = self.largest[images]
            torch.maximum(rows, part.largest, out=rows)
        if self.hits is not None and part.hits is not None:
            self.hits[images] += part.hits


class Reduction(NamedTuple):
    """A scalar function of region sums, and its derivative by them.

    Attributes:
        value (Tensor): The scalar.
        slopes (Tensor): (N, 3 or 4, C), or (1, 3 or 4, C) where all images
            share them: the derivatives by P; by the log-likelihood, times
            the weight of the class; by T; and by the sum of w p y.
        others (tuple[Tensor | None, ...]): More results, without derivative.

    Examples:
        The value -sum(P), whose derivative by P is -1:

        >>> slopes = torch.tensor([[[-1.0], [0.0], [0.0]]])
        >>> Reduction(torch.tensor(-2.0), slopes).others
        ()
    """

    value: Tensor
    slopes: Tensor
    others: tuple[Tensor | None, ...] = ()
