# SPDX-License-Identifier: MIT
"""The overview on the report's page: what was run, with which settings and versions."""

import json

import report_tables


def setting_text(value):
    if value == "":
        return "(empty)"
    return value if isinstance(value, str) else json.dumps(value)


def listed(values):
    """Joins values to "a", "a and b" or "a, b and c"."""
    values = [str(value) for value in values]
    return " and ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values)


def counted(count):
    return f"{count} run{'s' * (count != 1)}"


def ordered(values):
    """The values without duplicates, sorted if they can be compared."""
    distinct = list({(type(value), value): value for value in values}.values())
    try:
        return sorted(distinct)
    except TypeError:
        return distinct


def images_text(settings):
    parts = []
    for key, name in (("train_images", "training"), ("test_images", "test")):
        count = settings.get(key)
        parts.append(f"the first {count} {name} images" if count else f"all {name} images")
    if settings.get("validation"):
        parts.append(f"{settings['validation']} of the training images held back for validation")
    return ", ".join(parts)


def what_was_run(collection):
    """The first paragraph of the page, as a list of sentences."""
    runs = collection.completed
    sentences = []
    for dataset in ordered(run.dataset for run in runs):
        of = [run for run in runs if run.dataset == dataset]
        networks = sorted({run.network for run in of}, key=report_tables.network_order)
        seeds = ordered(run.seed for run in of)
        epochs = ordered(len(run.epochs) for run in of)
        counts = {"original": 0, "random": 0, "measured": 0}
        for run in of:
            counts[run.column if run.column in counts else "measured"] += 1
        thresholds = ordered(run.choice for run in of if run.column not in ("original", "random"))
        kinds = []
        if counts["original"]:
            kinds.append(f"{counts['original']} original")
        if counts["random"]:
            kinds.append(f"{counts['random']} with random selection")
        if thresholds:
            between = f"{thresholds[0]:g} to {thresholds[-1]:g}" if len(thresholds) > 1 else f"{thresholds[0]:g}"
            plural = "s" * (len(thresholds) > 1)
            among = f"{len(thresholds)} threshold{plural}, {between}"
            kinds.append(f"{counts['measured']} with layers selected by a measure ({among})")
        seed_text = listed(seeds) if len(seeds) <= 5 else f"{seeds[0]} to {seeds[-1]} ({len(seeds)} of them)"
        images = ordered(images_text(run.settings) for run in of)
        sentences.append(
            f"{counted(len(of)).replace(' ', ' completed ')} of {listed(networks)} on {dataset}: "
            f"{listed(kinds)}; {listed(epochs)} epochs, seed{'s' * (len(seeds) > 1)} {seed_text}; "
            f"{'; or '.join(images)}."
        )
    for count, what, text in (
        (len(collection.incomplete), "run", "did not complete or cannot be compared"),
        (len(collection.damaged), "run", "could not be read"),
        (len(collection.failed), "cell", "failed"),
        (len(collection.removed), "cell", "was removed" if len(collection.removed) == 1 else "were removed"),
    ):
        if count:
            verb = "are" if count > 1 else "is"
            sentences.append(f"{count} {what}{'s' * (count > 1)} {text} and {verb} not counted.")
    return sentences


def settings_of(runs):
    """(equal, varying): {key: value} of the settings that are equal in all runs, and {key: values} of the others."""
    keys = {key: None for run in runs for key in sorted(run.without("output"))}
    values = {key: ordered(run.settings.get(key) for run in runs) for key in keys}
    equal = {key: found[0] for key, found in values.items() if len(found) == 1}
    return equal, {key: found for key, found in values.items() if len(found) > 1}


def versions(runs):
    """{version and backend: number of runs}."""
    counts = {}
    for run in runs:
        name = f"gradamp {run.version} on {run.backend}"
        counts[name] = counts.get(name, 0) + 1
    return counts
