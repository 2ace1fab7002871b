"""The studio over HTTP: what is painted is made anew, steps arrive as they are made, and strangers get nothing."""

import base64
import http.client
import io
import json
import re
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

import magvit_keras as mk
from magvit_keras.studio import work
from magvit_keras.studio.server import StudioServer, page

pytestmark = pytest.mark.once

STEPS = {"num_steps": 3, "num_revisions": 1}


@pytest.fixture(scope="module")
def about(server):
    return call(server, "GET", "/about")[1]


def request(server, method: str, path: str, body=None, headers=()) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=120)
    connection.request(method, path, body, dict(headers))
    return connection.getresponse()


def call(server, method: str, path: str, body=None, headers=()) -> tuple[int, dict]:
    answer = request(server, method, path, body, headers)
    return answer.status, json.loads(answer.read())


def generate(server, **wish) -> list[dict]:
    answer = request(server, "POST", "/generate", json.dumps({**STEPS, **wish}))
    return [json.loads(line) for line in answer.read().splitlines()]


def frames(film: str) -> np.ndarray:
    """The film of an event as (T, H, W, 3)."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(film.partition(",")[2]))))
    return picture.reshape(-1, picture.shape[1], picture.shape[1], 3)


def painted(hole: np.ndarray) -> dict:
    return {"task": work.PAINTED, "hole": base64.b64encode(np.packbits(hole)).decode()}


@pytest.fixture(scope="module")
def hole():
    hole = np.zeros((8, 16, 16), bool)
    hole[2:, 4:12, 3:9] = True
    return hole


def test_what_is_painted_is_made_and_the_rest_stays(server, about, hole):
    clip = about["clips"][0]
    made = frames(generate(server, clip=clip["key"], **painted(hole))[-1]["film"])
    true = frames(clip["film"])
    np.testing.assert_array_equal(made[~hole], true[~hole])
    assert (made[hole] != true[hole]).any(-1).mean() > 0.5


def test_the_clip_is_what_generate_makes(server, about):
    """From the same clip, with the same settings."""
    events = generate(server, clip="1", task="central_inpainting", seed=5)
    video = frames(about["clips"][1]["film"])[None]
    made = server.studio.magvit.generate("central_inpainting", video=video, seed=5, keep_condition=True, **STEPS)
    assert np.abs(frames(events[-1]["film"]) - made[0] * 255).max() < 2


def test_every_step_is_told(server):
    events = [event for event in generate(server, clip="0", task="frame_prediction") if event["kind"] != "waiting"]
    assert [event["kind"] for event in events] == ["step"] * 5 + ["done"]
    assert [event["number"] for event in events[:-1]] == [1, 2, 3, 4, 5]
    assert events[-2]["known"] == 1 and events[-2]["film"] == events[-1]["film"]
    assert frames(events[0]["tokens"]).shape == (2, 4, 4, 3)


def test_steps_arrive_before_the_clip_is_done(server, monkeypatch):
    goes_on = threading.Event()
    put = work.Studio._step_event

    def step_event(self, step):
        if step.number == 2:
            assert goes_on.wait(60)
        return put(self, step)

    monkeypatch.setattr(work.Studio, "_step_event", step_event)
    answer = request(server, "POST", "/generate", json.dumps({**STEPS, "clip": "0", "task": "frame_prediction"}))
    while json.loads(answer.readline())["kind"] == "waiting":
        pass
    goes_on.set()
    assert json.loads(answer.read().splitlines()[-1])["kind"] == "done"


def test_a_second_visitor_waits_and_is_told(server, monkeypatch):
    at_work, goes_on = threading.Event(), threading.Event()
    put = work.Studio._step_event

    def step_event(self, step):
        at_work.set()
        assert goes_on.wait(60)
        return put(self, step)

    monkeypatch.setattr(work.Studio, "_step_event", step_event)
    wish = json.dumps({**STEPS, "clip": "0", "task": "frame_prediction"})
    first = request(server, "POST", "/generate", wish)
    assert at_work.wait(60)
    second = request(server, "POST", "/generate", wish)
    assert json.loads(second.readline()) == {"kind": "waiting", "ahead": 1, "ready": True}
    goes_on.set()
    for answer in (first, second):
        assert json.loads(answer.read().splitlines()[-1])["kind"] == "done"


def test_the_work_stops_when_the_visitor_leaves(server, monkeypatch):
    seen, left = [], threading.Event()
    put = work.Studio._step_event

    def step_event(self, step):
        seen.append(step.number)
        left.wait(30)
        return put(self, step)

    monkeypatch.setattr(work.Studio, "_step_event", step_event)
    with socket.create_connection(("127.0.0.1", server.server_port)) as visitor:
        wish = json.dumps({"num_steps": 40, "num_revisions": 0, "clip": "0", "task": "frame_prediction"}).encode()
        visitor.sendall(
            b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(wish), wish)
        )
        end = time.monotonic() + 60
        while not seen and time.monotonic() < end:
            time.sleep(0.02)
    time.sleep(2.5)  # more than the time between two signs of life
    left.set()
    assert generate(server, clip="0", task="frame_prediction")[-1]["kind"] == "done"
    assert seen[: seen.index(1, 1)] == [1]


@pytest.mark.parametrize(
    ("task", "label", "scale"), [("class_conditional_generation", [2], 2.0), (work.PAINTED, None, 0)]
)
def test_class_and_guidance_go_to_the_tasks_that_know_them(server, hole, task, label, scale):
    options = server.studio._options({**painted(hole), "clip": "0", "task": task, "label": 2, "guidance_scale": 2})
    assert (options.get("label"), options["guidance_scale"]) == (label, scale)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"task": "frame_predicton"}, "no task 'frame_predicton'; it has painted, frame_prediction"),
        ({"task": "frame_prediction", "clip": "../0"}, "no longer here"),
        ({"task": "class_conditional_generation", "label": 3}, "from 0 to 2; received 3"),
        ({"task": "painted", "clip": "0", "hole": "AAAA"}, "2048 bits"),
        ({"task": "painted", "clip": "0", "hole": None}, "2048 bits"),
        ({"task": "painted", "clip": "0", "hole": base64.b64encode(bytes(256)).decode()}, "Nothing is painted"),
        ({"task": "frame_prediction", "clip": "0", "num_steps": 65}, "num steps must be a number from 1 to 64"),
        ({"task": "frame_prediction", "clip": "0", "seed": "1"}, "seed must be a number"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled(server, wish, message):
    status, answer = call(server, "POST", "/generate", json.dumps(wish))
    assert status == 400 and message in answer["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_what_is_no_wish(server, body):
    assert call(server, "POST", "/generate", body)[0] == 400


def test_a_failure_is_told_and_the_next_visitor_served(server, monkeypatch, capfd):
    def fail(self, step):
        raise MemoryError("no memory left")

    with monkeypatch.context() as patch:
        patch.setattr(work.Studio, "_step_event", fail)
        assert generate(server, clip="0", task="frame_prediction")[-1] == {
            "kind": "error",
            "message": "MemoryError: no memory left",
        }
    assert generate(server, clip="0", task="frame_prediction")[-1]["kind"] == "done"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    clips = mk.data.MovingShapes(1, num_frames=10, size=(32, 48))
    return clips.write_videos(tmp_path_factory.mktemp("videos"))[0].read_bytes()


def test_a_dropped_video_becomes_a_clip(server, video):
    status, clip = call(server, "POST", "/clip", video)
    assert status == 200 and frames(clip["film"]).shape == (8, 16, 16, 3) and "note" not in clip
    assert generate(server, clip=clip["key"], task="frame_prediction")[-1]["kind"] == "done"


def test_a_short_video_stands_still_at_its_end(server, tmp_path):
    path = mk.data.write_video(
        tmp_path / "short.gif", np.random.default_rng(0).integers(256, size=(3, 16, 16, 3), dtype="uint8")
    )
    clip = call(server, "POST", "/clip", path.read_bytes())[1]
    film = frames(clip["film"])
    assert (film[2:] == film[2]).all() and "this video has 3" in clip["note"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "This is no video"),  # would make the decoder open that file
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "This is no video"),
        (b"", "This is no video"),
        (b"GIF89a" + bytes(40), "cannot be read"),
        (b"\0\0\0\x18ftypmp42" + bytes(400), "cannot be read"),
    ],
)
def test_what_is_no_video(server, body, message):
    status, answer = call(server, "POST", "/clip", body)
    assert status == 400 and message in answer["message"]


def test_a_large_file_is_refused_before_it_is_read(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.putrequest("POST", "/clip")
    connection.putheader("Content-Length", str(work.MOST_BYTES + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and "at most 64 MB" in json.loads(answer.read())["message"]


def test_old_dropped_clips_go_and_the_first_ones_stay(server, about, video, monkeypatch):
    monkeypatch.setattr(work, "_MOST_CLIPS", 10)
    keys = [call(server, "POST", "/clip", video)[1]["key"] for _ in range(3)]
    assert [key in server.studio._clips for key in keys] == [False, True, True]
    assert {clip["key"] for clip in about["clips"]} <= server.studio._clips.keys()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "elsewhere.example"},  # a name that its owner lets point here
        {"Host": "127.0.0.1.elsewhere.example"},
        {"Host": "[oops"},
        {"Origin": "http://elsewhere.example"},  # another site in the visitor's browser
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/about", "/clip", "/generate"])
def test_strangers_are_refused(server, headers, path):
    method = "POST" if path in ("/clip", "/generate") else "GET"
    assert call(server, method, path, b"{}" if method == "POST" else None, headers)[0] == 403


def test_the_page_itself_is_answered(server):
    own = f"127.0.0.1:{server.server_port}"
    assert call(server, "GET", "/about", headers={"Host": own, "Origin": f"http://{own}"})[0] == 200
    assert request(server, "GET", "/", headers={"Host": "localhost"}).status == 200


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/canvas.js", "/work.py", "/clip"])
def test_no_path_is_a_file(server, path):
    assert call(server, "GET", path)[0] == 404


def test_only_this_computer_is_listened_to(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_the_page_stands_alone(server):
    text = request(server, "GET", "/").read().decode()
    assert text == page() and "function holeCanvas" in text
    assert not re.search(r'(src|href)="(?!data:|#)|@import|url\(|https?://(?!www\.w3\.org/2000/svg)', text)


def test_a_taken_port_is_told(server):
    with pytest.raises(ValueError, match=f"Port {server.server_port} cannot be used .*--port {server.server_port + 1}"):
        StudioServer(server.server_port)


def test_an_autoregressive_model_shows_its_clip_at_the_end(opened, tiny):
    sizes = {"causal": True, "latent_shape": (1, 2, 2)}
    causal = mk.MaskedTransformer(**{**tiny.transformer.get_config(), **sizes})
    with opened(mk.Magvit(tiny.tokenizer, causal, ["frame_prediction"], condition_mode="autoregressive")) as server:
        events = generate(server, clip="0", task="frame_prediction")
    assert [event["kind"] for event in events if event["kind"] != "waiting"] == ["done"]
