#!/usr/bin/env bash
# Parity and speed on a GPU of this machine: benches/peers/gpu.sh cuda:0 | webgpu:0
#
# First the networks against the CPU (gpu/tests/parity.rs), then milliseconds of training steps, ours and, with CUDA and a
# PyTorch that has it, PyTorch's in the same run. One JSON object a line on standard output. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
device="${1:?usage: benches/peers/gpu.sh cuda:0 | webgpu:0}"
feature="${device%%:*}"
case "$feature" in cuda | webgpu) ;; *) echo "the device must be cuda:N or webgpu:N, not $device" >&2; exit 2 ;; esac
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/gpu}"
python="${PYTHON:-python3}"
cargo=(--manifest-path gpu/Cargo.toml --locked --release --features "$feature")

{ nvidia-smi -L || echo "nvidia-smi is not here"; git rev-parse HEAD; } >&2
FEDWING_GPU="$device" cargo test "${cargo[@]}" >&2
cargo build "${cargo[@]}" --example steps >&2
torch=no
if [[ "$feature" == cuda ]]; then
  if "$python" -c 'import torch, torchvision; assert torch.cuda.is_available()' 2>/dev/null; then
    torch=yes
  else
    echo "SKIPPED: PyTorch: $python has none that can use CUDA" >&2
  fi
fi
for case in "small_cnn 32" "resnet18 8" "resnet18 32" "resnet50 32" "densenet121 32" "efficientnet_b0 32"; do
  read -r arch batch <<<"$case"
  "$CARGO_TARGET_DIR/release/examples/steps" "$device" "$arch" "$batch" 30
  if [[ "$torch" == yes ]]; then
    "$python" benches/peers/gpu_torch.py "$device" "$arch" "$batch" 30
  fi
done
