"""`model import`, `learn`, `list`, `show`, `verify`, `keygen`, `sign`, `evaluate`: make bundles, and examine them."""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Column, Table
from rich.text import Text

from app.cli.terminal import counted, note, print_json, print_json_line, print_line, print_table
from app.errors import DigestMismatchError, ModelError, SettingsError, SignatureError, UnknownRunError
from app.inference.bundle import OWN_BUNDLES, Bundle, bundle_signer, list_bundles, sign_bundle
from app.inference.signing import make_keys
from app.registry import PIPELINES, pipeline_class
from app.settings import read_settings

Source = Annotated[
    str, typer.Argument(help="runs:/ID/NAME, models:/NAME/VERSION, models:/NAME@ALIAS, a folder, or s3://….")
]
Name = Annotated[str, typer.Option(help="The bundle's name: MODEL_NAME later.")]
Target = Annotated[str, typer.Option(help="The field of a result that holds the prediction.")]
Round = Annotated[bool, typer.Option("--round", help="Round predictions to whole numbers.")]
Probabilities = Annotated[bool, typer.Option("--probabilities", help="A classifier's probabilities in results too.")]
SampleFile = Annotated[Path | None, typer.Option("--sample", help="Rows to compare on: CSV, or JSON lines.")]
Features = Annotated[str, typer.Option(help="Names of the inputs, a,b,c, for a model without a signature.")]
Attribution = Annotated[str, typer.Option(help="Words that the licence of the training data asks for.")]
AllowPickle = Annotated[bool, typer.Option("--allow-pickle", help="Open a pickle, which may run any code.")]
Output = Annotated[str, typer.Option(help="A folder or s3://… of bundles; else MODEL_LOCATION, else model/bundles.")]
Location = Annotated[str, typer.Option(help="A folder or s3://… of bundles; else MODEL_LOCATION, else model/bundles.")]
OnlyName = Annotated[str, typer.Argument(help="A bundle's name; all without.")]
RunId = Annotated[str, typer.Argument(help="A run id or its beginning; without it the newest.")]
AnyRunId = Annotated[str, typer.Argument(help="A run id or its beginning; all without.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]

EVALUATED = ("technique", "cluster", "flow")
"""The models that have an evaluation of their own: `model/<name>/evaluate.py`."""
Evaluated = Annotated[str, typer.Argument(help=f"Which model: {', '.join(EVALUATED)}.")]
Data = Annotated[
    Path | None,
    typer.Option(
        envvar="ALERTS_DATA", help="The folder with the data sets that the model's README names.", show_default=False
    ),
]

LEARNED = ("technique",)
"""The models that learn from what their user has on disk."""
LearnedName = Annotated[str, typer.Argument(help=f"Which model: {', '.join(LEARNED)}.")]
MoreRules = Annotated[list[Path] | None, typer.Argument(help="Further folders of rules.", show_default=False)]
RuleFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules",
        help="A folder of Sigma, Elastic, Splunk, Suricata, Snort, Wazuh, Falco or Sentinel rules, in any order.",
        show_default=False,
    ),
]
Train = Annotated[
    bool,
    typer.Option("--train", help="Also train the model that answers where no rule does, on top of the shipped one."),
]

KeyName = Annotated[Path, typer.Argument(metavar="NAME", help="The keys' name, such as release or keys/release.")]
BundleFolder = Annotated[str, typer.Argument(help="The bundle's own folder or s3://…, <name>/<run id>.")]
KeyFile = Annotated[Path, typer.Option(help="The private key, in PEM: `millrace model keygen` makes one.")]

_FINDINGS = {DigestMismatchError: "changed", SignatureError: "not signed"}
_METRICS_SHOWN = 3  # in the list; `show` has them all


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Model bundles: bring one in, list, show, verify, sign and measure them."
    )
    group.command("import")(import_one)
    group.command("learn")(learn_one)
    group.command("list")(list_all)
    group.command("show")(show_one)
    group.command("verify")(verify)
    group.command("keygen")(make_key)
    group.command("sign")(sign)
    group.command("evaluate")(evaluate_one)
    cli.add_typer(group, name="model")


def import_one(
    source: Source,
    name: Name,
    target: Target = "prediction",
    rounded: Round = False,
    probabilities: Probabilities = False,
    sample: SampleFile = None,
    features: Features = "",
    attribution: Attribution = "",
    allow_pickle: AllowPickle = False,
    output: Output = "",
) -> None:
    """Turn an MLflow scikit-learn model into a bundle that PIPELINE=model runs.

    The model is converted to data (.npz or ONNX), and both must give the same predictions on a sample. Run it as
    scripts/import_model.sh, which makes the environment that it needs.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # importing needs no network but the tracking server's
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        from model.importing.run import Wanted, import_model  # noqa: PLC0415 - heavy, and not everywhere
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is missing: run `./scripts/import_model.sh …`, which installs what importing needs, "
            "instead of `millrace model import …`"
        ) from None
    for noisy in ("mlflow", "skl2onnx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    wanted = Wanted(
        name=name,
        target=target,
        output=output or _location(""),
        rounded=rounded,
        probabilities=probabilities,
        sample=sample,
        features=tuple(each.strip() for each in features.split(",") if each.strip()),
        attribution=attribution,
        allow_pickle=allow_pickle,
    )
    bundle = import_model(source, wanted, note)
    note(f"bundle: {bundle.objects.root}")
    print_line(f"MODEL_NAME={name} RUN_ID={bundle.manifest.run_id}")


def learn_one(
    name: LearnedName,
    more: MoreRules = None,
    rules: RuleFolders = None,
    train: Train = False,
    output: Output = "",
    as_json: AsJson = False,
) -> None:
    """Learn the techniques of alerts from detection rules on disk, for one's own use.

    The rules become a catalogue by id and by title, which comes before the shipped one. Run it as
    scripts/learn_rules.sh, which makes the environment that it needs.
    """
    if name not in LEARNED:
        raise SettingsError(f"nothing to learn for {name!r}: give one of {', '.join(LEARNED)}")
    folders = [*(rules or ()), *(more or ())]
    if not folders:
        raise SettingsError("no rules to learn from: name their folder with --rules")
    try:
        from model.rules.learn import learn, unknown_line  # noqa: PLC0415 - needs packages that the image has not

        learned = learn(folders, output or _location(""), note, train=train)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is missing: run `./scripts/learn_rules.sh {name} …`, which installs what learning needs, "
            f"instead of `millrace model learn {name} …`"
        ) from None
    if as_json:
        print_json(learned)
        return
    table = Table("kind", "read", "with techniques", "without", "not readable")
    for kind in learned.kinds:
        counts = (kind.read, kind.with_techniques, kind.without, kind.unreadable)
        table.add_row(kind.kind or "unknown", *(f"{count:,}" for count in counts))
    print_table(table)
    if learned.others:
        note(f"{counted(learned.others, 'file')} without rules of a known kind")
    if learned.unknown:
        note(unknown_line(learned.unknown))
    run_ids = {"rules": "RULES_RUN_ID", "technique": "TECHNIQUE_RUN_ID"}
    print_line(" ".join(f"{run_ids[each]}={run_id}" for each, run_id in learned.bundles.items()))


def list_all(location: Location = "", as_json: AsJson = False) -> None:
    """List bundles, newest first."""
    found = list_bundles(_location(location))
    bundles = [each for each in found if isinstance(each, Bundle)]
    if as_json:
        for bundle in bundles:
            print_json_line(bundle.manifest)
    else:
        table = Table(title=counted(len(bundles), "bundle"))
        for column in ("name", "run id", "created", "metrics"):
            table.add_column(column, overflow="fold")  # an id cut short is of no use to another command
        for bundle in bundles:
            manifest = bundle.manifest
            metrics = ", ".join(f"{name} {value:.6g}" for name, value in [*manifest.metrics.items()][:_METRICS_SHOWN])
            metrics += ", …" * (len(manifest.metrics) > _METRICS_SHOWN)
            table.add_row(manifest.name, manifest.run_id, manifest.created, metrics)
        print_table(table)
    for fault in found:
        if isinstance(fault, ModelError):
            note(f"not a bundle: {fault}")


def show_one(name: OnlyName, run_id: RunId = "", location: Location = "", as_json: AsJson = False) -> None:
    """Show a bundle's manifest: run, inputs, metrics, files."""
    bundle = _chosen(name, run_id, location)[0]
    manifest = bundle.manifest
    if as_json:
        print_json(manifest)
        return
    facts = Table(show_header=False, title=f"{manifest.name} at {bundle.objects.root}")
    described: dict[str, Any] = {
        "run id": manifest.run_id,
        "model": manifest.model,
        "created": manifest.created,
        "predicts": _predicts(bundle),
        "training data": manifest.training_data_sha256,
        "attribution": manifest.attribution,
    }
    for fact, value in described.items():
        if value:
            facts.add_row(fact, str(value))
    print_table(facts)
    inputs = Table("input", "type", "required", "categories")
    for field in manifest.signature:
        categories = ", ".join(map(str, field.categories or []))
        inputs.add_row(field.name, field.type, "yes" if field.required else "no", categories)
    print_table(inputs)
    metrics = Table("metric", "value")
    for metric, number in manifest.metrics.items():
        metrics.add_row(metric, f"{number:.6g}")
    print_table(metrics)
    files = Table("file", "bytes", Column("sha256", overflow="fold"))
    for file, each in manifest.files.items():
        files.add_row(file, f"{each.size_bytes:,}", each.sha256)
    print_table(files)


def verify(name: OnlyName = "", run_id: AnyRunId = "", location: Location = "") -> None:
    """Check every digest of bundles, and that each loads and predicts one row; exit code 22 or 20 where not.

    Of a bundle that is a part of a pipeline's model, such as technique and cluster, the files alone are checked. With
    MODEL_KEYS, each must be signed by one of the keys, and the table says which; exit code 23 where not.
    """
    faults: list[ModelError] = []
    keys = read_settings(os.environ).model_keys
    table = Table("name", Column("run id", overflow="fold"), "files", "finding", *(["signed by"] if keys else []))
    for bundle in _chosen(name, run_id, location):
        signed_by = ["none of MODEL_KEYS"] if keys else []
        try:
            signed_by = [bundle_signer(bundle, keys)] if keys else []
            bundle.verify()
            predicts = _predict_one(bundle)
        except ModelError as fault:
            faults.append(fault)
            finding = Text(_FINDINGS.get(type(fault), "unusable"), "red")
        else:
            finding = Text("right" if predicts else "files right", "green")
        manifest = bundle.manifest
        table.add_row(manifest.name, manifest.run_id, str(len(manifest.files)), finding, *signed_by)
    print_table(table)
    if faults:
        worst = max(faults, key=lambda each: each.exit_code)
        for each in faults:
            if each is not worst:
                note(str(each))
        raise worst


def make_key(name: KeyName) -> None:
    """Make a pair of keys for signing bundles: NAME.key, for its owner alone, and NAME.pem for MODEL_KEYS."""
    private, public, made = make_keys(name)
    note(f"{made}: keep {private} where bundles are made; set MODEL_KEYS to {public} where they run")


def sign(folder: BundleFolder, key: KeyFile) -> None:
    """Sign a bundle, after checking its files: manifest.json.sig says who made it, for whoever sets MODEL_KEYS.

    Examples: millrace model sign bundles/rides/RUN_ID --key release.key
    """
    bundle, signed_by = sign_bundle(folder, key)
    note(f"signed: {bundle.objects.root} by {signed_by}")


def evaluate_one(name: Evaluated, data: Data = None, as_json: AsJson = False) -> None:
    """Measure a model on data it was not trained on, in an easy and a hard split, and compare it with its targets.

    Run it as scripts/evaluate_model.sh, which makes the environment that it needs.
    """
    if name not in EVALUATED:
        raise SettingsError(f"no evaluation of {name!r}: give one of {', '.join(EVALUATED)}")
    if data is None:
        raise SettingsError(f"no data: name the folder with --data or ALERTS_DATA; model/{name}/README.md says which")
    if not data.is_dir():
        raise SettingsError(f"{data}: is not a folder")
    try:
        module: Any = importlib.import_module(f"model.{name}.evaluate")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is missing: run `./scripts/evaluate_model.sh {name} …`, which installs what evaluation "
            f"needs, instead of `millrace model evaluate {name} …`"
        ) from None
    try:
        report = module.evaluate(data)
    except OSError as error:
        raise SettingsError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if as_json:
        print_json_line(report)
    else:
        module.print_report(report)


def _predict_one(bundle: Bundle) -> bool:
    """Open a bundle with the pipeline that runs it, and predict a record with a one in every required field.

    Returns:
        Whether there is such a pipeline.
    """
    manifest = bundle.manifest
    pipeline = "model" if manifest.target else manifest.name
    if pipeline not in PIPELINES:
        return False
    settings = read_settings(
        {"MODEL_NAME": manifest.name, "RUN_ID": manifest.run_id, "MODEL_LOCATION": bundle.objects.root}
    )  # its signature was checked
    opened: Any = pipeline_class(pipeline).open(settings)
    features: dict[str, Any] = {
        field.name: field.categories[0] if field.categories else 1 for field in manifest.signature if field.required
    }
    try:
        steps = opened.explain(msgspec.convert({"features": features, "pred_id": 1}, opened.record_type))
    except Exception as error:
        raise ModelError(
            f"{bundle.objects.root}: predicts nothing for a row of ones ({type(error).__name__}): make it again"
        ) from error
    if "quarantined" in steps:
        raise ModelError(f"{bundle.objects.root}: predicts nothing for a row of ones: {steps['quarantined']}")
    return True


def _chosen(name: str, run_id: str, location: str) -> list[Bundle]:
    """Return the bundles of a name and a run, newest first.

    Raises:
        UnknownRunError: There are none.
        ModelError: A manifest cannot be read.
    """
    root = _location(location)
    found = list_bundles(root)
    for fault in found:
        if isinstance(fault, ModelError):
            raise fault
    bundles = [each for each in found if isinstance(each, Bundle)]
    wanted = [each for each in bundles if name in {"", each.manifest.name} and each.manifest.run_id.startswith(run_id)]
    if not wanted:
        names = ", ".join(sorted({each.manifest.name for each in bundles})) or "none"
        wanted_one = f"bundle of {name}" if name else "bundle"
        raise UnknownRunError(f"{root} holds no {wanted_one} {run_id}".rstrip() + f"; there are {names}")
    return wanted


def _predicts(bundle: Bundle) -> str:
    target = bundle.manifest.target
    if target is None:
        return f"the result of the pipeline {bundle.manifest.name}"
    kind = "a whole number" if target.rounded else "a number"
    labels = "" if target.labels is None else f"one of {', '.join(map(str, target.labels))}"
    return f"{target.name}: {labels or kind}{', with probabilities' if target.probabilities else ''}"


def _location(given: str) -> str:
    return given or read_settings(os.environ).model_location or str(OWN_BUNDLES)
