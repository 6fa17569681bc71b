"""Ships a service's logs to S3: `python3.11 -m bentos.common.ship`, beside the service and in the same image.

Takes each file of the folder BAKEHOUSE_PREDICTION_LOG, puts it under BAKEHOUSE_PREDICTIONS_URL, and deletes it once S3
has confirmed its checksum. The service imports nothing of this.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import logging
import mmap
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedRandom
from pathlib import Path
from typing import Any

from bakehouse.errors import ConfigurationError, DeliveryError
from bentos.common.log_files import FEEDBACK_FOLDER, FILE_NAME, FOLDER_VARIABLE, lock, log_files

URL_VARIABLE = "BAKEHOUSE_PREDICTIONS_URL"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
CONTENT_TYPE = "application/x-ndjson"
LONGEST_PAUSE_SECONDS = 60.0
LAST_PAUSE_SECONDS = 1.0
CONNECT_SECONDS, ANSWER_SECONDS = 5, 15
ENDINGS = {signal.SIGTERM, signal.SIGINT}

_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[A-Za-z0-9._=-]+)*)/?")
_logger = logging.getLogger("bakehouse.ship")


@dataclass(frozen=True)
class Destination:
    """Where files go: a bucket, and what their keys begin with."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, url: str) -> Destination:
        """Raises `ConfigurationError` where it is no S3 URL."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ConfigurationError(
                f"{URL_VARIABLE} is {url!r}.", "Let it name a bucket and a model: s3://BUCKET/MODEL."
            )
        return cls(match["bucket"], match["prefix"].removeprefix("/"))

    def key(self, kind: str, name: str, host: str) -> str:
        """The key of the file `name`: always the same one, so that a file put twice is one object."""
        match = FILE_NAME.fullmatch(name)
        assert match is not None
        day = datetime.fromtimestamp(int(match["start"]) / 1e9, UTC).date()
        unique = f"{match['model']}-{match['version']}-{match['start']}-{host}-{match['process']}.ndjson"
        return "/".join(filter(None, (self.prefix, kind, f"date={day}", unique)))


class Shipper:
    """Ships what stands in `folder`, the file that was begun first in front, and stops at the first that S3 does not
    take: the file that the service writes to is left alone meanwhile."""

    def __init__(self, folder: Path, destination: Destination, s3: Any, host: str) -> None:
        self._folders = {"predictions": folder, "feedback": folder / FEEDBACK_FOLDER}
        self._destination = destination
        self._s3 = s3
        self._host = host

    def waiting(self) -> int:
        """How many files are still to be shipped."""
        return sum(len(log_files(folder)) for folder in self._folders.values())

    def ship(self) -> int:
        """Ship what can be shipped, and return how many files that were. Raises `DeliveryError`."""
        return sum(self._take(kind, path) for kind, folder in self._folders.items() for path in log_files(folder))

    def _take(self, kind: str, path: Path) -> bool:
        try:
            opened = path.open("r+b")
        except FileNotFoundError:  # the service needed the room
            return False
        except OSError as error:  # of this file alone
            _logger.warning("%s can't be shipped: %s.", path.name, error.strerror)
            return False
        with opened as file:
            if not lock(file.fileno()):  # it is being written this moment
                return False
            whole = _cut_to_whole_lines(file)
            if whole:
                self._put(self._destination.key(kind, path.name, self._host), file)
            path.unlink()
            return whole

    def _put(self, key: str, file: BufferedRandom) -> None:
        """One request, which needs no right but to put: S3 itself refuses what does not have the checksum."""
        from botocore.exceptions import BotoCoreError, ClientError

        file.seek(0)
        checksum = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
        file.seek(0)
        try:
            answer = self._s3.put_object(
                Bucket=self._destination.bucket,
                Key=key,
                Body=file,
                ContentType=CONTENT_TYPE,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
            )
        except (BotoCoreError, ClientError, OSError) as error:  # the last of the token's file
            raise DeliveryError(" ".join(str(error).split())) from error
        if (confirmed := answer.get("ChecksumSHA256")) != checksum:
            raise DeliveryError(f"S3 confirmed the checksum {confirmed} of {key}, which has {checksum}")


def _cut_to_whole_lines(file: BufferedRandom) -> bool:
    """Cut off the line that a service was killed in. Whether anything is left."""
    size = os.fstat(file.fileno()).st_size
    if size:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            whole = content.rfind(b"\n") + 1
        if whole < size:
            _logger.warning("The service was killed in the midst of a line: its last %d bytes go.", size - whole)
            file.truncate(whole)
        size = whole
    return size > 0


def shipper(environment: Mapping[str, str]) -> Shipper:
    """What the variables ask for. Raises `ConfigurationError`."""
    # Half a second, in which a signal would not be heard: so they come after `main` has blocked it.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    destination = Destination.of(environment.get(URL_VARIABLE, ""))
    folder = Path(environment.get(FOLDER_VARIABLE, ""))
    if not environment.get(FOLDER_VARIABLE) or not folder.is_dir():
        raise ConfigurationError(f"{FOLDER_VARIABLE} is {str(folder)!r}, which is no folder.", "Name the service's.")
    # Another store than AWS's rarely has a name for each bucket.
    by_path = any(environment.get(name) for name in ENDPOINT_VARIABLES)
    settings = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path" if by_path else "auto"},
    )
    session = get_session()
    # Of every client, of the one that fetches the role's credentials too: none may hold up the end of the pod.
    session.set_default_client_config(settings)
    try:
        s3 = boto3.Session(botocore_session=session).client("s3")
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"S3 can't be asked: {error}", "Look at the variables AWS_….") from error
    return Shipper(folder, destination, s3, socket.gethostname())


def run(files: Shipper, every: float, last: float) -> bool:
    """Ship every so many seconds until one of `ENDINGS` comes, and then, for `last` seconds at most, until nothing is
    left; whether nothing was. `ENDINGS` must be blocked."""
    pause, failed = 0.0, 0
    while signal.sigtimedwait(ENDINGS, pause) is None:
        try:
            shipped = files.ship()
        except (DeliveryError, OSError) as error:
            pause = min(2.0**failed, LONGEST_PAUSE_SECONDS)
            failed += 1
            _logger.warning("%s; %d files wait, the next try is in %g seconds.", error, files.waiting(), pause)
        else:
            if failed:
                _logger.info("S3 takes files again: %d are shipped.", shipped)
            pause, failed = every, 0
    return _ship_the_last(files, time.monotonic() + last)


def _ship_the_last(files: Shipper, deadline: float) -> bool:
    while True:
        reason = "the service still writes"
        try:
            files.ship()
        except (DeliveryError, OSError) as error:
            reason = str(error)
        waiting = files.waiting()
        if not waiting:
            return True
        if time.monotonic() > deadline:
            _logger.error("%d files are not shipped: %s.", waiting, reason)
            return False
        time.sleep(LAST_PAUSE_SECONDS)


def main() -> int:
    """Ship until SIGTERM or SIGINT; 0 where all is shipped then, else 1 and one line."""
    parser = argparse.ArgumentParser(prog="python -m bentos.common.ship", description=__doc__)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two looks (default: %(default)s)")
    parser.add_argument("--last", type=float, default=25.0, help="seconds to ship the last in (default: %(default)s)")
    options = parser.parse_args()
    # Blocked, they wait for a moment at which nothing is half done; process 1 of a container has no default for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        files = shipper(os.environ)
    except ConfigurationError as error:
        print(f"Nothing is shipped: {error}", file=sys.stderr)  # noqa: T201
        return 1
    _logger.info("Shipping %s to %s.", os.environ[FOLDER_VARIABLE], os.environ[URL_VARIABLE])
    return 0 if run(files, options.every, options.last) else 1


if __name__ == "__main__":
    sys.exit(main())
