"""The options of a region loss, checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from .option_checks import check_at_least

__all__ = ['ActiveClasses', 'RegionLossOptions']

#: The name of a rule by which classes are averaged, or a list of classes.
ActiveClasses = Union[str, 'Sequence[int]']
_MODES = ('ALL', 'PRESENT', 'PROB', 'LABEL', 'BOTH')


@dataclass(frozen=True)
class RegionLossOptions:
    """What a region loss computes from its region sums.

    Per class, with true positives tp, false positives fp and false negatives
    fn taken from :class:`mmseg_jml.kernels.RegionSums`::

        index = (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)
        term  = (1 - index) ** gamma          # or (-log(index)) ** gamma

    With alpha and beta of its own it is the "Tversky loss function for image
    segmentation using 3D fully convolutional deep networks" (arXiv
    1706.05721); with gamma too the loss of "A Novel Focal Tversky loss
    function with improved Attention U-Net for lesion segmentation" (arXiv
    1810.07842).

    Args:
        alpha (float): Weight of false positives. Jaccard 1, Dice 0.5; any
            other pair with ``beta`` is a Tversky index. Defaults to 1.0.
        beta (float): Weight of false negatives. With a norm above 1 it may
            differ from alpha by 1 at most, for JML2 only with norm 2.
            Defaults to 1.0.
        gamma (float): Focal power, at least 1. Defaults to 1.0.
        smooth (float): Added to numerator and denominator, in pixels.
            Defaults to 1.0.
        norm (float): n of the sums of abs(.)^n that stand for numbers of
            pixels: 1 for the metric loss, 2 for the squared soft Jaccard
            loss. Defaults to 1.
        log_loss (bool): Whether to take -log(index) in place of 1 - index.
            Defaults to False.
        variant (str): 'jml1', tp = (P + Y - D) / 2, or 'jml2', tp = sum of
            p y; they are equal on hard labels. Defaults to 'jml1'.
        mIoUD (float): Weight of the data set level: the index of the whole
            batch. Defaults to 1.0.
        mIoUI (float): Weight of the image level: the mean over the classes of
            an image, then over images. Defaults to 0.0.
        mIoUC (float): Weight of the class level: the mean over the images of
            a class, then over classes. Defaults to 0.0.
        threshold (float): A class is active where its largest value over the
            pixels exceeds this, in [0, 1). Defaults to 0.01.
        active_classes_mode_hard (str | Sequence[int]): The classes that are
            averaged for hard labels: 'ALL'; those active by their label
            ('PRESENT' or 'LABEL'), by their probability ('PROB') or by the
            sum of both ('BOTH'); or a list of classes. Defaults to 'PRESENT'.
        active_classes_mode_soft (str | Sequence[int]): The same for soft and
            smoothed labels. Defaults to 'ALL'.

    Raises:
        ValueError: If a value is outside its range; the message names it.

    Examples:
        >>> RegionLossOptions(alpha=0.5, beta=0.5).smooth
        1.0
    """

    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 1.0
    smooth: float = 1.0
    norm: float = 1
    log_loss: bool = False
    variant: str = 'jml1'
    mIoUD: float = 1.0  # noqa: N815
    mIoUI: float = 0.0  # noqa: N815
    mIoUC: float = 0.0  # noqa: N815
    threshold: float = 0.01
    active_classes_mode_hard: ActiveClasses = 'PRESENT'
    active_classes_mode_soft: ActiveClasses = 'ALL'

    def __post_init__(self) -> None:
        names = ('alpha', 'beta', 'smooth', 'mIoUD', 'mIoUI', 'mIoUC')
        check_at_least(0, **{name: getattr(self, name) for name in names})
        check_at_least(0, threshold=self.threshold)
        check_at_least(1, gamma=self.gamma, norm=self.norm)
        for name, holds, expected in self._rules():
            if not holds:
                raise ValueError(
                    f'Expected {name} to be {expected}, but got '
                    f'{getattr(self, name)!r}'
                )

    def active_classes(self, is_hard: bool) -> ActiveClasses:
        """Return the mode for hard labels, or that for soft ones."""
        if is_hard:
            return self.active_classes_mode_hard
        return self.active_classes_mode_soft

    def _rules(self) -> list[tuple[str, bool, str]]:
        """List options, whether their value is allowed, and what is."""
        modes = f'one of {_MODES} or a list of class indices'
        return [
            (
                'beta',
                self.alpha + self.beta > 0,
                'above 0 where alpha is 0, since errors would cost nothing',
            ),
            (
                'mIoUD',
                self.mIoUD + self.mIoUI + self.mIoUC > 0,
                'above 0 where mIoUI and mIoUC are 0',
            ),
            ('variant', self.variant in ('jml1', 'jml2'), "'jml1' or 'jml2'"),
            ('threshold', self.threshold < 1, 'in [0, 1)'),
            (
                'smooth',
                not self.log_loss or self.smooth > 0,
                'above 0 with log_loss=True, since log(0) is infinite',
            ),
            (
                'alpha',
                abs(self.alpha - self.beta) <= self._widest_gap(),
                f'at most {self._widest_gap()} away from beta={self.beta} '
                f'with norm={self.norm} and variant={self.variant!r}, since '
                'the denominator of such an index may be negative',
            ),
            (
                'alpha',
                not self.log_loss or self.norm == 1 or self.alpha == self.beta,
                f'equal to beta={self.beta} with log_loss=True and norm above '
                '1, since such an index may be negative',
            ),
            *(
                (name, _names_classes(getattr(self, name)), modes)
                for name in (
                    'active_classes_mode_hard',
                    'active_classes_mode_soft',
                )
            ),
        ]

    def _widest_gap(self) -> float:
        """Return by how much alpha and beta may differ.

        With a norm n above 1, P - T and Y - T may be negative alone, though
        not their sum. Because P, Y and T are not, with beta <= alpha
        T + alpha (P - T) + beta (Y - T) >= T + (alpha - beta) (P - T) >= 0
        up to a difference of 1. For JML2 that needs T to be the sum of p y.
        """
        if self.norm == 1:
            return math.inf
        return 1 if self.variant == 'jml1' or self.norm == 2 else 0


def _names_classes(mode: ActiveClasses) -> bool:
    if isinstance(mode, str):
        return mode in _MODES
    if not isinstance(mode, Sequence):
        return False
    return len(mode) > 0 and all(isinstance(c, int) and c >= 0 for c in mode)
