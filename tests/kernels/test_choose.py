"""Which implementation serves a request, and what the log says."""

import importlib
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger

from mmseg_jml.functional import jaccard_metric_loss
from mmseg_jml.kernels import HardLabel, Request, choose, region_sums

VARIABLE = 'MMSEG_JML_IMPL'


@pytest.fixture
def request_on_gpu(monkeypatch):
    """A request whose logits are on a GPU, as far as choosing looks."""
    monkeypatch.delenv(VARIABLE, raising=False)
    return SimpleNamespace(logits=SimpleNamespace(is_cuda=True))


@pytest.fixture
def reason(monkeypatch):
    """Lets Triton serve, or not for some reason."""
    module = importlib.import_module(region_sums.__module__)
    module._say_once.cache_clear()
    name = '_why_not_triton'
    return lambda text: monkeypatch.setattr(module, name, lambda _: text)


def on_cpu():
    label = HardLabel(torch.zeros(1, 4, dtype=torch.long))
    return Request(torch.zeros(1, 3, 4), label)


def test_a_gpu_gets_triton_by_default(request_on_gpu, reason):
    reason(None)
    assert choose(request_on_gpu) == 'triton'
    assert choose(request_on_gpu, 'torch') == 'torch'


def test_what_triton_cannot_serve_goes_the_other_way(
    request_on_gpu, reason, caplog
):
    caplog.set_level('INFO', 'mmseg_jml')
    reason('norm is 1.5, and the kernels know 1 and 2')
    assert [choose(request_on_gpu) for _ in range(3)] == ['torch'] * 3
    (message,) = caplog.messages
    assert message.endswith(
        'because norm is 1.5, and the kernels know 1 and 2.'
    )
    with pytest.raises(ValueError, match='but norm is 1.5, .* what can'):
        choose(request_on_gpu, 'triton')


def test_the_message_is_in_the_log_of_a_run(request_on_gpu, reason, tmp_path):
    reason('of a test')
    file = tmp_path / 'run.log'
    MMLogger.get_instance('run', log_file=str(file))
    choose(request_on_gpu)
    assert 'because of a test.' in file.read_text()


def test_a_cpu_gets_pieces():
    assert choose(on_cpu()) == 'torch'


@pytest.mark.parametrize('impl', ['torch', 'reference'])
def test_the_variable_overrides_auto(impl, monkeypatch):
    monkeypatch.setenv(VARIABLE, impl)
    assert choose(on_cpu()) == impl
    assert choose(on_cpu(), 'torch') == 'torch'
    leaf = torch.zeros(1, 3, 4, requires_grad=True)
    loss = jaccard_metric_loss(leaf, torch.zeros(1, 4, dtype=torch.long))
    (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
    if impl == 'reference':  # which has a second derivative
        gradient.square().sum().backward()
    else:
        with pytest.raises(NotImplementedError, match='reference'):
            gradient.square().sum().backward()


def test_the_variable_is_checked(monkeypatch):
    monkeypatch.setenv(VARIABLE, 'cuda')
    with pytest.raises(ValueError, match=f"{VARIABLE} to be 'auto' .*'cuda'"):
        region_sums(on_cpu())
