"""``tools/train.py``, run as users run it."""

from __future__ import annotations

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

pytestmark = pytest.mark.filterwarnings('ignore')


def test_trains_a_stock_config(tiny, tmp_path, monkeypatch):
    run.here(monkeypatch, 'train.py', tiny, '--work-dir', tmp_path)
    steps = run.losses(tmp_path)
    assert [step['step'] for step in steps] == [1, 2, 3, 4]
    assert all('decode.loss_ce' in step for step in steps)
    assert (tmp_path / 'iter_4.pth').is_file()


def test_loss_is_replaced_in_the_main_head(tiny, tmp_path, monkeypatch):
    run.here(
        monkeypatch, 'train.py', tiny, '--loss', 'JaccardMetricLoss',
        '--work-dir', tmp_path,
    )  # fmt: skip
    for step in run.losses(tmp_path):
        assert step['decode.loss_jml'] > 0
        assert step['aux.loss_ce'] > 0
        assert 'decode.loss_ce' not in step
    assert run.trained_config(tmp_path).model.decode_head.loss_decode == dict(
        type='mmseg_jml.JaccardMetricLoss', use_sigmoid=False, loss_weight=1.0
    )
    (log,) = tmp_path.glob('*/*.log')
    assert (
        'model.decode_head.loss_decode: JaccardMetricLoss instead of '
        'CrossEntropyLoss' in log.read_text()
    )


def test_options_of_the_loss_follow_it(tiny, tmp_path, monkeypatch):
    entry = 'model.decode_head.loss_decode'
    run.here(
        monkeypatch, 'train.py', tiny, '--loss', 'mmseg_jml.JaccardMetricLoss',
        '--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_iters=1',
        f'{entry}.loss_name=loss_smoothed', f'{entry}.loss_weight=0.0',
        f'{entry}.label_smoothing.mode=boundary',
        f'{entry}.label_smoothing.epsilon=0.4',
    )  # fmt: skip
    (step,) = run.losses(tmp_path)
    assert step['decode.loss_smoothed'] == 0
    smoothing = run.trained_config(tmp_path).model.decode_head.loss_decode
    assert smoothing.label_smoothing == dict(mode='boundary', epsilon=0.4)


def test_resume_goes_on_from_the_checkpoint(tiny, tmp_path, monkeypatch):
    options = ['--loss', 'JaccardMetricLoss', '--work-dir', tmp_path]
    run.here(
        monkeypatch, 'train.py', tiny, *options,
        '--cfg-options', 'train_cfg.max_iters=2',
    )  # fmt: skip
    run.here(monkeypatch, 'train.py', tiny, *options, '--resume')
    assert [step['step'] for step in run.losses(tmp_path)] == [1, 2, 3, 4]


def test_a_resumed_run_ends_as_the_unbroken_one(tiny, tmp_path, monkeypatch):
    def train(folder, *options):
        run.here(
            monkeypatch, 'train.py', tiny, '--work-dir', tmp_path / folder,
            '--cfg-options', 'randomness.seed=1', *options,
        )  # fmt: skip

    train('whole')
    train('parts', 'train_cfg.max_iters=2')
    train('parts', 'resume=True')
    load_checkpoint = CheckpointLoader.load_checkpoint
    whole, parts = (
        load_checkpoint(str(tmp_path / name / 'iter_4.pth'))['state_dict']
        for name in ('whole', 'parts')
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize(
    ('change', 'added'),
    [
        (dict(), True),
        (dict(train_cfg=dict(type='EpochBasedTrainLoop')), False),
        (dict(train_dataloader=dict(batch_sampler=dict())), False),
        (dict(custom_hooks=[dict(type='ExactResumeHook')]), False),
    ],
)
def test_runs_resume_exactly_where_iterations_are_counted(change, added):
    cfg = Config(
        dict(
            train_cfg=dict(type='IterBasedTrainLoop'),
            train_dataloader=dict(sampler=dict(type='InfiniteSampler')),
            custom_hooks=[dict(type='EMAHook')],
        )
        | change
    )
    before = list(cfg.custom_hooks)
    cli.resume_exactly(cfg)
    hook = dict(type='mmseg_jml.ExactResumeHook')
    assert cfg.custom_hooks == before + [hook] * added


@pytest.mark.parametrize('options', [[], ['--full-resolution']])
def test_own_losses_are_computed_at_the_heads_resolution(
    tiny, tmp_path, monkeypatch, options
):
    run.here(
        monkeypatch, 'train.py', tiny, '--loss', 'JaccardMetricCELoss',
        '--work-dir', tmp_path, *options,
        '--cfg-options', 'train_cfg.max_iters=1',
    )  # fmt: skip
    hooks = run.trained_config(tmp_path).custom_hooks
    added = dict(type='mmseg_jml.HeadResolutionHook') in hooks
    (step,) = run.losses(tmp_path)
    (log,) = tmp_path.glob('*/*.log')
    said = (
        "decode (FCNHead): losses at the head's resolution" in log.read_text()
    )
    assert added == said == ('decode.jml' in step) == (not options)


@pytest.mark.parametrize(
    ('entry', 'hooks', 'number'),
    [
        (dict(type='JaccardMetricLoss'), [], 1),
        ([dict(type='DiceLoss'), dict(type=JaccardMetricLoss)], [], 1),
        (dict(type='CrossEntropyLoss'), [], 0),
        (
            dict(type='mmseg_jml.JaccardMetricLoss'),
            [dict(type=HeadResolutionHook)],
            1,
        ),
    ],
)
def test_the_hook_is_added_once_where_a_loss_is_ours(entry, hooks, number):
    model = dict(
        decode_head=dict(type='FCNHead', loss_decode=dict(type='DiceLoss')),
        auxiliary_head=[dict(type='FCNHead', loss_decode=entry)],
    )
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
    run.here(
        monkeypatch, 'train.py', tiny,
        '--cfg-options', 'train_cfg.max_iters=2',
    )  # fmt: skip
    assert (tmp_path / 'work_dirs/tiny/iter_2.pth').is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.py'], 'no such file: nowhere.py'),
        (
            [CONFIGS / 'vpd/vpd_sd_4xb8-25k_nyu-480x480.py'],
            '--loss JaccardMetricLoss: Expected a cross-entropy over pixels '
            '(CrossEntropyLoss or OhemCrossEntropy) in model.decode_head but '
            'got VPDDepthHead, which regresses depth.',
        ),
    ],
)
def test_refusal(arguments, message, monkeypatch, capsys):
    with pytest.raises(SystemExit) as exit_:
        run.here(
            monkeypatch, 'train.py', *arguments, '--loss', 'JaccardMetricLoss'
        )
    assert message in f'{exit_.value} {capsys.readouterr().err}'


def test_config_by_the_name_of_its_package(tmp_path):
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
    options = ['--loss', 'JaccardMetricCELoss', '--cfg-options']
    options += ['train_cfg.max_iters=1', 'default_hooks.checkpoint=None']
    shown = {}
    for verbose in ('', '--verbose'):
        folder = tmp_path / f'run{verbose}'
        words = ['python', run.ROOT / 'tools/train.py', tiny, *options]
        done = run.apart(
            *words, '--work-dir', folder, *filter(None, [verbose]),
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = (done.stderr + done.stdout).splitlines()
        (first,) = (i for i, line in enumerate(lines) if '(train) [1]' in line)
        assert 'eta: ' in lines[first]
        shown[verbose] = lines[:first]
        (log,) = folder.glob('*/*.log')
        text = log.read_text()
        for part in ('System environment:', 'Config:', 'Hooks will be exec'):
            assert part in text
            assert (part in done.stdout) == bool(verbose)
    assert len(shown['']) <= 40 < len(shown['--verbose'])
    assert 'Could not import OneDL' not in shown['']


@pytest.mark.parametrize('options', [[], ['--no-check']])
def test_wrong_configs_are_refused_unless_one_insists(
    tiny, monkeypatch, capsys, options
):
    built = []
    monkeypatch.setattr(cli, 'build_runner', lambda *args: built.append(args))
    with pytest.raises((SystemExit, AttributeError)) as stopped:
        run.here(
            monkeypatch, 'train.py', tiny, *options, '--cfg-options',
            'model.decode_head.num_classes=5',
            'train_dataloader.dataset.data_prefix.img_path=imagse',
        )  # fmt: skip
    told = capsys.readouterr().err
    if options:
        assert built
        return
    assert 'Nothing was trained. --no-check trains all' in stopped.value.code
    assert 'train: it cannot be built: data_prefix.img_path of Base' in told
    assert 'val: decode_head has num_classes=5 but the data has 3' in told
    assert not built


def test_other_processes_leave_the_check_to_the_first(monkeypatch):
    monkeypatch.setenv('RANK', '1')
    cli.check(None)


def test_unknown_loss_names_the_known_ones(tiny, monkeypatch):
    message = (
        'Expected the loss to be one of .*JaccardMetricLoss.* but got '
        "'DiceLoss'"
    )
    with pytest.raises(SystemExit, match=message):
        run.here(monkeypatch, 'train.py', tiny, '--loss', 'DiceLoss')
    with pytest.raises(SystemExit, match='Did you mean JaccardMetricCELoss?'):
        run.here(monkeypatch, 'train.py', tiny, '--loss', 'JaccardMetricCE')


@pytest.fixture(scope='module')
def use_amp():
    return runpy.run_path(str(run.ROOT / 'tools/train.py'))['use_amp']


def test_amp_keeps_the_optimizer(use_amp):
    cfg = dict(optim_wrapper=dict(type='OptimWrapper', optimizer='any'))
    use_amp(cfg)
    expected = dict(
        type='AmpOptimWrapper', optimizer='any', loss_scale='dynamic'
    )
    assert cfg['optim_wrapper'] == expected
    use_amp(cfg)
    assert cfg['optim_wrapper'] == expected


def test_amp_refuses_another_wrapper(use_amp):
    cfg = dict(optim_wrapper=dict(type='ApexOptimWrapper'))
    with pytest.raises(ValueError, match='but got ApexOptimWrapper'):
        use_amp(cfg)
