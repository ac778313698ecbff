"""Requests over HTTP to MLflow's own server: each wrong one is refused with the status 400 and one line, and right ones are answered."""

import base64
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import mlflow.pyfunc
import numpy as np
import pytest
from PIL import Image
from served import RISKS
from small import small_digits
from tracking_servers import free_port

from confidnet_core.config.registry import PACKAGE_FOLDER
from confidnet_core.files import read_json
from confidnet_core.serving.mlflow_model import ModelToLog, save_pyfunc_model
from confidnet_core.serving.registering import LOADER_MODULE
from confidnet_core.serving.selective_classifier import SelectiveClassifier
from confidnet_core.serving.served_model import ServedModel

JSON = "application/json"
ONE = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)  # an image


def png(image: np.ndarray, file_format: str = "PNG") -> str:
    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, file_format)
    return base64.b64encode(file.getvalue()).decode()


def with_pixel(value: Any) -> list:
    images = ONE.tolist()
    images[0][0][3][4] = value
    return images


def body(**content: Any) -> bytes:
    return json.dumps(content).encode()


GOOD = body(inputs=ONE.tolist())
WRONG: dict[str, tuple[bytes, str]] = {
    "pixels scaled to [0, 1]": (body(inputs=(ONE / 255).tolist()), "a pixel is 0.0; expected whole numbers from 0 to 255"),
    "one pixel a float": (body(inputs=with_pixel(7.0)), "a pixel is 7.0; expected whole numbers"),
    "booleans": (body(inputs=(ONE > 9).tolist()), "a pixel is false; expected whole numbers"),
    "one boolean among whole numbers": (body(inputs=with_pixel(True)), "a pixel is true; expected whole numbers"),
    "texts": (body(inputs=ONE.astype(str).tolist()), "a pixel is the text '0'; expected whole numbers"),
    "null": (body(inputs=with_pixel(None)), "a pixel is null; expected whole numbers"),
    "an object as a pixel": (body(inputs=with_pixel({"r": 1})), "a pixel is an object of 1 values; expected whole numbers"),
    "a pixel above 255": (body(inputs=with_pixel(256)), "a pixel is 256; expected whole numbers from 0 to 255"),
    "a negative pixel": (body(inputs=with_pixel(-1)), "a pixel is -1; expected whole numbers from 0 to 255"),
    "a huge pixel": (body(inputs=with_pixel(10**100)), "a pixel is 1000000000"),
    "NaN": (GOOD.replace(b"63", b"NaN"), "the body has NaN, which is no JSON"),
    "infinity": (GOOD.replace(b"63", b"-Infinity"), "the body has -Infinity, which is no JSON"),
    "an image without the axis of the batch": (body(inputs=ONE[0].tolist()), "inputs is of shape (1, 8, 8); expected images (b, 1, 8, 8)"),
    "images of another size": (body(inputs=ONE.repeat(2, 3).tolist()), "inputs is of shape (1, 1, 8, 16); expected images (b, 1, 8, 8)"),
    "images of three channels": (body(inputs=ONE.repeat(3, 1).tolist()), "inputs is of shape (1, 3, 8, 8); expected"),
    "rows of unequal lengths": (body(inputs=with_pixel([1, 2])), "inputs has lists of unequal lengths"),
    "an image cut off": (body(inputs=[[ONE.tolist()[0][0][:7]], ONE.tolist()[0]]), "inputs has lists of unequal lengths"),
    "no images": (body(inputs=[]), "inputs is an array of 0 values; expected images"),
    "a number": (body(inputs=5), "inputs is 5; expected images"),
    "a text": (body(inputs="abc"), "inputs is the text 'abc'; expected images"),
    "an object": (body(inputs={"image": ONE.tolist()}), "inputs is an object of 1 values; expected images"),
    "no key for the images": (b"{}", "the request has no inputs"),
    "another key for the images": (body(input=ONE.tolist()), "the request has an unknown key 'input'; did you mean inputs?"),
    "two keys for the images": (body(inputs=ONE.tolist(), instances=ONE.tolist()), "the request has both inputs and instances"),
    "a table": (body(dataframe_split={"columns": [0], "data": [[1]]}), "the request has an unknown key 'dataframe_split'"),
    "a chat": (body(messages=[]), "the request has an unknown key 'messages'"),
    "a key that is there twice": (GOOD[:-1] + b"," + GOOD[1:], "the key 'inputs' is there twice"),
    "params misspelt": (body(inputs=ONE.tolist(), parms={"risk": 0.3}), "the request has an unknown key 'parms'; did you mean params?"),
    "risk misspelt": (body(inputs=ONE.tolist(), params={"rsik": 0.3}), "params has an unknown key 'rsik'; did you mean risk?"),
    "an unknown risk": (body(inputs=ONE.tolist(), params={"risk": 0.2}), "risk is 0.2; this model has thresholds for 0.05, 0.3, 0.9"),
    "risk as a text": (body(inputs=ONE.tolist(), params={"risk": "0.3"}), 'params.risk is "0.3"; expected a number'),
    "risk as a boolean": (body(inputs=ONE.tolist(), params={"risk": True}), "params.risk is true; expected a number"),
    "params as a list": (body(inputs=ONE.tolist(), params=[0.3]), "params is no JSON object"),
    "a text that is no base64": (body(inputs=["cat.png"]), "inputs[0] is the text 'cat.png', which is no base64"),
    "base64 of no image": (body(inputs=[base64.b64encode(b"hello").decode()]), "inputs[0] is damaged, or of a kind that cannot be read"),
    "base64 of half an image": (body(inputs=[png(ONE[0])[:60]]), "inputs[0] is damaged, or of a kind that cannot be read"),
    "base64 of an image of another size": (body(inputs=[png(ONE[0].repeat(2, 1))]), "inputs[0] is 8x16 pixels, but the model's images are"),
    "base64 of an image that would fill the memory": (
        body(inputs=[png(np.zeros((1, 9000, 9000), np.uint8))]),
        "inputs[0] is damaged, or of a kind that cannot be read (it has 9000x9000 pixels; expected at most 67,108,864",
    ),
    "an image in base64 and one in lists": (body(inputs=[png(ONE[0]), ONE[0].tolist()]), "inputs has lists of unequal"),
    "an empty body": (b"", "the body is no JSON (it is empty)"),
    "half a body": (GOOD[:50], "the body is no JSON ("),
    "a list": (b"[1, 2]", "the body is no JSON object"),
    "bytes that are no text": (b"\x89PNG\xff", "the body is no text in UTF-8 (byte 0)"),
    "ten thousand lists in each other": (b"[" * 10_000, "the body is nested too deeply"),
}
WRONG_TYPES = {
    "text/csv": "Content-Type is text/csv; expected application/json",
    "application/json; charset=latin-1": "Content-Type is application/json; charset=latin-1",
    "application/json; header=present": "Content-Type is application/json; header=present",
    "image/png": "Content-Type is image/png",
}


@pytest.fixture
def model(packed_folder: Path) -> ServedModel:
    return ServedModel(SelectiveClassifier.load(packed_folder))


@pytest.fixture
def mlflow_folder(packed_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "mlflow_model"
    classes = read_json(packed_folder / "model.json")["classes"]
    save_pyfunc_model(folder, ModelToLog(packed_folder, LOADER_MODULE, [PACKAGE_FOLDER], [], ONE, False, RISKS[2], {}, classes, "", ""))
    return folder


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_in_one_line_that_says_what_is_wrong(model: ServedModel, case: str):
    request_body, message = WRONG[case]
    with pytest.raises(ValueError) as refused:
        model.answer(request_body, JSON)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) <= 500


@pytest.mark.parametrize("content_type", [*WRONG_TYPES, None])
def test_another_type_of_content_is_refused(model: ServedModel, content_type: str | None):
    with pytest.raises(ValueError, match=r"Content-Type is (missing|text|image|application)"):
        model.answer(GOOD, content_type)


def test_nested_lists_and_image_files_give_the_answers_of_the_array(model: ServedModel):
    images = small_digits().images[:20]
    expected = model.predict(images)
    for inputs in (images.tolist(), [png(image) for image in images], [f"data:image/png;base64,{png(image)}" for image in images]):
        for key in ("inputs", "instances"):
            found = model.answer(body(**{key: inputs}), "application/json; charset=utf-8")
            assert all(np.array_equal(found[name], expected[name]) for name in expected)
    answers = model.answer(body(inputs=images.tolist(), params={"risk": RISKS[0]}), JSON)
    assert answers["accepted"].tolist() == model.predict(images, {"risk": RISKS[0]})["accepted"].tolist()


def test_in_python_arrays_of_uint8_are_answered_and_others_refused(mlflow_folder: Path):
    model, images = mlflow.pyfunc.load_model(str(mlflow_folder)), small_digits().images[:3]
    expected = model.predict(images)
    assert model.predict(images.astype(object))["confidence"].tolist() == expected["confidence"].tolist()
    assert model.predict(np.array([png(image) for image in images]))["confidence"].tolist() == expected["confidence"].tolist()
    assert "confidnet_core.serving.served_model" in model.loader_module
    for wrong in (images / 255, images > 9, images.astype(np.int64), images[0], (images / 255).astype(object)):
        with pytest.raises(ValueError, match=r"^(images are (float|bool|int|uint8).*; expected uint8|a pixel is 0\.0; expected whole)"):
            model.predict(wrong)


@pytest.fixture
def ask(mlflow_folder: Path, tmp_path: Path) -> Iterator[Callable[[bytes, str], tuple[int, str]]]:
    """Of `mlflow models serve`: from a body and its type to status and answer."""
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(mlflow_folder), "--env-manager", "local", "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by name
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | {"PATH": path}, cwd=tmp_path)

    def send(request_body: bytes, content_type: str) -> tuple[int, str]:
        request = Request(f"http://127.0.0.1:{port}/invocations", request_body, {"Content-Type": content_type})
        try:
            with urlopen(request, timeout=60) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    try:
        for _ in range(1200):
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.25)
        yield send
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.slow
def test_mlflows_server_refuses_every_wrong_request_with_400_and_one_line_and_then_answers_right_ones(ask, model: ServedModel):
    sent = [(request_body, JSON, message) for request_body, message in WRONG.values()]
    sent += [(GOOD, content_type, message) for content_type, message in WRONG_TYPES.items()]
    assert len(sent) > 40
    for request_body, content_type, message in sent:
        status, text = ask(request_body, content_type)
        assert status == 400, text
        refusal = json.loads(text)
        assert message in refusal["message"] and "\n" not in refusal["message"] and "stack_trace" not in refusal
        assert len(text) < 900
    images = small_digits().images[:50]
    expected = {name: values.tolist() for name, values in model.predict(images).items()}
    for inputs in (images.tolist(), [png(image) for image in images]):
        status, text = ask(body(inputs=inputs), JSON)
        assert status == 200
        answers = json.loads(text)["predictions"]
        assert answers.pop("confidence") == pytest.approx(expected["confidence"])
        assert answers.pop("probability") == pytest.approx(expected["probability"])
        assert answers == {name: expected[name] for name in answers}
