"""The tables of the index.

All names begin with ``lite_``: the database may be one that pypicloud used, whose tables are not
ours to touch. Another version of the schema is dropped and built again from the storage.
"""

from __future__ import annotations

#: Raised with every change of the tables below.
SCHEMA_VERSION = 6

_STATE = """
CREATE TABLE lite_state (
    -- The only row.
    id INTEGER NOT NULL PRIMARY KEY,
    schema_version INTEGER NOT NULL,
    -- Grows with every change of any project; never reused, so that no page is ever mistaken.
    serial BIGINT NOT NULL,
    -- The storage that the index was completed for; empty while it never was.
    storage TEXT NOT NULL,
    -- When the last synchronization ended, in seconds since the epoch; 0 before the first.
    synced BIGINT NOT NULL,
    -- How many files were changed since the last snapshot was kept in the storage.
    unsaved BIGINT NOT NULL
)
"""

_PROJECTS = """
CREATE TABLE lite_projects (
    name VARCHAR(200) NOT NULL PRIMARY KEY,
    serial BIGINT NOT NULL,
    status VARCHAR(20) NOT NULL,
    status_reason TEXT NOT NULL
)
"""

_FILES = """
CREATE TABLE lite_files (
    filename VARCHAR(255) NOT NULL PRIMARY KEY,
    -- That of the index when this row was written.
    serial BIGINT NOT NULL,
    -- The name in lower case: spellings that some disks can't tell apart are one name.
    folded VARCHAR(255) NOT NULL,
    project VARCHAR(200) NOT NULL REFERENCES lite_projects (name),
    version VARCHAR(200) NOT NULL,
    key TEXT NOT NULL,
    size BIGINT NOT NULL,
    stamp TEXT NOT NULL,
    sha256 VARCHAR(64),
    md5 VARCHAR(32),
    blake2b_256 VARCHAR(64),
    requires_python TEXT,
    summary TEXT,
    core_metadata_sha256 VARCHAR(64),
    uploader TEXT,
    -- ISO 8601 in UTC: sorts as text, and keeps microseconds everywhere.
    upload_time VARCHAR(27) NOT NULL,
    yanked TEXT,
    provenance TEXT
)
"""

#: Files that were removed lately, so that a synchronization under way doesn't bring them back.
_TOMBSTONES = """
CREATE TABLE lite_tombstones (
    filename VARCHAR(255) NOT NULL PRIMARY KEY,
    serial BIGINT NOT NULL
)
"""

#: Those that refer to others come later.
TABLES = ("lite_state", "lite_projects", "lite_files", "lite_tombstones")
CREATE = (
    _STATE,
    _PROJECTS,
    _FILES,
    "CREATE INDEX ix_lite_files_folded ON lite_files (folded)",
    "CREATE INDEX ix_lite_files_project ON lite_files (project)",
    _TOMBSTONES,
    "CREATE INDEX ix_lite_tombstones_serial ON lite_tombstones (serial)",
)
DROP = tuple(f"DROP TABLE IF EXISTS {name}" for name in reversed(TABLES))
