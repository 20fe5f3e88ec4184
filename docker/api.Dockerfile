# syntax=docker/dockerfile:1
# The light half: API, sweeper and `lethe migrate`. No torch, so it is small and starts in a second.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY api api
COPY cli cli
COPY core core
COPY worker worker
# The lock only constrains: what the two extras do not need, torch above all, is not installed.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/lethe \
    && /opt/lethe/bin/pip install --constraint requirements.lock '.[api,cli]'
# A dependency that brings torch back should stop the build, not double the image.
RUN /opt/lethe/bin/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is not None)'

FROM python:3.11.14-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp lethe
COPY --from=build /opt/lethe /opt/lethe
ENV PATH=/opt/lethe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
# Liveness only: no restart of this process would mend a broker that is away, and /readyz already says so.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# The access log is off because it prints query strings, and those hold what clients call their cases.
CMD ["uvicorn", "--factory", "api.main:create_app_from_environment", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--timeout-graceful-shutdown", "20"]
