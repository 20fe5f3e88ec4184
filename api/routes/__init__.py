from api.routes import (
    base_models,
    deletion_requests,
    estimates,
    health,
    jobs,
    methods,
    metrics,
    packages,
    policies,
    probes,
    problems,
)

ROUTERS = (
    deletion_requests.router,
    estimates.router,
    jobs.router,
    packages.router,
    probes.router,
    base_models.router,
    methods.router,
    policies.router,
    health.router,
    metrics.router,
    problems.router,
)
