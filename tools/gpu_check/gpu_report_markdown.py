# SPDX-License-Identifier: MIT
"""The Markdown page that tools/gpu_check/gpu_report.py writes."""


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


def cell_text(cell):
    """The cell in one line and without an end of the cell in it. It can have Markdown of this page."""
    return " ".join(str(cell).split()).replace("|", "\\|")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(cell_text, row)) + " |" for row in rows]
    return lines


def find(rows, **keys):
    """The first row with these values, or None."""
    return next((row for row in rows if all(row[key] == value for key, value in keys.items())), None)


# The project's aims. Nothing fails if one is not reached.
CONVOLUTION_AIM = 1.0  # of cuDNN's speed
COPY_AIM = 0.95  # of the copy ceiling
EPOCH_AIM = 0.5  # seconds
EPOCH_CARD = "H200"
ANALYZED_AIM = 1.02  # of a plain step's time
COMPILE_AIM = 2.0  # times torch.compile's speed


def aims(report):
    """(aim, measured, state) for each aim. The state is "reached", "not reached", or empty if it was not measured, or
    not on the card of the aim."""
    resnet18 = {"network": "resnet18", "precision": "bf16"}
    convolutions, epoch, analyzed, compiled = (None, None), (None, None), (None, None), (None, None)
    if is_measurement(report):
        row = find(report["convolutions"], **resnet18)
        if row and row["ratio"]:
            convolutions = f"{row['ratio']:.2f}", row["ratio"] >= CONVOLUTION_AIM
        # With the device's own choice of convolutions, and with others.
        row = find(sorted(report["steps"], key=lambda row: row["step_ms"]), granularity="weight", **resnet18)
        if row:
            epoch = f"{row['epoch_seconds']:.3f} s", row["epoch_seconds"] <= EPOCH_AIM
            if EPOCH_CARD not in report["facts"].get("gpu", ""):
                epoch = f"{epoch[0]} on another card", None
            analyzed = f"{100 * (row['analyzed'] - 1):+.1f}%", row["analyzed"] <= ANALYZED_AIM
        row = find(report["pytorch"], **resnet18)
        if row:
            compiled = beside_compiled(row)
    rows = [
        (f"bf16 convolutions of ResNet-18 at {CONVOLUTION_AIM:.1f} of cuDNN's speed, by time", *convolutions),
        (f"streaming kernels at {COPY_AIM} of the copy ceiling (widest shape, bf16)", *slowest_kernel(report)),
        (f"statistics with SGD at {COPY_AIM} of the copy ceiling (1e8 weights and more)", *slowest_optimizer(report)),
        (f"ResNet-18 at batch 128 in {EPOCH_AIM} s per epoch on an {EPOCH_CARD}", *epoch),
        (f"an analyzed epoch within {100 * (ANALYZED_AIM - 1):.0f}% of a plain one", *analyzed),
        ("ResNet-18 at twice the speed of torch.compile", *compiled),
    ]
    states = {True: "reached", False: "**not reached**", None: ""}
    return [(aim, text or "not measured", states[reached]) for aim, text, reached in rows]


def is_measurement(report):
    """Whether times are meaningful: measured neither on the emulator nor with small sizes."""
    return report["facts"].get("device") == "cuda" and not report["facts"].get("quick")


def beside_compiled(row):
    """(text, reached) of the comparison with the fastest compiled mode of PyTorch."""
    rates = [
        mode["images_per_second"]
        for mode in row["modes"]
        if mode["mode"] != "eager" and mode.get("images_per_second") and not mode["note"]
    ]
    if not rates:
        return f"{row['ratio']:.2f} times eager PyTorch; torch.compile did not work", None
    ratio = row["gradamp"] / max(rates)
    return f"{ratio:.2f} times", ratio >= COMPILE_AIM


def slowest_kernel(report):
    worst = worst_kernels(report)
    if not worst or not is_measurement(report):
        return None, None
    return f"slowest: {worst[0]} {worst[1]:.2f}", worst[1] >= COPY_AIM


def slowest_optimizer(report):
    worst = worst_optimizer(report)
    if not worst or not is_measurement(report):
        return None, None
    text = f"slowest: {worst[0]} {worst[1]:.2f} ({number(worst[2])} with the look at every gradient)"
    return text, worst[1] >= COPY_AIM


def elements(shape):
    """The number of elements: 32768 for "32x32x32"."""
    count = 1
    for extent in shape.split("x"):
        count *= int(extent)
    return count


def worst_kernels(report):
    """(name, fraction) of the elementwise kernel with the lowest fraction of a copy's rate; widest shape, bf16."""
    kernels = report["kernels"].get("bf16")
    if not kernels or not kernels["shapes"]:
        return None
    widest = max(kernels["shapes"], key=elements)
    fractions = [
        (name, row[widest]) for name, row in kernels["table"].items() if widest in row and name != "library_copy"
    ]
    return min(fractions, key=lambda pair: pair[1], default=None)


def worst_optimizer(report):
    """(name, fraction, fraction with the check of the gradients) of the variant with the lowest fraction of a copy's
    rate. Variants that are separate on purpose, or run once per epoch, do not count."""
    fractions = []
    for variant, sizes in (report["optimizer"] or {"table": {}})["table"].items():
        for size, row in sizes.items():
            if (
                isinstance(row, dict)
                and row["of_copy"] is not None
                and size[0].isdigit()
                and float(size) >= 1e8
                and variant.startswith(("statistics_fused", "statistics_by"))
                and not variant.endswith("_atomic")  # a reference
            ):
                fractions.append((f"{variant} at {size}", row["of_copy"], row["of_copy_with_look"]))
    return min(fractions, key=lambda pair: pair[1], default=None)


def facts_section(report, failures, lacking):
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
        ("libraries searched", facts.get("libraries searched")),
        ("library", report["library"]),
        ("host", facts.get("machine")),
        ("date", facts.get("date")),
        ("commit", facts.get("commit")),
    ]
    lines += table(["", ""], [(name, value) for name, value in known if value])
    lines += ["", "By `tools/gpu_check.sh`: " + ", ".join(report["checks"]) + ".", ""]
    if facts.get("device") != "cuda":
        lines += ["**A dry run without a GPU: the times below mean nothing.**", ""]
    elif facts.get("quick"):
        lines += ["**A quick run: everything in small, to see that it works. The times below mean nothing.**", ""]
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
    if lacking:
        lines += [f"- {part}, {name}: {message}" for part, name, message in lacking] + [""]
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
            continue  # it is in report.json
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
        return f"{number(row['GB/s'], 0)} ({number(row['of_copy'])}, {number(row['of_copy_with_look'])})"

    sizes = report["optimizer"]["sizes"]
    rows = [[name] + [cell(row.get(size)) for size in sizes] for name, row in report["optimizer"]["table"].items()]
    left_out = {
        row for sizes_of in report["optimizer"]["table"].values() for row in sizes_of.values() if isinstance(row, str)
    }
    lines = [
        "## Statistics and SGD",
        "",
        "GB/s of the bytes that have to be moved, by number of weights in 64 equal layers, or by network; in brackets "
        "as a fraction of the copy ceiling, without and with the look at every gradient that comes first. Up to 1e6 "
        "weights fit in a cache. `cub` and `atomic` are references.",
        "",
    ]
    lines += table(["kernel"] + sizes, rows)
    added = statistics_cost(report["optimizer"])
    if added:
        lines += ["", "What statistics by weight add to a step of SGD, in microseconds:", ""]
        lines += table(["weights", "SGD alone", "in the same pass", "in passes of their own"], added)
    return lines + [f"\nLeft out: {reason}." for reason in sorted(left_out)] + [""]


def statistics_cost(optimizer):
    """One row per size at which all three were measured."""
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
            r["convolutions"],
            number(r["step_ms"], 3),
            number(r["images_per_second"], 0),
            f"**{number(r['epoch_seconds'], 3)}**",
            number(r["analyzed"], 3),
            number(r["memory_mib"], 0),
        )
        for r in report["steps"]
    ]
    return (
        [
            "## Whole steps",
            "",
            f"Gather, augment, forward, backward, update, as `gradamp train` replays them, batch {batch}; an "
            "epoch is 50,000 images. Analyzed over plain is the cost of gathering statistics, timed in turn.",
            "",
        ]
        + table(
            [
                "network",
                "precision",
                "statistics",
                "convolutions",
                "step, ms",
                "images/s",
                "epoch, s",
                "analyzed / plain",
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


def markdown(report, failures, lacking):
    """The page. `report` is from gpu_report.collect; `failures` and `lacking` are from extra_checks and notes."""
    lines = facts_section(report, failures, lacking)
    lines += ["## Aims", ""] + table(["aim", "measured", "state"], aims(report)) + [""]
    lines += convolutions_section(report) + kernels_section(report) + optimizer_section(report)
    lines += steps_section(report) + pytorch_section(report) + training_section(report)
    return "\n".join(lines).rstrip() + "\n"
