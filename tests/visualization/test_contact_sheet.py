"""Contact sheets, by their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from mmseg_jml.visualization import draw_contact_sheet

PALETTE = [[200, 0, 0], [0, 200, 100]]
GREY = np.full((40, 60, 3), 100, np.uint8)


def has(sheet, *colour):
    """Whether an area of more than a legend entry has a colour."""
    return (np.abs(sheet.astype(int) - colour).max(-1) <= 1).sum() > 4000


@pytest.mark.parametrize(
    ('label', 'colour'),
    [(0, (150, 50, 50)), (1, (50, 150, 100)), (255, (100, 100, 100))],
)
def test_label_lies_over_the_image(label, colour):
    mask = np.full((40, 60), label)
    sheet = draw_contact_sheet({'train': [(GREY, mask)]}, 'ab', PALETTE)
    others = {(150, 50, 50), (50, 150, 100), (100, 100, 100)} - {colour}
    assert has(sheet, *colour)
    assert not any(has(sheet, *other) for other in others)


def test_image_without_label_stays():
    sheet = draw_contact_sheet({'unlabeled': [(GREY, None)]}, 'ab', PALETTE)
    assert has(sheet, 100, 100, 100)


def test_a_row_has_four_images():
    def height(train, val):
        rows = {'train': [(GREY, None)] * train, 'val': [(GREY, None)] * val}
        return len(draw_contact_sheet(rows, 'ab', PALETTE))

    assert height(1, 0) == height(4, 0) < height(5, 0) == height(8, 0)
    assert height(1, 1) == height(5, 0)
