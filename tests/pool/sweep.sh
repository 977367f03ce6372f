#!/usr/bin/env bash
# A sweep of four points, two at once, on the pool that run.sh has started: submitted, stopped in the middle, continued, compared.
#
#   tests/pool/sweep.sh POOL EXPERIMENTS
#
# In, by environment: FEDWING_BIN (a folder of binaries; target/debug when not given). Every job of every point must end well
# exactly once, and no more points may run at once than the sweep says.
set -euo pipefail
cd "$(dirname "$0")/../.."
pool=$1 experiments=$2 bin=${FEDWING_BIN:-target/debug}

fail() { echo "FAILED: $*" >&2; exit 1; }
fedwing() { "$pool" run sweep-bin/fedwing "$@"; }

mkdir -p "$experiments/sweep-bin"
for binary in fedwing fl-client fl-aggregator; do cp "$bin/$binary" "$experiments/sweep-bin/"; done
cat >"$experiments/sweep.yml" <<'SPEC'
fedwing: 1
name: pool
seed: 1
datasets:
  drawn:
    source: {phantom: {patients: 60, sites: 2}}
    task: {binary: {negative: [No Finding]}}
    image: {size: 16}
    test: {fraction: 0.25}
    clients: {count: 2, by: natural}
model: {arch: small_cnn}
federation:
  algorithm: fedavg
  rounds: 2
  local: {epochs: 1, batch_size: 16, optimizer: {sgd: {learning_rate: 0.05}}}
execution: {resources: {train: {cpus: 1, memory: 512 MiB}}}
sweep:
  at_once: 2
  grid:
    execution.layout: [flat, rounds]
    seed: [1, 2]
SPEC
chown -R 1000:1000 "$experiments"/{sweep-bin,sweep.yml}
fedwing generate sweep.yml -o sweep --target dagman >/dev/null

fedwing submit sweep >/dev/null
deadline=$((SECONDS + 120))
until fedwing status sweep | grep -q '^  pool-rounds-s1: running'; do
  ((SECONDS < deadline)) || fail "the third point did not begin within 120 s: $(fedwing status sweep)"
  sleep 1
done
fedwing status sweep | awk '/^  pool-.*: running/{n++} END{exit n > 2}' || fail "more points run than two"
fedwing cancel sweep | grep -q '^stopped: ' || fail "the sweep is not stopped"
fedwing resume sweep >/dev/null
fedwing watch sweep >"$experiments/sweep.watched"
tail -n 1 "$experiments/sweep.watched" | grep -q '^done: 4 of 4 points done; jobs: 48 of 48 done$' ||
  fail "watch ended with: $(tail -n 1 "$experiments/sweep.watched")"

# Jobs that ended well, by cluster: a log that was kept says again what the log says.
for point in "$experiments"/sweep/points/*; do
  find "$point" -name '*.nodes.log*' -exec cat {} + |
    awk '/^000 /{id = $2} /DAG Node: /{if (id != "") node[id] = $3; id = ""} /^005 /{over = $2}
         /Normal termination \(return value 0\)/{if (over != "") print over, node[over]; over = ""}' |
    sort -u | cut -d' ' -f2 | grep -Ev '^(round|clean)-' | sort >"$experiments/sweep.well"
  sed 's/^{"job":"\([^"]*\)".*/\1/' "$point/jobs.jsonl" | sort | diff - "$experiments/sweep.well" >"$experiments/sweep.differ" ||
    fail "${point##*/}: not every job ended well exactly once: $(head -n 5 "$experiments/sweep.differ")"
done

fedwing report sweep >/dev/null
grep -q '^# pool (SYNTHETIC data): 4 points, done$' "$experiments/sweep/report/report.md" || fail "the comparison is not whole"
echo "a sweep of 4 points, stopped and continued: 48 jobs, each done once"
