"""Two real processes give the loss and gradient of one with all images."""

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from mmseg_jml.functional import RegionLossOptions, jaccard_metric_loss
from tests.processes import run_in_processes

IMAGES, CLASSES, PIXELS = 5, 4, 12
# Uneven on purpose: the last batch of an epoch often is.
SHARES = (slice(0, 2), slice(2, 5))
LEVELS = [
    dict(mIoUD=1.0),
    dict(mIoUD=0.0, mIoUI=1.0),
    dict(mIoUD=0.0, mIoUC=1.0),
    dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3),
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


def loss(logits, label, case, sync):
    levels, mode, ce_weight = case
    options = RegionLossOptions(active_classes_mode_hard=mode, **levels)
    return jaccard_metric_loss(
        logits, label, options=options, ce_weight=ce_weight, sync=sync
    )


def train(rank):
    image, label = (tensor[SHARES[rank]] for tensor in batch())
    for case in itertools.product(LEVELS, MODES, [0.0, 0.5]):
        whole = model()
        expected = loss(whole(batch()[0]), batch()[1], case, sync=False)
        expected.backward()
        parallel = nn.parallel.DistributedDataParallel(model())
        value = loss(parallel(image), label, case, sync=True)
        value.backward()
        torch.testing.assert_close(value, expected)
        for ours, theirs in zip(parallel.parameters(), whole.parameters()):
            torch.testing.assert_close(ours.grad, theirs.grad)
    apart = loss(model()(image), label, (LEVELS[0], 'PRESENT', 0.0), False)
    together = loss(model()(image), label, (LEVELS[0], 'PRESENT', 0.0), True)
    # without sync every process optimises its own IoU
    assert not torch.allclose(apart, together)


def test_sync_is_the_loss_of_the_global_batch(tmp_path):
    run_in_processes(train, tmp_path)


def train_with_own_factors(rank):
    """A process divides its cross-entropy by a count of its own pixels."""
    image, label = batch()
    cases = [
        (dict(avg_factor=3.0 + rank), [3.0, 4.0]),
        (dict(avg_non_ignore=False), [2 * PIXELS, 3 * PIXELS]),
    ]
    for arguments, factors in cases:
        whole = model()
        logits = whole(image)
        entropies = [
            F.cross_entropy(
                logits[share], label[share], ignore_index=255, reduction='sum'
            )
            / factor
            for share, factor in zip(SHARES, factors)
        ]
        jml = jaccard_metric_loss(logits, label)
        # DistributedDataParallel takes the mean of gradients
        (jml + 0.5 * sum(entropies) / 2).backward()
        parallel = nn.parallel.DistributedDataParallel(model())
        value = jaccard_metric_loss(
            parallel(image[SHARES[rank]]),
            label[SHARES[rank]],
            ce_weight=0.5,
            sync=True,
            **arguments,
        )
        value.backward()
        torch.testing.assert_close(value, jml + 0.5 * entropies[rank])
        for ours, theirs in zip(parallel.parameters(), whole.parameters()):
            torch.testing.assert_close(ours.grad, theirs.grad)


def test_sync_leaves_each_process_its_own_factor(tmp_path):
    run_in_processes(train_with_own_factors, tmp_path)


@pytest.mark.parametrize('mode', MODES)
def test_sync_without_a_process_group_changes_nothing(mode):
    image, label = batch()
    logits = model()(image)
    case = (LEVELS[-1], mode, 0.5)
    torch.testing.assert_close(
        loss(logits, label, case, True), loss(logits, label, case, False)
    )
