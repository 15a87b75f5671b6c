#!/bin/sh
# Several seeds, one after another, on this machine:
#   launch/local.sh "0 1 2" --dataset=trec --data_dir=FOLDER
# run.py names each run's directory; started again, finished runs are tested
# anew and interrupted ones resume.
set -eu
seeds=$1
shift
for seed in $seeds; do
  "${PYTHON:-python}" experiments/run.py "$@" --seed="$seed"
done
