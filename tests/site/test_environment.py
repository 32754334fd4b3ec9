from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from sfjwt_site.environment import Environment, env_file, load_env_file, read_env_file


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own.env"
    monkeypatch.setenv("ENV_FILE", str(path))
    for name in ("SF_T_PLAIN", "SF_T_GIVEN", "SF_T_GIVEN_FILE"):
        monkeypatch.setenv(name, "")  # so that it is put back after the test
        monkeypatch.delenv(name)
    return path


def test_file_fills_what_the_environment_leaves_open(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SF_T_GIVEN", "real")
    dotenv.write_text("SF_T_PLAIN=from file\nSF_T_GIVEN=from file\n")
    load_env_file()
    assert os.environ["SF_T_PLAIN"] == "from file"
    assert os.environ["SF_T_GIVEN"] == "real"


def test_real_name_wins_over_name_file_of_the_file_and_the_other_way_round(
    dotenv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mounted\n")
    monkeypatch.setenv("SF_T_GIVEN", "real")
    dotenv.write_text(f"SF_T_GIVEN_FILE={secret}\n")
    load_env_file()
    assert Environment().str("SF_T_GIVEN") == "real"

    monkeypatch.delenv("SF_T_GIVEN")
    monkeypatch.setenv("SF_T_GIVEN_FILE", str(secret))
    dotenv.write_text("SF_T_GIVEN=from file\n")
    load_env_file()
    assert Environment().str("SF_T_GIVEN") == "mounted"  # without the newline at its end


def test_line_that_cannot_be_read_is_named_without_its_text(
    dotenv: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dotenv.write_text("SECRET_KEY = canary-value\n")
    with caplog.at_level(logging.WARNING):
        assert read_env_file(dotenv) == {}
    assert "NAME=value" in caplog.text
    assert "canary-value" not in caplog.text


def test_missing_file_is_no_file(dotenv: Path) -> None:
    assert read_env_file(dotenv) == {}


def test_tests_read_no_env_file() -> None:
    assert os.environ["ENV_FILE"] == ""
    assert env_file() is None
