#!/usr/bin/env bash
# Calibrates a pool file from one run on the personal pool and predicts two other runs with it: more clients and rounds, and
# nested DAGs. Prints a table in Markdown.
#
#   FEDWING_DATA=… benches/simulate.sh > benches/results/simulate.md      # as root; some five minutes
#
# FEDWING_BIN names a folder of job binaries; else those in target/debug are taken.
set -euo pipefail
cd "$(dirname "$0")/.."
pool=$PWD/containers/pool/pool
data=${FEDWING_DATA:-$PWD/../shared/data}/nih1000
bin=${FEDWING_BIN:-target/debug}
folder=$PWD/target/simulate-bench

# Name, clients, rounds, layout; the first is calibrated on, and nested, so that it tells what a nested DAG costs.
runs=("a 4 3 rounds" "b 8 5 flat" "c 4 4 rounds" "d 8 3 {chunks: 3}")

prepare() {
  rm -rf "$folder"
  mkdir -p "$folder/bin"
  for binary in fedwing fl-client fl-aggregator; do
    cp "$bin/$binary" "$folder/bin/"
    strip "$folder/bin/$binary"
  done
  cp -r "$data" "$folder/nih1000"
}

specification() {
  sed -e 's,\.\./\.\./shared/data/,,' -e "s/rounds: 5/rounds: $2/" -e '/^evaluation:/,$d' \
    -e "s/count: 4, by: {dirichlet: {alpha: 0.5}}/count: $1, by: iid/" examples/nih1000.yml
  printf 'execution:\n  layout: %s\n  resources: {train: {cpus: 1, memory: 1 GiB}}\n' "$3"
}

run() {
  local name=$1 deadline=$((SECONDS + 300))
  specification "$2" "$3" "$4" >"$folder/$name.yml"
  chown -R 1000:1000 "$folder/$name.yml"
  "$pool" run bin/fedwing generate "$name.yml" -o "$name" --target dagman >&2
  "$pool" run "$name/submit.sh" >&2
  until grep -q 'EXITING WITH STATUS' "$folder/$name/nih1000.dag.dagman.out" 2>/dev/null; do
    ((SECONDS < deadline)) || { echo "$name did not end" >&2; exit 1; }
    sleep 0.5
  done
  grep -q 'EXITING WITH STATUS 0' "$folder/$name/nih1000.dag.dagman.out" || { echo "$name failed" >&2; exit 1; }
}

predicted() {
  "$folder/bin/fedwing" simulate "$folder/$1.yml" --pool "$folder/pool.yml" --data "$folder/$1" --json |
    python3 -c 'import json, sys
for found in json.load(sys.stdin)["predictions"]:
    if found["target"] == "dagman":
        print(found["prediction"]["makespan_s"])'
}

row() {
  python3 - "$@" <<'PYTHON'
import json, sys

name, clients, rounds, layout, predicted, metrics = sys.argv[1:]
measured, predicted = json.load(open(metrics))["duration"], float(predicted)
print(f"| {name} | {clients} | {rounds} | `{layout}` | {measured:.1f} | {predicted:.1f} | {100 * (predicted / measured - 1):+.0f} % |")
PYTHON
}

prepare
chown -R 1000:1000 "$folder"
"$pool" up "$folder" --hosts 2 --slots 2 >&2
trap '"$pool" down >&2' EXIT
for words in "${runs[@]}"; do
  read -r name clients rounds layout <<<"$words"
  run "$name" "$clients" "$rounds" "$layout"
done
"$folder/bin/fedwing" calibrate "$folder/a" >"$folder/pool.yml"

cat <<TEXT
# Predictions beside runs on a pool

\`benches/simulate.sh\`; $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, commit $(git rev-parse --short HEAD). Two hosts of two slots each by
\`containers/pool\`, all on this machine, DAGMan; 1,000 radiographs of 64x64 pixels, \`small_cnn\`, 4 epochs a round. The pool file is derived
from run a by \`fedwing calibrate\`; the others are predicted with it.

| run | clients | rounds | layout | measured s | predicted s | error |
|---|---|---|---|---|---|---|
TEXT
for words in "${runs[@]}"; do
  read -r name clients rounds layout <<<"$words"
  row "$name" "$clients" "$rounds" "$layout" "$(predicted "$name")" "$folder/$name/nih1000.dag.metrics"
done
# shellcheck disable=SC2016 # the quotes of Markdown
printf '\nThe pool file of run a:\n\n```yaml\n%s\n```\n' "$(cat "$folder/pool.yml")"
