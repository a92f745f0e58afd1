//! What can be done to a workload's instance, one step at a time.

use std::fmt;
use std::time::Duration;

/// One step. A runtime does it and makes no choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Have its image here.
    Prepare,
    /// Make it.
    Create,
    /// Start it.
    Start,
    /// Let it go on that stands still.
    Resume,
    /// Ask it to end, and end it once this is over.
    Stop(Duration),
    /// Remove it.
    Remove(Data),
}

/// What becomes of what an instance wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Volumes and overlays stay for the instance that replaces it.
    Keep,
    /// They go too: the workload is gone for good.
    Delete,
}

impl Step {
    /// Whether it gives something back to the host.
    #[must_use]
    pub fn frees(self) -> bool {
        matches!(self, Self::Stop(_) | Self::Remove(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare",
            Self::Create => "create",
            Self::Start => "start",
            Self::Resume => "resume",
            Self::Stop(_) => "stop",
            Self::Remove(Data::Keep) => "remove",
            Self::Remove(Data::Delete) => "remove with its data",
        })
    }
}
