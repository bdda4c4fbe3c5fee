"""A folder with few scenes, for all tests of the demos."""

import pytest

from demo import scenes


@pytest.fixture(scope='session')
def home(tmp_path_factory):
    """Returns a folder to start from, with the scenes in place."""
    home = tmp_path_factory.mktemp('demo')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, 'NUM_SCENES', dict(training=100, validation=10))
        scenes.write_scenes(home / 'data/demo_scenes')
    return home
