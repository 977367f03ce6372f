#!/usr/bin/env bash
# Measures training and inference on the CPU beside PyTorch in one run and writes benches/results/train.md.
#   benches/peers/train.sh [--anyway] [--runs 3] [--steps 8] [--arch NAME ...] [--out FILE]
# Makes what is missing: the peers' environment and the programs, under target/peers. `--anyway` measures on a busy
# machine too, prints, and publishes nothing. FEDWING_TRAIN_VENV: an environment that is there already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/peers
venv=${FEDWING_TRAIN_VENV:-$work/venv-train}
mkdir -p "$work"
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet -r "$here/requirements-train.txt"
fi
cargo build --quiet --release --package benches --bin train_step --manifest-path "$root/Cargo.toml"
programs=$(cd "$root" && cargo xtask dist)
binary=$(sed -n 's/ [0-9.]* MB$//; /fl-client$/p' <<<"$programs")
exec python3 -S "$here/train.py" "$root" "$venv/bin/python" "$binary" "$@"
