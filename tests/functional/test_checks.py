"""Checks of values: at once, and on a GPU without a wait."""

import pytest
import torch

from mmseg_jml.functional import checks, jaccard_metric_loss
from mmseg_jml.functional.checks import Expectation, check_later

EXPECTED = Expectation(3, 255, use_sigmoid=False, is_hard=True)


class Arrival:
    """Stands for numbers on their way from a GPU."""

    def __init__(self, numbers):
        self.tolist, self.has_come = numbers.tolist, False

    def is_there(self):
        return self.has_come


@pytest.fixture
def arrivals(monkeypatch):
    """A GPU whose numbers arrive when a test says so."""
    sent = []

    def send(numbers):
        sent.append(Arrival(numbers))
        return sent[-1]

    monkeypatch.setattr(checks, 'Arrival', send)
    monkeypatch.setattr(checks, '_late', checks._Late())
    name = 'torch.cuda.is_current_stream_capturing'
    monkeypatch.setattr(name, lambda: False)
    return sent


def check(*label):
    check_later(EXPECTED, torch.tensor([label]), None)


def test_a_wrong_label_is_reported_when_its_numbers_have_come(arrivals):
    check(0, 7, 255)
    check(0, 1, 2)
    arrivals[0].has_come = True
    with pytest.raises(ValueError, match=r'got \[7\]; check num_classes.*'):
        check(0, 1, 2)
    arrivals[1].has_come = True
    check(0, 1, 2)


def test_nothing_is_read_before_it_has_come(arrivals):
    for _ in range(5):
        check(9)
    assert len(arrivals) == 5


def test_the_first_batches_are_checked_and_then_now_and_then(arrivals):
    for _ in range(200):
        check(0)
    for arrival in arrivals:
        arrival.has_come = True
    assert len(arrivals) == checks._FIRST + len(range(47, 201, 47))
    check(0)
    assert not checks._late.pending


def test_losses_that_take_turns_are_all_checked(arrivals):
    """Two heads: the calls that are checked are of both."""
    turns = []
    for call in range(1, 400):
        before = len(arrivals)
        check(0)
        if len(arrivals) > before and call > checks._FIRST:
            turns.append(call % 2)
    assert set(turns) == {0, 1}


def test_a_compiler_sees_nothing_of_it(arrivals):
    """Each call changes a count, for which it would compile again."""
    seen = []

    def note(module, inputs):
        seen.append(module)
        return module

    def step(label):
        label = label + 1
        check_later(EXPECTED, label, None)
        return label * 2

    compiled = torch.compile(step, backend=note)
    for _ in range(30):
        compiled(torch.tensor([0, 8]))
    torch._dynamo.reset()
    assert len(seen) == 2  # before and after
    assert len(arrivals) == checks._FIRST
    arrivals[0].has_come = True
    with pytest.raises(ValueError, match=r'got \[9\]'):
        check(0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='No CUDA device')
def test_on_a_gpu_a_later_call_reports_it(monkeypatch):
    monkeypatch.setattr(checks, '_late', checks._Late())
    logits = torch.randn(1, 3, 4, 4, device='cuda', requires_grad=True)
    good = torch.zeros(1, 4, 4, dtype=torch.long, device='cuda')
    loss = jaccard_metric_loss(logits, good + 7)
    loss.backward()
    assert not logits.grad.any()
    torch.cuda.synchronize()
    with pytest.raises(ValueError, match=r'but got \[7\]'):
        jaccard_metric_loss(logits, good)
