//! Says where the comparisons of rollbook with its peers are; it holds no code of its own.
//!
//! `benches/README.md` tells how to run them, `benches/ingest.py` is the first, the peers' versions
//! are pinned in `benches/peers/requirements.txt`, and raw results are kept in `benches/runs/`.
