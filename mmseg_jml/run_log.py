"""Warnings of the parts that know torch alone, in the log of a run."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

__all__ = ['RunLogHandler']


class RunLogHandler(logging.Handler):
    """Hands what Python's logging gets on to the log of the current run."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line.

        Args:
            record (logging.LogRecord): What to write.
        """
        print_log(record.getMessage(), 'current', record.levelno)
