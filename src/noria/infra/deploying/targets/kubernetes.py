"""The target `kubernetes`: plain manifests, or a RayService of KubeRay, validated before anything
is handed to kubectl."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from noria.config import Config, Target
from noria.errors import ConfigError, NoriaError
from noria.infra.deploying.release import Release
from noria.infra.deploying.targets.base import Place, Standing, run_tool
from noria.infra.deploying.targets.kubernetes_rules import objections

__all__ = ["KubernetesPlace", "manifests"]

_HEALTH = "/health"
_USER = 10001


class KubernetesPlace(Place):
    """A namespace of a cluster."""

    def __init__(self, config: Config, name: str, target: Target) -> None:
        super().__init__(config, name, target)
        if target.image is None:
            raise ConfigError(
                f"targets.{name}.image is missing.",
                "Name the image that the docker target made, best with its digest.",
            )

    def apply(self, release: Release) -> Standing:
        objects = manifests(release)
        if found := objections(objects):
            raise NoriaError("The manifests cannot be used: " + "; ".join(found))
        file = release.folder / "manifests.yaml"
        file.write_text(yaml.safe_dump_all(objects, sort_keys=False), "utf-8")
        if not self.target.apply:
            return Standing("written", str(file))
        run_tool(["kubectl", "apply", "-n", self.target.namespace, "-f", str(file)], "Applying")
        return self.status(release.app, release.revision.id)

    def status(self, app: str, revision: str) -> Standing:
        file = self._file(revision)
        if not self.target.apply or shutil.which("kubectl") is None:
            return Standing("written" if file.exists() else "gone", str(file))
        kind = "rayservice" if self.target.form == "rayservice" else "deployment"
        template = "jsonpath={.status.availableReplicas}/{.spec.replicas}"
        said = run_tool(
            ["kubectl", "get", kind, object_name(app), "-n", self.target.namespace, "-o", template,
             "--ignore-not-found"], "Asking the cluster", seconds=30,
        )  # fmt: skip
        if not said:
            return Standing("gone", "the cluster has no such object")
        ready = said.partition("/")[0]
        address = f"http://{object_name(app)}.{self.target.namespace}.svc"
        return Standing("live" if ready not in ("", "0") else "starting", said, address)

    def logs(self, app: str, lines: int) -> str:
        return run_tool(
            ["kubectl", "logs", "-n", self.target.namespace, "-l",
             f"app.kubernetes.io/name={object_name(app)}", f"--tail={lines}"], "Reading logs",
        )  # fmt: skip

    def destroy(self, app: str) -> None:
        if self.target.apply:
            kinds = "deployment,service,hpa,pdb,networkpolicy,serviceaccount"
            kinds += ",rayservice" if self.target.form == "rayservice" else ""
            kinds += ",scaledobject" if self.target.scaler == "keda" else ""
            run_tool(
                ["kubectl", "delete", kinds, "-n", self.target.namespace, "-l",
                 f"app.kubernetes.io/name={object_name(app)}", "--ignore-not-found"], "Deleting",
            )  # fmt: skip

    def _file(self, revision: str) -> Path:
        folder: Path = self.config.home / "deployments" / self.name / revision
        return folder / "manifests.yaml"


def object_name(app: str) -> str:
    """The name of an application's objects: as DNS has names of hosts."""
    return re.sub(r"[^a-z0-9]+", "-", app.lower()).strip("-")[:50].rstrip("-")


def manifests(release: Release) -> list[dict[str, Any]]:
    """Make the objects of a release, in the order in which they are applied.

    Raises:
        ConfigError: a secret is neither in the cluster nor in Vault.
    """
    if release.target.form == "rayservice":
        return [_ray_service(release)]
    target, name = release.target, object_name(release.app)
    common = {"namespace": target.namespace, "labels": _labels(release)}
    chosen = {"app.kubernetes.io/name": name}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, **common},
               "automountServiceAccountToken": False}  # fmt: skip
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **common},
        "spec": {
            "replicas": target.min_replicas,
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": chosen},
            "strategy": {
                "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "template": {
                "metadata": {"labels": _labels(release), "annotations": _annotations(release)},
                "spec": _pod(release, name),
            },
        },
    }  # fmt: skip
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **common},
        "spec": {
            "selector": chosen,
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, **common},
        # One bound alone: the two exclude each other.
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": chosen}},
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, **common},
        "spec": {
            "podSelector": {"matchLabels": chosen},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": target.port, "protocol": "TCP"}]}],
        },
    }
    return [account, deployment, service, _scaler(release, name, common), budget, policy]


def _scaler(release: Release, name: str, common: Mapping[str, Any]) -> dict[str, Any]:
    target = release.target
    if target.scaler == "keda":
        return {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": name, **common},
            "spec": {
                "scaleTargetRef": {"name": name},
                "minReplicaCount": target.min_replicas,
                "maxReplicaCount": target.max_replicas,
                "triggers": [
                    {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}
                ],
            },
        }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, **common},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": target.min_replicas,
            "maxReplicas": target.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70},
                    },
                }
            ],
        },
    }  # fmt: skip


def _pod(release: Release, name: str) -> dict[str, Any]:
    target = release.target
    probe = {"httpGet": {"path": _HEALTH, "port": "http"}, "timeoutSeconds": 3}
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": _USER, "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 60,
        "containers": [
            {
                "name": "noria",
                "image": target.image,
                "args": release.command,
                "ports": [{"name": "http", "containerPort": target.port, "protocol": "TCP"}],
                "env": _environment(release),
                "resources": _resources(release),
                "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 90},
                "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 2},
                "livenessProbe": {**probe, "periodSeconds": 15, "failureThreshold": 4},
                "securityContext": {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "home", "mountPath": "/home/noria"},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
                ],
            }
        ],
        "volumes": [{"name": "home", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }  # fmt: skip


def _resources(release: Release) -> dict[str, Any]:
    target = release.target
    asked = {"cpu": target.cpu, "memory": target.memory}
    most = {"memory": target.memory}
    if target.gpus:
        most["nvidia.com/gpu"] = str(target.gpus)
    return {"requests": asked, "limits": most}


def _environment(release: Release) -> list[dict[str, Any]]:
    """The wires: secrets by reference, which the cluster resolves.

    Raises:
        ConfigError: a secret stands where the cluster cannot read it.
    """
    found: list[dict[str, Any]] = [{"name": "NORIA_HOME", "value": "/home/noria/.noria"}]
    found += [{"name": name, "value": value} for name, value in release.wires.plain.items()]
    for name, reference in release.wires.secrets.items():
        if reference.scheme == "kubernetes":
            secret, _, key = reference.rest.partition("/")
            source = {"secretKeyRef": {"name": secret, "key": key}}
            found.append({"name": name, "valueFrom": source})
        elif reference.scheme == "vault":
            # As Vault's and the external secrets' webhooks have it, which put the value in its
            # place when the pod starts.
            found.append({"name": name, "value": f"vault:{reference.rest}"})
        else:
            raise ConfigError(
                f"targets.{release.name}: {name} is {reference.scheme}:..., which stands on this "
                "machine and not in the cluster.",
                f'Make a Secret there and write: {name} = "kubernetes:SECRET/KEY"',
            )
    return found


def _labels(release: Release) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": object_name(release.app),
        "app.kubernetes.io/managed-by": "noria",
        "app.kubernetes.io/version": release.revision.id,
    }


def _annotations(release: Release) -> dict[str, str]:
    return {"noria.dev/revision": release.revision.digest}


def _ray_service(release: Release) -> dict[str, Any]:
    target, name = release.target, object_name(release.app)

    def pod(kind: str) -> dict[str, Any]:
        spec = _pod(release, "default")
        container = spec["containers"][0] | {"name": f"ray-{kind}"}
        # KubeRay sets the command and the probes of Ray's own processes.
        for ours in ("args", "startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(ours)
        container["ports"] = [{"name": "serve", "containerPort": 8000}] if kind == "head" else []
        return {"spec": spec | {"containers": [container]}}

    served = {
        "proxy_location": "EveryNode",
        "applications": [
            {
                "name": name, "import_path": f"{Path(release.revision.file).stem}:app",
                "route_prefix": "/", "runtime_env": {"env_vars": dict(release.wires.plain)},
            }
        ],
    }  # fmt: skip
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {
            "name": name, "namespace": target.namespace, "labels": _labels(release),
            "annotations": _annotations(release),
        },
        "spec": {
            "serveConfigV2": yaml.safe_dump(served, sort_keys=False),
            "rayClusterConfig": {
                "headGroupSpec": {"rayStartParams": {}, "template": pod("head")},
                "workerGroupSpecs": [
                    {
                        "groupName": "workers", "replicas": target.min_replicas,
                        "minReplicas": target.min_replicas, "maxReplicas": target.max_replicas,
                        "rayStartParams": {}, "template": pod("worker"),
                    }
                ],
            },
        },
    }  # fmt: skip
