"""A metric that keeps one running sum, however many images there are."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import Any

from mmengine.dist import get_dist_info
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..functional import SCORE_KINDS, check_integers
from .predictions import read_label, read_prediction, read_scores

__all__ = ['RunningMetric']


class RunningMetric(BaseMetric, metaclass=ABCMeta):
    """Add up the states of images in place of keeping a result of each.

    A distributed sampler repeats images to give each process as many. mmengine
    removes the repeated ones from the end of the list of results. Here there
    is no list; therefore the state of the last image is only added once it is
    known whether that image is a repeated one. A subclass computes the state
    of an image in :meth:`measure`, and calls :meth:`total` in
    ``compute_metrics``.

    The options and their errors are those of
    :class:`~mmseg_jml.metrics.CalibrationMetric`.
    """

    default_prefix = ''

    def __init__(
        self,
        scores: str | None = None,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if scores not in (None, *SCORE_KINDS):
            raise ValueError(
                f'Expected scores to be one of {SCORE_KINDS} but got '
                f'{scores!r}.'
            )
        check_integers(ignore_index=ignore_index)
        self.scores = scores
        self.ignore_index = ignore_index
        self._forget()

    def _forget(self) -> None:
        self._state: Any = None
        self._last: Any = None
        self._images = 0

    @abstractmethod
    def measure(
        self, scores: Tensor, label: Tensor, prediction: Tensor, kind: str
    ) -> Any:
        """Measure one image.

        Args:
            scores (Tensor): (C, H, W).
            label (Tensor): (H, W) int64.
            prediction (Tensor): (H, W) int64.
            kind (str): What the scores are: 'logits', 'sigmoid' or
                'probabilities'.

        Returns:
            Any: A state, whose method ``plus`` returns its sum with another.
        """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Add the states of the images."""
        for sample in data_samples:
            prediction = read_prediction(sample)
            scores, kind = read_scores(sample, prediction, self.scores)
            label = read_label(sample, prediction)
            self._settle_last()
            self._last = self.measure(scores, label, prediction, kind)
            self._images += 1

    def _settle_last(self) -> None:
        if self._state is None:
            self._state = self._last
        elif self._last is not None:
            self._state = self._state.plus(self._last)

    def evaluate(self, size: int) -> dict:
        """Compute the figures over the images of all processes.

        A sampler deals images out to processes in turn and fills the last
        turn with images that it has dealt before, which are left out here.
        """
        rank, processes = get_dist_info()
        if (self._images - 1) * processes + rank < size:
            self._settle_last()
        self.results = [] if self._state is None else [self._state]
        self._forget()
        return super().evaluate(processes)

    @staticmethod
    def total(results: Sequence) -> Any:
        """Add up the states of all processes.

        Raises:
            ValueError: If there is no state.
        """
        if not results:
            raise ValueError('Expected an image to evaluate, but got none.')
        return reduce(lambda state, other: state.plus(other), results)
