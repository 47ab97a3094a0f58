"""The tables of blobs, artifacts, and files of runs."""

from __future__ import annotations

#: The upgrade of format 7 uses them too: a later change must leave it a copy.
#
# A blob's bytes are in its row if it is small, and else in a file. `unused_since` is the time since
# which no file refers to it, in microseconds since 1970, 0 if it need not be kept any longer, and
# NULL if one does. `blob_removals` has the digests of files that may have to be removed.
ARTIFACT_TABLES = """
CREATE TABLE blobs (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL REFERENCES projects, digest TEXT NOT NULL,
  size INTEGER NOT NULL, unused_since INTEGER, data BLOB, UNIQUE (project, digest)
) STRICT;
CREATE INDEX blobs_by_digest ON blobs (digest);
CREATE INDEX blobs_by_disuse ON blobs (unused_since) WHERE unused_since IS NOT NULL;
CREATE TABLE blob_removals (digest TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE uploads (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, project INTEGER NOT NULL REFERENCES projects,
  digest TEXT NOT NULL, size INTEGER NOT NULL, part_size INTEGER NOT NULL, updated INTEGER NOT NULL,
  UNIQUE (project, digest)
) STRICT;
CREATE TABLE upload_parts (
  upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE, number INTEGER NOT NULL,
  PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE artifacts (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL REFERENCES projects, name TEXT NOT NULL,
  type TEXT NOT NULL, created INTEGER NOT NULL, next_version INTEGER NOT NULL,
  UNIQUE (project, name)
) STRICT;
CREATE TABLE artifact_versions (
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, artifact INTEGER NOT NULL REFERENCES artifacts,
  number INTEGER NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, file_count INTEGER NOT NULL,
  created INTEGER NOT NULL, run INTEGER REFERENCES runs, deleted INTEGER, description TEXT,
  metadata TEXT, UNIQUE (artifact, number)
) STRICT;
CREATE INDEX artifact_versions_by_digest ON artifact_versions (artifact, digest);
CREATE INDEX artifact_versions_by_run ON artifact_versions (run) WHERE run IS NOT NULL;
CREATE INDEX artifact_versions_by_deletion ON artifact_versions (deleted) WHERE deleted IS NOT NULL;
CREATE TABLE artifact_files (
  version INTEGER NOT NULL REFERENCES artifact_versions ON DELETE CASCADE, path TEXT NOT NULL,
  blob INTEGER REFERENCES blobs, digest TEXT, size INTEGER, executable INTEGER NOT NULL,
  reference TEXT, PRIMARY KEY (version, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_files_by_blob ON artifact_files (blob) WHERE blob IS NOT NULL;
CREATE TABLE artifact_aliases (
  artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE, alias TEXT NOT NULL,
  version INTEGER NOT NULL REFERENCES artifact_versions ON DELETE CASCADE,
  PRIMARY KEY (artifact, alias)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_aliases_by_version ON artifact_aliases (version);
CREATE TABLE artifact_uses (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  version INTEGER NOT NULL REFERENCES artifact_versions ON DELETE CASCADE, direction TEXT NOT NULL,
  time INTEGER NOT NULL, UNIQUE (run, version, direction)
) STRICT;
CREATE INDEX artifact_uses_by_version ON artifact_uses (version);
CREATE TABLE artifact_requests (
  project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE, idempotency_key TEXT NOT NULL,
  version INTEGER NOT NULL REFERENCES artifact_versions ON DELETE CASCADE,
  PRIMARY KEY (project, idempotency_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_requests_by_version ON artifact_requests (version);
CREATE TABLE run_files (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  path TEXT NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL,
  blob INTEGER NOT NULL REFERENCES blobs, content_type TEXT, timestamp INTEGER NOT NULL,
  idempotency_key TEXT, UNIQUE (run, path, step), UNIQUE (run, idempotency_key)
) STRICT;
CREATE INDEX run_files_by_blob ON run_files (blob);
"""
