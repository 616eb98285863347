//! The arguments of `secret`.

use std::convert::Infallible;
use std::str::FromStr;

use clap::{Args, Subcommand};
use rollbook_model::SecretName;

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Store a secret, or replace its value
    ///
    /// The value comes from a variable, from a command, from standard input if that is no terminal, or
    /// else from a prompt; never from an argument. It has up to 64 KiB. From a command and from standard
    /// input it is taken without one end of a line after it.
    Put(PutSecret),
    /// List the names of the secrets, and when each was created and updated
    List,
    /// Delete a secret
    Delete {
        /// The name
        name: SecretName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PutSecret {
    /// The name: up to 64 of a-z, 0-9, `_` and `-`
    pub(crate) name: SecretName,
    /// Take the value from this variable of the environment
    #[arg(long, value_name = "VARIABLE", conflicts_with = "from_command")]
    pub(crate) from_env: Option<String>,
    /// Take the value from the output of this command of the shell
    #[arg(long, value_name = "COMMAND")]
    pub(crate) from_command: Option<String>,
    /// Values that were given as arguments, which are refused.
    #[arg(hide = true)]
    pub(crate) values: Vec<AsArgument>,
}

/// A value that was given as an argument. It is dropped, so that no error repeats it.
#[derive(Debug, Clone)]
pub(crate) struct AsArgument;

impl FromStr for AsArgument {
    type Err = Infallible;
    fn from_str(_: &str) -> Result<Self, Infallible> {
        Ok(Self)
    }
}
