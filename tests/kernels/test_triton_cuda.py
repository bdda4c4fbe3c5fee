"""The Triton kernels on a GPU, where there is one."""

from dataclasses import replace

import pytest
import torch

from mmseg_jml.functional import jaccard_metric_loss
from mmseg_jml.kernels import HardLabel, RegionSums, region_sums
from mmseg_jml.kernels.targets import tensors_of
from tests.kernels.cases import KINDS, OPTIONS, draw, run

DEVICE = 'cuda'
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='No CUDA device'
)


def draw_there(*arguments, **keywords):
    """As ``draw``, on the GPU."""
    logits, target, weight = draw(*arguments, **keywords)
    parts = tensors_of(target).items()
    target = replace(target, **{k: v.to(DEVICE) for k, v in parts})
    if weight is not None:
        weight = weight.to(DEVICE)
    return logits.to(DEVICE), target, weight


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.half])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('classes', [19, 150])
def test_error_is_within_the_budget(classes, kind, options, dtype):
    """At most that of PyTorch's own formula in this dtype, plus a little."""
    logits, target, weight = draw_there(
        kind,
        (2, classes, 31, 33),
        dtype,
        weighted=True,
        use_sigmoid=options.get('use_sigmoid', False),
    )
    ours, plain, truth = (
        (*sums, gradient.double())
        for sums, gradient in (
            run(logits, target, weight, 'triton', **options),
            run(logits, target, weight, 'reference', **options),
            run(logits.double(), target, weight, 'reference', **options),
        )
    )
    names = (*RegionSums._fields, 'gradient')
    for name, value, usual, right in zip(names, ours, plain, truth):
        if right is not None:
            error = (value - right).abs().max()
            budget = (usual - right).abs().max() + 4e-6 * right.abs().max()
            assert error <= budget, f'{name} is off by {error}'


@pytest.mark.parametrize('kind', ['hard', 'teacher'])
def test_twice_the_same(kind):
    data = draw_there(kind, (2, 19, 200, 300), torch.float32)
    one, two = (run(*data, 'triton', with_cross_entropy=True) for _ in '12')
    assert torch.equal(one[1], two[1])
    assert torch.equal(torch.stack(one[0][:3]), torch.stack(two[0][:3]))


def test_the_host_never_waits():
    logits, target, weight = draw_there('hard', (2, 19, 64, 64), torch.half)

    def step():
        leaf = logits.detach().requires_grad_()
        loss = jaccard_metric_loss(
            leaf, target, weight, ce_weight=0.25, impl='triton'
        )
        loss.backward()

    step()  # compiles
    torch.cuda.set_sync_debug_mode('error')
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('shape', [(2, 19, 512, 1024), (2, 150, 512, 512)])
def test_the_gradient_is_all_the_memory(shape, dtype):
    logits = torch.randn(shape, dtype=dtype, device=DEVICE).requires_grad_()
    label = torch.randint(shape[1], (2, *shape[2:]), device=DEVICE)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    sums = region_sums(
        logits, HardLabel(label), with_cross_entropy=True, impl='triton'
    )
    held = torch.cuda.memory_allocated() - before
    (sums.overlap.sum() + sums.cross_entropy.sum()).backward()
    peak = torch.cuda.max_memory_allocated() - before
    size = logits.numel() * logits.element_size()
    assert held <= 0.01 * size
    assert peak <= 1.05 * size
