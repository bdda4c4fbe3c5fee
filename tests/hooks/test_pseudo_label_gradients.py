"""What a step with unlabelled images changes, against sums by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from tests.tolerances import GRADIENTS

from .distillation import assert_same, build, forward, train
from .semi import (
    EVERY,
    PLAIN,
    THRESHOLD,
    by_hand,
    certain,
    learn,
    without_chance,
)


@pytest.mark.parametrize('options', [{}, EVERY], ids=['default', 'every'])
@pytest.mark.parametrize('exact_resume', [True, False])
def test_weight_zero_is_a_run_without_the_hook(
    cfg, pictures, exact_resume, options
):
    """Also where no seeding of each step would hide a difference."""
    if not exact_resume:
        cfg.custom_hooks = []
    plain = train(cfg)
    zero, steps = learn(
        cfg, pictures, label_weight=1.0, loss_weight=0.0, **options
    )
    assert not steps.images  # none is even loaded
    assert plain.logs == zero.logs
    assert_same(plain.model.state_dict(), zero.model.state_dict())


@pytest.mark.parametrize('update_statistics', [True, False])
def test_gradients_of_labels_are_those_of_a_run_without_the_hook(
    cfg, pictures, update_statistics
):
    """Nothing is confident, so that no others are added to them."""
    plain = train(cfg)
    silent, steps = learn(
        cfg,
        pictures,
        label_weight=1.0,
        threshold=1.0,
        update_statistics=update_statistics,
    )
    assert silent.logs[0]['pseudo_confident'] == 0
    assert silent.logs[0]['decode.loss_pseudo_jml_ce'] == 0
    for own, other in zip(plain.gradients, silent.gradients):
        assert_same(own, other)
    one, two = plain.model.state_dict(), silent.model.state_dict()
    differ = {name for name in one if not torch.equal(one[name], two[name])}
    statistics = {n for n in one if 'running_' in n or 'num_batches' in n}
    assert differ == (
        {n for n in statistics if n.startswith('backbone')}
        if update_statistics
        else set()
    )
    name = next(n for n in statistics if 'num_batches' in n)
    assert two[name] == (6 if update_statistics else 3)


@pytest.mark.filterwarnings('ignore:.*use_reentrant:UserWarning')
@pytest.mark.filterwarnings('ignore:None of the inputs have req:UserWarning')
@pytest.mark.parametrize('checkpointing', ['with_cp', 'mmengine', None])
def test_statistics_are_kept_where_blocks_are_computed_again(
    cfg, pictures, checkpointing
):
    """The pass of labels updates them twice then, as without the hook."""
    if checkpointing == 'with_cp':
        cfg.model.backbone.with_cp = True
    elif checkpointing:
        cfg.activation_checkpointing = ['backbone.encoder.1']
    plain = train(cfg)
    silent, _ = learn(
        cfg,
        pictures,
        label_weight=1.0,
        threshold=1.0,
        update_statistics=False,
    )
    again = max(
        int(value)
        for name, value in plain.model.state_dict().items()
        if 'num_batches' in name
    )
    assert again == (6 if checkpointing else 3)
    assert_same(plain.model.state_dict(), silent.model.state_dict())


@pytest.mark.parametrize('update_statistics', [True, False])
def test_statistics_are_those_of_a_loop_written_by_hand(
    cfg, pictures, update_statistics
):
    without_chance(cfg)
    record, steps = learn(
        cfg, pictures, update_statistics=update_statistics, **PLAIN
    )
    student = build(cfg.model).train()
    student.load_state_dict(record.start)
    data = student.data_preprocessor(record.batches[0], training=True)
    forward(student, data['inputs'])
    if update_statistics:
        forward(student, steps.images[0])
    found = steps.states[0]
    names = [name for name in found if 'running_' in name]
    for name in names:
        assert not torch.equal(record.start[name], found[name])
        torch.testing.assert_close(student.state_dict()[name], found[name])


def stock_entropy(logits, label):
    """That of mmseg, which divides by all pixels."""
    entropy = F.cross_entropy(
        logits, label, ignore_index=255, reduction='none'
    )
    return entropy.mean()


def not_padded(images, samples):
    valid = torch.zeros_like(images[:, 0], dtype=torch.bool)
    for mask, sample in zip(valid, samples):
        mask[: sample.img_shape[0], : sample.img_shape[1]] = True
    return valid


@pytest.mark.parametrize('kind', ['ema', 'self'])
@pytest.mark.parametrize('soft', [True, False])
def test_gradients_are_those_of_a_loop_written_by_hand(
    cfg, pictures, kind, soft
):
    without_chance(cfg)
    certain(cfg)
    cfg.model.decode_head.loss_decode = dict(type='CrossEntropyLoss')
    threshold, momentum = THRESHOLD, 0.6
    record, steps = learn(
        cfg,
        pictures,
        teacher=kind,
        momentum=momentum,
        threshold=threshold,
        soft=soft,
        label_weight=0.7,
        loss_weight=0.3,
        **PLAIN,
    )
    student, master = build(cfg.model).train(), build(cfg.model).eval()
    for model in (student, master):
        model.load_state_dict(record.start)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    for t, batch in enumerate(record.batches):
        optimizer.zero_grad()
        data = student.data_preprocessor(batch, training=True)
        label = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
        main, aux = forward(student, data['inputs'])
        supervised = stock_entropy(main, label)
        supervised = supervised + 0.4 * stock_entropy(aux, label)

        if kind == 'self':
            master.load_state_dict(student.state_dict())
        with torch.no_grad():
            known = forward(master, steps.images[t])[0]
        valid = not_padded(steps.images[t], steps.samples[t])
        keep = valid & (known.softmax(1).max(1).values >= threshold)
        share = keep.sum() / valid.sum()
        assert 0 < share < 1
        main, aux = forward(student, steps.images[t])
        ce, jml = by_hand(main, known, keep, soft)
        aux_ce, _ = by_hand(aux, known, keep, soft)
        unsupervised = share * (0.25 * ce + 0.75 * jml + 0.4 * aux_ce)

        (0.7 * supervised + 0.3 * unsupervised).backward()
        log = record.logs[t]
        assert log['pseudo_confident'] == pytest.approx(float(share))
        assert log['decode.loss_pseudo_jml_ce'] == pytest.approx(
            (0.3 * share * (0.25 * ce + 0.75 * jml)).item(), rel=1e-4
        )
        for name, parameter in student.named_parameters():
            torch.testing.assert_close(
                record.gradients[t][name],
                parameter.grad,
                **GRADIENTS,
            )
        optimizer.step()
        ratio = min(1 - 1 / (t + 1), momentum)
        for name, value in student.state_dict().items():
            average = master.state_dict()[name]
            if kind == 'ema' and value.is_floating_point():
                average.copy_(ratio * average + (1 - ratio) * value)
