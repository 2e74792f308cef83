"""Steps of a workflow. https://developers.cloudflare.com/workflows/python/"""

import asyncio
import inspect

import _pyodide_entrypoint_helper as host
import js
from pyodide.ffi import JsException, create_proxy, to_js

from ._convert import python_from_rpc, python_to_rpc


class NonRetryableError(Exception):
    """Raised in a step, it fails the step without another try."""


class Step:
    """`step` of `run(event, step)`."""

    def __init__(self, js_object):
        self.js_object = js_object
        self._steps = {}

    def do(self, name=None, depends=None, concurrent=False, config=None):
        """Makes a function a step of that name (its own without one), which runs when it is called and awaited. Steps in
        `depends`, and those that the function's parameters name, run before it, once, and give it their results."""

        def decorate(function):
            title = function.__name__ if name is None else name
            parameters = [p for p in inspect.signature(function).parameters if p != "ctx"]
            if depends is None and any(p not in self._steps for p in parameters):
                raise TypeError(f"Step {title!r} takes parameters that are no steps, and has no 'depends'")
            if depends is not None and len(depends) != len(parameters):
                raise TypeError(f"Step {title!r} takes {len(parameters)} results and 'depends' has {len(depends)}")
            before = list(depends) if depends is not None else [self._steps[p] for p in parameters]
            task = None

            async def step():
                nonlocal task
                if task is None:
                    task = asyncio.ensure_future(self._run(title, function, before, concurrent, config))
                return await task

            self._steps[function.__name__] = self._steps[title] = step
            return step

        return decorate

    async def _run(self, title, function, before, concurrent, config):
        if concurrent:
            results = await asyncio.gather(*(step() for step in before))
        else:
            results = [await step() for step in before]
        takes_context = "ctx" in inspect.signature(function).parameters

        async def work(context=None):
            result = function(*results, **({"ctx": python_from_rpc(context)} if takes_context else {}))
            return python_to_rpc(await result if inspect.isawaitable(result) else result)

        options = [] if config is None else [to_js(config, dict_converter=js.Object.fromEntries)]
        try:
            return python_from_rpc(await self.js_object.do(title, *options, host.step(create_proxy(work))))
        except JsException as error:
            if error.name == "NonRetryableError":
                raise NonRetryableError(error.message) from error
            raise

    def sleep(self, name, duration):
        return self.js_object.sleep(name, duration)

    def sleep_until(self, name, time):
        return self.js_object.sleepUntil(name, time if isinstance(time, str) else python_to_rpc(time))

    async def wait_for_event(self, name, event_type, /, timeout="24 hours"):
        options = to_js({"type": event_type, "timeout": timeout}, dict_converter=js.Object.fromEntries)
        return python_from_rpc(await self.js_object.waitForEvent(name, options))
