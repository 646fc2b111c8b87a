"""One worker of the function app: the platform's own worker code around an unpacked zip, driven by lines of JSON.

Run by functions_host.py as `python3.13 -I -S functions_worker.py FOLDER`, so that nothing but the standard library and
the packages of the zip can be imported. Duck types stand for the messages that gRPC would carry. Each line on stdin is
{id, function, metadata, inputs: {name: {kind: value}}}; each line on stdout is {id, ok, outputs | error}. One comes
first: what was found in the app, or why it cannot be loaded.
"""

import asyncio
import json
import logging
import sys
import time
from importlib import import_module
from typing import Any


class Msg:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class Typed(Msg):
    """TypedData and ParameterBinding: the one field that is set says what kind it is."""

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 - protobuf's name
        return next((k for k in self.__dict__ if k != "name"), None)


class Protos:
    """Every other message type is made on demand."""

    TypedData = ParameterBinding = Typed
    StatusResult = type("StatusResult", (Msg,), {"Failure": 0, "Success": 1})
    BindingInfo = type(
        "BindingInfo", (Msg,), {"in": 0, "out": 1, "inout": 2, "undefined": 0, "string": 1, "binary": 2, "stream": 3}
    )

    def __getattr__(self, name: str) -> Any:
        made = type(name, (Msg,), {})
        setattr(self, name, made)
        return made


async def load(worker: Any, folder: str) -> dict[str, Any]:
    init = Msg(capabilities={}, function_app_directory=folder)
    request = Msg(request=Msg(worker_init_request=init), properties={"host": "127.0.0.1", "protos": Protos()})
    answer = await worker.worker_init_request(request)
    if answer.result.status != 1:
        raise RuntimeError(answer.result.exception.message)
    found = await worker.functions_metadata_request(request)
    return {f.name: f for f in found.function_metadata_results}


async def invoke(worker: Any, function: Any, asked: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: Typed(json=json.dumps(value)) for name, value in asked.get("metadata", {}).items()}
    inputs = [Typed(name=name, data=Typed(**_given(given))) for name, given in asked["inputs"].items()]
    call = Msg(
        invocation_id=str(asked["id"]),
        function_id=function.function_id,
        trigger_metadata=metadata,
        input_data=inputs,
        trace_context=Msg(trace_parent="", trace_state="", attributes={}),
        retry_context=Msg(retry_count=0, max_retry_count=0, exception=None),
    )
    answer = await worker.invocation_request(Msg(request=Msg(invocation_request=call), properties={}))
    if answer.result.status != 1:
        return {"id": asked["id"], "ok": False, "error": answer.result.exception.message}
    outputs = {o.name: _plain(o.data) for o in answer.output_data}
    returned = getattr(answer, "return_value", None)
    return {"id": asked["id"], "ok": True, "outputs": outputs, "returned": _plain(returned) if returned else None}


def _given(value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a TypedData; a request over HTTP becomes a message of its own."""
    return {kind: Msg(**{**inner, "body": Typed()}) if kind == "http" else inner for kind, inner in value.items()}


def _plain(data: Any) -> Any:
    """The value of a TypedData; HTTP answers as a dict."""
    kind = data.WhichOneof("data")
    value: Any = getattr(data, kind) if kind else None
    if kind == "http":
        return {"status": value.status_code, "body": _plain(value.body)}
    return value.decode() if isinstance(value, bytes) else value


async def main(folder: str) -> None:
    began = time.monotonic()
    sys.path[:0] = [folder, f"{folder}/.python_packages/lib/site-packages"]
    out = sys.stdout
    sys.stdout = sys.stderr
    logging.basicConfig(level=logging.INFO)  # the platform's own worker puts a handler at the root, too
    try:
        worker = import_module("azure_functions_runtime").handle_event
        functions = await load(worker, folder)
    except Exception as error:  # noqa: BLE001 - told to the test
        print(json.dumps({"fault": f"{type(error).__name__}: {error}"}), file=out, flush=True)
        return
    foreign = sorted(
        str(module.__file__)
        for module in list(sys.modules.values())
        if getattr(module, "__file__", None)
        and not str(module.__file__).startswith((folder, sys.base_prefix, __file__))
    )
    found = {name: [str(binding) for binding in f.raw_bindings] for name, f in functions.items()}
    seconds = round(time.monotonic() - began, 2)
    print(json.dumps({"functions": found, "foreign": foreign, "seconds": seconds}), file=out, flush=True)
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()

    async def one(line: bytes) -> None:
        asked = json.loads(line)
        answer = await invoke(worker, functions[asked["function"]], asked)
        print(json.dumps(answer), file=out, flush=True)

    while line := await reader.readline():
        task = asyncio.create_task(one(line))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
