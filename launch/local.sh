#!/bin/sh
# One run a seed, one after another, on this machine:
#   launch/local.sh "0 1 2" --dataset=trec --data_dir=FOLDER
# Each lands in runs/<dataset>/seed-<n>; a finished or broken-off one goes on.
set -eu
seeds=$1
shift
name=rotten_tomatoes
for flag in "$@"; do
  case $flag in --dataset=*) name=$(printf %s "${flag#*=}" | tr ':/' '__') ;; esac
done
for seed in $seeds; do
  "${PYTHON:-python}" experiments/run.py "$@" --seed="$seed" \
    --workdir="runs/$name/seed-$seed"
done
