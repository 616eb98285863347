//! Features to scores: who will buy, who will leave, and why.
