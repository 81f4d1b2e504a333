"""Pages: their examples run and print what they show, and what they point to is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from docs.examples import PAGES, ROOT, agrees, copy_samples, examples_of, run
from meterhouse.catalog.project import Catalog
from meterhouse.catalog.settings import Limits
from meterhouse.landing import EXPLANATIONS
from meterhouse.landing.shapes.fields import read_lines

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if examples_of(page)], ids=_name)
def test_examples_run_and_print_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    folder = copy_samples(tmp_path)
    for example in examples_of(page):
        ended = run(example.command, folder)
        told = f"{example}: $ {example.command}\n{ended.stdout}{ended.stderr}"
        if ended.returncode:
            pytest.fail(f"{told}ended with {ended.returncode}.", pytrace=False)
        if example.shown and not agrees(example.shown, ended.stdout):
            pytest.fail(f"{told}The page shows otherwise. Run `make docs` and read the difference.", pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_point_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_names_only_paths_that_are_there() -> None:
    table = README.partition("## Where things are")[2]
    named = re.findall(r"^\| (.*?) \|", table, flags=re.MULTILINE)
    paths = [path for cell in named for path in re.findall(r"`([^`]+/[^`]*)`", cell)]
    stages = ROOT / "src" / "meterhouse"
    assert paths
    assert [path for path in paths if not (ROOT / path).exists() and not (stages / path).exists()] == []


def test_reference_is_what_the_code_declares(tmp_path: Path) -> None:
    ended = run(f"python {ROOT}/docs/make_reference.py --check", tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_page_of_bad_input_names_every_reason_and_every_limit_as_it_is() -> None:
    page = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    assert {reason for reason in EXPLANATIONS if f"`{reason}`" not in page} == set()
    shown = {"max_record_bytes": "16 MiB", **{name: f"{value:,}" for name, value in Limits() if value < 1 << 20}}
    assert {name for name, value in shown.items() if f"`{name}` ({value})" not in page} == set()


def test_catalog_of_the_readme_is_valid() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    catalog = Catalog.model_validate(yaml.safe_load(block))
    assert set(catalog.products["pro"].metered()) == set(catalog.meters)


def test_event_of_the_readme_is_accepted() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    fields, faults = read_lines(block.encode().splitlines())
    assert (fields["name"].to_list(), dict(faults)) == (["ai_usage"], {})


def test_readme_names_only_commands_of_make_that_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", README.replace("make and git", ""))) <= targets


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\n...\nc", "a\nb\nb\nc\n", True),
        ("a\n...\nc", "a\nc\n", True),
        ("...\nc", "a\nc  \n\n", True),
        ("a\n...", "b\na\n", False),
        ("a.c", "abc\n", False),
        ("a", "a\nb\n", False),
    ],
)
def test_a_page_agrees_with_what_is_printed_except_for_elided_lines(shown: str, printed: str, *, same: bool) -> None:
    assert agrees(shown, printed) is same
