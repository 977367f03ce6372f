#!/usr/bin/env bash
# Submits, follows, stops and continues a DAG of no-op nodes with fedwing, on the pool that run.sh has started.
#
#   tests/pool/operate.sh POOL EXPERIMENTS NODES
#
# States the pool's own limit and what fedwing costs beside it. Every node must end well exactly once, over both halves.
set -euo pipefail
cd "$(dirname "$0")/../.."
pool=$1 experiments=$2 nodes=$3

fail() { echo "FAILED: $*" >&2; exit 1; }

binary=${FEDWING:-target/debug/fedwing}
[[ -x $binary ]] || cargo build --quiet -p fedwing
mkdir -p "$experiments/operate/bin"
install -m 755 "$binary" "$experiments/operate/bin/fedwing"
fedwing() { "$pool" run operate/bin/fedwing "$@"; }

# A generic folder with one DAG: $1 name.
write_dag() {
  local folder=$experiments/$1 node
  mkdir -p "$folder"
  printf '%s\n' 'executable = /bin/true' 'transfer_executable = False' 'should_transfer_files = YES' 'request_memory = 16' \
    'queue' >"$folder/noop.sub"
  for ((node = 0; node < nodes; node++)); do echo "JOB n$node noop.sub"; done >"$folder/$1.dag"
  chown -R 1000:1000 "$folder"
}

# Nodes that ended well, one line for each time: of node logs, those kept from earlier starts included. $1 folder, $2 DAG.
ended_well() {
  awk '/^000 /{job = $2} /DAG Node:/{node[job] = $3} /^005 /{job = $2; over = 1}
    over && /return value 0/{print node[job]} /^\.\.\./{over = 0}' "$experiments/$1/${2:-$1}".dag.nodes.log*
}

# Seconds from DAGMan's first event to its last: $1 name.
lasted() { awk -F'[:,]' '/"start_time"/{start = $2} /"end_time"/{end = $2} END{printf "%.1f", end - start}' "$experiments/$1/$1.dag.metrics"; }

echo "== $nodes no-op nodes without fedwing"
write_dag plain
"$pool" run sh -c 'cd plain && condor_submit_dag plain.dag >submit.log'
until grep -q 'EXITING WITH STATUS' "$experiments/plain/plain.dag.dagman.out" 2>/dev/null; do sleep 0.5; done
alone=$(lasted plain)

echo "== submitted and watched with fedwing"
write_dag watched
fedwing submit watched
begun=$SECONDS
TIMEFORMAT='%U %S'
used=$({ time fedwing watch watched >"$experiments/operate/watched.txt"; } 2>&1)
grep -q "^done: $nodes of $nodes done\$" "$experiments/operate/watched.txt" || fail "watch ended with: $(tail -n 1 "$experiments/operate/watched.txt")"
[[ $(ended_well watched | sort -u | wc -l) == "$nodes" ]] || fail "watched: not every node ended well"
beside=$(lasted watched)
awk -v nodes="$nodes" -v alone="$alone" -v beside="$beside" -v used="$used" 'BEGIN {
  split(used, cpu, " ")
  printf "the pool itself: %.1f s, %.1f nodes/s; watched by fedwing: %.1f s, of which watching took %.2f s of CPU time\n",
    alone, nodes / alone, beside, cpu[1] + cpu[2]
}'
TIMEFORMAT='fedwing status: %R s'
time fedwing status watched >/dev/null

echo "== stopped in the middle and continued"
write_dag stopped
fedwing submit stopped
deadline=$((SECONDS + 120))
until (($(ended_well stopped 2>/dev/null | wc -l) * 3 >= nodes)); do
  ((SECONDS < deadline)) || fail "a third of the nodes did not end within 120 s"
  sleep 0.2
done
fedwing cancel stopped
status=0
fedwing watch stopped >/dev/null || status=$?
((status == 130)) || fail "watching a stopped run exits with $status, not 130"
half=$(ended_well stopped | sort -u | wc -l)
((half < nodes)) || fail "nothing was left to stop"
fedwing status stopped
fedwing resume stopped
fedwing watch stopped | tail -n 1
[[ $(ended_well stopped | wc -l) == "$nodes" && $(ended_well stopped | sort -u | wc -l) == "$nodes" ]] ||
  fail "of $nodes nodes $(ended_well stopped | sort -u | wc -l) ended well, in $(ended_well stopped | wc -l) endings"
fedwing report stopped
echo "stopped after $half nodes; every one of $nodes ended well exactly once"

echo "== a DAG of two DAGs, stopped in the first and continued"
mkdir -p "$experiments/nested"
printf '%s\n' 'executable = /bin/sleep' 'arguments = 1' 'transfer_executable = False' 'should_transfer_files = YES' \
  'request_memory = 16' 'queue' >"$experiments/nested/sleep.sub"
for round in 1 2; do
  for node in {1..24}; do echo "JOB r$round-n$node sleep.sub"; done >"$experiments/nested/r$round.dag"
done
printf '%s\n' 'SUBDAG EXTERNAL r1 r1.dag' 'SUBDAG EXTERNAL r2 r2.dag' 'PARENT r1 CHILD r2' >"$experiments/nested/nested.dag"
chown -R 1000:1000 "$experiments/nested"
fedwing submit nested
deadline=$((SECONDS + 60))
until (($(ended_well nested r1 2>/dev/null | wc -l) >= 6)); do
  ((SECONDS < deadline)) || fail "the first DAG's nodes did not end within 60 s"
  sleep 0.2
done
fedwing cancel nested
fedwing status nested
fedwing resume nested
fedwing watch nested | tail -n 1
for round in 1 2; do
  [[ $(ended_well nested r$round | wc -l) == 24 && $(ended_well nested r$round | sort -u | wc -l) == 24 ]] ||
    fail "of round $round's 24 nodes $(ended_well nested r$round | sort -u | wc -l) ended well, in $(ended_well nested r$round | wc -l) endings"
done
