"""Resuming of a run as if it had never stopped."""

from __future__ import annotations

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from ..datasets.numbered_batches import (
    SAMPLES,
    STEPS,
    NumberedBatches,
    seed_generators,
)
from ..random_state import common_seed
from ..registry import HOOKS

__all__ = ['ExactResumeHook']


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Let a resumed run end with the weights of the unbroken run.

    mmengine restores weights, optimizer and schedule, but not the state of
    random generators: after a restart dropout and, depending on the stack and
    the workers, augmentation draw other numbers. With this hook the random
    numbers of a training step depend on the run's seed, the process and the
    step alone, and those of a sample on its place in the stream. There is
    nothing to save. Resuming skips the data of the steps that were done, where
    mmengine 0.10.7 would load all of it again.

    The seed need not be configured: mmengine keeps it in the checkpoint. The
    number of processes, the batch size and the dataset must stay the same. Two
    things remain approximate: gradients accumulated over several steps, unless
    the checkpoint falls between two updates, and kernels of a GPU that are not
    deterministic, unless `randomness=dict(deterministic=True)`.

    Raises:
        TypeError: Before training, if the loop is not iteration-based.
        ValueError: Before training, if the training data is not configured by
            a dictionary with a sampler and a batch size.

    Examples:
        >>> custom_hooks = [dict(type='mmseg_jml.ExactResumeHook')]
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Give the loop batches whose random numbers depend on their place.

        Raises:
            TypeError: If the loop is not iteration-based.
            ValueError: If the training data is not configured by a dictionary
                with a sampler.
        """
        loop = runner.train_loop
        if not isinstance(loop, IterBasedTrainLoop):
            raise TypeError(
                'Expected train_cfg.type to be IterBasedTrainLoop for '
                f'ExactResumeHook but got {type(loop).__name__}.'
            )
        sampler = runner.cfg.get('train_dataloader', {}).get('sampler')
        if not isinstance(sampler, dict):
            raise ValueError(
                'Expected train_dataloader.sampler in the config for '
                f'ExactResumeHook but got {sampler!r}.'
            )
        self._seed = common_seed(runner)
        # Workers that were started early have drawn from the old sampler.
        loop.dataloader._iterator = loop.dataloader_iterator = None
        batches = NumberedBatches(
            loop.dataloader, sampler, self._seed, SAMPLES, trained=runner.iter
        )
        if getattr(loop, 'fast_forward_on_resume', False):
            batches.skip_iter(runner.iter)  # the loop leaves it out
        loop.dataloader_iterator = batches

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed the generators for one step, those of devices included."""
        seed_generators(self._seed, STEPS, get_rank(), runner.iter)
        torch.manual_seed(torch.initial_seed())

    def after_train(self, runner: Runner) -> None:
        """End the workers; left to the garbage collector they hang."""
        runner.train_loop.dataloader_iterator = None
