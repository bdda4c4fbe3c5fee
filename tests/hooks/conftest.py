"""Fixtures for hooks."""

import pytest

from .runs import student_config, wider, write_teacher
from .semi import write_pictures


@pytest.fixture
def cfg(tmp_path, deterministic):
    return student_config(tmp_path / 'noise', tmp_path / 'run')


@pytest.fixture
def teacher(cfg, tmp_path):
    return write_teacher(tmp_path, wider(cfg.model))


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / 'pictures')
