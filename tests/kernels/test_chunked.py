"""impl='torch' computes what the reference formulas say."""

import pytest
import torch

from mmseg_jml.kernels import HardLabel, Probabilities, chunks, region_sums
from tests.kernels.cases import KINDS, OPTIONS, draw, run
from tests.tolerances import EXCESS, assert_within_budget


@pytest.fixture(params=[2**20, 512], ids=['one chunk', 'many chunks'])
def work(request, monkeypatch):
    monkeypatch.setattr(chunks, '_WORK_ON_CPU', request.param)


def assert_same(fast, plain):
    for name, ours, theirs in zip(fast[0]._fields, fast[0], plain[0]):
        torch.testing.assert_close(
            ours,
            theirs,
            rtol=1e-12,
            atol=1e-12,
            msg=lambda text, name=name: name + text,
        )
    torch.testing.assert_close(fast[1], plain[1], rtol=0, atol=1e-12)


@pytest.mark.usefixtures('work')
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', KINDS)
def test_float64_equals_the_reference(kind, options, weighted):
    data = draw(
        kind, weighted=weighted, use_sigmoid=options.get('use_sigmoid', False)
    )
    assert_same(run(*data, **options), run(*data, impl='reference', **options))


@pytest.mark.parametrize('dtype', EXCESS, ids=str)
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('kind', KINDS)
def test_rounding_stays_within_the_error_budget(kind, options, dtype):
    data = draw(
        kind,
        (2, 19, 40, 70),
        dtype,
        weighted=True,
        use_sigmoid=options.get('use_sigmoid', False),
    )
    exact = draw_like(data)
    fast = run(*data, **options)
    plain = run(*data, impl='reference', **options)
    truth = run(*exact, impl='reference', **options)
    assert fast[1].dtype == dtype
    # sums are float64, taken from float32 probabilities
    working = torch.promote_types(dtype, torch.float32)
    for ours, theirs, true in zip(fast[0], plain[0], truth[0]):
        if true is not None:
            assert_within_budget(ours, theirs, true, working)
    assert_within_budget(fast[1], plain[1], truth[1], dtype)


def draw_like(data):
    """The same numbers in float64."""
    logits, target, weight = data
    if not isinstance(target, HardLabel):
        target = type(target)(
            **vars(target) | dict(value=target.value.double())
        )
    return logits.double(), target, weight.double()


@pytest.mark.parametrize('classes', [2, 3, 19, 150, 171])
@pytest.mark.parametrize('kind', KINDS)
def test_any_number_of_classes(kind, classes):
    data = draw(kind, (2, classes, 9, 8))
    assert_same(
        run(*data, with_cross_entropy=True),
        run(*data, impl='reference', with_cross_entropy=True),
    )


def test_one_class_with_sigmoid():
    data = draw('soft', (2, 1, 9, 8), use_sigmoid=True)
    assert_same(
        run(*data, use_sigmoid=True),
        run(*data, impl='reference', use_sigmoid=True),
    )


@pytest.mark.parametrize('kind', KINDS)
def test_large_logits_neither_overflow_nor_cancel(kind):
    """Numbers around 3000 that differ by a few units, in float32."""
    logits, target, weight = draw(kind, (2, 5, 30, 30), torch.float32)
    logits += 3000 + 1000 * torch.arange(2.0).view(2, 1, 1, 1)
    exact = logits.double(), target, weight
    if isinstance(target, Probabilities):
        exact = logits.double(), Probabilities(target.value.double()), weight
    options = dict(with_cross_entropy=True)
    fast = run(logits, target, weight, **options)
    plain = run(logits, target, weight, impl='reference', **options)
    truth = run(*exact, impl='reference', **options)
    for ours, theirs, true in zip(fast[0], plain[0], truth[0]):
        if true is not None:
            assert_within_budget(ours, theirs, true, torch.float32)
    assert_within_budget(fast[1], plain[1], truth[1], torch.float32)


def test_a_class_may_be_ruled_out_by_minus_infinity():
    logits, target, _ = draw('hard')
    logits[:, 4] = -torch.inf
    target.label[target.label == 4] = 3
    sums, gradient = run(logits, target)
    kept, part = run(logits[:, :4], target)
    for ours, theirs in zip(sums[:3], kept[:3]):
        torch.testing.assert_close(ours[:, :4], theirs)
        assert not ours[:, 4].any()
    assert not gradient[:, 4].any()
    assert gradient.isfinite().all()
    assert part.shape[1] == 4


def test_of_which_sums_a_gradient_is_asked():
    """Each alone gives its own part of the whole."""
    logits, target, weight = draw('boundary', weighted=True)
    logits.requires_grad_()
    names = ('prediction', 'overlap', 'product', 'cross_entropy')

    def gradient(impl, name):
        sums = region_sums(
            logits,
            target,
            weight,
            impl=impl,
            with_product=True,
            with_cross_entropy=True,
        )
        value = getattr(sums, name)
        assert value.requires_grad
        return torch.autograd.grad(value[1].sum(), logits)[0]

    for name in names:
        torch.testing.assert_close(
            gradient('torch', name), gradient('reference', name)
        )
    sums = region_sums(logits, target, weight)
    assert not sums.target.requires_grad
    assert not sums.mass.requires_grad


@pytest.mark.usefixtures('work')
def test_work_buffers_are_written_before_they_are_read(monkeypatch):
    """With NaN in all fresh memory the results are the same."""
    plain = [run(*draw(kind), with_cross_entropy=True) for kind in KINDS]

    def poison(empty):
        return lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan)

    for name in ('empty', 'empty_like'):
        monkeypatch.setattr(torch, name, poison(getattr(torch, name)))
    assert torch.empty(1).isnan()
    for kind, expected in zip(KINDS, plain):
        torch.testing.assert_close(
            run(*draw(kind), with_cross_entropy=True), expected, rtol=0, atol=0
        )
