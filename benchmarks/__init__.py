"""What DSPEx costs beside a peer, measured: `make bench` writes docs/benchmarks.md."""
