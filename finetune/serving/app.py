"""The HTTP interface and the page before it."""

import asyncio
import sys
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from finetune.serving.answers import NOTICE, Answered, Health, Model, Part, Problem
from finetune.serving.guard import Guard
from finetune.serving.report import PAGE, paper_style, shared_style
from finetune.serving.settings import ServeSettings
from finetune.serving.upload import Samples, TooLargeError, Upload, receive
from finetune.serving.worker import BusyError, Deadline, Worker
from lamae.errors import InputError

RETRY_AFTER_S = 2
"""Seconds after which a request that was sent away may come again."""

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


@runtime_checkable
class Examines(Protocol):
    """The one that answers."""

    @property
    def described(self) -> Model:
        """The model as the interface describes it."""

    def examine(self, upload: Upload, parts: Collection[Part], deadline: Deadline) -> Answered:
        """Answer a request; raises InputError or TimeoutError."""


def make_app(worker: Worker[Any], settings: ServeSettings) -> Guard:
    """Return the application: the page at /, the interface below /api, its schema at /openapi.json.

    Nothing of a request is logged. The pages of FastAPI that draw the schema are left out: they
    load scripts from another host.
    """
    app = FastAPI(
        title="LAMAE", summary="A model of electrocardiograms.", description=NOTICE,
        docs_url=None, redoc_url=None, version=_version(),
    )  # fmt: skip
    _add_page(app)
    _add_interface(app, worker, settings)
    return Guard(app, settings)


def _add_page(app: FastAPI) -> None:
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir())}
    files["style.css"] = (shared_style() + paper_style()).encode()

    def sends(name: str) -> Callable[[], Response]:
        return lambda: Response(files[name], media_type=_TYPES[Path(name).suffix])

    places = {"/": "index.html"} | {f"/{name}": name for name in files}
    for place, name in places.items():
        app.add_api_route(place, sends(name), include_in_schema=False, methods=["GET"])


def _add_interface(app: FastAPI, worker: Worker[Any], settings: ServeSettings) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": reason}
        for status, reason in {
            401: "The token is missing or another.",
            403: "The request comes from a page of another site.",
            413: "The body is too large.",
            422: "The recording cannot be used; the error says why.",
            500: "An error of this program.",
            503: "All places before the worker are taken, or the model is being opened.",
            504: "The deadline has passed.",
        }.items()
    }

    @app.get("/healthz", summary="State of the server")
    async def health() -> Health:
        return Health(status="starting" if worker.subject is None else "ready")

    @app.get("/api/model", summary="The model that answers", responses=refusals)
    async def model() -> Model:
        return _subject(worker).described

    @app.post(
        "/api/predict",
        summary="Answer a recording",
        responses=refusals,
        response_model=Answered,
        openapi_extra={"requestBody": _body()},
    )
    async def predict(
        request: Request, parts: Annotated[list[Part] | None, Query()] = None
    ) -> Response:
        deadline = Deadline.after(settings.deadline_s)
        _subject(worker)
        place = worker.take_place()
        try:
            async with asyncio.timeout(deadline.left_s):
                upload = await receive(request.headers, request.stream())
        except BaseException:
            place.leave()
            raise
        job = _Job(upload, frozenset(parts or ()), deadline)
        del upload
        return Response(await worker.run(job, place, deadline), media_type="application/json")

    _add_errors(app)


class _Job:
    """The answer of a request, written as JSON in the worker's thread."""

    def __init__(self, upload: Upload, parts: Collection[Part], deadline: Deadline) -> None:
        self._upload, self._parts, self._deadline = upload, parts, deadline

    def __call__(self, examiner: Examines) -> bytes:
        found = examiner.examine(self._upload, self._parts, self._deadline)
        return found.model_dump_json().encode()


def _subject(worker: Worker[Any]) -> Examines:
    """Return the one that answers; raises BusyError before it is there."""
    if worker.subject is None:
        raise BusyError
    return worker.subject


def _add_errors(app: FastAPI) -> None:
    def problem(status: int, text: str, **headers: str) -> JSONResponse:
        return JSONResponse({"error": text}, status, headers)

    @app.exception_handler(InputError)
    async def unusable(_: Request, error: InputError) -> JSONResponse:
        return problem(413 if isinstance(error, TooLargeError) else 422, str(error))

    @app.exception_handler(BusyError)
    async def busy(_: Request, __: BusyError) -> JSONResponse:
        text = "Others are being answered, or the model is being opened. Try again soon."
        return problem(503, text, **{"retry-after": str(RETRY_AFTER_S)})

    @app.exception_handler(TimeoutError)
    async def late(_: Request, __: TimeoutError) -> JSONResponse:
        return problem(504, "The deadline has passed. Send a shorter recording, or fewer parts.")

    @app.exception_handler(HTTPException)
    async def elsewhere(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), **dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}.")

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return problem(400, "The body ended early.")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        report_error(error)
        return problem(500, f"An error of this program, {type(error).__name__}: please report it.")


def report_error(error: BaseException) -> None:
    """Write where an error arose; its message may hold parts of a recording, and is left out."""
    places = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{Path(p.filename).name}:{p.lineno}" for p in reversed(places))
    with suppress(OSError):
        sys.stderr.write(f"error: {type(error).__name__} at {where}\n")


def _version() -> str:
    try:
        return version("lamae")
    except PackageNotFoundError:
        return "0"


def _body() -> dict[str, Any]:
    """Describe the two kinds of bodies, for the schema."""
    of_file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {
                "type": "array",
                "items": of_file,
                "description": "Files of one recording; of WFDB both .hea and .dat.",
            },
            "sampling_rate": {
                "type": "integer",
                "description": "Samples per second, where the files do not state it.",
            },
            "unit": {
                "type": "string",
                "enum": ["mV", "uV", "V"],
                "description": "Unit of the values, whatever the files say.",
            },
        },
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": Samples.model_json_schema()},
        },
    }
