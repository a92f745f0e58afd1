//! `basalt write`: puts a disk image onto a disk, so that it is all there or boots nowhere.
//!
//! The first MiB, with the partition table, is zeros from the beginning of the work to its end: it
//! comes once everything else was read back from the disk, was what it should be, and had its new
//! ids. So a write that is cut off anywhere leaves a disk that no firmware boots from, and another
//! one begins anew.

mod ask;
mod copy;
mod edits;
mod finish;
mod image;
mod medium;
mod origin;
mod put;
mod renew;
mod source;
mod stop;
pub mod target;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_host_toml::HostToml;
use basalt_release::PublicKey;
use basalt_sysroot::partition::SectorSize;
use serde::Serialize;

use crate::disk::digest::PIECE;
use crate::progress::Progress;
use crate::space;
pub use finish::Left;
use image::ImageShape;
use origin::{Beside, Origin};
use put::Work;
use source::Source;
pub use source::{Patience, Place};
pub use stop::{Stop, Stopped};
use target::{Asked, Kind, System, Target};

/// What `basalt write` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The image.
    pub image: Place,
    /// Where it goes.
    pub target: Asked,
    /// Keys whose images are trusted; with none, any is written.
    pub keys: Vec<PathBuf>,
    /// A file that the host takes as its `host.toml`.
    pub config: Option<PathBuf>,
    /// What the target addresses, where that cannot be seen: of a file.
    pub sector: Option<SectorSize>,
    /// Whether somebody is asked before a disk is overwritten.
    pub consent: Consent,
    /// What becomes of a stick.
    pub afterwards: Afterwards,
    /// How long a server is waited for.
    pub patience: Patience,
}

/// Whether somebody is asked before a disk is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// At the terminal.
    Asked,
    /// It was given.
    Given,
}

/// What becomes of a stick once it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// The system lets it go.
    Eject,
    /// It stays.
    Keep,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// What the image is, where its manifest says it.
    pub release: Option<Release>,
    /// Whether a trusted key signed it.
    pub trusted: bool,
    /// Its digest.
    pub digest: String,
    /// The new id of the disk.
    pub disk: uuid::Uuid,
    /// How the disk was left.
    pub left: Left,
}

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An image that was looked at, and what is said of it.
struct Looked {
    source: Source,
    first: source::Piece,
    shape: ImageShape,
    origin: Origin,
}

/// Writes the image.
///
/// # Errors
/// What must not be written or overwritten is refused before anything was changed; what fails later
/// leaves a target that boots nowhere, and says so.
pub fn write(options: &Options, progress: Progress) -> Result<Written> {
    let keys = origin::trusted(&options.keys)?;
    let config = options.config.as_deref().map(read_config).transpose()?;
    if options.image.is(&options.target.to) {
        bail!("the image and the target are the same file");
    }
    let looked = look(options, &keys)
        .with_context(|| format!("cannot write the image `{}`", options.image))?;
    if let Some(warning) = &looked.origin.warning {
        progress.say(&format!("warning: {warning}"));
    }
    if !target::is_disk(&options.target.to) {
        fits_file(&looked.shape, &options.target.to.display().to_string(), options.sector)?;
    }
    let target = Target::open(&options.target, &System::live())?;
    if let Kind::Disk { facts, size, sector } = &target.kind {
        fits_disk(&looked.shape, &facts.name, (*sector, *size), options.sector)?;
        progress.say(&ask::describe(facts, *size, &target));
        if options.consent == Consent::Asked {
            ask::confirm(&facts.name, progress)?;
        }
    }
    let stop = Stop::on_signals()?;
    let name = target.name();
    let work = Work { progress, stop: &stop, config: config.as_deref() };
    let (mut medium, found) = put::begin(&target, looked.shape.size)
        .with_context(|| format!("cannot begin to write to `{name}`"))?;
    let written = put::put(looked, &mut medium, found, &work).map_err(|error| {
        let whole =
            format!("`{name}` was not written whole, and does not boot\nhint: write it again");
        explain(error, &target).context(whole)
    })?;
    drop(medium);
    Ok(leave(written, target, options.afterwards, progress))
}

/// Reads the beginning of the image and what lies beside it.
fn look(options: &Options, keys: &[PublicKey]) -> Result<Looked> {
    let place = &options.image;
    let beside = |name| place.beside(name, options.patience);
    let found = Beside {
        manifest: beside(crate::manifest::Manifest::FILE)?,
        signed: beside(crate::manifest::Manifest::SIGNED)?,
    };
    let origin = origin::judge(&found, &place.file_name(), keys)?;
    let mut source = Source::open(place, options.patience)?;
    let first = source.piece(PIECE).context("it is no disk image")?;
    let shape = match &first {
        source::Piece::Data(bytes) => ImageShape::read(bytes)?,
        source::Piece::Zeros => ImageShape::read(&[])?,
    };
    if let Some(there) = source.plain_size().filter(|there| *there != shape.size) {
        bail!(
            "it has {there} bytes, and its partition table says {}: it was cut off, or something \
             was added",
            shape.size
        );
    }
    origin.check_size(shape.size)?;
    Ok(Looked { source, first, shape, origin })
}

/// What the host is told, as the host itself will read it: a mistake is found before the disk is
/// overwritten.
fn read_config(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read `{name}`"))?;
    let mut bytes = Vec::new();
    file.take(basalt_document::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read `{name}`"))?;
    let text = basalt_host_toml::text(&name, bytes)?;
    HostToml::parse(&name, &text)?;
    Ok(text)
}

/// Whether a file can become the image's copy.
fn fits_file(shape: &ImageShape, name: &str, asked: Option<SectorSize>) -> Result<()> {
    let hint = format!("for a file, `--sector-size {}` says so", shape.sector.bytes());
    same_sectors(shape, name, asked.unwrap_or_default(), &hint)
}

/// Whether the image is one for such a disk.
fn fits_disk(
    shape: &ImageShape,
    name: &str,
    (sector, size): (SectorSize, u64),
    asked: Option<SectorSize>,
) -> Result<()> {
    if let Some(asked) = asked.filter(|asked| *asked != sector) {
        let (sector, asked) = (sector.bytes(), asked.bytes());
        bail!(
            "`{name}` has sectors of {sector} bytes, and not of {asked}, as `--sector-size` says"
        );
    }
    let hint = "no firmware would boot it there; such an image is written to a disk of its own \
                sector size, or to a file with `--sector-size`";
    same_sectors(shape, name, sector, hint)?;
    if size < shape.size {
        bail!(
            "the image needs {} bytes, and `{name}` has {size}\nhint: use a larger disk, or build \
             the image smaller (`size` in the definition's `[disk]`)",
            shape.size
        );
    }
    Ok(())
}

fn same_sectors(shape: &ImageShape, name: &str, sector: SectorSize, hint: &str) -> Result<()> {
    if shape.sector != sector {
        bail!(
            "the image is made for sectors of {} bytes, and `{name}` has sectors of {}\nhint: {hint}",
            shape.sector.bytes(),
            sector.bytes()
        );
    }
    Ok(())
}

/// Says which file system is full, if one is.
fn explain(error: anyhow::Error, target: &Target) -> anyhow::Error {
    match target.kind {
        Kind::Disk { .. } => error,
        Kind::File => {
            let folder = target.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            space::explain(error, &[(folder.unwrap_or(Path::new(".")), "--to")])
        }
    }
}

/// Lets the disk go.
fn leave(written: Written, target: Target, afterwards: Afterwards, progress: Progress) -> Written {
    let Target { path, file, kind } = target;
    // While it is open for us alone, the kernel reads no partition table of it.
    drop(file);
    let Kind::Disk { facts, .. } = kind else { return written };
    let left = match afterwards {
        Afterwards::Eject => finish::eject(&facts),
        Afterwards::Keep => Left::Attached,
    };
    if left != Left::Ejected
        && let Err(why) = finish::read_table_again(&path)
    {
        progress.say(&format!("note: the system does not see the new partitions yet: {why}"));
    }
    Written { left, ..written }
}

#[cfg(test)]
mod tests;
