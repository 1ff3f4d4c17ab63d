"""The parts of ``bench_peers.py``: one adapter a library (``with_*.py``), timing, comparison and the table."""
