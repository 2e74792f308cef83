"""Bindings: the runtime's objects, which take and give Python values."""

import _pyodide_entrypoint_helper as host
from pyodide.ffi import JsProxy

from ._convert import class_name, python_from_rpc, python_to_rpc

# Values that mean something as they are, in a response for instance.
PLAIN = {
    "ArrayBuffer", "Blob", "DataView", "FormData", "Headers", "ReadableStream", "Response", "URLSearchParams",
    "Uint8Array", "Uint8ClampedArray", "Int8Array", "Uint16Array", "Int16Array", "Uint32Array", "Int32Array",
    "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array",
}  # fmt: skip


class Binding:
    """An object of the runtime: calls convert their arguments, and their results when they are there."""

    def __init__(self, js_object):
        self.js_object = js_object

    def __getattr__(self, name):
        member = getattr(self.js_object, name)
        return self._method(member) if callable(member) else converted(member)

    def _method(self, member):
        def call(*arguments, **options):
            given = [python_to_rpc(argument) for argument in arguments]
            result = member(*given, **{key: python_to_rpc(value) for key, value in options.items()})
            return _awaited(result) if hasattr(result, "then") else converted(result)

        return call

    def __getitem__(self, key):
        return converted(self.js_object[key])

    def __len__(self):
        return len(self.js_object)

    def __iter__(self):
        return map(converted, self.js_object)

    def __bool__(self):
        return True


class Function(Binding):
    """A function of the other side of an RPC."""

    def __call__(self, *arguments):
        return self._method(self.js_object)(*arguments)


class Service(Binding):
    """Whatever has `fetch()`: a Worker, a Durable Object."""

    def fetch(self, *arguments, **options):
        from ._http import fetch

        return fetch(*arguments, fetcher=self.js_object.fetch, **options)


def converted(value):
    """A result of the runtime's: its Python value, or the object with calls that convert."""
    value = python_from_rpc(value)
    if isinstance(value, list):
        return [_wrapped(item) for item in value]
    return _wrapped(value)


def _wrapped(value):
    if not isinstance(value, JsProxy) or class_name(value) in PLAIN:
        return value
    if class_name(value) in ("Fetcher", "DurableObject", "DurableObjectStub"):
        return Service(value)
    return Function(value) if callable(value) else Binding(value)


async def _awaited(promise):
    return converted(await promise)


class Environment:
    """`env`: each binding by its name."""

    def __init__(self, env):
        self.js_object = env

    def __getattr__(self, name):
        value = getattr(self.js_object, name)
        if isinstance(value, JsProxy):
            value = converted(value)
        # Looked up once.
        setattr(self, name, value)
        return value


class Context:
    """`ctx`, and the state of a Durable Object."""

    def __init__(self, context):
        self.js_object = context

    def __getattr__(self, name):
        value = converted(getattr(self.js_object, name)) if name != "storage" else Binding(self.js_object.storage)
        if name in ("storage", "id", "props", "exports"):
            setattr(self, name, value)
        return value

    def waitUntil(self, awaitable):
        self.js_object.waitUntil(host.promise(awaitable))

    wait_until = waitUntil
