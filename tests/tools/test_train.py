"""``tools/train.py``, run as users run it."""

import argparse
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_jml import cli
from mmseg_jml.hooks import HeadResolutionHook
from mmseg_jml.losses import JaccardMetricLoss
from tests.zoo.catalog import CONFIGS

from . import run

ENTRY = 'model.decode_head.loss_decode'
ONE_STEP = '--cfg-options train_cfg.max_iters=1'


@pytest.fixture
def train(tiny, tmp_path):
    """Trains the tiny config with options; returns the logged steps."""

    def train(options: str, folder: str = '.') -> list:
        work_dir = tmp_path / folder
        run.tool('train.py', tiny, '--work-dir', work_dir, options)
        return run.losses(work_dir)

    return train


def test_loss_is_replaced_in_the_main_head(train, tmp_path):
    for step in train('--loss JaccardMetricLoss'):
        assert step['decode.loss_jml'] > 0
        assert step['aux.loss_ce'] > 0
        assert 'decode.loss_ce' not in step
    assert run.trained_config(tmp_path).model.decode_head.loss_decode == dict(
        type='mmseg_jml.JaccardMetricLoss', use_sigmoid=False, loss_weight=1.0
    )
    told = f'{ENTRY}: JaccardMetricLoss instead of CrossEntropyLoss'
    assert told in run.log_of(tmp_path)


def test_options_of_the_loss_follow_it(train, tmp_path):
    (step,) = train(
        f'--loss mmseg_jml.JaccardMetricLoss {ONE_STEP} '
        f'{ENTRY}.loss_name=loss_smoothed {ENTRY}.loss_weight=0.0 '
        f'{ENTRY}.label_smoothing.mode=boundary '
        f'{ENTRY}.label_smoothing.epsilon=0.4'
    )
    assert step['decode.loss_smoothed'] == 0
    smoothing = run.trained_config(tmp_path).model.decode_head.loss_decode
    assert smoothing.label_smoothing == dict(mode='boundary', epsilon=0.4)


@pytest.mark.parametrize('resume', ['{} --resume', '{} resume=True'])
def test_a_resumed_run_ends_as_the_unbroken_one(train, tmp_path, resume):
    # runs of one second with one name would share a log
    named = '--cfg-options randomness.seed=1 experiment_name='
    steps = train(f'{named}whole', 'whole')
    assert all('decode.loss_ce' in step for step in steps)
    train(f'{named}first train_cfg.max_iters=2', 'parts')
    steps = train(resume.format(f'{named}second'), 'parts')
    assert [step['step'] for step in steps] == [1, 2, 3, 4]
    whole, parts = (
        CheckpointLoader.load_checkpoint(str(tmp_path / name / 'iter_4.pth'))
        for name in ('whole', 'parts')
    )
    one, two = whole['state_dict'], parts['state_dict']
    assert one.keys() == two.keys()
    assert all(map(torch.equal, one.values(), two.values()))


@pytest.mark.parametrize(
    ('key', 'value', 'added'),
    [
        ('work_dir', 'any', True),
        ('train_cfg', dict(type='EpochBasedTrainLoop'), False),
        ('train_dataloader', dict(batch_sampler=dict()), False),
        ('custom_hooks', [dict(type='ExactResumeHook')], False),
    ],
)
def test_runs_resume_exactly_where_iterations_are_counted(key, value, added):
    cfg = Config(dict(custom_hooks=[dict(type='EMAHook')]))
    cfg.train_cfg = dict(type='IterBasedTrainLoop')
    cfg.train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
    cfg[key] = value
    before = list(cfg.custom_hooks)
    cli.resume_exactly(cfg)
    hook = dict(type='mmseg_jml.ExactResumeHook')
    assert cfg.custom_hooks == before + [hook] * added


@pytest.mark.parametrize('option', ['', '--full-resolution'])
def test_own_losses_are_computed_at_the_heads_resolution(
    train, tmp_path, option
):
    (step,) = train(f'--loss JaccardMetricCELoss {option} {ONE_STEP}')
    hooks = run.trained_config(tmp_path).custom_hooks
    added = dict(type='mmseg_jml.HeadResolutionHook') in hooks
    told = "decode (FCNHead): losses at the head's resolution"
    said = told in run.log_of(tmp_path)
    assert added == said == ('decode.jml' in step) == (not option)


OURS, DICE = dict(type='JaccardMetricLoss'), dict(type='DiceLoss')
HOOK = dict(type=HeadResolutionHook)


@pytest.mark.parametrize(
    ('entry', 'hooks', 'number'),
    [
        (OURS, [], 1),
        ([DICE, dict(type=JaccardMetricLoss)], [], 1),
        (dict(type='CrossEntropyLoss'), [], 0),
        (dict(type='mmseg_jml.JaccardMetricLoss'), [HOOK], 1),
    ],
)
def test_the_hook_is_added_once_where_a_loss_is_ours(entry, hooks, number):
    head = dict(type='FCNHead', loss_decode=DICE)
    auxiliary = [dict(head, loss_decode=entry)]
    model = dict(decode_head=head, auxiliary_head=auxiliary)
    cfg = Config(dict(model=model, custom_hooks=hooks))
    cli.use_head_resolution(cfg)
    assert len(cfg.custom_hooks) == number
    assert all('HeadResolutionHook' in str(hook) for hook in cfg.custom_hooks)


@pytest.mark.parametrize('named', ['nowhere', 'config', 'command line'])
@pytest.mark.parametrize('has_checkpoint', [False, True])
def test_resumes_its_own_checkpoint_or_starts(tmp_path, named, has_checkpoint):
    """A file to start from is not one to go on from, unless one says so."""
    if has_checkpoint:
        (tmp_path / 'last_checkpoint').write_text('iter_1.pth')
    options = {} if named != 'command line' else dict(load_from='start.pth')
    start = None if named == 'nowhere' else 'start.pth'
    cfg = Config(dict(work_dir=str(tmp_path), load_from=start))
    cli.resume_latest(cfg, argparse.Namespace(cfg_options=options))
    if named == 'config':
        own = has_checkpoint, None if has_checkpoint else start
        assert (cfg.resume, cfg.load_from) == own
    else:
        assert (cfg.resume, cfg.load_from) == (True, start)


def test_default_work_dir_is_named_after_the_config(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run.tool('train.py', tiny, '--cfg-options train_cfg.max_iters=2')
    assert (tmp_path / 'work_dirs/tiny/iter_2.pth').is_file()


DEPTH = CONFIGS / 'vpd/vpd_sd_4xb8-25k_nyu-480x480.py'
NO_PIXEL_LOSS = (
    '--loss JaccardMetricLoss: Expected a cross-entropy over pixels '
    '(CrossEntropyLoss or OhemCrossEntropy) in model.decode_head but got '
    'VPDDepthHead, which regresses depth.'
)


@pytest.mark.parametrize(
    ('config', 'loss', 'message'),
    [
        ('nowhere.py', 'JaccardMetricLoss', 'no such file: nowhere.py'),
        (DEPTH, 'JaccardMetricLoss', NO_PIXEL_LOSS),
        (DEPTH, 'DiceLoss', 'Expected the loss to be one of '),
        (DEPTH, 'DiceLoss', "JaccardMetricLoss but got 'DiceLoss'"),
        (DEPTH, 'JaccardMetricCE', 'Did you mean JaccardMetricCELoss?'),
    ],
)
def test_refusal(config, loss, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run.tool('train.py', config, '--loss', loss)
    assert message in f'{stopped.value} {capsys.readouterr().err}'


def test_config_by_the_name_of_its_package():
    inner = 'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024'
    path = str(CONFIGS / f'{inner}.py')
    assert cli.config_file(f'mmseg::{inner}.py') == path
    assert cli.config_file(f'mmseg::{inner}') == path
    assert Path(cli.config_file('mmseg_jml::_base_/losses/jml.py')).is_file()
    for name, told in (
        (f'mmseg::{inner[:-2]}', r'did you mean .*512x1024\.py'),
        ('mmsegg::a.py', 'no package mmsegg'),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=told):
            cli.config_file(name)


def test_console_is_short_and_the_log_is_whole(tiny, tmp_path):
    options = ['--loss', 'JaccardMetricCELoss', *ONE_STEP.split()]
    options += ['default_hooks.checkpoint=None']
    shown = {}
    for verbose in ([], ['--verbose']):
        folder = tmp_path / f'run{len(verbose)}'
        words = [run.ROOT / 'tools/train.py', tiny, '--work-dir', folder]
        done = run.apart('python', *words, *verbose, *options)
        assert done.returncode == 0, done.stderr
        lines = (done.stderr + done.stdout).splitlines()
        (first,) = (i for i, line in enumerate(lines) if '(train) [1]' in line)
        assert 'eta: ' in lines[first]
        shown[len(verbose)] = lines[:first]
        for part in ('System environment:', 'Config:', 'Hooks will be exec'):
            assert part in run.log_of(folder)
            assert (part in done.stdout) == bool(verbose)
    assert len(shown[0]) <= 40 < len(shown[1])
    assert 'Could not import OneDL' not in shown[0]


@pytest.mark.parametrize('option', ['', '--no-check'])
def test_wrong_configs_are_refused_unless_one_insists(
    train, monkeypatch, capsys, option
):
    built = []
    monkeypatch.setattr(cli, 'build_runner', lambda *args: built.append(args))
    with pytest.raises((SystemExit, AttributeError)) as stopped:
        train(
            f'{option} --cfg-options model.decode_head.num_classes=5 '
            'train_dataloader.dataset.data_prefix.img_path=imagse'
        )
    assert bool(built) == bool(option)
    said = f'{stopped.value} {capsys.readouterr().err}'
    for told in (
        'Nothing was trained. --no-check trains all',
        'train: it cannot be built: data_prefix.img_path of Base',
        'val: decode_head has num_classes=5 but the data has 3',
    ):
        assert (told in said) == (not option)


def test_other_processes_leave_the_check_to_the_first(monkeypatch):
    monkeypatch.setenv('RANK', '1')
    cli.check(None)


def test_amp_keeps_the_optimizer_and_refuses_another_wrapper():
    use_amp = runpy.run_path(str(run.ROOT / 'tools/train.py'))['use_amp']
    cfg = dict(optim_wrapper=dict(type='OptimWrapper', optimizer='any'))
    for _ in range(2):
        use_amp(cfg)
        assert cfg['optim_wrapper'] == dict(
            type='AmpOptimWrapper', optimizer='any', loss_scale='dynamic'
        )
    cfg['optim_wrapper']['type'] = 'ApexOptimWrapper'
    with pytest.raises(SystemExit, match='but got ApexOptimWrapper'):
        use_amp(cfg)
