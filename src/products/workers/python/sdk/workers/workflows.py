"""Names of workflows' own."""

from ._workflows import NonRetryableError

__all__ = ["NonRetryableError"]
