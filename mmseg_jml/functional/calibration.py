"""Calibration: how far confidence is from the share of right predictions."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from .calibration_error import (
    equal_mass_bins,
    expected_calibration_error,
    static_calibration_error,
)
from .confidence import ConfidenceSums, confidence_sums

__all__ = [
    'CalibrationOptions',
    'CalibrationState',
    'calibration_figures',
    'calibration_state',
]

BINNINGS = ('equal_width', 'equal_mass')
VARIANTS = ('textbook', 'authors')
# Narrow bins in log-odds, of which those of equal mass are made.
_CELLS = 1024


@dataclass(frozen=True)
class CalibrationOptions:
    """How calibration figures are computed.

    Args:
        num_bins (int): Bins of confidence. Defaults to 10.
        binning (str): 'equal_width' or 'equal_mass'. Bins of equal mass are
            put together from 1,024 cells that are equally wide in log-odds,
            since the quantiles are not known before the last image.
            Defaults to 'equal_width'.
        sce (str): 'textbook' or 'authors'; see
            :func:`static_calibration_error`. Defaults to 'textbook'.
        temperature (float): Divides the logits first; a number that
            :func:`fit_temperature` finds. Defaults to 1.0.

    Raises:
        ValueError: If an option is unknown or out of range.

    Examples:
        >>> CalibrationOptions(num_bins=15).binning
        'equal_width'
    """

    num_bins: int = 10
    binning: str = 'equal_width'
    sce: str = 'textbook'
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (('binning', BINNINGS), ('sce', VARIANTS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f'Expected {name} to be one of {known}, but got '
                    f'{getattr(self, name)!r}'
                )
        if self.num_bins < 1:
            raise ValueError(
                f'Expected num_bins of 1 or more, but got {self.num_bins}'
            )
        if not self.temperature > 0:
            raise ValueError(
                f'Expected temperature above 0, but got {self.temperature}'
            )


class CalibrationState(NamedTuple):
    """What is kept of the images seen so far; its size does not grow.

    Attributes:
        sums (ConfidenceSums): Sums over the pixels of all images.
        ece (Tensor): Scalar, sum over images of their own ECE.
        sce (Tensor): Scalar, sum over images of their own SCE.
        images (Tensor): Scalar, images with a counted pixel.
    """

    sums: ConfidenceSums
    ece: Tensor
    sce: Tensor
    images: Tensor

    def plus(self, other: CalibrationState) -> CalibrationState:
        """Add the images of another state, made with the same options."""
        return CalibrationState(
            self.sums.plus(other.sums),
            self.ece + other.ece,
            self.sce + other.sce,
            self.images + other.images,
        )

    def bins(self, options: CalibrationOptions) -> tuple[Tensor, Tensor]:
        """Compute bins over all pixels, as a reliability diagram draws them.

        Args:
            options (CalibrationOptions): Those the state was made with.

        Returns:
            tuple[Tensor, Tensor]: Of the predicted class, (3, B), and of each
            class, (C, 3, B): pixels, sum of confidences, hits.
        """
        return _bins(self.sums, options)


def _bins(
    sums: ConfidenceSums, options: CalibrationOptions
) -> tuple[Tensor, Tensor]:
    if options.binning == 'equal_width':
        return sums.top, sums.classes
    number = options.num_bins
    return (
        equal_mass_bins(sums.top, number),
        equal_mass_bins(sums.classes, number),
    )


def calibration_state(
    scores: Tensor,
    label: Tensor,
    prediction: Tensor | None = None,
    *,
    kind: str = 'logits',
    ignore_index: int | None = 255,
    options: CalibrationOptions | None = None,
) -> CalibrationState:
    """Compute the state after one image.

    Its other arguments and its errors are those of :func:`confidence_sums`,
    which has the same defaults.

    Args:
        scores (Tensor): (C, *) floats.
        label (Tensor): (*) integers in [0, C), or ``ignore_index``.
        options (CalibrationOptions, optional): None means its defaults.
            Defaults to None.

    Returns:
        CalibrationState: float64 on the CPU.

    Examples:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]])
        >>> label = torch.tensor([0, 0])
        >>> calibration_state(scores, label, kind='probabilities').ece
        tensor(0.4500, dtype=torch.float64)
    """
    options = options or CalibrationOptions()
    mass, authors = options.binning == 'equal_mass', options.sce == 'authors'
    sums = confidence_sums(
        scores,
        label,
        prediction,
        kind=kind,
        temperature=options.temperature,
        num_bins=_CELLS if mass else options.num_bins,
        log_odds=mass,
        argmax_hits=authors,
        ignore_index=ignore_index,
    )
    sums = ConfidenceSums(*(value.cpu() for value in sums))
    top, classes = _bins(sums, options)
    seen = top[0].sum() > 0
    present = sums.labelled > 0
    present[-1] |= sums.ignored > 0  # the authors' code counts them so
    sce = static_calibration_error(
        classes, options.sce, present if authors else None
    )
    return CalibrationState(
        sums,
        expected_calibration_error(top).where(seen, 0),
        sce.where(seen, 0),
        seen.double(),
    )


def calibration_figures(
    states: Iterable[CalibrationState],
    options: CalibrationOptions | None = None,
) -> dict[str, float]:
    """Compute the calibration of all images of some states.

    Args:
        states (Iterable[CalibrationState]): One or more, made with the same
            options.
        options (CalibrationOptions, optional): Those options. None means the
            defaults. Defaults to None.

    Returns:
        dict[str, float]: ``ECED`` and ``SCED`` over the pixels of the data
        set, ``ECEI`` and ``SCEI`` averaged over images: in percent, but SCE
        in permille with the variant 'authors'. ``NLL`` in nats and ``Brier``
        in [0, 2] are means over pixels. NaN where no pixel counts.

    Examples:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.2, 0.6], [0.1, 0.8, 0.4]])
        >>> label = torch.tensor([0, 0, 0])
        >>> state = calibration_state(scores, label, kind='probabilities')
        >>> round(calibration_figures([state])['ECED'], 1)
        43.3
    """
    options = options or CalibrationOptions()
    state = functools.reduce(CalibrationState.plus, states)
    top, classes = state.bins(options)
    pixels = top[0].sum()
    sce = 1000 if options.sce == 'authors' else 100
    figures = {
        'ECED': 100 * expected_calibration_error(top),
        'ECEI': 100 * state.ece / state.images,
        'SCED': sce * static_calibration_error(classes, options.sce),
        'SCEI': sce * state.sce / state.images,
        'NLL': state.sums.nll / pixels,
        'Brier': state.sums.brier / pixels,
    }
    return {name: float(value) for name, value in figures.items()}
