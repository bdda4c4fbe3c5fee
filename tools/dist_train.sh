#!/usr/bin/env bash
set -euo pipefail

USAGE="usage: $0 CONFIG GPUS [options of train.py]
environment: NNODES NODE_RANK MASTER_ADDR PORT"
case ${1-} in -h | --help) echo "$USAGE" && exit ;; esac
if [ $# -lt 2 ]; then echo "$USAGE" >&2 && exit 2; fi
CONFIG=$1 GPUS=$2
TOOLS=$(dirname "$0")

PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" torchrun \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}"
