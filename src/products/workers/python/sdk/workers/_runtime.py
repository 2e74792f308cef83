"""What is asked of the runtime beneath."""

import _pyodide_entrypoint_helper as host
from pyodide.ffi import JsException, run_sync


def import_from_javascript(name):
    """The module of that name. Those but `cloudflare:workers` and `cloudflare:sockets` need an invocation."""
    if name == "cloudflare:workers":
        return host.cloudflareWorkersModule
    if name == "cloudflare:sockets":
        return host.cloudflareSocketsModule
    try:
        return run_sync(host.doAnImport(name))
    except (JsException, RuntimeError) as error:
        raise ImportError(f"Failed to import {name!r}: {error}") from error


def wait_until(awaitable):
    """Goes on with the awaitable after the response, as `ctx.waitUntil()` does."""
    context = host.cloudflareWorkersModule
    context.waitUntil(host.promise(awaitable))
