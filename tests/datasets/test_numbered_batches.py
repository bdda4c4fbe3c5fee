import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader, Dataset

from mmseg_jml.datasets.numbered_batches import NumberedBatches as Numbered

KEY = (3, 0)


class Draws(Dataset):
    """Gives its index with a number of each generator."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        drawn = random.random(), np.random.rand(), torch.rand(()).item()
        return [index, *drawn]


def batches(number, sampler=InfiniteSampler, trained=0, key=KEY, workers=0):
    dataset = Draws()
    options = dict(num_workers=workers, collate_fn=np.array)
    loader = DataLoader(dataset, batch_size=4, **options)
    sampler = dict(type=sampler, seed=5)
    stream = Numbered(loader, sampler, *key, trained)
    stream.skip_iter(trained)
    return np.stack([next(stream) for _ in range(number)])


def test_indices_are_the_samplers():
    sampler = iter(InfiniteSampler(Draws(), seed=5))
    expected = [next(sampler) for _ in range(20)]
    assert batches(5)[:, :, 0].ravel().tolist() == expected


def test_finite_sampler_goes_on_with_its_next_epoch():
    sampler = DefaultSampler(Draws(), seed=5)
    expected = list(sampler)
    sampler.set_epoch(1)
    expected += list(sampler)
    got = batches(3, DefaultSampler)[:, :, 0].ravel().tolist()
    assert got == expected
    assert got[:6] != got[6:]


@pytest.mark.parametrize('sampler', [DefaultSampler, InfiniteSampler])
@pytest.mark.parametrize('workers', [0, 2])
def test_batches_are_the_same_from_any_start(sampler, workers):
    whole = batches(5, sampler)
    rest = batches(2, sampler, trained=3, workers=workers)
    assert (rest == whole[3:]).all()


def test_each_sample_draws_its_own_numbers_by_its_key():
    draws = np.stack([batches(5), batches(5, key=(3, 1))])[..., 1:]
    assert len(np.unique(draws)) == draws.size


def test_passing_over_loads_nothing():
    class Untouched(Draws):
        def __getitem__(self, index):
            raise AssertionError('loaded')

    dataset = Untouched()
    loader = DataLoader(dataset, batch_size=4)
    stream = Numbered(loader, dict(type=InfiniteSampler), *KEY, 2)
    assert [next(stream), next(stream)] == [None, None]
    with pytest.raises(AssertionError, match='loaded'):
        next(stream)


def test_loader_without_a_batch_size_is_refused():
    dataset = Draws()
    loader = DataLoader(dataset, batch_sampler=[[0, 1]])
    with pytest.raises(ValueError, match='batch_size but got'):
        Numbered(loader, dict(type=InfiniteSampler), *KEY, 0)
