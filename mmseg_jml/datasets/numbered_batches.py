"""Training batches whose random numbers depend on their place alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

__all__ = ['NumberedBatches', 'seed_generators']

# What a loader keeps when its dataset and its sampler are exchanged.
KEPT = (
    'batch_size',
    'collate_fn',
    'multiprocessing_context',
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
    'timeout',
    'worker_init_fn',
)


def seed_generators(*key: int) -> None:
    """Seed Python's, numpy's and torch's processor generator.

    Args:
        *key (int): Non-negative numbers. Different keys give unrelated
            streams, however close they are.
    """
    state = np.random.SeedSequence(key).generate_state(4, np.uint64)
    first, second, *rest = (int(word) for word in state)
    random.seed(first)
    torch.default_generator.manual_seed(second)
    np.random.seed([word % 2**32 for word in rest])


class NumberedSampler(Sampler):
    """Endless (number, index) pairs of another sampler, from a number on."""

    def __init__(self, sampler: Sampler, start: int) -> None:
        self.sampler = sampler
        self.start = start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return islice(enumerate(self._indices()), self.start, None)

    def _indices(self) -> Iterator[int]:
        for epoch in count():
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(epoch)
            yield from self.sampler


class NumberedDataset(Dataset):
    """Draws a sample's random numbers from its number in the stream."""

    def __init__(self, dataset: Dataset, key: tuple[int, ...]) -> None:
        self.dataset = dataset
        self.key = key

    def __getitem__(self, place: tuple[int, int]) -> Any:
        number, index = place
        seed_generators(*self.key, number)
        return self.dataset[index]


class NumberedBatches:
    """Give endless batches, alike from any start and with any workers.

    Stands in for the iterator of an `IterBasedTrainLoop`. Such a loop passes
    over the batches that were trained on before a checkpoint; here this loads
    nothing.

    Args:
        loader (DataLoader): Gives the dataset, the batch size and the workers.
        sampler (Sampler): A sampler that nothing was drawn from.
        key (tuple[int, ...]): What the random numbers depend on besides the
            place of a sample in this process's stream.
        trained (int): Batches that the loop will pass over.
    """

    def __init__(
        self,
        loader: DataLoader,
        sampler: Sampler,
        key: tuple[int, ...],
        trained: int,
    ) -> None:
        if loader.batch_size is None:
            raise ValueError(
                'Expected a train_dataloader with a batch_size but got one '
                'with a batch_sampler of its own.'
            )
        self._trained = trained
        self._batches = iter(
            DataLoader(
                NumberedDataset(loader.dataset, key),
                sampler=NumberedSampler(sampler, trained * loader.batch_size),
                **{name: getattr(loader, name) for name in KEPT},
            )
        )

    def __iter__(self) -> NumberedBatches:
        return self

    def __next__(self) -> Any:
        if self._trained > 0:
            self._trained -= 1
            return None
        return next(self._batches)

    def skip_iter(self, num_iters: int) -> None:
        """Pass over batches; newer loops call this."""
        self._trained -= num_iters
