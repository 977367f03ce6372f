# docker build -f containers/fl-client.Dockerfile -t fl-client .
FROM debian:trixie-slim
COPY target/dist/fl-client target/dist/fl-aggregator /usr/local/bin/
USER nobody
ENTRYPOINT ["fl-client"]
