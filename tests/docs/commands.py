"""What runs each command that a page shows.

A command that stands on a page and not here fails a test, and so does one that
stands here alone.
"""

import re

# What `make check` runs, from a fresh clone, in continuous integration.
CI = '.ci/run'

_TABLE = r"""
.ci/run
    make setup
    make lint
    make docs
    # where there is a browser; a site with faults: test_site.py
    make docs-check
    make test
    make check
    .venv/onedl/bin/python -m pytest tests/losses
    # `make setup` installs all extras, and nibabel by one of them
    pip install -e .
    pip install -e '.[openmmlab]'
    pip install -e '.[onedl]'
    pip install -e '.[semi]'
    pip install nibabel
tests/docs/test_commands.py::test_make_format
    make format
tests/test_devices.py::test_make_says_that_there_is_no_gpu
    make test-gpu
tests/docs/test_commands.py::test_one_entry_is_taken_back
    python tools/train.py OCRNET --loss JaccardMetricLoss --cfg-options \
        model.decode_head.0.loss_decode.type=CrossEntropyLoss
tests/demo/test_program.py::test_each_demo_ends_with_a_table
    make demo
    make demo SEEDS=1 ITERS=200
    make demo-kd
    make demo-kd SEEDS=10
    make demo-semi
tests/test_benchmarks.py::test_benchmark
    python -m benchmarks.distillation
    python -m benchmarks.losses
    python -m benchmarks.metrics
    python -m benchmarks.scaling
    python -m benchmarks.training_step --models SegFormer-B0 --batch 2 \
        --threads 2
    python -m benchmarks.upsampled
    # where there is no GPU, with a CPU in its place
    python -m benchmarks.losses --device cuda --dtype float32 bfloat16
    python -m benchmarks.training_step --device cuda --dtype float32 bfloat16
    python -m benchmarks.upsampled --device cuda
# its table's numbers, and not how they are printed
tests/kernels/test_triton_compiled.py::test_full_size_spills_nothing
    python -m benchmarks.spills
# a sample of them
tests/recipes/test_steps.py::test_optimisation_step
    RECIPES=all python -m pytest tests/recipes
tests/test_packaging.py::test_wheel_and_sdist_install_the_same
    pip install .
    # a code host gives pip what an sdist holds
    pip install git+REPOSITORY
tests/test_packaging.py::test_installed_package_trains_resumes_and_tests
    python -m mmseg_jml train
tests/docs/test_three_ways.py::test_a_flag_and_a_stock_config
    python tools/train.py \
        mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py --loss \
        JaccardMetricCELoss
tests/docs/test_three_ways.py::test_a_config_in_any_folder
    python tools/train.py my_config.py
tests/docs/test_three_ways.py::test_own_tool_of_mmseg
    python MMSEG/tools/train.py my_config.py
# mim is in neither environment: this is where it looks
tests/test_packaging.py::test_editable_install_links_to_the_checkout
    mim train mmseg_jml CONFIG --gpus 1 --loss JaccardMetricLoss
    mim test mmseg_jml CONFIG --checkpoint CHECKPOINT --gpus 1
tests/tools/test_train.py::test_loss_is_replaced_in_the_main_head
    python tools/train.py CONFIG --loss JaccardMetricCELoss
tests/tools/test_train.py::test_options_of_the_loss_follow_it
    python tools/train.py CONFIG [--loss NAME] [--work-dir DIR] [--resume] \
        [--amp] [--full-resolution] [--no-check] [--verbose] [--cfg-options \
        KEY=VALUE ...]
    python tools/train.py CONFIG --loss JaccardMetricLoss --cfg-options \
        model.decode_head.loss_decode.label_smoothing.mode=boundary
tests/tools/test_test.py::test_stock_config_tests_the_checkpoint
    python tools/test.py CONFIG CHECKPOINT
    python tools/test.py CONFIG CHECKPOINT [--work-dir DIR] [--out DIR] \
        [--show-dir DIR] [--show] [--wait-time S] [--tta] [--full-resolution] \
        [--verbose] [--cfg-options KEY=VALUE ...]
tests/tools/test_launchers.py::test_two_processes_train_and_test
    tools/dist_train.sh CONFIG GPUS [options of train.py]
    tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
tests/tools/test_launchers.py::test_slurm_job
    tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
    tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of \
        test.py]
tests/tools/test_calibrate.py::test_temperature_before_and_after
    python tools/analysis_tools/calibrate.py CONFIG CHECKPOINT
tests/tools/test_dataset_check.py::test_good_data
    python tools/dataset_check.py CONFIG
tests/tools/test_dataset_check.py::test_limit_and_options
    python tools/dataset_check.py CONFIG --limit 100
    python tools/dataset_check.py CONFIG [--limit N] [--out SHEET.png] \
        [--cfg-options KEY=VALUE ...]
tests/tools/test_deepglobe_land.py::test_killed_and_run_again_gives_every_label
    python tools/dataset_converters/deepglobe_land.py data/deepglobe_land
tests/tools/test_multi_annotator.py::test_shares_and_majority
    python tools/dataset_converters/multi_annotator.py SOURCE OUT
tests/tools/test_multi_annotator.py::test_masks_of_any_layout
    python tools/dataset_converters/multi_annotator.py SOURCE OUT --image \
        'images/{name}.png' --masks 'masks/*/{name}.png' --binary
tests/tools/test_split_dataset.py::test_smaller_share_is_part_of_the_larger
    python tools/split_dataset.py CONFIG --ratio 1/16 --out DIR
    python tools/split_dataset.py CONFIG --count 92 --seed 1 --out DIR
    python tools/split_dataset.py \
        configs/jml/deeplabv3plus_r50-d8_4xb2-jml-80k_cityscapes-512x1024.py \
        --ratio 1/16 --out data/cityscapes/splits/1_16
tests/tools/test_split_dataset.py::test_published_list_of_cityscapes
    python tools/split_dataset.py CONFIG --list PUBLISHED.txt --out DIR
tests/tools/test_split_dataset.py::test_folder
    python tools/split_dataset.py FOLDER --img-suffix .png --ratio 1/8 --out \
        DIR
"""

# Indented lines are the commands that the one above them runs.
_table = re.sub(r'(?m)^ *# .*\n', '', _TABLE).replace('\\\n', '').strip()
RUN_BY = {}
for _block in re.split(r'\n(?=\S)', _table):
    _name, *_lines = _block.splitlines()
    RUN_BY[_name] = [' '.join(line.split()) for line in _lines]
