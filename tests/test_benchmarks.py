"""The benchmarks run to their end and write what they measured, in small."""

from __future__ import annotations

import csv
import math
import sys
from importlib import import_module

import pytest

SMALL = {
    'losses': '--shapes 1x3x16x16 --rounds 1',
    'metrics': '--shape 3x32x32 --rounds 1',
    'scaling': '--rounds 1',
    'distillation': '--batch 2 --size 32 --steps 1',
    'training_memory': '--batch 2 --size 32',
}
STUDENT = 'fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'
SHAPE = 1, 3, 16, 16
STOCK = 'stock cross-entropy'
CHANGED = {
    'scaling': dict(CLASSES=[SHAPE], PIXELS=[SHAPE]),
    'distillation': dict(STUDENT=STUDENT, TEACHER=STUDENT),
    'training_memory': dict(CONFIG=STUDENT, LOSSES={STOCK: {}}),
}


@pytest.mark.parametrize('name', SMALL)
def test_benchmark(name, tmp_path, monkeypatch, capsys):
    module = import_module(f'benchmarks.{name}')
    losses = import_module('benchmarks.losses')
    for place in {module, losses}:
        if hasattr(place, 'RESULTS'):
            monkeypatch.setattr(place, 'RESULTS', tmp_path)
    for key, value in CHANGED.get(name, {}).items():
        monkeypatch.setattr(module, key, value)
    monkeypatch.setattr(sys, 'argv', [name, *SMALL[name].split()])
    module.main()
    (path,) = tmp_path.glob('*.csv')
    assert str(path) in capsys.readouterr().out
    with path.open() as file:
        rows = list(csv.DictReader(file))
    measured = {'ms', 'peak_mib'} & rows[0].keys()
    assert measured
    for key in measured:
        assert float(rows[0][key]) > 0
        assert all(math.isfinite(float(row[key])) for row in rows)
