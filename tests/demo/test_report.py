"""Scores, tables and verdicts, with numbers by hand."""

import io

import numpy as np
import pytest
from rich.console import Console

from demo.report import effects, mean_and_error, rare_scenes, table


def results(*pairs):
    """Two names with the given values of mIoU and of rare classes."""
    return {
        name: [dict(mIoU=value, rare=value / 2) for value in values]
        for name, values in zip(('base', 'ours'), pairs)
    }


def test_mean_and_standard_error():
    """Of 1, 2 and 6: sqrt((4 + 1 + 9) / 2) / sqrt(3)."""
    assert mean_and_error([1, 2, 6]) == pytest.approx((3, (7 / 3) ** 0.5))
    mean, error = mean_and_error([4.0])
    assert mean == 4
    assert np.isnan(error)


@pytest.mark.parametrize(
    ('ours', 'verdict'),
    [
        # the differences 1, 2 and 6 are 3 on average, with an error of 1.5
        ((11, 22, 36), '+3.0 ± 1.5, no effect'),
        ((12, 22, 32), '+2.0 ± 0.0, better'),
        ((10, 20, 30), '+0.0 ± 0.0, no effect'),
        ((9, 18, 27), '-2.0 ± 0.6, worse'),
    ],
)
def test_what_counts_as_an_effect(ours, verdict):
    found = effects(results((10, 20, 30), ours), {'ours': 'base'})
    assert found[0] == f'ours against base: mIoU {verdict}'
    assert found[1].startswith('ours against base: rare ')


def test_one_seed_and_a_missing_baseline():
    (miou, _) = effects(results((10,), (20,)), {'ours': 'base', 'x': 'ours'})
    assert miou == 'ours against base: mIoU +10.0, one seed'


def test_the_table_has_a_column_for_each_name():
    console = Console(file=io.StringIO(), width=100)
    console.print(table(results((10, 20), (30,))))
    lines = console.file.getvalue().splitlines()
    rows = [line.split('│')[1:-1] for line in lines if '│' in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ['mIoU', '15.0 ± 5.0', '30.0'],
        ['rare', '7.5 ± 2.5', '15.0'],
    ]


def test_pictures_show_the_first_scenes_with_a_rare_class():
    labels = np.zeros((12, 2, 2), np.uint8)
    labels[1:, 0, 0] = [8, 9, 10, 8, 9, 10, 9, 9, 9, 9, 9]
    assert rare_scenes(labels, 11) == [2, 3, 5, 6, 7, 8, 9, 10]
