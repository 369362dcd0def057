"""Whether manifests can work: the schemas of Kubernetes, and rules for what the schemas let pass.

A cluster refuses, or silently never runs, objects that are valid by their schema: a selector that
matches no pod, a quantity such as "1GB", a pod of a Deployment that must not be restarted. All that
can be seen in the files is refused here, with the object and the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["objections"]

Object = Mapping[str, Any]

_QUANTITY = re.compile(r"[+-]?(\d+|\d+\.\d*|\.\d+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_IMAGE = re.compile(r"[a-z0-9]+([._:/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?")
_LABEL_NAMED = {"Service"}
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")
_ENUMS = {
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "dnsPolicy": {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"},
    "terminationMessagePolicy": {"File", "FallbackToLogsOnError"},
    "sessionAffinity": {"ClientIP", "None"},
    "externalTrafficPolicy": {"Cluster", "Local"},
    "scheme": {"HTTP", "HTTPS"},
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
# What `type` may be, by the object or field that has it.
_TYPES = {
    "Service": {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"},
    "strategy": {"Recreate", "RollingUpdate"},
    "updateStrategy": {"OnDelete", "RollingUpdate"},
    "seccompProfile": {"Localhost", "RuntimeDefault", "Unconfined"},
    "metrics": {"Resource", "Pods", "Object", "External", "ContainerResource"},
}


def objections(objects: Sequence[Object], version: str | None = None) -> list[str]:
    """Tell why a cluster would refuse objects, or never run them; nothing where it would.

    Args:
        objects: the objects that are applied together.
        version: the version of Kubernetes, such as `1.33`; None: the newest that is known.
    """
    found: list[str] = []
    for number, one in enumerate(objects):
        kind, name = one.get("kind"), (one.get("metadata") or {}).get("name")
        where = f"{kind or f'object {number + 1}'} {name or 'without a name'}"
        if not kind or not one.get("apiVersion"):
            found.append(f"{where}: apiVersion or kind is missing")
            continue
        try:
            found += [f"{where}: {why}" for why in (*_schema(one, version), *_rules(one))]
        except (TypeError, AttributeError, KeyError) as malformed:
            found.append(f"{where}: it has not the form of its kind ({malformed})")
    found += _relations(objects)
    return found


def _schema(one: Object, version: str | None) -> Iterator[str]:
    if "." in one["apiVersion"].partition("/")[0] and not one["apiVersion"].partition("/")[
        0
    ].endswith(".k8s.io"):
        return  # of an extension, whose schema its cluster alone has
    try:
        import kubernetes_validate
    except ImportError:
        yield "the schemas are not installed; pip install 'noria[kubernetes]'"
        return
    wanted = version or kubernetes_validate.latest_version()
    try:
        kubernetes_validate.validate(dict(one), wanted, strict=True)
    except kubernetes_validate.ValidationError as invalid:
        path = ".".join(str(part) for part in invalid.path)
        yield f"{path}: {invalid.message}" if path else str(invalid.message)
    except kubernetes_validate.SchemaNotFoundError as unknown:
        yield f"there is no such kind in Kubernetes {wanted}: {unknown.message}"


def _rules(one: Object) -> Iterator[str]:
    kind, metadata, spec = one["kind"], one.get("metadata") or {}, one.get("spec") or {}
    name = metadata.get("name")
    if not name and not metadata.get("generateName"):
        yield "metadata.name is missing"
    elif (
        name
        and kind in _LABEL_NAMED
        and (len(name) > 63 or not _LABEL.fullmatch(name) or not name[0].isalpha())
    ):
        yield f"metadata.name {name!r} is no DNS label (a-z, 0-9 and -, up to 63)"
    elif name and (len(name) > 253 or not _SUBDOMAIN.fullmatch(name)):
        yield f"metadata.name {name!r} is no DNS name (a-z, 0-9, - and .)"
    yield from _labels("metadata.labels", metadata.get("labels"))
    yield from _enums(one, kind, "")
    if kind in _WORKLOADS or kind == "CronJob":
        template = spec if kind != "CronJob" else spec.get("jobTemplate", {}).get("spec", {})
        yield from _workload(kind, template)
    elif kind == "Pod":
        yield from _pod(spec, "spec", ())
    elif kind == "HorizontalPodAutoscaler":
        yield from _bounds(spec, "minReplicas", "maxReplicas", least=0)
    elif kind == "ScaledObject":
        yield from _bounds(spec, "minReplicaCount", "maxReplicaCount", least=0)
        if not spec.get("triggers"):
            yield "spec.triggers is empty"
    elif kind == "PodDisruptionBudget":
        both = [bound for bound in ("minAvailable", "maxUnavailable") if bound in spec]
        if len(both) != 1:
            yield f"spec has {' and '.join(both) or 'neither bound'}; exactly one is allowed"
    elif kind == "Service":
        yield from _service(spec)
    elif kind == "RayService":
        cluster = spec.get("rayClusterConfig") or {}
        for group in cluster.get("workerGroupSpecs") or ():
            yield from _bounds(group, "minReplicas", "maxReplicas", least=0)
        groups = [cluster.get("headGroupSpec") or {}, *(cluster.get("workerGroupSpecs") or ())]
        for group in groups:
            yield from _pod((group.get("template") or {}).get("spec") or {}, "template.spec", ())


def _workload(kind: str, spec: Object) -> Iterator[str]:
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if kind != "Job":
        selector = spec.get("selector") or {}
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield "spec.selector is empty"
        if not _selects(selector, labels):
            yield "spec.selector does not match the labels of spec.template"
    yield from _labels("spec.template.metadata.labels", labels)
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    zero = [
        str(rolling.get(bound, "25%")) in ("0", "0%") for bound in ("maxUnavailable", "maxSurge")
    ]
    if kind == "Deployment" and all(zero):
        yield "spec.strategy.rollingUpdate: maxUnavailable and maxSurge are both 0"
    if (spec.get("strategy") or {}).get("type") == "Recreate" and rolling:
        yield "spec.strategy: rollingUpdate is not allowed with Recreate"
    if int(spec.get("replicas", 1)) < 0:
        yield "spec.replicas is negative"
    allowed = ("OnFailure", "Never") if kind in ("Job", "CronJob") else ("Always",)
    yield from _pod(template.get("spec") or {}, "spec.template.spec", allowed)


def _pod(spec: Object, where: str, restarts: Sequence[str]) -> Iterator[str]:
    policy = spec.get("restartPolicy", "Always")
    if restarts and policy not in restarts:
        yield f"{where}.restartPolicy is {policy}; it must be {' or '.join(restarts)}"
    containers = spec.get("containers") or []
    if not containers:
        yield f"{where}.containers is empty"
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    names: set[str] = set()
    for one in [*containers, *(spec.get("initContainers") or ())]:
        name = one.get("name") or ""
        here = f"{where}.containers.{name or '?'}"
        if len(name) > 63 or not _LABEL.fullmatch(name):
            yield f"{here}: {name!r} is no DNS label"
        if name in names:
            yield f"{here}: there are two of this name"
        names.add(name)
        image = one.get("image") or ""
        if not _IMAGE.fullmatch(image):
            yield f"{here}.image {image!r} names no image"
        yield from _container(one, here)
        for mount in one.get("volumeMounts") or ():
            if mount["name"] not in volumes:
                yield f"{here}.volumeMounts: there is no volume {mount['name']!r}"
    if (spec.get("securityContext") or {}).get("runAsNonRoot") and (
        spec["securityContext"].get("runAsUser") == 0
    ):
        yield f"{where}.securityContext: runAsNonRoot and runAsUser 0 exclude each other"


def _container(one: Object, here: str) -> Iterator[str]:
    resources = one.get("resources") or {}
    asked, most = resources.get("requests") or {}, resources.get("limits") or {}
    for field, amounts in (("requests", asked), ("limits", most)):
        for what, amount in amounts.items():
            if not _QUANTITY.fullmatch(str(amount)):
                yield f"{here}.resources.{field}.{what}: {amount!r} is no quantity (1Gi, 500m)"
            elif _amount(amount) < 0:
                yield f"{here}.resources.{field}.{what} is negative"
    for what in asked.keys() & most.keys():
        both = (str(asked[what]), str(most[what]))
        if all(_QUANTITY.fullmatch(each) for each in both) and _amount(both[0]) > _amount(both[1]):
            yield f"{here}.resources: {what} requests {both[0]}, over its limit {both[1]}"
    ports: set[Any] = set()
    port_names = set()
    for port in one.get("ports") or ():
        number, name = port.get("containerPort"), port.get("name")
        if not isinstance(number, int) or not 0 < number < 65536:
            yield f"{here}.ports: {number!r} is no port"
        if name is not None and (len(name) > 15 or not _PORT_NAME.fullmatch(name) or "--" in name):
            yield f"{here}.ports: {name!r} is no port's name (a-z, 0-9 and -, up to 15)"
        key = (number, port.get("protocol", "TCP"))
        if key in ports or (name is not None and name in port_names):
            yield f"{here}.ports: {name or number} is there twice"
        ports.add(key)
        port_names.add(name)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield from _probe(one.get(probe) or {}, f"{here}.{probe}", port_names)
    seen: set[str] = set()
    for variable in one.get("env") or ():
        name = variable.get("name") or ""
        if not _VARIABLE.fullmatch(name):
            yield f"{here}.env: {name!r} cannot name a variable"
        if name in seen:
            yield f"{here}.env: {name} is set twice"
        seen.add(name)
        if "value" in variable and "valueFrom" in variable:
            yield f"{here}.env.{name}: value and valueFrom exclude each other"


def _probe(probe: Object, here: str, ports: set[Any]) -> Iterator[str]:
    if not probe:
        return
    actions = [one for one in ("httpGet", "tcpSocket", "exec", "grpc") if one in probe]
    if len(actions) != 1:
        yield f"{here} has {' and '.join(actions) or 'no action'}; it needs one"
    for action in actions:
        port = probe[action].get("port") if isinstance(probe[action], Mapping) else None
        if isinstance(port, str) and port not in ports:
            yield f"{here}: there is no port {port!r}"
    for field in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
        if field in probe and int(probe[field]) < 1:
            yield f"{here}.{field} is less than 1"


def _service(spec: Object) -> Iterator[str]:
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield "spec.ports is empty"
    if len(ports) > 1 and any(not port.get("name") for port in ports):
        yield "spec.ports: with more than one port each needs a name"
    for port in ports:
        if not isinstance(port.get("port"), int) or not 0 < port["port"] < 65536:
            yield f"spec.ports: {port.get('port')!r} is no port"
        if "nodePort" in port and not 30000 <= port["nodePort"] <= 32767:
            yield f"spec.ports: nodePort {port['nodePort']} is not within 30000 and 32767"


def _bounds(spec: Object, low: str, high: str, *, least: int) -> Iterator[str]:
    lowest, highest = spec.get(low, 1), spec.get(high)
    if highest is None:
        yield f"{high} is missing"
        return
    if int(lowest) < least or int(highest) < 1:
        yield f"{low} is {lowest} and {high} {highest}; there must be at least one"
    if int(lowest) > int(highest):
        yield f"{low} is {lowest}, over {high}, {highest}"


def _labels(where: str, labels: Object | None) -> Iterator[str]:
    for key, value in (labels or {}).items():
        name = str(key).rpartition("/")[2]
        if not isinstance(value, str):
            yield f"{where}.{key}: {value!r} is no text"
        elif len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            yield f"{where}.{key}: {value!r} cannot be a label's value"
        if not name or len(name) > 63 or not _LABEL_VALUE.fullmatch(name):
            yield f"{where}: {key!r} cannot be a label's name"


def _enums(value: Any, parent: str, path: str) -> Iterator[str]:
    """Every field, however deep, that must be one of a few words, in just this case."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            known = _ENUMS.get(key)
            if known is not None and isinstance(inner, str) and inner not in known:
                yield f"{here} is {inner!r}; it must be one of {', '.join(sorted(known))}"
            yield from _enums(inner, key, here)
        of = "Service" if value.get("kind") == "Service" else parent
        chosen = (value.get("spec") or {}).get("type") if of == "Service" else value.get("type")
        if of in _TYPES and isinstance(chosen, str) and chosen not in _TYPES[of]:
            where = "spec.type" if of == "Service" else f"{path}.type"
            yield f"{where} is {chosen!r}; it must be one of {', '.join(sorted(_TYPES[of]))}"
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _enums(inner, parent, f"{path}.{number}")


def _relations(objects: Sequence[Object]) -> Iterator[str]:
    """What one object says of another one of the same files."""
    pods = [one for one in objects if one.get("kind") in _WORKLOADS]
    seen: set[tuple[Any, ...]] = set()
    for one in objects:
        metadata = one.get("metadata") or {}
        kind, name, space = one.get("kind"), metadata.get("name"), metadata.get("namespace")
        if (kind, name, space) in seen:
            yield f"{kind} {name}: it is there twice"
        seen.add((kind, name, space))
        spec = one.get("spec") or {}
        if kind == "Service" and spec.get("selector") and pods:
            yield from _reaches(one, {"matchLabels": spec["selector"]}, pods)
        if kind == "PodDisruptionBudget" and pods:
            yield from _reaches(one, spec.get("selector") or {}, pods)
        if kind == "NetworkPolicy" and pods:
            yield from _reaches(one, spec.get("podSelector") or {}, pods)
        reference = spec.get("scaleTargetRef") or {}
        if kind in ("HorizontalPodAutoscaler", "ScaledObject") and pods:
            wanted = (reference.get("kind", "Deployment"), reference.get("name"))
            known = {(pod["kind"], pod["metadata"].get("name")) for pod in pods}
            if wanted not in known:
                yield f"{kind} {name}: spec.scaleTargetRef names no {wanted[0]} {wanted[1]}"


def _reaches(one: Object, selector: Object, pods: Sequence[Object]) -> Iterator[str]:
    """Whether a selector finds pods of its namespace, and a Service's port is one of theirs."""
    where = f"{one['kind']} {one['metadata'].get('name')}"
    space = one["metadata"].get("namespace")
    chosen = [
        pod for pod in pods
        if pod["metadata"].get("namespace") == space
        and _selects(selector, (pod["spec"]["template"].get("metadata") or {}).get("labels") or {})
    ]  # fmt: skip
    if not chosen:
        yield f"{where}: its selector matches no pod"
        return
    if one["kind"] != "Service":
        return
    names = {
        port.get("name")
        for pod in chosen
        for container in pod["spec"]["template"]["spec"].get("containers") or ()
        for port in container.get("ports") or ()
    }
    for port in one["spec"].get("ports") or ():
        wanted = port.get("targetPort")
        if isinstance(wanted, str) and wanted not in names:
            yield f"{where}: spec.ports: its pods have no port {wanted!r}"


def _selects(selector: Object, labels: Object) -> bool:
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or ():
        value, wanted = labels.get(rule["key"]), rule.get("values") or ()
        match rule["operator"]:
            case "In" if value not in wanted:
                return False
            case "NotIn" if value in wanted:
                return False
            case "Exists" if rule["key"] not in labels:
                return False
            case "DoesNotExist" if rule["key"] in labels:
                return False
    return True


def _amount(quantity: Any) -> float:
    """A quantity as a number."""
    text = str(quantity)
    binary = {f"{unit}i": 1024.0 ** (n + 1) for n, unit in enumerate("KMGTPE")}
    decimal = dict(
        zip("numkMGTPE", (1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18), strict=True)
    )
    if text[-2:] in binary:
        return float(text[:-2]) * binary[text[-2:]]
    if text[-1:] in decimal:
        return float(text[:-1]) * decimal[text[-1]]
    return float(text)
