"""Contact sheets, by their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from mmseg_jml.visualization import View, draw_contact_sheet

PALETTE = [[200, 0, 0], [0, 200, 100]]
GREY = np.full((40, 60, 3), 100, np.uint8)


def has(sheet, *colour):
    """Whether an area of more than a legend entry has a colour."""
    return (np.abs(sheet.astype(int) - colour).max(-1) <= 1).sum() > 4000


@pytest.mark.parametrize(
    ('label', 'colour'),
    [
        (0, (150, 50, 50)),
        (1, (50, 150, 100)),
        (255, (100, 100, 100)),
        (7, (255, 0, 255)),
    ],
)
def test_label_lies_over_the_image(label, colour):
    mask = np.full((40, 60), label)
    sheet = draw_contact_sheet(
        {'train': [View('1.png', GREY, mask)]}, 'ab', PALETTE
    )
    others = {(150, 50, 50), (50, 150, 100), (100, 100, 100)} - {colour}
    assert has(sheet, *colour)
    assert not any(has(sheet, *other) for other in others)


def test_image_without_label_stays():
    sheet = draw_contact_sheet(
        {'unlabeled': [View('1.png', GREY)]}, 'ab', PALETTE
    )
    assert has(sheet, 100, 100, 100)


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
