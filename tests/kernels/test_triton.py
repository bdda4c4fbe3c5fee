"""The Triton kernels without a GPU, in the interpreter; what they refuse."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmseg_jml
from mmseg_jml.kernels import HardLabel, Request, region_sums

pytest.importorskip('triton', reason='Triton is not installed')

from mmseg_jml.kernels.triton import engine  # noqa: E402

HERE = Path(__file__).parent


def test_values_and_gradients_in_the_interpreter():
    """The tests of this folder that know Triton, in a process of its own."""
    names = ('engines', 'triton_engine', 'triton_loss', 'triton_upsampled')
    program = [sys.executable, *'-m pytest -q -p no:cacheprovider'.split()]
    program += [str(HERE / f'test_{name}.py') for name in names]
    environment = dict(os.environ, TRITON_INTERPRET='1')
    environment['CUDA_VISIBLE_DEVICES'] = ''
    environment['PYTHONPATH'] = os.pathsep.join(filter(None, sys.path))
    options = dict(cwd=HERE.parents[1], env=environment, text=True)
    result = subprocess.run(program, capture_output=True, **options)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    passed = int(re.search(r'(\d+) passed', result.stdout).group(1))
    assert passed > 500
    assert 'skipped' not in result.stdout


def test_triton_is_missed_only_when_asked_for(monkeypatch):
    for name in list(sys.modules):
        if name.startswith('mmseg_jml.kernels'):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(mmseg_jml, 'kernels', mmseg_jml.kernels)
    monkeypatch.setitem(sys.modules, 'triton', None)
    kernels = importlib.import_module('mmseg_jml.kernels')
    label = kernels.HardLabel(torch.zeros(1, 4, dtype=torch.long))
    request = kernels.Request(torch.zeros(1, 3, 4), label)
    assert kernels.region_sums(request).mass.item() == 4
    with pytest.raises(ValueError, match='but Triton does not import here'):
        kernels.region_sums(request, impl='triton')


def test_cpu_tensors_are_refused():
    label = HardLabel(torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match='but the logits are on cpu, not on'):
        region_sums(Request(torch.zeros(1, 3, 4), label), impl='triton')


CAPABILITY = 'torch.cuda.get_device_capability'
LACKS = {
    'Triton is 3.0.0, and the kernels need': {
        'mmseg_jml.kernels.triton.engine._VERSION': (3, 0),
        'triton.__version__': '3.0.0',
    },
    'made for GPUs of NVIDIA': {'torch.version.hip': '6.2'},
    'compute capability 7.5, and': {CAPABILITY: lambda device: (7, 5)},
}


@pytest.mark.parametrize('reason', LACKS)
def test_what_a_machine_may_lack(reason, monkeypatch):
    monkeypatch.setattr(CAPABILITY, lambda device: (8, 0))
    engine._why_not_on.cache_clear()
    assert engine._why_not_on(0) is None
    for name, value in LACKS[reason].items():
        monkeypatch.setattr(name, value)
    engine._why_not_on.cache_clear()
    assert reason in engine._why_not_on(0)
    engine._why_not_on.cache_clear()
