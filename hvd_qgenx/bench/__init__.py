"""Benchmarks of the codecs and the exchanges on this machine; see ``hvd-qgenx bench``."""
