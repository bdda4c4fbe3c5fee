"""Modules of other packages: what follows their import, and their configs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

__all__ = ['after_import', 'config_path']


def after_import(name: str, action: Callable[[], None]) -> None:
    """Call a function when a module has been imported.

    Args:
        name (str): Full name of the module. If it is imported already, the
            function is called at once; if it is never imported, the function
            is never called.
        action (Callable[[], None]): The function. It may import anything but
            modules that are still being imported when ``name`` is.

    Examples:
        >>> after_import('sys', lambda: print('there is sys'))
        there is sys
    """
    if sys.modules.get(name) is not None:
        action()
    else:
        sys.meta_path.insert(0, _Watch(name, action))


def config_path(name: str) -> Path | None:
    """Return where a config is, whether or not there is such a file.

    mmengine's get_config would try to install a package whose distribution
    has another name, as on the OneDL stack.

    Args:
        name (str): A path, or ``PACKAGE::PATH``, a path below the configs of
            an installed package, with or without ``.py``.

    Returns:
        Path | None: The path; None if there is no such package.
    """
    package, separator, inner = name.partition('::')
    if not separator:
        return Path(name)
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    installed = root / '.mim' / 'configs'
    folder = installed if installed.is_dir() else root.parent / 'configs'
    return folder / f'{inner[:-3] if inner.endswith(".py") else inner}.py'


class _Watch(MetaPathFinder):
    """Find one module by the other finders, and act once it has run."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name, self.action = name, action

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            self._act_after(spec.loader)
        return spec

    def _act_after(self, loader: Loader) -> None:
        run = loader.exec_module

        def run_and_act(module: ModuleType) -> None:
            run(module)
            # find_spec alone, without an import, does not end the watch
            if self in sys.meta_path and module.__name__ == self.name:
                self.action()
                sys.meta_path.remove(self)

        # for this loader alone: others of its class keep their method
        loader.exec_module = run_and_act  # type: ignore[method-assign]
