"""Modules of a student learn from modules of its teachers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_jml.hooks import DistillationHook
from tests.tolerances import GRADIENTS

from .distillation import (
    KD,
    assert_same,
    build,
    read_teacher,
    train,
    wider,
    write_teacher,
)
from .semi import without_chance
from .test_distillation_errors import MaskFormerHead

assert MaskFormerHead  # registers itself as MasksHead

ATTENTION = dict(
    student='backbone.decoder.1',
    teacher='backbone.decoder.0',
    measure='attention',
    loss_weight=2.0,
)
CHANNEL = dict(
    student='decode_head.conv_seg',
    teacher='decode_head.conv_seg',
    measure='channel',
    temperature=2.0,
)
ALONE = dict(loss=[], auxiliary_loss=[], label_weight=0.0)
PATHS = dict(teacher='a.py', checkpoint='b.pth')


def maps_of(model, inputs) -> dict:
    """What the modules of the pairs compute, by the heads' own methods."""
    features = model.backbone(inputs)
    head = model.decode_head
    return {
        # the larger comes last
        'decoder.1': features[1],
        'decoder.0': features[2],
        'conv_seg': head(features),
    }


def test_gradients_and_terms_are_those_of_a_loop_written_by_hand(
    cfg, tmp_path
):
    """Of two teachers of weights 3 and 1, in plain torch."""
    without_chance(cfg)
    cfg.train_cfg.max_iters = 1
    paths = [
        write_teacher(tmp_path, wider(cfg.model), seed=2),
        write_teacher(tmp_path, cfg.model, seed=3),
    ]
    record = train(
        cfg,
        dict(
            type=KD,
            teacher=[path['teacher'] for path in paths],
            checkpoint=[path['checkpoint'] for path in paths],
            teacher_weights=[3, 1],
            teacher_weight=0.25,
            features=[ATTENTION, CHANNEL],
            **ALONE,
        ),
    )
    student = build(cfg.model).train()
    student.load_state_dict(record.start)
    data = student.data_preprocessor(record.batches[0], training=True)
    own = maps_of(student, data['inputs'])
    attention = channel = 0.0
    for share, path in zip((0.75, 0.25), paths):
        with torch.no_grad():
            other = maps_of(read_teacher(path), data['inputs'])
        small = own['decoder.1'].square().sum(1, keepdim=True)
        cosine = F.cosine_similarity(
            F.interpolate(small, (32, 32), mode='bilinear').flatten(1),
            other['decoder.0'].square().sum(1).flatten(1),
        )
        attention = attention + share * (1 - cosine).mean()
        p, y = (
            maps['conv_seg'].flatten(0, 1).flatten(1) / 2
            for maps in (own, other)
        )
        divergence = F.kl_div(
            p.log_softmax(1), y.softmax(1), reduction='batchmean'
        )
        channel = channel + share * 4 * divergence
    log = record.logs[0]
    name = 'backbone.decoder.1.loss_kd_attention'
    assert log[name] == pytest.approx(0.25 * 2 * attention.item(), rel=1e-4)
    name = 'decode_head.conv_seg.loss_kd_channel'
    assert log[name] == pytest.approx(0.25 * channel.item(), rel=1e-4)
    (0.25 * (2 * attention + channel)).backward()
    for name, parameter in student.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(
                record.gradients[0][name], parameter.grad,
                **GRADIENTS,
            )  # fmt: skip


def test_index_chooses_among_several_outputs(cfg, teacher):
    """The backbone's last output is that of its first decoder."""
    pair = dict(ATTENTION, student='backbone.decoder.0')
    named = train(cfg, dict(type=KD, features=[pair], **teacher))
    pair.update(student='backbone', teacher='backbone', index=-1)
    chosen = train(cfg, dict(type=KD, features=[pair], **teacher))
    assert_same(named.gradients[0], chosen.gradients[0])
    assert 'backbone.loss_kd_attention' in chosen.logs[0]


@pytest.mark.parametrize('features', [[], [dict(ATTENTION, loss_weight=0)]])
def test_without_features_nothing_changes(cfg, teacher, features):
    plain = train(cfg, dict(type=KD, **teacher))
    found = train(cfg, dict(type=KD, features=features, **teacher))
    assert plain.logs == found.logs
    assert_same(plain.model.state_dict(), found.model.state_dict())


def test_teacher_weight_zero_is_a_run_without_the_hook(cfg, teacher):
    """A schedule switches the features on later."""
    plain = train(cfg)
    weight = dict(type='linear', start=0.0, stop=1.0, begin=2, end=3)
    hook = dict(
        type=KD,
        label_weight=1.0,
        teacher_weight=weight,
        features=[ATTENTION],
        **teacher,
    )
    record = train(cfg, hook)
    assert plain.logs == record.logs
    assert_same(plain.model.state_dict(), record.model.state_dict())
    model = record.model
    assert not any(m._forward_hooks for m in model.modules())


def test_features_of_two_hooks_have_names_of_their_own(cfg, teacher):
    hook = dict(type=KD, features=[ATTENTION, CHANNEL, CHANNEL], **teacher)
    log = train(cfg, hook, hook).logs[0]
    names = [
        f'{module}.loss_kd{number}_{measure}'
        for number in ('', '_2')
        for module, measure in (
            ('backbone.decoder.1', 'attention'),
            ('decode_head.conv_seg', 'channel'),
        )
    ]
    assert all(log[name] > 0 for name in names)
    assert log[names[0]] == log[names[2]]
    once = train(cfg, dict(hook, features=[CHANNEL])).logs[0]
    assert log[names[1]] == pytest.approx(2 * once[names[1]])
    terms = [name for name in log if 'loss' in name and name != 'loss']
    assert log['loss'] == pytest.approx(sum(log[name] for name in terms))


def test_features_teach_a_student_without_dense_logits(cfg, teacher):
    cfg.model.decode_head.type = 'MasksHead'
    log = train(cfg, dict(type=KD, features=[ATTENTION], **ALONE, **teacher))
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
    pair = {**ATTENTION, **pair}
    with pytest.raises(ValueError, match=match):
        train(cfg, dict(type=KD, features=[pair], **teacher))


@HOOKS.register_module()
class FreezeBackbone(Hook):
    def before_train(self, runner):
        runner.model.backbone.requires_grad_(False)


@pytest.mark.filterwarnings('ignore:.*use_reentrant')
@pytest.mark.parametrize('reason', ['frozen', 'with_cp'])
def test_student_that_does_not_learn_there(cfg, teacher, reason):
    pair = dict(
        ATTENTION, student='backbone.decoder.1.conv_block.convs.0.conv'
    )
    if reason == 'frozen':
        cfg.custom_hooks.append(dict(type='FreezeBackbone'))
    else:
        cfg.model.backbone.with_cp = True
    with pytest.raises(ValueError, match="conv' .* gradient but got none"):
        train(cfg, dict(type=KD, features=[pair], **teacher))


@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        (dict(features='backbone'), TypeError, "pairs .* got 'backbone'"),
        (dict(features=[dict(student='a')]), TypeError, "{'student': 'a'}"),
        (
            dict(features=[dict(ATTENTION, measure='mse')]),
            ValueError,
            "'attention' or 'channel' but got 'mse'",
        ),
        (
            dict(features=[dict(ATTENTION, loss_weight=-1)]),
            ValueError,
            'loss_weight of features .* got -1',
        ),
        (
            dict(features=[dict(CHANNEL, temperature=0)]),
            ValueError,
            'temperature of features .* 0.01 but got 0',
        ),
        (dict(teacher_weights=[1, 2]), ValueError, r'1 numbers .* \[1, 2\]'),
        (dict(teacher_weights=[0]), ValueError, r'above 0.* got \[0\]'),
    ],
)
def test_options(options, error, match):
    with pytest.raises(error, match=match):
        DistillationHook(**PATHS, **options)
