#!/usr/bin/env bash
set -euo pipefail

USAGE="usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]
environment: NNODES NODE_RANK MASTER_ADDR PORT"
case ${1-} in -h | --help) echo "$USAGE" && exit ;; esac
if [ $# -lt 3 ]; then echo "$USAGE" >&2 && exit 2; fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
TOOLS=$(dirname "$0")

PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
