"""Calibration: how far confidence is from the share of right predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from .confidence import ConfidenceSums, confidence_sums

__all__ = [
    'CalibrationOptions',
    'CalibrationState',
    'calibration_figures',
    'calibration_state',
    'equal_mass_bins',
    'expected_calibration_error',
    'static_calibration_error',
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


@dataclass(frozen=True)
class CalibrationState:
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
        """The state after the images of both.

        Args:
            other (CalibrationState): A state made with the same options.

        Returns:
            CalibrationState: Their sum.
        """
        return CalibrationState(
            self.sums.plus(other.sums),
            self.ece + other.ece,
            self.sce + other.sce,
            self.images + other.images,
        )

    def bins(self, options: CalibrationOptions) -> tuple[Tensor, Tensor]:
        """Bins over all pixels, as a reliability diagram draws them.

        Args:
            options (CalibrationOptions): Those the state was made with.

        Returns:
            tuple[Tensor, Tensor]: Of the predicted class, (3, B), and of each
            class, (C, 3, B): pixels, sum of confidences, hits.
        """
        return _bins(self.sums, options)


def calibration_state(
    scores: Tensor,
    label: Tensor,
    prediction: Tensor | None = None,
    *,
    kind: str = 'logits',
    ignore_index: int | None = 255,
    options: CalibrationOptions | None = None,
) -> CalibrationState:
    """The state after one image.

    Args:
        scores (Tensor): (C, *) floats.
        label (Tensor): (*) integers in [0, C), or ``ignore_index``.
        prediction (Tensor, optional): (*) integers in [0, C). None takes the
            arg-max of ``scores``. Defaults to None.
        kind (str): What ``scores`` are: 'logits', 'sigmoid' or
            'probabilities', as in :func:`confidence_sums`. Defaults to
            'logits'.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.
        options (CalibrationOptions, optional): None means its defaults.
            Defaults to None.

    Returns:
        CalibrationState: float64 on the CPU.

    Raises:
        ValueError: As in :func:`confidence_sums`.
    """
    options = options or CalibrationOptions()
    mass = options.binning == 'equal_mass'
    sums = confidence_sums(
        scores,
        label,
        prediction,
        kind=kind,
        temperature=options.temperature,
        num_bins=_CELLS if mass else options.num_bins,
        log_odds=mass,
        argmax_hits=options.sce == 'authors',
        ignore_index=ignore_index,
    )
    sums = ConfidenceSums(*(value.cpu() for value in sums))
    top, classes = _bins(sums, options)
    seen = top[0].sum() > 0
    present = sums.labelled > 0
    present[-1] |= sums.ignored > 0  # the authors' code counts them so
    sce = static_calibration_error(
        classes, options.sce, present if options.sce == 'authors' else None
    )
    return CalibrationState(
        sums,
        expected_calibration_error(top).where(seen, 0),
        sce.where(seen, 0),
        seen.double(),
    )


def _bins(
    sums: ConfidenceSums, options: CalibrationOptions
) -> tuple[Tensor, Tensor]:
    if options.binning == 'equal_width':
        return sums.top, sums.classes
    return tuple(
        equal_mass_bins(bins, options.num_bins)
        for bins in (sums.top, sums.classes)
    )


def equal_mass_bins(cells: Tensor, num_bins: int) -> Tensor:
    """Puts neighbouring cells together to bins of about equal mass.

    A cell goes to the bin that holds the middle of its mass, so that a bin's
    mass differs from the wanted one by a cell's at most.

    Args:
        cells (Tensor): (*, 3, K), as in :class:`ConfidenceSums`.
        num_bins (int): B.

    Returns:
        Tensor: (*, 3, B).

    Examples:
        >>> import torch
        >>> cells = torch.tensor([[1., 1, 2, 4], [0, 0, 1, 4], [0, 1, 1, 3]])
        >>> equal_mass_bins(cells, 2)
        tensor([[4., 4.],
                [1., 4.],
                [2., 3.]])
    """
    count = cells[..., 0, :]
    whole = count.sum(-1, keepdim=True).clamp(min=1)
    middle = (count.cumsum(-1) - count / 2) / whole
    index = (middle * num_bins).long().clamp(max=num_bins - 1)
    bins = cells.new_zeros(*cells.shape[:-1], num_bins)
    return bins.scatter_add(-1, index.unsqueeze(-2).expand_as(cells), cells)


def expected_calibration_error(bins: Tensor) -> Tensor:
    """ECE: mean over pixels of the gap in their bin.

    ``sum over b of n_b / n * abs(hits_b / n_b - confidence_b / n_b)``: "On
    Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3.

    Args:
        bins (Tensor): (*, 3, B), as in :class:`ConfidenceSums`.

    Returns:
        Tensor: (*) in [0, 1]; NaN where there is no pixel.

    Examples:
        >>> import torch
        >>> bins = torch.tensor([[2.0, 8.0], [0.6, 7.2], [1.0, 6.0]])
        >>> expected_calibration_error(bins)
        tensor(0.1600)
    """
    count, confidence, hit = bins.unbind(-2)
    return (hit - confidence).abs().sum(-1) / count.sum(-1)


def static_calibration_error(
    bins: Tensor, variant: str = 'textbook', present: Tensor | None = None
) -> Tensor:
    """SCE: mean over classes of the ECE of each class's probability.

    "Measuring Calibration in Deep Learning" (arXiv 1904.01685), section 4.1.
    Variant 'textbook' averages all classes. Variant 'authors' is what the
    authors of the Jaccard metric losses report: of two classes the second
    alone counts, and of an image the classes that it is labelled with, where
    ignored pixels stand for the last class; and a hit must be predicted too
    (``argmax_hits`` of :func:`confidence_sums`).

    Args:
        bins (Tensor): (C, 3, B), as in :class:`ConfidenceSums`.
        variant (str): 'textbook' or 'authors'. Defaults to 'textbook'.
        present (Tensor, optional): (C,) bool, the classes of an image.
            Defaults to None.

    Returns:
        Tensor: Scalar in [0, 1]; NaN where there is no pixel.
    """
    error = expected_calibration_error(bins)
    if variant == 'authors' and len(error) == 2:
        return error[1]
    return error.mean() if present is None else error[present].mean()


def calibration_figures(
    states: Iterable[CalibrationState],
    options: CalibrationOptions | None = None,
) -> dict[str, float]:
    """Calibration of all images of some states.

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
    first, *others = states
    for state in others:
        first = first.plus(state)
    top, classes = first.bins(options)
    pixels = top[0].sum()
    sce = 1000 if options.sce == 'authors' else 100
    figures = {
        'ECED': 100 * expected_calibration_error(top),
        'ECEI': 100 * first.ece / first.images,
        'SCED': sce * static_calibration_error(classes, options.sce),
        'SCEI': sce * first.sce / first.images,
        'NLL': first.sums.nll / pixels,
        'Brier': first.sums.brier / pixels,
    }
    return {name: float(value) for name, value in figures.items()}
