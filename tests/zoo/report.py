"""Writes the figures of docs/zoo.md from a whole run: see ``make zoo``.

They stand between comments such as ``<!-- steps -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from xml.etree import ElementTree

VARIANTS = ('main head', 'auxiliary heads', 'both with CE', 'stock')
NAMES = dict(openmmlab='OpenMMLab', onedl='OneDL')


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


def write(path: Path, runs: list[Run]) -> None:
    """Writes what was found into the page, between its comments."""
    calls, reasons = Legend(ascii_uppercase), Legend(map(str, range(1, 100)))
    table = ['| ' + ' | '.join(x) + ' |' for x in rows(runs, calls, reasons)]
    parts = dict(
        steps=[*map(summary, runs), '', *table],
        resolution=[line for run in runs for line in resolution(run)],
        calls=[f'- {label}: `{text}`' for text, label in calls.texts.items()],
        reasons=[f'{x}. {text}' for text, x in reasons.texts.items()],
    )
    page = path.read_text()
    for name, lines in parts.items():
        before, _, rest = page.partition(f'<!-- {name} -->\n')
        after = rest[rest.index('<!-- end -->') :]
        text = '\n'.join(lines)
        page = f'{before}<!-- {name} -->\n\n{text}\n\n{after}'
    path.write_text(page)


if __name__ == '__main__':
    page, *reports = sys.argv[1:]
    found = sorted(map(read, reports), key=lambda run: run.stack)
    write(Path(page), found[::-1])
