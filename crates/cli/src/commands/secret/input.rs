//! Reading the value of a secret: from a variable, a command, standard input or a prompt.

use std::io::{self, IsTerminal, Read};

use rollbook_app::secrets::{InvalidSecret, SecretValue};
use rollbook_model::config::SECRET_BYTES;
use zeroize::Zeroizing;

use super::prompt::prompt;
use crate::arguments::PutSecret;

/// The value of a secret that is to be stored.
///
/// # Errors
/// There is no value, or it is too long; the terminal cannot be read.
pub(super) async fn value(from: &PutSecret) -> anyhow::Result<SecretValue> {
    if let Some(variable) = &from.from_env {
        let set = std::env::var_os(variable);
        let set = set.ok_or_else(|| anyhow::anyhow!("the variable `{variable}` is not set"))?;
        let value = SecretValue::new(Zeroizing::new(set.into_encoded_bytes()));
        return value.map_err(|error| anyhow::anyhow!("the variable `{variable}`: {error}"));
    }
    if let Some(command) = from.from_command.clone() {
        // In a thread of its own, so that Ctrl-C ends the program.
        let value = tokio::task::spawn_blocking(move || SecretValue::of_command(&command));
        return value
            .await?
            .map_err(|error| anyhow::anyhow!("--from-command: {error}"));
    }
    if io::stdin().is_terminal() {
        return prompt(&from.name).await;
    }
    match SecretValue::of_text(tokio::task::spawn_blocking(piped).await??) {
        Err(InvalidSecret::Empty) => anyhow::bail!(
            "there is no value: standard input is empty and no terminal; pipe the value in, or use --from-env or --from-command"
        ),
        value => value.map_err(|error| anyhow::anyhow!("standard input: {error}")),
    }
}

/// Standard input, as far as a value may be long.
fn piped() -> io::Result<Zeroizing<Vec<u8>>> {
    let most = SECRET_BYTES + b"\r\n".len() + 1;
    // All of it from the beginning: a buffer that grows would leave copies.
    let mut text = Zeroizing::new(Vec::with_capacity(most));
    io::stdin()
        .lock()
        .take(most as u64)
        .read_to_end(&mut text)?;
    Ok(text)
}
