"""The scenes of the demo, written once for all tests."""

from __future__ import annotations

import pytest

from mmseg_jml.datasets import write_digit_scenes

NUM_SCENES = {'training': 6, 'validation': 4}


@pytest.fixture(scope='session')
def scenes(tmp_path_factory):
    """Returns a folder with a few scenes."""
    root = tmp_path_factory.mktemp('data') / 'digit_scenes'
    write_digit_scenes(root, NUM_SCENES)
    return root
