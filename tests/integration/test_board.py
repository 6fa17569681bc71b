"""The board: what it says of real git histories, what it says where git holds garbage, and that all of that is text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bakehouse import workspace
from bakehouse.errors import ConfigurationError
from commands.main import app
from gitops import holds
from gitops.board import Board, Lane, ModelBoard, board
from gitops.board_page import Bar, links_from, page, strip, write
from gitops.environment import Place
from gitops.promotion import commit_release, promote
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.board_world import HOSTILE, tell, tell_hostile, told
from tests.gitops_world import World, commit_files, release


class Page(HTMLParser):
    """A page's elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@dataclass(frozen=True)
class Told:
    """The board of the whole story, and the state folder in which that happened."""

    board: Board
    state: Path


@pytest.fixture(scope="module")
def told_once(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("board")
    with told(folder) as repository:
        return Told(board(repository), folder / "state")


@pytest.fixture
def the_story(told_once: Told, state: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The story's board; commands that this test runs read the same repository."""
    monkeypatch.setenv("BAKEHOUSE_STATE", str(told_once.state))
    return told_once.board


def model(found: Board, name: str) -> ModelBoard:
    return next(it for it in found.models if it.name == name)


def lane(found: Board, name: str, environment: str) -> Lane:
    return next(it for it in model(found, name).lanes if it.place.environment == environment)


def story(lane: Lane) -> list[tuple[str, int | None, bool]]:
    return [(it.deed, it.model_version, it.with_hold) for it in lane.happenings]


def shown(found: Board) -> str:
    return page(found, "repository", lambda name, digest: "")


def test_the_board_tells_each_way_that_a_model_can_come(the_story: Board) -> None:
    """Releases, promotions, a rollback with its hold, a removal and a hold: in order, each by its own word."""
    found = the_story
    assert found.environments == ("staging", "production")
    assert [it.name for it in found.models] == ["orders", "sentiment", "students"]
    assert story(lane(found, "orders", "staging")) == [("released", number, False) for number in (4, 3, 2, 1)]
    assert story(lane(found, "orders", "production")) == [
        ("rolled back", 2, True),
        ("promoted", 3, False),
        ("promoted", 2, False),
        ("promoted", 1, False),
    ]
    students = lane(found, "students", "production")
    assert story(students) == [("held", None, False), ("removed", None, False), ("promoted", 1, False)]
    assert (students.release, students.landed) == (None, None)
    assert students.hold is not None
    assert students.hold.reason == "The school has not agreed yet"


def test_a_model_that_is_held_before_its_first_release_is_shown_as_held(repository: GitopsRepository) -> None:
    holds.hold(repository, Place("production", "cakes"), "Nobody has tasted them yet")
    found = board(repository)
    assert strip(model(found, "cakes"))[1][-1] == ("production", [Bar(1, 2, "held", None)])
    assert "Nobody has tasted them yet" in shown(found)


def test_what_waits_is_shown_with_its_evidence_and_whatever_stops_it(the_story: Board) -> None:
    found = the_story
    (orders,) = model(found, "orders").waiting
    assert (orders.release.model_version, orders.branch) == (4, "")
    assert orders.previous is not None
    assert orders.previous.model_version == 2
    assert "no_hold" in [gate.name for gate in orders.gates if not gate.passed]
    (name, before, after, _) = orders.metrics[0]
    assert (name, before, after) == ("average_precision", "0.9 (0.85 to 0.95), on other rows", "0.93 (0.85 to 0.95)")


def test_an_open_proposal_is_shown_once_by_its_branch(the_story: Board) -> None:
    (waiting,) = model(the_story, "sentiment").waiting
    assert waiting.branch.startswith("promote/sentiment-2-to-production-")
    assert waiting.proposed is not None
    assert waiting.proposed.subject == "Promote sentiment 2 to production"
    assert not waiting.outdated


def test_a_proposal_that_the_source_has_moved_past_is_out_of_date(repository: GitopsRepository, world: World) -> None:
    """The branch stays on the board until it is merged or deleted, and the newer release stands beside it."""
    commit_release(repository, "staging", release(1, policy="review"))
    promote(repository, "orders", "production", proposals=world.bodies)
    commit_release(repository, "staging", release(2, champion=1, policy="review"))
    waiting = board(repository).waiting
    assert [(it.release.model_version, bool(it.branch), it.outdated) for it in waiting] == [
        (1, True, True),
        (2, False, False),
    ]
    assert "the branch is out of date" in Page(shown(board(repository))).words


def test_a_merged_proposal_no_longer_waits(repository: GitopsRepository, world: World) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    done = promote(repository, "orders", "production", proposals=world.bodies)
    clone = world.clone()
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    world.git(*who, "merge", "--quiet", "--no-ff", "-m", "Merge the promotion", f"origin/{done.branch}", at=clone)
    world.git("push", "--quiet", "origin", "main", at=clone)
    found = board(repository)
    assert found.waiting == ()
    assert story(lane(found, "orders", "production")) == [("promoted", 1, False)]


def test_a_plain_revert_of_a_promotion_is_a_rollback_on_the_board(repository: GitopsRepository, world: World) -> None:
    """Kinds are read from the trees, so that whoever made the commit, and however, it says what it did."""
    for version in (1, 2):
        commit_release(repository, "staging", release(version, champion=version - 1 or None))
        promote(repository, "orders", "production", proposals=world.bodies)
    clone = world.clone()
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    world.git(*who, "revert", "--no-edit", "HEAD", at=clone)
    world.git("push", "--quiet", "origin", "main", at=clone)
    assert story(lane(board(repository), "orders", "production"))[0] == ("rolled back", 1, False)


def test_what_can_not_be_read_is_a_problem_of_its_own_place_alone(repository: GitopsRepository, world: World) -> None:
    tell(repository, world)
    broken = Place("production", "sentiment")
    commit_files(repository, {broken.document: "{", broken.hold: "reason: ["})
    found = board(repository)
    assert broken.document in lane(found, "sentiment", "production").problem
    assert broken.hold in lane(found, "sentiment", "production").problem
    assert lane(found, "orders", "production").problem == ""
    assert "unreadable" in Page(shown(found)).words


def test_a_setting_that_can_not_be_read_is_named_above_everything(repository: GitopsRepository, world: World) -> None:
    commit_release(repository, "staging", release(1))
    commit_files(repository, {"environments/production/settings/promotion.yaml": "from: staging\nmood: good\n"})
    found = board(repository)
    assert found.waiting == ()
    assert "environments/production/settings/promotion.yaml" in found.unread[0]
    assert found.unread[0] in Page(shown(found)).words


def test_environments_stand_in_the_order_in_which_a_release_passes_them(repository: GitopsRepository) -> None:
    """Not by their names; and two that promote into each other end no reading."""
    files: dict[str, str | None] = {}
    for name, source in (("abroad", "production"), ("left", "right"), ("right", "left")):
        folder = f"environments/{name}/settings"
        files |= {f"{folder}/kustomization.yaml": "kind: Component\n", f"{folder}/promotion.yaml": f"from: {source}\n"}
    commit_files(repository, files)
    found = [name for name in board(repository).environments if name not in ("left", "right")]
    assert found == ["staging", "production", "abroad"]


def test_where_nothing_is_released_the_board_says_so(repository: GitopsRepository) -> None:
    assert "Nothing is released yet" in Page(shown(board(repository))).words


def test_no_text_of_the_repository_becomes_markup(repository: GitopsRepository) -> None:
    """Hostile names, reasons, subjects and notes are shown as they were written, but for what hides or turns text."""
    tell_hostile(repository)
    credentials = "ada:secret"
    html = page(board(repository), f"https://{credentials}@example.org/gitops.git", lambda name, digest: "#")
    read = Page(html)
    assert not {tag for tag, _ in read.elements} & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert not [attributes for _, attributes in read.elements if any(name.startswith("on") for name in attributes)]
    assert read.words.count(" ".join(HOSTILE.replace("\u202e", "\ufffd").split())) >= 6
    assert "\u202e" not in html
    assert "secret" not in html


def test_the_page_loads_nothing_and_forbids_it(the_story: Board) -> None:
    """No script, no address that a browser would fetch, and a policy that refuses one all the same."""
    html = shown(the_story)
    read = Page(html)
    assert not [it for it in read.elements if {"src", "srcset", "data", "action"} & it[1].keys()]
    assert "url(" not in html
    assert "@import" not in html
    policy = next(it["content"] for tag, it in read.elements if it.get("http-equiv") == "Content-Security-Policy")
    assert (policy or "").startswith("default-src 'none'")


def test_headings_descend_one_by_one_and_each_place_is_named_once(the_story: Board) -> None:
    """What a screen reader goes by: an outline without gaps, ids that are unique, links that lead to one."""
    read = Page(shown(the_story))
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [it["id"] for _, it in read.elements if "id" in it]
    assert len(ids) == len(set(ids))
    inner = [it["href"] or "" for tag, it in read.elements if tag == "a"]
    assert {href[1:] for href in inner if href.startswith("#")} <= set(ids)


def test_a_strip_shows_what_was_where_column_by_column(repository: GitopsRepository, world: World) -> None:
    """A rollback ends the bar of what it takes away, and its hold runs until it is lifted."""
    for version in (1, 2):
        commit_release(repository, "staging", release(version, champion=version - 1 or None))
        promote(repository, "orders", "production", proposals=world.bodies)
    place = Place("production", "orders")
    roll_back(repository, place, reason="wrong")
    holds.lift(repository, place)
    columns, rows = strip(model(board(repository), "orders"))
    assert columns == 6
    assert rows == [
        ("staging", [Bar(1, 3, "released", 1), Bar(3, 7, "released", 2)]),
        (
            "production",
            [Bar(2, 4, "promoted", 1), Bar(4, 5, "promoted", 2), Bar(5, 7, "rolled back", 1), Bar(5, 6, "held", None)],
        ),
    ]


def test_a_strip_begins_with_what_was_there_before_its_first_column(repository: GitopsRepository, world: World) -> None:
    commit_release(repository, "staging", release(1))
    promote(repository, "orders", "production", proposals=world.bodies)
    for version in range(2, 15):
        commit_release(repository, "staging", release(version, champion=version - 1))
    columns, rows = strip(model(board(repository, limit=20), "orders"))
    assert columns == 12
    assert rows[1] == ("production", [Bar(1, 13, "promoted", 1)])
    assert rows[0][1][0] == Bar(1, 2, "released", 3)


def test_what_is_left_out_is_counted_and_the_command_that_shows_it_is_named(
    repository: GitopsRepository,
) -> None:
    for version in range(1, 6):
        commit_release(repository, "staging", release(version, champion=version - 1 or None))
    found = board(repository, limit=2)
    assert [it.model_version for it in lane(found, "orders", "staging").happenings] == [5, 4]
    assert lane(found, "orders", "staging").earlier == 3
    assert "and 3 earlier: bakehouse history orders --env staging --limit 0" in Page(shown(found)).words


def test_reports_are_linked_by_the_path_to_them_or_under_an_address(state: Path, tmp_path: Path) -> None:
    """By digest either way; what this machine does not have, and nobody published, is no link."""
    digest = "sha256:" + "a" * 64
    file = tmp_path / "public" / "board.html"
    assert links_from(file, None)("profile.html", digest) == ""
    report = workspace.reports() / f"{'a' * 64}.html"
    report.write_text("profile")
    link = links_from(file, None)("profile.html", digest)
    assert (file.parent / link).resolve() == report
    published = links_from(file, "https://reports.example.com/")
    assert published("a b.<html", digest) == f"https://reports.example.com/{'a' * 64}.%3Chtml"


def test_the_command_writes_the_page_and_says_where(the_story: Board, tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "board.html"
    done = CliRunner().invoke(app, ["board", "--to", str(file)])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(file)
    words = Page(file.read_text()).words
    assert "bakehouse promote orders --to production" in words
    assert "bakehouse rollback orders --env production --to 1" in words
    assert "bakehouse hold orders --env production --lift" in words
    assert "Too many false alarms since the price change" in words
    assert [it.name for it in file.parent.iterdir()] == [file.name]


def test_the_command_answers_as_json_and_writes_no_file(the_story: Board, told_once: Told) -> None:
    done = CliRunner().invoke(app, ["board", "--json"])
    found = json.loads(done.output)
    orders = found["models"][0]
    assert [it["model_version"] for it in orders["environments"]] == [4, 2]
    assert orders["waiting"][0]["metrics"][0]["metric"] == "average_precision"
    assert found["models"][1]["waiting"][0]["branch"].startswith("promote/sentiment-2-to-production-")
    assert not (told_once.state / "board.html").exists()


def test_the_command_answers_as_json_and_writes_the_page_that_was_asked_for(the_story: Board, tmp_path: Path) -> None:
    file = tmp_path / "board.html"
    done = CliRunner().invoke(app, ["board", "--json", "--to", str(file)])
    assert json.loads(done.output)["models"]
    assert "bakehouse promote orders --to production" in Page(file.read_text()).words


def test_an_address_of_reports_that_a_browser_would_run_is_refused(repository: GitopsRepository) -> None:
    done = CliRunner().invoke(app, ["board", "--reports", "javascript:alert(1)"])
    assert done.exit_code == 2
    assert "--reports" in done.output


def test_a_page_that_can_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    """Where the folder is a file, say, it is one message and no half-written page."""
    (tmp_path / "file").write_text("as it was")
    with pytest.raises(ConfigurationError, match="can't be written"):
        write("page", tmp_path / "file" / "board.html")
    assert (tmp_path / "file").read_text() == "as it was"
