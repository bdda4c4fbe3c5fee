"""The options that the command-line tools share, and what they do.

torch, mmseg and mmengine's runner take seconds to import. Functions that need
them import them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config, DictAction

from .imports import config_path

if TYPE_CHECKING:
    from mmengine.runner import Runner

__all__ = [
    'add_config_options',
    'add_options',
    'apply_options',
    'build_runner',
    'check',
    'config_file',
    'evaluate_again',
    'load_config',
    'resume_exactly',
    'resume_latest',
    'use_head_resolution',
]


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the config file and ``--cfg-options``."""
    parser.add_argument(
        'config',
        type=config_file,
        help='path of the config file, or mmseg:: and a path below the '
        'configs of mmseg',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='change entries of the config, for example '
        'train_dataloader.batch_size=4 or '
        'model.decode_head.1.loss_decode.loss_weight=0.5; '
        'lists as KEY="[a,b]", without blanks',
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing have in common."""
    add_config_options(parser)
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints; default: '
        'work_dir of the config, else ./work_dirs/NAME_OF_CONFIG',
    )
    parser.add_argument(
        '--full-resolution',
        action='store_true',
        help="resize logits to the label's size before losses, and to the "
        "image's before classes are predicted, as stock heads do",
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='show versions, the config and the list of hooks on the console, '
        'not only in the log file',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by torch.distributed.launch',
    )


def config_file(name: str) -> str:
    """Find the file that the command line names, or report its absence."""
    path = config_path(name)
    if path is None:
        package = name.partition('::')[0]
        raise argparse.ArgumentTypeError(f'no package {package}: {name}')
    if path.is_file():
        return str(path)
    names = [file.name for file in path.parent.glob('*.py')]
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f' (did you mean {near[0]}?)' if near else ''
    raise argparse.ArgumentTypeError(f'no such file: {name}{hint}')


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that the command line names, and fill the registries."""
    from .logs import without_onedl_notices

    with without_onedl_notices():
        import mmseg.models  # noqa: F401

        return Config.fromfile(args.config)


def apply_options(cfg: Config, args: argparse.Namespace) -> None:
    """Merge the options of :func:`add_options` into a config."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    # OneDL's mmengine unpickles whatever weights-only loading refuses, so
    # that a checkpoint from elsewhere could run code.
    os.environ.setdefault('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)


def check(cfg: Config) -> None:
    """Look for obstacles to training, and end the process if there are any.

    In distributed training the first process alone looks.
    """
    from .data_check import find_obstacles

    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) != '0':
        return
    problems = find_obstacles(cfg)
    if problems:
        print(*problems, sep='\n', file=sys.stderr)
        sys.exit('Nothing was trained. --no-check trains all the same.')


def resume_latest(cfg: Config, args: argparse.Namespace) -> None:
    """Go on from the latest checkpoint in the work directory.

    Where ``load_from`` is given, mmengine resumes that file. In a config,
    however, it usually names the weights that training starts from. It is
    therefore used only until the work directory has a checkpoint, unless it
    was given on the command line.
    """
    cfg.resume = True
    if cfg.get('load_from') and 'load_from' not in args.cfg_options:
        cfg.resume = Path(cfg.work_dir, 'last_checkpoint').is_file()
        if cfg.resume:
            cfg.load_from = None


def resume_exactly(cfg: Config) -> None:
    """Add :class:`mmseg_jml.hooks.ExactResumeHook` where it can work.

    It needs a loop that counts iterations and a data loader with a sampler,
    as every stock config has. A config that lists the hook stays as it is.
    """
    loop = cfg.get('train_cfg') or {}
    by_iter = loop.get('type') == 'IterBasedTrainLoop'
    sampler = (cfg.get('train_dataloader') or {}).get('sampler')
    if by_iter and isinstance(sampler, dict):
        _add_hook(cfg, 'ExactResumeHook')


def use_head_resolution(cfg: Config, in_test: bool = False) -> None:
    """Add :class:`mmseg_jml.hooks.HeadResolutionHook` where it helps.

    A config that lists the hook stays as it is.

    Args:
        cfg (Config): The config; changed in place.
        in_test (bool): Whether the config is tested. If it is trained, a head
            must have a loss of this package. Defaults to False.
    """
    from .config import has_own_loss

    if in_test or has_own_loss(cfg):
        _add_hook(cfg, 'HeadResolutionHook')


def _add_hook(cfg: Config, name: str) -> None:
    hooks = list(cfg.get('custom_hooks') or ())
    if not any(name in str(hook) for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=f'mmseg_jml.{name}')]


def build_runner(cfg: Config, verbose: bool = False) -> Runner:
    """Build the runner, on CPUs if there is no accelerator.

    Args:
        cfg (Config): The config.
        verbose (bool): Whether the console shows versions, config and hooks
            too. Defaults to False.
    """
    from mmengine.device import get_device
    from mmengine.runner import Runner
    from mmseg.registry import RUNNERS

    from .logs import QuietRunner

    if cfg.launcher == 'pytorch' and get_device() == 'cpu':
        _distribute_on_cpu(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return (Runner if verbose else QuietRunner).from_cfg(cfg)


def evaluate_again(runner: Runner, evaluator: dict) -> dict[str, float]:
    """Run over the images of the test loop again, with another evaluator."""
    loop = runner.test_loop
    loop.evaluator = runner.build_evaluator([evaluator])
    loop.evaluator.dataset_meta = loop.dataloader.dataset.metainfo
    return loop.run()


def _distribute_on_cpu(cfg: Config) -> None:
    # mmengine would select a CUDA device before it looks at the backend, and
    # give it to the wrapper. It uses a process group and a wrapper config
    # that are there already.
    from torch.distributed import init_process_group

    init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
