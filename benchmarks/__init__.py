"""Time and memory of losses; each module is run by ``python -m``."""
