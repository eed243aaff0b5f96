# The product without the embedded engines: set SCANHOP_POSTGRES_DSN, SCANHOP_REDIS_URL and SCANHOP_CLICKHOUSE_URL.
#   docker run scanhop migrate | edge | ingest | api | worker
FROM python:3.13 AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/scanhop \
    && /opt/scanhop/bin/pip install --no-cache-dir -c constraints.txt . \
    && /opt/scanhop/bin/python -m compileall -q /opt/scanhop/lib

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/scanhop --create-home scanhop
COPY --from=build /opt/scanhop /opt/scanhop
ENV PATH=/opt/scanhop/bin:$PATH \
    SCANHOP_DATA_DIR=/var/lib/scanhop \
    SCANHOP_EDGE_BIND=0.0.0.0:8080 \
    SCANHOP_API_BIND=0.0.0.0:8000
USER scanhop
VOLUME /var/lib/scanhop
EXPOSE 8080 8000
ENTRYPOINT ["scanhop"]
CMD ["--help"]
