import random
import zlib
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from lamae.ecg.leads import LEADS
from lamae.ecg.record import Record
from lamae.errors import RecordError
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.arrays.hdf5_files import REASONS, read_hdf5, recording_names

LAYOUT = ArrayLayout(sampling_rate=400, dataset="ecg/tracings", ids="ids")
INTEGERS = np.random.default_rng(0).integers(-2000, 2000, (3, 12, 80)).astype(np.int16)
MILLIVOLTS = (INTEGERS / 1000).astype(np.float32)


def write(path: Path, values: np.ndarray = MILLIVOLTS, **options: object) -> Path:
    """Write values to ecg/tracings, with ids."""
    with h5py.File(path, "w") as file:
        file.create_group("ecg").create_dataset("tracings", data=values, **options)
        file["ids"] = np.arange(len(values)) + 70
    return path


def changed(**changes: object) -> ArrayLayout:
    return ArrayLayout.model_validate(LAYOUT.model_dump() | changes)


def read(path: Path, item: int | None = 1, layout: ArrayLayout = LAYOUT) -> Record:
    return read_hdf5(path, layout, item=item, name="r").record


def reason_of(path: Path, item: int | None = 1, layout: ArrayLayout = LAYOUT) -> str:
    with pytest.raises(RecordError, match="recording ") as caught:
        read(path, item, layout)
    assert caught.value.reason in REASONS
    return caught.value.reason


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (2, 5, 30)},
        {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": (1, 12, 80)},
        {"compression": "gzip", "chunks": (2, 5, 30)},
        {"fletcher32": True, "shuffle": True, "chunks": (3, 4, 80)},
    ],
)
@pytest.mark.parametrize("by_lead", [True, False])
def test_each_recording_is_read_as_it_was_written(
    tmp_path: Path, options: dict[str, object], by_lead: bool
) -> None:
    values = MILLIVOLTS if by_lead else MILLIVOLTS.transpose(0, 2, 1)
    if not by_lead and "chunks" in options:
        options = options | {"chunks": (1, 40, 12)}
    path = write(tmp_path / "a.h5", values, **options)
    for item in range(3):
        record = read(path, item)
        assert np.array_equal(record.digital, INTEGERS[item])
        assert (record.leads, record.sampling_rate, record.gain) == (LEADS, 400, (1000.0,) * 12)


def test_integers_with_a_gain_stay_as_they_are(tmp_path: Path) -> None:
    record = read(write(tmp_path / "a.h5", INTEGERS), 2, changed(gain=200))
    assert np.array_equal(record.digital, INTEGERS[2]) and record.gain == (200.0,) * 12


def test_a_file_of_one_recording_is_read_whole_and_named_for_its_checksum(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", MILLIVOLTS[0])
    reading = read_hdf5(path, LAYOUT, item=None, name="r")
    assert np.array_equal(reading.record.digital, INTEGERS[0]) and reading.files == (path,)
    assert reason_of(path, 0) == "no_such_recording"
    assert reason_of(write(tmp_path / "b.h5"), None) == "wrong_shape"


@pytest.mark.parametrize(
    ("ids", "names"),
    [([5, 0, 7], ["5", "0", "7"]), ([b"a", b"b", b" c"], ["a", "b", "c"]), (None, ["0", "1", "2"])],
)
def test_recordings_are_named_by_their_ids_or_numbered(
    tmp_path: Path, ids: list[object] | None, names: list[str]
) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["ids"]
        file["ids"] = np.array(ids if ids else [0])
    assert recording_names(path, LAYOUT if ids else changed(ids=None)) == names


def test_ids_of_another_number_or_type_are_refused(tmp_path: Path) -> None:
    for ids, reason in (([1, 2], "wrong_shape"), ([1j, 2j, 3j], "unsupported_type")):
        path = write(tmp_path / f"{reason}.h5")
        with h5py.File(path, "a") as file:
            del file["ids"]
            file["ids"] = ids
        with pytest.raises(RecordError) as caught:
            recording_names(path, LAYOUT)
        assert caught.value.reason == reason


def test_ids_may_be_texts_of_any_length_but_not_without_a_bound(tmp_path: Path) -> None:
    def named(name: str, ids: list[str]) -> list[str]:
        path = write(tmp_path / name)
        with h5py.File(path, "a") as file:
            del file["ids"]
            file.create_dataset("ids", data=ids, dtype=h5py.string_dtype())
        return recording_names(path, LAYOUT)

    assert named("a.h5", ["a", "b\u00f6", " c "]) == ["a", "b\u00f6", "c"]
    with pytest.raises(RecordError, match="bytes of ids"):
        named("b.h5", ["a", "b" * 2**23, "c" * 2**23 + "c"])


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    first = read(write(tmp_path / "a.h5"))
    write(tmp_path / "b.h5", MILLIVOLTS[::-1] * 2).replace(tmp_path / "a.h5")
    assert not np.array_equal(read(tmp_path / "a.h5").signal_mv(), first.signal_mv())


def test_what_is_not_there_is_refused_by_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    assert [reason_of(path, item) for item in (-1, 3)] == ["no_such_recording"] * 2
    assert reason_of(tmp_path / "b.h5") == "missing_file"
    assert reason_of(tmp_path) == "missing_file"
    for place in ("ecg", "ecg/none", "ecg/tracings/x", "", "/", ".."):
        assert reason_of(path, layout=changed(dataset=place)) == "no_such_dataset"
    (tmp_path / "c.h5").write_text("no HDF5")
    assert reason_of(tmp_path / "c.h5") == "unreadable_file"
    assert reason_of(write(tmp_path / "d.h5", MILLIVOLTS[:, :3])) == "wrong_shape"
    assert reason_of(write(tmp_path / "e.h5", MILLIVOLTS.astype("S4"))) == "unsupported_type"


def test_no_link_and_no_storage_leads_out_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "other.h5")
    MILLIVOLTS.tofile(tmp_path / "raw.bin")
    layout = h5py.VirtualLayout(MILLIVOLTS.shape, "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "ecg/tracings", MILLIVOLTS.shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["own"] = MILLIVOLTS
        file["soft"] = h5py.SoftLink("/own")
        file["external"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/ecg/tracings")
        file["group"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/ecg")
        file.create_virtual_dataset("virtual", layout)
        size = MILLIVOLTS.nbytes
        raw = [(str(tmp_path / "raw.bin"), 0, size)]
        file.create_dataset("raw", shape=MILLIVOLTS.shape, dtype="f4", external=raw)
    assert np.array_equal(
        read(tmp_path / "a.h5", layout=changed(dataset="own")).digital, INTEGERS[1]
    )
    for place in ("soft", "external", "group/tracings", "virtual", "raw"):
        assert (
            reason_of(tmp_path / "a.h5", layout=changed(dataset=place)) == "leads_out_of_the_file"
        )


def test_a_small_file_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    for name, chunks in (("contiguous", None), ("chunked", (1, 12, 5000))):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("big", shape=(2**24, 12, 5000), dtype="f4", chunks=chunks)
        assert path.stat().st_size < 5000
        assert reason_of(path, layout=changed(dataset="big")) == "claims_more_than_it_stores"


def test_a_chunk_that_inflates_to_more_or_less_than_its_size_is_refused(tmp_path: Path) -> None:
    size, noise = MILLIVOLTS.nbytes, MILLIVOLTS.tobytes()[:400]
    for unpacked in (size, size - 1, size + 1, len(noise), 2**23):
        path = write(tmp_path / f"{unpacked}.h5", chunks=MILLIVOLTS.shape, compression="gzip")
        with h5py.File(path, "a") as file:
            packed = zlib.compress(noise + bytes(unpacked - len(noise)), 9)
            file["ecg/tracings"].id.write_direct_chunk((0, 0, 0), packed)
        if unpacked == size:
            assert np.array_equal(read(path, 0).digital.ravel()[:100], INTEGERS.ravel()[:100])
        else:
            assert reason_of(path) == "claims_more_than_it_stores"


def test_a_chunk_too_short_for_its_checksum_is_refused(tmp_path: Path) -> None:
    for compression in (None, "gzip"):
        path = tmp_path / f"{compression}.h5"
        write(path, chunks=MILLIVOLTS.shape, fletcher32=True, compression=compression)
        with h5py.File(path, "a") as file:
            file["ecg/tracings"].id.write_direct_chunk((0, 0, 0), b"abc")
        assert reason_of(path) in ("claims_more_than_it_stores", "unreadable_file")


def test_chunks_that_gzip_left_as_they_were_and_those_never_written_are_read(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.h5", chunks=(1, 12, 80), compression="gzip")
    with h5py.File(path, "a") as file:
        dataset = file["ecg/tracings"]
        dataset.id.write_direct_chunk((1, 0, 0), MILLIVOLTS[1].tobytes(), filter_mask=1)
        options = {"shape": (3, 12, 80), "chunks": (1, 12, 80), "dtype": "f4", "fillvalue": 0.5}
        file.create_dataset("part", compression="gzip", **options)[1] = MILLIVOLTS[1]
    assert np.array_equal(read(path).digital, INTEGERS[1])
    assert np.array_equal(read(path, layout=changed(dataset="part")).digital, INTEGERS[1])
    assert (read(path, 2, changed(dataset="part")).signal_mv() == 0.5).all()


@pytest.mark.parametrize("options", [{"scaleoffset": 0}, {"compression": "lzf"}])
def test_compression_that_bounds_nothing_is_refused_by_name(
    tmp_path: Path, options: dict[str, object]
) -> None:
    path = write(tmp_path / "a.h5", INTEGERS.astype(np.int32), **options)
    with pytest.raises(RecordError, match=r"(scaleoffset|lzf).*gzip") as caught:
        read(path)
    assert caught.value.reason == "unsupported_compression"


def test_real_recordings_of_code15_return_from_their_zero_padded_file(
    shared_data: Path, tmp_path: Path
) -> None:
    files = sorted((shared_data / "code15_ecgfm/org").glob("*.mat"))
    signals = [scipy.io.loadmat(file)["feats"] for file in files]
    tracings = np.zeros((len(files) + 1, 4096, 12), np.float32)
    for row, signal in zip(tracings, signals, strict=False):
        start = (4096 - signal.shape[1]) // 2
        row[start : start + signal.shape[1]] = signal.T
    path = write(tmp_path / "a.hdf5", tracings)
    layout = changed(zero_padded=True)
    for item, signal in enumerate(signals):
        returned = read(path, item, layout).signal_mv()
        assert returned.shape == signal.shape and np.abs(returned - signal).max() < 0.0003
    assert reason_of(path, len(files), layout) == "no_samples"


def test_damaged_files_give_a_reading_or_a_reason(tmp_path: Path) -> None:
    draw, outcomes = random.Random(0), Counter[str]()
    write(tmp_path / "a.h5", chunks=(1, 12, 40), compression="gzip")
    write(tmp_path / "b.h5")
    for name in ("a.h5", "b.h5"):
        whole = (tmp_path / name).read_bytes()
        for number in range(150):
            content = bytearray(whole)
            for _ in range(draw.choice((1, 4, 32))):
                content[draw.randrange(len(content))] = draw.choice(
                    (0, 1, 255, draw.randrange(256))
                )
            if draw.random() < 0.2:
                del content[draw.randrange(len(content)) :]
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(content)
            try:
                read(path, int(draw.choice(recording_names(path, changed(ids=None)))))
            except RecordError as error:
                assert error.reason in REASONS
                outcomes[error.reason] += 1
            else:
                outcomes["read"] += 1
    assert outcomes["read"] > 50 and outcomes["unreadable_file"] > 50
