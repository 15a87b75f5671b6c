#!/usr/bin/env bash
# A Slurm on this machine's loopback: one controller, one node with two CPUs.
#   tests/system/slurm/cluster.sh start FOLDER
#   SLURM_CONF=FOLDER/slurm.conf sinfo
#   tests/system/slurm/cluster.sh stop FOLDER
# Needs Debian's slurm-wlm and munge, but neither systemd nor root.
set -Eeuo pipefail
action=$1
mkdir -p "$2"
folder=$(realpath "$2")
export PATH=$PATH:/usr/sbin SLURM_CONF=$folder/slurm.conf

stop() {
  # Steps outlive the daemons.
  scancel --user="$(id -un)" 2> /dev/null || :
  for _ in $(seq 600); do
    [ -n "$(squeue --noheader 2> /dev/null)" ] || break
    sleep 0.1
  done
  for daemon in slurmd slurmctld munged; do
    pid=$(cat "$folder/$daemon.pid" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null || continue
    for _ in $(seq 100); do
      kill -0 "$pid" 2> /dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2> /dev/null || :
  done
}

start() {
  trap 'tail -n 5 "$folder"/*.log >&2; stop' ERR
  chmod 755 "$folder"
  mkdir -p "$folder/munge" "$folder/state" "$folder/spool"
  # Two free ports, so that clusters of several test runs do not meet.
  read -r controller_port node_port < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[s.getsockname()[1] for s in sockets])')
  cat > "$SLURM_CONF" << END
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
# A requeued job waits until its credential has expired: 2 minutes by default.
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=localhost NodeHostname=$(uname -n) NodeAddr=127.0.0.1 CPUs=2 \\
  RealMemory=16000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=localhost Default=YES PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=localhost PriorityTier=2
END
  head -c 128 /dev/urandom > "$folder/munge/key"
  chmod 700 "$folder/munge"
  chmod 600 "$folder/munge/key"
  # Forced, as it would have a folder that all users may enter.
  munged --force \
    --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munge/log" \
    --seed-file="$folder/munge/seed"
  slurmctld
  slurmd -N localhost
  for _ in $(seq 300); do
    ! sinfo --noheader --format=%t 2> /dev/null | grep -qx idle || return 0
    sleep 0.1
  done
  return 1
}

"$action"
