"""Calibration: whether 80 % of the pixels predicted at 80 % are right."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from .calibration_error import (
    CalibrationOptions,
    equal_mass_bins,
    expected_calibration_error,
    static_calibration_error,
)
from .confidence import ConfidenceSums, confidence_sums

__all__ = [
    'CalibrationState',
    'calibration_figures',
    'calibration_state',
]

# Narrow bins in log-odds, from which bins of equal mass are joined.
_CELLS = 1024


# No tuple: mmengine makes plain tuples of those that processes exchange.
@dataclass(frozen=True)
class CalibrationState:
    """Sums over the images seen so far, of constant size.

    Attributes:
        sums (ConfidenceSums): Sums over the pixels of all images.
        ece (Tensor): Scalar, sum over images of their own ECE.
        sce (Tensor): Scalar, sum over images of their own SCE.
        images (Tensor): Scalar, images with a counted pixel.

    Examples:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]])
        >>> label = torch.tensor([0, 0])
        >>> state = calibration_state(scores, label, kind='probabilities')
        >>> state.plus(state).images
        tensor(2., dtype=torch.float64)
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
            options (CalibrationOptions): The options that the state was made
                with.

        Returns:
            tuple[Tensor, Tensor]: Bins by the probability of the predicted
            class, (3, B), and by that of each class, (C, 3, B); their rows
            are those of :class:`ConfidenceSums`.
        """
        top, classes = self.sums.top, self.sums.classes
        if options.binning == 'equal_mass':
            top = equal_mass_bins(top, options.num_bins)
            classes = equal_mass_bins(classes, options.num_bins)
        return top, classes


def calibration_state(
    scores: Tensor,
    label: Tensor,
    prediction: Tensor | None = None,
    *,
    kind: str = 'logits',
    ignore_index: int | None = 255,
    options: CalibrationOptions | None = None,
) -> CalibrationState:
    """Compute the state of one image.

    The other arguments and the errors are those of :func:`confidence_sums`,
    with the same defaults.

    Args:
        options (CalibrationOptions, optional): How figures are computed. None
            means the defaults. Defaults to None.

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
    zero = sums.nll.new_zeros(())
    state = CalibrationState(sums, ece=zero, sce=zero, images=zero)
    top, classes = state.bins(options)
    if top[0].sum() == 0:
        return state
    present = None
    if authors:
        present = sums.labelled > 0
        present[-1] |= sums.ignored > 0  # as the authors' code does
    return CalibrationState(
        sums,
        expected_calibration_error(top),
        static_calibration_error(classes, options.sce, present),
        zero + 1,
    )


def calibration_figures(
    states: Iterable[CalibrationState],
    options: CalibrationOptions | None = None,
) -> dict[str, float]:
    """Compute the calibration figures over all images of the states.

    Args:
        states (Iterable[CalibrationState]): One or more, made with the same
            options.
        options (CalibrationOptions, optional): The same options again. None
            means the defaults. Defaults to None.

    Returns:
        dict[str, float]: ``ECED`` and ``SCED`` over the pixels of the data
        set, ``ECEI`` and ``SCEI`` averaged over images: in percent, but SCE
        in permille with the variant 'authors'. ``NLL`` in nats and ``Brier``
        in [0, 2] are means over pixels. NaN where no pixel counts.

    Raises:
        ValueError: If there is no state.

    Examples:
        >>> import torch
        >>> scores = torch.tensor([[0.9, 0.2, 0.6], [0.1, 0.8, 0.4]])
        >>> label = torch.tensor([0, 0, 0])
        >>> state = calibration_state(scores, label, kind='probabilities')
        >>> round(calibration_figures([state])['ECED'], 1)
        43.3
    """
    options, states = options or CalibrationOptions(), list(states)
    if not states:
        raise ValueError('Expected the states of one image or more, but got 0')
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
