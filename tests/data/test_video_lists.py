"""Readers of data sets whose videos are files: each format is written and read back."""

import json

import numpy as np
import pytest

from magvit_keras.data import (
    UCF101,
    Kinetics600,
    Objectron,
    SomethingSomethingV2,
    UnreadableVideo,
    UnreadableVideoWarning,
    WebVideos,
)

pytestmark = pytest.mark.once

CLIP = {"num_frames": 4, "size": (24, 32)}


def decodes(source, sample, psnr):
    """The middle frames of the written clip, whatever the codec lost."""
    return psnr(source.for_evaluation()[0]["video"], sample["clip"][4:8]) > 26


# --- UCF-101 ---


@pytest.fixture
def ucf(put, sample):
    lists = {
        "classInd.txt": "1 Archery\r\n2 HandstandPushups\r\n",
        "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 2\r\n",
        "testlist01.txt": "HandstandPushups/v_HandStandPushups_g01_c01.avi\r\n",
        "trainlist03.txt": "Archery/v_Archery_g08_c01.avi 1\n",
    }
    videos = ["Archery/v_Archery_g08_c01.avi", "HandstandPushups/v_HandstandPushups_g08_c01.avi"]
    videos.append("HandstandPushups/v_HandStandPushups_g01_c01.avi")
    put({f"ucfTrainTestlist/{name}": text for name, text in lists.items()})
    return put({f"UCF-101/{name}": sample["avi"] for name in videos})


def test_ucf101_takes_the_official_lists(ucf, sample, psnr):
    train, test = UCF101(ucf, **CLIP), UCF101(ucf, "test", **CLIP)
    assert train.class_names == ["Archery", "HandstandPushups"] and train.labels.tolist() == [0, 1]
    assert test.labels.tolist() == [1] and test.training is False and train.training is True
    assert len(UCF101(ucf, fold=3, **CLIP)) == 1
    assert decodes(train, sample, psnr)


def test_ucf101_matches_files_without_regard_to_case(ucf):
    assert UCF101(ucf, **CLIP).name(1) == "HandstandPushups/v_HandstandPushups_g08_c01.avi"


def test_ucf101_counts_missing_videos(ucf):
    (ucf / "UCF-101/Archery/v_Archery_g08_c01.avi").unlink()
    with pytest.warns(UnreadableVideoWarning, match=r"1 of 2 listed(.|\n)*v_Archery_g08_c01\.avi: no such file"):
        clips = UCF101(ucf, **CLIP)
    assert len(clips) == 1 and clips[0]["label"] == 1
    with pytest.raises(FileNotFoundError, match="1 of 2 listed videos"):
        UCF101(ucf, on_error="raise", **CLIP)


def test_ucf101_refuses_a_list_that_leads_out(ucf, put):
    put({"ucfTrainTestlist/trainlist01.txt": "../../secret.avi 1\n"})
    with pytest.raises(ValueError, match=r"trainlist01\.txt, line 1.*leads out"):
        UCF101(ucf, **CLIP)


def test_ucf101_counts_lines_of_unknown_classes(ucf, put):
    put({"ucfTrainTestlist/trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\nYoga/v_Yoga_g01_c01.avi 9\n"})
    with pytest.warns(UnreadableVideoWarning, match="1 of 2 rows(.|\n)*line 2"):
        assert len(UCF101(ucf, **CLIP)) == 1
    with pytest.raises(ValueError, match="Yoga"):
        UCF101(ucf, on_error="raise", **CLIP)


def test_a_truncated_avi_is_skipped_or_raises(ucf, sample):
    path = ucf / "UCF-101/Archery/v_Archery_g08_c01.avi"
    path.write_bytes(sample["avi"][: len(sample["avi"]) // 2])
    with pytest.warns(UnreadableVideoWarning, match="v_Archery"):
        assert UCF101(ucf, **CLIP)[0]["label"] == 1
    with pytest.raises(UnreadableVideo, match="v_Archery"):
        UCF101(ucf, on_error="raise", **CLIP)[0]


@pytest.mark.parametrize("arguments", [{"split": "validation"}, {"fold": 4}, {"num_frames": 0}])
def test_ucf101_refuses(ucf, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        UCF101(ucf, **{**CLIP, **arguments})


def test_ucf101_without_its_lists_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"classInd\.txt"):
        UCF101(tmp_path, **CLIP)


# --- Kinetics-600 ---

KINETICS = (
    "youtube_id,label,split,time_end,time_start,is_cc\n"
    "abc,bull fighting,train,17,7,0\n"
    '-x_,"pinching (someone\'s) arm",train,20.0,10.0,1\n'
    "zzz,bull fighting,validate,11,1,0\n"
)


@pytest.fixture
def kinetics(put, sample):
    return put(
        {
            "train.csv": KINETICS,
            "abc_000007_000017.mp4": sample["mp4"],
            "train/pinching_someones_arm/-x__000010_000020.mp4": sample["mp4"],
        }
    )


def test_kinetics_is_found_flat_and_by_class(kinetics, sample, psnr):
    clips = Kinetics600(kinetics, **CLIP)
    assert clips.class_names == ["bull fighting", "pinching (someone's) arm"]
    assert [clips.name(i) for i in range(2)] == [
        "abc_000007_000017.mp4",
        "train/pinching_someones_arm/-x__000010_000020.mp4",
    ]
    assert decodes(clips, sample, psnr)


def test_kinetics_has_two_windows_of_three_crops(kinetics):
    clips = Kinetics600(kinetics, num_frames=4, size=(16, 16)).for_evaluation(windows=2, crops=3)
    assert len(clips) == 12
    assert clips.name(5).endswith("(window 1, crop 2)")
    videos = [clips[i]["video"] for i in range(6)]
    assert len({video.tobytes() for video in videos}) == 6


def test_kinetics_refuses_a_list_without_a_column(kinetics, put):
    put({"train.csv": KINETICS.replace("youtube_id", "id")})
    with pytest.raises(ValueError, match="no column youtube_id; expected label, youtube_id"):
        Kinetics600(kinetics, **CLIP)


def test_kinetics_counts_rows_without_times(kinetics, put):
    put({"train.csv": KINETICS + "qqq,bull fighting,train,soon,7,0\n"})
    with pytest.warns(UnreadableVideoWarning, match="1 of 3 rows(.|\n)*line 5"):
        assert len(Kinetics600(kinetics, **CLIP)) == 2


def test_kinetics_refuses_ids_that_lead_out(kinetics, put):
    put({"train.csv": KINETICS + "../../qqq,bull fighting,train,17,7,0\n"})
    with pytest.raises(ValueError, match=r"line 5.*leads out"):
        Kinetics600(kinetics, **CLIP)


def test_kinetics_counts_videos_that_are_gone(kinetics):
    (kinetics / "abc_000007_000017.mp4").unlink()
    with pytest.warns(UnreadableVideoWarning, match="1 of 2 listed videos"):
        assert len(Kinetics600(kinetics, **CLIP)) == 1


def test_kinetics_takes_classes_of_the_training_split(kinetics):
    names = ["archery", "bull fighting", "pinching (someone's) arm"]
    assert Kinetics600(kinetics, class_names=names, **CLIP).labels.tolist() == [1, 2]
    with pytest.raises(ValueError, match="class_names lacks bull fighting"):
        Kinetics600(kinetics, class_names=["archery"], **CLIP)


# --- Something-Something-v2 ---


def something(prefix=""):
    entry = {"id": "7", "label": "putting a cup", "template": "Putting [something]", "placeholders": ["a cup"]}
    return {
        f"{prefix}labels.json": json.dumps({"Putting something": "1", "Holding something": "0"}),
        f"{prefix}train.json": json.dumps([entry]),
        f"{prefix}test.json": json.dumps([{"id": "8"}]),
    }


@pytest.fixture
def videos_of_something(put, sample):
    return put({f"20bn-something-something-v2/{number}.webm": sample["webm"] for number in (7, 8)})


@pytest.mark.parametrize("prefix", ["", "labels/", "something-something-v2-"])
def test_something_takes_old_and_new_names(videos_of_something, put, prefix, sample, psnr):
    put(something(prefix))
    clips = SomethingSomethingV2(videos_of_something, **CLIP)
    assert clips.class_names == ["Holding something", "Putting something"] and clips.labels.tolist() == [1]
    assert decodes(clips, sample, psnr)


def test_test_videos_of_something_have_no_class(videos_of_something, put):
    put(something())
    assert SomethingSomethingV2(videos_of_something, "test", **CLIP)[0]["label"] == -1


def test_an_unknown_template_is_an_error_or_skipped(videos_of_something, put):
    files = something()
    entries = [*json.loads(files["train.json"]), {"id": "8", "template": "Eating [something]"}]
    put({**files, "train.json": json.dumps(entries)})
    with pytest.warns(UnreadableVideoWarning, match="1 of 2 rows"):
        assert len(SomethingSomethingV2(videos_of_something, **CLIP)) == 1
    with pytest.raises(ValueError, match=r"entry 1: the template 'Eating \[something\]'"):
        SomethingSomethingV2(videos_of_something, on_error="raise", **CLIP)


def test_labels_of_something_must_be_numbered(videos_of_something, put):
    put({**something(), "labels.json": '{"Putting something": "1"}'})
    with pytest.raises(ValueError, match="numbers 0 to 0"):
        SomethingSomethingV2(videos_of_something, **CLIP)


# --- Objectron ---


@pytest.fixture
def objectron(put, sample):
    lists = {"cup_annotations_train": "cup/batch-1/2\n", "shoe_annotations_train": "shoe/batch-0/10\nshoe/batch-0/11\n"}
    put({f"index/{name}": text for name, text in lists.items()})
    places = ("cup/batch-1/2", "shoe/batch-0/10", "shoe/batch-0/11")
    return put({f"videos/{place}/video.MOV": sample["mov"] for place in places})


def test_objectron_follows_its_index(objectron, sample, psnr):
    clips = Objectron(objectron, **CLIP)
    assert clips.class_names == ["cup", "shoe"] and clips.labels.tolist() == [0, 1, 1]
    assert decodes(clips, sample, psnr)
    assert len(clips.for_evaluation(windows=5)) == 15


def test_objectron_refuses_an_index_that_leads_out(objectron, put):
    put({"index/cup_annotations_train": "../batch-1/2\n"})
    with pytest.raises(ValueError, match="leads out"):
        Objectron(objectron, **CLIP)


def test_objectron_without_an_index_says_so(objectron):
    with pytest.raises(FileNotFoundError, match="_annotations_test"):
        Objectron(objectron, "test", **CLIP)


# --- videos with a CSV or JSON lines ---


@pytest.fixture
def web(put, sample):
    table = 'file,kind,text\na/1.mp4,dog,A dog.\nb/2.webm,cat,"A cat, asleep."\n'
    return put({"list.csv": table, "a/1.mp4": sample["mp4"], "b/2.webm": sample["webm"]})


def test_labels_and_captions_come_with_the_clips(web, sample, psnr):
    clips = WebVideos(web, "list.csv", "file", "kind", "text", **CLIP)
    assert clips.class_names == ["cat", "dog"] and clips.captions == ["A dog.", "A cat, asleep."]
    assert clips[1]["caption"] == "A cat, asleep." and clips[1]["label"] == 0
    assert decodes(clips, sample, psnr)


def test_clips_with_captions_make_batches(web):
    batch = WebVideos(web, "list.csv", "file", caption="text", **CLIP).loader(2)[0]
    assert batch["video"].shape == (2, 4, 24, 32, 3)


def test_json_lines_are_read_too(web, put):
    put({"list.jsonl": '{"path": "a/1.mp4", "label": 3}\n{"path": "b/2.webm", "label": 1}\n'})
    assert WebVideos(web, "list.jsonl", label="label", **CLIP).class_names == ["1", "3"]


@pytest.mark.parametrize(("labels", "names"), [([10, 2, -1], ["-1", "2", "10"]), (["10", "2", "b"], ["10", "2", "b"])])
def test_classes_are_sorted_as_numbers_where_all_are(web, put, labels, names):
    put({"list.jsonl": "\n".join(json.dumps({"path": "a/1.mp4", "label": label}) for label in labels)})
    assert WebVideos(web, "list.jsonl", label="label", **CLIP).class_names == names


def test_a_wrong_column_is_an_error(web):
    with pytest.raises(ValueError, match="no column caption; expected file, caption, found file, kind, text"):
        WebVideos(web, "list.csv", "file", caption="caption", **CLIP)


@pytest.mark.parametrize("path", ["../secret.mp4", "/etc/passwd", "a/../../x.mp4"])
def test_a_list_cannot_lead_out_of_the_folder(web, put, path):
    put({"list.csv": f"path\n{path}\n"})
    with pytest.raises(ValueError, match=r"list\.csv, line 2.*leads out"):
        WebVideos(web, "list.csv", **CLIP)


def test_a_link_cannot_lead_out_of_the_folder(web, put, tmp_path_factory, sample):
    outside = tmp_path_factory.mktemp("outside") / "x.mp4"
    outside.write_bytes(sample["mp4"])
    (web / "link.mp4").symlink_to(outside)
    put({"list.csv": "path\nlink.mp4\n"})
    with pytest.raises(UnreadableVideo, match="leads out"):
        WebVideos(web, "list.csv", on_error="raise", **CLIP)[0]


def test_a_table_of_another_kind_is_refused(web):
    with pytest.raises(ValueError, match=r"ends in \.csv or \.jsonl"):
        WebVideos(web, "list.txt", **CLIP)


def test_a_list_is_found_below_a_relative_folder(web, monkeypatch):
    monkeypatch.chdir(web.parent)
    assert len(WebVideos(web.name, "list.csv", "file", **CLIP)) == 2
    with pytest.raises(FileNotFoundError, match=r"which `table` names, is not in .*other\.csv"):
        WebVideos(web.name, "other.csv", **CLIP)


def test_scan_names_the_broken_of_a_list(web, sample):
    (web / "a/1.mp4").write_bytes(sample["mp4"][:300])
    report = WebVideos(web, "list.csv", "file", **CLIP).scan()
    assert report.readable == ["b/2.webm"] and list(report.unreadable) == ["a/1.mp4"]


def test_a_flip_mirrors_only_in_training(web):
    clips = WebVideos(web, "list.csv", "file", horizontal_flip=True, **CLIP)
    assert not clips.for_evaluation().horizontal_flip
    np.testing.assert_array_equal(clips.for_evaluation()[0]["video"], clips.for_evaluation().sample(0, 5)[0]["video"])
