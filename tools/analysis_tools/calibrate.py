"""Fit the temperature of a segmentor: ``calibrate.py CONFIG CHECKPOINT``.

Logits divided by the temperature predict the same classes, with the confidence
that fits the validation set best. The tool makes two passes over that set: one
to fit the temperature, one to measure its effect.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmseg_jml import cli

if TYPE_CHECKING:
    from mmengine.config import Config

MEASURES = ('ECED', 'ECEI', 'SCED', 'SCEI', 'NLL', 'Brier')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Fit a temperature on the validation set.'
    )
    cli.add_options(parser)
    parser.add_argument('checkpoint', help='path or URL of the checkpoint')
    parser.add_argument(
        '--scores',
        choices=('logits', 'sigmoid', 'probabilities'),
        help='what the model predicts, if not logits of a softmax; not '
        'needed for heads with one channel',
    )
    parser.add_argument(
        '--num-bins', type=int, default=10, help='default: %(default)s'
    )
    return parser.parse_args()


def on_validation_set(cfg: Config, *evaluators: dict) -> None:
    """Let the test loop run over the validation set.

    Raises:
        ValueError: If the config has no validation set.
    """
    if cfg.get('val_dataloader') is None:
        raise ValueError(
            'Expected val_dataloader in the config, to fit the temperature '
            'on, but got none.'
        )
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_cfg = dict(type='TestLoop')
    cfg.test_evaluator = list(evaluators)


def table(rows: dict[str, dict[str, float]]) -> str:
    """Tabulate the figures before and after."""
    from prettytable import PrettyTable

    lines = PrettyTable(('', *MEASURES))
    for name, values in rows.items():
        cells = (f'{values[f"{name}/{key}"]:.4f}' for key in MEASURES)
        lines.add_row((name, *cells))
    return lines.get_string()


def main() -> None:
    """Fit and report."""
    from mmengine.logging import print_log

    args = parse_args()
    cfg = cli.load_config(args)
    cli.apply_options(cfg, args)
    cfg.load_from = args.checkpoint
    metric = dict(
        type='mmseg_jml.CalibrationMetric',
        scores=args.scores,
        num_bins=args.num_bins,
        plot=True,
    )
    fit = dict(type='mmseg_jml.TemperatureMetric', scores=args.scores)
    on_validation_set(cfg, dict(metric, prefix='before'), fit)
    runner = cli.build_runner(cfg, args.verbose)
    before = runner.test()
    temperature = before['temperature']
    metric.update(prefix='after', temperature=temperature)
    after = cli.evaluate_again(runner, metric)
    print_log(
        f'temperature {temperature:.4f}\n'
        + table(dict(before=before, after=after)),
        logger='current',
    )


if __name__ == '__main__':
    main()
