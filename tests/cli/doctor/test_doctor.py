"""`noria doctor`."""

from __future__ import annotations

import json

from noria.plugins import registry


def findings(run, code=0):
    done = run("doctor", "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def problems(run):
    return {found["check"]: found for found in findings(run, 1) if found["health"] == "problem"}


def test_a_good_machine_has_no_problem(run):
    checks = {found["check"] for found in findings(run)}
    assert checks >= {"python", "sqlite", "cores", "open files", "configuration", "home", "disk"}
    assert "ok" in run("doctor").stdout


def test_malformed_configuration(run, home):
    (home.parent / "noria.toml").write_text("[server]\nport = 99999\n")
    assert "line 2" in problems(run)["configuration"]["detail"]


def test_home_that_others_can_read(run, home):
    home.mkdir(mode=0o755)
    assert problems(run)["home"]["remedy"] == f"chmod 700 {home}"


def test_price_that_a_budget_needs(run, home, fake_provider):
    (home.parent / "noria.toml").write_text(
        f'[providers.acme]\nbase_url = "{fake_provider.url}"\n'
        '[models.default]\ntargets = ["acme:big"]\n[budgets]\ninstallation = "5 USD/day"\n'
    )
    found = problems(run)["prices"]
    assert "acme:big" in found["detail"]
    assert '[prices."acme:big"]' in found["remedy"]


def test_providers(run, home, fake_provider, monkeypatch):
    monkeypatch.setenv("WRONG_KEY", "x")
    (home.parent / "noria.toml").write_text(
        f'[providers.good]\nbase_url = "{fake_provider.url}"\n'
        f'[providers.keyless]\nbase_url = "{fake_provider.url}"\napi_key_env = "NO_SUCH_KEY"\n'
        '[providers.away]\nbase_url = "http://127.0.0.1:9/v1"\n'
    )
    found = problems(run)
    assert {*found} == {"provider keyless", "provider away"}
    assert "export NO_SUCH_KEY" in found["provider keyless"]["remedy"]
    fake_provider.api_key = "another"
    (home.parent / "noria.toml").write_text(
        f'[providers.wrong]\nbase_url = "{fake_provider.url}"\napi_key_env = "WRONG_KEY"\n'
    )
    assert "refuses the key" in problems(run)["provider wrong"]["detail"]


def test_variable_that_means_nothing(run, monkeypatch):
    monkeypatch.setenv("NORIA_PROT", "8600")
    (note,) = [found for found in findings(run) if found["health"] == "note"]
    assert "NORIA_PROT" in note["detail"]


def test_where_spans_go(run, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    (found,) = [one for one in findings(run) if one["check"] == "collector"]
    assert found["detail"] == "finished spans go to http://127.0.0.1:4318/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert "http/protobuf" in problems(run)["collector"]["remedy"]


def test_a_plugin_that_cannot_be_loaded(run, monkeypatch):
    monkeypatch.setitem(registry().broken, "acme", "ImportError: no acme")
    assert "plugin acme could not be loaded" in problems(run)["plugins"]["detail"]
