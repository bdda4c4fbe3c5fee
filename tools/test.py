"""Test a segmentor: ``python tools/test.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import sys
from inspect import signature
from typing import TYPE_CHECKING

from mmseg_jml import cli

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Test a segmentor.')
    cli.add_options(parser)
    parser.add_argument('checkpoint', help='path or URL of the checkpoint')
    parser.add_argument('--out', help='folder for the predicted label maps')
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window'
    )
    parser.add_argument(
        '--show-dir',
        help='folder for images with the predictions drawn over them',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds between two images of --show; default: 2',
    )
    parser.add_argument(
        '--tta', action='store_true', help='use test-time augmentation'
    )
    return parser.parse_args()


def paint(cfg: Config, args: argparse.Namespace) -> None:
    """Turn the visualization hook on, or exit if the config has none."""
    hook = cfg.default_hooks.get('visualization')
    if hook is None:
        sys.exit(
            'Expected default_hooks.visualization in the config for --show '
            'and --show-dir but got none; add '
            "visualization=dict(type='SegVisualizationHook')."
        )
    hook.draw = True
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        cfg.visualizer.save_dir = args.show_dir


def augment(cfg: Config) -> None:
    """Use test-time augmentation, or exit if the config has none."""
    missing = {'tta_model', 'tta_pipeline'} - cfg.keys()
    if missing:
        sys.exit(
            'Expected tta_model and tta_pipeline in the config for --tta but '
            f'got no {" and no ".join(sorted(missing))}; configs/_base_ of '
            'mmseg has examples of both.'
        )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model


def write_maps(cfg: Config, folder: str) -> None:
    """Let the metrics that write label maps do so, or exit without one."""
    from mmseg.registry import METRICS

    entries = cfg.test_evaluator
    entries = [entries] if isinstance(entries, dict) else entries
    kinds = [entry['type'] for entry in entries]
    classes = [METRICS.get(k) if isinstance(k, str) else k for k in kinds]
    writers = [
        entry
        for entry, cls in zip(entries, classes)
        if cls is not None and 'output_dir' in signature(cls).parameters
    ]
    if not writers:
        sys.exit(
            'Expected a metric in test_evaluator that writes label maps for '
            f'--out, such as IoUMetric, but got {", ".join(map(str, kinds))}.'
        )
    for entry in writers:
        entry.update(output_dir=folder, keep_results=True)


def main() -> None:
    """Test what the command line names."""
    args = parse_args()
    cfg = cli.load_config(args)
    cli.apply_options(cfg, args)
    cfg.load_from = args.checkpoint
    if not args.full_resolution:
        cli.use_head_resolution(cfg, in_test=True)
    if args.show or args.show_dir:
        paint(cfg, args)
    if args.tta:
        augment(cfg)
    if args.out:
        write_maps(cfg, args.out)
    cli.build_runner(cfg, args.verbose).test()


if __name__ == '__main__':
    main()
