"""deploy/: what runs Lipwire elsewhere, as far as that can be checked here: each file by its format's own rules, and
against the settings, the flags and the figures that there really are."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import typer.main
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families

from lipwire.app.config import Config, load
from lipwire.app.front.server import FrontService
from lipwire.cli.main import app
from support.machine import require
from support.npm import fetch
from support.paths import ROOT
from support.ports import free_ports

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "lipwire.service"
CLOSING = 30.0
"""Seconds that a server may take to close when it has drained (`Service.close`), with some to spare."""
VERSIONS = ("1.25", "1.29", "1.33", "1.37")
"""Of Kubernetes."""
PROGRAM = """
import { parser } from '@prometheus-io/lezer-promql';
const found = [];
for (const query of JSON.parse(process.argv[2])) {
  parser.parse(query).iterate({ enter: (node) => { if (node.type.isError) found.push([query, node.from]); } });
}
console.log(JSON.stringify(found));
"""


def served(arguments: list[str], environment: dict[str, str]) -> Config:
    """The settings of `lipwire serve` with this command line and this environment. Raises what it would end with."""
    assert arguments[0].rpartition("/")[2] == "lipwire" and arguments[1] == "serve"
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    given = command.make_context("serve", arguments[2:]).params
    path = given.pop("config")
    return load(given, environment=environment, path=path)


# ------------------------------------------------------------------------------------------------------------- Grafana


def board() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DEPLOY / "grafana" / "lipwire.json").read_text(encoding="utf-8"))
    return read


def queries() -> list[str]:
    return [target["expr"] for panel in board()["panels"] for target in panel.get("targets", ())]


def lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """What of a value is no longer in another."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, value in given.items():
            yield from lost(value, kept[name], f"{path}/{name}") if name in kept else (f"{path}/{name}",)
    elif isinstance(given, list) and isinstance(kept, list):
        for number, (one, other) in enumerate(itertools.zip_longest(given, kept)):
            yield from lost(one, other, f"{path}/{number}")
    elif given != kept:
        yield f"{path}: {given!r} is {kept!r}"


def test_the_dashboard_is_grafanas() -> None:
    """Grafana's own models take it, and give back all of it: no field has a name that they do not know."""
    kept = json.loads(JSONEncoder().encode(Dashboard.from_json(board())))
    assert list(lost(board(), kept)) == []


def test_panels_have_places_of_their_own() -> None:
    panels = board()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"] and panel["targets"], panel["title"]


async def test_every_metric_that_is_asked_for_is_there(tmp_path: Path) -> None:
    """In /metrics of a front process with workers, in which there is everything that can be."""
    ports: dict[str, Any] = dict.fromkeys(("http_port", "ws_port", "viewer_port"), 0)
    config = Config(
        **ports,
        host="127.0.0.1",
        workers=2,
        webhook_url="http://127.0.0.1:9/hook",
        webhook_secret="s" * 16,
        films=str(tmp_path),
    )
    async with FrontService(config) as front, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        text = (await client.get(f"{front.http_url}/metrics")).text
    there: set[str] = set()
    for family in text_string_to_metric_families(text):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        there |= {family.name + end for end in ends}
    asked = {name for query in queries() for name in re.findall(r"\blipwire_\w+", query)}
    assert len(asked) > 30 and asked - there == set()
    asked |= set(re.findall(r"\blipwire_\w+", json.dumps(board()["templating"])))
    assert asked - there == set()


def test_every_query_is_promql(tmp_path: Path) -> None:
    """By the grammar of Prometheus' own editor."""
    fetch(tmp_path, "@prometheus-io/lezer-promql@0.315.0", "@lezer/lr@1.4.2", "@lezer/highlight@1.2.1")
    (tmp_path / "check.mjs").write_text(PROGRAM)
    # Grafana puts a time there before Prometheus sees it.
    asked = [query.replace("$__rate_interval", "1m") for query in queries()]
    command = ["node", "check.mjs", json.dumps([*asked, "sum(rate(a[1m])"])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {query for query, _ in json.loads(done.stdout)} == {"sum(rate(a[1m])"}


# ------------------------------------------------------------------------------------------------------------- systemd


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, as it is where it is installed: its program is there."""
    text = UNIT.read_text(encoding="utf-8")
    program = Path(sysconfig.get_path("scripts")) / "lipwire"
    (tmp_path / UNIT.name).write_text(text.replace("/opt/lipwire/bin/lipwire", str(program)))
    return tmp_path / UNIT.name


def analyzed(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    require(program, "systemd-analyze (Debian: systemd)")
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_unit_is_one(unit: Path) -> None:
    done = analyzed("verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_has_little_to_attack(unit: Path) -> None:
    done = analyzed("security", "--offline=yes", "--threshold=20", "--no-pager", unit)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-200:]


def setting(name: str) -> str:
    [value] = re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.M)
    return str(value)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_units_settings_are_settings(clustered: bool) -> None:
    """Those of its file, with what is to be filled in filled in, alone and of a cluster; it has time to drain."""
    text = (DEPLOY / "systemd" / "lipwire.env").read_text(encoding="utf-8")
    if clustered:
        text = re.sub(r"^#(LIPWIRE_)", r"\1", text, flags=re.M)
    given = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    given |= {name: "x" * 48 for name, value in given.items() if not value}
    config = served(setting("ExecStart").split(), given)
    assert bool(config.nats) == clustered and not config.viewer and config.workers == "auto"
    assert float(setting("TimeoutStopSec")) >= config.drain_seconds + CLOSING
    assert setting("KillMode") == "mixed"


# ---------------------------------------------------------------------------------------------------------- Kubernetes


def manifests() -> list[dict[str, Any]]:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def manifest(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifest("StatefulSet", name)["spec"]["template"]["spec"]
    return spec


def environment(container: dict[str, Any], **known: str) -> dict[str, str]:
    """As a container has it: `$(NAME)` stands for a variable that was given before."""
    found: dict[str, str] = {}
    for one in container["env"]:
        told = one.get("value") or known[one["name"]]
        found[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], told)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_kubernetes(version: str) -> None:
    for one in manifests():
        kubernetes_validate.validate(one, version, strict=True)


def test_the_manifests_fit_together() -> None:
    everything = {(one["kind"], one["metadata"]["name"]) for one in manifests()}
    for name in ("lipwire", "nats"):
        whole = manifest("StatefulSet", name)["spec"]
        labels = whole["template"]["metadata"]["labels"]
        assert whole["selector"]["matchLabels"] == labels
        [container] = pod(name)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for service in (name, f"{name}-pods"):
            spec = manifest("Service", service)["spec"]
            assert spec["selector"] == labels
            assert all(ports[port["targetPort"]] == port["port"] for port in spec["ports"])
        assert whole["serviceName"] == f"{name}-pods"
        assert manifest("Service", f"{name}-pods")["spec"]["clusterIP"] == "None"
        assert manifest("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        for one in container["env"]:
            reference = one.get("valueFrom", {}).get("secretKeyRef")
            assert reference is None or reference["key"] in manifest("Secret", reference["name"])["stringData"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod(name)["volumes"]}
        for volume in pod(name)["volumes"]:
            assert "configMap" not in volume or ("ConfigMap", volume["configMap"]["name"]) in everything


def test_the_pods_settings_are_settings() -> None:
    spec = pod("lipwire")
    [container] = spec["containers"]
    known = {"POD_NAME": "lipwire-2", "NAMESPACE": "calls", "NATS_PASSWORD": "p" * 24}
    known |= {"LIPWIRE_API_KEY": "k" * 24, "LIPWIRE_SESSION_SECRET": "s" * 32}
    config = served(container["args"], environment(container, **known))
    own = "lipwire-2.lipwire-pods.calls.svc"
    assert config.nats == (f"nats://lipwire:{'p' * 24}@nats:4222",) and config.node == "lipwire-2"
    assert config.advertise_url == f"http://{own}:8764" and config.public_ws_url == f"ws://{own}:{{port}}"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": config.http_port} | {f"ws-{n}": config.ws_port + n for n in range(config.worker_count)}
    assert float(container["resources"]["requests"]["cpu"]) == config.worker_count
    waits = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] >= waits + config.drain_seconds + CLOSING
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert version is not None and container["image"].endswith(f"/lipwire:{version[1]}")
    # Nothing that the image is not: its user, and its folder of caches.
    image = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert f"USER {spec['securityContext']['runAsUser']}" in image and "ENTRYPOINT" not in image
    assert re.search(r"\[[\w,]*cluster[\w,]*\]", image), "the image has nothing to speak to NATS with"


async def test_three_nats_servers_find_each_other_and_want_the_password(tmp_path: Path) -> None:
    """The configuration of the manifest on the real server, with loopback in place of the pods' names. A password that
    could be read as a number is one all the same."""
    program = shutil.which("nats-server")
    require(program, "nats-server")
    password = "12e456789"
    [container] = pod("nats")["containers"]
    text = manifest("ConfigMap", "nats")["data"]["nats.conf"]
    ports = free_ports(9)
    running = []
    try:
        for n in range(3):
            client, monitor, routes = ports[3 * n : 3 * n + 3]
            own = text
            for told, port in ((4222, client), (8222, monitor), (6222, routes)):
                own = own.replace(f"port: {told}", f"port: {port}")
            (tmp_path / f"{n}.conf").write_text(f"host: 127.0.0.1\n{own}")
            variables = environment(container, POD_NAME=f"nats-{n}", PASSWORD=password)
            for m in range(3):
                variables[f"ROUTE_{m}"] = variables[f"ROUTE_{m}"].replace(
                    f"nats-{m}.nats-pods:6222", f"127.0.0.1:{ports[3 * m + 2]}"
                )
            assert container["command"] == ["nats-server"]
            command = (str(program), "--config", str(tmp_path / f"{n}.conf"))
            log = asyncio.subprocess.DEVNULL
            running.append(await asyncio.create_subprocess_exec(*command, env=variables, stdout=log, stderr=log))
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
            for n in range(3):
                while True:
                    assert running[n].returncode is None
                    try:
                        told = (await http.get(f"http://127.0.0.1:{ports[3 * n + 1]}/routez")).json()
                        if len({route["remote_id"] for route in told["routes"]}) == 2:
                            break
                    except httpx.TransportError:
                        pass
                    await asyncio.sleep(0.1)
            health = await http.get(f"http://127.0.0.1:{ports[1]}/healthz")
            assert health.status_code == 200
        import nats
        from nats.errors import Error

        right = await nats.connect(f"nats://lipwire:{password}@127.0.0.1:{ports[0]}")
        await right.close()
        with pytest.raises(Error):
            await nats.connect(f"nats://lipwire:wrong@127.0.0.1:{ports[0]}", allow_reconnect=False)
    finally:
        for process in running:
            if process.returncode is None:
                process.terminate()
            await process.wait()


# ------------------------------------------------------------------------------------------------------------- Compose


def test_the_composition() -> None:
    program = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    require(program.exists(), "check-jsonschema (pip install '.[release]')")
    file = DEPLOY / "compose.yaml"
    command = [str(program), "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    [service] = yaml.safe_load(file.read_text(encoding="utf-8"))["services"].values()
    given = {name: re.sub(r"\$\{.*\}", "x" * 48, value) for name, value in service["environment"].items()}
    config = served(service["command"], given)
    last = config.ws_port + config.worker_count - 1
    speech = f"{config.ws_port}-{last}"
    assert service["ports"] == [f"{config.http_port}:{config.http_port}", f"{speech}:{speech}"]
    assert service["stop_grace_period"] == "2m" and config.drain_seconds + CLOSING <= 120
