//! What is wrong with the database, from an error anywhere in a chain. Codes are SQLite's; an
//! extended one has the plain one in its last byte (sqlite.org/rescode.html).

use tokio::task::JoinError;

/// `SQLITE_IOERR_SHMSIZE`: its file in shared memory, which lies beside the database, cannot grow.
const NO_ROOM_FOR_SHM: u32 = 10 | 19 << 8;

/// What is wrong with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It had no time, which passes: no connection was free, or somebody else writes.
    Busy,
    /// The disk is full. What was committed is there, and it goes on when there is room.
    Full,
    /// What is in it makes no sense.
    Damaged,
}

/// The first trouble in the chain.
#[must_use]
pub fn of(error: &anyhow::Error) -> Option<Trouble> {
    error.chain().find_map(|cause| cause.downcast_ref().and_then(of_one))
}

/// Whether the endpoint itself broke, which nobody who starts it can mend.
#[must_use]
pub fn is_ours(error: &anyhow::Error) -> bool {
    let has_panicked = error.chain().any(|cause| cause.is::<JoinError>());
    has_panicked || of(error) == Some(Trouble::Damaged)
}

fn of_one(error: &sqlx::Error) -> Option<Trouble> {
    let code = match error {
        sqlx::Error::PoolTimedOut => return Some(Trouble::Busy),
        sqlx::Error::Database(error) => error.code()?.parse::<u32>().ok()?,
        _ => return None,
    };
    match code & 0xff {
        5 => Some(Trouble::Busy),
        13 => Some(Trouble::Full),
        _ if code == NO_ROOM_FOR_SHM => Some(Trouble::Full),
        11 | 26 => Some(Trouble::Damaged),
        _ => None,
    }
}
