"""The average of a student's weights over its training."""

from __future__ import annotations

import torch
from mmengine.logging import print_log
from mmengine.model import MomentumAnnealingEMA
from mmengine.runner import Runner
from mmengine.runner.checkpoint import weights_to_cpu
from torch import nn

__all__ = ['MeanTeacher']


class MeanTeacher:
    """Exponential moving average of weights and statistics.

    After step t (from 0) the average keeps ``min(1 - 1 / (t + 1), momentum)``
    of itself: "Mean teachers are better role models" (arXiv 1703.01780).

    Args:
        segmentor (nn.Module): The student, before hooks of torch are attached
            to it: they would be copied.
        momentum (float): In [0.5, 1). mmengine's momentum is 1 minus this.
    """

    KEY = 'pseudo_label_teacher'  # in checkpoints

    def __init__(self, segmentor: nn.Module, momentum: float) -> None:
        self._average = MomentumAnnealingEMA(
            segmentor, 1 - momentum, gamma=1, update_buffers=True
        ).eval()

    @property
    def model(self) -> nn.Module:
        """The averaged segmentor, in evaluation mode."""
        return self._average.module

    @property
    def has_learned(self) -> bool:
        """Whether a step was taken in."""
        return bool(self._average.steps > 0)

    def restart(self, segmentor: nn.Module) -> None:
        """Becomes a copy of a student that has not trained."""
        self.model.load_state_dict(segmentor.state_dict())
        self._average.steps.zero_()

    def update(self, segmentor: nn.Module) -> None:
        """Takes the student in after a step."""
        self._average.update_parameters(segmentor)

    def save(self, checkpoint: dict) -> None:
        """Adds the average to a checkpoint, apart from the student."""
        checkpoint[self.KEY] = weights_to_cpu(self._average.state_dict())

    def load(self, checkpoint: dict) -> bool:
        """Takes the average from a checkpoint.

        Args:
            checkpoint (dict): What :meth:`save` wrote to, or another one.

        Returns:
            bool: Whether there was one.

        Raises:
            ValueError: If it is that of another student.
        """
        state = checkpoint.get(self.KEY)
        if state is None:
            return False
        try:
            self._average.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f'Expected {self.KEY!r} in the checkpoint to be an average of '
                f'this student but got: {error}'
            ) from error
        return True

    @torch.no_grad()
    def evaluate(self, runner: Runner, split: str, metrics: dict) -> None:
        """Evaluates as the loop has just done with the student.

        Args:
            runner (Runner): The runner.
            split (str): 'val' or 'test'.
            metrics (dict): Gets the figures, as ``teacher/mIoU`` and so on.
        """
        print_log('The same for the mean teacher:', logger='current')
        loop = getattr(runner, f'{split}_loop')
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, enabled=getattr(loop, 'fp16', False)):
            for batch in loop.dataloader:
                samples = self.model.test_step(batch)
                loop.evaluator.process(data_samples=samples, data_batch=batch)
        found = loop.evaluator.evaluate(len(loop.dataloader.dataset))
        for name, value in found.items():
            metrics[f'teacher/{name}'] = value
            runner.message_hub.update_scalar(f'{split}/teacher/{name}', value)
