#!/usr/bin/env bash
# A real SLURM on this machine, to try jobs and to test them; any user may, and nothing outside one
# folder is written.
#     apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
#     slurm/one_machine.sh up [NODES]      then: . <the file it names>
#     slurm/one_machine.sh down
# Its nodes n0, n1, ... are daemons side by side, each with all cores of the machine. There are two
# partitions: jobs in `high` preempt those in `low`, the default, which have GRACE_S (60) seconds to
# end. Requeued jobs begin again after HOLD_S (120) seconds. It lives in the folder LAMAE_SLURM, by
# default one among the temporary files.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
folder=${LAMAE_SLURM:-${TMPDIR:-/tmp}/lamae-slurm-$(id -u)}
conf=$folder/slurm.conf

fail() { echo "error: $1" >&2; exit 1; }

until_true() { # DEADLINE_S COMMAND...: wait for a command to succeed
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

free_ports() { # NUMBER: the first of so many ports in a row to which nothing listens
  local first port
  for _ in {1..50}; do
    first=$((10000 + RANDOM % 9000))
    for ((port = first; port < first + $1; port++)); do
      (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
    done
    echo "$first"
    return
  done
  fail "no $1 free ports in a row between 10000 and 19000"
}

configure() { # NODES
  local host port cpus
  host=$(hostname -s) port=$(free_ports $(($1 + 1))) cpus=$(getconf _NPROCESSORS_ONLN)
  ((cpus > 1)) || cpus=2 # to try jobs of two processes
  getent hosts "$host" >/dev/null || fail "$host does not resolve; add it to /etc/hosts"
  cat >"$conf" <<CONF
ClusterName=one_machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
# A daemon and key of its own for authentication. Jobs that were requeued start again after
# cred_expire seconds; where nothing is set these are 120.
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=${HOLD_S:-120}
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/jobcomp.log
# No control groups, no accounting daemon, no cores bound.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=1
MinJobAge=86400
KillWait=10
CONF
  for ((i = 0; i < $1; i++)); do
    echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1 + i)) CPUs=$cpus"
  done >>"$conf"
  cat >>"$conf" <<CONF
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=${GRACE_S:-60}
PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF
CONF
  # SLURM 23 and later look for control groups; those of version 1 only where they are used.
  echo "CgroupPlugin=cgroup/v1" >"$folder/cgroup.conf"
  cat >"$folder/env" <<ENV
export SLURM_CONF=$conf
export MASTER_ADDR=127.0.0.1  # for n0, n1, ... are no names of hosts
ENV
}

all_idle() { # NODES
  [[ $(sinfo -h -N -p low -t idle -o %N 2>/dev/null | sort -u | wc -l) == "$1" ]]
}

up() { # [NODES]
  local nodes=${1:-1}
  for program in munged slurmctld slurmd sbatch; do
    command -v $program >/dev/null || fail "$program is not installed; the top of $0 names the packages"
  done
  [[ ! -e $conf ]] || fail "$folder is in use; end it first: $0 down"
  [[ ! -d $folder || -z $(ls -A "$folder") ]] || fail "$folder is not empty; name a new folder: LAMAE_SLURM"
  mkdir -p "$folder/state"
  trap '(($? == 0)) || { tail -n 5 "$folder"/*.log >&2; down; }' EXIT
  head -c 1024 /dev/urandom >"$folder/munge.key"
  chmod 600 "$folder/munge.key"
  configure "$nodes"
  # By force, for its socket is its user's alone.
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
    --seed-file="$folder/munge.seed" --num-threads=2
  slurmctld -c
  for ((i = 0; i < nodes; i++)); do slurmd -N "n$i"; done
  until_true 30 all_idle "$nodes" || fail "not all nodes came up in 30 s; the ends of the logs:"
  echo "SLURM with $nodes nodes is up; to use it: . $folder/env"
}

of_jobs() { # the processes that jobs of this SLURM have left
  local found=()
  for process in /proc/[0-9]*; do
    if grep -qsz "^SLURM_CONF=$conf$" "$process/environ" && grep -qsz ^SLURM_JOB_ID= "$process/environ"; then
      found+=("${process#/proc/}")
    fi
  done
  echo "${found[@]}"
}

no_jobs() { [[ -z $(squeue -h 2>/dev/null) ]]; }

gone() { # PIDS...
  for pid in "$@"; do [[ ! -d /proc/$pid ]] || return 1; done
}

down() {
  [[ -e $conf || -e $folder/munge.key ]] || return 0 # none was begun here
  if [[ -e $folder/slurmctld.pid ]]; then
    squeue -h -o %A | sort -u | xargs -r scancel 2>/dev/null || true
    # shellcheck disable=SC2046
    kill -KILL $(of_jobs) 2>/dev/null || true
    until_true 20 no_jobs || true # slurmd does not end while a job does
  fi
  local pids
  pids=$(cat "$folder"/*.pid 2>/dev/null || true)
  # shellcheck disable=SC2086
  kill $pids 2>/dev/null || true
  # shellcheck disable=SC2086
  until_true 20 gone $pids || kill -KILL $pids || true
  # shellcheck disable=SC2046
  kill -KILL $(of_jobs) 2>/dev/null || true
  rm -rf "$folder"
}

export SLURM_CONF=$conf
case ${1:-} in
  up) up "${2:-}" ;;
  down) down ;;
  *) sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2 ;;
esac
