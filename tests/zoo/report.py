"""Writes docs/zoo.md from a whole run on both stacks: see ``make zoo``."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from string import ascii_uppercase
from xml.etree import ElementTree

VARIANTS = ('main head', 'auxiliary heads', 'both with CE', 'stock')
NAMES = dict(openmmlab='OpenMMLab', onedl='OneDL')
INTRODUCTION = """\
# The zoo: one training step of MMSegmentation's own configs

MMSegmentation ships 681 configs (the OneDL fork one more). 656 (657) of them
hold a cross-entropy over pixels, which `tools/train.py --loss` or one merged
entry replaces; the other 25 classify masks (mask2former 13, maskformer 4,
san 6) or regress depth (vpd 2), and `--loss` refuses them with that reason.

Configs with the same family, segmentor, backbone, heads, losses with all
their arguments and sampler are one group; the cheapest of each group stands
for it below. Each was built with its entry replaced by the name
`mmseg_jml.JaccardMetricLoss`, and took one training step on a CPU: two random
images of 64x64 pixels (416x416 for LRASPP) with ignored pixels, no pretrained
weights, SyncBN as BN. A step counts (✓) when the value of each call equals
the formula worked out in float64, the log holds it under its own name and the
terms add up to the optimised loss, its gradient in the logits is finite and
not zero, and so are the gradients of the head's parameters. A call without
any labelled pixel (the boundary term of PIDNet, before the boundary branch has
learnt) has to give 0 with a gradient of 0.

The four marks are:

1. `JaccardMetricLoss` in the main head, what `--loss` does;
2. `JaccardMetricLoss` in the auxiliary heads, the main head as shipped;
3. `JaccardMetricCELoss` in both (here the value is only checked to be finite);
4. the stock losses, as a baseline.

A dash: the config has no auxiliary head with such an entry, or the stack does
not ship it. A number: the stack itself cannot run the config, or in the fourth
place alone, its own loss; the reasons are below the table.

This page is written by `tests/zoo/report.py` from the reports of the tests.
"""
RESOLUTION = """\
## At the heads' resolution

With [`HeadResolutionHook`](head_resolution.md) a step was taken once more,
with `JaccardMetricCELoss` in the main head and with the stock losses. Each
term of the log and the gradient of each parameter equal those of the step
without the hook to 1e-4 (float32). The column `heads` says how many of a
config's heads with losses compute them from their own logits when its main
loss is replaced. In configs, and why heads do not:
"""


@dataclass
class Run:
    """What the tests recorded on one stack."""

    stack: str
    versions: dict[str, str]
    picks: dict[str, int]
    steps: dict[tuple[str, str], dict] = field(default_factory=dict)
    # why heads need logits of the label's size; None: they do not
    reasons: dict[tuple[str, str], dict] = field(default_factory=dict)


def read(path: str) -> Run:
    """Reads the report that pytest wrote, if all tests passed."""
    suite = ElementTree.parse(path).getroot()
    if [*suite.iter('failure'), *suite.iter('error')]:
        raise SystemExit(f'Expected {path} without failures.')
    found = defaultdict(list)
    for item in suite.iter('property'):
        found[item.get('name')].append(item.get('value'))
    versions, picks = (json.loads(found[x][0]) for x in ('versions', 'picks'))
    run = Run(found['stack'][0], versions, picks)
    for step in map(json.loads, found['step']):
        run.steps[step['config'], step['variant']] = step
    for step in map(json.loads, found['resolution']):
        run.reasons[step['config'], step['variant']] = step['reasons']
    missing = set(run.picks) - {config for config, _ in run.steps}
    if missing:
        raise SystemExit(
            f'Expected all {len(run.picks)} picks in {path}, run with '
            f'ZOO=all, but {len(missing)} are missing.'
        )
    return run


class Legend:
    """Gives each new text the next label."""

    def __init__(self, labels) -> None:
        self.labels = iter(labels)
        self.texts = {}

    def __getitem__(self, text: str) -> str:
        if text not in self.texts:
            self.texts[text] = next(self.labels)
        return self.texts[text]


def mark(run: Run, config: str, variant: str, reasons: Legend) -> str:
    """Returns the mark of one step."""
    if config not in run.picks or (config, variant) not in run.steps:
        return '–'
    reason = run.steps[config, variant]['reason']
    return reasons[reason] if reason else '✓'


def summary(run: Run) -> str:
    """Says how many configs passed."""
    able = [x for x in run.picks if not run.steps[x, 'main head']['reason']]
    packages = ', '.join(f'{k} {v}' for k, v in run.versions.items())
    return (
        f'- {NAMES[run.stack]} ({packages}): {len(able)} of '
        f'{len(run.picks)} picks, which stand for '
        f'{sum(run.picks[config] for config in able)} of '
        f'{sum(run.picks.values())} configs.'
    )


def share(reasons: dict[str, str | None]) -> tuple[int, int]:
    """Returns how many heads compute losses from their own logits."""
    return sum(reason is None for reason in reasons.values()), len(reasons)


def heads(runs: list[Run], config: str) -> str:
    """Returns the same for a config with a replaced loss, as text."""
    for run in runs:
        if (config, 'main head') in run.reasons:
            able, number = share(run.reasons[config, 'main head'])
            return f'{able} of {number}'
    return '–'


def resolution(run: Run):
    """Yields what the configs of a stack do at the heads' resolution."""
    new = '`--loss JaccardMetricCELoss`'
    for variant, described in (('main head', new), ('stock', 'stock losses')):
        numbers, why = Counter(), defaultdict(Counter)
        for config, standing in run.picks.items():
            reasons = run.reasons.get((config, variant))
            if reasons is None:
                continue
            able, number = share(reasons)
            degree = 'all' if able == number else 'some' if able else 'no'
            numbers[degree] += standing
            for reason in {*reasons.values()} - {None}:
                why[reason][config.partition('/')[0]] += standing
        degrees = 'all', 'some', 'no'
        counted = ', '.join(f'{x} heads in {numbers[x]}' for x in degrees)
        yield f'- {NAMES[run.stack]}, {described}: {counted} configs.'
        for reason, families in sorted(why.items()):
            named = ', '.join(f'{k} ({n})' for k, n in families.items())
            yield f'    - {reason}: {named}.'


def rows(runs: list[Run], calls: Legend, reasons: Legend):
    """Yields the lines of the table."""
    stacks = [NAMES[run.stack] for run in runs]
    yield ['config', 'stands for', 'calls', 'heads', *stacks]
    yield ['---'] * (4 + len(runs))
    for config in sorted({config for run in runs for config in run.picks}):
        steps = [run.steps.get((config, 'main head')) for run in runs]
        made = [x['calls'] for x in steps if x and not x['reason']] or [{}]
        marks = (
            ' '.join(mark(run, config, v, reasons) for v in VARIANTS)
            for run in runs
        )
        yield [
            f'`{config.removesuffix(".py")}`',
            str(max(run.picks.get(config, 0) for run in runs)),
            ' '.join(calls[x] for x in sum(made[0].values(), [])),
            heads(runs, config),
            *marks,
        ]


def page(runs: list[Run]) -> str:
    """Returns the whole page."""
    calls, reasons = Legend(ascii_uppercase), Legend(map(str, range(1, 100)))
    lines = rows(runs, calls, reasons)
    table = ['| ' + ' | '.join(row) + ' |' for row in lines]
    parts = [
        INTRODUCTION,
        *map(summary, runs),
        '',
        *table,
        '',
        RESOLUTION,
        *(line for run in runs for line in resolution(run)),
        '',
        '## Calls and reasons',
        '',
        'How the main head calls the replaced loss (`map`: a weight of each '
        'pixel; `NCP`: points in place of pixels):',
        '',
        *(f'- {label}: `{text}`' for text, label in calls.texts.items()),
        '',
        'What a stack says that cannot run a config or its loss:',
        '',
        *(f'{label}. {text}' for text, label in reasons.texts.items()),
    ]
    return '\n'.join(parts)


if __name__ == '__main__':
    found = sorted(map(read, sys.argv[1:]), key=lambda run: run.stack)
    print(page(found[::-1]))
