"""Values between Python and JavaScript, as they cross in RPC and in calls of bindings."""

import datetime
import inspect

import js
from pyodide.ffi import JsProxy, create_proxy, jsnull, to_js


def class_name(value):
    """Name of a JavaScript value's class, or None."""
    return getattr(getattr(value, "constructor", None), "name", None) if isinstance(value, JsProxy) else None


class Object(dict):
    """A JavaScript object: its properties are items and attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    __setattr__ = dict.__setitem__


def _known(value, _convert, _cache):
    from ._http import Blob, File, FormData, Request, Response

    match class_name(value):
        case "Response":
            return Response(value)
        case "Request":
            return Request(value)
        case "FormData":
            return FormData(value)
        case "File":
            return File(value)
        case "Blob":
            return Blob(value)
        case "Date":
            return datetime.datetime.fromtimestamp(value.getTime() / 1000)
        case "Error":
            return Exception(value.toString())
        case "Number" | "String" | "Boolean":
            return value.valueOf()
    return value


def _pythonic(value):
    if value is jsnull:
        return None
    if type(value) is dict:
        return Object((key, _pythonic(item)) for key, item in value.items())
    if type(value) is list:
        return [_pythonic(item) for item in value]
    return value


def python_from_rpc(value):
    """The Python value of a JavaScript one; what has none stays a proxy."""
    if value is jsnull:
        return None
    if not isinstance(value, JsProxy):
        return value
    return _pythonic(value.to_py(default_converter=_known))


def _foreign(value, _convert, _cache):
    if hasattr(value, "js_object"):
        return value.js_object
    if isinstance(value, datetime.datetime):
        return js.Date.new(value.timestamp() * 1000)
    if isinstance(value, BaseException):
        return js.Error.new(str(value))
    if callable(value):
        # It may be called for as long as the other side keeps it.
        return create_proxy(value)
    raise TypeError(f"{type(value)} cannot be sent over RPC.")


def _with_null(value):
    if value is None:
        return jsnull
    if inspect.isawaitable(value) or isinstance(value, (tuple, bytearray)):
        raise TypeError(f"{type(value)} cannot be sent over RPC.")
    if isinstance(value, dict):
        return {key: _with_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_null(item) for item in value]
    return value


def python_to_rpc(value):
    """The JavaScript value of a Python one. Raises TypeError for what has none."""
    if isinstance(value, JsProxy):
        return value
    return to_js(_with_null(value), default_converter=_foreign, dict_converter=js.Object.fromEntries)
