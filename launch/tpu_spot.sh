#!/usr/bin/env bash
# Trains on a preemptible Cloud TPU slice until the run is finished. Call it from
# the repository's root, with a run and data in a bucket that the service account
# of the TPU may read and write; the arguments are flags of run.py:
#   TPU=NAME ZONE=ZONE TYPE=v5litepod-16 launch/tpu_spot.sh \
#     --train='gs://bucket/train-*.csv' --workdir=gs://bucket/runs/reviews
# It asks for spot capacity, and asks again when the slice was taken away: the
# run resumes from the bucket. A wrong flag or input (status 2) ends it, and so
# do ATTEMPTS slices (100 by default).
set -euo pipefail
tpu=${TPU:?name the TPU VM}
zone=${ZONE:?name its zone}
type=${TYPE:?name its accelerator type, such as v5litepod-16}
version=${VERSION:-v2-alpha-tpuv5-lite}
seconds=${SECONDS_BETWEEN_CHECKS:-30}

queued() {
  gcloud compute tpus queued-resources "$1" "$tpu" --zone="$zone" "${@:2}"
}

remove() {
  queued delete --force --quiet || true
}
trap remove EXIT

status=1
for ((attempt = 0; attempt < ${ATTEMPTS:-100}; attempt++)); do
  queued create --node-id="$tpu" --accelerator-type="$type" \
    --runtime-version="$version" --spot
  state=
  until [[ $state =~ ^(ACTIVE|FAILED|SUSPENDED)$ ]]; do
    sleep "$seconds"
    state=$(queued describe --format='value(state.state)')
  done
  if [ "$state" = ACTIVE ]; then
    status=0
    "$(dirname "$0")/tpu_vm.sh" "$@" || status=$?
    case $status in
      0 | 2) exit "$status" ;;
    esac
  fi
  remove
done
exit "$status"
