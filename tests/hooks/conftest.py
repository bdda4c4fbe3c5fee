"""Fixtures for hooks."""

from __future__ import annotations

import pytest
from mmengine.config import config as mmengine_config

from .distillation import student_config, wider, write_teacher


@pytest.fixture(autouse=True)
def _plain_configs(monkeypatch):
    """Writes configs without laying them out, which takes most of a run."""
    monkeypatch.setattr(
        mmengine_config,
        'FormatCode',
        lambda text, **style: (text, True),
        raising=False,  # the maintained fork does without
    )


@pytest.fixture
def cfg(tmp_path):
    return student_config(tmp_path / 'noise', tmp_path / 'run')


@pytest.fixture
def teacher(cfg, tmp_path):
    return write_teacher(tmp_path, wider(cfg.model))
