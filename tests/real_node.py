"""A cluster with a node that runs containers, in a network of its own: a real kubelet pulls, starts, probes and stops.

As root only, and with Debian's container programs. What that node lacks is supplied here: names for Services.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.cluster_equipment import DEADLINE_SECONDS, Cluster, equipment, exported, held
from tests.container_images import require

PROGRAMS = ("containerd", "runc", "ctr", "catatonit", "iptables", "busybox", "unshare", "bridge", "host-local")
NODE_ADDRESS = "10.244.0.1"
DNS_ADDRESS = "10.0.0.10"
NETWORK_NAMESPACE = 0x40000000


@contextmanager
def running_node(folder: Path) -> Iterator[Cluster]:
    """The cluster, for as long as the block runs. The calling thread, and what it starts, is in the cluster's network.

    Skips the test where the equipment, a program or root is missing.
    """
    require(*PROGRAMS)
    programs = equipment()
    path = os.pathsep.join((str(programs), os.environ["PATH"], "/usr/sbin", "/sbin"))
    isolated = [str(programs / "isolate"), "env", f"PATH={path}", str(programs / "up"), str(folder)]
    command = [*isolated, str(programs / "node-up"), str(folder / "node"), "cat"]
    with held(command, folder.with_suffix(".log"), "The node") as process:
        cluster = Cluster(folder, programs, exported(folder / "env.sh"))
        with _network_of(process.pid), _names(cluster):
            yield cluster


@contextmanager
def _network_of(pid: int) -> Iterator[None]:
    """Let this thread be in the network that a child of the process is in."""
    own = Path("/proc/self/ns/net").readlink()
    others = (child.pid for child in psutil.Process(pid).children(recursive=True))
    inside = next(child for child in others if Path(f"/proc/{child}/ns/net").readlink() != own)
    with Path("/proc/thread-self/ns/net").open() as here, Path(f"/proc/{inside}/ns/net").open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, NETWORK_NAMESPACE):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def _names(cluster: Cluster) -> Iterator[None]:
    """The cluster's DNS: the address of a Service for its name, and nothing else."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"}}
    ports: list[dict[str, Any]] = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    cluster.apply(
        service | {"spec": {"clusterIP": DNS_ADDRESS, "ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [NODE_ADDRESS]}],
            "ports": ports,
        },
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((NODE_ADDRESS, 53))
        answering = threading.Thread(target=_answer_names, args=(cluster, listening), daemon=True)
        answering.start()
        try:
            yield
        finally:
            listening.sendto(b"", (NODE_ADDRESS, 53))
            answering.join(DEADLINE_SECONDS)


def _answer_names(cluster: Cluster, listening: socket.socket) -> None:
    """Answer until an empty message comes."""
    while True:
        query, sender = listening.recvfrom(4096)
        if not query:
            return
        end = query.index(b"\0", 12)
        question = query[12 : end + 5]
        address = _address(cluster, query[13 : 13 + query[12]].decode())
        wanted = address is not None and struct.unpack("!H", question[-4:-2]) == (1,)
        answer = (
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(address) if address and wanted else b""
        )
        flags = 0x8180 if address else 0x8183  # an answer, or no such name
        listening.sendto(query[:2] + struct.pack("!5H", flags, 1, bool(answer), 0, 0) + question + answer, sender)


def _address(cluster: Cluster, name: str) -> str | None:
    """The address of the one Service that is called so: this kubelet gives pods no namespace to search in. None too
    where the API server does not answer just then, for whoever asks for a name asks again."""
    chosen = [
        "--all-namespaces",
        f"--field-selector=metadata.name={name}",
        "--output=jsonpath={.items[*].spec.clusterIP}",
    ]
    return cluster.attempt("kubectl", "get", "services", *chosen).stdout or None
