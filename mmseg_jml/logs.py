"""What the mathematics has to say, in the log of a run."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

__all__ = ['show_in_runs']


class _ToCurrentLog(logging.Handler):
    """Hands messages to mmengine's logger of the current run."""

    def emit(self, record: logging.LogRecord) -> None:
        print_log(record.getMessage(), logger='current', level=record.levelno)


def show_in_runs() -> None:
    """Let the logger 'mmseg_jml' write to the log of each run.

    ``functional`` and ``kernels`` know torch alone, and tell what they have to
    tell by Python's own logging. Without a run this goes to the console.
    """
    logger = logging.getLogger('mmseg_jml')
    if not any(isinstance(x, _ToCurrentLog) for x in logger.handlers):
        logger.addHandler(_ToCurrentLog())
        logger.propagate = False
