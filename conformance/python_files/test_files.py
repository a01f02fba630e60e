"""Files by the stock SDK: uploaded, listed, read, deleted, and everything that is refused."""

import io
import time

import openai
import pytest
from conftest import URL, send


def test_a_file_is_uploaded_and_read_back(client, upload):
    text = "first line\nsecond line: ü\n"
    file = upload("notes.txt", text, purpose="user_data")
    assert file.object == "file" and file.id.startswith("file-")
    assert (file.bytes, file.filename, file.purpose) == (len(text.encode()), "notes.txt", "user_data")
    assert file.status == "processed" and abs(file.created_at - time.time()) < 60
    assert file.expires_at is None
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == text.encode()


@pytest.mark.parametrize("purpose", ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"])
def test_every_purpose(upload, purpose):
    assert upload("a.jsonl", "{}", purpose=purpose).purpose == purpose


def test_bytes_are_kept_as_they_are(client, upload):
    data = bytes(range(256)) * 5000 + b"\r\n--boundary--\r\n"
    file = upload("data.bin", data)
    assert file.bytes == len(data)
    assert client.files.content(file.id).read() == data


def test_content_is_streamed(client, upload):
    data = b"0123456789" * 200_000
    file = upload("long.bin", data)
    with client.files.with_streaming_response.content(file.id) as reply:
        assert b"".join(reply.iter_bytes()) == data


def test_names_with_other_letters(client, upload):
    file = upload("naïve \"quoted\" 名.txt", "x")
    assert client.files.retrieve(file.id).filename == "naïve \"quoted\" 名.txt"


def test_a_life_of_its_own(upload):
    file = upload(expires_after={"anchor": "created_at", "seconds": 3600})
    assert abs(file.expires_at - file.created_at - 3600) <= 1


def test_files_for_batches_live_thirty_days(upload):
    file = upload("requests.jsonl", "{}", purpose="batch")
    assert abs(file.expires_at - file.created_at - 30 * 86400) <= 1


def test_a_deleted_file_is_gone(client, upload):
    file = upload()
    gone = client.files.delete(file.id)
    assert gone.deleted and gone.id == file.id
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(file.id)
        assert file.id in caught.value.message


def test_lists_are_newest_first(client, upload):
    ids = []
    for number in range(3):
        ids.append(upload(f"{number}.txt").id)
        time.sleep(0.005)
    newest = [file.id for file in client.files.list(limit=3).data]
    assert newest == ids[::-1]


def test_lists_are_walked_page_by_page(client, upload):
    ids = set()
    for number in range(5):
        ids.add(upload(f"{number}.txt").id)
    walked = [file.id for file in client.files.list(limit=2, order="asc")]
    assert len(walked) == len(set(walked)) and ids <= set(walked)
    page = client.files.list(limit=2, order="asc")
    assert page.has_more and len(page.data) == 2


def test_lists_by_purpose(client, upload):
    wanted, other = upload(purpose="vision"), upload(purpose="evals")
    ids = {file.id for file in client.files.list(purpose="vision")}
    assert wanted.id in ids and other.id not in ids


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"order": "sideways"}, "order"),
        ({"purpose": "anything"}, "purpose"),
        ({"after": "file-unknown"}, "after"),
    ],
)
def test_a_list_that_cannot_be(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.list(**options)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"purpose": "anything"}, "purpose"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "created_at", "seconds": 31 * 86400}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "last_active_at", "seconds": 3600}}, "expires_after.anchor"),
        ({"text": ""}, "file"),
    ],
)
def test_an_upload_that_cannot_be(upload, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        upload(**options)
    assert caught.value.param == param


BOUNDARY = "b0undary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
PART = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, "{}"),
        ({"content-type": "multipart/form-data"}, PART),
        (FORM, ""),
        (FORM, "no form"),
        (FORM, PART),
        (FORM, PART + f"--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\""),
        (FORM, f"--{BOUNDARY}\r\nnothing: here\r\n\r\nx\r\n--{BOUNDARY}--"),
        (FORM, f"--{BOUNDARY}\r\nx: {'y' * 20_000}\r\n\r\nx\r\n--{BOUNDARY}--"),
    ],
)
def test_a_broken_form(headers, body):
    status, reply = send("POST", "/v1/files", body.encode(), headers=headers)
    assert status == 400 and reply["error"]["code"] == "invalid_multipart", reply


def test_a_file_that_is_too_large_is_refused_before_it_is_sent():
    size = str(1 << 40)
    status, reply = send("POST", "/v1/files", PART.encode(), headers={**FORM, "content-length": size, "expect": "x"})
    assert status in (400, 413), reply


def test_strangers_see_nothing(client, stranger, upload):
    file = upload("secret.txt", "ours")
    assert file.id not in {other.id for other in stranger.files.list()}
    unknown = "file-" + "0" * 24
    for ask in ("retrieve", "content", "delete"):
        words = []
        for file_id in (file.id, unknown):
            with pytest.raises(openai.NotFoundError) as caught:
                getattr(stranger.files, ask)(file_id)
            words.append(caught.value.message.replace(file_id, "?"))
        assert words[0] == words[1]
    assert client.files.content(file.id).read() == b"ours"
    theirs = stranger.files.create(file=("theirs.txt", io.BytesIO(b"theirs")), purpose="user_data")
    assert [other.id for other in stranger.files.list()] == [theirs.id]
    stranger.files.delete(theirs.id)


def test_the_async_client(upload):
    import asyncio

    async def run():
        async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=send.__defaults__[1], max_retries=0) as client:
            file = await client.files.create(file=("a.txt", b"async"), purpose="user_data")
            content = await client.files.content(file.id)
            seen = [other.id async for other in client.files.list(limit=1)]
            await client.files.delete(file.id)
            return file.id in seen, content.read()

    assert asyncio.run(run()) == (True, b"async")
