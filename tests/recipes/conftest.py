"""Data and models that the tests of the recipes share."""

import pytest
from torch import nn

from . import catalog, data


@pytest.fixture(scope='session')
def data_root(tmp_path_factory):
    """Writes all data sets; returns the folder that stands for ``data``."""
    root = tmp_path_factory.mktemp('data')
    data.write_all(root)
    return root


@pytest.fixture(autouse=True)
def _imports(request):
    """Lets mmpretrain's backbones be imported."""
    callspec = getattr(request.node, 'callspec', None)
    path = callspec and callspec.params.get('path')
    if path and catalog.needs_mmpretrain(path):
        request.getfixturevalue('torchvision')


@pytest.fixture(autouse=True)
def _uncollected(monkeypatch):
    """Lets data sets be built without looking for garbage after each."""
    monkeypatch.setattr('gc.collect', lambda: 0)


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves weights as memory holds them: to draw them takes most time."""
    for layer in (nn.Linear, nn.modules.conv._ConvNd):
        monkeypatch.setattr(layer, 'reset_parameters', lambda self: None)
    monkeypatch.setattr(nn.init, 'kaiming_normal_', lambda tensor, **_: tensor)
