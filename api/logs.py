import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Write one JSON object a line to stderr.

    Uvicorn's own access log is switched off: it prints query strings, and those hold what clients call their cases.
    """
    logging.getLogger("uvicorn.access").disabled = True
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
