#!/usr/bin/env bash
# Runs one distributed run on all workers of a Cloud TPU slice. Call it from the
# repository's root; the arguments are flags of run.py:
#   TPU=NAME ZONE=ZONE launch/tpu_vm.sh --dataset=trec \
#     --data_dir=/mnt/data/trec --workdir=/mnt/runs/trec
# Both folders are on a file system that all workers mount. Each worker installs
# the last commit with uv. The following lets the run save and exit with status
# 75; afterwards, also on a new slice, the same command resumes:
#   gcloud compute tpus tpu-vm ssh NAME --zone=ZONE --worker=all \
#     --command='pkill -TERM --full ^.venv/bin/python'
set -euo pipefail
tpu=${TPU:?name the TPU VM}
zone=${ZONE:?name its zone}
python_version=${PYTHON_VERSION:-3.12}

archive=$(mktemp --suffix=.tar)
trap 'rm -f "$archive"' EXIT
git archive --output="$archive" HEAD
gcloud compute tpus tpu-vm scp "$archive" "$tpu:bigru_jax.tar" \
  --zone="$zone" --worker=all

install="rm -rf bigru_jax && mkdir bigru_jax && cd bigru_jax \
  && tar -xf ../bigru_jax.tar && python3 -m pip install --quiet --user uv \
  && python3 -m uv venv --quiet --python=$python_version \
  && python3 -m uv pip install --quiet '.[tpu,gcs]'"
run=$(printf '%q ' .venv/bin/python experiments/run.py "$@" --distributed)
gcloud compute tpus tpu-vm ssh "$tpu" --zone="$zone" --worker=all \
  --command="$install && $run"
