# syntax=docker/dockerfile:1
# The heavy half: Celery worker, runner and `lethe models add`, on CUDA.
#
# The base is plain Python and not nvidia/cuda: torch's Linux wheels depend on the CUDA libraries they were built
# against as packages (nvidia-*, pinned by torch itself), so a CUDA base would bring a second, unused copy of several
# gigabytes, and a version to keep in step by hand. From the host comes the driver alone, by the NVIDIA Container
# Toolkit. Where the package index gives torch's CPU build, this file makes a CPU image.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# torch first and alone: gigabytes that only a new lock may invalidate, never a changed line of ours.
COPY requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/lethe \
    && /opt/lethe/bin/pip install --constraint requirements.lock torch
COPY pyproject.toml README.md LICENSE ./
COPY cli cli
COPY core core
COPY worker worker
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/lethe/bin/pip install --constraint requirements.lock '.[worker,cli]'

FROM python:3.11.14-slim-bookworm
# The directories are made here so that a fresh volume mounted on them belongs to us.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp lethe \
    && install --directory --owner=lethe --group=lethe --mode=0700 /scratch /huggingface \
    && install --directory /models
COPY --from=build /opt/lethe /opt/lethe
# The two NVIDIA variables are what an nvidia/cuda base would have set for the Container Toolkit.
ENV PATH=/opt/lethe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HF_HOME=/huggingface \
    HF_HUB_DISABLE_TELEMETRY=1 \
    LETHE_WORK_DIR=/scratch
WORKDIR /tmp
USER 10001:10001
# Whether this worker reaches broker and database. That it also consumes, it watches itself: a deaf worker ends.
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from worker.composition import open_backends; from worker.settings import WorkerSettings; parts = open_backends(WorkerSettings()); parts.queue.depth(); parts.jobs.count_by_state()"]
CMD ["lethe", "worker"]
