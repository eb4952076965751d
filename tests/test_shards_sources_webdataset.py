"""Tars of others become shards: WFDB, .npy, .npz, .mat and HDF5 members with JSON beside them."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.foreign.tar_files import open_tar
from shards.rejects import read_rejects
from shards.settings import ShardsSettings
from shards.sources.kinds import list_source

RATE = 100
SAMPLES = 6 * RATE


def signal(number: int) -> np.ndarray:
    """Return millivolts, (leads, samples), in steps of 5 uV."""
    return np.random.default_rng(number).integers(-300, 300, (12, SAMPLES)) / 200


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write members as WebDataset does; a path that ends in gz is compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(number: int) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, signal=signal(number))
    return buffer.getvalue()


def mat(number: int) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"ECG": {"data": signal(number), "sex": "Male"}})
    return buffer.getvalue()


def hdf5(number: int) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["tracings"] = signal(number)
    return buffer.getvalue()


def wfdb(number: int, name: str) -> dict[str, bytes]:
    digital = np.rint(signal(number) * 200).astype("<i2")
    lines = [f"{name} 12 {RATE} {SAMPLES}"]
    lines += [f"{name}.dat 16 200(0)/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    return {"hea": "\n".join([*lines, ""]).encode(), "dat": digital.T.tobytes()}


def about(number: int, **more: Any) -> bytes:
    fields = {"patient_id": f"p{number // 2}", "rhythm": ["AF", "PVC"][: number % 3], "age": 60}
    return json.dumps(fields | more).encode()


Build = Callable[..., tuple[dict[str, Any], Corpus]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return a function that builds the tars in a folder."""

    def run(**changes: Any) -> tuple[dict[str, Any], Corpus]:
        values = {
            "source": tmp_path / "tars",
            "output": tmp_path / "shards",
            "source_kind": "webdataset",
            "split": {"train": 1.0, "val": 0.0, "test": 0.0},
            "workers": 1,
        }
        summary = build_shards(ShardsSettings.model_validate(values | changes))
        return summary, Corpus(tmp_path / "shards")

    return run


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz"])
def test_members_of_each_format_become_the_same_recordings(
    ending: str, build: Build, tmp_path: Path
) -> None:
    stated = {"fs": RATE, "units": "mV"}
    members = {f"a/{0}.{k}": v for k, v in wfdb(0, "0").items()} | {"a/0.json": about(0)}
    members |= {"a/1.npy": npy(signal(1)), "a/1.json": about(1, **stated)}
    members |= {"a/2.npz": npz(2), "a/2.json": about(2, **stated)}
    members |= {"a/3.h5": hdf5(3), "a/3.json": about(3, **stated)}
    write_tar(tmp_path / f"tars/0.{ending}", members)
    summary, corpus = build()
    assert (summary["records"], summary["rejects"]) == (4, {})
    assert list(corpus.keys) == ["a_0", "a_1", "a_2", "a_3"]
    assert list(corpus.patients) == ["p0", "p0", "p1", "p1"]
    assert corpus.labels("rhythm") == [(), ("AF",), ("AF", "PVC"), ()]
    assert corpus.about("age") == ["60"] * 4
    for row in range(4):
        sample = corpus.sample(row)
        assert sample.record.leads == LEADS and sample.record.sampling_rate == RATE
        np.testing.assert_allclose(sample.record.signal_mv(), signal(row), atol=1e-6)
        assert sample.source == f"0.{ending}#{row}"


def test_a_matlab_member_is_read_as_the_file_is(build: Build, tmp_path: Path) -> None:
    write_tar(tmp_path / "tars/0.tar", {"0.mat": mat(0), "0.json": about(0)})
    _, corpus = build(min_duration_s=1)
    np.testing.assert_allclose(corpus.sample(0).record.signal_mv(), signal(0), atol=1e-6)


def test_fields_are_named_by_settings_and_leads_may_differ(build: Build, tmp_path: Path) -> None:
    facts = {"hz": 100.0, "names": "V1, II", "u": "uV", "who": 7, "shown": 3.5}
    few = {"x.npy": npy(1000 * signal(0)[:2]), "x.json": about(0, meta=facts)}
    write_tar(tmp_path / "tars/0.tar", few)
    fields = {"sampling_rate": "meta.hz", "leads": "meta.names", "unit": "meta.u"}
    _, corpus = build(
        fields=fields,
        patients="meta.who",
        label_columns=["rhythm"],
        about_columns=["meta.shown"],
    )
    record = corpus.sample(0).record
    assert record.leads == ("II", "V1") and list(corpus.patients) == ["7"]
    assert corpus.about("meta.shown") == ["3.5"]
    np.testing.assert_allclose(record.signal_mv(), signal(0)[[1, 0]], atol=1e-6)
    with pytest.raises(InputError, match=r"no field 'rate'.*fields.sampling_rate"):
        build(fields={"sampling_rate": "rate"})


def test_nothing_is_lost_in_silence(build: Build, tmp_path: Path) -> None:
    good = {"json": about(0, fs=RATE)}
    members = {
        "0.npy": npy(signal(0)), "0.json": good["json"], "0.jpg": b"a picture",
        "1.npy": b"no array", "1.json": good["json"],
        "2.json": good["json"],
        "3.npy": npy(signal(3)), "3.json": b"{",
        "4.npy": npy(signal(4)), "4.json": about(4, fs="fast"),
        "5.npy": npy(signal(5)), "5.h5": hdf5(5), "5.json": good["json"],
        "readme": b"no key", "0.NPY": npy(signal(9)),
    }  # fmt: skip
    whole = write_tar(tmp_path / "tars/whole.tar", members).read_bytes()
    (tmp_path / "tars/cut.tar").write_bytes(write_tar(tmp_path / "x.tar", {
        f"c{number}.{kind}": content
        for number in range(3)
        for kind, content in (("npy", npy(signal(20 + number))), ("json", good["json"]))
    }).read_bytes()[:100_000])  # fmt: skip
    (tmp_path / "tars/none.tar").write_bytes(b"no tar at all")
    (tmp_path / "tars/notes.txt").write_text("a word")
    summary, corpus = build()
    assert list(corpus.keys) == ["c0", "0"] and whole
    reasons = {reject.name: reject.reason for reject in read_rejects(tmp_path / "shards")}
    assert reasons == {
        "whole.tar#1": "no_signal",
        "whole.tar#2": "no_signal",
        "whole.tar#3": "unreadable_json",
        "whole.tar#4": "unreadable_sampling_rate",
        "whole.tar#5": "several_signals",
        "whole.tar/readme": "not_read",
        "whole.tar/0.NPY": "not_read",
        "cut.tar": "damaged_tar",
        "cut.tar#1": "unreadable_member",
        "none.tar": "damaged_tar",
        "notes.txt": "not_read",
    }
    assert "members of 3 tars: .npy 7, .json 7, .jpg 1, .h5 1" in summary["found"]
    assert not any(str(tmp_path) in reject.message for reject in read_rejects(tmp_path / "shards"))
    _, corpus = build(output=tmp_path / "shards2", fields={"signal": "npy"})


def test_one_of_several_signals_is_chosen_by_name(build: Build, tmp_path: Path) -> None:
    both = {"0.npy": npy(signal(0)), "0.h5": hdf5(1), "0.json": about(0, fs=RATE)}
    write_tar(tmp_path / "tars/0.tar", both)
    _, corpus = build(fields={"signal": "h5"})
    np.testing.assert_allclose(corpus.sample(0).record.signal_mv(), signal(1), atol=1e-6)


def test_equal_keys_of_two_tars_are_two_recordings(build: Build, tmp_path: Path) -> None:
    for number in range(2):
        members = {"0.npy": npy(signal(number)), "0.json": about(number, fs=RATE)}
        write_tar(tmp_path / f"tars/{number}.tar", members)
    _, corpus = build()
    assert list(corpus.keys) == ["0_tar_0", "1_tar_0"]


def test_tars_are_named_by_braces_and_missing_ones_are_told(build: Build, tmp_path: Path) -> None:
    for number in range(3):
        members = {f"{number}.npy": npy(signal(number)), f"{number}.json": about(number, fs=RATE)}
        write_tar(tmp_path / f"tars/train-{number:03d}.tar", members)
    summary, corpus = build(tars="train-{001..003}.tar")
    assert list(corpus.keys) == ["1", "2"]
    assert summary["rejects"] == {"missing_tar": 1}
    with pytest.raises(InputError, match="not below the source"):
        build(tars="../train-{000..001}.tar")


def test_a_table_goes_before_the_fields(build: Build, tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number in range(4):
        members |= {f"{number}.npy": npy(signal(number)), f"{number}.json": about(number, fs=RATE)}
    write_tar(tmp_path / "tars/0.tar", members)
    table = tmp_path / "labels.csv"
    table.write_text("record,patient_id,sinus\n" + "".join(f"{n},q{n},{n % 2}\n" for n in range(4)))
    _, corpus = build(table=table)
    assert list(corpus.patients) == ["q0", "q1", "q2", "q3"]
    assert corpus.label_sets() == ["label"]


def test_hashed_shards_hold_nothing_of_the_fields_but_labels(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMAE_ID_KEY", "k" * 20)
    name = {"patient_name": "Zuse Example", "birthday": "1815-12-10"}
    members = {"zuse.npy": npy(signal(0)), "zuse.json": about(0, fs=RATE, **name)}
    write_tar(tmp_path / "tars/zuse.tar", members)
    build(hash_ids=True, label_columns=["rhythm"])
    for path in (tmp_path / "shards").iterdir():
        content = path.read_bytes()
        assert b"Zuse" not in content and b"zuse" not in content and b"1815" not in content


def test_links_and_devices_in_a_tar_are_never_read(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"{kind!r}.npy")
            info.type, info.linkname = kind, "../../secret"
            tar.addfile(info)
    assert open_tar(path).samples == []


def test_what_expands_without_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tars" / "0.tar.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(bytes(2**24)))
    values = {"source": path.parent, "source_kind": "webdataset", "output": tmp_path / "shards"}
    with pytest.raises(InputError, match="expands to more than 200 times"):
        list_source(ShardsSettings.model_validate(values))


def test_any_byte_of_a_tar_may_be_wrong(tmp_path: Path) -> None:
    members = {"0.npy": npy(signal(0)[:, :20]), "0.json": about(0, fs=RATE)}
    whole = write_tar(tmp_path / "whole.tar", members).read_bytes()
    random = np.random.default_rng(0)
    (tmp_path / "tars").mkdir()
    for _ in range(100):
        content = bytearray(whole)
        for place in random.integers(0, 4096, 3):
            content[place] = int(random.integers(256))
        path = tmp_path / "tars" / "0.tar"
        path.write_bytes(content[: int(random.integers(1, len(content)))])
        values = {"source": path.parent, "source_kind": "webdataset", "output": tmp_path / "shards"}
        settings = ShardsSettings.model_validate(values)
        try:
            list_source(settings)
        except InputError as error:
            assert "0.tar" in str(error) or "no recording" in str(error)
