# SPDX-License-Identifier: MIT
"""The page that tools/gpu_report.py writes, as Markdown."""

import math


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return lines


def find(rows, **keys):
    """The first row with these values, or None."""
    return next((row for row in rows if all(row[key] == value for key, value in keys.items())), None)


def aims(report):
    """(aim, measured, verdict) for what is wanted of the numbers; only what was measured has a verdict."""
    rows = []

    def add(aim, is_measured, text="", met=False):
        verdict = "met" if met else "**not met**"
        rows.append((aim, text, verdict) if is_measured else (aim, "not measured", ""))

    aim = "bf16 convolutions of ResNet-18 at least 0.8 of cuDNN's speed, by time"
    row = find(report["convolutions"], network="resnet18", precision="bf16")
    if row and row["ratio"]:
        add(aim, True, f"{row['ratio']:.2f}", row["ratio"] >= 0.8)
    else:
        add(aim, False)

    aim = "elementwise kernels at 0.85 of the copy ceiling (widest shape, bf16)"
    if worst := worst_kernels(report):
        add(aim, True, f"least: {worst[0]} {worst[1]:.2f}", worst[1] >= 0.85)
    else:
        add(aim, False)

    aim = "statistics with SGD at 0.85 of the copy ceiling (1e8 weights and more)"
    if worst := worst_optimizer(report):
        text = f"least: {worst[0]} {worst[1]:.2f} ({worst[2]:.2f} with the look at every gradient)"
        add(aim, True, text, worst[1] >= 0.85)
    else:
        add(aim, False)

    epoch, analysed = (
        "ResNet-18: an epoch of training under 0.6 s (good: 0.4)",
        "an analysed epoch within 2% of a plain one",
    )
    if row := find(report["steps"], network="resnet18", precision="bf16", granularity="weight"):
        add(epoch, True, f"{row['epoch_seconds']:.3f} s", row["epoch_seconds"] < 0.6)
        add(analysed, True, f"{100 * (row['analysed'] - 1):+.1f}%", row["analysed"] <= 1.02)
    else:
        add(epoch, False)
        add(analysed, False)

    aim = "ResNet-18 ahead of PyTorch in the same run"
    if row := find(report["pytorch"], network="resnet18"):
        add(aim, True, f"{row['ratio']:.2f} times its fastest mode", row["ratio"] > 1)
    else:
        add(aim, False)
    return rows


def worst_kernels(report):
    """(name, fraction) of the elementwise kernel that is furthest below a copy, at the widest shape in bf16."""
    kernels = report["kernels"].get("bf16")
    if not kernels or not kernels["shapes"]:
        return None
    widest = max(kernels["shapes"], key=lambda shape: math.prod(int(extent) for extent in shape.split("x")))
    fractions = [
        (name, row[widest]) for name, row in kernels["table"].items() if widest in row and name != "library_copy"
    ]
    return min(fractions, key=lambda pair: pair[1], default=None)


def worst_optimizer(report):
    """(name, fraction, fraction with the look) of the one furthest below a copy; what is separate on purpose, or done
    once an epoch, does not count."""
    fractions = []
    for variant, sizes in (report["optimizer"] or {"table": {}})["table"].items():
        for size, row in sizes.items():
            if (
                isinstance(row, dict)
                and float(size) >= 1e8
                and variant.startswith(("statistics_fused", "statistics_by"))
            ):
                fractions.append((f"{variant} at {size}", row["of_copy"], row["of_copy_with_look"]))
    return min(fractions, key=lambda pair: pair[1], default=None)


def facts_section(report, failures):
    facts, ceilings = report["facts"], report["ceilings"]
    title = facts.get("gpu", "an unknown GPU")
    lines = [f"# gradamp on {title}", ""]
    known = [
        (
            "card",
            " ".join(
                filter(
                    None,
                    [
                        title,
                        facts.get("memory"),
                        facts.get("compute capability") and f"compute capability {facts['compute capability']}",
                    ],
                )
            ),
        ),
        ("driver", facts.get("driver")),
        ("CUDA", facts.get("cuda")),
        ("library", report["library"]),
        ("host", facts.get("machine")),
        ("date", facts.get("date")),
        ("commit", facts.get("commit")),
    ]
    lines += table(["", ""], [(name, value) for name, value in known if value])
    lines += ["", "By `tools/gpu_check.sh`: " + ", ".join(report["checks"]) + ".", ""]
    if facts.get("device") != "cuda":
        lines += ["**A dry run without a GPU: the times below mean nothing.**", ""]
    measured = [
        f"{name.replace('_gb_s', '').replace('_tflop_s', '').replace('_', ' ')} {value:.0f} "
        f"{'GB/s' if name.endswith('gb_s') else 'TFLOP/s'}"
        for name, value in sorted(ceilings.items())
        if value >= 1
    ]
    if measured:
        lines += [
            "Ceilings measured in the same run (copies count bytes read and written; matrix products of 8192 x 8192, "
            "random data): " + ", ".join(measured) + ".",
            "",
        ]
    lines += checks_section(report, failures)
    return lines


def checks_section(report, failures):
    rows = []
    for part, checks in report["checks"].items():
        count = {
            status: sum(check["status"] == status for check in checks) for status in ("passed", "failed", "skipped")
        }
        count["failed"] += sum(failure[0] == part for failure in failures)
        notes = [
            f"{check['name']}: {check['message']}"
            for check in checks
            if check["status"] != "passed" and check["message"]
        ]
        notes += [f"{name}: {message}" for of, name, message in failures if of == part]
        notes = notes or [f"{check['name']}: {check['message']}" for check in checks if check["message"]]
        rows.append(
            (
                part,
                count["passed"],
                count["failed"] or "",
                count["skipped"] or "",
                report["seconds"][part],
                "; ".join(notes)[:300].replace("|", "/"),
            )
        )
    return ["## Checks", ""] + table(["part", "passed", "failed", "skipped", "s", ""], rows) + [""] if rows else []


def convolutions_section(report):
    if not report["convolutions"]:
        return []
    rows = [
        (
            r["network"],
            r["precision"],
            number(r["ours_ms"], 3),
            number(r["library_ms"], 3) if r["library_ms"] else "–",
            f"**{number(r['ratio'])}**" if r["ratio"] else "–",
            number(r["forward"]),
            number(r["backward_input"]),
            number(r["backward_filter"]),
            number(r["tflop_s"], 0 if r["tflop_s"] >= 10 else 3),
            number(r["of_matrix"]),
            number(r["with_moments"], 3),
        )
        for r in report["convolutions"]
    ]
    lines = [
        "## Convolutions",
        "",
        f"All of a training step, batch {report['convolutions'][0]['batch']}, every shape as often as the network has "
        "it, over buffers that no cache holds. Ratios are the library's time over ours, above 1 where ours is faster; "
        "the library's is the fastest of its plans.",
        "",
    ]
    lines += table(
        [
            "network",
            "precision",
            "ours, ms",
            "library, ms",
            "ratio",
            "forward",
            "grad. input",
            "grad. filter",
            "TFLOP/s",
            "of matrix ceiling",
            "forward with moments / without",
        ],
        rows,
    )
    missing = sum(r["missing"] for r in report["convolutions"])
    if missing:
        lines += ["", f"{missing} rows have nothing to compare with and enter no ratio."]
    if report["slowest"]:
        lines += ["", "Where a step of ResNet-18 in bf16 loses most, or gains least:", ""]
        lines += table(
            ["pass", "shape", "times", "ours, µs", "library, µs", "ratio", "TFLOP/s", "of its floor"],
            [
                (
                    r["pass"],
                    r["shape"],
                    r["count"],
                    number(r["ours_us"], 1),
                    number(r["library_us"], 1),
                    number(r["ratio"]),
                    number(r["tflop_s"], 0 if r["tflop_s"] >= 10 else 3),
                    number(r["of_floor"]),
                )
                for r in report["slowest"]
            ],
        )
    return lines + [""]


def kernels_section(report):
    lines = []
    for precision, kernels in report["kernels"].items():
        if precision == "f32" and "bf16" in report["kernels"]:
            continue  # in report.json
        rows = [
            [name] + [number(row.get(shape)) for shape in kernels["shapes"]]
            for name, row in kernels["table"].items()
            if any(shape in row for shape in kernels["shapes"])
        ]
        lines += [
            "## Between the convolutions",
            "",
            f"Rate of the bytes that have to be moved, as a fraction of the copy ceiling, {precision}, by image size "
            "and channels. `library_copy` is the ceiling's own copy at that size.",
            "",
        ]
        lines += table(["kernel"] + kernels["shapes"], rows) + [""]
    return lines


def optimizer_section(report):
    if not report["optimizer"]:
        return []

    def cell(row):
        if row is None:
            return "–"
        if not isinstance(row, dict):
            return "left out"
        return f"{row['GB/s']:.0f} ({row['of_copy']:.2f}, {row['of_copy_with_look']:.2f})"

    sizes = report["optimizer"]["sizes"]
    rows = [[name] + [cell(row.get(size)) for size in sizes] for name, row in report["optimizer"]["table"].items()]
    left_out = {
        row for sizes_of in report["optimizer"]["table"].values() for row in sizes_of.values() if isinstance(row, str)
    }
    lines = [
        "## Statistics and SGD",
        "",
        "GB/s of the bytes that have to be moved, by number of weights; in brackets as a fraction of the copy ceiling, "
        "without and with the look at every gradient that comes first. Up to 1e6 weights fit in a cache.",
        "",
    ]
    lines += table(["kernel"] + sizes, rows)
    if added := statistics_cost(report["optimizer"]):
        lines += ["", "What statistics by weight add to a step of SGD, in microseconds:", ""]
        lines += table(["weights", "SGD alone", "in the same pass", "in passes of their own"], added)
    return lines + [f"\nLeft out: {reason}." for reason in sorted(left_out)] + [""]


def statistics_cost(optimizer):
    """A row for each size at which all three were measured."""
    rows = []
    for size in optimizer["sizes"]:
        names = ("sgd", "statistics_fused_with_sgd", "statistics_separate_then_sgd")
        measured = [optimizer["table"].get(name, {}).get(size) for name in names]
        if all(isinstance(row, dict) for row in measured):
            sgd, fused, separate = (1e6 * row["seconds"] for row in measured)
            rows.append((size, number(sgd, 1), f"{fused - sgd:+.1f}", f"{separate - sgd:+.1f}"))
    return rows


def steps_section(report):
    if not report["steps"]:
        return []
    batch = report["steps"][0]["batch"]
    rows = [
        (
            r["network"],
            r["precision"],
            r["granularity"],
            number(r["step_ms"], 3),
            number(r["images_per_second"], 0),
            f"**{number(r['epoch_seconds'], 3)}**",
            number(r["analysed"], 3),
            number(r["memory_mib"], 0),
        )
        for r in report["steps"]
    ]
    return (
        [
            "## Whole steps",
            "",
            f"Gather, augment, forward, backward, update, as `gradamp train` replays them, batch {batch}; an "
            "epoch is 50,000 images. Analysed over plain is the cost of gathering statistics, timed in turn.",
            "",
        ]
        + table(
            [
                "network",
                "precision",
                "statistics",
                "step, ms",
                "images/s",
                "epoch, s",
                "analysed / plain",
                "device memory, MiB",
            ],
            rows,
        )
        + [""]
    )


def pytorch_section(report):
    if not report["pytorch"]:
        return []
    rows, notes = [], []
    for r in report["pytorch"]:
        for mode in r["modes"]:
            if mode["note"]:
                notes.append(f"{r['network']}, {mode['mode']}: left out, {mode['note']}.")
                continue
            rows.append(
                (
                    r["network"],
                    r["precision"],
                    mode["mode"],
                    number(r["gradamp"], 0),
                    number(mode["images_per_second"], 0),
                    number(r["gradamp"] / mode["images_per_second"]),
                )
            )
        low, high = r["range"]
        notes.append(
            f"{r['network']}: **{r['ratio']:.2f}** times the fastest of PyTorch's modes ({low:.2f} to {high:.2f} over "
            f"the rounds); an epoch {r['epoch_seconds']:.3f} s; PyTorch {r['version']}."
        )
    return (
        [
            "## Beside PyTorch",
            "",
            "In turn, medians over the rounds. PyTorch: channels_last, autocast, fused SGD, its batch ready in memory; "
            "gradamp gathers and augments its own.",
            "",
        ]
        + table(["network", "precision", "PyTorch's mode", "gradamp, images/s", "PyTorch, images/s", "ratio"], rows)
        + [""]
        + [f"- {note}" for note in notes]
        + [""]
    )


def training_section(report):
    if not report["training"]:
        return []
    rows = [
        (
            r["run"],
            r["epochs"],
            number(r["first_loss"], 3),
            number(r["last_loss"], 3),
            f"{100 * r['test_accuracy']:.1f}%",
            number(r["images_per_second"], 0),
            r["problem"] or "",
        )
        for r in report["training"]
    ]
    return (
        ["## Short trainings", ""]
        + table(["run", "epochs", "first training loss", "last", "test accuracy", "images/s, best epoch", ""], rows)
        + [""]
    )


def markdown(report, failures):
    """The page. `report` as gpu_report.collect makes it; `failures` as gpu_report.extra_checks does."""
    lines = facts_section(report, failures)
    measured = any(report[key] for key in ("convolutions", "kernels", "optimizer", "steps", "pytorch"))
    if measured and report["facts"].get("device") == "cuda":
        lines += ["## Aims", ""] + table(["aim", "measured", ""], aims(report)) + [""]
    lines += convolutions_section(report) + kernels_section(report) + optimizer_section(report)
    lines += steps_section(report) + pytorch_section(report) + training_section(report)
    return "\n".join(lines).rstrip() + "\n"
