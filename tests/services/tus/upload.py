"""Uploads a file with tuspy: upload.py ADDRESS FILE STORE CHUNK. TOKEN signs it in.

Prints `offset N` for every acknowledged offset, the first of them where it starts or resumes,
and `done URL` at the end. The store is what a second run resumes from.
"""
import os
import sys

from tusclient.client import TusClient
from tusclient.fingerprint import fingerprint
from tusclient.storage import filestorage

address, path, store, chunk = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("TOKEN")) else {}
uploader = TusClient(address, headers=headers).uploader(
    path,
    chunk_size=int(chunk),
    metadata={"filename": path.rsplit("/", 1)[-1], "filetype": "video/mp4"},
    store_url=True,
    url_storage=filestorage.FileStorage(store),
    fingerprinter=fingerprint.Fingerprint(),
    upload_checksum=True,
)
print("offset", uploader.offset, flush=True)
while uploader.offset < uploader.get_file_size():
    uploader.upload_chunk()
    print("offset", uploader.offset, flush=True)
print("done", uploader.url, flush=True)
