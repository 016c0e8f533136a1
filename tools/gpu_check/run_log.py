# SPDX-License-Identifier: MIT
"""Reads the log of a run, and makes objects fit for JSON, which has no infinities and NaNs. Such a number is null, and
"not_finite" of the same object has its reason: {"loss": null, "not_finite": {"loss": "nan"}} (data/files/README.md).
Needs only Python 3.6."""

import json
import math
import pathlib

SCHEMA = 2  # the last one that this release reads; in schema 1 such a number is the string "nan", "inf" or "-inf"
REASONS = ("nan", "-nan", "inf", "-inf")


def read_metrics(run):
    """The lines of a run's metrics.jsonl, with NaN and infinities where the run had them. ValueError if one is damaged
    or of a later release."""
    path = pathlib.Path(run) / "metrics.jsonl"
    return [restored(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def restored(record):
    if not isinstance(record, dict):
        raise ValueError("expected an object per line of metrics.jsonl")
    schema = record.get("schema", 1)
    if schema not in range(1, SCHEMA + 1):
        raise ValueError(f"it has schema {schema}: this release reads only up to schema {SCHEMA}; use a later release")
    for key, value in list(record.items()):
        if schema == 1 and isinstance(value, str) and value in REASONS:
            record[key] = float(value)
    reasons = record.pop("not_finite", {})
    if not isinstance(reasons, dict) or not all(reason in REASONS for reason in reasons.values()):
        raise ValueError(f"expected reasons in not_finite, got {reasons}")
    record.update((key, float(reason)) for key, reason in reasons.items())
    return record


def fit_for_json(value):
    """The object for json.dumps. In a list that is a value of the object, a reason is named "range[1]"."""
    reasons = {}
    result = {key: replaced(entry, str(key), reasons) for key, entry in value.items()}
    return dict(result, not_finite=reasons) if reasons else result


def replaced(value, name, reasons):
    if isinstance(value, float) and not math.isfinite(value):
        reasons[name] = str(value)
        return None
    if isinstance(value, (list, tuple)):
        return [replaced(entry, f"{name}[{place}]", reasons) for place, entry in enumerate(value)]
    return fit_for_json(value) if isinstance(value, dict) else value
