//! All names of a partition: which lead to something, and which clusters are somebody's.

use std::io;

use crate::Volume;
use crate::folder::{self, Name};
use crate::geometry::Geometry;
use crate::table::{Chain, End, Table};

/// Where Basalt and the loader that it comes with write, and nobody else.
const OURS: [&str; 2] = ["basalt/", "loader/entries/"];
/// Folders in folders; Basalt has three.
const DEPTH: usize = 16;
/// Bytes of a folder: no FAT's may have more.
const FOLDER: u64 = 65_536 * 32;
/// Names altogether; a host has some twenty.
const NAMES: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Which clusters are somebody's, by their numbers.
    pub(crate) used: Vec<bool>,
    /// Where the entries of names begin that lead nowhere and may go.
    pub(crate) broken_places: Vec<u64>,
    /// Their paths.
    pub(crate) gone: Vec<String>,
    /// Those of names that lead nowhere and are not ours.
    pub(crate) left: Vec<String>,
    /// Clusters that files end with, and the table does not know it.
    pub(crate) ends: Vec<u32>,
}

/// A name that was found.
struct Named {
    path: String,
    chain: Chain,
    /// Where its entries lie.
    places: Vec<u64>,
}

/// A folder that is still to be looked at.
struct Open {
    path: String,
    depth: usize,
    clusters: Vec<u32>,
}

impl Tree {
    pub(crate) fn read(
        volume: &impl Volume,
        geometry: &Geometry,
        table: &Table,
    ) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.used.resize(geometry.clusters as usize + 2, false);
        let root = table.chain(geometry.root);
        if root.end != End::Written {
            return Err(io::Error::other("its root folder leads nowhere"));
        }
        tree.uses(&root);
        let mut open = vec![Open { path: String::new(), depth: 0, clusters: root.clusters }];
        let (mut seen, mut unwritten) = (0, Vec::new());
        while let Some(folder) = open.pop() {
            let bytes = content(volume, geometry, &folder.clusters)?;
            for name in folder::names(&bytes) {
                seen += 1;
                if seen > NAMES || folder.depth > DEPTH {
                    return Err(io::Error::other("there is more on it than can be"));
                }
                let places = name.entries.iter();
                let named = Named {
                    path: format!("{}{}", folder.path, name.text),
                    chain: table.chain(name.first),
                    places: places
                        .filter_map(|it| place(geometry, &folder.clusters, *it))
                        .collect(),
                };
                match end(volume, geometry, &name, &named.chain)? {
                    End::None => tree.is_broken(named),
                    End::Unwritten => unwritten.push(named),
                    End::Written if tree.uses(&named.chain) && name.is_folder => {
                        let (path, depth) = (named.path + "/", folder.depth + 1);
                        open.push(Open { path, depth, clusters: named.chain.clusters });
                    }
                    End::Written => (),
                }
            }
        }
        unwritten.into_iter().for_each(|named| tree.ends_here(named));
        Ok(tree)
    }

    fn is_broken(&mut self, named: Named) {
        if is_ours(&named.path) {
            self.broken_places.extend(named.places);
            self.gone.push(named.path);
        } else {
            self.uses(&named.chain);
            self.left.push(named.path);
        }
    }

    /// Nobody else may have what the table has for free.
    fn ends_here(&mut self, named: Named) {
        if named.chain.clusters.iter().any(|cluster| self.used[*cluster as usize]) {
            return self.is_broken(named);
        }
        self.uses(&named.chain);
        self.ends.extend(named.chain.clusters.last());
    }

    /// Whether nobody had the first of them.
    fn uses(&mut self, chain: &Chain) -> bool {
        let first = chain.clusters.first();
        let is_new = first.is_some_and(|first| !self.used[*first as usize]);
        chain.clusters.iter().for_each(|cluster| self.used[*cluster as usize] = true);
        is_new
    }
}

/// How what a name leads to ends, if it leads to what it says. Who reads a file needs no table for
/// its last cluster: the loader boots by such an entry, so it is one. A folder has to be written.
fn end(volume: &impl Volume, geometry: &Geometry, name: &Name, chain: &Chain) -> io::Result<End> {
    if name.is_folder {
        let begin: Vec<u32> = chain.clusters.iter().take(1).copied().collect();
        let is_one = chain.end == End::Written
            && folder::is_one(&content(volume, geometry, &begin)?, name.first);
        return Ok(if is_one { End::Written } else { End::None });
    }
    if name.first == 0 {
        return Ok(if name.size == 0 { End::Written } else { End::None });
    }
    let is_long_enough = chain.clusters.len() as u64 * geometry.cluster >= u64::from(name.size);
    Ok(if is_long_enough { chain.end } else { End::None })
}

/// By a path without a slash in front of it, which FAT takes in small and large letters.
fn is_ours(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    OURS.iter().any(|folder| path.starts_with(folder))
}

fn content(volume: &impl Volume, geometry: &Geometry, clusters: &[u32]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    for at in clusters.iter().filter_map(|cluster| geometry.at(*cluster)) {
        if all.len() as u64 >= FOLDER {
            return Err(io::Error::other("a folder on it is longer than can be"));
        }
        let mut bytes = vec![0; usize::try_from(geometry.cluster).map_err(io::Error::other)?];
        volume.read(at, &mut bytes)?;
        all.extend(bytes);
    }
    Ok(all)
}

/// Where an entry of a folder lies, by its number.
fn place(geometry: &Geometry, clusters: &[u32], entry: usize) -> Option<u64> {
    let byte = entry as u64 * 32;
    let cluster = clusters.get(usize::try_from(byte / geometry.cluster).ok()?)?;
    Some(geometry.at(*cluster)? + byte % geometry.cluster)
}
