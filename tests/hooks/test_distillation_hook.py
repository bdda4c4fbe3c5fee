"""A stock student learns from stock teachers in a real run."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_jml.kernels import TeacherLogits
from mmseg_jml.losses import JaccardMetricCELoss
from tests.tolerances import (
    GRADIENTS,
    LOGGED,
    OTHER_ORDER,
    TENSORS_TWO_WAYS,
    TWO_WAYS,
)

from . import runs
from .test_hook_errors import MaskFormerHead


@pytest.mark.parametrize(
    'features', [[], [dict(runs.ATTENTION, loss_weight=0)]]
)
def test_without_features_nothing_changes(cfg, teacher, features):
    plain = runs.train(cfg, runs.distil(teacher))
    found = runs.train(cfg, runs.distil(teacher, features=features))
    runs.assert_same_run(plain, found)


def test_gradients_are_those_of_a_loop_written_by_hand(cfg, teacher, device):
    runs.without_chance(cfg)
    temperature = 2.0
    record = runs.train(cfg, runs.distil(teacher, temperature=temperature))

    student, master = runs.started(cfg, record), runs.read_teacher(teacher)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    ours = JaccardMetricCELoss()
    soft_ce = JaccardMetricCELoss(1.0, 0.0, loss_weight=0.4)
    for batch, gradients in zip(record.batches, record.gradients):
        inputs, label = runs.prepared(student, batch)
        logits, aux = runs.forward(student, inputs)
        with torch.no_grad():
            targets = runs.forward(master, inputs)
        targets = [TeacherLogits(t, temperature) for t in targets]
        weight = (label != 255).float()
        losses = [
            0.5 * student.decode_head.loss_decode(logits, label),
            0.5 * student.auxiliary_head.loss_decode(aux, label),
            0.5 * ours(logits / temperature, targets[0], weight),
            0.5 * soft_ce(aux / temperature, targets[1], weight),
        ]
        sum(losses).backward()
        # GPUs may choose among algorithms
        error = 0 if device.type == 'cpu' else OTHER_ORDER
        runs.assert_gradients(gradients, student, rtol=error, atol=error)
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
    runs.without_chance(cfg)
    plain = runs.train(cfg).logs[0]
    record = runs.train(cfg, runs.distil(teacher))
    student, master = runs.started(cfg, record), runs.read_teacher(teacher)
    inputs, _ = runs.prepared(student, record.batches[0])
    answers = runs.forward(student, inputs), runs.forward(master, inputs)
    (ce, jml), (aux_ce, _) = map(recipe, *answers)
    expected = {
        'decode.loss_kd_jml_ce': 0.5 * (0.25 * ce + 0.75 * jml),
        'aux.loss_kd_ce': 0.5 * 0.4 * aux_ce,
    }
    log = record.logs[0]
    for name, value in expected.items():
        assert log[name] == pytest.approx(value, rel=LOGGED)
    assert log.keys() - plain.keys() == {*expected, 'teacher_mIoU'}
    labels = {'decode.loss_jml_ce', 'aux.loss_ce'}
    for name in labels:
        assert log[name] == plain[name] / 2
    assert log['decode.acc_seg'] == plain['decode.acc_seg']
    assert runs.assert_summed(log) == {*expected, *labels}


def test_outputs_can_be_named(cfg, teacher):
    losses = [
        dict(type='mmseg_jml.KLDivergenceLoss'),
        dict(type='mmseg_jml.JaccardMetricLoss', loss_name='loss_j'),
    ]
    options = dict(outputs=dict(aux='decode'), auxiliary_loss=losses)
    log = runs.train(cfg, runs.distil(teacher, **options)).logs[0]
    terms = [name for name in log if 'kd' in name]
    assert terms == ['aux.loss_kd_kl', 'aux.loss_kd_j']


def test_checkpoint_of_a_run_is_a_teacher(cfg, tmp_path):
    """With its optimizer, log history and all."""
    runs.train(cfg)
    path = tmp_path / 'run.py'
    cfg.dump(path)
    checkpoint = f'{cfg.work_dir}/iter_3.pth'
    cfg.work_dir = str(tmp_path / 'again')
    hook = dict(type=runs.KD, teacher=str(path), checkpoint=checkpoint)
    assert 'decode.loss_kd_jml_ce' in runs.train(cfg, hook).logs[0]


def test_schedules_follow_the_iteration(cfg, teacher):
    cfg.train_cfg.max_iters = 4
    plain = runs.train(cfg)
    hook = runs.distil(
        teacher,
        label_weight=dict(type='linear', start=1.0, stop=0.0),
        teacher_weight=dict(type='cosine', start=0.0, stop=1.0, end=2),
        temperature=dict(type='linear', start=1.0, stop=3.0),
    )
    record = runs.train(cfg, hook)
    pair = record, plain
    # the first step has no teacher, so that the second starts alike
    for step, factor in enumerate((1.0, 0.75)):
        found, whole = (x.logs[step]['decode.loss_jml_ce'] for x in pair)
        assert found == pytest.approx(factor * whole)
    assert 'decode.loss_kd_jml_ce' not in record.logs[0]
    assert 'decode.loss_kd_jml_ce' in record.logs[1]
    assert record.scalars('label_weight') == [1, 0.75, 0.5, 0.25]
    weights = record.scalars('teacher_weight')
    assert weights == pytest.approx([0, 0.5, 1, 1])
    assert record.scalars('temperature') == [1, 1.5, 2, 2.5]


def test_schedules_follow_the_epoch(cfg, teacher):
    """Two epochs of five iterations."""
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    cfg.custom_hooks = []
    weight = dict(type='linear', start=0.0, stop=1.0, end=1, by_epoch=True)
    record = runs.train(cfg, runs.distil(teacher, teacher_weight=weight))
    expected = [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]
    assert record.scalars('teacher_weight') == pytest.approx(expected)


def test_order_of_the_losses_of_a_head_does_not_matter(cfg, tmp_path):
    """Dice says sigmoid beside a softmax; the cross-entropy decides."""
    dice, entropy = dict(type='DiceLoss'), dict(type='CrossEntropyLoss')
    terms = []
    for number, losses in enumerate(([entropy, dice], [dice, entropy])):
        cfg.model.decode_head.loss_decode = losses
        paths = runs.write_teacher(tmp_path / str(number), cfg.model)
        log = runs.train(cfg, runs.distil(paths)).logs[0]
        terms.append(log['decode.loss_kd_jml_ce'])
    assert terms[0] == terms[1]


def targets_of(cfg, **hook):
    """The targets of the first step, with what they were made from."""
    cfg.train_cfg.max_iters = 1
    lessons = runs.Lessons()
    record = runs.train(cfg, runs.distil(hook), lessons)
    ((student, targets, _),) = lessons.found
    return record, student.inputs, student.outputs, targets


@pytest.mark.parametrize('amp', [None, 'bfloat16'])
def test_autocast_of_the_student_is_not_the_teachers(cfg, teacher, amp):
    runs.set_up(cfg, 'AMP')
    options = dict(amp=amp, temperature=3.0, **teacher)
    record, inputs, outputs, targets = targets_of(cfg, **options)
    assert outputs['decode'].logits.dtype == torch.bfloat16
    exact = runs.forward(runs.read_teacher(teacher), inputs)
    for name, logits in zip(('decode', 'aux'), exact):
        value = targets[name].target.value
        assert value.dtype == torch.float32
        assert torch.equal(value, logits) == (amp is None)
        assert (value - logits).abs().mean() < 0.05
    assert torch.tensor(list(record.logs[0].values())).isfinite().all()
    assert all(g.isfinite().all() for g in record.gradients[0].values())


@pytest.mark.parametrize('one_config', [False, True])
def test_ensemble_is_the_mean_probability(cfg, tmp_path, one_config):
    """Of teachers with colours of their own, or of one config."""
    other = runs.wider(cfg.model, **runs.OTHER_COLOURS)
    models = [cfg.model if one_config else other, cfg.model]
    paths = [runs.write_teacher(tmp_path, m, s) for s, m in enumerate(models)]
    hook = runs.several(*paths)
    if one_config:
        hook['teacher'] = paths[1]['teacher']
    _, inputs, _, targets = targets_of(cfg, temperature=2.0, **hook)
    views = inputs if one_config else runs.other_colours(inputs), inputs
    answers = [
        runs.forward(runs.read_teacher(path), view)
        for path, view in zip(paths, views)
    ]
    for name, pair in zip(('decode', 'aux'), zip(*answers)):
        expected = sum((logits / 2).softmax(1) for logits in pair) / 2
        value = targets[name].target.dense(3, torch.float32)
        error = {} if one_config else TENSORS_TWO_WAYS
        torch.testing.assert_close(value, expected, **error)


def test_ignored_pixels_and_padding_do_not_count(cfg, teacher, tmp_path):
    cfg.model.data_preprocessor.size = (40, 36)
    ignored = (runs.ROW >= 10) & (runs.ROW < 20)
    noise = tmp_path / 'noise'
    runs.change_masks(noise, lambda mask: np.where(ignored, 255, mask))
    _, _, outputs, targets = targets_of(cfg, **teacher)
    label, weight = outputs['decode'].label, targets['decode'].weight
    assert torch.equal(weight, (label != 255).float())
    assert not weight[:, 32:].any()
    assert not weight[:, :, 32:].any()
    assert 0 < weight[:, :32, :32].mean() < 1


assert MaskFormerHead  # registers itself as MasksHead

ALONE = dict(loss=[], auxiliary_loss=[], label_weight=0.0)


def maps_of(model, inputs) -> tuple:
    """What the modules of the pairs compute, by the heads' own methods."""
    features = model.backbone(inputs)
    # of the decoders 1 and 0 (the larger comes last), and conv_seg
    return features[1], features[2], model.decode_head(features)


def test_gradients_and_terms_are_those_of_a_loop_written_by_hand(
    cfg, tmp_path
):
    """Of two teachers of weights 3 and 1, in plain torch."""
    runs.without_chance(cfg)
    cfg.train_cfg.max_iters = 1
    paths = [
        runs.write_teacher(tmp_path, runs.wider(cfg.model), seed=2),
        runs.write_teacher(tmp_path, cfg.model, seed=3),
    ]
    features = [runs.ATTENTION, dict(runs.CHANNEL, temperature=2.0)]
    weights = dict(teacher_weights=[3, 1], teacher_weight=0.25)
    options = dict(features=features, **weights, **ALONE)
    record = runs.train(cfg, runs.distil(runs.several(*paths), **options))
    student = runs.started(cfg, record)
    inputs, _ = runs.prepared(student, record.batches[0])
    small, _, logits = maps_of(student, inputs)
    attention = channel = 0.0
    for share, path in zip((0.75, 0.25), paths):
        with torch.no_grad():
            _, large, known = maps_of(runs.read_teacher(path), inputs)
        squares = small.square().sum(1, keepdim=True)
        squares = F.interpolate(squares, (32, 32), mode='bilinear')
        cosine = F.cosine_similarity(
            squares.flatten(1), large.square().sum(1).flatten(1)
        )
        attention = attention + share * (1 - cosine).mean()
        p, y = (x.flatten(0, 1).flatten(1) / 2 for x in (logits, known))
        divergence = F.kl_div(
            p.log_softmax(1), y.softmax(1), reduction='batchmean'
        )
        channel = channel + share * 4 * divergence
    log = record.logs[0]
    name = 'backbone.decoder.1.loss_kd_attention'
    assert log[name] == pytest.approx(
        0.25 * 2 * attention.item(), rel=TWO_WAYS
    )
    name = 'decode_head.conv_seg.loss_kd_channel'
    assert log[name] == pytest.approx(0.25 * channel.item(), rel=TWO_WAYS)
    (0.25 * (2 * attention + channel)).backward()
    runs.assert_gradients(record.gradients[0], student, **GRADIENTS)


def test_index_chooses_among_several_outputs(cfg, teacher):
    """The backbone's last output is that of its first decoder."""
    pair = dict(runs.ATTENTION, student='backbone.decoder.0')
    named = runs.train(cfg, runs.distil(teacher, features=[pair]))
    pair.update(student='backbone', teacher='backbone', index=-1)
    chosen = runs.train(cfg, runs.distil(teacher, features=[pair]))
    runs.assert_same(named.gradients[0], chosen.gradients[0])
    assert 'backbone.loss_kd_attention' in chosen.logs[0]


def test_features_of_two_hooks_have_names_of_their_own(cfg, teacher):
    features = [runs.ATTENTION, runs.CHANNEL, runs.CHANNEL]
    hook = runs.distil(teacher, features=features)
    log = runs.train(cfg, hook, hook).logs[0]
    attention = 'backbone.decoder.1.loss_kd%s_attention'
    channel = 'decode_head.conv_seg.loss_kd%s_channel'
    assert log[attention % ''] == log[attention % '_2'] > 0
    assert log[channel % '_2'] > 0
    once = runs.train(cfg, dict(hook, features=[runs.CHANNEL])).logs[0]
    assert log[channel % ''] == pytest.approx(2 * once[channel % ''])
    runs.assert_summed(log)


def test_features_teach_a_student_without_dense_logits(cfg, teacher):
    cfg.model.decode_head.type = 'MasksHead'
    hook = runs.distil(teacher, features=[runs.ATTENTION], **ALONE)
    log = runs.train(cfg, hook)
    terms = [name for name in log.logs[0] if 'kd' in name]
    assert terms == ['backbone.decoder.1.loss_kd_attention']
    assert 'teacher_mIoU' not in log.logs[0]


@pytest.mark.parametrize(
    ('pair', 'match'),
    [
        (
            dict(student='backbone.decodr.1'),
            "of the student but got 'backbone.decodr.1'. Did you mean "
            "'backbone.decoder.1'",
        ),
        (dict(teacher='neck'), "of the teacher but got 'neck'. Did you mean"),
        (
            dict(measure='channel'),
            "'backbone.decoder.1' of the student as of 'backbone.decoder.0' "
            'of the teacher but got 8 and 6. .*out of scope',
        ),
        (
            dict(student='backbone'),
            "index .* one of the 3 outputs of 'backbone' of the student but "
            'got None',
        ),
        (dict(teacher='backbone', index=3), 'teacher but got 3'),
        (
            dict(student='decode_head.loss_decode'),
            r"'decode_head.loss_decode' .* shape \(N, C, H, W\) .* got \(\)",
        ),
    ],
)
def test_pairs_that_cannot_be(cfg, teacher, pair, match):
    features = [{**runs.ATTENTION, **pair}]
    runs.refuse(cfg, match, runs.distil(teacher, features=features))


@HOOKS.register_module()
class FreezeBackbone(Hook):
    def before_train(self, runner):
        runner.model.backbone.requires_grad_(False)


@pytest.mark.filterwarnings('ignore:.*use_reentrant')
@pytest.mark.parametrize('reason', ['frozen', 'with_cp'])
def test_student_that_does_not_learn_there(cfg, teacher, reason):
    conv = 'backbone.decoder.1.conv_block.convs.0.conv'
    features = [dict(runs.ATTENTION, student=conv)]
    if reason == 'frozen':
        cfg.custom_hooks.append(dict(type='FreezeBackbone'))
    else:
        cfg.model.backbone.with_cp = True
    match = "conv' .* gradient but got none"
    runs.refuse(cfg, match, runs.distil(teacher, features=features))
