"""Training batches whose random numbers depend only on their number."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader, Dataset, Sampler

__all__ = ['NumberedBatches', 'seed_generators']

# Streams of random numbers of one seed: those of training steps, of labelled
# samples and of unlabelled ones.
STEPS, SAMPLES, UNLABELED = range(3)
# Options of a loader that stay when its dataset and sampler are replaced.
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
    """Seed the generators of Python, of numpy and of torch on the CPU.

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
    """Yield (number, index) pairs of another sampler without end.

    The numbers count the samples of this process from ``start`` on.
    """

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
    """Seed the random numbers of a sample with its number."""

    def __init__(self, dataset: Dataset, key: tuple[int, ...]) -> None:
        self.dataset = dataset
        self.key = key

    def __getitem__(self, place: tuple[int, int]) -> Any:
        number, index = place
        seed_generators(*self.key, number)
        return self.dataset[index]


class NumberedBatches:
    """Yield batches without end, each the same in every run.

    They do not depend on the batch that a run starts with, nor on the number
    of workers. An instance takes the place of the iterator of an
    `IterBasedTrainLoop`. A resumed loop passes over the batches before the
    checkpoint, which does not load them here.

    Args:
        loader (DataLoader): Has the dataset, the batch size and the workers.
        sampler (dict): Config of a sampler, since something may have been
            drawn from the loader's own.
        seed (int): Seed of the run. It seeds the random numbers of a sample
            together with the stream, the process and the sample's number.
        stream (int): ``SAMPLES`` or ``UNLABELED``.
        trained (int): Batches that the loop will pass over.

    Raises:
        ValueError: If the loader has a ``batch_sampler``.
    """

    def __init__(
        self,
        loader: DataLoader,
        sampler: dict,
        seed: int,
        stream: int,
        trained: int,
    ) -> None:
        if loader.batch_size is None:
            raise ValueError(
                'Expected a train_dataloader with a batch_size but got one '
                'with a batch_sampler of its own.'
            )
        self._trained = trained
        dataset = loader.dataset
        indices = DATA_SAMPLERS.build(
            sampler, default_args=dict(dataset=dataset, seed=seed)
        )
        self._batches = iter(
            DataLoader(
                NumberedDataset(dataset, (seed, stream, get_rank())),
                sampler=NumberedSampler(indices, trained * loader.batch_size),
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
