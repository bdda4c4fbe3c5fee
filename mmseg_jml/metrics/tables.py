"""Tables of figures in the log."""

from __future__ import annotations

from mmengine.logging import print_log
from prettytable import PrettyTable
from torch import Tensor

__all__ = ['log_tables', 'percent']


def log_tables(*tables: PrettyTable) -> None:
    """Log tables one below the other."""
    for table in tables:
        print_log(f'\n{table.get_string()}', logger='current')


def percent(shares: Tensor) -> list[str]:
    """Write shares in percent, as mmseg does: two digits and no sign.

    Examples:
        >>> import torch
        >>> percent(torch.tensor([0.5, 1.0, float('nan')]))
        ['50.00', '100.00', 'nan']
    """
    return [f'{share:.2%}'.rstrip('%') for share in shares.tolist()]
