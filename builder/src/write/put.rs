//! Carries a write out: from the first zeros on the target to its partition table, which comes last.

use std::io::{Seek, SeekFrom, Write};

use anyhow::{Context, Result};
use basalt_release::Image;

use super::copy::{self, Blank, Copied, Watch};
use super::edits::Edits;
use super::image::ImageShape;
use super::medium::{Disk, Medium};
use super::stop::Stop;
use super::target::{Kind, Target};
use super::{Left, Looked, Release, Written, renew};
use crate::disk::digest::PIECE;
use crate::progress::Progress;

/// What the work goes by.
pub(super) struct Work<'a> {
    /// Where it is shown.
    pub(super) progress: Progress,
    /// Who may end it.
    pub(super) stop: &'a Stop,
    /// A `host.toml` for the host.
    pub(super) config: Option<&'a str>,
}

/// Makes the target one that boots nowhere.
pub(super) fn begin(target: &Target, size: u64) -> Result<(Disk, Found)> {
    let file = target.file.try_clone().context("cannot use the target")?;
    match &target.kind {
        Kind::Disk { size, .. } => {
            let mut disk = Disk::new(file, *size);
            copy::erase_ends(&mut disk)?;
            Ok((disk, Found::Disk))
        }
        Kind::File => {
            // What was there is gone, and what is there now is zeros.
            file.set_len(0).and_then(|()| file.set_len(size)).context("cannot make it")?;
            Ok((Disk::new(file, size), Found::NewFile))
        }
    }
}

/// What is there before anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A file of zeros.
    NewFile,
    /// A disk with anything on it.
    Disk,
}

pub(super) fn put(
    looked: Looked,
    medium: &mut dyn Medium,
    found: Found,
    work: &Work<'_>,
) -> Result<Written> {
    let Looked { source, first, shape, origin } = looked;
    let blank = match found {
        Found::NewFile => Blank::New,
        Found::Disk => work.watched("clear", |watch| copy::clear(medium, shape.size, watch))?,
    };
    let plan = (shape.size, blank);
    let copied = work.watched("write", |watch| copy::copy(source, medium, plan, first, watch))?;
    let digest = copied.digest();
    origin.check_digest(&digest)?;
    work.watched("read back", |watch| copied.check(medium, watch))?;
    let disk = conclude(&copied, &shape, medium, work)?;
    let release = origin.image.map(|Image { name, version, .. }| Release { name, version });
    Ok(Written { release, trusted: origin.trusted, digest, disk, left: Left::Attached })
}

impl Work<'_> {
    fn watched<T>(&self, name: &str, act: impl FnOnce(Watch<'_>) -> Result<T>) -> Result<T> {
        let step = self.progress.step(name);
        let result = act(Watch { step: &step, stop: self.stop })?;
        step.finish("done");
        Ok(result)
    }
}

/// Gives the disk its ids and its beginning. From here on nobody stops it: it takes a moment.
fn conclude(
    copied: &Copied,
    shape: &ImageShape,
    medium: &mut dyn Medium,
    work: &Work<'_>,
) -> Result<uuid::Uuid> {
    work.stop.check()?;
    let step = work.progress.step("conclude");
    let size = medium.size();
    let mut edits = Edits::new(medium);
    put_ends(&mut edits, copied, shape).context("cannot complete the image")?;
    let renewed = renew::renew(&mut edits, size, shape.sector, work.config)?;
    for kept in &renewed.kept {
        step.say(&format!("warning: {kept}"));
    }
    edits.save(PIECE)?;
    step.finish("new ids, partition table");
    Ok(renewed.disk)
}

/// The first and the last piece of the image. Zeros are in place of the backup of the partition
/// table, which the last one brings: it is written anew, where the disk ends.
fn put_ends(edits: &mut Edits<'_>, copied: &Copied, shape: &ImageShape) -> std::io::Result<()> {
    edits.seek(SeekFrom::Start(0))?;
    edits.write_all(&copied.first)?;
    let start = shape.size - copied.last.len() as u64;
    let usable = shape.usable.clamp(start, shape.size) - start;
    let mut last = copied.last.clone();
    last[usable as usize..].fill(0);
    edits.seek(SeekFrom::Start(start))?;
    edits.write_all(&last)
}
