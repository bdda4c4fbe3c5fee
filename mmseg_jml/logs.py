"""What a run writes to the console and to its log file."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner

__all__ = ['QuietRunner', 'show_in_runs', 'without_onedl_notices']


class _ToCurrentLog(logging.Handler):
    """Hand messages to mmengine's logger of the current run."""

    def emit(self, record: logging.LogRecord) -> None:
        print_log(record.getMessage(), logger='current', level=record.levelno)


def show_in_runs() -> None:
    """Let Python's logger 'mmseg_jml' write to the log of each run.

    All of this package logs by it, since ``functional`` and ``kernels`` know
    torch alone. Without a run, messages go to the console.
    """
    logger = logging.getLogger('mmseg_jml')
    if not any(isinstance(x, _ToCurrentLog) for x in logger.handlers):
        logger.addHandler(_ToCurrentLog())
        logger.setLevel(logging.INFO)
        logger.propagate = False


class QuietRunner(Runner):
    """A runner that writes versions, config and hooks to its log file alone.

    They are hundreds of lines, in which a warning would be lost. Once the
    runner is built, the console shows everything.

    Args:
        *args: Arguments of mmengine's runner.
        **kwargs: Arguments of mmengine's runner.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for handler in self._consoles:
            handler.removeFilter(_is_short)
        self.logger.info(
            'Versions, config and hooks: see %s', self.logger.log_file
        )

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; at first its console shows short messages only."""
        logger = super().build_logger(*args, **kwargs)
        self._consoles = [
            handler
            for handler in logger.handlers
            if not isinstance(handler, logging.FileHandler)
        ]
        for handler in self._consoles:
            handler.addFilter(_is_short)
        return logger


def _is_short(record: logging.LogRecord) -> bool:
    return record.getMessage().count('\n') < 5


@contextmanager
def without_onedl_notices() -> Iterator[None]:
    """Drop a debug message of OneDL's packages from what is printed.

    They print at each import that a package is missing which nobody needs.
    """
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        for line in printed.getvalue().splitlines():
            if line != 'Could not import OneDL':
                print(line)
