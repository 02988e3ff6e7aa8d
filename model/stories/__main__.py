"""Make stories as files, and measure incidents on them: `python -m model.stories make | evaluate | calibrate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from model.stories.attacks import PACES_S, RECORDED
from model.stories.calibrate import calibrate
from model.stories.evaluate import evaluate, write
from model.stories.story import make_story, write_story


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m model.stories", description=__doc__)
    commands = parser.add_subparsers(required=True)
    make = commands.add_parser("make", help="write a story as lines, and its truth beside it")
    make.add_argument("file", type=Path)
    make.add_argument("--seed", type=int, default=1)
    make.add_argument("--source", choices=("own", "corpus", "recorded"), default="own")
    make.add_argument("--noise", type=int, default=200, help="everyday alerts")
    make.add_argument("--pace", choices=(*PACES_S, RECORDED), default="hours")
    make.add_argument("--days", type=float, default=0.0, help="days of everyday alerts; 0: as long as the attack")
    make.add_argument("--attacks", type=int, default=1)
    make.add_argument("--split", choices=("fit", "test"), default="test")
    make.add_argument("--data", type=Path, help="folder of the corpus and of the recorded attacks")
    make.set_defaults(run=_make)
    measure = commands.add_parser("evaluate", help="measure the incidents of stories, beside plain ways to make them")
    measure.add_argument("--data", type=Path, help="folder of the corpus and of the recorded attacks")
    measure.add_argument("--stories", type=int, default=20, help="of a set; of large ones a quarter")
    measure.add_argument("--split", choices=("fit", "test"), default="test")
    measure.add_argument("--only", default="", help="part of the names of the sets to measure")
    measure.add_argument("--other", action="append", default=[], help="NAME=TREE: another version's source tree")
    measure.add_argument("--out", type=Path, help="a folder for the table, the figures and the picture")
    measure.set_defaults(run=_evaluate)
    fit = commands.add_parser(
        "calibrate", help="fit the probabilities of incidents and edges, and show how right they are"
    )
    fit.add_argument("--data", type=Path, help="folder of the corpus and of the recorded attacks")
    fit.add_argument("--stories", type=int, default=12, help="of a set; of large ones a quarter")
    fit.set_defaults(run=lambda given: calibrate(given.stories, given.data))
    given = parser.parse_args()
    given.run(given)


def _make(given: argparse.Namespace) -> None:
    story = make_story(
        given.seed,
        source=given.source,
        noise=given.noise,
        pace=given.pace,
        days=given.days,
        attacks=given.attacks,
        split=given.split,
        folder=given.data,
    )
    truth = write_story(story, given.file)
    of_attacks = sum(bool(label.attack) for label in story.labels)
    print(f"{given.file}: {len(story.records)} alerts, {of_attacks} of {len(story.attacks)} attacks; truth in {truth}")


def _evaluate(given: argparse.Namespace) -> None:
    others = [(name, Path(tree)) for name, _, tree in (each.partition("=") for each in given.other)]
    results = evaluate(given.stories, given.split, given.data, others, only=given.only)
    if given.out:
        print("\n".join(str(path) for path in write(results, given.out)))


if __name__ == "__main__":
    main()
