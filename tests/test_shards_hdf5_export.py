"""Shards as one HDF5 file and back: the very same bytes, and a file that h5py alone can use."""

import hashlib
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING, Record
from lamae.errors import InputError
from lamae.readers.arrays.hdf5_files import read_hdf5
from lamae.storage.corpus import Corpus
from lamae.storage.samples import Sample
from shards.build.run import build_shards
from shards.entries import BUILDING
from shards.hdf5 import import_file as import_hdf5
from shards.hdf5.export import export_shards
from shards.hdf5.import_file import import_shards
from shards.hdf5.settings import ExportSettings, ImportSettings
from shards.settings import ShardsSettings

PROGRAM = Path(__file__).resolve().parents[1] / "shards" / "main.py"


def write_record(folder: Path, name: str, signal: np.ndarray, leads: tuple[str, ...]) -> None:
    lines = [f"{name} {len(leads)} {100 + len(leads)} {signal.shape[1]}"]
    lines += [
        f"{name}.dat 16 {200 + row}.5({row})/mV 16 0 0 {sum(x) % 65536} 0 {lead}"
        for row, (x, lead) in enumerate(zip(signal.tolist(), leads, strict=True))
    ]
    (folder / f"{name}.hea").write_text("\n".join([*lines, f"# comment µ of {name}", "#"]))
    (folder / f"{name}.dat").write_bytes(signal.T.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings that differ in leads, lengths, rates, gains, labels and missing samples."""
    folder = tmp_path_factory.mktemp("export") / "source"
    folder.mkdir()
    rows = ["filename,patient_id,strat_fold,zeta,alpha"]
    for number in range(10):
        leads = LEADS if number % 3 else ("V6", "II", "aVF")
        draws = np.random.default_rng(number)
        signal = draws.integers(-900, 900, (len(leads), 600 + 7 * number)).astype(np.int16)
        if number % 2:
            signal[1, 100:120] = MISSING
        write_record(folder, f"r{number}", signal, leads)
        if number != 4:  # unlabelled
            classes = ("none", "AF;é", "SR")[number % 3]
            rows.append(f"r{number},p{number // 2},{number // 2},{classes},x")
    (folder / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def build(source: Path, output: Path, **changes: Any) -> Path:
    values = {
        "source": source,
        "output": output,
        "table": source / "labels.csv",
        "workers": 1,
        "min_matched": 0,
        "negative": ("none",),
    }
    values |= {"split": {"train": 0.6, "val": 0.4, "test": 0.0}, "shard_records": 3}
    values["quality"] = {"detectors": []} if changes.pop("bare", False) else {}
    build_shards(ShardsSettings.model_validate(values | changes))
    return output


@pytest.fixture(scope="module")
def shards(source: Path) -> Path:
    return build(source, source.parent / "shards")


@pytest.fixture(scope="module")
def exported(shards: Path) -> Path:
    path = shards.parent / "all.h5"
    export_shards(ExportSettings(data=shards, output=path))
    return path


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "summary.json"
    }


def differing(one: Sample, other: Sample) -> list[str]:
    """Return the fields of two samples that differ, those of their records as well."""
    found = [f.name for f in fields(Sample) if f.name != "record"]
    found = [name for name in found if getattr(one, name) != getattr(other, name)]
    ours, theirs = one.record, other.record
    for name in (f.name for f in fields(Record)):
        same = np.array_equal if name == "digital" else lambda a, b: a == b
        if not same(getattr(ours, name), getattr(theirs, name)):
            found.append(name)
    return found


@pytest.mark.parametrize("codec", ["ecg", "npy"])
def test_the_way_back_gives_the_very_same_bytes(source: Path, tmp_path: Path, codec: str) -> None:
    shards = build(source, tmp_path / "shards", codec=codec)
    export_shards(ExportSettings(data=shards, output=tmp_path / "all.h5"))
    values = {"source": tmp_path / "all.h5", "output": tmp_path / "back", "workers": 1}
    summary = import_shards(ImportSettings.model_validate(values))
    assert digests(tmp_path / "back") == digests(shards)
    assert summary["records"] == len(Corpus(shards)) == len(Corpus(tmp_path / "back"))


def test_every_field_of_every_sample_is_equal(exported: Path, shards: Path, tmp_path: Path) -> None:
    import_shards(ImportSettings(source=exported, output=tmp_path / "back", workers=2))
    before, after = Corpus(shards), Corpus(tmp_path / "back")
    samples = [(before.sample(row), after.sample(row)) for row in range(len(before))]
    assert len(samples) == 10
    assert [differing(*pair) for pair in samples] == [[]] * 10
    labels = {sample.key: sample.labels for sample, _ in samples}
    assert labels["r4"] == {"zeta": None, "alpha": None}
    assert labels["r0"] == {"zeta": (), "alpha": ("x",)}
    assert any(sample.flags for sample, _ in samples) and any(sample.notes for sample, _ in samples)
    assert differing(samples[0][0], replace(samples[0][0], notes=("other",))) == ["notes"]


def test_h5py_alone_reads_signals_in_millivolts(exported: Path, shards: Path) -> None:
    corpus = Corpus(shards)
    with h5py.File(exported, locking=False) as file:
        signals = file["signals"]
        assert signals.dtype == np.int16 and signals.shape == (10, 12, 663)
        assert signals.chunks == (1, 12, 663)
        assert signals.compression == "gzip" and signals.shuffle and signals.fillvalue == MISSING
        assert tuple(signals.attrs["leads"]) == LEADS
        for row in range(len(corpus)):
            sample = corpus.sample(row)
            gain, baseline = file["gain"][row][:, None], file["baseline"][row][:, None]
            digital = signals[row]
            millivolts = np.where(digital == MISSING, np.nan, (digital - baseline) / gain)
            places = [LEADS.index(lead) for lead in sample.record.leads]
            length = file["samples"][row]
            expected = sample.record.signal_mv()
            np.testing.assert_allclose(millivolts[places, :length], expected, rtol=1e-6)
            assert np.isnan(np.delete(millivolts, places, axis=0)).all()
            assert (digital[:, length:] == MISSING).all()
            assert file["sampling_rate"][row] == sample.record.sampling_rate
            texts = {name: file[name].asstr()[row] for name in ("key", "patient_id", "split")}
            assert texts == {name: getattr(sample, name) for name in texts}
            about = json.loads(file["metadata"].asstr()[row])
            assert about["comments"] == list(sample.record.comments)


def test_equal_shards_are_exported_to_equal_bytes(
    exported: Path, shards: Path, tmp_path: Path
) -> None:
    export_shards(ExportSettings(data=shards, output=tmp_path / "again.h5"))
    assert (tmp_path / "again.h5").read_bytes() == exported.read_bytes()


def test_an_interrupted_export_leaves_no_file_and_an_existing_one_is_kept(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ExportSettings(data=shards, output=tmp_path / "all.h5")
    sample = Corpus.sample

    def interrupted(self: Corpus, row: int) -> Sample:
        if row == 7:
            raise KeyboardInterrupt
        return sample(self, row)

    monkeypatch.setattr(Corpus, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_shards(settings)
    assert not list(tmp_path.iterdir())
    settings.output.write_bytes(b"mine")
    with pytest.raises(InputError, match="it exists"):
        export_shards(settings)
    assert settings.output.read_bytes() == b"mine"


def test_an_interrupted_import_goes_on_to_the_same_bytes(
    exported: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ImportSettings(source=exported, output=tmp_path / "back", workers=1)
    read, left, numbers = read_hdf5, 5, list[int]()

    def interrupted(*arguments: Any, item: int, name: str) -> Any:
        numbers.append(item)
        if len(numbers) > left:
            raise KeyboardInterrupt
        return read(*arguments, item=item, name=name)

    monkeypatch.setattr(import_hdf5, "read_hdf5", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_shards(settings)
    assert list((settings.output / BUILDING).glob("*.tar"))
    with pytest.raises(InputError, match="finished"):
        Corpus(settings.output)
    left = 100
    numbers.clear()
    import_shards(settings)
    assert numbers[0] == 3 and digests(settings.output) == digests(shards)
    numbers.clear()
    assert import_shards(settings)["records"] == 10 and not numbers


def test_what_others_have_in_the_output_is_left_alone(
    exported: Path, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").write_text("mine")
    with pytest.raises(InputError, match=r"such as thesis.docx"):
        import_shards(ImportSettings(source=exported, output=tmp_path / "mine", workers=1))
    other = build(source, tmp_path / "other", shard_records=4)
    with pytest.raises(InputError, match="another corpus is in it"):
        import_shards(ImportSettings(source=exported, output=other, workers=1))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.docx"]


def test_one_long_recording_among_short_ones_is_refused_before_any_is_written(
    source: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    draws = np.random.default_rng(0)
    for number in range(150):
        length = 120_000 if number == 0 else 510
        signal = draws.integers(-90, 90, (1, length)).astype(np.int16)
        write_record(mixed, f"r{number}", signal, ("II",))
    (mixed / "labels.csv").write_text("filename,patient_id\nr0,p0\nr1,p1\n")
    shards = build(mixed, tmp_path / "shards", shard_records=100)
    with pytest.raises(InputError, match="short and of long recordings"):
        export_shards(ExportSettings(data=shards, output=tmp_path / "all.h5"))
    assert not (tmp_path / "all.h5").exists()


def test_a_long_text_in_one_recording_does_not_make_the_file_look_like_a_bomb(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for number in range(60):
        signal = draws.integers(-900, 900, (1, 510)).astype(np.int16)
        write_record(folder, f"r{number}", signal, ("II",))
    with (folder / "r7.hea").open("a") as header:
        header.write("\n# " + "long " * 20_000)
    (folder / "labels.csv").write_text("filename,patient_id\nr0,p0\n")
    shards = build(folder, tmp_path / "shards")
    export_shards(ExportSettings(data=shards, output=tmp_path / "all.h5"))
    import_shards(ImportSettings(source=tmp_path / "all.h5", output=tmp_path / "back", workers=1))
    assert digests(tmp_path / "back") == digests(shards)


def test_the_program_exports_and_imports(shards: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, str(PROGRAM), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "records: 10" in run("export", f"data={shards}", "output=all.h5")
    assert "wrote 10 records" in run("import", "source=all.h5", "output=back", "workers=1")
    assert digests(tmp_path / "back") == digests(shards)


def test_real_recordings_come_back_as_they_were(shared_data: Path, tmp_path: Path) -> None:
    values = {
        "source": shared_data / "challenge2021",
        "output": tmp_path / "shards",
        "source_kind": "challenge",
        "workers": 1,
    }
    shards = ShardsSettings.model_validate(values)
    built = build_shards(shards)
    assert built["records"] > 50
    export_shards(ExportSettings(data=shards.output, output=tmp_path / "all.h5"))
    import_shards(ImportSettings(source=tmp_path / "all.h5", output=tmp_path / "back", workers=1))
    assert digests(tmp_path / "back") == digests(shards.output)
