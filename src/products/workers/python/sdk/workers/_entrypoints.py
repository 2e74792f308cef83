"""The classes that a Worker exports."""

import functools
import inspect

from ._bindings import Binding, Context, Environment
from ._convert import class_name, python_from_rpc, python_to_rpc
from ._http import Request
from ._workflows import Step


def _python_side(ctx, env):
    return (
        ctx if isinstance(ctx, Context) else Context(ctx),
        env if isinstance(env, Environment) else Environment(env),
    )


class _Exported:
    """Has `self.ctx` and `self.env`, in which bindings take and give Python values."""

    def __init__(self, ctx, env):
        self.ctx, self.env = _python_side(ctx, env)

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        own = cls.__dict__.get("__init__")
        if own is None:
            return

        @functools.wraps(own)
        def initialised(self, ctx, env, *rest):
            own(self, *_python_side(ctx, env), *rest)

        cls.__init__ = initialised


class WorkerEntrypoint(_Exported):
    """A Worker's entrypoint; `Default` is the one that requests and events go to."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        queue = cls.__dict__.get("queue")
        if queue is not None:

            @functools.wraps(queue)
            def with_batch(self, batch, *rest):
                return queue(self, Binding(batch), *rest)

            cls.queue = with_batch


class DurableObject(_Exported):
    """A class of Durable Objects."""


class WorkflowEntrypoint(_Exported):
    """A workflow: `run(event, step)`."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        run = cls.__dict__.get("run")
        if run is not None:

            @functools.wraps(run)
            async def with_step(self, event, step, *_rest):
                result = run(self, python_from_rpc(event), Step(step))
                return python_to_rpc(await result if inspect.isawaitable(result) else result)

            cls.run = with_step


def handler(function):
    """For functions of the older form, `on_fetch` and its like: they get Python's values."""

    @functools.wraps(function)
    def wrapped(*arguments):
        given = list(arguments)
        if given and class_name(given[0]) == "Request":
            given[0] = Request(given[0])
        if len(given) > 1:
            given[1] = Environment(given[1])
        return function(*given)

    return wrapped
