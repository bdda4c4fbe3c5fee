"""Leave out the examples of Triton's kernels where it is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec('triton') else ['mmseg_jml/kernels/triton']
