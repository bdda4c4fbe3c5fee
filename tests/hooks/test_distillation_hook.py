"""A stock student learns from a stock teacher in a real run."""

from __future__ import annotations

import pytest
import torch

from mmseg_jml.kernels import TeacherLogits
from mmseg_jml.losses import JaccardMetricCELoss
from tests.tolerances import LOGGED

from .distillation import (
    KD,
    assert_same,
    build,
    forward,
    load,
    read_teacher,
    train,
    write_teacher,
)


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


def test_gradients_are_those_of_a_loop_written_by_hand(cfg, teacher, device):
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
            # GPUs may choose among algorithms
            error = 0 if device.type == 'cpu' else 1e-5
            torch.testing.assert_close(
                gradients[name], parameter.grad, rtol=error, atol=error
            )
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def recipe(logits, known):
    """Soft cross-entropy and Jaccard metric loss, with smooth=1."""
    p, y = logits.double().softmax(1), known.double().softmax(1)
    entropy = -(y * p.log()).sum(1).mean()
    lower = torch.minimum(p, y).sum((0, 2, 3)) + 1
    upper = torch.maximum(p, y).sum((0, 2, 3)) + 1
    return float(entropy), float((1 - lower / upper).mean())


def test_default_terms_are_the_recipe_in_plain_torch(cfg, teacher):
    """Half label, half teacher; CE + JML, and 0.4 CE on the auxiliary head."""
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.dropout_ratio = 0.0
    record = train(cfg, dict(type=KD, **teacher))
    student, master = build(cfg.model), read_teacher(teacher)
    student.load_state_dict(record.start)
    data = student.data_preprocessor(record.batches[0], training=True)
    (ce, jml), (aux_ce, _) = map(
        recipe,
        forward(student.train(), data['inputs']),
        forward(master, data['inputs']),
    )
    log = record.logs[0]
    assert log['decode.loss_kd_jml_ce'] == pytest.approx(
        0.5 * (0.25 * ce + 0.75 * jml), rel=LOGGED
    )
    assert log['aux.loss_kd_ce'] == pytest.approx(
        0.5 * 0.4 * aux_ce, rel=LOGGED
    )


def test_terms_are_summed_and_those_of_the_label_halved(cfg, teacher):
    plain = train(cfg).logs[0]
    log = train(cfg, dict(type=KD, **teacher)).logs[0]
    taught = {'decode.loss_kd_jml_ce', 'aux.loss_kd_ce'}
    assert log.keys() - plain.keys() == taught | {'teacher_mIoU'}
    terms = {'decode.loss_jml_ce', 'aux.loss_ce'}
    for name in terms:
        assert log[name] == plain[name] / 2
    assert log['decode.acc_seg'] == plain['decode.acc_seg']
    assert log['loss'] == pytest.approx(sum(log[x] for x in terms | taught))


def test_checkpoint_and_optimizer_are_those_of_a_run_without_the_hook(
    cfg, teacher
):
    contents = []
    for hooks in ((), (dict(type=KD, **teacher),)):
        model = train(cfg, *hooks).model
        contents.append(load(f'{cfg.work_dir}/iter_3.pth'))
        assert not model._forward_hooks
        assert not model.decode_head.loss_decode._forward_pre_hooks
    plain, distilled = contents
    assert plain.keys() == distilled.keys()
    assert plain['state_dict'].keys() == distilled['state_dict'].keys()
    shapes = [
        [
            len(group['params'])
            for group in content['optimizer']['param_groups']
        ]
        for content in contents
    ]
    assert shapes[0] == shapes[1]


def test_average_of_weights_beside_it_holds_no_hooks(cfg, teacher):
    record = train(
        cfg, dict(type='EMAHook', momentum=0.5), dict(type=KD, **teacher)
    )
    content = load(f'{cfg.work_dir}/iter_3.pth')
    names = {'module.' + name for name in record.start} | {'steps'}
    assert content['ema_state_dict'].keys() == names


def test_outputs_can_be_named(cfg, teacher):
    log = train(
        cfg,
        dict(
            type=KD,
            outputs=dict(aux='decode'),
            auxiliary_loss=[
                dict(type='mmseg_jml.KLDivergenceLoss'),
                dict(type='mmseg_jml.JaccardMetricLoss', loss_name='loss_j'),
            ],
            **teacher,
        ),
    ).logs[0]
    terms = [name for name in log if 'kd' in name]
    assert terms == ['aux.loss_kd_kl', 'aux.loss_kd_j']


def test_checkpoint_of_a_run_is_a_teacher(cfg, tmp_path):
    """With its optimizer, log history and all."""
    train(cfg)
    cfg.dump(tmp_path / 'run.py')
    paths = dict(
        teacher=str(tmp_path / 'run.py'),
        checkpoint=f'{cfg.work_dir}/iter_3.pth',
    )
    cfg.work_dir = str(tmp_path / 'again')
    assert (
        'decode.loss_kd_jml_ce' in train(cfg, dict(type=KD, **paths)).logs[0]
    )


def test_schedules_follow_the_iteration(cfg, teacher):
    cfg.train_cfg.max_iters = 4
    plain = train(cfg)
    hook = dict(
        type=KD,
        label_weight=dict(type='linear', start=1.0, stop=0.0),
        teacher_weight=dict(type='cosine', start=0.0, stop=1.0, end=2),
        temperature=dict(type='linear', start=1.0, stop=3.0),
        **teacher,
    )
    record = train(cfg, hook)
    # the first step has no teacher, so that the second starts alike
    for step, factor in enumerate((1.0, 0.75)):
        assert record.logs[step]['decode.loss_jml_ce'] == pytest.approx(
            factor * plain.logs[step]['decode.loss_jml_ce']
        )
    assert 'decode.loss_kd_jml_ce' not in record.logs[0]
    assert 'decode.loss_kd_jml_ce' in record.logs[1]
    logged = record.runner.message_hub.log_scalars
    assert list(logged['train/label_weight'].data[0]) == [1, 0.75, 0.5, 0.25]
    assert list(logged['train/teacher_weight'].data[0]) == pytest.approx(
        [0, 0.5, 1, 1]
    )
    assert list(logged['train/temperature'].data[0]) == [1, 1.5, 2, 2.5]


def test_schedules_follow_the_epoch(cfg, teacher):
    """Two epochs of five iterations."""
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    cfg.custom_hooks = []
    weight = dict(type='linear', start=0.0, stop=1.0, end=1, by_epoch=True)
    record = train(cfg, dict(type=KD, teacher_weight=weight, **teacher))
    logged = record.runner.message_hub.log_scalars['train/teacher_weight']
    assert list(logged.data[0]) == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]
    )


def test_order_of_the_losses_of_a_head_does_not_matter(cfg, tmp_path):
    """Dice says sigmoid beside a softmax; the cross-entropy decides."""
    dice, entropy = dict(type='DiceLoss'), dict(type='CrossEntropyLoss')
    logs = []
    for number, losses in enumerate(([entropy, dice], [dice, entropy])):
        cfg.model.decode_head.loss_decode = losses
        paths = write_teacher(tmp_path / str(number), cfg.model)
        logs.append(train(cfg, dict(type=KD, **paths)).logs[0])
    name = 'decode.loss_kd_jml_ce'
    assert logs[0][name] == logs[1][name]
