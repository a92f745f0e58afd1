//! Writes what was decided, in the order in which it may be cut off.

use std::io;

use crate::geometry::Geometry;
use crate::table::Copy;
use crate::{Seen, Volume};

/// No sync is left out: what comes behind one rests on what came before it.
///
/// - Names that go come first. A name that was left would lead to clusters that are free, and that
///   the next file takes.
/// - The first table comes before the second, so that one of the two has a chain whole whenever a
///   sector is half written. What is taken over from the second stands there already.
/// - That it was unmounted is said at the end; nothing here goes by it, but `fsck.fat` does.
pub(crate) fn write(volume: &impl Volume, geometry: &Geometry, seen: &Seen) -> io::Result<()> {
    let Seen { plan, info, is_dirty, .. } = seen;
    for (at, bytes) in &plan.names {
        volume.write(*at, bytes)?;
    }
    volume.sync()?;
    plan.table.write(volume, geometry, Copy::First)?;
    volume.sync()?;
    plan.table.write(volume, geometry, Copy::Second)?;
    if let Some(info) = info {
        info.write(volume, plan.table.free())?;
    }
    volume.sync()?;
    if *is_dirty {
        geometry.note_unmounted(volume)?;
        volume.sync()?;
    }
    Ok(())
}
