"""A stock student learns from a stock teacher in a real run."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.config import Config

from mmseg_jml.kernels import TeacherLogits
from mmseg_jml.losses import JaccardMetricCELoss

from .distillation import (
    KD,
    assert_same,
    build,
    student_config,
    train,
    wider,
    write_teacher,
)


@pytest.fixture
def cfg(tmp_path):
    return student_config(tmp_path / 'noise', tmp_path / 'run')


@pytest.fixture
def teacher(cfg, tmp_path):
    return write_teacher(tmp_path, wider(cfg.model))


def test_weight_zero_is_a_run_without_the_hook(cfg, teacher):
    plain = train(cfg)
    hook = dict(type=KD, label_weight=1.0, teacher_weight=0.0, **teacher)
    distilled = train(cfg, hook)
    assert plain.logs == distilled.logs
    assert_same(plain.model.state_dict(), distilled.model.state_dict())


def test_random_numbers_go_on_behind_the_construction_of_a_teacher(
    cfg, teacher
):
    """Without the seeding of each step, which would hide a difference."""
    cfg.custom_hooks = []
    plain = train(cfg)
    hook = dict(type=KD, label_weight=1.0, teacher_weight=0.0, **teacher)
    assert_same(plain.model.state_dict(), train(cfg, hook).model.state_dict())


def test_terms_are_logged_by_name_and_summed(cfg, teacher):
    log = train(cfg, dict(type=KD, **teacher)).logs[0]
    terms = {name for name in log if 'loss' in name} - {'loss'}
    assert terms == {
        'decode.loss_jml_ce',
        'decode.loss_kd_jml_ce',
        'aux.loss_ce',
        'aux.loss_kd_ce',
    }
    assert log['loss'] == pytest.approx(sum(log[name] for name in terms))


def forward(model, inputs):
    """Main and auxiliary logits at the size of the images."""
    features = model.backbone(inputs)
    return [
        F.interpolate(head(features), inputs.shape[2:], mode='bilinear')
        for head in (model.decode_head, model.auxiliary_head)
    ]


def read_teacher(paths):
    model = build(Config.fromfile(paths['teacher']).model)
    state = torch.load(paths['checkpoint'], weights_only=True)['state_dict']
    model.load_state_dict(state)
    return model.eval()


def test_gradients_are_those_of_a_loop_written_by_hand(cfg, teacher):
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.dropout_ratio = 0.0
    cfg.param_scheduler = []
    temperature = 2.0
    record = train(cfg, dict(type=KD, temperature=temperature, **teacher))

    student = build(cfg.model)
    student.load_state_dict(record.start)
    master = read_teacher(teacher)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    ours = JaccardMetricCELoss()
    soft_ce = JaccardMetricCELoss(1.0, 0.0, loss_weight=0.4)
    for batch, gradients in zip(record.batches, record.gradients):
        student.train()
        data = student.data_preprocessor(batch, training=True)
        label = torch.stack([s.gt_sem_seg.data for s in data['data_samples']])
        label = label.squeeze(1)
        logits, aux = forward(student, data['inputs'])
        with torch.no_grad():
            targets = forward(master, data['inputs'])
        targets = [TeacherLogits(t, temperature) for t in targets]
        weight = (label != 255).float()
        losses = [
            0.5 * student.decode_head.loss_decode(logits, label),
            0.5 * student.auxiliary_head.loss_decode(aux, label),
            0.5 * ours(logits / temperature, targets[0], weight),
            0.5 * soft_ce(aux / temperature, targets[1], weight),
        ]
        sum(losses).backward()
        for name, parameter in student.named_parameters():
            torch.testing.assert_close(
                gradients[name], parameter.grad, rtol=0, atol=0
            )
        optimizer.step()
        optimizer.zero_grad()
