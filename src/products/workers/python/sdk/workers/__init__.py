"""The Workers runtime for Python, as Cloudflare's documentation of Python Workers describes it: what Workers without a
package of their own by this name import. https://developers.cloudflare.com/workers/languages/python/"""

from ._bindings import Environment as _Environment
from ._convert import python_from_rpc, python_to_rpc
from ._entrypoints import DurableObject, WorkerEntrypoint, WorkflowEntrypoint, handler
from ._http import Blob, File, FormData, Request, Response, fetch
from ._runtime import import_from_javascript

__all__ = [
    "Blob",
    "DurableObject",
    "File",
    "FormData",
    "Request",
    "Response",
    "WorkerEntrypoint",
    "WorkflowEntrypoint",
    "env",
    "fetch",
    "handler",
    "import_from_javascript",
    "python_from_rpc",
    "python_to_rpc",
    "waitUntil",
    "wait_until",
]


def __getattr__(name):
    if name == "env":
        return _Environment(import_from_javascript("cloudflare:workers").env)
    if name in ("waitUntil", "wait_until"):
        from ._runtime import wait_until

        return wait_until
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
