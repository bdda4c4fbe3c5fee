"""Tables and files of results."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from mmseg_jml.demo import figures
from mmseg_jml.demo.figures import draw_curves
from mmseg_jml.demo.results import (
    FIGURES,
    Result,
    table,
    write_curves,
    write_scores,
)
from mmseg_jml.demo.runs import Run

CLASSES = ('paper', 'ink')


def result(loss, seed, *ious, curve=None):
    run = Run(loss, seed, 20, None, None)
    return Result(run, CLASSES, np.array(ious), curve or {}, np.zeros(0))


@pytest.fixture
def results():
    return [
        result('CE', 0, 80.0, 10.0, curve={10: 30.0, 20: 45.0}),
        result('CE + JML', 0, 70.0, 50.0, curve={10: 40.0, 20: 60.0}),
        result('CE', 1, 90.0, 20.0, curve={10: 40.0, 20: 55.0}),
        result('CE + JML', 1, 70.0, 40.0, curve={20: 55.0}),
    ]


def printed(results):
    console = Console(file=io.StringIO(), width=100)
    console.print(table(results))
    return [
        [cell.strip() for cell in line.split('│')[1:-1]]
        for line in console.file.getvalue().splitlines()
        if '│' in line
    ]


def test_the_table_holds_mean_and_sample_deviation(results):
    """By hand: of 10 and 20 the deviation is sqrt(2 * 5**2 / (2 - 1))."""
    assert printed(results) == [
        ['paper', '85.0 ±  7.1', '70.0 ±  0.0'],
        ['ink', '15.0 ±  7.1', '45.0 ±  7.1'],
        ['mIoU', '50.0 ±  7.1', '57.5 ±  3.5'],
    ]


def test_the_table_holds_what_the_evaluators_of_this_package_find(results):
    """Mean and deviation by hand: of 3 and 5, 4 and sqrt(2)."""
    found = [
        replace(r, figures=dict.fromkeys(FIGURES, 3.0 + 2 * r.run.seed))
        for r in results
    ]
    rows = printed(found)
    assert rows[:3] == printed(results)
    assert [row[0] for row in rows[3:]] == list(FIGURES.values())
    assert all(row[1:] == ['4.0 ±  1.4'] * 2 for row in rows[3:])


def test_one_seed_has_no_spread(results):
    assert printed(results[:2])[2] == ['mIoU', '45.0', '60.0']


def test_a_class_that_does_not_occur_does_not_count():
    assert result('CE', 0, 80.0, np.nan).miou == 80


def test_files_hold_each_run(results, tmp_path):
    write_scores(results, tmp_path / 'scores.csv')
    write_curves(results, tmp_path / 'curves.csv')
    with (tmp_path / 'scores.csv').open() as file:
        lines = list(csv.DictReader(file))
    chosen = ('loss', 'seed', 'iters', 'mIoU', 'paper', 'ink')
    assert [lines[3][key] for key in chosen] == [
        *('CE + JML', '1', '20', '55.0', '70.0', '40.0')
    ]
    assert all(lines[0][key] for key in ('date', 'device', 'torch', 'mmseg'))
    with (tmp_path / 'curves.csv').open() as file:
        points = list(csv.DictReader(file))
    assert len(points) == 7
    assert points[1] == dict(loss='CE', seed='0', iteration='20', mIoU='45.0')


def test_curves_are_drawn_over_the_points_that_all_seeds_have(
    results, tmp_path
):
    """A run that died before a validation lacks its point."""
    draw_curves(results, tmp_path / 'curves.png')
    pixels = np.array(Image.open(tmp_path / 'curves.png').convert('RGB'))
    colours = {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}
    assert {(0x66, 0x66, 0x66), (0xD6, 0x27, 0x28)} <= colours


def test_reliability_is_drawn_for_each_loss(results, tmp_path, monkeypatch):
    """Bins are added up over the seeds of a loss."""
    drawn = {}

    def draw(bins, titles):
        drawn.update(zip(titles, bins))
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(figures, 'reliability_diagram', draw)
    found = [
        replace(r, confidence=torch.full((3, 2), 1.0 + r.run.seed))
        for r in results
    ]
    figures.draw_reliability(found, tmp_path / 'reliability.png')
    assert list(drawn) == ['CE', 'CE + JML']
    assert all(torch.equal(v, torch.full((3, 2), 3.0)) for v in drawn.values())
    assert Image.open(tmp_path / 'reliability.png').size == (2, 2)
