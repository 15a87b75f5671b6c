"""Folders of objects in cloud storage: gs://, s3:// and az://, by fsspec."""
