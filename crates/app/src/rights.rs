//! Who may do what.

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A user of this machine, at the command line or through the server, which listens to this
    /// machine alone.
    Local,
}

/// What somebody may do beyond asking about figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// `pii`: see names, addresses, numbers and whatever else is personal.
    pub personal: bool,
}

impl Rights {
    /// The rights of a caller. All that asks is decided here.
    pub fn of(caller: Caller) -> Self {
        match caller {
            Caller::Local => Self { personal: true },
        }
    }
}
