"""The program of docs/semi_supervised.md makes a stock checkpoint."""

from __future__ import annotations

import torch
from mmseg.registry import MODELS

from tests.hooks.runs import assert_same, student_config
from tests.hooks.semi import learn, write_pictures

from .pages import blocks


def test_average_is_exported(tmp_path, monkeypatch):
    cfg = student_config(tmp_path / 'noise', tmp_path / 'run')
    _, steps = learn(cfg, write_pictures(tmp_path / 'pictures'), momentum=0.7)
    (program,) = (
        block.text
        for block in blocks('python')
        if block.page == 'docs/semi_supervised.md' and 'import ' in block.text
    )
    assert "'iter_80000.pth'" in program
    monkeypatch.chdir(tmp_path)
    path = f'{cfg.work_dir}/iter_3.pth'
    exec(program.replace('iter_80000.pth', path), {})

    stock = torch.load('teacher.pth', weights_only=True)['state_dict']
    assert_same(stock, steps.teachers[-1])
    model = MODELS.build(cfg.model)
    model.load_state_dict(stock, strict=True)
    name = 'decode_head.conv_seg.weight'
    assert not torch.equal(stock[name], steps.states[-1][name])
