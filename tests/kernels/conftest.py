"""The engines that can run in this process.

Triton's kernels run on a GPU, or on a CPU in its interpreter, which has to be
chosen before triton is imported: test_triton.py starts a process for it.
"""

import os

import pytest
import torch

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'


def engines():
    """(impl, device) of each."""
    if INTERPRETED:
        return [('triton', 'cpu')]
    if torch.cuda.is_available():
        return [('torch', 'cpu'), ('torch', 'cuda'), ('triton', 'cuda')]
    return [('torch', 'cpu')]


def marked(pairs):
    """Parameters of a fixture; `make test-gpu` runs those on a GPU."""
    gpu = [pytest.mark.gpu]
    return [
        pytest.param((impl, device), marks=gpu * (device == 'cuda'))
        for impl, device in pairs
    ]


@pytest.fixture
def configure(monkeypatch):
    """Changes the launch configuration of Triton's kernels."""
    full_size = pytest.importorskip('mmseg_jml.kernels.triton.full_size')
    original = full_size.launch_configuration

    def change(function):
        def changed(num_classes, *arguments, **keywords):
            usual = original(num_classes, *arguments, **keywords)
            return function(num_classes, usual)

        monkeypatch.setattr(full_size, 'launch_configuration', changed)
        full_size._plan.cache_clear()

    yield change
    full_size._plan.cache_clear()


@pytest.fixture(autouse=True)
def _larger_chunks(request):
    """The interpreter pays for steps, not for the size of a tile."""
    if INTERPRETED:
        request.getfixturevalue('configure')(
            lambda classes, usual: (
                usual | dict(BLOCK_C=128, BLOCK_P=16)
                if classes > 192
                else usual | dict(BLOCK_P=min(usual['BLOCK_P'], 64))
            )
        )


@pytest.fixture
def unwritten_memory_is_nan():
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=marked(engines()), ids='-'.join)
def engine(request):
    return request.param


@pytest.fixture(
    params=marked(x for x in engines() if x[0] == 'triton') or [None],
    ids=lambda pair: pair and pair[1],
)
def device(request):
    """Where Triton runs."""
    if request.param is None:
        pytest.skip('No GPU; test_triton.py runs this in the interpreter')
    return request.param[1]
