"""The configs in the docstrings of hooks train."""

from __future__ import annotations

import inspect
from doctest import DocTestParser

import pytest

from mmseg_jml import hooks

from .distillation import train
from .test_soft_label_hook import set_sources


def example(cls) -> list:
    """What the example of a docstring calls ``custom_hooks``."""
    names: dict = {}
    for part in DocTestParser().get_examples(inspect.getdoc(cls)):
        exec(part.source, names)
    return names['custom_hooks']


@pytest.mark.parametrize(
    ('hook', 'logged'),
    [
        ('DistillationHook', 'decode.loss_kd_kl'),
        ('SoftLabelHook', 'decode.loss_soft_jml_ce'),
        ('SoftLabelVisualizationHook', 'decode.loss_jml_ce'),
    ],
)
def test_example(cfg, teacher, hook, logged):
    set_sources(cfg, {'/masks/': '/masks/'})
    loss = cfg.model.decode_head.loss_decode
    loss.label_smoothing = dict(mode='uniform', epsilon=0.1)
    (entry,) = example(getattr(hooks, hook))
    if 'teacher' in entry:
        entry.update(teacher)
    assert logged in train(cfg, entry).logs[0]
