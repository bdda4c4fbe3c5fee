"""The diagram shows the numbers that it is given."""

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from mmseg_jml.visualization import reliability_diagram


@pytest.fixture
def drawn(monkeypatch):
    """Notes what is plotted, and plots it."""
    calls = []
    for name in ('plot', 'vlines', 'text'):
        original = getattr(Axes, name)

        def note(self, *args, original=original, name=name, **kwargs):
            calls.append((name, args))
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Axes, name, note)
    return calls


def test_line_gaps_and_histogram(drawn):
    """Pixels 30 and 10 in two of three bins, one of them empty."""
    bins = torch.tensor([[30.0, 0, 10], [6.0, 0, 9], [3.0, 0, 8]])
    reliability_diagram([bins])
    (_, diagonal), (_, line) = [c for c in drawn if c[0] == 'plot']
    assert diagonal[:2] == ((0, 1), (0, 1))
    np.testing.assert_allclose(line[0], [0.2, 0.9])
    np.testing.assert_allclose(line[1], [0.1, 0.8])
    (_, gap), (_, mass) = [c for c in drawn if c[0] == 'vlines']
    np.testing.assert_allclose(torch.stack(gap[1:]), [[0.2, 0.9], [0.1, 0.8]])
    np.testing.assert_allclose(mass[2], [0.75, 0.25])
    (text,) = [args[2] for name, args in drawn if name == 'text']
    assert text == 'ECE 10.00 %'


@pytest.mark.parametrize('classes', [1, 2, 5, 19])
def test_one_diagram_for_each_class(drawn, classes):
    bins = torch.rand(classes, 3, 10)
    image = reliability_diagram(bins, [f'class {c}' for c in range(classes)])
    assert image.dtype == np.uint8
    assert image.shape == (*image.shape[:2], 3)
    assert image.std() > 0
    assert len([c for c in drawn if c[0] == 'text']) == classes


def test_class_without_a_pixel(drawn):
    image = reliability_diagram(torch.zeros(2, 3, 10), ['a', 'b'])
    assert image.std() > 0
