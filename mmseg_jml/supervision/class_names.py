"""Names of classes, as people write them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ['same_names']


def same_names(
    first: Sequence[str] | None, second: Sequence[str] | None
) -> bool:
    """Whether two lists can mean the same classes in the same order.

    Args:
        first (Sequence[str], optional): Names. Case, blanks, hyphens and
            underscores do not matter.
        second (Sequence[str], optional): Others.

    Returns:
        bool: True also where names are not known.

    Examples:
        >>> same_names(['Traffic Light', 'car'], ['traffic_light', 'Car'])
        True
        >>> same_names(['car', 'sky'], ['sky', 'car'])
        False
    """
    if not (first and second):
        return True
    return [*map(_plain, first)] == [*map(_plain, second)]


def _plain(name: str) -> str:
    return ''.join(c for c in str(name).lower() if c not in ' -_')
