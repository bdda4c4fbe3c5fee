"""Lets both MMSegmentation stacks run on a current torch."""


def apply() -> None:
    """Applies every repair that this installation needs."""
