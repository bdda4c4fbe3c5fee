#!/usr/bin/env bash
set -euo pipefail

USAGE="usage: $0 PARTITION JOB_NAME CONFIG [options of train.py]
environment: GPUS GPUS_PER_NODE CPUS_PER_TASK SRUN_ARGS"
case ${1-} in -h | --help) echo "$USAGE" && exit ;; esac
if [ $# -lt 3 ]; then echo "$USAGE" >&2 && exit 2; fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3
GPUS_PER_NODE=${GPUS_PER_NODE:-4}
TOOLS=$(dirname "$0")

# SRUN_ARGS holds several words on purpose.
# shellcheck disable=SC2086
PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" srun \
    --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="${GPUS:-4}" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$TOOLS/train.py" "$CONFIG" --launcher slurm "${@:4}"
