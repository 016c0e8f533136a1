#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The report of tools/gpu_check.sh: combines the results of all parts that were run.

    gpu_report.py write FOLDER [PART ...]   FOLDER/report.json and FOLDER/report.md from FOLDER's facts.tsv, checks/ and
                                            data/; prints a summary; exits with 1 if a check of a PART failed
    gpu_report.py check-run RUN             whether a run's folder shows a training that works
    gpu_report.py same-runs RUN RUN         whether two runs had the same losses and accuracies, to the last bit

Needs only Python.
"""

import json
import math
import pathlib
import statistics
import sys

import gpu_report_markdown
import run_log

PARTS = (
    "build",
    "instructions",
    "tests",
    "emulator",
    "convolutions",
    "kernels",
    "step",
    "pytorch",
    "training",
    "sanitize",
)
EPOCH_IMAGES = 50_000
PASSES = ("forward", "backward_input", "backward_filter")
BENCHMARK_PARTS = (("convolutions", "convolution_rows"), ("kernels", "kernel_rows"))
PRECISIONS = ("bf16", "tf32", "f32")
OPTIMIZER_NUMBERS = ("GB/s", "of_copy", "of_copy_with_look")
COMPARISON_NUMBERS = ("network", "precision", "gradamp", "epoch_seconds", "ratio", "range", "version", "modes")
SUFFIX = "/iterations:1/manual_time"

# About twice the rates of the fastest cards known when this was written (data sheets of B200: 2250 TFLOP/s in bf16 and
# 1125 in tf32, dense, 8000 GB/s; of RTX PRO 6000: 125 TFLOP/s in f32). A higher rate means that work was left out.
HIGHEST = {"bf16": 5000.0, "tf32": 2500.0, "f32": 250.0, "GB/s": 16000.0}
OF_COPY = ("of_copy", "of_copy_with_look", "cold_of_copy")


# ---- Reading ----


def read_tsv(path, columns):
    """The rows of a file of tab-separated lines, each as a dict; none if there is no such file."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        values = line.split("\t", len(columns) - 1)
        rows.append(dict(zip(columns, values + [""] * (len(columns) - len(values)))))
    return rows


def read_seconds(path, checks):
    """The duration of a part, whose checks may have run at the same time. Without the file, the sum of its checks."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return sum(int(check["seconds"] or 0) for check in checks)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_benchmarks(path):
    """A Google Benchmark file as {"context": ..., "rows": {name: row}, "left_out": {name: why}, "failed": ...}."""
    document = read_json(path)
    result = {"context": document.get("context", {}), "rows": {}, "left_out": {}, "failed": {}, "implausible": []}
    for row in document.get("benchmarks", []):
        name = row["run_name"].replace(SUFFIX, "")
        if row.get("error_occurred"):
            message = row.get("error_message", "")
            kind = "left_out" if message.startswith("left out: ") else "failed"
            result[kind][name] = message[len("left out: ") :] if kind == "left_out" else message
        else:
            result["rows"][name] = row
    leave_out_implausible(result)
    return result


def leave_out_implausible(benchmarks):
    """Removes rates that no card can reach, and the values computed from them, and lists them in "implausible"."""
    context, said = benchmarks["context"], benchmarks["implausible"]
    precision = context.get("precision", "bf16")

    def ceiling(key, highest, unit):
        if key not in context:
            return True
        rate = context_number(benchmarks, key)
        if rate <= highest:  # 0 if it was not measured
            return True
        said.append(
            f"a ceiling of {rate:.3g} {unit} ({key}) is above any card's: not believed, nor what is relative to it"
        )
        del context[key]
        return False

    copies = [
        ceiling(key, HIGHEST["GB/s"], "GB/s") for key in ("copy_ceiling_gb_s", "library_copy_gb_s", "own_copy_gb_s")
    ]
    matrix = ceiling("matrix_ceiling_tflop_s", HIGHEST.get(precision, HIGHEST["bf16"]), "TFLOP/s")
    for name, row in list(benchmarks["rows"].items()):
        if not all(copies):
            for key in OF_COPY:
                row.pop(key, None)
        if not matrix:
            row.pop("of_floor", None)
        rate = row.get("TFLOP/s", 0.0)
        if not rate <= HIGHEST.get(precision, HIGHEST["bf16"]):
            said.append(f"{name}: {rate:.3g} TFLOP/s is above any card's")
            del benchmarks["rows"][name]


def seconds_of(row):
    return row["real_time"] * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[row["time_unit"]]


def context_number(benchmarks, key):
    """0 if it is missing; infinite if it is not a number."""
    try:
        number = float(benchmarks["context"][key])
    except (KeyError, TypeError, ValueError):
        return 0.0
    return math.inf if math.isnan(number) or number < 0 else number


# ---- Convolutions ----


def convolution_times(benchmarks):
    """{network: {pass: totals}}: seconds of a step's convolutions; each shape counts as often as the network has it.
    `ours` and `library` are the sums over shapes that both have, `missing` counts the other shapes. `all_ours` and
    `moments` (ours with moments, if measured) are the sums over all shapes."""
    networks = {}
    for name, row in benchmarks["rows"].items():
        direction, shape, whose = name.split("/")
        if whose != "ours":
            continue
        library = benchmarks["rows"].get(f"{direction}/{shape}/library")
        moments = benchmarks["rows"].get(f"{direction}/{shape}/ours_with_moments")
        for network in network_names(row):
            total = networks.setdefault(network, {}).setdefault(
                direction, {"ours": 0.0, "library": 0.0, "moments": 0.0, "flops": 0.0, "all_ours": 0.0, "missing": 0}
            )
            count = row[network]
            total["all_ours"] += count * seconds_of(row)
            total["flops"] += count * row["TFLOP/s"] * 1e12 * seconds_of(row)
            total["moments"] += count * seconds_of(moments or row)
            if library is None:
                total["missing"] += 1
                continue
            total["ours"] += count * seconds_of(row)
            total["library"] += count * seconds_of(library)
    return networks


def network_names(row):
    return [key for key in row if key.startswith(("resnet", "vgg")) and isinstance(row[key], (int, float))]


def ratio_of(totals):
    """The library's time divided by ours, or None."""
    ours = sum(total["ours"] for total in totals)
    library = sum(total["library"] for total in totals)
    return library / ours if ours > 0 and library > 0 else None


def convolution_summary(benchmarks, precision):
    """One row per network."""
    matrix = context_number(benchmarks, "matrix_ceiling_tflop_s") * 1e12
    rows = []
    for network, passes in sorted(convolution_times(benchmarks).items()):
        seconds = sum(total["all_ours"] for total in passes.values())
        flops = sum(total["flops"] for total in passes.values())
        row = {
            "network": network,
            "precision": precision,
            "batch": benchmarks["context"].get("batch", "?"),
            "ours_ms": 1e3 * seconds,
            "library_ms": 1e3 * sum(total["library"] for total in passes.values()),
            "ratio": ratio_of(passes.values()),
            "tflop_s": flops / seconds / 1e12,
            "of_matrix": flops / seconds / matrix if matrix > 0 else None,
            "missing": sum(total["missing"] for total in passes.values()),
        }
        for direction in PASSES:
            row[direction] = ratio_of([passes[direction]]) if direction in passes else None
        forward = passes.get("forward")
        row["with_moments"] = forward["moments"] / forward["all_ours"] if forward else None
        rows.append(row)
    return rows


def slowest_convolutions(benchmarks, network, limit=6):
    """The shapes at which a step of the network loses most time to the library."""
    rows = []
    for name, row in benchmarks["rows"].items():
        direction, shape, whose = name.split("/")
        library = benchmarks["rows"].get(f"{direction}/{shape}/library")
        if whose != "ours" or library is None or network not in row:
            continue
        lost = row[network] * (seconds_of(row) - seconds_of(library))
        rows.append(
            {
                "pass": direction,
                "shape": shape,
                "count": int(row[network]),
                "ours_us": 1e6 * seconds_of(row),
                "library_us": 1e6 * seconds_of(library),
                "ratio": seconds_of(library) / seconds_of(row),
                "tflop_s": row["TFLOP/s"],
                "of_floor": row.get("of_floor"),
                "lost_us": 1e6 * lost,
                "plan": library.get("label", ""),
            }
        )
    return sorted(rows, key=lambda row: -row["lost_us"])[:limit]


# ---- The rest of the data ----


def kernel_table(benchmarks):
    """{kernel: {shape: fraction of the copy ceiling}}, and the shapes in order."""
    table, shapes = {}, []
    for name, row in benchmarks["rows"].items():
        kernel, shape = name.split("/")
        if "of_copy" not in row:
            continue
        table.setdefault(kernel, {})[shape] = row["of_copy"]
        if "x" in shape and shape.count("x") == 2 and shape not in shapes:
            shapes.append(shape)
    return table, shapes


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def optimizer_table(benchmarks):
    """{variant: {size: numbers, or why it was left out}}, and the sizes in order: numbers of weights, then networks."""
    table, sizes = {}, []
    cells = {}
    for name, row in benchmarks["rows"].items():
        cells[name] = {"seconds": seconds_of(row), **{key: row.get(key) for key in OPTIMIZER_NUMBERS}}
    for name, cell in {**cells, **benchmarks["left_out"]}.items():
        variant, size = name.split("/")
        table.setdefault(variant, {})[size] = cell
        if size not in sizes:
            sizes.append(size)
    return table, sorted(sizes, key=lambda size: (0, float(size), "") if is_number(size) else (1, 0.0, size))


def step_row(document):
    seconds = statistics.median(document["seconds_per_step"])
    pairs = zip(document["analyzed_seconds_per_step"], document["seconds_per_step"])
    batch = document["batch_size"]
    return {
        "network": document["network"],
        "precision": document["precision"],
        "granularity": document["granularity"],
        "convolutions": document.get("convolutions", "auto"),
        "batch": batch,
        "step_ms": 1e3 * seconds,
        "images_per_second": batch / seconds,
        "epoch_seconds": seconds * math.ceil(EPOCH_IMAGES / batch),
        "analyzed": statistics.median(analyzed / plain for analyzed, plain in pairs),
        "spread": (max(document["seconds_per_step"]) - min(document["seconds_per_step"])) / seconds,
        "memory_mib": document.get("device_memory_mib"),
    }


def read_metrics(run):
    """The lines of a run's metrics.jsonl; none if there is no such file."""
    return run_log.read_metrics(run) if (pathlib.Path(run) / "metrics.jsonl").exists() else []


def run_problem(epochs):
    """The reason why a run's epochs show no working training, or None."""
    if len(epochs) < 2:
        return f"expected two epochs or more, got {len(epochs)}"
    for epoch in epochs:
        for key in ("train_loss", "test_loss"):
            if not isinstance(epoch[key], (int, float)) or not math.isfinite(epoch[key]):
                return f"{key} of epoch {epoch['epoch']} is {epoch[key]}"
    first, last = epochs[0], epochs[-1]
    if not last["train_loss"] < first["train_loss"]:
        return f"the training loss did not fall: from {first['train_loss']:.4f} to {last['train_loss']:.4f}"
    if not any(epoch["analyzed"] for epoch in epochs) or not any(epoch["amplified"] for epoch in epochs):
        return "no epoch was analyzed, or none amplified"
    return None


def training_row(run, epochs):
    best = max(epoch["images_per_second"] for epoch in epochs)
    return {
        "run": run,
        "epochs": len(epochs),
        "first_loss": epochs[0]["train_loss"],
        "last_loss": epochs[-1]["train_loss"],
        "test_accuracy": epochs[-1]["test_accuracy"],
        "images_per_second": best,
        "problem": run_problem(epochs),
    }


SAME = ("epoch", "learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "analyzed", "amplified")


def both_nan(one, other):
    return one != one and other != other


def difference(first, second):
    """The first difference between two runs' epochs, or None."""
    if not first or len(first) != len(second):
        return f"{len(first)} and {len(second)} epochs"
    for one, other in zip(first, second):
        for key in SAME:
            if one[key] != other[key] and not both_nan(one[key], other[key]):
                return f"epoch {one['epoch']}: {key} is {one[key]!r} and {other[key]!r}"
    return None


# ---- Putting it together ----


def collect(folder):
    """All results in the folder, as the content of report.json."""
    folder = pathlib.Path(folder)
    report = {
        "facts": {row["key"]: row["value"] for row in read_tsv(folder / "facts.tsv", ("key", "value"))},
        "checks": {},
        "seconds": {},
        "ceilings": {},
        "library": "",
        "unreadable": [],
        "convolutions": [],
        "convolution_rows": {},
        "slowest": [],
        "kernels": {},
        "kernel_rows": {},
        "optimizer": None,
        "steps": [],
        "training": [],
        "pytorch": [],
    }
    for part in PARTS:
        checks = read_tsv(folder / "checks" / f"{part}.tsv", ("name", "status", "seconds", "message"))
        if checks:
            report["checks"][part] = checks
            report["seconds"][part] = read_seconds(folder / "checks" / f"{part}.seconds", checks)
    data = folder / "data"
    for precision in PRECISIONS:
        take(report, "convolutions", data / f"convolution-{precision}.json", take_convolutions, precision)
        take(report, "kernels", data / f"kernel-{precision}.json", take_kernels, precision)
    take(report, "kernels", data / "optimizer.json", take_optimizer)
    for path in sorted(data.glob("step-*.json")):
        take(report, "step", path, lambda report, path: report["steps"].append(step_row(read_json(path))))
    for run in sorted((folder / "runs").glob("*")):
        take(report, "training", run / "metrics.jsonl", take_run)
    take(report, "pytorch", data / "pytorch.json", take_pytorch)
    return report


def take(report, part, path, taker, *arguments):
    """Lets `taker` add the content of a file, if it exists. Unreadable content is a failure of the part."""
    if not path.exists():
        return
    try:
        taker(report, path, *arguments)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        report["unreadable"].append((part, path.name, f"cannot be read: {type(error).__name__}: {error}"))


def take_convolutions(report, path, precision):
    benchmarks = read_benchmarks(path)
    report["convolutions"] += convolution_summary(benchmarks, precision)
    if precision == "bf16":
        report["slowest"] = slowest_convolutions(benchmarks, "resnet18")
    report["library"] = report["library"] or benchmarks["context"].get("library", "")
    report["convolution_rows"][precision] = benchmarks
    note_ceilings(report, benchmarks, precision)


def take_kernels(report, path, precision):
    benchmarks = read_benchmarks(path)
    fractions, shapes = kernel_table(benchmarks)
    report["kernels"][precision] = {"table": fractions, "shapes": shapes}
    report["kernel_rows"][precision] = benchmarks
    note_ceilings(report, benchmarks, precision)


def take_optimizer(report, path):
    benchmarks = read_benchmarks(path)
    rows, sizes = optimizer_table(benchmarks)
    report["optimizer"] = {"table": rows, "sizes": sizes}
    report["kernel_rows"]["optimizer"] = benchmarks
    note_ceilings(report, benchmarks, benchmarks["context"].get("precision", "bf16"))


def take_run(report, path):
    report["training"].append(training_row(path.parent.name, read_metrics(path.parent)))


def take_pytorch(report, path):
    for comparison in read_json(path)["comparisons"]:
        report["pytorch"].append({key: comparison[key] for key in COMPARISON_NUMBERS})


def note_ceilings(report, benchmarks, precision):
    """The highest measured value of each ceiling; every program measured its own."""
    for name, key in (
        ("copy_gb_s", "copy_ceiling_gb_s"),
        ("library_copy_gb_s", "library_copy_gb_s"),
        ("own_copy_gb_s", "own_copy_gb_s"),
    ):
        report["ceilings"][name] = max(report["ceilings"].get(name, 0.0), context_number(benchmarks, key))
    name = f"matrix_{precision}_tflop_s"
    rate = context_number(benchmarks, "matrix_ceiling_tflop_s")
    report["ceilings"][name] = max(report["ceilings"].get(name, 0.0), rate)


def extra_checks(report):
    """(part, name, message) of results that are wrong or cannot be read."""
    failures = list(report["unreadable"])
    for part, key in BENCHMARK_PARTS:
        for precision, benchmarks in report[key].items():
            for name, message in benchmarks["failed"].items():
                failures.append((part, f"{precision} {name}", message))
    return failures


def notes(report):
    """(part, name, message) of what is missing but not wrong: a library that is not installed, an implausible rate."""
    found = []
    for part, key in BENCHMARK_PARTS:
        for precision, benchmarks in report[key].items():
            found += [(part, precision, f"left out: {message}") for message in benchmarks["implausible"]]
            for name in ("cub", "atomic", "ceilings_left_out"):
                message = benchmarks["context"].get(name, "")
                if "left out" in message:
                    found.append((part, name, message))
    if report["convolutions"] and report["facts"].get("device") == "cuda":
        if not report["library"].startswith("cuDNN"):
            found.append(("convolutions", "cuDNN", f"nothing to compare with: {report['library']}"))
        elif not any(row["ratio"] for row in report["convolutions"]):
            found.append(("convolutions", "cuDNN", "it computed none of the convolutions"))
    return sorted(set(found), key=found.index)


# ---- Writing ----


def summary(report, parts):
    """(lines, whether everything passed) for `parts`."""
    failures, lacking = extra_checks(report), notes(report)
    lines, good = [], True
    for part in parts:
        checks = report["checks"].get(part, [])
        failed = [f"{check['name']}: {check['message']}" for check in checks if check["status"] == "failed"]
        failed += [f"{name}: {message}" for of, name, message in failures if of == part]
        skipped = [f"{check['name']}: {check['message']}" for check in checks if check["status"] == "skipped"]
        if not checks:
            failed.append("it did not run")
        good &= not failed
        state = "FAILED" if failed else "skipped" if len(skipped) == len(checks) else "passed"
        skipped += [f"{name}: {message}" for of, name, message in lacking if of == part]
        seconds = report["seconds"].get(part, 0)
        lines.append(f"{part:<13} {state:<8} {len(checks):>4} checks {seconds:>5} s")
        lines += [f"    {text}" for text in failed + skipped]
    return lines, good


def write(folder, parts):
    folder = pathlib.Path(folder)
    report = collect(folder)
    (folder / "report.md").write_text(
        gpu_report_markdown.markdown(report, extra_checks(report), notes(report)), encoding="utf-8"
    )
    text = json.dumps(run_log.fit_for_json(report), indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    lines, good = summary(report, parts or list(report["checks"]))
    print(f"\n{'part':<13} {'result':<8}")
    print("\n".join(lines))
    print(f"\nThe report is {folder / 'report.md'}")
    return 0 if good else 1


def main(arguments):
    if len(arguments) >= 2 and arguments[0] == "write":
        return write(arguments[1], arguments[2:])
    try:
        if len(arguments) == 2 and arguments[0] == "check-run":
            problem = run_problem(read_metrics(arguments[1]))
        elif len(arguments) == 3 and arguments[0] == "same-runs":
            problem = difference(read_metrics(arguments[1]), read_metrics(arguments[2]))
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except ValueError as error:
        problem = f"metrics.jsonl cannot be read: {error}"
    if problem:
        print(problem)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
