"""The temperature that predictions should have had."""

from __future__ import annotations

from collections.abc import Sequence

from ..functional import fit_temperature, temperature_sums
from ..registry import METRICS
from .predictions import check_kind, read_label, read_prediction, read_scores
from .running_metric import RunningMetric

__all__ = ['TemperatureMetric']


@METRICS.register_module()
class TemperatureMetric(RunningMetric):
    """Fit the temperature that minimises the negative log-likelihood.

    Logits divided by a temperature above 1 are less certain, and predict the
    same classes. ``tools/analysis_tools/calibrate.py`` shows what the fitted
    temperature does.

    Args:
        scores (str, optional): As in :class:`CalibrationMetric`. Defaults to
            None.
        ignore_index (int): Label of pixels that do not count. Defaults to
            255.
        collect_device (str): 'cpu' or 'gpu', by which results are gathered
            from other processes. Defaults to 'cpu'.
        prefix (str, optional): Put before the name of the figure, with a
            slash. Defaults to None.

    Raises:
        ValueError: If ``scores`` is unknown.

    Examples:
        >>> val_evaluator = [dict(type='mmseg_jml.TemperatureMetric')]
    """

    def __init__(
        self,
        scores: str | None = None,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_kind(scores)
        self.scores = scores
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Add the sums of each image."""
        for sample in data_samples:
            prediction = read_prediction(sample)
            scores, kind = read_scores(sample, prediction, self.scores)
            label = read_label(sample, prediction)
            self.add(
                temperature_sums(
                    scores, label, kind=kind, ignore_index=self.ignore_index
                )
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Fit the temperature."""
        return dict(temperature=fit_temperature(self.total(results)))
