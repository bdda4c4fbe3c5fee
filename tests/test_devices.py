"""Where tests compute, and the part of them that needs a GPU."""

import shlex
import sys

from mmengine.device import get_device

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


def test_make_says_that_there_is_no_gpu():
    """The first line of the recipe, in this environment."""
    *check, test = dry_run('test-gpu')
    done = apart(sys.executable, *shlex.split(' '.join(check))[1:])
    assert done.returncode == 1
    assert 'Expected a GPU for make test-gpu but torch ' in done.stderr
    assert test.endswith('-m gpu')
