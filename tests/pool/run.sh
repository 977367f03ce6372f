#!/usr/bin/env bash
# Runs DAGs on a personal HTCondor pool: files travel as declared, every site is used, a host that vanishes costs no result.
# Then `experiment.sh` runs a generated workflow there, beside the local engine.
#
#   tests/pool/run.sh              # as root; takes minutes the first time, when the pool's packages are fetched
#   tests/pool/run.sh 1000         # also measures that many no-op nodes; fedwing submits, follows, stops and continues them
#
# Skips aloud, with exit status 0, without root or where the packages cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
pool=$PWD/containers/pool/pool
# shellcheck source=tests/pool/experiment.sh
source tests/pool/experiment.sh

if [[ $(id -u) != 0 ]]; then
  echo "SKIPPED: the pool is not tested: it needs root"
  exit 0
fi
status=0
"$pool" build || status=$?
if ((status == 5)); then
  echo "SKIPPED: the pool is not tested: see the line above"
  exit 0
fi
((status == 0)) || exit "$status"

experiments=$PWD/target/pool-test
rm -rf "$experiments"
mkdir -p "$experiments"
chown 1000:1000 "$experiments"
trap '"$pool" down' EXIT

fail() { echo "FAILED: $*" >&2; "$pool" status >&2 || true; exit 1; }
machine() { ip -o link | sed 's/@.*//; s/:.*: /: /' | sort; ip netns list; grep -c . /proc/mounts; ps -eo comm= | awk '/^condor_/'; }

# Submits a DAG of the experiments folder and waits until it ends well.
submit() { "$pool" run sh -c "cd $1 && condor_submit_dag $1.dag >submit.log && chmod -R a+rX ."; }
finish() {
  local deadline=$((SECONDS + $2))
  until grep -q 'EXITING WITH STATUS' "$experiments/$1/$1.dag.dagman.out" 2>/dev/null; do
    ((SECONDS < deadline)) || fail "$1 did not end within $2 s"
    sleep 0.5
  done
  grep -q 'EXITING WITH STATUS 0' "$experiments/$1/$1.dag.dagman.out" || fail "$1 failed: $(tail -n 5 "$experiments/$1/$1.dag.dagman.out")"
}

# A fan of file transfers, two a site, and one node that gathers what they wrote: $1 name, $2 seconds a node works.
write_fan() {
  local folder=$experiments/$1 node
  mkdir -p "$folder"
  cat >"$folder/work.sh" <<'JOB'
#!/bin/sh
set -e
sleep "$3"
{ cat "$1"; hostname; } >"$2"
JOB
  cat >"$folder/gather.sh" <<'JOB'
#!/bin/sh
set -e
cat part-*.out >all.out
JOB
  cat >"$folder/work.sub" <<JOB
executable = work.sh
arguments = part-\$(node).in part-\$(node).out $2
transfer_input_files = part-\$(node).in
transfer_output_files = part-\$(node).out
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
requirements = FedwingSite == "\$(site)" || FedwingSite == "\$(instead)"
request_memory = 64
log = nodes.log
error = part-\$(node).err
queue
JOB
  local inputs
  inputs=$(printf 'part-%s.out,' {0..7})
  cat >"$folder/gather.sub" <<JOB
executable = gather.sh
transfer_input_files = ${inputs%,}
transfer_output_files = all.out
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_memory = 64
log = nodes.log
error = gather.err
queue
JOB
  {
    for node in {0..7}; do
      echo "JOB part$node work.sub"
      # `instead` names the one site a job may go to when its own is lost; the first fan allows none.
      echo "VARS part$node node=\"$node\" site=\"site$((node % 4))\" instead=\"${3:-none}\""
      echo "input of node $node" >"$folder/part-$node.in"
    done
    echo "JOB gather gather.sub"
    echo "PARENT part0 part1 part2 part3 part4 part5 part6 part7 CHILD gather"
  } >"$folder/$1.dag"
  chmod +x "$folder"/*.sh
  chown -R 1000:1000 "$folder"
}

# Every node's line and no other, each from the host it was bound to or the one it may be moved to.
check_fan() {
  local folder=$experiments/$1 node host
  [[ $(wc -l <"$folder/all.out") == 16 ]] || fail "$1: all.out holds $(wc -l <"$folder/all.out") lines, not 16"
  for node in {0..7}; do
    host=$(sed -n "/^input of node $node\$/{n;p;}" "$folder/all.out")
    [[ $host == "execute$((node % 4))" || $host == "${2:-none}" ]] || fail "$1: node $node ran on \`$host\`"
  done
}

write_noop() {
  local folder=$experiments/$1 node
  mkdir -p "$folder"
  printf '%s\n' 'executable = /bin/true' 'transfer_executable = False' 'should_transfer_files = YES' 'request_memory = 16' \
    'log = nodes.log' 'queue' >"$folder/noop.sub"
  for ((node = 0; node < $2; node++)); do echo "JOB n$node noop.sub"; done >"$folder/$1.dag"
  chown -R 1000:1000 "$folder"
}

run_noop() {
  write_noop "$1" "$2"
  local begun=$SECONDS
  submit "$1"
  finish "$1" "$3"
  [[ $(grep -c '^005 ' "$experiments/$1/nodes.log") == "$2" ]] || fail "$1: not every node ended once"
  echo "$2 no-op nodes: $((SECONDS - begun)) s"
}

before=$(machine)
"$pool" up "$experiments" --hosts 4 --slots 4

echo "== every site, declared files only"
write_fan fan 0
submit fan
finish fan 120
check_fan fan

echo "== no-op nodes"
run_noop noop 100 180
[[ -z ${1:-} ]] || tests/pool/operate.sh "$pool" "$experiments" "$1"

echo "== a host vanishes while it works"
write_fan lost 15 site3
submit lost
deadline=$((SECONDS + 60))
until [[ $(grep -c '^001 ' "$experiments/lost/nodes.log" 2>/dev/null || true) == 8 ]]; do
  ((SECONDS < deadline)) || fail "the nodes did not start within 60 s"
  sleep 0.5
done
"$pool" kill-host 2
killed=$SECONDS
until grep -qE '^(022|024|004) ' "$experiments/lost/nodes.log"; do
  ((SECONDS < killed + 120)) || fail "the lost host was not noticed within 120 s"
  sleep 0.2
done
echo "noticed after $((SECONDS - killed)) s"
finish lost 240
echo "DAG complete $((SECONDS - killed)) s after the loss"
check_fan lost execute3
for node in {0..7}; do
  [[ $(grep -c "^input of node $node\$" "$experiments/lost/all.out") == 1 ]] || fail "node $node is not counted once"
done
[[ $(grep -c '^005 ' "$experiments/lost/nodes.log") == 9 ]] || fail "not every node ended exactly once"

echo "== the host comes back"
"$pool" start-host 2
write_fan again 0
submit again
finish again 120
check_fan again

run_experiment

echo "== a sweep"
tests/pool/sweep.sh "$pool" "$experiments"

echo "== down, twice; nothing is left"
"$pool" down
"$pool" down
trap - EXIT
after=$(machine)
[[ $before == "$after" ]] || fail "the machine is not as it was: $(diff <(echo "$before") <(echo "$after"))"
rm -rf "$experiments"
echo "pool: all passed"
