"""Contact sheets, by their pixels."""

import numpy as np
import pytest

from mmseg_jml.visualization import View, draw_contact_sheet

PALETTE = [[200, 0, 0], [0, 200, 100]]
GREY = np.full((40, 60, 3), 100, np.uint8)


def has(sheet, *colour):
    """Whether an area of more than a legend entry has a colour."""
    return (np.abs(sheet.astype(int) - colour).max(-1) <= 1).sum() > 4000


COLOURS = {
    0: (150, 50, 50),
    1: (50, 150, 100),
    255: (100, 100, 100),
    None: (100, 100, 100),
    7: (255, 0, 255),
}


@pytest.mark.parametrize('label', COLOURS)
def test_label_lies_over_the_image(label):
    """And an image without one stays."""
    mask = () if label is None else (np.full((40, 60), label),)
    views = {'train': [View('1.png', GREY, *mask)]}
    sheet = draw_contact_sheet(views, 'ab', PALETTE)
    for colour in {*COLOURS.values()}:
        assert has(sheet, *colour) == (colour == COLOURS[label])


def test_a_row_has_four_images():
    def height(train, val):
        view = View('1.png', GREY)
        rows = {'train': [view] * train, 'val': [view] * val}
        return len(draw_contact_sheet(rows, 'ab', PALETTE))

    assert height(1, 0) == height(4, 0) < height(5, 0) == height(8, 0)
    assert height(1, 1) == height(5, 0)


def test_what_is_wrong_stands_there_in_red(monkeypatch):
    texts = {}

    def note(axis, text, color, **options):
        texts[text] = color

    monkeypatch.setattr('matplotlib.axes.Axes.set_title', note)
    views = [View('1.png', GREY), View('2.png', problem='cannot be read')]
    draw_contact_sheet({'train': views}, 'ab', PALETTE)
    assert texts == {
        'train: 1.png': 'black',
        'train: 2.png\ncannot be read': 'red',
    }
