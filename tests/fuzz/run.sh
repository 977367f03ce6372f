#!/usr/bin/env bash
# Fuzzes each target for a number of seconds (600 when not given): tests/fuzz/run.sh [SECONDS] [TARGET..]
# SEED=N looks where it looked the last time; otherwise every run goes elsewhere.
# Needs cargo-fuzz. Coverage is asked for by flags that a stable compiler takes with RUSTC_BOOTSTRAP only.
set -euo pipefail
cd "$(dirname "$0")/../.."
export RUSTC_BOOTSTRAP=1
seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(reader aggregate arguments jpeg pictures dicom pytorch
  event_log dagman_out kickstart nodes run_files specification workflow pool_file sweep_list)
python3 tests/fuzz/make_corpus.py
for target in "${targets[@]}"; do
  cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" -- \
    -seed="${SEED:-0}" -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1
done
