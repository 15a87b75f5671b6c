#!/usr/bin/env bash
# Runs one distributed run on processes of this machine, which share its cores.
# The arguments are flags of run.py:
#   PROCESSES=2 launch/local.sh --dataset=trec --data_dir=FOLDER
# A signal makes all of them save and exit with status 75; the same command
# resumes. For many runs, see experiments/sweep.py.
set -euo pipefail
processes=${PROCESSES:-2}
python=${PYTHON:-python}
free_port='import socket; s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])'
port=${PORT:-$("$python" -c "$free_port")}

started=()
for ((i = 0; i < processes; i++)); do
  "$python" experiments/run.py "$@" --distributed \
    --coordinator="127.0.0.1:$port" --num_processes="$processes" \
    --process_id="$i" &
  started+=($!)
done
# Ctrl-C reaches the processes anyway; a second SIGINT would not let them save.
trap 'signalled=1; kill -TERM "${started[@]}" 2> /dev/null || :' INT TERM USR1
worst=0
for process in "${started[@]}"; do
  while
    signalled='' status=0
    wait "$process" || status=$?
    [ -n "$signalled" ]
  do :; done
  if [ "$worst" = 0 ] || { [ "$worst" = 75 ] && [ "$status" != 0 ]; }; then
    worst=$status
  fi
done
exit "$worst"
