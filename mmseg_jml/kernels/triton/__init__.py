"""Region sums and their gradient on CUDA, by kernels in Triton.

The rest of the package calls :mod:`.engine`.
"""
