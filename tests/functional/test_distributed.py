"""Two real processes give the loss and gradient of one with all images."""

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.testing import assert_close

from tests.functional.on_device import LEVELS, loss_of
from tests.processes import run_in_processes

IMAGES, CLASSES, PIXELS = 5, 4, 12
# Uneven on purpose: the last batch of an epoch often is.
SHARES = (slice(0, 2), slice(2, 5))
EVERY_LEVEL = [
    dict(mIoUD=1.0),
    dict(mIoUD=0.0, mIoUI=1.0),
    dict(mIoUD=0.0, mIoUC=1.0),
    LEVELS,
]
MODES = ['PRESENT', 'ALL', 'PROB']


@pytest.fixture
def device():
    """The group of these processes is one of CPUs."""
    return torch.device('cpu')


def batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(IMAGES, 3, PIXELS, generator=generator).double()
    label = torch.randint(0, CLASSES, (IMAGES, PIXELS), generator=generator)
    label[:2] = label[:2].clamp(max=1)  # classes 2 and 3 on one process only
    label[3] = 255
    return image, label


def model():
    torch.manual_seed(1)
    return nn.Conv1d(3, CLASSES, 1).double()


def check(rank, whole, expected_gradient, expected, **options):
    """Trains on a share: the loss, and gradients of the model of all."""
    image, label = (tensor[SHARES[rank]] for tensor in batch())
    expected_gradient.backward()
    parallel = nn.parallel.DistributedDataParallel(model())
    value = loss_of(parallel(image), label, sync=True, **options)
    value.backward()
    assert_close(value, expected)
    for ours, theirs in zip(parallel.parameters(), whole.parameters()):
        assert_close(ours.grad, theirs.grad)


def train(rank):
    image, label = batch()
    for levels, mode, ce_weight in itertools.product(
        EVERY_LEVEL, MODES, [0.0, 0.5]
    ):
        whole = model()
        options = dict(levels, mode=mode, ce_weight=ce_weight)
        expected = loss_of(whole(image), label, **options)
        check(rank, whole, expected, expected, **options)
    image, label = (tensor[SHARES[rank]] for tensor in batch())
    logits = model()(image)
    # without sync every process optimises its own IoU
    apart, together = (
        loss_of(logits, label, sync=sync) for sync in (False, True)
    )
    assert not torch.allclose(apart, together)


def train_with_own_factors(rank):
    """A process divides its cross-entropy by a count of its own pixels."""
    image, label = batch()
    for options, factors in (
        (dict(avg_factor=3.0 + rank), [3.0, 4.0]),
        (dict(avg_non_ignore=False), [2 * PIXELS, 3 * PIXELS]),
    ):
        whole = model()
        logits = whole(image)
        jml = loss_of(logits, label)
        pixels = F.cross_entropy(
            logits, label, ignore_index=255, reduction='none'
        )
        entropies = [
            pixels[share].sum() / factor
            for share, factor in zip(SHARES, factors)
        ]
        # DistributedDataParallel takes the mean of gradients
        learned = jml + 0.5 * sum(entropies) / 2
        expected = jml + 0.5 * entropies[rank]
        check(rank, whole, learned, expected, ce_weight=0.5, **options)


@pytest.mark.parametrize('run', [train, train_with_own_factors])
def test_sync_is_the_loss_of_the_global_batch(run, tmp_path):
    run_in_processes(run, tmp_path)


@pytest.mark.parametrize('mode', MODES)
def test_sync_without_a_process_group_changes_nothing(mode):
    image, label = batch()
    with_sync, without = (
        loss_of(
            model()(image),
            label,
            mode=mode,
            ce_weight=0.5,
            sync=sync,
            **LEVELS,
        )
        for sync in (True, False)
    )
    assert_close(with_sync, without)
