"""Fit the temperature that calibrates predictions."""

from __future__ import annotations

from torch import Tensor

from ..functional import TemperatureSums, fit_temperature, temperature_sums
from ..registry import METRICS
from .running_metric import RunningMetric

__all__ = ['TemperatureMetric']


@METRICS.register_module()
class TemperatureMetric(RunningMetric):
    """Fit the temperature that minimises the negative log-likelihood.

    Dividing logits by a temperature above 1 makes predictions less confident
    and leaves their classes as they are. The figure is called
    ``temperature``. ``tools/analysis_tools/calibrate.py`` shows its effect on
    the calibration errors.

    Args:
        scores (str, optional): What the model leaves in ``seg_logits``. See
            :class:`CalibrationMetric`. Defaults to None.
        ignore_index (int): Label of pixels that do not count. Defaults to
            255.
        collect_device (str): 'cpu' or 'gpu', by which results are gathered
            from other processes. Defaults to 'cpu'.
        prefix (str, optional): Put before the name of the figure, with a
            slash. Defaults to None.

    Raises:
        TypeError: If ``ignore_index`` is no integer.
        ValueError: If ``scores`` is unknown.

    Examples:
        >>> val_evaluator = [dict(type='mmseg_jml.TemperatureMetric')]
    """

    def measure(
        self, scores: Tensor, label: Tensor, prediction: Tensor, kind: str
    ) -> TemperatureSums:
        """Sum the derivatives of the likelihood over one image.

        Args:
            scores (Tensor): (C, H, W) floats.
            label (Tensor): (H, W) int64.
            prediction (Tensor): (H, W) int64, not used here.
            kind (str): 'logits', 'sigmoid' or 'probabilities'.

        Returns:
            TemperatureSums: The sums of the image.
        """
        return temperature_sums(
            scores, label, kind=kind, ignore_index=self.ignore_index
        )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Fit the temperature."""
        return dict(temperature=fit_temperature(self.total(results)))
