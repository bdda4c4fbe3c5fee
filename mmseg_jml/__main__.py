"""Run a tool without a clone: ``python -m mmseg_jml train CONFIG``.

An installed package keeps the files of ``tools/`` in its folder ``.mim``.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parent / '.mim' / 'tools'


def main() -> None:
    """Run the tool that the first argument names with the other arguments."""
    tools = {path.stem: path for path in sorted(TOOLS.rglob('*.py'))}
    name = sys.argv[1] if len(sys.argv) > 1 else ''
    if name not in tools:
        sys.exit(
            'usage: python -m mmseg_jml TOOL [options of the tool]\n'
            f'Expected TOOL to be one of {", ".join(tools)} but got {name!r}.'
        )
    sys.argv = [str(tools[name]), *sys.argv[2:]]
    runpy.run_path(str(tools[name]), run_name='__main__')


if __name__ == '__main__':
    main()
