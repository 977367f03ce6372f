# cargo xtask dist && docker build -f containers/fl-client.Dockerfile -t fl-client .
# The programs need nothing of the base; Pegasus and HTCondor run shell scripts in a job's container. Another one:
# --build-arg BASE=debian@sha256:...
ARG BASE=debian:trixie-slim@sha256:d7e12182ce18b85b93007c1dedf31f2d29e01ccf3182cc4017c709b6259bc132
FROM ${BASE}
ARG DIST=target/x86_64-unknown-linux-gnu/dist
COPY ${DIST}/fl-client ${DIST}/fl-aggregator /usr/local/bin/
USER nobody
ENTRYPOINT ["fl-client"]
