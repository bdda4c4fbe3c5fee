"""The benchmarks run to their end and write what they measured, in small."""

import csv
import inspect
import math
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks import report
from benchmarks.candidates import MIX, draw
from benchmarks.devices import CPU, CUDA, LAUNCH
from benchmarks.measure import Step, compare, interleaved
from benchmarks.rivals import plain_loss
from mmseg_jml.functional import jaccard_metric_loss
from tests.tolerances import OTHER_ORDER

SMALL = {
    'losses': '--shapes 1x3x16x16 --rounds 1',
    'upsampled': '--shapes 1x3x16x16/4 --rounds 1',
    'metrics': '--shape 3x32x32 --rounds 1',
    'scaling': '--rounds 1',
    'training_step': '--models FCN-R18 --batch 2 --size 32x48 --rounds 1',
    'distillation': '--batch 2 --size 32 --rounds 1',
}
STUDENT = 'fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'
SHAPE = '1x3x16x16'
CHANGED = {
    'scaling': dict(CLASSES=[SHAPE], PIXELS=[SHAPE]),
    'training_step': dict(MODELS={'FCN-R18': (STUDENT, 2, '32x32')}),
    'distillation': dict(STUDENT=STUDENT, TEACHER=STUDENT),
}
# Compiling takes most of a small run; one test does it.
QUICK = {
    'losses': ['--only', 'CE + JML', 'mmseg Dice', 'Kornia Dice'],
    'upsampled': ['--only', 'resize + CE + JML', 'CE + JML', 'CE'],
    'scaling': ['--only', 'CE + JML'],
    'training_step': ['--only', 'CE + JML'],
}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a benchmark in small, and gives its rows and what it printed."""

    def run(name, *options):
        module = import_module(f'benchmarks.{name}')
        monkeypatch.setattr(report, 'RESULTS', tmp_path)
        for key, value in CHANGED.get(name, {}).items():
            monkeypatch.setattr(module, key, value)
        words = [name, *SMALL[name].split(), *options]
        monkeypatch.setattr(sys, 'argv', words)
        module.main()
        (path,) = tmp_path.glob('*.csv')
        printed = capsys.readouterr().out
        assert str(path) in printed
        with path.open() as file:
            return list(csv.DictReader(file)), printed

    return run


@pytest.mark.parametrize('name', SMALL)
def test_benchmark(name, device, run):
    rows, _ = run(name, '--device', device.type, *QUICK.get(name, ()))
    measured = {'ms', 'peak', 'peak_mib', 'time'} & rows[0].keys()
    assert 'ms' in measured
    for key in measured:
        assert float(rows[0][key]) > 0
        assert all(math.isfinite(float(row[key])) for row in rows)
    if 'launches' in rows[0]:
        for row in rows:
            assert bool(row['launches']) == (device.type == 'cuda')
            assert row['launches'] != '0'
    for key in ('date', 'device', 'torch'):
        assert rows[0][key]
    assert bool(rows[0]['triton']) == bool(find_spec('triton'))
    clone = Path(report.__file__).parents[1] / '.git'
    assert bool(rows[0]['commit']) == clone.exists()


def test_every_dtype_and_loss_has_a_row(run):
    """The compiled rivals are among them."""
    names = ['torch cross_entropy, compiled', 'CE + JML']
    options = ('--kinds', 'hard', '--dtype', 'float32', 'bfloat16')
    rows, _ = run('losses', *options, '--only', *names)
    found = {(row['dtype'], row['loss']) for row in rows}
    names.append('torch cross_entropy')
    assert found == {(x, y) for x in ('float32', 'bfloat16') for y in names}


def test_training_step_under_every_loss(device, run):
    options = '--device', device.type, '--dtype', 'bfloat16'
    rows, printed = run('training_step', *options)
    refused = 'left out: half precision' in printed
    assert refused == (device.type == 'cpu')
    dtype = 'float32' if refused else 'bfloat16'
    assert {row['dtype'] for row in rows} == {dtype}
    assert rows[0]['loss'] == 'stock CE'
    losses = {row['loss'] for row in rows}
    assert {'CE + Dice', 'CE + JML', 'CE + JML, both heads'} <= losses
    assert float(rows[0]['time']) == float(rows[0]['peak']) == 1
    # weights, buffers and momentum
    kept = [float(row['peak_mib']) - float(row['step_mib']) for row in rows]
    assert len({round(mebibytes, 2) for mebibytes in kept}) == 1


def test_unknown_loss(run):
    with pytest.raises(SystemExit, match=r"but got \['Focal'\]"):
        run('losses', '--only', 'Focal')


# Of 4 MB: scalars, and what the allocator adds.
MORE = 1e-3


def test_memory_by_hand():
    """exp() keeps its result, and its gradient is one more such tensor."""
    leaf = torch.zeros(1000, 1000, requires_grad=True)
    losses = {'exp': lambda: leaf.exp().sum(), 'sum': lambda: leaf.sum()}
    first, second = compare(losses, leaf, 4 * leaf.numel(), CPU(), 1)
    assert first['held'] == pytest.approx(1, abs=MORE)
    assert first['peak'] == pytest.approx(2, abs=MORE)
    assert second['held'] == pytest.approx(0, abs=MORE)
    assert second['peak'] == pytest.approx(1, abs=MORE)
    assert first['time'] == 1


def test_slow_calls_run_in_every_third_round():
    seconds = {'base': 1.0, 'five times': 5.0, 'six times': 6.0}
    base, five, six = map(list, interleaved(seconds, Step, 7).values())
    assert base == five == [0, 1, 2, 3, 4, 5, 6]
    assert six == [0, 3, 6]


@pytest.mark.parametrize('kind', ['hard', 'soft'])
def test_plain_loss_is_the_same_loss(kind):
    logits, target = draw((2, 5, 40, 40), kind, torch.float64, 'cpu')
    plain = plain_loss(logits, target).double()
    expected = jaccard_metric_loss(logits, target, impl='reference', **MIX)
    torch.testing.assert_close(plain, expected, rtol=OTHER_ORDER, atol=0)


def test_what_fails_is_named(capsys):
    calls = {'two': '2', 'text': 'x', 'nothing': None}
    assert report.running(calls, int) == {'two': '2'}
    text, nothing = capsys.readouterr().out.splitlines()
    assert text.startswith('left out: text: ValueError: invalid literal')
    assert nothing.startswith('left out: nothing: TypeError: ')


def test_devices_have_one_interface():
    def public(device):
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(device).items()
            if not name.startswith('_') and callable(member)
        }

    assert public(CPU) == public(CUDA)


def test_names_of_launches():
    """As the runtime and the driver call them, and CUPTI with versions."""
    launches = (
        'cudaLaunchKernel cudaLaunchKernelExC_v11060 cuLaunchKernel '
        'cuLaunchKernelEx cudaLaunchCooperativeKernel'
    )
    others = ('cudaMemcpyAsync', 'cudaMemsetAsync', 'aten::add', 'void k()')
    assert all(map(LAUNCH.match, launches.split()))
    assert not any(map(LAUNCH.match, others))
