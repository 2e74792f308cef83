"""Requests, responses and their bodies: the runtime's, by Python's names."""

import http
import http.client
import json
from collections.abc import Mapping, MutableMapping

import js
from pyodide.ffi import JsProxy, to_js

from ._convert import class_name


class Headers(http.client.HTTPMessage, Mapping):
    """Header fields; names in any case."""

    @classmethod
    def of(cls, headers):
        result = cls()
        for value in headers.getSetCookie():
            result.add_header("Set-Cookie", value)
        for name, value in headers:
            if name.lower() != "set-cookie":
                result.add_header(name, value)
        return result


def _headers(headers):
    if headers is None or isinstance(headers, JsProxy):
        return headers
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return js.Headers.new(to_js([[str(name), str(value)] for name, value in pairs]))


def _body(body):
    if isinstance(body, (bytes, bytearray, memoryview)):
        return to_js(body)
    return getattr(body, "js_object", body)


def _options(options):
    given = {key: value for key, value in options.items() if value is not None}
    if "headers" in given:
        given["headers"] = _headers(given["headers"])
    if "body" in given:
        given["body"] = _body(given["body"])
    if "method" in given:
        given["method"] = str(getattr(given["method"], "value", given["method"]))
    return to_js(given, dict_converter=js.Object.fromEntries)


class _Message:
    """What requests and responses have in common."""

    @property
    def headers(self):
        return Headers.of(self.js_object.headers)

    @property
    def body(self):
        return self.js_object.body

    @property
    def body_used(self):
        return self.js_object.bodyUsed

    bodyUsed = body_used

    @property
    def url(self):
        return self.js_object.url

    async def text(self):
        return await self.js_object.text()

    async def bytes(self):
        return (await self.js_object.arrayBuffer()).to_bytes()

    async def buffer(self):
        return await self.js_object.arrayBuffer()

    async def blob(self):
        return Blob(await self.js_object.blob())

    async def form_data(self):
        return FormData(await self.js_object.formData())

    formData = form_data


class Request(_Message):
    """A request: the runtime's, another one with changes, or a URL with the options of `fetch()`."""

    def __init__(self, input, **options):
        source = getattr(input, "js_object", input)
        self.js_object = source if class_name(source) == "Request" and not options else js.Request.new(source, _options(options))

    @property
    def method(self):
        return http.HTTPMethod(self.js_object.method)

    @property
    def cf(self):
        return self.js_object.cf

    @property
    def redirect(self):
        return self.js_object.redirect

    async def json(self, **options):
        return json.loads(await self.text(), **options)

    def clone(self):
        return Request(self.js_object.clone())

    def __repr__(self):
        return f"Request(method={self.js_object.method!r}, url={self.url!r})"


class _Json:
    """`Response.json(data)` makes a response, and `await response.json()` reads one."""

    def __get__(self, instance, owner):
        return owner.from_json if instance is None else instance._read_json


class Response(_Message):
    """A response: the runtime's, or one of a body, with a status and header fields."""

    json = _Json()

    def __init__(self, body=None, status=None, status_text="", headers=None, web_socket=None):
        if class_name(body) == "Response" and status is None and headers is None:
            self.js_object = body
            return
        options = {"status": int(status or 200), "statusText": status_text, "headers": headers, "webSocket": web_socket}
        self.js_object = js.Response.new(_body(body), _options(options))

    @staticmethod
    def from_json(data, status=200, status_text="", headers=None):
        text = json.dumps(data, default=_plain)
        response = Response(text, status, status_text, headers)
        if not response.js_object.headers.has("content-type") or headers is None:
            response.js_object.headers.set("content-type", "application/json")
        return response

    @staticmethod
    def redirect(url, status=302):
        return Response(js.Response.redirect(url, int(status)))

    @property
    def status(self):
        return self.js_object.status

    @property
    def status_text(self):
        return self.js_object.statusText

    @property
    def ok(self):
        return self.js_object.ok

    @property
    def js_response(self):
        return self.js_object

    async def _read_json(self, **options):
        return json.loads(await self.text(), **options)

    def replace_body(self, body):
        return Response(js.Response.new(_body(body), self.js_object))

    def clone(self):
        return Response(self.js_object.clone())

    def __repr__(self):
        return f"Response(status={self.status})"


def _plain(value):
    """Objects of JavaScript in what becomes JSON."""
    if isinstance(value, JsProxy):
        return json.loads(js.JSON.stringify(value))
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


async def fetch(resource, fetcher=None, **options):
    """The response to a request. Raises OSError where there is none."""
    send = fetcher or js.fetch
    return Response(await send(getattr(resource, "js_object", resource), _options(options)))


class Blob:
    """Bytes with a content type."""

    def __init__(self, parts, content_type=None):
        if isinstance(parts, JsProxy):
            self.js_object = parts
            return
        options = {} if content_type is None else {"type": content_type}
        self.js_object = js.Blob.new([_body(part) for part in _parts(parts)], to_js(options, dict_converter=js.Object.fromEntries))

    @property
    def size(self):
        return self.js_object.size

    @property
    def content_type(self):
        return self.js_object.type

    async def text(self):
        return await self.js_object.text()

    async def bytes(self):
        return (await self.js_object.arrayBuffer()).to_bytes()

    def slice(self, start=0, end=None, content_type=""):
        return Blob(self.js_object.slice(start, self.size if end is None else end, content_type))


def _parts(parts):
    return [parts] if isinstance(parts, (str, bytes, bytearray, memoryview, Blob)) else parts


class File(Blob):
    """A blob with a name."""

    def __init__(self, parts, filename="", content_type=None, last_modified=None):
        if isinstance(parts, JsProxy):
            super().__init__(parts)
            return
        options = {key: value for key, value in (("type", content_type), ("lastModified", last_modified)) if value is not None}
        self.js_object = js.File.new(
            to_js([_body(part) for part in _parts(parts)]), filename, to_js(options, dict_converter=js.Object.fromEntries)
        )

    @property
    def name(self):
        return self.js_object.name

    @property
    def last_modified(self):
        return self.js_object.lastModified


class FormData(MutableMapping):
    """Fields of a form; a name may have several values."""

    def __init__(self, fields=None):
        if isinstance(fields, JsProxy):
            self.js_object = fields
            return
        self.js_object = js.FormData.new()
        for name, value in (fields or {}).items():
            self.append(name, value)

    def __getitem__(self, name):
        if name not in self:
            raise KeyError(name)
        return _field(self.js_object.get(name))

    def __setitem__(self, name, value):
        self.js_object.set(name, _body(value))

    def __delitem__(self, name):
        self.js_object.delete(name)

    def __contains__(self, name):
        return self.js_object.has(name)

    def __iter__(self):
        return iter(dict.fromkeys(self.js_object.keys()))

    def __len__(self):
        return len(list(iter(self)))

    def append(self, name, value, filename=None):
        self.js_object.append(name, _body(value), *([] if filename is None else [filename]))

    def get_all(self, name):
        return [_field(value) for value in self.js_object.getAll(name)]


def _field(value):
    return File(value) if isinstance(value, JsProxy) else value
