import json

import pytest

from magvit_keras.data import UnreadableVideoWarning
from magvit_keras.data.files.tables import Skipped, iterate_json_array, read_csv, read_jsonl
from magvit_keras.data.readers.video_files import safe_path

pytestmark = pytest.mark.once


def test_columns_are_found_by_name_in_any_order(put):
    path = put({"a.csv": '\ufeffx, split ,label\r\n1,train,"a, b"\r\n\r\n'}) / "a.csv"
    assert read_csv(path, ["label", "split"], Skipped(path)) == [
        ("line 2", {"x": "1", "split": "train", "label": "a, b"})
    ]


def test_a_missing_column_names_those_that_are_there(put):
    path = put({"a.csv": "path,class\na,b\n"}) / "a.csv"
    with pytest.raises(ValueError, match=r"no column label; expected path, label, found path, class"):
        read_csv(path, ["path", "label"], Skipped(path))


def test_rows_with_other_numbers_of_cells_are_counted(put):
    path, skipped = put({"a.csv": "a,b\n1\n1,2\n1,2,3\n"}) / "a.csv", Skipped("a.csv")
    assert len(read_csv(path, ["a"], skipped)) == 1
    assert skipped.reasons == {"line 2": "1 cells; expected 2", "line 4": "3 cells; expected 2"}
    with pytest.warns(UnreadableVideoWarning, match=r"2 of 3 rows of a\.csv were skipped"):
        skipped.warn(1)


def test_on_error_raise_names_the_row(put):
    path = put({"a.csv": "a,b\n1\n"}) / "a.csv"
    with pytest.raises(ValueError, match=r"a\.csv, line 2: 1 cells"):
        read_csv(path, ["a"], Skipped(path, "raise"))


def test_lines_that_are_no_objects_are_counted(put):
    path, skipped = put({"a.jsonl": '{"a": 1}\n[1]\n{"a"\n\n{"b": 1}\n'}) / "a.jsonl", Skipped("a")
    assert read_jsonl(path, ["a"], skipped) == [("line 1", {"a": 1})]
    assert list(skipped.reasons) == ["line 2", "line 3", "line 5"]


def test_a_key_that_is_nowhere_is_an_error(put):
    path = put({"a.jsonl": '{"a": 1}\n{"b": 1}\n'}) / "a.jsonl"
    with pytest.raises(ValueError, match="no key c; expected c, found a, b"):
        read_jsonl(path, ["c"], Skipped(path))


def test_an_array_of_objects_is_read_piece_by_piece(put, monkeypatch):
    rows = [{"a": i, "text": "x,]" * i, "in": {"b": [i]}} for i in range(50)]
    path = put({"a.json": json.dumps(rows, indent=1)}) / "a.json"
    monkeypatch.setattr("magvit_keras.data.files.tables._CHUNK", 37)
    assert list(iterate_json_array(path)) == rows
    assert len(list(iterate_json_array(path, lambda row: row["a"] % 2))) == 25


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"a": 1}', "no JSON array"),
        ('[{"a": 1}, {"a"', "damaged after 1 objects"),
        ("[1]", "entry 0 is a int"),
        ('[{"a": "' + "x" * (3 << 20) + '"}]', "longer than"),
    ],
)
def test_a_damaged_array_is_refused(put, text, message):
    path = put({"a.json": text}) / "a.json"
    with pytest.raises(ValueError, match=message):
        list(iterate_json_array(path))


@pytest.mark.parametrize("text", ["../a", "a/../../b", "/etc/passwd", "C:\\x", "..\\x", "\\\\host\\x", "a\0b", ""])
def test_paths_that_lead_out_are_refused(text):
    with pytest.raises(ValueError, match="leads out of the data folder"):
        safe_path(text, "list.csv, line 3")
