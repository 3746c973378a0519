"""Stores behind URLs: the same contract, faults of a network, and no request too many."""

import functools
import os
import time
import warnings
import zipfile

import numpy as np
import pytest
from gcs_server import GcsServer
from http_faults import FaultyServer
from store_contract import D, StoreContract

from srmfast import run
from srmfast.engine import events
from srmfast.errors import InputError, MissingDependency, shown
from srmfast.stores import _remote, _retry, load_column, open_store

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")
pytest.importorskip("aiohttp")


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_retry, "FIRST_WAIT", 0.001)
        patch.setattr(_retry, "STALL_SECONDS", 0.5)
        _remote.of.cache_clear()
        yield
    _remote.of.cache_clear()


@pytest.fixture
def web(tmp_path):
    (tmp_path / "web").mkdir()
    server = FaultyServer(tmp_path / "web")
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3():
    """A bucket of a local S3 server."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_EC2_METADATA_DISABLED": "true",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        _remote.of.cache_clear()
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        yield Bucket(client)
    server.stop()


class Bucket:
    def __init__(self, client):
        self.client, self._folders = client, 0

    def put(self, path):
        """Upload a file or folder and give its URL, in a folder of its own."""
        self._folders += 1
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                key = f"{self._folders}/{file.relative_to(path.parent)}"
                self.client.put_object(Bucket="bucket", Key=key, Body=file.read_bytes())
        return f"s3://bucket/{self._folders}/{path.name}"


def write_zarr(path, array, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = zarr.create_array(path, shape=array.shape, dtype=array.dtype, **options)
    made[...] = array
    return path


def write_zip(path, folder, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def refused(match, act, *args, **options):
    with pytest.raises(InputError, match=match) as caught:
        act(*args, **options)
    assert "\n" not in str(caught.value)


FULL = {"config": {"write_empty_chunks": True}}


class S3Contract(StoreContract):
    dtypes = ("float32",)

    @pytest.fixture(autouse=True)
    def service(self, s3):
        self.s3 = s3

    def test_waiting_takes_no_core(self, store):
        assert store.remote
        assert store.readers == _remote.READERS


class TestZarr2S3(S3Contract):
    def make(self, folder, array):
        return self.s3.put(write_zarr(folder / "acts.zarr", array, chunks=(30, D), zarr_format=2, **FULL))


class TestShardedS3(S3Contract):
    def make(self, folder, array):
        return self.s3.put(write_zarr(folder / "acts.zarr", array, chunks=(10, D), shards=(40, D), **FULL))


class TestNpyMemory(StoreContract):
    dtypes = ("float32",)

    def make(self, folder, array):
        import fsspec

        np.save(folder / "acts.npy", array)
        fsspec.filesystem("memory").pipe_file(f"{folder}/acts.npy", (folder / "acts.npy").read_bytes())
        return f"memory://{folder}/acts.npy"


class HttpContract(StoreContract):
    dtypes = ("float32",)

    @pytest.fixture(autouse=True)
    def service(self, web):
        self.web = web

    def publish(self, path):
        """Move what was written under the served folder, each folder of a test to a place of its own."""
        place = self.web.folder / str(len(list(self.web.folder.iterdir())))
        place.mkdir()
        path.rename(place / path.name)
        return f"{self.web.url}/{place.name}/{path.name}"


class TestNpyHttp(HttpContract):
    dtypes = ("float16", "bfloat16", "float32")

    def make(self, folder, array):
        np.save(folder / "acts.npy", array)
        return self.publish(folder / "acts.npy") + "?signature=abc"


class TestNpyHttpWithoutEtag(TestNpyHttp):
    dtypes = ("float32",)

    def make(self, folder, array):
        self.web.etags = False
        return super().make(folder, array)


class TestNpzHttp(HttpContract):
    def make(self, folder, array):
        np.savez(folder / "acts.npz", acts=array, y=np.arange(3))
        return self.publish(folder / "acts.npz")


class TestHdf5Http(HttpContract):
    def make(self, folder, array):
        with h5py.File(folder / "acts.h5", "w") as file:
            file.create_dataset("layer/acts", data=array, chunks=(8, 4), compression="gzip")
        return self.publish(folder / "acts.h5")


class TestZipHttp(HttpContract):
    compression = zipfile.ZIP_STORED

    def make(self, folder, array):
        write_zarr(folder / "acts.zarr", array, chunks=(4, D), shards=(16, D), **FULL)
        return self.publish(write_zip(folder / "acts.zarr.zip", folder / "acts.zarr", self.compression))


class TestDeflatedZipHttp(TestZipHttp):
    compression = zipfile.ZIP_DEFLATED


class TestZarrHttp(HttpContract):
    options_of_array = {"chunks": (8, D)}

    def make(self, folder, array):
        return self.publish(write_zarr(folder / "acts.zarr", array, **self.options_of_array, **FULL))

    def test_descriptions_are_json_and_layout_is_quiet(self, store):
        (line,) = store.layout()
        assert "cannot be listed" in line and "--missing-chunks zeros" in line


class TestShardedHttp(TestZarrHttp):
    options_of_array = {"chunks": (4, D), "shards": (16, D)}


@pytest.fixture
def acts(rng):
    return rng.standard_normal((300, 4)).astype(np.float32)


def counts(store, **options):
    return run(store, epsilon=0.8, angles=36, threads=2, memory="256MiB", **options).counts


@pytest.mark.parametrize("fault", [500, 503, 429, "cut", "few", "drop", "stall"])
def test_faults_that_pass_change_no_count(web, acts, fault):
    np.save(web.folder / "a.npy", acts)
    with open_store(f"{web.url}/a.npy") as store:
        web.faults["a.npy"] = [fault, fault, "fine", fault]
        assert np.array_equal(counts(store), counts(acts))
        assert web.faults["a.npy"] == []


@pytest.mark.parametrize(
    "fault, happened",
    [
        (500, "the server answered 500"),
        (503, "the server answered 503"),
        (429, "the server answered 429"),
        ("cut", "the answer ended early"),
        ("few", r"the answer ended early \(2344 of 4688 bytes\)"),
        ("drop", "the connection failed"),
        ("stall", "nothing arrived for 0.5 s"),
    ],
)
def test_the_last_try_ends_in_one_line(web, acts, fault, happened):
    np.save(web.folder / "a.npy", acts)
    with open_store(f"{web.url}/a.npy") as store:
        web.asked.clear()
        web.always["a.npy"] = fault
        refused(
            f"{web.url}/a.npy cannot be read: {happened}.*; tried {_retry.TRIES} times; check the network .* run again",
            store.read, 0, 293,
        )  # fmt: skip
        # aiohttp by itself repeats a request whose kept connection turns out to be closed.
        assert web.asked["a.npy"] in (_retry.TRIES, *([2 * _retry.TRIES] if fault == "drop" else []))


@pytest.mark.parametrize(
    "fault, line",
    [
        (404, "a.npy does not exist .404.; check the path"),
        (403, "may not be read: access is denied .403.; give an address that needs no login, such as a signed one"),
        (401, "access is denied .401."),
        (400, "the server answered 400"),
        ("whole", "ignores byte ranges.*download it first"),
    ],
)
def test_what_no_second_try_helps_is_told_at_once(web, acts, fault, line):
    np.save(web.folder / "a.npy", acts)
    web.always["a.npy"] = fault
    refused(line, open_store, f"{web.url}/a.npy")
    assert web.asked["a.npy"] == 1


def test_a_server_that_is_not_there_is_one_line(web, monkeypatch):
    monkeypatch.setattr(_retry, "TRIES", 2)
    web.close()
    refused("the connection failed .*; tried 2 times", open_store, f"{web.url}/a.npy")


def test_a_torn_chunk_object_is_fetched_again(web, acts):
    write_zarr(web.folder / "a.zarr", acts, chunks=(50, 4))
    local = counts(acts)
    with open_store(f"{web.url}/a.zarr") as store:
        web.faults["a.zarr/c/3/0"] = [500, "cut", "drop"]
        assert np.array_equal(counts(store), local)
        web.always["a.zarr/c/3/0"] = 500
        refused("a.zarr/c/3/0 cannot be read: the server answered 500; tried 6 times", counts, store)


def test_a_chunk_that_http_does_not_have_is_found_when_it_is_read(web, acts):
    write_zarr(web.folder / "a.zarr", acts, chunks=(50, 4))
    (web.folder / "a.zarr" / "c" / "3" / "0").unlink()
    with open_store(f"{web.url}/a.zarr") as store:
        assert store.missing_rows() == []
        refused("every chunk must exist, but .*a.zarr/c/3/0 does not: lost, or never written .*zeros", counts, store)
        assert web.asked["a.zarr/c/3/0"] <= 3  # of the fingerprint, too: no second try
    lost = acts.copy()
    lost[150:200] = 0
    assert np.array_equal(counts(f"{web.url}/a.zarr", missing_chunks="zeros"), counts(lost))


def test_an_inner_chunk_that_http_does_not_have_is_found_when_it_is_read(web, acts):
    lost = acts.copy()
    lost[130:140] = 0
    write_zarr(
        web.folder / "a.zarr", lost, chunks=(10, 4), shards=(100, 4)
    )  # what equals the fill value is not written
    refused("but inner chunk 3/0 of c/1/0 in .*a.zarr does not: lost, or never .*zeros", counts, f"{web.url}/a.zarr")
    assert np.array_equal(counts(f"{web.url}/a.zarr", missing_chunks="zeros"), counts(lost))


@pytest.mark.parametrize("missing_chunks", ["error", "zeros"])
def test_a_torn_shard_is_an_error_behind_http_too(web, acts, missing_chunks):
    write_zarr(web.folder / "a.zarr", acts, chunks=(10, 4), shards=(100, 4))
    torn = web.folder / "a.zarr" / "c" / "1" / "0"
    torn.write_bytes(torn.read_bytes()[:-1])
    refused("c/1/0 in .*a.zarr is torn: .*write", counts, f"{web.url}/a.zarr", missing_chunks=missing_chunks)


def test_a_chunk_of_a_bucket_that_goes_is_an_error(s3, tmp_path, rng):
    path = write_zarr(tmp_path / "a.zarr", rng.random((1000, 4)), chunks=(10, 4))
    url = s3.put(path)
    with open_store(url) as store:
        before = store.fingerprint()
        s3.client.delete_object(Bucket="bucket", Key=f"{url.removeprefix('s3://bucket/')}/c/1/0")
        refused("c/1/0 in .* is gone: it was there when the store was opened", store.read, 0, 1000)
        refused("must stay the same while it is read, but its slices changed", store.check_unchanged, before)


def test_missing_chunks_of_a_bucket_are_known_beforehand(s3, tmp_path, acts):
    path = write_zarr(tmp_path / "a.zarr", acts, chunks=(10, 4), shards=(50, 4))
    (path / "c" / "3" / "0").unlink()
    url = s3.put(path)
    kept = np.r_[0:150, 200:300]
    refused(r"50 rows of .* lie in chunks that do not \(c/3/0\): lost, or never written", counts, url)
    assert np.array_equal(counts(url, missing_chunks="skip"), counts(acts[kept]))
    assert np.array_equal(counts(url, mask=np.isin(np.arange(300), kept)), counts(acts[kept]))


def test_opening_asks_for_no_chunk(web, s3, tmp_path, rng, monkeypatch):
    path = write_zarr(tmp_path / "a.zarr", rng.random((400, 4)), chunks=(4, 4))
    url = s3.put(path)
    asked = []

    async def fetch(self, url, start=None, stop=None):
        asked.append(url)
        return await original(self, url, start, stop)

    original = _remote.Remote.fetch
    monkeypatch.setattr(_remote.Remote, "fetch", fetch)
    monkeypatch.setattr(_remote.Remote, "stat", None)
    with open_store(url) as store:
        store.fingerprint(), store.missing_rows(), store.layout()
    assert {name.rpartition("/")[2] for name in asked} == {"zarr.json"} and len(asked) <= 3


def test_names_and_folders_of_a_bucket(s3, tmp_path, acts):
    (tmp_path / "run").mkdir()
    for number in (10, 9, 1, 2):
        np.save(tmp_path / "run" / f"shard-{number}.npy", np.full((2, 3), number))
    url = s3.put(tmp_path / "run")
    for spec in (url, f"{url}/", f"{url}/shard-*.npy"):
        with open_store(spec) as store:
            assert store.read(0, 8)[::2, 0].tolist() == [1, 2, 9, 10]
            assert store.describe()["parts"][0] == "shard-1.npy"
            assert store.fingerprint() == store.fingerprint() and store.missing_rows() == []
    np.save(tmp_path / "blob", acts)
    os.rename(tmp_path / "blob.npy", tmp_path / "blob")
    with open_store(s3.put(tmp_path / "blob")) as store:
        assert store.describe()["format"] == "npy"
    refused("nix.npy does not exist .404.; check the path", open_store, "s3://bucket/nix.npy")
    refused("s3://bucket/nix does not exist .404.", open_store, "s3://bucket/nix")
    refused("no store matches s3://bucket/nix/", open_store, "s3://bucket/nix/*.npy")
    refused("holds no Zarr array", open_store, "s3://bucket/nix.zarr")


def test_an_address_is_no_folder_of_parts(web):
    refused("names one file or one Zarr folder, not a folder of parts", open_store, f"{web.url}/run")


def test_groups_without_a_listing_need_consolidated_metadata(web, acts):
    group = zarr.open_group(web.folder / "a.zarr", mode="w", zarr_format=2)
    group["x"] = acts
    group["y"] = np.arange(300)
    refused("cannot be listed; name one as URL::KEY, or write consolidated metadata", open_store, f"{web.url}/a.zarr")
    with open_store(f"{web.url}/a.zarr::x") as store:
        assert store.shape == acts.shape
    zarr.consolidate_metadata(web.folder / "a.zarr")
    with open_store(f"{web.url}/a.zarr") as store:
        assert store.sibling("y").tolist() == list(range(300))


def test_labels_masks_and_bases_may_be_remote(s3, web, tmp_path, acts, rng):
    np.save(tmp_path / "x.npy", acts)
    labels = rng.integers(0, 3, 300)
    np.save(tmp_path / "labels.npy", labels)
    (web.folder / "labels.txt").write_text("\n".join(map(str, labels)))
    np.save(tmp_path / "basis.npy", np.eye(4))
    local = counts(acts, labels=labels)
    url = s3.put(tmp_path / "x.npy")
    assert np.array_equal(counts(url, labels=s3.put(tmp_path / "labels.npy")), local)
    assert np.array_equal(counts(url, labels=f"{web.url}/labels.txt"), local)
    assert np.array_equal(counts(url, basis=s3.put(tmp_path / "basis.npy"), labels=labels), local)
    assert load_column(f"{web.url}/labels.txt").tolist() == labels.tolist()


def test_credentials_have_lines_of_their_own(s3, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(_remote, "of", functools.cache(_remote.Remote))
    refused("without credentials .*set AWS_PROFILE or .*FSSPEC_S3_ANON=true", open_store, "s3://bucket/a.npy")


@pytest.mark.parametrize(
    "scheme, library, command",
    [("s3", "s3fs", r"'srmfast\[s3\]'"), ("gs", "gcsfs", r"'srmfast\[gcs\]'"), ("https", "aiohttp", r"'srmfast\[http\]'")],
)  # fmt: skip
def test_missing_libraries_are_named_with_the_command(monkeypatch, scheme, library, command):
    import sys

    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(_remote, "of", functools.cache(_remote.Remote))
    with pytest.raises(MissingDependency, match=f"reading {scheme}:// needs {library}: pip install {command}"):
        open_store(f"{scheme}://nowhere/a.npy")


def test_unknown_schemes_are_refused():
    refused("nix:// is of an unknown kind; known are s3://, gs://", open_store, "nix://a/b.npy")


def test_the_fingerprint_is_the_etag_where_there_is_one(web, acts):
    np.save(web.folder / "a.npy", acts)
    with open_store(f"{web.url}/a.npy") as store:
        first = store.fingerprint()
        os.utime(web.folder / "a.npy", (0, 0))
        assert store.fingerprint() == first
        changed = acts.copy()
        changed[150, 2] += 1
        np.save(web.folder / "a.npy", changed)
        assert store.fingerprint() != first


def test_small_chunks_of_a_remote_shard_are_fetched_together(web, rng):
    array = rng.random((4000, 4))
    write_zarr(web.folder / "a.zarr", array, chunks=(10, 4), shards=(2000, 4))
    with open_store(f"{web.url}/a.zarr") as store:
        web.asked.clear()
        assert np.array_equal(store.read(0, 4000), array)
        assert web.asked["a.zarr/c/0/0"] + web.asked["a.zarr/c/1/0"] <= 4  # index and one piece each


def test_a_remote_store_is_read_by_more_threads_than_there_are_cores(tmp_path):
    import fsspec

    from srmfast.engine.prepare import prepare
    from srmfast.engine.request import Request
    from srmfast.spec import Resources

    path = tmp_path / "a.npy"
    np.save(path, np.zeros((20_000, 512), np.float32))
    fsspec.filesystem("memory").pipe_file(str(path), path.read_bytes())

    def plan(store, memory):
        resources = Resources.resolve(2, memory, None)
        return prepare([("", store)], [("", "standard")], Request(keep="summary"), resources, compiles=False)[0].plan

    found = plan(f"memory://{path}", "256MiB")
    assert found.readers > 2 > plan(str(path), "256MiB").readers
    assert found.nbytes <= 256 << 20 and found.readers < found.slabs


def test_the_command_reads_a_bucket(s3, tmp_path, acts, srmfast_main):
    url = s3.put(write_zarr(tmp_path / "a.zarr", acts, chunks=(50, 4)))
    ended = srmfast_main(f"run {url} --epsilon 0.8 --angles 36 -o {tmp_path}/out.zarr --progress none")
    assert ended.rc == 0, ended.stderr
    import srmfast

    assert np.array_equal(srmfast.load(tmp_path / "out.zarr").counts, counts(acts))
    ended = srmfast_main(f"run s3://bucket/nix.npy -o {tmp_path}/b.zarr --progress none")
    assert ended.rc == 1 and ended.stderr.count("\n") == 1 and "does not exist (404)" in ended.stderr


def test_what_is_secret_in_an_address_is_used_and_never_told(web, acts, tmp_path, srmfast_main):
    np.save(web.folder / "a.npy", acts)
    np.save(web.folder / "labels.npy", np.arange(300) % 2)
    np.save(web.folder / "basis.npy", np.eye(4))
    write_zarr(web.folder / "a.zarr", acts, chunks=(50, 4), **FULL)
    with h5py.File(web.folder / "a.h5", "w") as file:
        file.create_dataset("acts", data=acts, chunks=(300, 1))
    at, signed = web.url.replace("://", "://bob:PASSWORD@"), "?X-Amz-Signature=SECRET/%2F"
    secret = ("PASSWORD", "SECRET", "bob")
    for name in ("a.npy", "a.zarr", "a.h5"):
        with open_store(f"{at}/{name}{signed}") as store:
            told = f"{store.name} {store.location} {store.describe()} {store.advice()} {store.layout()} {store!r}"
            assert store.name == "a" and not any(word in told for word in secret)
            assert np.array_equal(store.read(0, 300), acts)

    out, url = tmp_path / "out.zarr", f"{at}/a.npy{signed}"
    more = f"--labels {at}/labels.npy{signed} --basis {at}/basis.npy{signed} --epsilon 0.8 --angles 36 --progress none"
    ended = [
        srmfast_main(f"run {url} {more} -o {out}"),
        srmfast_main(f"run {url} {more} --shard 1/2 -o {tmp_path}/a.part"),
    ]
    assert [each.rc for each in ended] == [0, 0], ended
    with zipfile.ZipFile(tmp_path / "a.part") as part:
        files = [file.read_bytes() for file in out.rglob("*") if file.is_file()] + list(map(part.read, part.namelist()))
    kept = b"".join(files).decode("latin1")
    assert kept.count(f"{web.url}/a.npy") >= 4 and kept.count(f"{web.url}/labels.npy") >= 2
    ended.append(srmfast_main(f"inspect {url}"))
    for fault in (400, 403, 404, 500, "whole", "few"):
        web.always["a.npy"] = fault
        ended.append(srmfast_main(f"run {url} -o {tmp_path}/b.zarr"))
        assert ended[-1].rc == 1 and f"{web.url}/a.npy" in ended[-1].stderr
    told = kept + "".join(each.stdout + each.stderr for each in ended)
    assert not [word for word in secret if word in told]


@pytest.mark.parametrize(
    "text, told",
    [
        ("http://me:word@host", "http://host"),
        ("https://host/a b.zarr?x=1&signature=[s]::layer is gone", "https://host/a b.zarr::layer is gone"),
        ("(url='http://host/a?SIGNED'); again", "(url='http://host/a'); again"),
        ("<Answer(HTTP://host/a?x=s#f) [403]>", "<Answer(HTTP://host/a) [403]>"),
        ("ftp://me:w@rd@host/a?token=s", "ftp://host/a"),
        ("s3://bucket/layer=?/x@y/step=3/part-?.npy", "s3://bucket/layer=?/x@y/step=3/part-?.npy"),
        ("a.npy?x=1", "a.npy?x=1"),
    ],
)
def test_addresses_are_told_without_what_may_be_secret(text, told):
    assert shown(text) == told == str(InputError(text))


@pytest.mark.parametrize(
    "claimed, memory, refusal",
    [
        (100, 1 << 40, "c/0/0 in .*a.zip is not of the size it claims"),
        (3 << 30, 1 << 40, "c/0/0 in .*a.zip claims more than it can hold"),
        (8 << 20, 1 << 20, "c/0/0 in .*a.zip holds 8,388,608 bytes, more than the memory of this machine"),
    ],
)
def test_a_member_of_a_zip_is_unpacked_to_no_more_than_it_may_be(web, tmp_path, monkeypatch, claimed, memory, refusal):
    path = write_zarr(tmp_path / "a.zarr", np.zeros((1 << 18, 4)), chunks=(1 << 18, 4), compressors=None, **FULL)
    packed = write_zip(tmp_path / "a.zip", path, zipfile.ZIP_DEFLATED).read_bytes()
    entry = packed.index(b"c/0/0", packed.index(b"PK\x01\x02")) - 46  # in the directory at the end
    size = claimed.to_bytes(4, "little")
    (web.folder / "a.zip").write_bytes(packed[: entry + 24] + size + packed[entry + 28 :])
    monkeypatch.setattr("srmfast.stores._zarr_remote._memory", lambda: memory)
    with open_store(f"{web.url}/a.zip") as store:
        refused(refusal, store.read, 0, 10)


@pytest.mark.parametrize("name", ["a.npy", "a.zarr", "a.h5"])
def test_an_interrupt_waits_for_no_stalled_request(web, acts, monkeypatch, name):
    monkeypatch.setattr(_retry, "STALL_SECONDS", 60)
    monkeypatch.setattr(_remote, "of", functools.cache(_remote.Remote))
    np.save(web.folder / "a.npy", acts)
    write_zarr(web.folder / "a.zarr", acts, chunks=(50, 4))
    with h5py.File(web.folder / "a.h5", "w") as file:
        file.create_dataset("acts", data=acts, chunks=(300, 1))

    def watch(event):
        if isinstance(event, events.PassStarted):
            for path in ("a.npy", "a.h5", *(f"a.zarr/c/{i}/0" for i in range(6))):
                web.always[path] = "stall"
        if isinstance(event, events.KernelsReady):
            raise KeyboardInterrupt

    with open_store(f"{web.url}/{name}") as store:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            counts(store, on_event=watch)
        assert time.monotonic() - began < 10
        web.always.clear()
        assert store.read(0, 300).shape == (300, 4)  # the store can be read again


@pytest.fixture
def gcs(monkeypatch):
    """A bucket of a local Google Cloud Storage server."""
    pytest.importorskip("gcsfs")
    server = GcsServer()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    monkeypatch.setattr(_remote, "of", functools.cache(_remote.Remote))
    yield server
    server.close()


def test_google_cloud_storage_is_read_and_tried_again(gcs, tmp_path, acts):
    np.save(tmp_path / "a.npy", acts)
    gcs.objects["run/a.npy"] = (tmp_path / "a.npy").read_bytes()
    path = write_zarr(tmp_path / "a.zarr", acts, chunks=(25, 4), shards=(100, 4))
    for file in path.rglob("*"):
        if file.is_file() and "c/1/" not in str(file):
            gcs.objects[f"run/{file.relative_to(tmp_path)}"] = file.read_bytes()
    assert np.array_equal(counts("gs://bucket/run/*.npy"), counts(acts))
    kept = np.delete(acts, slice(100, 200), axis=0)
    assert np.array_equal(counts("gs://bucket/run/a.zarr", missing_chunks="skip"), counts(kept))
    with open_store("gs://bucket/run/a.npy") as store:
        gcs.failures += [503, 429, 500]
        assert np.array_equal(store.read(0, 300), acts)
        gcs.failures += [503] * _retry.TRIES
        gcs.asked = 0
        refused("gs://bucket/run/a.npy cannot be read: the server answered 503; tried 6 times", store.read, 0, 300)
        assert gcs.asked == _retry.TRIES
        gcs.failures += [403]
        refused("access is denied .403.; run: gcloud auth application-default login", store.read, 0, 300)
    refused("nix.npy does not exist .404.", open_store, "gs://bucket/run/nix.npy")


def test_formats_of_pyarrow_are_read_from_a_disk_only(web):
    refused(
        "of a format .parquet. that is read from a disk only; download it first", open_store, f"{web.url}/a.parquet"
    )


def test_tensors_of_other_tools_are_read_by_ranges(web, acts):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"x": acts}, web.folder / "a.safetensors")
    acts.tofile(web.folder / "a.bin")
    for name in ("a.safetensors", "a.bin::float32,-1x4"):
        with open_store(f"{web.url}/{name}") as store:
            assert store.remote and np.array_equal(store.read(7, 290), acts[7:290])
