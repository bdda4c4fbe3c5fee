"""Train a segmentor.

``python tools/train.py CONFIG --loss JaccardMetricCELoss`` trains any config
of MMSegmentation with that loss in place of its pixel cross-entropy.
"""

import argparse
import sys

from mmseg_jml import cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a segmentor.')
    cli.add_options(parser)
    parser.add_argument(
        '--loss',
        metavar='NAME',
        help='JaccardMetricCELoss (with cross-entropy, the recipe of the '
        'paper), JaccardMetricLoss or another loss of this package for '
        'labels, in place of the pixel cross-entropy of the decode head, '
        'whatever the config; options of the loss can follow in '
        '--cfg-options',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the latest checkpoint in the work dir',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision'
    )
    parser.add_argument(
        '--no-check',
        action='store_true',
        help='train without a check for missing folders, wrong labels and '
        'misspelled names',
    )
    return parser.parse_args()


def use_amp(cfg: dict) -> None:
    """Turn on mixed precision, or exit if the wrapper is of another type."""
    wrapper = cfg['optim_wrapper']
    if wrapper['type'] == 'AmpOptimWrapper':
        return
    if wrapper['type'] != 'OptimWrapper':
        sys.exit(
            'Expected optim_wrapper.type to be OptimWrapper for '
            f'--amp but got {wrapper["type"]}.'
        )
    wrapper['type'] = 'AmpOptimWrapper'
    wrapper.setdefault('loss_scale', 'dynamic')


def main() -> None:
    """Train what the command line names."""
    args = parse_args()
    cfg = cli.load_config(args)
    replaced = {}
    if args.loss:
        from mmseg_jml.config import replace_pixel_loss

        try:
            replaced = replace_pixel_loss(cfg, args.loss)
        except ValueError as error:
            sys.exit(f'--loss {args.loss}: {error}')
    cli.apply_options(cfg, args)
    if args.amp:
        use_amp(cfg)
    if args.resume:
        cli.resume_latest(cfg, args)
    cli.resume_exactly(cfg)
    if not args.full_resolution:
        cli.use_head_resolution(cfg)
    if not args.no_check:
        cli.check(cfg)

    runner = cli.build_runner(cfg, args.verbose)
    for path, stock in replaced.items():
        runner.logger.info('%s: %s instead of %s', path, args.loss, stock)
    runner.train()


if __name__ == '__main__':
    main()
