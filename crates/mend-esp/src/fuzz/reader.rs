//! Reads it as the kernel does.

use super::memory::Memory;
use crate::folder::{self, Name};
use crate::geometry::{Geometry, le32};

/// All files that read whole, by their paths: by the first table, with folders that it ends. Of
/// others there is nothing to be lost.
pub(super) fn files(memory: &Memory) -> Vec<(String, Vec<u8>)> {
    let Ok(Some(geometry)) = Geometry::read(memory) else { return Vec::new() };
    let all = memory.all.borrow();
    let reader = Reader { all: &all, geometry: &geometry };
    let (mut files, mut open) = (Vec::new(), vec![(String::new(), geometry.root, 0)]);
    while let Some((path, first, depth)) = open.pop() {
        let Some(bytes) = reader.folder(first, depth == 0).filter(|_| depth < 9) else { continue };
        for name in folder::list(&bytes).names {
            let path = format!("{path}{}", name.text);
            if name.is_folder {
                open.push((path + "/", name.first, depth + 1));
            } else if let Some(bytes) = reader.file(&name) {
                files.push((path, bytes));
            }
        }
    }
    files
}

struct Reader<'a> {
    all: &'a [u8],
    geometry: &'a Geometry,
}

impl Reader<'_> {
    fn folder(&self, first: u32, is_root: bool) -> Option<Vec<u8>> {
        let (clusters, is_ended) = self.chain(first, usize::MAX);
        let bytes = self.content(&clusters)?;
        (is_ended && (is_root || folder::is_one(&bytes, first))).then_some(bytes)
    }

    fn file(&self, name: &Name) -> Option<Vec<u8>> {
        let size = name.size as usize;
        let needs = size.div_ceil(usize::try_from(self.geometry.cluster).ok()?);
        let (clusters, _) = self.chain(name.first, needs);
        let bytes = self.content(&clusters)?;
        bytes.get(..size).map(<[u8]>::to_vec)
    }

    /// So many clusters at most, and whether the table says that the last of them is.
    fn chain(&self, first: u32, most: usize) -> (Vec<u32>, bool) {
        let (mut clusters, mut cluster) = (Vec::new(), first);
        while clusters.len() < most {
            if self.geometry.at(cluster).is_none() || clusters.contains(&cluster) {
                return (clusters, false);
            }
            clusters.push(cluster);
            let table = usize::try_from(self.geometry.tables[0]).unwrap();
            cluster = le32(self.all, table + cluster as usize * 4) & 0x0fff_ffff;
            if cluster >= 0x0fff_fff8 {
                return (clusters, true);
            }
        }
        (clusters, false)
    }

    fn content(&self, clusters: &[u32]) -> Option<Vec<u8>> {
        let length = usize::try_from(self.geometry.cluster).ok()?;
        let places = clusters.iter().map(|cluster| self.geometry.at(*cluster));
        let pieces = places.map(|at| self.all.get(usize::try_from(at?).ok()?..)?.get(..length));
        Some(pieces.collect::<Option<Vec<_>>>()?.concat())
    }
}
