//! The rights of callers.

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A user of this machine, at the command line or through the server, which only listens on the
    /// loopback interface.
    Local,
}

/// What a caller may do beyond reading aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// `pii`: read names, addresses, phone numbers and other personal values.
    pub personal: bool,
}

impl Rights {
    /// The rights of a caller. No other code grants rights.
    pub fn of(caller: Caller) -> Self {
        match caller {
            Caller::Local => Self { personal: true },
        }
    }
}
