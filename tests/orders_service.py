"""What the tests of a running orders service send it, and what they read of its answer."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx

Document = dict[str, Any]
CANARIES = {
    "customer": {
        "id": "CANARY-ID-1",
        "name": "Canary Name-2",
        "email": "canary-3@example.com",
        "phone": "+44 7700 900456",
        "address": {
            "street": "5 Canary Street",
            "city": "Canarytown-6",
            "postal_code": "CN7 7RY",
            "country": "United Kingdom",
        },
    },
    "note": "call canary-8@example.com or +44 7700 900789",
}
PERSONAL = re.compile("canary|7700|CN7 7RY", re.IGNORECASE)


def post(client: httpx.Client, content: Any, content_type: str = "application/json", **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) or hasattr(content, "__next__") else json.dumps(content).encode()
    return client.post("/predict", content=body, headers={"content-type": content_type, **headers})


def whole_answer(connection: socket.socket) -> bytes:
    """Head and body, which may come in pieces."""
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < _length(answer):
        piece = connection.recv(10_000)
        if not piece:
            break
        answer += piece
    return answer


def _length(answer: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: (\d+)\r\n", answer, re.IGNORECASE)
    return int(found[1]) if found else 0
