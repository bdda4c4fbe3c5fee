"""The options of region losses, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

__all__ = ['ActiveClasses', 'RegionLossOptions']

ActiveClasses = Union[str, 'Sequence[int]']
_MODES = ('ALL', 'PRESENT', 'PROB', 'LABEL', 'BOTH')


@dataclass(frozen=True)
class RegionLossOptions:
    """What a region loss computes from its region sums.

    Per class, with true positives tp, false positives fp and false negatives
    fn taken from :class:`mmseg_jml.kernels.RegionSums`::

        index = (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)
        term  = (1 - index) ** gamma          # or (-log(index)) ** gamma

    Args:
        alpha (float): Weight of false positives. Jaccard 1, Dice 0.5; any
            other pair with ``beta`` is a Tversky index. Defaults to 1.0.
        beta (float): Weight of false negatives. Defaults to 1.0.
        gamma (float): Focal power, at least 1. Defaults to 1.0.
        smooth (float): Added to numerator and denominator, in pixels.
            Defaults to 1.0.
        norm (float): n of the cardinalities, the sums of abs(.)^n. 1 is the
            metric loss; 2, the squared soft Jaccard. Defaults to 1.
        log_loss (bool): -log(index) in place of 1 - index. Defaults to
            False.
        variant (str): 'jml1', tp = (P + Y - D) / 2, or 'jml2', tp = sum of
            p y; they are equal on hard labels. Defaults to 'jml1'.
        mIoUD (float): Share of the data set level: the index of the whole
            batch. Defaults to 1.0.
        mIoUI (float): Share of the image level: the mean over the classes of
            an image, then over images. Defaults to 0.0.
        mIoUC (float): Share of the class level: the mean over the images of a
            class, then over classes. Defaults to 0.0.
        threshold (float): A class is active where its largest value over the
            pixels exceeds this, in [0, 1). Defaults to 0.01.
        active_classes_mode_hard (str | Sequence[int]): The classes that are
            averaged for hard labels: 'ALL'; 'PRESENT' or 'LABEL' (tests the
            label); 'PROB' (the prediction); 'BOTH' (their sum); or a list of
            classes. Defaults to 'PRESENT'.
        active_classes_mode_soft (str | Sequence[int]): The same for soft
            labels. Defaults to 'ALL'.

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
        for name in ('alpha', 'beta', 'smooth', 'mIoUD', 'mIoUI', 'mIoUC'):
            _expect(getattr(self, name) >= 0, name, 'at least 0', self)
        for name in ('gamma', 'norm'):
            _expect(getattr(self, name) >= 1, name, 'at least 1', self)
        _expect(
            self.alpha + self.beta > 0,
            'beta',
            'above 0 where alpha is 0, since errors would cost nothing',
            self,
        )
        _expect(
            self.mIoUD + self.mIoUI + self.mIoUC > 0,
            'mIoUD',
            'above 0 where mIoUI and mIoUC are 0',
            self,
        )
        _expect(
            self.variant in ('jml1', 'jml2'),
            'variant',
            "'jml1' or 'jml2'",
            self,
        )
        _expect(0 <= self.threshold < 1, 'threshold', 'in [0, 1)', self)
        _expect(
            not self.log_loss or self.smooth > 0,
            'smooth',
            'above 0 with log_loss=True, since log(0) is infinite',
            self,
        )
        _expect(
            not self.log_loss or self.norm == 1 or self.alpha == self.beta,
            'alpha',
            f'equal to beta={self.beta} with log_loss=True and norm above 1, '
            'since such an index may be negative',
            self,
        )
        for name in ('active_classes_mode_hard', 'active_classes_mode_soft'):
            _check_active_classes(name, getattr(self, name))


def _expect(
    condition: bool, name: str, what: str, options: RegionLossOptions
) -> None:
    if not condition:
        raise ValueError(
            f'Expected {name} to be {what}, but got {getattr(options, name)!r}'
        )


def _check_active_classes(name: str, mode: ActiveClasses) -> None:
    if isinstance(mode, str):
        valid = mode in _MODES
    else:
        valid = len(mode) > 0 and all(
            isinstance(c, int) and c >= 0 for c in mode
        )
    if not valid:
        raise ValueError(
            f'Expected {name} to be one of {_MODES} or a list '
            f'of class indices, but got {mode!r}'
        )
