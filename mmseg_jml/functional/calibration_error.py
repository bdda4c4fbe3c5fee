"""Calibration errors from bins of confidence, and their options."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .option_checks import check_above, check_counts

__all__ = [
    'CalibrationOptions',
    'bin_means',
    'equal_mass_bins',
    'expected_calibration_error',
    'static_calibration_error',
]


BINNINGS = ('equal_width', 'equal_mass')
VARIANTS = ('textbook', 'authors')


@dataclass(frozen=True)
class CalibrationOptions:
    """How calibration figures are computed.

    Args:
        num_bins (int): Bins of confidence. Defaults to 10.
        binning (str): 'equal_width' or 'equal_mass'. Bins of equal mass are
            joined from 1,024 narrow ones, equally wide in log-odds, because
            quantiles are not known before the last image. Defaults to
            'equal_width'.
        sce (str): 'textbook' or 'authors'; see
            :func:`static_calibration_error`. Defaults to 'textbook'.
        temperature (float): Divides the logits first;
            :func:`fit_temperature` finds one. Defaults to 1.0.

    Raises:
        TypeError: If the temperature is no number.
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
        check_counts(1, num_bins=self.num_bins)
        check_above(0, temperature=self.temperature)


def equal_mass_bins(cells: Tensor, num_bins: int) -> Tensor:
    """Join narrow bins, the cells, into bins of about equal mass.

    A cell is not divided: it goes to the bin in which the middle of its mass
    lies. So a bin's mass is off by the mass of one cell at most.

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


def bin_means(bins: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean confidence of each bin, and its accuracy.

    Args:
        bins (Tensor): (*, 3, B), as in :class:`ConfidenceSums`.

    Returns:
        tuple[Tensor, Tensor]: Confidence and share of hits, (*, B) in [0, 1];
        NaN in a bin without a pixel.

    Examples:
        >>> import torch
        >>> bins = torch.tensor([[2.0, 8.0], [0.6, 7.2], [1.0, 6.0]])
        >>> bin_means(bins)
        (tensor([0.3000, 0.9000]), tensor([0.5000, 0.7500]))
    """
    count, confidence, hit = bins.unbind(-2)
    return confidence / count, hit / count


def expected_calibration_error(bins: Tensor) -> Tensor:
    """Compute the expected calibration error (ECE).

    It is the gap between the accuracy and the mean confidence of a bin, as a
    mean over pixels: ``sum over b of n_b / n * abs(hits_b / n_b -
    confidence_b / n_b)``, "On Calibration of Modern Neural Networks" (arXiv
    1706.04599), equation 3.

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
    """Compute the static calibration error (SCE).

    It is the mean over classes of the ECE of each class's probability:
    "Measuring Calibration in Deep Learning" (arXiv 1904.01685), section 4.1.

    Variant 'textbook' averages all classes. Variant 'authors' is what the
    authors of the Jaccard metric losses report. There a pixel is a hit only
    if its class is also predicted (``argmax_hits`` of
    :func:`confidence_sums`); with two classes only the second counts; and an
    image is averaged over the classes that it is labelled with, where ignored
    pixels count as the last class.

    Args:
        bins (Tensor): (C, 3, B), as in :class:`ConfidenceSums`.
        variant (str): 'textbook' or 'authors'. Defaults to 'textbook'.
        present (Tensor, optional): (C,) bool, the classes to average. None
            means all. Defaults to None.

    Returns:
        Tensor: Scalar in [0, 1]; NaN where there is no pixel.

    Examples:
        >>> import torch
        >>> bins = [[[10.0], [7.0], [6.0]], [[10.0], [3.0], [4.0]]]
        >>> static_calibration_error(torch.tensor(bins))
        tensor(0.1000)
    """
    error = expected_calibration_error(bins)
    if variant == 'authors' and len(error) == 2:
        return error[1]
    return error.mean() if present is None else error[present].mean()
