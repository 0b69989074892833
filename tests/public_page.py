"""A visitor of the page without a browser: what a script can send, over HTTP alone."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import uuid
from typing import Any

TIMEOUT = 240.0


class Visitor:
    """One page of one visitor.

    Args:
        url: of the server.
        token: the visitor's; any value can be sent.

    Attributes:
        components: first values by ``elem_id``.
    """

    def __init__(self, url: str, token: Any) -> None:
        self.url, self.token = url, token
        self.session = uuid.uuid4().hex
        with urllib.request.urlopen(f"{url}/config", timeout=60) as reply:  # noqa: S310
            config = json.load(reply)
        self.components = {
            c["props"].get("elem_id"): c["props"].get("value") for c in config["components"]
        }
        ids = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
        self._events = {
            (ids.get(target), event): one
            for one in config["dependencies"]
            for target, event in one["targets"]
        }

    def upload(self, file: dict[str, Any]) -> dict[str, Any]:
        """Upload a file of tests.dataset_page; how components name it."""
        mark = uuid.uuid4().hex
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="files"; '
            f'filename="{file["name"]}"\r\nContent-Type: {file["mimeType"]}\r\n\r\n'
        )
        body = head.encode() + file["buffer"] + f"\r\n--{mark}--\r\n".encode()
        kind = f"multipart/form-data; boundary={mark}"
        path = json.loads(self._post("/gradio_api/upload", body, kind))[0]
        return {"path": path, "orig_name": file["name"], "meta": {"_type": "gradio.FileData"}}

    def press(self, button: str, *values: Any, event: str = "click") -> str:
        """Call a listener; everything that it answered until it ended."""
        one = self._events[button, event]
        body = {"data": list(values), "event_data": None, "fn_index": one["id"]}
        body |= {"session_hash": self.session, "trigger_id": None}
        data = json.dumps(body).encode()
        if one["queue"] is False:
            return self._post("/gradio_api/run/predict", data, "application/json")
        asked = self._post("/gradio_api/queue/join", data, "application/json")
        if "event_id" not in asked:
            return asked
        number = json.loads(asked)["event_id"]
        lines = []
        address = f"{self.url}/gradio_api/queue/data?session_hash={self.session}"
        with urllib.request.urlopen(address, timeout=TIMEOUT) as stream:  # noqa: S310
            for line in stream:
                said = line.decode()
                lines.append(said)
                if "process_completed" in said and number in said:
                    break
        return "".join(lines)

    def start(self, coco: Any, zipped: Any, name: str, **more: Any) -> str:
        """Press Start of *Make a run*."""
        policies = more.get("policies", ["msm", "fixed:28"])
        paths = [more.get("coco_path", ""), zipped, more.get("folder", "")]
        return self.press("dm-make-start", self.token, None, coco, *paths, name, policies)

    def beginning(self, *args: Any, **more: Any) -> tuple[threading.Thread, list[str]]:
        """Press Start without waiting for the end."""
        said: list[str] = []

        def work() -> None:
            try:
                said.append(self.start(*args, **more))
            except OSError as error:  # the server was ended
                said.append(str(error))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread, said

    def _post(self, path: str, data: bytes, kind: str) -> str:
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.url + path, data=data, headers={"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:  # noqa: S310
                return reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
