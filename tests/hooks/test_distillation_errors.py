"""What the hook refuses, when, and what the log of the run says then."""

from __future__ import annotations

import copy
import os
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS

from mmseg_jml.hooks import DistillationHook

from .distillation import KD, train, write_teacher


def change(paths: dict, **content) -> None:
    """Changes what a checkpoint holds."""
    checkpoint = torch.load(paths['checkpoint'], weights_only=True)
    torch.save({**checkpoint, **content}, paths['checkpoint'])


def state_of(paths: dict) -> dict:
    return torch.load(paths['checkpoint'], weights_only=True)['state_dict']


def refuse(cfg, error, match, **hook):
    """Trains; the run stops with an error that its log explains."""
    with pytest.raises(error, match=match) as caught:
        train(cfg, dict(type=KD, **hook))
    (log,) = Path(cfg.work_dir).glob('*/*.log')
    reason = f'DistillationHook stops the run. {caught.value}'
    assert reason in log.read_text()


@pytest.mark.parametrize(
    ('paths', 'error', 'match'),
    [
        (
            dict(checkpoint='nowhere.pth'),
            FileNotFoundError,
            "checkpoint .* but got 'nowhere.pth'",
        ),
        (
            dict(checkpoint='http://127.0.0.1:9/teacher.pth'),
            ValueError,
            'http://127.0.0.1:9/.*out of reach',
        ),
        (
            dict(teacher='nowhere.py'),
            FileNotFoundError,
            "teacher .* got 'nowhere.py', which is no",
        ),
        (
            dict(teacher=dict(optimizer=1)),
            ValueError,
            'segmentor in model .* keys optimizer',
        ),
    ],
)
def test_what_is_not_there(cfg, teacher, paths, error, match):
    refuse(cfg, error, match, **(teacher | paths))


@pytest.mark.parametrize('damage', ['cut', 'text', 'empty', 'tensor'])
def test_damaged_checkpoint(cfg, teacher, damage):
    path = Path(teacher['checkpoint'])
    half = path.read_bytes()[: path.stat().st_size // 2]
    match = "teacher1.pth' to hold weights .* damaged"
    if damage == 'tensor':
        torch.save(torch.zeros(2), path)
        match = 'dictionary but got Tensor'
    else:
        content = dict(cut=half, text=b'teacher', empty=b'')[damage]
        path.write_bytes(content)
    refuse(cfg, ValueError, match, **teacher)


def test_checkpoint_with_a_foreign_class(cfg, teacher):
    change(teacher, meta=dict(best=Fraction(1, 2)))
    refuse(cfg, ValueError, '(?s)could run code: .*Fraction', **teacher)


def test_only_weights_are_loaded_whatever_the_version(
    cfg, teacher, monkeypatch
):
    """Versions of torch before 2.6 unpickle anything, unless told not to."""

    def load(*args, **kwargs):
        forced.append(os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD'))
        return original(*args, **kwargs)

    forced, original = [], torch.load
    monkeypatch.setattr(torch, 'load', load)
    train(cfg, dict(type=KD, **teacher))
    assert forced == ['1']
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_weights_of_another_model(cfg, teacher):
    state = state_of(teacher)
    for name in list(state):
        if 'decoder.0' in name:
            del state[name]
    state['decode_head.foreign'] = torch.zeros(1)
    state['decode_head.conv_seg.bias'] = torch.zeros(7)
    gone = len(state_of(teacher)) + 1 - len(state)
    change(teacher, state_dict=state)
    refuse(
        cfg,
        ValueError,
        rf'{gone} missing: backbone.decoder.0.* \.\.\.; '
        '1 unexpected: decode_head.foreign; 1 of another shape: '
        r'decode_head.conv_seg.bias \(7,\) for \(3,\)',
        **teacher,
    )


def test_weights_saved_by_a_wrapped_model_load(cfg, teacher):
    state = {f'module.{k}': v for k, v in state_of(teacher).items()}
    torch.save(state, teacher['checkpoint'])
    train(cfg, dict(type=KD, **teacher))


@pytest.mark.parametrize(
    'meta',
    [
        dict(dataset_meta=dict(classes=('sky', 'car', 'road'))),
        dict(dataset_meta=dict(CLASSES=('sky', 'car', 'road'))),
        dict(CLASSES=('sky', 'car', 'road')),
    ],
)
def test_other_names_of_classes(cfg, teacher, meta):
    change(teacher, meta=meta)
    refuse(
        cfg,
        ValueError,
        r'of the student, in their order \(sky, road, car\), but got one of '
        'sky, car, road',
        **teacher,
    )


def test_names_of_classes_in_another_spelling(cfg, teacher):
    change(teacher, meta=dict(CLASSES=('Sky', 'ro-ad', 'c_ar')))
    train(cfg, dict(type=KD, **teacher))


def test_other_number_of_classes(cfg, tmp_path):
    model = copy.deepcopy(cfg.model)
    for head in (model.decode_head, model.auxiliary_head):
        head.num_classes = 5
    paths = write_teacher(tmp_path, model)
    refuse(
        cfg,
        ValueError,
        r'3 classes of the student \(sky, road, car\) but got one of 5 '
        r'\(sky, road, car\)',
        **paths,
    )


def test_teacher_of_nan(cfg, teacher):
    state = state_of(teacher)
    state['decode_head.conv_seg.bias'][1] = float('nan')
    change(teacher, state_dict=state)
    refuse(
        cfg,
        FloatingPointError,
        "'decode' of the teacher .*teacher1.pth",
        **teacher,
    )


@pytest.mark.parametrize(
    ('outputs', 'match'),
    [
        (dict(decode='aux_1'), "teacher, decode, aux, but got 'aux_1'"),
        (dict(aux_2='decode'), "output of decode, aux .* but got 'aux_2'"),
        (
            {'decode.1': 'decode'},
            'all pixels of decode.1 to its losses but got those of decode',
        ),
    ],
)
def test_outputs_that_there_are_not(cfg, teacher, outputs, match):
    refuse(cfg, ValueError, match, outputs=outputs, **teacher)


@pytest.mark.parametrize(
    'entry', [dict(type='DiceLoss'), dict(type='CrossEntropyLoss')]
)
def test_losses_that_take_labels(cfg, teacher, entry):
    match = (
        f'takes soft targets, .*KLDivergenceLoss, but got {entry["type"]!r}'
    )
    refuse(cfg, ValueError, match, loss=entry, **teacher)


@MODELS.register_module('MasksHead')
class MaskFormerHead(FCNHead):
    """Stands for the head of mmdet, by its name."""


@MODELS.register_module()
class LosslessHead(FCNHead):
    """A head that computes its loss by itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        del self.loss_decode


@MODELS.register_module()
class ReshapingHead(FCNHead):
    """A head whose loss gets pixels in one dimension."""

    def loss_by_feat(self, seg_logits, batch_data_samples):
        label = self._stack_batch_gt(batch_data_samples)[:, 0, ::4, ::4]
        logits = seg_logits[:, :, ::4, ::4].flatten(2)
        return dict(loss_x=self.loss_decode(logits, label.flatten(1)))


@pytest.mark.parametrize(
    ('head', 'match'),
    [
        ('MasksHead', 'got MaskFormerHead, which classifies whole masks'),
        ('LosslessHead', 'got LosslessHead, which has no loss_decode'),
        ('ReshapingHead', 'all pixels of decode to its losses but got .* aux'),
    ],
)
def test_students_without_dense_logits(cfg, teacher, head, match):
    cfg.model.decode_head.type = head
    refuse(cfg, ValueError, match, **teacher)


def test_a_run_that_failed_can_start_again(cfg, teacher):
    """Hooks of the first attempt are gone, so that terms count once."""
    cfg.experiment_name = 'again'
    runner = Runner.from_cfg(cfg)
    hook = DistillationHook(**teacher)
    runner.register_hook(hook)
    hook.before_train(runner)
    runner.train()
    model = runner.model
    assert not model._forward_hooks
    assert not model.decode_head.loss_decode._forward_pre_hooks
