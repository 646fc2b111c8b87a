"""The Azure Functions app: bindings only. What each does is in connector/homes/functions.py, which knows no binding.

A timer hands out one queue message for every tenant; any number of workers poll and deliver that tenant. What the queue
gave up after its last try comes back through the poison queue, to be told.
"""

import typing

import azure.functions as func

from connector.homes.functions import Functions

STORAGE = "AzureWebJobsStorage"
QUEUE = "securescore-tenants"

app = func.FunctionApp()
functions = Functions()


@app.timer_trigger(arg_name="timer", schedule="%SECURESCORE_SCHEDULE%")
@app.queue_output(arg_name="messages", queue_name=QUEUE, connection=STORAGE)
async def plan(timer: func.TimerRequest, messages: func.Out[typing.List[str]]) -> None:  # noqa: UP006 - the worker refuses list[str]
    messages.set(await functions.plan())


@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection=STORAGE)
async def turn(message: func.QueueMessage) -> None:
    await functions.turn(message.get_body())


@app.queue_trigger(arg_name="message", queue_name=f"{QUEUE}-poison", connection=STORAGE)
async def given_up(message: func.QueueMessage) -> None:
    await functions.given_up(message.get_body())


@app.timer_trigger(arg_name="timer", schedule="%SECURESCORE_TEND_SCHEDULE%")
@app.queue_output(arg_name="messages", queue_name=QUEUE, connection=STORAGE)
async def tend(timer: func.TimerRequest, messages: func.Out[typing.List[str]]) -> None:  # noqa: UP006
    messages.set(await functions.tend())


@app.route("status", trigger_arg_name="request", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def status(request: func.HttpRequest) -> func.HttpResponse:
    code, document = await functions.status()
    return func.HttpResponse(document, status_code=code, mimetype="application/json")
