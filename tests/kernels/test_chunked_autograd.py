"""impl='torch' within the rest of PyTorch."""

import pytest
import torch
from torch.testing import assert_close

from mmseg_jml.functional import jaccard_metric_loss
from mmseg_jml.kernels import HardLabel, Request, region_sums
from tests.kernels.cases import CE, KINDS, draw


def scalar_of(target, weight=None, impl='torch', **options):
    """A function of the logits with curvature."""

    def function(logits):
        request = Request(
            logits, target, weight, with_product=True, **CE, **options
        )
        sums = region_sums(request, impl)
        value = (sums.overlap / (sums.prediction + sums.target)).sum()
        return value + sums.cross_entropy.sum() / sums.mass.sum()

    return function


def test_the_reference_has_a_second_derivative():
    logits, target, _ = draw('hard', (1, 3, 2, 2))
    function = scalar_of(target, impl='reference')
    assert torch.autograd.gradgradcheck(function, logits.requires_grad_())


@pytest.mark.parametrize(
    'options', [{}, dict(use_sigmoid=True), dict(norm=2)], ids=str
)
@pytest.mark.parametrize('kind', KINDS)
def test_function_transforms(kind, options):
    """torch.func: grad, and jacrev, which maps the backward pass."""
    shape, use_sigmoid = (2, 3, 4, 5), 'use_sigmoid' in options
    logits, *rest = draw(kind, shape, weighted=True, use_sigmoid=use_sigmoid)

    def derivatives(impl):
        def overlap(x):
            request = Request(x, *rest, **options)
            return region_sums(request, impl).overlap.sum(0)

        gradient = torch.func.grad(scalar_of(*rest, impl, **options))
        return gradient(logits), torch.func.jacrev(overlap)(logits)

    assert_close(derivatives('torch'), derivatives('reference'))


@pytest.mark.parametrize('in_dims', [(0, 0), (1, None), (None, 0), (2, 1)])
def test_vmap_over_batches(in_dims):
    size, shape = 3, (2, 4, 5, 6)
    logits = torch.randn(size, *shape, dtype=torch.float64)
    label = torch.randint(0, 4, (size, 2, 5, 6))

    def overlap(x, y, impl):
        return region_sums(Request(x, HardLabel(y)), impl).overlap

    def value_and_grad(x, y, impl='torch'):
        def squares(z):
            return overlap(z, y, impl).square().sum()

        return overlap(x, y, impl), torch.func.grad(squares)(x)

    both = [*zip((logits, label), in_dims)]
    arguments = [x[0] if dim is None else x.movedim(0, dim) for x, dim in both]
    mapped = torch.vmap(value_and_grad, in_dims)(*arguments)
    for i in range(size):
        single = [x[0 if dim is None else i] for x, dim in both]
        expected = value_and_grad(*single, impl='reference')
        assert_close([part[i] for part in mapped], list(expected))


def test_vmap_over_class_weights():
    logits, target, _ = draw('hard')
    weights = torch.rand(2, 5, dtype=torch.float64)

    def mass(k, impl='torch'):
        return region_sums(Request(logits, target, class_weight=k), impl).mass

    expected = [mass(k, 'reference') for k in weights]
    assert_close(torch.vmap(mass)(weights), torch.stack(expected))


@pytest.mark.parametrize('in_dims', [0, 1])
def test_function_transforms_of_a_loss(in_dims):
    """Gradients of single batches, and of two losses of one batch."""
    _, target, _ = draw('hard', (2, 4, 5, 6))
    logits = torch.randn(3, 2, 4, 5, 6, dtype=torch.float64)

    def derivatives(x, impl='torch'):
        def loss(x):
            return jaccard_metric_loss(x, target.label, check=False, impl=impl)

        def losses(x):
            return torch.stack([loss(x), 3 * loss(x)])

        return loss(x), torch.func.grad(loss)(x), torch.func.jacrev(losses)(x)

    mapped = torch.vmap(derivatives, in_dims)(logits.movedim(0, in_dims))
    for i, single in enumerate(logits):
        expected = derivatives(single, 'reference')
        assert_close(derivatives(single), expected)
        assert_close(tuple(part[i] for part in mapped), expected)


@pytest.mark.filterwarnings('ignore:The .grad attribute:UserWarning')
def test_torch_compile_runs_it_as_one_step():
    """The loop over chunks is not unrolled: little is compiled around it."""
    logits, target, _ = draw('hard', dtype=torch.float32)
    logits.requires_grad_()
    operations = []

    def count(module, inputs):
        calls = [node.op == 'call_function' for node in module.graph.nodes]
        operations.append(sum(calls))
        return module

    def step(x):
        return scalar_of(target)(2 * x)

    (plain,) = torch.autograd.grad(step(logits), logits)
    compiled = torch.compile(step, backend=count)
    (result,) = torch.autograd.grad(compiled(logits), logits)
    torch._dynamo.reset()
    assert_close(result, plain)
    assert 0 < sum(operations) < 20


def test_inference_mode():
    logits, target, _ = draw('hard')
    with torch.inference_mode():
        result = jaccard_metric_loss(logits, target, impl='torch')
    assert not result.requires_grad
    expected = jaccard_metric_loss(logits, target, impl='reference')
    assert_close(result.clone(), expected)
