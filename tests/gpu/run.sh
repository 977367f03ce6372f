#!/usr/bin/env bash
# Builds fl-client for WebGPU and compares it with the CPU, on a GPU or on Mesa's software driver (lavapipe).
#
#   tests/gpu/run.sh                         # on lavapipe; as root on Debian it is installed where it is missing
#   FEDWING_GPU=webgpu:0 tests/gpu/run.sh    # on that GPU of this machine
#
# Skips aloud, with exit status 0, where no Vulkan driver can be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/gpu}"

if [[ -z "${FEDWING_GPU:-}" ]]; then
  find_lavapipe() { find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' 2>/dev/null | head -n 1 || true; }
  driver=$(find_lavapipe)
  if [[ -z "$driver" ]] && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing mesa-vulkan-drivers"
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends mesa-vulkan-drivers libvulkan1; } >/dev/null 2>&1 || true
    driver=$(find_lavapipe)
  fi
  if [[ -z "$driver" ]]; then
    echo "SKIPPED: WebGPU is not tested: lavapipe (Debian's mesa-vulkan-drivers) is not here and cannot be installed"
    exit 0
  fi
  export VK_DRIVER_FILES="$driver" FEDWING_GPU=webgpu:0
fi

# Vulkan drivers want a folder of their own; a daemon has none.
if [[ -z "${XDG_RUNTIME_DIR:-}" ]]; then
  XDG_RUNTIME_DIR=$(mktemp -d)
  export XDG_RUNTIME_DIR
  trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi

cargo test --manifest-path gpu/Cargo.toml --locked --features webgpu "$@"
