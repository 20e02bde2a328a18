"""The tables of the index.

All names begin with ``lite_``: the database may be one that pypicloud used, whose tables are not
ours to touch. Another version of the schema is dropped and built again from the storage.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

#: Raised with every change of the tables below.
SCHEMA_VERSION = 6

metadata = MetaData()

#: One row: the state of the whole index.
state = Table(
    "lite_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer, nullable=False),
    #: Grows with every change of any project; never reused, so that no page is ever mistaken.
    Column("serial", BigInteger, nullable=False),
    #: The storage that the index was completed for; empty while it never was.
    Column("storage", Text, nullable=False),
    #: When the last synchronization ended, in seconds since the epoch; 0 before the first.
    Column("synced", BigInteger, nullable=False),
    #: How many files were changed since the last snapshot was kept in the storage.
    Column("unsaved", BigInteger, nullable=False),
)

projects = Table(
    "lite_projects",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("status", String(20), nullable=False),
    Column("status_reason", Text, nullable=False),
)

files = Table(
    "lite_files",
    metadata,
    Column("filename", String(255), primary_key=True),
    #: That of the index when this row was written.
    Column("serial", BigInteger, nullable=False),
    #: The name in lower case: spellings that some disks can't tell apart are one name.
    Column("folded", String(255), nullable=False, index=True),
    Column("project", String(200), ForeignKey("lite_projects.name"), nullable=False, index=True),
    Column("version", String(200), nullable=False),
    Column("key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stamp", Text, nullable=False),
    Column("sha256", String(64)),
    Column("md5", String(32)),
    Column("blake2b_256", String(64)),
    Column("requires_python", Text),
    Column("summary", Text),
    Column("core_metadata_sha256", String(64)),
    Column("uploader", Text),
    #: ISO 8601 in UTC: sorts as text, and keeps microseconds everywhere.
    Column("upload_time", String(27), nullable=False),
    Column("yanked", Text),
    Column("provenance", Text),
)

#: Files that were removed lately, so that a synchronization under way doesn't bring them back.
tombstones = Table(
    "lite_tombstones",
    metadata,
    Column("filename", String(255), primary_key=True),
    Column("serial", BigInteger, nullable=False, index=True),
)
