"""What a service counts for Prometheus, kept in BentoML's own registry so that its `/metrics` answers all of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from bentos.common.identity import Identity

WINDOW = 1_000
BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 1.0)


class ServiceMetrics:
    """Counters of one service process. Made once a process: a registry refuses the same name twice.

    BentoML runs prometheus_client in its multi-process mode, where an Info metric is not allowed and a gauge needs to
    say how workers are joined.
    """

    def __init__(self, identity: Identity, outcomes: Sequence[str], alarm: str | None) -> None:
        # Imported late: it decides at its import where values are kept, and BentoML sets that when a worker starts.
        import prometheus_client

        labels = {"model": identity.model, "model_version": str(identity.model_version)}
        names = [*labels]
        self._requests = prometheus_client.Counter(
            "bakehouse_requests_total", "Answered requests for predictions, by HTTP status.", [*names, "status"]
        )
        self._duration = prometheus_client.Histogram(
            "bakehouse_request_duration_seconds",
            "From the request's headers to the last byte of its answer.",
            names,
            buckets=BUCKETS,
        ).labels(**labels)
        predictions = prometheus_client.Counter(
            "bakehouse_predictions_total", "Predicted documents, by what was predicted.", [*names, "outcome"]
        )
        self._predictions = {outcome: predictions.labels(**labels, outcome=outcome) for outcome in outcomes}
        self._told = prometheus_client.Counter(
            "bakehouse_feedback_total", "Documents whose true label was told, by that label.", [*names, "label"]
        )
        self._alarm = alarm
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._alarms = 0
        self._rate = (
            prometheus_client.Gauge(
                "bakehouse_anomaly_rate",
                f"Share of the last {WINDOW} predictions that were '{alarm}'.",
                names,
                multiprocess_mode="livemostrecent",
            ).labels(**labels)
            if alarm
            else None
        )
        self.dropped = prometheus_client.Counter(
            "bakehouse_prediction_log_dropped_total",
            "Predictions left out of the log as its queue was full or its disk failed.",
            names,
        ).labels(**labels)
        prometheus_client.Gauge(
            "bakehouse_model_info",
            "Always 1; the labels say which model version answers.",
            [*names, "model_digest", "data_version", "code_commit"],
            multiprocess_mode="livemax",
        ).labels(
            **labels,
            model_digest=identity.model_digest,
            data_version=identity.data_version,
            code_commit=identity.code_commit,
        ).set(1)
        self._labels = labels
        self._by_status: dict[int, Any] = {}

    def answered(self, status: int, seconds: float) -> None:
        """One request was answered with `status` after `seconds`."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(**self._labels, status=str(status))
        counter.inc()
        self._duration.observe(seconds)

    def told(self, labels: Sequence[str]) -> None:
        """Feedback gave these labels."""
        for label in labels:
            self._told.labels(**self._labels, label=label).inc()

    def predicted(self, outcomes: Sequence[str]) -> None:
        """These were predicted, in this order."""
        for outcome in outcomes:
            self._predictions[outcome].inc()
            if self._rate is not None:
                recent, alarm = self._recent, outcome == self._alarm
                if len(recent) == WINDOW:
                    self._alarms -= recent[0]
                recent.append(alarm)
                self._alarms += alarm
        if self._rate is not None and outcomes:
            self._rate.set(self._alarms / len(self._recent))
