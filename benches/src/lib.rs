//! Says where the comparisons of rollbook with its peers are; it holds no code of its own.
//!
//! `benches/README.md` tells how to run them; `ingest.py` and `serve.rs` are the first, the peers'
//! versions are pinned in `peers/requirements.txt`, and raw results are kept in `runs/`.
