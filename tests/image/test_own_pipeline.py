"""An image of one's own: the example's Dockerfile on the image under test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.image import containers
from tests.image.containers import ROOT

if TYPE_CHECKING:
    from docker import DockerClient

TAG = "temperature-alarms"


def test_the_examples_image_has_its_pipeline(docker: DockerClient, image: str) -> None:
    docker.images.get(image).tag("millrace", "v1")
    docker.images.build(path=str(ROOT / "examples" / "own_pipeline"), tag=TAG, rm=True)
    done = containers.run(docker, TAG, "millrace", "explain", '{"sensor": "oven", "celsius": 31}')
    assert done.code == 0, done.stderr
    explained = json.loads(done.stdout)
    assert explained["pipeline"] == "temperature-alarms"
    assert [each["role"] for each in explained["outputs"]] == ["warnings"]
