"""Addresses without their secrets: nothing of a password or token is left, whatever letters it has, and an address is still known."""

import pytest

from confidnet_core.system.addresses import without_secrets

SECRET = "p/a@ssw0rd"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://me:secret@host:5000/mlflow", "https://host:5000/mlflow"),
        (f"https://me:{SECRET}@host/mlflow", "https://host/mlflow"),
        ("https://host/mlflow?token=abc.def&x=1#here", "https://host/mlflow"),
        ("https://token@host", "https://host"),
        ("https://me:p?x=1#y@host", "https://..."),
        ("https://host/mlflow?token=a@b", "https://..."),
        ("postgresql+psycopg2://me:with blank@db:5432/runs?sslmode=require", "postgresql+psycopg2://db:5432/runs"),
        ("sqlite:////home/a@b/mlflow.db?timeout=60", "sqlite:////home/a@b/mlflow.db"),
        ("file:///home/a@b/mlruns", "file:///home/a@b/mlruns"),
        ("http:/me:secret@host", "...host"),
        ("http//me:secret@host/path", "...host/path"),
        ("me:secret@host", "...host"),
        ("models:/confidnet-digits@champion", "models:/confidnet-digits@champion"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_user_password_and_query(address: str, shown: str):
    assert without_secrets(address, address) == shown
    assert without_secrets(f"the server {address} is down", address) == f"the server {shown} is down"


def test_an_address_in_a_text_is_found_without_being_known():
    text = "failed: POST https://me:pa/ss@host:5000/api?token=abc (caused by 'postgres://u:p@db/x')"
    assert without_secrets(text) == "failed: POST https://host:5000/api (caused by 'postgres://db/x')"


def test_parts_of_the_address_in_the_environment_are_hidden_wherever_a_library_prints_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://me:{SECRET}@host/mlflow?token=t%2Fk123")
    text = f"HTTPSConnectionPool(host='{SECRET}@host'): Max retries exceeded with url: /api/2.0?token=t%2Fk123, header t/k123"
    shown = without_secrets(text)
    assert not any(piece in shown for piece in (SECRET, "ssw0rd", "k123")) and "Max retries exceeded" in shown


@pytest.mark.parametrize(
    "printed",
    [
        "failed to resolve host '{tail}@db'",
        "Port could not be cast to integer value as '{head}'",
        "Invalid URL 'postgresql://me:{head}': No host",
        "could not parse me:{head}/{middle}@{tail}@db",
    ],
)
def test_pieces_of_a_password_that_a_library_took_for_the_host_or_the_port_are_hidden(printed: str):
    pieces = {"head": "Zq9", "middle": "xW5", "tail": "Y7"}
    shown = without_secrets(printed.format(**pieces), "postgresql://me:Zq9/xW5@Y7@db/runs")
    assert not any(piece in shown for piece in pieces.values())


@pytest.mark.parametrize("address", ["http:/me:s3cret@host", "http//me:s3cret@host", "me:s3cret@host"])
def test_the_password_of_a_mistyped_address_is_hidden_also_in_what_a_library_makes_of_it(address: str):
    shown = without_secrets(f"Invalid url: {address}/api/2.0 for {address}", address)
    assert "s3cret" not in shown and "host/api/2.0" in shown


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"])
def test_the_other_secrets_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch, variable: str):
    monkeypatch.setenv(variable, "s3cret")
    assert without_secrets("401 for s3cret") == "401 for ..."
