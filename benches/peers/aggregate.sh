#!/usr/bin/env bash
# Measures aggregation, files to file, beside its peers in one run and writes benches/results/aggregate.md.
#   benches/peers/aggregate.sh [--anyway] [--runs 5] [--clients 10,50] [--out FILE]
# Makes what is missing: the peers' environment (5 GB), 50 updates (4.5 GB) and the programs, under target/peers.
# Needs about 8 GB of memory that nobody else uses, so that the updates stay in the page cache. `--anyway` measures on a
# busy machine too, prints, and publishes nothing. FEDWING_PEERS_VENV: an environment that is there already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/peers
venv=${FEDWING_PEERS_VENV:-$work/venv}
mkdir -p "$work"
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --no-deps -r "$here/requirements.txt"
fi
cc -O3 -march=native -pthread "$here/floor.c" -o "$work/floor"
if [ -z "${FEDWING_AGGREGATOR:-}" ]; then
  cargo build --quiet --release --package fl-aggregator --manifest-path "$root/Cargo.toml"
  FEDWING_AGGREGATOR=$root/target/release/fl-aggregator
fi
export FEDWING_AGGREGATOR
# The driver is a small interpreter without libraries: a child's largest resident size is never below its parent's.
exec python3 -S "$here/aggregate.py" "$root" "$venv/bin/python" "$@"
