//! Makes the ESP: a FAT32 in its piece of the disk's file, and the boot files in it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use basalt_sysroot::partition::{ESP_LABEL, Layout, SectorSize};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, ReadWriteSeek};
use fscommon::StreamSlice;

use super::sparse::Sparse;
use super::{Content, DiskError, EspFile, EspFiles, dots};

/// From this size on clusters have 4 KiB, below it they are as small as they can be: a FAT with
/// too few clusters is no FAT32. The border is mkfs.fat's.
const LARGE: u64 = 260 << 20;
/// Bytes that are read from a boot file at a time.
const CHUNK: usize = 256 << 10;
/// Room for folders and for what is rounded up.
const SLACK: u64 = 1 << 20;

/// What went wrong, before it is known which file the disk is.
pub(super) enum EspError {
    Disk(io::Error),
    Source { path: PathBuf, source: io::Error },
    Full { esp: u64, needed: u64 },
}

impl EspError {
    pub(super) fn at(self, disk: &Path) -> DiskError {
        match self {
            Self::Disk(source) => DiskError::write(disk, source),
            Self::Source { path, source } => DiskError::Read { path, source },
            Self::Full { esp, needed } => DiskError::EspFull { esp, needed },
        }
    }
}

impl From<io::Error> for EspError {
    fn from(source: io::Error) -> Self {
        Self::Disk(source)
    }
}

/// Formats the ESP of `layout` and fills it. The disk's file must be empty there.
pub(super) fn write(
    disk: &File,
    layout: &Layout,
    files: &EspFiles,
    volume_id: u32,
) -> Result<(), EspError> {
    let cluster = cluster_bytes(layout.esp.length, layout.sector);
    check_room(layout.esp.length, cluster, files)?;
    let esp = || StreamSlice::new(Sparse::new(disk), layout.esp.start, layout.esp.end());
    fatfs::format_volume(esp()?, options(layout.sector, cluster, volume_id))?;
    let fat = FileSystem::new(esp()?, FsOptions::new())?;
    // Counts the free clusters once, so that the count is there to be kept and written at the end.
    fat.stats()?;
    for file in files.iter() {
        write_file(&fat, file)?;
    }
    fat.unmount()?;
    Ok(dots::repair(&mut esp()?)?)
}

/// Puts a small file into the ESP that `volume` is, in place of one of that name.
///
/// # Errors
/// It is no FAT32 as this crate makes them, or has no room.
pub(crate) fn add_file(
    volume: &mut (impl Read + Write + Seek),
    path: &str,
    content: &str,
) -> io::Result<()> {
    // The library reads from wherever it is.
    volume.seek(SeekFrom::Start(0))?;
    let fat = FileSystem::new(&mut *volume, FsOptions::new())?;
    let file = EspFile { path: path.to_owned(), content: Content::Text(content.to_owned()) };
    write_file(&fat, &file).map_err(|error| match error {
        EspError::Disk(source) | EspError::Source { source, .. } => source,
        EspError::Full { .. } => io::ErrorKind::StorageFull.into(),
    })?;
    fat.unmount()?;
    dots::repair(volume)
}

fn options(sector: SectorSize, cluster: u32, volume_id: u32) -> FormatVolumeOptions {
    let mut label = [b' '; 11];
    label[..ESP_LABEL.len()].copy_from_slice(ESP_LABEL.as_bytes());
    let sector = match sector {
        SectorSize::B512 => 512,
        SectorSize::B4096 => 4096,
    };
    FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_sector(sector)
        .bytes_per_cluster(cluster)
        .volume_id(volume_id)
        .volume_label(label)
}

fn cluster_bytes(length: u64, sector: SectorSize) -> u32 {
    match sector {
        SectorSize::B512 if length <= LARGE => 512,
        SectorSize::B512 | SectorSize::B4096 => 4096,
    }
}

/// The FAT library's own error for a full volume cannot be told from others.
fn check_room(esp: u64, cluster: u32, files: &EspFiles) -> Result<(), EspError> {
    let cluster = u64::from(cluster);
    let mut needed = 0;
    for file in files.iter() {
        needed += length(file)?.next_multiple_of(cluster);
    }
    // Both FATs take four bytes for each cluster.
    let room = esp / (cluster + 8) * cluster;
    if needed + SLACK > room { Err(EspError::Full { esp, needed: needed + SLACK }) } else { Ok(()) }
}

fn length(file: &EspFile) -> Result<u64, EspError> {
    match &file.content {
        Content::Text(text) => Ok(text.len() as u64),
        Content::File(path) => match std::fs::metadata(path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(source) => Err(EspError::Source { path: path.clone(), source }),
        },
    }
}

fn write_file<V: ReadWriteSeek>(fat: &FileSystem<V>, file: &EspFile) -> Result<(), EspError> {
    let mut folder = fat.root_dir();
    let mut parts = file.path.split('/').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            folder = folder.create_dir(part)?;
            continue;
        }
        let mut target = folder.create_file(part)?;
        target.truncate()?;
        match &file.content {
            Content::Text(text) => target.write_all(text.as_bytes())?,
            Content::File(path) => copy(path, &mut target)?,
        }
        target.flush()?;
    }
    Ok(())
}

fn copy(path: &Path, target: &mut impl Write) -> Result<(), EspError> {
    let failed = |source| EspError::Source { path: path.to_owned(), source };
    let mut source = File::open(path).map_err(failed)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk).map_err(failed)? {
            0 => return Ok(()),
            read => target.write_all(&chunk[..read])?,
        }
    }
}
