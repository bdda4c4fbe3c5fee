"""A stock student learns from images without labels, as sums by hand do."""

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS

from mmseg_jml.hooks import pseudo_label_hook as module
from tests.tolerances import GRADIENTS, LOGGED, TWO_WAYS

from . import runs, semi


def test_terms_are_logged_by_name_and_summed(cfg, pictures):
    log = semi.learn(cfg, pictures)[0].logs[0]
    assert runs.assert_summed(log) == {
        'decode.loss_jml_ce',
        'decode.loss_pseudo_jml_ce',
        'aux.loss_ce',
        'aux.loss_pseudo_ce',
    }
    assert 'pseudo_mIoU' not in log  # these images have no labels


def test_images_are_those_of_the_files(cfg, pictures):
    """Read, normalised and padded by hand."""
    cfg.model.data_preprocessor.size = (56, 60)
    cfg.train_dataloader.dataset.pipeline[2:3] = []
    cfg.train_dataloader.dataset.pipeline[2].crop_size = (56, 60)
    loader = semi.unlabeled(pictures, runs.LOAD[0], runs.PACK, batch_size=3)
    record, steps = semi.learn(cfg, loader, threshold=0.0, **semi.PLAIN)
    assert steps.images[0].shape == (3, 3, 56, 60)
    for image, sample in zip(steps.images[0].cpu(), steps.samples[0]):
        expected = semi.read_image(sample.img_path)[0]
        assert torch.equal(image[:, :48, :48], expected)
        assert not image[:, 48:].any()
        assert not image[:, :, 48:].any()
    assert record.logs[0]['pseudo_confident'] == 1  # of the valid pixels
    paths = [s.img_path for part in steps.samples for s in part]
    assert len(set(paths[:7])) == 7  # each image once before any again


def test_ramp_up(cfg, pictures):
    ramp = dict(type='linear', start=0.0, stop=1.0, end=2)
    options = dict(loss_weight=ramp, threshold=0.0, **semi.PLAIN)
    record, _ = semi.learn(cfg, pictures, **options)
    term = 'decode.loss_pseudo_jml_ce'
    assert term not in record.logs[0]
    assert 'pseudo_confident' not in record.logs[0]
    assert record.logs[1][term] > 0
    assert record.scalars('loss_weight') == [0, 0.5, 1]


@pytest.mark.parametrize('update_statistics', [True, False])
def test_gradients_of_labels_are_those_of_a_run_without_the_hook(
    cfg, pictures, update_statistics
):
    """Nothing is confident, so that no others are added to them."""
    plain = runs.train(cfg)
    options = dict(threshold=1.0, update_statistics=update_statistics)
    silent, _ = semi.learn(cfg, pictures, label_weight=1.0, **options)
    assert silent.logs[0]['pseudo_confident'] == 0
    assert silent.logs[0]['decode.loss_pseudo_jml_ce'] == 0
    for own, other in zip(plain.gradients, silent.gradients):
        runs.assert_same(own, other)
    one, two = plain.model.state_dict(), silent.model.state_dict()
    differ = {name for name in one if not torch.equal(one[name], two[name])}
    statistics = {n for n in one if 'running_' in n or 'num_batches' in n}
    own = {n for n in statistics if n.startswith('backbone')}
    assert differ == (own if update_statistics else set())
    name = next(n for n in statistics if 'num_batches' in n)
    assert two[name] == (6 if update_statistics else 3)


@pytest.mark.filterwarnings('ignore:.*use_reentrant:UserWarning')
@pytest.mark.filterwarnings('ignore:None of the inputs have req:UserWarning')
@pytest.mark.parametrize('checkpointing', ['with_cp', 'mmengine'])
def test_statistics_are_kept_where_blocks_are_computed_again(
    cfg, pictures, checkpointing
):
    """The pass of labels updates them twice then, as without the hook."""
    if checkpointing == 'with_cp':
        cfg.model.backbone.with_cp = True
    else:
        cfg.activation_checkpointing = ['backbone.encoder.1']
    plain = runs.train(cfg).model.state_dict()
    options = dict(threshold=1.0, update_statistics=False)
    silent, _ = semi.learn(cfg, pictures, label_weight=1.0, **options)
    assert max(v for k, v in plain.items() if 'num_batches' in k) == 6
    runs.assert_same(plain, silent.model.state_dict())


def labels_by_hand(student, batch) -> torch.Tensor:
    """mmseg's cross-entropies of both heads, which divide by all pixels."""
    inputs, label = runs.prepared(student, batch)
    main, aux = (
        F.cross_entropy(x, label, ignore_index=255, reduction='none').mean()
        for x in runs.forward(student, inputs)
    )
    return main + 0.4 * aux


@pytest.mark.parametrize('kind', ['ema', 'self'])
@pytest.mark.parametrize('soft', [True, False])
def test_gradients_are_those_of_a_loop_written_by_hand(
    cfg, pictures, kind, soft
):
    runs.without_chance(cfg)
    semi.certain(cfg)
    cfg.model.decode_head.loss_decode = dict(type='CrossEntropyLoss')
    options = dict(teacher=kind, threshold=semi.THRESHOLD, momentum=0.6)
    options.update(label_weight=0.7, loss_weight=0.3, soft=soft, **semi.PLAIN)
    record, steps = semi.learn(cfg, pictures, **options)
    student, master = runs.started(cfg, record), runs.started(cfg, record)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    for t, batch in enumerate(record.batches):
        optimizer.zero_grad()
        supervised = labels_by_hand(student, batch)
        if kind == 'self':
            master.load_state_dict(student.state_dict())
        images = steps.images[t]
        known = runs.answer(master, images)
        valid = semi.not_padded(images, steps.samples[t])
        keep = valid & (known.softmax(1).max(1).values >= semi.THRESHOLD)
        share = keep.sum() / valid.sum()
        assert 0 < share < 1
        main, aux = runs.forward(student, images)
        ce, jml = semi.by_hand(main, known, keep, soft)
        aux_ce, _ = semi.by_hand(aux, known, keep, soft)
        term = 0.3 * share * (0.25 * ce + 0.75 * jml)
        (0.7 * supervised + term + 0.3 * share * 0.4 * aux_ce).backward()
        log = record.logs[t]
        assert log['pseudo_confident'] == pytest.approx(float(share))
        found = log['decode.loss_pseudo_jml_ce']
        assert found == pytest.approx(term.item(), rel=TWO_WAYS)
        runs.assert_gradients(record.gradients[t], student, **GRADIENTS)
        optimizer.step()
        ratio = min(1 - 1 / (t + 1), 0.6)
        for name, value in student.state_dict().items():
            average = master.state_dict()[name]
            if kind == 'ema' and value.is_floating_point():
                average.copy_(ratio * average + (1 - ratio) * value)


@pytest.mark.parametrize('first', ['pseudo', 'kd'])
def test_distillation_and_average(cfg, teacher, pictures, first):
    semi.certain(cfg)
    kd = runs.distil(teacher, label_weight=1.0)
    pseudo = semi.pseudo(pictures, threshold=semi.THRESHOLD)
    alone = runs.train(cfg, kd).logs[0]
    pseudo_alone = runs.train(cfg, pseudo).logs[0]
    hooks = (pseudo, kd) if first == 'pseudo' else (kd, pseudo)
    record = runs.train(cfg, *hooks, dict(type='EMAHook'))
    log = record.logs[0]
    del pseudo_alone['loss']  # which lacks the teacher's terms
    distilled = {k: v for k, v in alone.items() if 'loss_kd' in k}
    assert log == log | distilled | pseudo_alone
    assert len(runs.assert_summed(log)) == 6
    checkpoint = runs.load(f'{cfg.work_dir}/iter_3.pth')
    states = [
        checkpoint['state_dict'],  # EMAHook puts its average here
        checkpoint['ema_state_dict'],
        checkpoint['pseudo_label_teacher'],
    ]
    biases = [
        next(v for k, v in state.items() if k.endswith('head.conv_seg.bias'))
        for state in states
    ]
    for one, two in itertools.combinations(biases, 2):
        assert not torch.equal(one, two)
    assert not record.model._forward_hooks


@pytest.mark.parametrize('kind', ['ema', 'self'])
def test_teacher_runs_in_the_precision_of_the_student(
    cfg, pictures, monkeypatch, kind
):
    def keep(teacher, inputs, *args):
        found.append((inputs, label(teacher, inputs, *args)))
        return found[-1][1]

    found, label = [], module.label_views
    monkeypatch.setattr(module, 'label_views', keep)
    semi.certain(cfg)
    options = dict(teacher=kind, threshold=semi.THRESHOLD)
    exact, _ = semi.learn(cfg, pictures, **options)
    runs.set_up(cfg, 'AMP')
    half, _ = semi.learn(cfg, pictures, **options)
    logits, rough = found[0][1].logits, found[3][1].logits
    assert torch.equal(found[0][0], found[3][0])
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, logits)
    assert (rough - logits).abs().mean() < 0.05
    for g in half.gradients:
        assert all(value.isfinite().all() for value in g.values())
    # a cast that was cached without gradient would leave zeros
    for name, g in half.gradients[0].items():
        one, two = g.flatten(), exact.gradients[0][name].flatten()
        assert torch.cosine_similarity(one, two, 0) > 0.9, name


TEACHER = 'pseudo_label_teacher'
WEIGHT = 'decode_head.conv_seg.weight'


def averaged(states, ratios) -> dict:
    """An exponential average of weights and statistics."""
    expected = {k: v for k, v in states[0].items() if v.is_floating_point()}
    for state, ratio in zip(states, ratios):
        for name, average in expected.items():
            expected[name] = ratio * average + (1 - ratio) * state[name]
    return expected


def assert_average(found: dict, expected: dict) -> None:
    assert any('running_var' in name for name in expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].cpu(), value.cpu())


def test_teacher_is_the_average_of_weights_and_statistics(cfg, pictures):
    cfg.train_cfg.max_iters = 5
    cfg.default_hooks.checkpoint.interval = 5
    _, steps = semi.learn(cfg, pictures, momentum=0.6)
    saved = runs.load(f'{cfg.work_dir}/iter_5.pth')[TEACHER]
    assert saved.pop('steps') == 5
    assert saved.keys() == {f'module.{name}' for name in steps.states[0]}
    saved = {k.removeprefix('module.'): v for k, v in saved.items()}
    ratios = (0, 0.5, 0.6, 0.6, 0.6)
    assert_average(saved, averaged(steps.states, ratios))


def test_steps_are_those_of_the_optimizer(cfg, pictures):
    """Four batches make a step, and the last three make another."""
    cfg.train_cfg.max_iters = 7
    cfg.default_hooks.checkpoint.interval = 7
    cfg.optim_wrapper.accumulative_counts = 4
    _, steps = semi.learn(cfg, pictures, momentum=0.6)
    saved = runs.load(f'{cfg.work_dir}/iter_7.pth')[TEACHER]
    assert saved['steps'] == 2
    first, second = (steps.states[t][WEIGHT] for t in (3, 6))
    assert not torch.equal(first, second)
    # it keeps nothing of the untrained student, then a half of itself
    torch.testing.assert_close(steps.teachers[5][WEIGHT], first)
    torch.testing.assert_close(saved[f'module.{WEIGHT}'], (first + second) / 2)


def test_steps_count_where_optimizers_run_no_hooks(cfg, pictures, monkeypatch):
    """As in torch 2.1, once anything was compiled in the process."""

    @torch.no_grad()
    def step(optimizer, closure=None):
        for group in optimizer.param_groups:
            for parameter in group['params']:
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad

    step.hooked = True
    monkeypatch.setattr(torch.optim.SGD, 'step', step)
    cfg.optim_wrapper.accumulative_counts = 2
    _, steps = semi.learn(cfg, pictures)
    number = len(steps.states)
    saved = runs.load(f'{cfg.work_dir}/iter_{number}.pth')[TEACHER]
    assert saved['steps'] == (number + 1) // 2


@OPTIM_WRAPPERS.register_module()
class OverflowWrapper(OptimWrapper):
    """Scales losses as AMP does; the gradients of step 1 are infinite."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self._scaler = torch.amp.GradScaler(get_device(), init_scale=1.0)

    def backward(self, loss, **options):
        loss = loss * (float('inf') if self._inner_count == 1 else 1.0)
        self._scaler.scale(loss).backward(**options)
        self._inner_count += 1

    def step(self, **options):
        self._scaler.step(self.optimizer, **options)
        self._scaler.update()


@pytest.mark.skipif(
    not hasattr(torch.amp, 'GradScaler'), reason='scales on a GPU alone'
)
def test_steps_that_amp_skips_do_not_count(cfg, pictures):
    cfg.optim_wrapper.type = 'OverflowWrapper'
    _, steps = semi.learn(cfg, pictures, momentum=0.9)
    first, skipped, last = (state[WEIGHT] for state in steps.states)
    assert torch.equal(first, skipped)
    assert not torch.equal(first, last)
    assert runs.load(f'{cfg.work_dir}/iter_3.pth')[TEACHER]['steps'] == 2
    runs.assert_same(steps.teachers[0], steps.teachers[1])
    torch.testing.assert_close(steps.teachers[2][WEIGHT], (first + last) / 2)


def frozen(paths: dict) -> dict:
    return dict(config=paths['teacher'], checkpoint=paths['checkpoint'])


def test_frozen_teacher_labels_as_its_own_config_says(cfg, pictures, tmp_path):
    """Another architecture, other colours; it is in no checkpoint."""
    model = runs.wider(cfg.model, **runs.OTHER_COLOURS)
    paths = runs.write_teacher(tmp_path, model)
    options = dict(soft=False, threshold=semi.THRESHOLD, **semi.PLAIN)
    _, steps = semi.learn(cfg, pictures, teacher=frozen(paths), **options)
    master = runs.read_teacher(paths)
    for t, images in enumerate(steps.images):
        known = runs.answer(master, runs.other_colours(images)).softmax(1)
        confidence, label = known.max(1)
        valid = semi.not_padded(images, steps.samples[t])
        target = steps.found[t].targets['decode']
        keep = valid & (confidence >= semi.THRESHOLD)
        assert 0 < keep.sum() < keep.numel()
        assert torch.equal(target.weight > 0, keep)
        assert torch.equal(target.target.label[keep], label[keep])
    saved = runs.load(f'{cfg.work_dir}/iter_3.pth')
    assert not [key for key in saved if key.startswith('pseudo_label')]


def test_frozen_teacher_of_other_classes(cfg, pictures, tmp_path):
    paths = runs.write_teacher(tmp_path, cfg.model, classes=('a', 'b', 'c'))
    hook = semi.pseudo(pictures, teacher=frozen(paths))
    runs.refuse(cfg, 'got one of a, b, c.*check_classes', hook)
    assert runs.train(cfg, dict(hook, check_classes=False)).logs


@pytest.mark.parametrize('kind', ['ema', 'self'])
def test_warm_up_learns_from_labels_alone(cfg, pictures, kind):
    """As a run whose pseudo labels do not count, bit by bit."""
    cfg.train_cfg.max_iters = 5
    options = dict(teacher=kind, momentum=0.6, threshold=0.0)
    warm, steps = semi.learn(cfg, pictures, warm_up=3, **options)
    plain, silent = semi.learn(cfg, pictures, loss_weight=0.0, **options)
    assert warm.logs[:3] == plain.logs[:3]
    for one, two in zip(steps.states[:3], silent.states):
        runs.assert_same(one, two)
    terms = ['decode.loss_pseudo_jml_ce' in log for log in warm.logs]
    assert terms == [False, False, False, True, True]
    assert len(steps.images) == 2
    if kind == 'self':
        return
    for one, two in zip(steps.states[:3], steps.teachers):
        runs.assert_same(one, two)
    learned = steps.states[2:]
    for t, ratios in ((3, (0, 0.5)), (4, (0, 0.5, 0.6))):
        assert_average(steps.teachers[t], averaged(learned, ratios))


def test_threshold_follows_the_confidence_of_classes(cfg, pictures):
    """The first step against a loop over classes."""
    semi.certain(cfg)
    start, momentum = semi.THRESHOLD, 0.5
    adaptive = dict(type='adaptive', start=start, momentum=momentum)
    record, steps = semi.learn(cfg, pictures, threshold=adaptive)
    known = runs.answer(runs.started(cfg, record), steps.images[0]).softmax(1)
    confidence, label = known.max(1)
    valid = semi.not_padded(steps.images[0], steps.samples[0])
    highest = [
        confidence[valid & (label == c)].max().item()
        for c in range(3)
        if (valid & (label == c)).any()
    ]
    expected = momentum * start + (1 - momentum) * sum(highest) / len(highest)
    log = record.logs[0]
    assert log['pseudo_threshold'] == pytest.approx(expected, rel=LOGGED)
    share = (valid & (confidence >= expected)).sum() / valid.sum()
    assert log['pseudo_confident'] == pytest.approx(float(share), rel=LOGGED)
    logged = [log['pseudo_threshold'] for log in record.logs]
    assert len({*logged}) == 3
    saved = runs.load(f'{cfg.work_dir}/iter_3.pth')['pseudo_label_threshold']
    assert float(saved) == logged[-1]


def test_accuracy_is_that_of_the_confident_pixels(cfg):
    semi.certain(cfg)
    options = dict(threshold=semi.THRESHOLD)
    record, steps = semi.learn(cfg, semi.labelled(cfg), **options)
    known = runs.answer(runs.started(cfg, record), steps.images[0]).softmax(1)
    confidence, label = known.max(1)
    truth = torch.cat([s.gt_sem_seg.data for s in steps.samples[0]])
    keep = (confidence >= semi.THRESHOLD) & (truth < 3)
    expected = 100 * (label == truth)[keep].float().mean().item()
    assert record.logs[0]['pseudo_accuracy'] == pytest.approx(expected)
