"""Manifests: ours pass, and what schemas let pass is refused with object and field."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noria.config import Target
from noria.infra.deploying.release import Release
from noria.infra.deploying.revision import Revision
from noria.infra.deploying.targets.kubernetes import manifests
from noria.infra.deploying.targets.kubernetes_rules import objections
from noria.infra.deploying.wires import Reference, Wires

pytest.importorskip("kubernetes_validate")
Objects = list[dict[str, Any]]


def release(**settings: Any) -> Release:
    revision = Revision("ab" * 32, "app.py", ("support",), {"pins": {}})
    target = Target(kind="kubernetes", image="registry.example.org/support:1", **settings)
    wires = Wires({"NORIA_REVISION": revision.id}, {"KEY": Reference("kubernetes", "keys/door")})
    return Release(revision, "cluster", target, wires, Path("/release"))


@pytest.mark.parametrize("settings", [{}, {"scaler": "keda"}, {"form": "rayservice"}, {"gpus": 1}])
def test_what_is_written_is_valid(settings: dict[str, Any]) -> None:
    objects = manifests(release(**settings))
    assert objections(objects) == []
    assert "keys" in str(objects) or settings.get("form") == "rayservice"


def _find(objects: Objects, kind: str) -> dict[str, Any]:
    return next(one for one in objects if one["kind"] == kind)


def _pod(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = _find(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


DEFECTS: dict[str, tuple[Callable[[Objects], Any], str]] = {
    "selector": (
        lambda o: _find(o, "Deployment")["spec"]["selector"].update(matchLabels={"app": "other"}),
        "does not match the labels",
    ),
    "service selector": (
        lambda o: _find(o, "Service")["spec"].update(selector={"app": "other"}),
        "matches no pod",
    ),
    "service port": (
        lambda o: _find(o, "Service")["spec"]["ports"][0].update(targetPort="web"),
        "no port 'web'",
    ),
    "quantity": (
        lambda o: _pod(o)["containers"][0]["resources"]["requests"].update(memory="1GB"),
        "is no quantity",
    ),
    "request over limit": (
        lambda o: _pod(o)["containers"][0]["resources"]["requests"].update(memory="2Gi"),
        "over its limit",
    ),
    "name": (lambda o: _find(o, "Deployment")["metadata"].update(name="My_App"), "no DNS name"),
    "service name": (lambda o: _find(o, "Service")["metadata"].update(name="1st"), "no DNS label"),
    "restartPolicy": (lambda o: _pod(o).update(restartPolicy="Never"), "must be Always"),
    "no containers": (lambda o: _pod(o).update(containers=[]), "containers is empty"),
    "enum's case": (
        lambda o: _pod(o)["containers"][0].update(imagePullPolicy="always"),
        "must be one of",
    ),
    "service type's case": (lambda o: _find(o, "Service")["spec"].update(type="clusterip"),
                            "spec.type is 'clusterip'"),
    "min over max": (
        lambda o: _find(o, "HorizontalPodAutoscaler")["spec"].update(minReplicas=9),
        "over maxReplicas",
    ),
    "both bounds": (
        lambda o: _find(o, "PodDisruptionBudget")["spec"].update(minAvailable=1),
        "exactly one",
    ),
    "neither bound": (
        lambda o: _find(o, "PodDisruptionBudget")["spec"].pop("maxUnavailable"),
        "exactly one",
    ),
    "scale target": (
        lambda o: _find(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="x"),
        "names no Deployment",
    ),
    "unknown field": (lambda o: _pod(o).update(container=[]), "container"),
    "probe's port": (
        lambda o: _pod(o)["containers"][0]["livenessProbe"]["httpGet"].update(port="web"),
        "no port 'web'",
    ),
    "volume": (lambda o: _pod(o).update(volumes=[]), "no volume"),
    "variable twice": (
        lambda o: _pod(o)["containers"][0]["env"].append({"name": "KEY", "value": "x"}),
        "set twice",
    ),
    "no kind": (lambda o: o[0].pop("kind"), "missing"),
    "nothing rolls": (
        lambda o: _find(o, "Deployment")["spec"]["strategy"]["rollingUpdate"].update(maxSurge=0),
        "both 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_refused(defect: str) -> None:
    objects = copy.deepcopy(manifests(release()))
    spoil, said = DEFECTS[defect]
    spoil(objects)
    assert any(said in one for one in objections(objects)), objections(objects)
