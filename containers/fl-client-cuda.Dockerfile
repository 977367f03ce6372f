# cargo build --manifest-path gpu/Cargo.toml --locked --release --features cuda
# docker build -f containers/fl-client-cuda.Dockerfile -t fl-client-cuda .
# For jobs that ask for a GPU alone. The base brings NVRTC and the toolkit's headers, which compile kernels when they are first
# used; its C library must not be older than the building machine's.
ARG BASE=nvidia/cuda:12.9.1-devel-ubuntu24.04@sha256:020bc241a628776338f4d4053fed4c38f6f7f3d7eb5919fecb8de313bb8ba47c
FROM ${BASE}
COPY gpu/target/release/fl-client /usr/local/bin/
USER nobody
ENTRYPOINT ["fl-client"]
