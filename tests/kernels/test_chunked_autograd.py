"""impl='torch' within the rest of PyTorch."""

import pytest
import torch

from mmseg_jml.functional import jaccard_metric_loss
from mmseg_jml.kernels import HardLabel, Request, region_sums
from tests.kernels.cases import KINDS, draw

OPTIONS = dict(with_product=True, with_cross_entropy=True)


def total(sums):
    """A scalar with curvature."""
    value = (sums.overlap / (sums.prediction + sums.target)).sum()
    return value + sums.cross_entropy.sum() / sums.mass.sum()


def scalar_of(target, weight=None, impl='torch', **options):
    def function(logits):
        request = Request(logits, target, weight, **{**OPTIONS, **options})
        return total(region_sums(request, impl))

    return function


def test_the_reference_has_a_second_derivative():
    logits, target, _ = draw('hard', (1, 3, 2, 2))
    assert torch.autograd.gradgradcheck(
        scalar_of(target, impl='reference'), logits.requires_grad_()
    )


@pytest.mark.parametrize(
    'options', [{}, dict(use_sigmoid=True), dict(norm=2)], ids=str
)
@pytest.mark.parametrize('kind', KINDS)
def test_function_transforms(kind, options):
    """torch.func: grad, and jacrev, which maps the backward pass."""
    use_sigmoid = options.get('use_sigmoid', False)
    logits, target, weight = draw(
        kind, (2, 3, 4, 5), weighted=True, use_sigmoid=use_sigmoid
    )
    ours = scalar_of(target, weight, **options)
    theirs = scalar_of(target, weight, 'reference', **options)
    torch.testing.assert_close(
        torch.func.grad(ours)(logits), torch.func.grad(theirs)(logits)
    )

    def overlap(impl):
        return lambda x: region_sums(
            Request(x, target, weight, **options), impl
        ).overlap.sum(0)

    torch.testing.assert_close(
        torch.func.jacrev(overlap('torch'))(logits),
        torch.func.jacrev(overlap('reference'))(logits),
    )


@pytest.mark.parametrize('in_dims', [(0, 0), (1, None), (None, 0), (2, 1)])
def test_vmap_over_batches(in_dims):
    size, shape = 3, (2, 4, 5, 6)
    logits = torch.randn(size, *shape, dtype=torch.float64)
    label = torch.randint(0, 4, (size, 2, 5, 6))

    def overlap(x, y, impl):
        return region_sums(Request(x, HardLabel(y)), impl).overlap

    def value_and_grad(x, y, impl='torch'):
        return overlap(x, y, impl), torch.func.grad(
            lambda z: overlap(z, y, impl).square().sum()
        )(x)

    arguments = [
        value[0] if dim is None else value.movedim(0, dim)
        for value, dim in zip((logits, label), in_dims)
    ]
    mapped = torch.vmap(value_and_grad, in_dims)(*arguments)
    for i in range(size):
        single = [
            value[0 if dim is None else i]
            for value, dim in zip((logits, label), in_dims)
        ]
        expected = value_and_grad(*single, impl='reference')
        torch.testing.assert_close(
            [part[i] for part in mapped], list(expected)
        )


def test_vmap_refuses_class_weights_of_its_own():
    logits, target, _ = draw('hard')
    with pytest.raises(NotImplementedError, match='same class_weight'):
        torch.vmap(
            lambda k: (
                region_sums(
                    Request(logits, target, class_weight=k), 'torch'
                ).mass
            )
        )(torch.ones(2, 5))


@pytest.mark.filterwarnings('ignore:The .grad attribute:UserWarning')
def test_torch_compile_runs_it_as_one_step():
    """The loop over chunks is not unrolled: little is compiled around it."""
    logits, target, _ = draw('hard', dtype=torch.float32)
    logits.requires_grad_()
    operations = []

    def count(module, inputs):
        operations.append(
            sum(node.op == 'call_function' for node in module.graph.nodes)
        )
        return module

    def step(x):
        return scalar_of(target)(2 * x)

    (plain,) = torch.autograd.grad(step(logits), logits)
    compiled = torch.compile(step, backend=count)
    (result,) = torch.autograd.grad(compiled(logits), logits)
    torch.compiler.reset()
    torch.testing.assert_close(result, plain)
    assert 0 < sum(operations) < 20


def test_inference_mode():
    logits, target, _ = draw('hard')
    with torch.inference_mode():
        result = jaccard_metric_loss(logits, target, impl='torch')
    assert not result.requires_grad
    torch.testing.assert_close(
        result.clone(), jaccard_metric_loss(logits, target, impl='reference')
    )
