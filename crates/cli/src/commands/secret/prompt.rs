//! A prompt whose answer the terminal does not show.

use rollbook_app::secrets::SecretValue;
use rollbook_model::SecretName;

/// Asks for the value of a secret.
///
/// # Errors
/// The terminal cannot be read; the value is empty, or longer than terminals pass on.
#[cfg(unix)]
pub(super) async fn prompt(name: &SecretName) -> anyhow::Result<SecretValue> {
    use silent_terminal::{LINE_BYTES, SilentTerminal, read_line};

    // Dropped when Ctrl-C cancels this function, too: the terminal shows again what is typed.
    let silent = SilentTerminal::new()?;
    eprint!("value of `{name}`, which is not shown: ");
    // In a thread of its own, so that Ctrl-C ends the program.
    let line = tokio::task::spawn_blocking(read_line).await;
    drop(silent);
    eprintln!();
    let line = line??;
    if line.len() >= LINE_BYTES {
        anyhow::bail!(
            "a terminal passes on lines of less than {LINE_BYTES} bytes only: pipe the value in"
        );
    }
    Ok(SecretValue::of_text(line)?)
}

/// # Errors
/// Always: there is no silent terminal here.
#[cfg(not(unix))]
pub(super) async fn prompt(_: &SecretName) -> anyhow::Result<SecretValue> {
    anyhow::bail!("there is no prompt on this system: pipe the value in, or use --from-env")
}

#[cfg(unix)]
mod silent_terminal {
    use std::fs::File;
    use std::io::{self, ErrorKind, Read};
    use std::os::fd::AsFd;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
    use zeroize::Zeroizing;

    /// Bytes of a line, with its end, that Linux passes on; it drops the rest.
    pub(super) const LINE_BYTES: usize = 4096;

    /// The terminal of standard input, which does not show what is typed until this is dropped.
    pub(super) struct SilentTerminal {
        before: Termios,
    }

    impl SilentTerminal {
        pub(super) fn new() -> io::Result<Self> {
            let before = tcgetattr(io::stdin())?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            // What was typed before the prompt is no value.
            tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
            Ok(Self { before })
        }
    }

    impl Drop for SilentTerminal {
        fn drop(&mut self) {
            // If that fails, there is no terminal any more.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        }
    }

    /// One line of the terminal, past the buffer of standard input, which would keep a copy.
    pub(super) fn read_line() -> io::Result<Zeroizing<Vec<u8>>> {
        let mut terminal = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut line = Zeroizing::new(vec![0; LINE_BYTES]);
        let bytes = loop {
            match terminal.read(&mut line) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        line.truncate(bytes);
        Ok(line)
    }
}
