"""Where settings come from, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.config import load
from noria.errors import ConfigError
from noria.types import Budget, Label


def write(folder: Path, text: str, name: str = "noria.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    config = load(environ={}, cwd=tmp_path)
    assert (config.server.host, config.server.port, config.server.workers) == ("127.0.0.1", 8600, 1)
    assert config.home == tmp_path / ".noria"
    assert config.store_url == f"sqlite:///{tmp_path / '.noria' / 'noria.db'}"


def test_flags_go_before_the_environment_before_the_file(tmp_path: Path) -> None:
    write(tmp_path, "[server]\nport = 1\nhost = '0.0.0.0'\nworkers = 3\n")
    environ = {"NORIA_PORT": "2", "NORIA_SERVER_HOST": "127.0.0.2"}
    config = load(environ=environ, flags={"server": {"port": 4, "host": None}}, cwd=tmp_path)
    assert (config.server.port, config.server.host, config.server.workers) == (4, "127.0.0.2", 3)


def test_the_file_is_sought_in_the_parents_and_the_home_is_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert load(environ={}, cwd=below).home == tmp_path / ".noria"
    elsewhere = load(environ={"NORIA_HOME": str(tmp_path / "state")}, cwd=below)
    assert elsewhere.home == tmp_path / "state"


def test_pyproject_serves_as_well(tmp_path: Path) -> None:
    write(tmp_path, "[tool.noria.server]\nport = 7\n", "pyproject.toml")
    assert load(environ={}, cwd=tmp_path).server.port == 7


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        [providers.acme]
        base_url = "http://127.0.0.1:9000/v1"
        api_key_env = "ACME_API_KEY"
        clearance = "internal"
        [prices."acme:big"]
        input = 2.0
        output = 8.0
        [models.default]
        targets = ["acme:big", "local:smollm2"]
        [budgets]
        installation = "100 USD/month"
        [teams.search]
        budget = "20 USD/day"
        """,
    )
    config = load(environ={}, cwd=tmp_path)
    assert config.providers["acme"].clearance is Label.INTERNAL
    assert config.budgets.installation == Budget.parse("100 USD/month")
    assert config.teams["search"].budget == Budget.parse("20 USD/day")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nport = = 1\n", "line 2"),
        ("[server]\nport = 99999\n", "line 2: server.port"),
        ("[server]\n\nhots = 'x'\n", "line 3: server.hots: there is no such key; did you mean"),
        ("[sever]\nport = 1\n", "sever: there is no such key; did you mean server"),
        ("[teams.a]\nbudget = '20'\n", "line 2: teams.a.budget: '20' is not a budget"),
        ("[teams.a]\nbudget = 20\n", "line 2: teams.a.budget: must be a text in quotes"),
        ("[providers.p]\nbase_url = 'ftp://x'\n", "line 2: providers.p.base_url"),
        ("[providers.p]\n", "line 1: providers.p.base_url: Field required"),
        ("[models.m]\ntargets = []\n", "line 2: models.m.targets"),
        ('[prices."a:b"]\noutput = 1.0\n', "prices.a:b"),
        ("home = '/tmp'\n", "home cannot be set here"),
    ],
)
def test_a_mistake_names_the_file_the_line_and_the_key(
    tmp_path: Path, text: str, said: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(environ={}, cwd=tmp_path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        load(tmp_path / "other.toml", environ={})
