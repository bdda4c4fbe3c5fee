"""Fits the temperature of a segmentor: ``calibrate.py CONFIG CHECKPOINT``.

Logits divided by the temperature predict the same classes with the confidence
that fits the validation set best. Two passes over that set: one to fit, one
to measure what came of it.
"""

import argparse

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner
from prettytable import PrettyTable

from mmseg_jml import cli
from mmseg_jml.functional.pixel_chunks import KINDS

FIGURES = ('ECED', 'ECEI', 'SCED', 'SCEI', 'NLL', 'Brier')


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description='Fit a temperature on the validation set.'
    )
    cli.add_options(parser)
    parser.add_argument('checkpoint', help='path or URL of the checkpoint')
    parser.add_argument(
        '--scores',
        choices=KINDS,
        help='what the model predicts, if not logits of a softmax; heads '
        'with one channel need nothing',
    )
    parser.add_argument(
        '--num-bins', type=int, default=10, help='bins; default: 10'
    )
    return parser.parse_args()


def on_validation_set(cfg: Config, *evaluators: dict) -> None:
    """Lets the test loop see the validation set, which others tune on.

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


def again(runner: Runner, *evaluators: dict) -> dict[str, float]:
    """Runs over the same images once more, with other evaluators."""
    loop = runner.test_loop
    loop.evaluator = runner.build_evaluator(list(evaluators))
    loop.evaluator.dataset_meta = loop.dataloader.dataset.metainfo
    return loop.run()


def table(rows: dict[str, dict[str, float]]) -> str:
    """Figures before and after."""
    lines = PrettyTable(('', *FIGURES))
    for name, figures in rows.items():
        cells = (f'{figures[f"{name}/{key}"]:.4f}' for key in FIGURES)
        lines.add_row((name, *cells))
    return lines.get_string()


def main() -> None:
    """Fits and reports."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
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
    runner = cli.build_runner(cfg)
    before = runner.test()
    temperature = before['temperature']
    after = again(
        runner, dict(metric, prefix='after', temperature=temperature)
    )
    print_log(
        f'temperature {temperature:.4f}\n'
        + table(dict(before=before, after=after)),
        logger='current',
    )


if __name__ == '__main__':
    main()
