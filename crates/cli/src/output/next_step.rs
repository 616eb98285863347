//! Hints: the next step after an error, as a command.

use rollbook_app::NextStep;
use rollbook_server::{ServeError, TlsError};

/// The next step as a command.
pub(crate) fn as_command(step: &NextStep) -> String {
    let text = match step {
        NextStep::Words(words) => words,
        NextStep::MakeLake => "`rollbook ingest` creates one; --lake and --tenant choose another",
        NextStep::Again => "run the command again",
        NextStep::ListSnapshots | NextStep::ListBatches => "`rollbook snapshots` lists them",
        NextStep::KeepSnapshots => {
            "`rollbook snapshots` lists the existing ones, `rollbook snapshot keep` keeps one for good, the setting `snapshot_days` says how long others are kept"
        }
        NextStep::ListSnapshotNames => "`rollbook snapshot list` shows the names",
        NextStep::ListSegments => "`rollbook segment list` shows them all",
        NextStep::Refresh(segment) => return format!("run `rollbook segment refresh {segment}`"),
        NextStep::ListTables => "`rollbook tables` lists the tables",
        NextStep::ListSchema => "`rollbook schema` lists them all",
        NextStep::ListColumns => {
            "`rollbook schema TABLE` lists the columns; text is written in single quotes, `'like this'`"
        }
        NextStep::ListRecords => "`rollbook sql` lists them in `identities`",
        NextStep::ListReviews => "`rollbook identity review list` lists the records that wait",
        NextStep::ListDecisions => "`rollbook identity decisions` lists them",
        NextStep::ListBlocked => "`rollbook identity blocked` lists the blocked values",
        NextStep::ListRefused => "`rollbook journal` lists the rejected requests",
        NextStep::ListKeys => "`rollbook api-key list` shows them all",
        NextStep::ListSecrets => "`rollbook secret list` shows their names",
        NextStep::CreateKey | NextStep::SendKey | NextStep::StartSession => {
            "`rollbook api-key create` creates one"
        }
        NextStep::AskForRight(right) => {
            return format!("`rollbook api-key create --rights {right}` creates a key with it");
        }
        NextStep::NameTenant => "--tenant names one",
        NextStep::ListTenants => "`rollbook tenant list` shows them all",
        NextStep::OwnMappings => "custom mappings can be given with --mappings DIR",
        NextStep::Train(kind) => return format!("run `rollbook score train {kind}`"),
        NextStep::Score(kind) => return format!("run `rollbook score run {kind}`"),
    };
    text.to_owned()
}

/// The next step after a server did not start; `None` if the error says enough.
pub(crate) fn to_serve(error: &ServeError) -> Option<&'static str> {
    Some(match error {
        ServeError::NotEncrypted { .. } => {
            "give a certificate with --tls-cert and --tls-key, or name the proxy that encrypts connections with --trusted-proxies; 127.0.0.1 needs neither"
        }
        ServeError::Tls(error) => match error {
            TlsError::Unreadable { .. } => {
                "--tls-cert and --tls-key take PEM files that the user of the server may read"
            }
            TlsError::NoCertificate { .. } => {
                "--tls-cert takes a PEM file with the certificate of the server first, then those that vouch for it"
            }
            TlsError::NoKey { .. } => {
                "--tls-key takes a PEM file with the private key; `openssl pkey -in KEY -out FILE` removes a passphrase"
            }
            TlsError::OtherKey { .. } => {
                "give the key that the certificate was made for; the certificate of the server has to be the first in its file"
            }
            TlsError::Damaged { .. } | TlsError::Unusable { .. } => {
                "both files have to be complete PEM files; keys may be RSA, ECDSA or Ed25519"
            }
        },
        ServeError::Listen { .. } => {
            "--listen takes an address and port that are free, such as 127.0.0.1:8080"
        }
    })
}
