from api.routes import base_models, deletion_requests, health, jobs, methods, metrics, packages, problems

ROUTERS = (
    deletion_requests.router,
    jobs.router,
    packages.router,
    base_models.router,
    methods.router,
    health.router,
    metrics.router,
    problems.router,
)
