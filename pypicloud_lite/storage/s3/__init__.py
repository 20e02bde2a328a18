"""Distribution files in an S3 bucket, with pypicloud's keys and object metadata."""

from pypicloud_lite.storage.s3.backend import S3Storage

__all__ = ["S3Storage"]
