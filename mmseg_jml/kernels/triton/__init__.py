"""Region sums and their gradient on CUDA, by kernels in Triton.

:mod:`.engine` is what the rest of the package calls.
"""
