"""Images to evaluate."""

import pytest

from .evaluation import CALIBRATION, evaluation_config, write_scenes


@pytest.fixture(autouse=True)
def _device(device):
    """Evaluates on each device."""


@pytest.fixture(scope='session')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes') / 'noise'
    write_scenes(folder)
    return folder


@pytest.fixture
def cfg(scenes, tmp_path):
    return evaluation_config(scenes, tmp_path, CALIBRATION)
