"""What MLflow loads: a packed model that answers arrays in Python and requests over HTTP, and refuses each wrong input in one line.

MLflow 3.17 casts what a request holds to the types of the model's signature, before the model sees it: 0.5 would become the pixel 0. So the
signature has objects of any kind (mlflow_model.py), and the checks are here. MLflow's scoring server reads requests, and words refusals, in
one function, scoring_server.invocations. It ignores unknown keys, repeats all of the data in its messages and adds a stack trace. Within
that server, and nowhere else, answer_request takes the function's place: MLflow offers no other way to a request's keys and messages.
Where another version of MLflow does not call it, the same checks run in ServedModel.predict, and only the messages are longer.
"""

import json
import sys
import traceback
from collections.abc import Callable
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR

from confidnet_core.config.registry import suggestion
from confidnet_core.serving.new_images import ImageReader, image_reader, images_from_json
from confidnet_core.serving.selective_classifier import SelectiveClassifier

SERVER_MODULE, SERVER_APP_MODULE = "mlflow.pyfunc.scoring_server", "mlflow.pyfunc.scoring_server.app"
JSON_CONTENT_TYPE = "application/json"
IMAGE_KEYS = ("inputs", "instances")  # two names of one thing in MLflow's protocol
REQUEST_EXAMPLE = '{"inputs": [image, ...], "params": {"risk": 0.05}}'
MAX_MESSAGE_LENGTH = 500


class InvalidRequestError(MlflowException, ValueError):
    """Error: the caller's input does not fit, as the message says in one line. MLflow's server answers it with the status 400."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split())[:MAX_MESSAGE_LENGTH], error_code=BAD_REQUEST)


class ServedModel:
    """A packed model as MLflow calls it."""

    def __init__(self, classifier: SelectiveClassifier) -> None:
        self.classifier = classifier

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        return tuple(self.classifier.model_metadata["image_shape"])

    @cached_property
    def read_image(self) -> ImageReader:
        return image_reader(self.classifier.model_metadata)

    def predict(self, model_input: np.ndarray, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Return the answers of SelectiveClassifier.predict.

        model_input: uint8 (b, channels, height, width), or an array of objects or texts as images_from_json takes them
        params: {"risk": ...}. Raises InvalidRequestError, a ValueError, for other images or another risk.
        """
        try:
            images = np.asarray(model_input)
            if images.dtype.kind in "OU":
                images = images_from_json(images.tolist(), self.image_shape, self.read_image)
            return self.classifier.predict(images, params)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from None

    def answer(self, request_body: bytes, content_type: str | None) -> dict[str, np.ndarray]:
        """Return the answers to the body of a request, such as REQUEST_EXAMPLE. Raises InvalidRequestError for any other body."""
        try:
            request = parse_request(request_body, content_type)
            (image_key,) = request.keys() & set(IMAGE_KEYS)
            images = images_from_json(request[image_key], self.image_shape, self.read_image)
            return self.classifier.predict(images, request.get("params"))
        except ValueError as error:
            raise InvalidRequestError(str(error)) from None


def parse_request(request_body: bytes, content_type: str | None) -> dict[str, Any]:
    """Return the JSON object in the body of a request: {"inputs" or "instances": ..., perhaps "params": {perhaps "risk": number}}.

    Raises ValueError for another type of content, for what is not strict JSON, and for a key that is missing, unknown or there twice.
    """
    media_type, _, parameters = (content_type or "").partition(";")
    if media_type.strip().lower() != JSON_CONTENT_TYPE or parameters.strip().lower() not in ("", "charset=utf-8"):
        raise ValueError(f"Content-Type is {content_type or 'missing'}; expected {JSON_CONTENT_TYPE}, in UTF-8")
    try:
        request = json.loads(request_body.decode("utf-8"), object_pairs_hook=_object_without_repetition, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"the body is no text in UTF-8 (byte {error.start}); expected JSON as {REQUEST_EXAMPLE}") from None
    except json.JSONDecodeError as error:
        problem_text = f"{error.msg}, line {error.lineno}, column {error.colno}" if request_body.strip() else "it is empty"
        raise ValueError(f"the body is no JSON ({problem_text}); expected {REQUEST_EXAMPLE}") from None
    except RecursionError:
        raise ValueError(f"the body is nested too deeply; expected {REQUEST_EXAMPLE}") from None
    if not isinstance(request, dict):
        raise ValueError(f"the body is no JSON object; expected {REQUEST_EXAMPLE}")
    for key in request.keys() - {*IMAGE_KEYS, "params"}:
        raise ValueError(f"the request has an unknown key {key[:60]!r}{suggestion(key, (*IMAGE_KEYS, 'params'))}")
    if len(request.keys() & set(IMAGE_KEYS)) != 1:
        problem_text = "both inputs and instances" if IMAGE_KEYS[0] in request else "no inputs"
        raise ValueError(f"the request has {problem_text}; expected {REQUEST_EXAMPLE}")
    _check_params(request.get("params", {}))
    return request


def _check_params(params: Any) -> None:
    if not isinstance(params, dict):
        raise ValueError('params is no JSON object; expected {"risk": number}, or no params')
    for key in params.keys() - {"risk"}:
        raise ValueError(f"params has an unknown key {key[:60]!r}{suggestion(key, ('risk',))}")
    if "risk" in params and type(params["risk"]) not in (int, float):
        raise ValueError(f"params.risk is {json.dumps(params['risk'])[:60]}; expected a number, such as 0.05")


def _object_without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated_key = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated_key[:60]!r} is there twice; expected it once")
    return content


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"the body has {constant}, which is no JSON; expected whole numbers from 0 to 255 as pixels")


def answer_request(served_model: ServedModel) -> Callable[..., Any]:
    """Return the function that takes the place of MLflow's scoring_server.invocations: from a request's body to its response."""
    from mlflow.pyfunc import scoring_server

    def invocations(data: bytes, content_type: str | None, *_: Any) -> Any:
        try:
            answers = served_model.answer(data, content_type)
        except InvalidRequestError:
            raise
        except Exception as error:  # a fault of the model or the machine: its trace is for the server's own log
            traceback.print_exc(file=sys.stderr)
            raise MlflowException(f"the model failed ({type(error).__name__}); the server's log says more", INTERNAL_ERROR) from None
        response_body = StringIO()
        scoring_server.predictions_to_json(answers, response_body)
        return scoring_server.InvocationsResponse(response_body.getvalue(), 200, JSON_CONTENT_TYPE)

    return invocations


def _load_pyfunc(model_folder: str) -> ServedModel:
    """Load a packed model for MLflow, and classify one image, so that a damaged model fails here."""
    served_model = ServedModel(SelectiveClassifier.load(Path(model_folder)))
    served_model.classifier.confidence_of(np.zeros((1, *served_model.image_shape), np.uint8))
    if SERVER_APP_MODULE in sys.modules:  # this process is MLflow's scoring server, which loads its model while it starts
        sys.modules[SERVER_MODULE].__dict__["invocations"] = answer_request(served_model)
    return served_model
