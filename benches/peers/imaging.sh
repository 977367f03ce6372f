#!/usr/bin/env bash
# Measures what an image costs from file to square beside its peers in one run and writes benches/results/imaging.md.
#   benches/peers/imaging.sh [--anyway] [--runs 3] [--out FILE]
# Makes what is missing: the peers' environment, drawn radiographs in every format (1 GB) and the programs, under
# target/peers. `--anyway` measures on a busy machine too, prints, and publishes nothing. FEDWING_IMAGING_VENV: an
# environment that is there already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/peers
venv=${FEDWING_IMAGING_VENV:-$work/venv-imaging}
mkdir -p "$work"
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet -r "$here/requirements-imaging.txt"
fi
cargo build --quiet --release --package benches --bin imaging --manifest-path "$root/Cargo.toml"
"$venv/bin/python" "$here/make_images.py" "$work/images"
exec python3 -S "$here/imaging.py" "$root" "$venv/bin/python" "$@"
