from api.routes import base_models, deletion_requests, health, jobs, metrics, packages, problems

ROUTERS = (
    deletion_requests.router,
    jobs.router,
    packages.router,
    base_models.router,
    health.router,
    metrics.router,
    problems.router,
)
