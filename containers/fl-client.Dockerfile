# cargo xtask dist && docker build -f containers/fl-client.Dockerfile -t fl-client .
# The programs need nothing of the base; Pegasus and HTCondor run shell scripts in a job's container. Pin it to a digest of
# your registry: --build-arg BASE=debian@sha256:...
ARG BASE=debian:trixie-slim
FROM ${BASE}
ARG DIST=target/x86_64-unknown-linux-gnu/dist
COPY ${DIST}/fl-client ${DIST}/fl-aggregator /usr/local/bin/
USER nobody
ENTRYPOINT ["fl-client"]
