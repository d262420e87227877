#!/usr/bin/env bash
# A SLURM on this machine alone, on loopback: `slurm.sh start|stop|status`.
# Exits with 0 where that was done, with 77 and the reason where it cannot be done on this machine, else with 1.
set -euo pipefail

CONFIGURATION=/etc/slurm/slurm.conf
DEVICES=/etc/slurm/gres.conf
MARK="# Written by tests/cluster/slurm.sh, which takes it away again."
STATE=/run/slurm-of-the-tests
HOST=$(hostname -s)
# Seconds that any one thing may take.
PATIENCE=30

refuse() {
    echo "no SLURM here: $1" >&2
    exit 77
}

ours() {
    head -n 1 "$1" | grep -qxF "$MARK"
}

check_machine() {
    [ "$(id -u)" = 0 ] || refuse "starting one takes root"
    for program in munged slurmctld slurmd sinfo sbatch srun; do
        [ -n "$(command -v "$program" || command -v "/usr/sbin/$program")" ] || refuse "$program is not installed (tests/cluster/install.sh)"
    done
    for file in "$CONFIGURATION" "$DEVICES"; do
        [ ! -e "$file" ] || ours "$file" || refuse "$file is not of these tests: this machine has a SLURM of its own"
    done
    getent hosts "$HOST" | grep -q '^127\.' || refuse "the name of this machine, $HOST, is not a loopback address in /etc/hosts"
}

# Wait until the command given succeeds.
await() {
    local deadline=$((SECONDS + PATIENCE))
    until "$@" > /dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            echo "not within $PATIENCE s: $*" >&2
            tail -n 20 "$STATE"/log/*.log >&2 || true
            return 1
        fi
        sleep 0.2
    done
}

running() {
    [ -s "$1" ] && kill -0 "$(cat "$1")" 2> /dev/null
}

gone() {
    ! running "$1"
}

munge_answers() {
    timeout 5 munge -n | timeout 5 unmunge
}

idle() {
    [ "$(timeout 5 sinfo -h -o %T -p main)" = idle ]
}

no_jobs() {
    [ -z "$(timeout 5 squeue -h)" ]
}

up() {
    running "$STATE/slurmctld.pid" && running "$STATE/slurmd.pid" && [ -n "$(timeout 5 sinfo -h -o %T -p main)" ]
}

configure() {
    local memory
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    mkdir -p /etc/slurm "$STATE/log" "$STATE/state" "$STATE/spool"
    # Jobs wait more than they compute: three times the CPUs that there are.
    cat > "$CONFIGURATION" << END
$MARK
ClusterName=tests
SlurmctldHost=$HOST(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdLogFile=$STATE/log/slurmd.log
StateSaveLocation=$STATE/state
SlurmdSpoolDir=$STATE/spool
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Memory is watched once a second, and a job over its own is killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# A finished job stays in squeue for so long: for Snakemake, which asks it, and for the tests, which look back.
MinJobAge=3600
OverTimeLimit=0
KillWait=3
CompleteWait=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$((3 * $(getconf _NPROCESSORS_ONLN))) RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=$HOST Default=YES MaxTime=UNLIMITED DefaultTime=1 DefMemPerCPU=100 State=UP
PartitionName=gpu Nodes=$HOST MaxTime=UNLIMITED DefaultTime=1 DefMemPerCPU=100 State=UP
END
    # A GPU in name only: it can be asked for and is not there.
    printf '%s\n' "$MARK" "NodeName=$HOST Name=gpu File=/dev/null" > "$DEVICES"
}

start() {
    check_machine
    if up; then
        echo "SLURM is up"
        return
    fi
    rm -rf "$STATE"
    configure
    if ! munge_answers > /dev/null 2>&1; then
        install -d -o munge -g munge -m 0755 /run/munge
        runuser -u munge -- /usr/sbin/munged
        touch "$STATE/munged-is-ours"
        await munge_answers
    fi
    /usr/sbin/slurmctld
    /usr/sbin/slurmd
    if ! await idle; then
        stop
        exit 1
    fi
    echo "SLURM is up: $(sinfo --version), partitions main and gpu"
}

# End the process of a pid file; by force where it does not end.
end() {
    running "$1" || return 0
    local pid
    pid=$(cat "$1")
    kill "$pid" 2> /dev/null || true
    await gone "$1" || kill -KILL "$pid" 2> /dev/null || true
}

stop() {
    [ -d "$STATE" ] || { echo "SLURM is not up"; return; }
    [ "$(id -u)" = 0 ] || refuse "stopping one takes root"
    if up; then
        timeout 10 scancel --user=root --full > /dev/null 2>&1 || true
        await no_jobs || true
    fi
    end "$STATE/slurmd.pid"
    end "$STATE/slurmctld.pid"
    [ ! -e "$STATE/munged-is-ours" ] || end /run/munge/munged.pid
    for file in "$CONFIGURATION" "$DEVICES"; do
        [ ! -e "$file" ] || ! ours "$file" || rm "$file"
    done
    rm -rf "$STATE"
    echo "SLURM is stopped"
}

case "${1:-}" in
    start) start ;;
    stop) stop ;;
    status)
        check_machine
        up || { echo "SLURM is not up"; exit 1; }
        sinfo
        ;;
    *)
        echo "usage: $0 start|stop|status" >&2
        exit 2
        ;;
esac
