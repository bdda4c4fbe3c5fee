"""Where tests compute, and the part of them that needs a GPU."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mmengine.device import get_device
from torch import Tensor

from tests.devices import move, on_device
from tests.docs.programs import dry_run
from tests.kernels.conftest import engines, marked
from tests.tools.run import ROOT, apart

PROGRAM = 'from mmengine.device import get_device; print(get_device())'


def assert_here_and_in_processes(name):
    assert get_device() == name
    done = apart(sys.executable, '-c', PROGRAM, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == name


def test_runs_and_processes_share_the_device(device):
    assert_here_and_in_processes(device.type)


def test_others_see_no_gpu():
    """Nor does what they start."""
    assert_here_and_in_processes('cpu')


def test_the_kernels_are_run_where_a_gpu_is(monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('tests.kernels.conftest.INTERPRETED', False)
    marks = {x.values[0]: [m.name for m in x.marks] for x in marked(engines())}
    assert marks == {
        ('torch', 'cpu'): [],
        ('torch', 'cuda'): ['gpu'],
        ('triton', 'cuda'): ['gpu'],
    }


class Sums(NamedTuple):
    first: Tensor
    second: Tensor | None


@dataclass(frozen=True)
class Target:
    value: Tensor
    temperature: float


def test_functions_get_and_give_tensors_in_any_container(device):
    def double(sums, target, *, options):
        seen = sums.first, target.value, options['weight'][0]
        assert {value.device.type for value in seen} == {device.type}
        return sums._replace(first=2 * sums.first), options

    leaf = torch.ones((), requires_grad=True)
    sums = Sums(leaf, None)
    target = Target(torch.ones(2), temperature=3.0)
    options = dict(weight=(torch.ones(2),), name='any')
    found, same = on_device(double)(sums, target, options=options)
    assert found.first.device.type == 'cpu'
    found.first.backward()
    assert leaf.grad == 2
    assert same['name'] == 'any'
    assert move(target, device).temperature == 3.0


def test_make_says_that_there_is_no_gpu():
    """The first line of the recipe, in this environment."""
    *check, test = dry_run('test-gpu')
    program = [sys.executable, *shlex.split(' '.join(check))[1:]]
    environment = dict(os.environ, CUDA_VISIBLE_DEVICES='')
    done = subprocess.run(
        program, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert 'Expected a GPU for make test-gpu but torch ' in done.stderr
    assert test.endswith('-m gpu')
