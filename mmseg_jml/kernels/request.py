"""What region sums are asked for, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Union

import torch
from torch import Tensor

__all__ = [
    'HardLabel',
    'Probabilities',
    'Reduction',
    'RegionSums',
    'Request',
    'Target',
    'TeacherLogits',
]


@dataclass(frozen=True)
class HardLabel:
    """One class per pixel, smoothed or not.

    On a smoothed pixel the label's own class has probability ``on`` and every
    other class ``off``; elsewhere they are 1 and 0. With a ``window`` the
    rest, 1 - ``on``, goes to the classes in the pixel's window, to each its
    share of the votes. The dense label (N, C, *) is never built.

    Args:
        label (Tensor): (N, *) int64 in [0, C) or ``ignore_index``.
        ignore_index (int, optional): Label of pixels that do not count.
            None: every pixel counts. Defaults to 255.
        on (float): Probability of the label's class on a smoothed pixel, in
            [0, 1]. Defaults to 1.0.
        off (float): Probability of each other class there, in [0, 1].
            Defaults to 0.0.
        smoothed (Tensor, optional): (N, *) bool, the smoothed pixels. None
            means all of them. Defaults to None.
        window (Tensor, optional): (N, k, k, *) integers >= 0, the labels
            around each pixel, itself included. Those of C and above do not
            vote. A view of the padded label does, as of
            :func:`mmseg_jml.functional.label_windows`. In place of ``off``
            and ``smoothed``. Defaults to None.
    """

    label: Tensor
    ignore_index: int | None = 255
    on: float = 1.0
    off: float = 0.0
    smoothed: Tensor | None = None
    window: Tensor | None = None

    @property
    def is_smoothed(self) -> bool:
        """Whether any pixel may carry a soft label."""
        return self.on != 1.0 or self.off != 0.0

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """The label as (N, C, *) values; 0 in every class where ignored."""
        classes = torch.arange(num_classes, device=self.label.device)
        classes = classes.view(-1, *[1] * (self.label.ndim - 1))
        hit = self.label.unsqueeze(1) == classes
        value = hit.to(dtype)
        if self.window is not None:
            value = self._shared(hit, dtype)
        elif self.is_smoothed:
            # numbers alone would be rounded to float32
            soft = torch.where(
                hit, value.new_full((), self.on), value.new_full((), self.off)
            )
            if self.smoothed is not None:
                soft = torch.where(self.smoothed.unsqueeze(1), soft, value)
            value = soft
        return value * self.counted().unsqueeze(1)

    def _shared(self, hit: Tensor, dtype: torch.dtype) -> Tensor:
        """The label of :meth:`dense` where the window votes."""
        classes = torch.arange(hit.shape[1], device=hit.device)
        classes = classes.view(-1, *[1] * (hit.ndim - 2))
        votes = torch.zeros_like(hit, dtype=dtype)
        for row in self.window.unbind(1):
            for label in row.unbind(1):
                votes += label.unsqueeze(1) == classes
        total = votes.sum(1, keepdim=True).clamp(min=1)
        spread = 1 - self.on
        # 1 - 0, to the bit, where all votes are for the pixel's own class
        own = 1 - spread * (total - votes) / total
        return torch.where(hit, own, spread * votes / total)

    def counted(self) -> Tensor:
        """(N, *) bool: the pixels that are not ignored."""
        if self.ignore_index is None:
            return torch.ones_like(self.label, dtype=torch.bool)
        return self.label != self.ignore_index


@dataclass(frozen=True)
class Probabilities:
    """A soft label, (N, C, *) floats in [0, 1].

    Pixels that do not count are given by a pixel weight of 0.
    """

    value: Tensor

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """The soft label itself, as ``dtype``."""
        return self.value.to(dtype)


@dataclass(frozen=True)
class TeacherLogits:
    """A soft label given as logits: softmax(value / temperature).

    Args:
        value (Tensor): (N, C, *) logits.
        temperature (float): Above 0. Defaults to 1.0.
        use_sigmoid (bool): sigmoid(value / temperature), per class, in place
            of the softmax. Defaults to False.
        size (tuple[int, int], optional): The size of the label where
            ``value`` is smaller: the teacher's logits are then upsampled to
            it, as ``F.interpolate(mode='bilinear')`` does it. Defaults to
            None.
        align_corners (bool): As for ``F.interpolate``. Defaults to False.
    """

    value: Tensor
    temperature: float = 1.0
    use_sigmoid: bool = False
    size: tuple[int, int] | None = None
    align_corners: bool = False

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """The teacher's probabilities, as ``dtype``."""
        logits = self.value.to(dtype) / self.temperature
        return logits.sigmoid() if self.use_sigmoid else logits.softmax(1)


Target = Union[HardLabel, Probabilities, TeacherLogits]


@dataclass(frozen=True)
class Request:
    """What to sum over the pixels of a batch.

    Args:
        logits (Tensor): (N, C, *) floats. With two spatial dimensions they
            may be smaller than the label: they are then upsampled to its
            size, exactly as ``F.interpolate(mode='bilinear')`` does it.
        target (Target): The label.
        weight (Tensor, optional): (N, *) pixel weights >= 0, of the label's
            size. Defaults to None.
        class_weight (Tensor, optional): (C,), for the cross-entropy alone.
            Defaults to None.
        norm (float): n >= 1 of the sums of abs(.)^n. Defaults to 1.
        use_sigmoid (bool): One sigmoid per class in place of the softmax
            over classes. Defaults to False.
        with_product (bool): Also sum w p y. Defaults to False.
        with_cross_entropy (bool): Also sum the cross-entropy. Defaults to
            False.
        with_hits (bool): Also count the pixels whose labelled class has the
            largest logit; for a ``HardLabel``. Defaults to False.
        largest_of (str, optional): 'prediction', 'label' or 'both': also
            find the largest p, y or p + y of each class. Defaults to None.
        align_corners (bool): As for ``F.interpolate``. Defaults to False.
    """

    logits: Tensor
    target: Target
    weight: Tensor | None = None
    class_weight: Tensor | None = None
    norm: float = 1
    use_sigmoid: bool = False
    with_product: bool = False
    with_cross_entropy: bool = False
    with_hits: bool = False
    largest_of: str | None = None
    align_corners: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The dtype to compute in: float32, or float64 for float64 logits."""
        double = self.logits.dtype == torch.float64
        return torch.float64 if double else torch.float32

    @property
    def size(self) -> torch.Size:
        """The spatial size of the label."""
        target = self.target
        if isinstance(target, HardLabel):
            return target.label.shape[1:]
        if isinstance(target, TeacherLogits) and target.size is not None:
            return torch.Size(target.size)
        return target.value.shape[2:]

    @property
    def is_upsampled(self) -> bool:
        """Whether the logits, or a teacher's, are smaller than the label."""
        values = [self.logits]
        if not isinstance(self.target, HardLabel):
            values.append(self.target.value)
        return any(value.shape[2:] != self.size for value in values)

    @property
    def is_hard(self) -> bool:
        """Whether every label is one class of probability 1."""
        target = self.target
        return isinstance(target, HardLabel) and not target.is_smoothed

    def tensors(self) -> dict[str, Tensor | None]:
        """All tensors by name, those of the target included.

        Autograd wants to see tensors as arguments of a function of their
        own; :meth:`with_tensors` puts them back.
        """
        target = {
            field.name: getattr(self.target, field.name)
            for field in fields(self.target)
        }
        return {
            'logits': self.logits,
            'weight': self.weight,
            'class_weight': self.class_weight,
            **{k: v for k, v in target.items() if isinstance(v, Tensor)},
        }

    def with_tensors(self, tensors: dict[str, Tensor | None]) -> Request:
        """The same request of other tensors, named as in :meth:`tensors`."""
        tensors = dict(tensors)
        own = {
            name: tensors.pop(name)
            for name in ('logits', 'weight', 'class_weight')
            if name in tensors
        }
        target = replace(self.target, **tensors) if tensors else self.target
        return replace(self, target=target, **own)


@dataclass(frozen=True)
class RegionSums:
    """Sums over the pixels of each image, float64, differentiable.

    With probability p, label y, pixel weight w and class weight k.

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
        kept (object, optional): What an implementation's gradient of the same
            request may go on from, where that is small. Defaults to None.
    """

    by_class: Tensor
    by_image: Tensor
    largest: Tensor | None = None
    hits: Tensor | None = None
    kept: object = None

    @property
    def prediction(self) -> Tensor:
        """(N, C), P."""
        return self.by_class[:, 0]

    @property
    def target(self) -> Tensor:
        """(N, C), Y."""
        return self.by_class[:, 1].detach()

    @property
    def overlap(self) -> Tensor:
        """(N, C), T."""
        return self.by_class[:, 2]

    @property
    def product(self) -> Tensor | None:
        """(N, C), the sum of w p y; None where it was not asked for."""
        return self.by_class[:, 3] if self.by_class.shape[1] > 3 else None

    @property
    def cross_entropy(self) -> Tensor:
        """(N,), minus the log-likelihood."""
        return -self.by_image[:, 0]

    @property
    def mass(self) -> Tensor:
        """(N,), what a mean divides the cross-entropy by."""
        return self.by_image[:, 1].detach()

    @classmethod
    def zeros(cls, request: Request) -> RegionSums:
        """Sums over no pixel."""
        logits = request.logits
        images, classes = logits.shape[:2]
        rows = 4 if request.with_product else 3
        shapes = (images, rows, classes), (images, 2)
        by_class, by_image = (
            logits.new_zeros(shape, dtype=torch.float64) for shape in shapes
        )
        largest = hits = None
        if request.largest_of is not None:
            largest = by_class.new_zeros(images, classes)
        if request.with_hits:
            hits = by_class.new_zeros(images)
        return cls(by_class, by_image, largest, hits)

    def add_(self, part: RegionSums, images: slice) -> None:
        """Add the sums of some pixels of some images."""
        self.by_class[images] += part.by_class
        self.by_image[images] += part.by_image
        if self.largest is not None:
            rows = self.largest[images]
            torch.maximum(rows, part.largest, out=rows)
        if self.hits is not None:
            self.hits[images] += part.hits


class Reduction(NamedTuple):
    """A scalar function of region sums, and its derivative by them.

    Attributes:
        value (Tensor): The scalar.
        slopes (Tensor): (N, 3 or 4, C), or (1, 3 or 4, C) where all images
            share them: the derivatives by P; by the log-likelihood, times
            the weight of the class; by T; and by the sum of w p y.
        others (tuple[Tensor | None, ...]): More to tell, without derivative.
    """

    value: Tensor
    slopes: Tensor
    others: tuple[Tensor | None, ...] = ()
