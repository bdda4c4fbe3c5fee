"""The demos: ``python -m demo jml``, ``kd`` or ``semi``.

`scenes` writes the data, `experiments` lists the trainings, `runs` trains
them side by side, `report` shows the results.
"""
