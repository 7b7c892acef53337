# One service on a CUDA base: today the retriever on faiss-gpu (the encoder's GPU is in the vLLM image).
#
#   docker build -f deploy/docker/gpu.Dockerfile --build-arg SERVICE=retriever -t trimtab/retriever-gpu .
#
# The same as cpu.Dockerfile but for the base and for FAISS. Not run by us: no engine was at hand.

FROM nvidia/cuda:12.6.3-base-ubuntu24.04 AS build
ARG SERVICE
# Extras to install: the service's own; "encoder,otlp" adds tracing, "encoder-vllm" another backend, "mapper,mapper-llm" language models.
ARG EXTRA=${SERVICE}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Pinning apt versions would break the build at the distribution's next security update.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY libs/ libs/
COPY services/__init__.py services/__init__.py
COPY services/${SERVICE}/ services/${SERVICE}/
# The builder's packages stay in this stage; the venv is all that is taken along.
RUN python3 -m venv /builder \
 && /builder/bin/pip install --no-cache-dir --constraint constraints.txt hatchling \
 && /builder/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python3 -m venv /app/venv
ENV PATH=/app/venv/bin:$PATH
# Both wheels install the module `faiss`; the GPU one must be the one that is left.
RUN pip install --no-cache-dir --constraint constraints.txt "$(echo /wheels/*.whl)[${EXTRA}]" \
 && if [ "${SERVICE}" = retriever ]; then \
      pip uninstall --yes faiss-cpu \
   && pip install --no-cache-dir faiss-gpu==1.15.1; \
    fi

FROM nvidia/cuda:12.6.3-base-ubuntu24.04
ARG SERVICE
LABEL org.opencontainers.image.title="trimtab-${SERVICE}-gpu" \
      org.opencontainers.image.licenses="Apache-2.0"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /var/lib/trimtab \
 && chown 65534:65534 /var/lib/trimtab
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
ENTRYPOINT ["/bin/sh", "-c", "exec python -m services.${SERVICE}"]
