"""Runs the code of one Python context: requests come as lines of JSON on descriptor 3, what happens is told on descriptor 4.

Not a sandbox: that is the container. Standard library alone, so that it runs under whichever python3 an image has; pandas,
matplotlib and others are known only by the protocols that they offer notebooks (`_repr_html_` and its kind, pyplot's figures).
"""

import ast
import asyncio
import base64
import builtins
import inspect
import io
import json
import linecache
import os
import sys
import traceback
import warnings

os.environ.setdefault("MPLBACKEND", "Agg")
warnings.filterwarnings("ignore", message=".*non-interactive.*")

for descriptor in (3, 4):
    os.set_inheritable(descriptor, False)
requests = os.fdopen(3, "r", encoding="utf-8")
events = os.fdopen(4, "w", encoding="utf-8")
scope = {"__name__": "__main__", "__builtins__": builtins}
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


def tell(event):
    events.write(json.dumps(event, default=str) + "\n")
    events.flush()


class Output(io.TextIOBase):
    """Text on its way to the caller, by lines or in pieces of 8 KiB."""

    def __init__(self, kind):
        self.kind = kind
        self.waiting = ""

    def writable(self):
        return True

    def write(self, text):
        self.waiting += text
        if "\n" in text or len(self.waiting) > 8192:
            self.flush()
        return len(text)

    def flush(self):
        if self.waiting:
            text, self.waiting = self.waiting, ""
            tell({"type": self.kind, "text": text})


BY_METHOD = (
    ("_repr_html_", "html"),
    ("_repr_png_", "png"),
    ("_repr_jpeg_", "jpeg"),
    ("_repr_svg_", "svg"),
    ("_repr_latex_", "latex"),
    ("_repr_markdown_", "markdown"),
    ("_repr_json_", "json"),
    ("_repr_javascript_", "javascript"),
)
BY_TYPE = {
    "text/plain": "text",
    "text/html": "html",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/svg+xml": "svg",
    "text/latex": "latex",
    "text/markdown": "markdown",
    "application/json": "json",
    "application/javascript": "javascript",
}


def sendable(value):
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def shown(value):
    """A value in every form it knows."""
    result = {"text": repr(value)}
    bundle = getattr(value, "_repr_mimebundle_", None)
    if callable(bundle) and not inspect.isclass(value):
        said = bundle()
        for kind, data in (said[0] if isinstance(said, tuple) else said or {}).items():
            if kind in BY_TYPE:
                result[BY_TYPE[kind]] = sendable(data)
    for method, form in BY_METHOD:
        render = getattr(value, method, None)
        if not callable(render) or inspect.isclass(value) or form in result:
            continue
        said = render()
        if said is not None:
            result[form] = sendable(said[0] if isinstance(said, tuple) else said)
    if isinstance(value, (dict, list)):
        try:
            json.dumps(value, allow_nan=False)
            result["json"] = value
        except (TypeError, ValueError):
            pass
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and isinstance(value, pyplot.Figure):
        result.update(drawn(value))
        pyplot.close(value)
    return result


def display(*values):
    for value in values:
        sys.stdout.flush()
        tell({"type": "result", **shown(value), "metadata": {}})


def numbers(values):
    return [value.item() if hasattr(value, "item") else value for value in values]


def chart(figure):
    """What the first axes of a figure show, as data."""
    axes = figure.axes[0]
    labels = {"title": axes.get_title() or None, "layout": {"xLabel": axes.get_xlabel(), "yLabel": axes.get_ylabel()}}
    names = {type(artist).__name__ for artist in (*axes.patches, *axes.collections, *axes.images)}
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    if "Wedge" in names:
        kind = "pie"
        data = [{"label": wedge.get_label(), "value": abs(wedge.theta2 - wedge.theta1) / 360} for wedge in axes.patches]
    elif axes.images:
        kind, data = "heatmap", [numbers(row) for row in axes.images[0].get_array()]
    elif axes.containers and hasattr(axes.containers[0], "patches"):
        bars = [bar for container in axes.containers for bar in container.patches]
        adjacent = len(bars) > 1 and all(
            abs(left.get_x() + left.get_width() - right.get_x()) < 1e-9 for left, right in zip(bars, bars[1:])
        )
        kind = "histogram" if adjacent else "bar"
        data = [
            {"x": ticks[index] if len(ticks) == len(bars) and ticks[index] else float(bar.get_x() + bar.get_width() / 2), "y": float(bar.get_height())}
            for index, bar in enumerate(bars)
        ]
    elif "PathCollection" in names:
        kind = "scatter"
        data = [{"x": float(x), "y": float(y)} for collection in axes.collections for x, y in collection.get_offsets()]
    elif axes.lines:
        kind = "line"
        data = [
            {"label": line.get_label(), "x": numbers(line.get_xdata()), "y": numbers(line.get_ydata())} for line in axes.lines
        ]
    else:
        kind, data = "unknown", None
    return {"type": kind, **labels, "data": data, "library": "matplotlib"}


def drawn(figure):
    image = io.BytesIO()
    figure.savefig(image, format="png", bbox_inches="tight")
    result = {"png": sendable(image.getvalue())}
    if figure.axes:
        result["chart"] = chart(figure)
    return result


def tell_figures():
    """Figures that the code drew and did not close: what `show` would have put on the screen."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        tell({"type": "result", "text": repr(figure), **drawn(figure), "metadata": {}})
    pyplot.close("all")


def evaluate(compiled):
    value = eval(compiled, scope)
    return loop.run_until_complete(value) if compiled.co_flags & inspect.CO_COROUTINE else value


def run(code, name):
    """Runs the code; when its last statement is an expression, that expression's value is a result."""
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    tree = ast.parse(code, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    evaluate(compile(tree, name, "exec", flags))
    value = evaluate(compile(ast.Expression(last.value), name, "eval", flags)) if last else None
    sys.stdout.flush()
    if value is not None and not (isinstance(value, list) and value and "matplotlib" in type(value[0]).__module__):
        tell({"type": "result", **shown(value), "metadata": {}})
        scope["_"] = value
    tell_figures()


def failure(error, name):
    """The error with the frames of the caller's code, without those of this file."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != name:
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    return {"type": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": "".join(lines).splitlines()}


def main():
    builtins.display = display
    sys.stdout, sys.stderr = Output("stdout"), Output("stderr")
    sys.path.insert(0, os.getcwd())
    for count, line in enumerate(requests, 1):
        name = f"<cell {count}>"
        ended = {"type": "execution_complete", "execution_count": count}
        try:
            run(json.loads(line)["code"], name)
        except BaseException as error:
            # Also SystemExit, and the KeyboardInterrupt that a timeout sends: the context lives on.
            ended = failure(error, name)
        sys.stdout.flush()
        sys.stderr.flush()
        tell({**ended, "last": True})


main()
