"""Where tests compute, and the part of them that needs a GPU."""

import shlex
import sys

from mmengine.device import get_device

from tests.docs.programs import dry_run
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


def test_make_says_that_there_is_no_gpu():
    """The first line of the recipe, in this environment."""
    *check, test = dry_run('test-gpu')
    done = apart(sys.executable, *shlex.split(' '.join(check))[1:])
    assert done.returncode == 1
    assert 'Expected a GPU for make test-gpu but torch ' in done.stderr
    assert test.endswith('-m gpu')
