"""What the platform calls of a Python Worker (`start.worker.ts`): runs its main module, says what that exports, and calls
its classes and functions. Arguments and results cross between the languages here and in `workers`, which may be the
platform's or one that the Worker brings."""

import functools
import importlib
import inspect
import sys

import js
import pyodide.http
from pyodide.ffi import to_js

# Events: their arguments stay what the runtime gives, followed by `env` and `ctx`.
HANDLERS = {
    "alarm", "email", "fetch", "queue", "run", "scheduled", "tail", "tailStream", "test", "trace",
    "webSocketClose", "webSocketError", "webSocketMessage",
}  # fmt: skip
KINDS = {"WorkerEntrypoint": "entrypoint", "DurableObject": "durable-object", "WorkflowEntrypoint": "workflow"}

_main = None
_workers = None
_seeded = False


def start(main, paths):
    global _main, _workers
    sys.dont_write_bytecode = True
    sys.path[:0] = list(paths)
    importlib.invalidate_caches()
    _allow_responses_without_url()
    _workers = importlib.import_module("workers")
    _main = importlib.import_module(main)


def _allow_responses_without_url():
    """The SDK of packages makes every response one of Pyodide's, which takes its URL for that of a request."""
    own = pyodide.http.FetchResponse.__init__

    @functools.wraps(own)
    def initialised(self, request, *rest, **options):
        own(self, request or "http://response.invalid/", *rest, **options)

    pyodide.http.FetchResponse.__init__ = initialised


def _class(name):
    value = getattr(_main, name, None)
    if not inspect.isclass(value):
        return None, None
    for base_name, kind in KINDS.items():
        base = getattr(_workers, base_name)
        if issubclass(value, base) and value is not base:
            return value, kind
    return None, None


def exported(name):
    """Kind and methods of the class of that name, or None."""
    value, kind = _class(name)
    if value is None:
        return None
    methods = {
        method
        for level in value.__mro__
        if level is not object and level.__module__.partition(".")[0] != "workers"
        for method, member in vars(level).items()
        if inspect.isfunction(member) and not method.startswith("_")
    }
    return to_js({"kind": kind, "methods": sorted(methods)}, dict_converter=js.Object.fromEntries)


def handlers():
    """Events that functions of the older form handle: `on_fetch` and its like."""
    names = [name[3:] for name, member in vars(_main).items() if name.startswith("on_") and callable(member)]
    return to_js(names)


def construct(name, context, env):
    _seed()
    return _class(name)[0](context, env)


def _seed():
    """The snapshot that all Workers start from has one state of `random`: each makes its own when there is entropy."""
    global _seeded
    if _seeded:
        return
    _seeded = True
    if "random" in sys.modules:
        sys.modules["random"].seed()


def _taken(function, arguments):
    """As many of the arguments as the function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return arguments
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return arguments[: len(positional)]


async def _result(value):
    return await value if inspect.isawaitable(value) else value


async def invoke(instance, method, arguments):
    """Calls a method of an instance: a handler by its event, any other as RPC."""
    function = getattr(instance, method)
    if method not in HANDLERS:
        given = [_workers.python_from_rpc(argument) for argument in arguments]
        return _workers.python_to_rpc(await _result(function(*given)))
    given = list(arguments)
    if method == "fetch":
        given[0] = _workers.Request(given[0])
    result = await _result(function(*_taken(function, [*given, instance.env, instance.ctx])))
    return None if result is None else _workers.python_to_rpc(result)


async def handle(name, arguments):
    """Calls a function of the older form, which takes what the runtime gives."""
    _seed()
    function = getattr(_main, f"on_{name}")
    result = await _result(function(*_taken(function, list(arguments))))
    return None if result is None else _workers.python_to_rpc(result)


async def awaited(value):
    return await value
