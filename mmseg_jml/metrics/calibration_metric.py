"""How far the confidence of predictions can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from prettytable import PrettyTable
from torch import Tensor

from ..functional import (
    CalibrationOptions,
    CalibrationState,
    bin_means,
    calibration_figures,
    calibration_state,
    expected_calibration_error,
)
from ..registry import METRICS
from ..visualization import log_image, reliability_diagram
from .running_metric import RunningMetric
from .tables import log_tables, percent

__all__ = ['CalibrationMetric']


@METRICS.register_module()
class CalibrationMetric(RunningMetric):
    """Measure calibration errors, Brier score and negative log-likelihood.

    The figures are those of :func:`mmseg_jml.functional.calibration_figures`:
    ``ECED`` and ``SCED`` of the data set, ``ECEI`` and ``SCEI`` of its images
    (percent), ``NLL`` and ``Brier``.

    Only sums over bins are kept, however many images there are.

    Args:
        num_bins (int): Bins of confidence. Defaults to 10.
        binning (str): 'equal_width' or 'equal_mass'. Defaults to
            'equal_width'.
        sce (str): 'textbook', or 'authors' for the figures (in permille) that
            the authors of the Jaccard metric losses report. Defaults to
            'textbook'.
        scores (str, optional): What the model leaves in ``seg_logits``:
            'logits' of a softmax; 'sigmoid' for logits of a head with
            ``use_sigmoid=True``; 'probabilities', also for heads that
            classify masks. None means logits, and refuses what looks like
            probabilities. Heads with one channel need no option. Defaults to
            None.
        temperature (float): The logits are divided by it first.
            ``tools/analysis_tools/calibrate.py`` finds it. Defaults to 1.0.
        plot (bool): Whether to draw a reliability diagram, to
            ``vis_data/vis_image`` beside the log and to the backends of the
            visualizer. Defaults to False.
        plot_classes (bool): Whether to draw a diagram for each class.
            Defaults to False.
        ignore_index (int): Label of pixels that do not count. Defaults to
            255.
        collect_device (str): 'cpu' or 'gpu', by which results are gathered
            from other processes. Defaults to 'cpu'.
        prefix (str, optional): Put before the names of figures, with a
            slash. Defaults to None.

    Raises:
        TypeError: If ``ignore_index`` is no integer, or ``temperature`` no
            number.
        ValueError: If an option is unknown.

    Examples:
        >>> val_evaluator = [
        ...     dict(type='IoUMetric', iou_metrics=['mIoU']),
        ...     dict(type='mmseg_jml.CalibrationMetric', plot=True),
        ... ]
    """

    def __init__(
        self,
        num_bins: int = 10,
        binning: str = 'equal_width',
        sce: str = 'textbook',
        scores: str | None = None,
        temperature: float = 1.0,
        plot: bool = False,
        plot_classes: bool = False,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(scores, ignore_index, collect_device, prefix)
        self.options = CalibrationOptions(num_bins, binning, sce, temperature)
        self.plot = plot
        self.plot_classes = plot_classes

    def measure(
        self, scores: Tensor, label: Tensor, prediction: Tensor, kind: str
    ) -> CalibrationState:
        """Sum the pixels of one image into bins.

        Args:
            scores (Tensor): (C, H, W) floats.
            label (Tensor): (H, W) int64.
            prediction (Tensor): (H, W) int64.
            kind (str): 'logits', 'sigmoid' or 'probabilities'.

        Returns:
            CalibrationState: The bins of the image.
        """
        return calibration_state(
            scores,
            label,
            prediction,
            kind=kind,
            ignore_index=self.ignore_index,
            options=self.options,
        )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the figures, log the tables and draw the diagrams."""
        state = self.total(results)
        figures = calibration_figures([state], self.options)
        top, classes = state.bins(self.options)
        names = self.dataset_meta['classes']
        log_tables(
            _class_table(names, classes),
            _figure_table(figures, top, self.options),
        )
        name = '_'.join(filter(None, ('reliability', self.prefix)))
        name = name.replace('/', '_')  # a slash would make a folder
        if self.plot:
            log_image(name, reliability_diagram([top]))
        if self.plot_classes:
            log_image(f'{name}_classes', reliability_diagram(classes, names))
        return figures


def _class_table(names: Sequence[str], classes: Tensor) -> PrettyTable:
    """Compare the mean probability of each class with its frequency."""
    table = PrettyTable(title='calibration per class')
    probability, share = bin_means(classes.sum(-1, keepdim=True))
    table.add_column('Class', list(names))
    table.add_column('ECE', percent(expected_calibration_error(classes)))
    table.add_column('mean probability', percent(probability[:, 0]))
    table.add_column('share of pixels', percent(share[:, 0]))
    return table


def _figure_table(
    figures: dict[str, float], top: Tensor, options: CalibrationOptions
) -> PrettyTable:
    means = bin_means(top.sum(-1, keepdim=True))
    (confidence,), (accuracy,) = map(percent, means)
    cells = {'confidence (%)': confidence, 'accuracy (%)': accuracy}
    for name, value in figures.items():
        if 'CE' not in name:
            cells[name] = f'{value:.4f}'
        elif name.startswith('SCE') and options.sce == 'authors':
            cells[f'{name} (permille)'] = f'{value:.2f}'
        else:
            cells[f'{name} (%)'] = f'{value:.2f}'
    table = PrettyTable(list(cells), title='calibration')
    table.add_row(list(cells.values()))
    return table
