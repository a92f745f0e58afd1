//! All names of a partition, and which clusters each has. This only reads.

use std::collections::HashSet;
use std::io;

use crate::Volume;
use crate::folder::{self, Name};
use crate::geometry::Geometry;
use crate::table::Table;
use crate::walk::Walker;
use crate::way::{Judge, Kind, Way, Ways};

/// Where Basalt and the loader that it comes with write, and nobody else.
const OURS: [&str; 2] = ["basalt/", "loader/entries/"];
/// Folders in folders; Basalt has three.
const DEPTH: usize = 16;
/// Entries of all folders together; a host has some hundred. One folder that leads astray may have
/// 65 536.
const ENTRIES: usize = 100_000;

/// The root is the first node; what lies in a folder comes behind it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// Parts of long names in folders of ours that no name has.
    pub(crate) orphans: Vec<Orphan>,
}

/// A name that was found.
#[derive(Debug)]
pub(crate) struct Node {
    /// The folder that it lies in.
    pub(crate) folder: usize,
    text: String,
    pub(crate) is_ours: bool,
    pub(crate) kind: Kind,
    pub(crate) first: u32,
    /// Where its entries lie, the short one last.
    pub(crate) places: Vec<u64>,
    pub(crate) way: Way,
    /// If somebody else has what that leads to.
    pub(crate) otherwise: Option<Way>,
}

/// A part that no name has.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) folder: usize,
    pub(crate) place: u64,
}

impl Tree {
    /// # Errors
    /// It cannot be read, or there is more on it than can be.
    pub(crate) fn read(
        volume: &impl Volume,
        geometry: &Geometry,
        table: &Table,
    ) -> io::Result<Self> {
        let judge = Judge { walker: Walker::new(table), cluster: geometry.cluster };
        let (tree, entered) = (Self::default(), HashSet::from([geometry.root]));
        let mut reader =
            Reader { volume, geometry, judge, tree, open: vec![0], entered, entries: 0 };
        reader.root()?;
        while let Some(folder) = reader.open.pop() {
            reader.folder(folder)?;
        }
        Ok(reader.tree)
    }

    /// With no slash in front of it.
    pub(crate) fn path(&self, node: usize) -> String {
        let names = self.above(node).map(|node| self.nodes[node].text.as_str());
        let mut names: Vec<&str> = names.collect();
        names.reverse();
        names.join("/")
    }

    /// A node and the folders that it lies in but the root, from within.
    fn above(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let next = |node: &usize| Some(self.nodes[*node].folder).filter(|folder| *folder != 0);
        std::iter::successors(Some(node).filter(|node| *node != 0), next)
    }
}

impl Node {
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder | Kind::NoFolder)
    }

    pub(crate) fn clusters<'a>(&self, table: &'a Table) -> impl Iterator<Item = u32> + use<'a> {
        table.clusters(self.way.copy, self.first, self.way.count)
    }

    /// Whether it leads to clusters though it is an empty file.
    pub(crate) fn is_empty_with_clusters(&self) -> bool {
        self.kind == Kind::OurFile { size: 0 } && self.first != 0
    }
}

struct Reader<'a, V> {
    volume: &'a V,
    geometry: &'a Geometry,
    judge: Judge<'a>,
    tree: Tree,
    /// Folders that are still to be looked at.
    open: Vec<usize>,
    /// Folders that are or were, by their first clusters: they may lead to each other.
    entered: HashSet<u32>,
    entries: usize,
}

impl<V: Volume> Reader<'_, V> {
    fn root(&mut self) -> io::Result<()> {
        let first = self.geometry.root;
        let ways = self.judge.ways(first, Kind::Folder)?;
        if !ways.way.is_whole {
            return Err(io::Error::other("its root folder leads nowhere"));
        }
        let root = Name { text: String::new(), is_folder: true, first, size: 0, entries: vec![] };
        self.tree.nodes.push(node(root, 0, Kind::Folder, (false, vec![], ways)));
        Ok(())
    }

    fn folder(&mut self, folder: usize) -> io::Result<()> {
        let clusters: Vec<u32> =
            self.tree.nodes[folder].clusters(self.judge.walker.table()).collect();
        let listing = folder::list(&content(self.volume, self.geometry, &clusters)?);
        self.entries += listing.entries();
        if self.entries > ENTRIES || self.tree.above(folder).count() > DEPTH {
            return Err(io::Error::other("there is more on it than can be"));
        }
        let place = |entry: &usize| place(self.geometry, &clusters, *entry);
        let is_ours = is_ours(&(self.tree.path(folder) + "/"));
        if is_ours {
            let orphans = listing.orphans.iter().filter_map(place);
            self.tree.orphans.extend(orphans.map(|place| Orphan { folder, place }));
        }
        for name in listing.names {
            let places = name.entries.iter().filter_map(place).collect();
            self.name(folder, name, is_ours, places)?;
        }
        Ok(())
    }

    fn name(
        &mut self,
        folder: usize,
        name: Name,
        is_ours: bool,
        places: Vec<u64>,
    ) -> io::Result<()> {
        let kind = match name.size {
            _ if name.is_folder && self.begins_as_folder(name.first)? => Kind::Folder,
            _ if name.is_folder => Kind::NoFolder,
            size if is_ours => Kind::OurFile { size },
            size => Kind::File { size },
        };
        let (first, ways) = (name.first, self.judge.ways(name.first, kind)?);
        // Of two names that lead to the same folder only one has what lies in it.
        if kind == Kind::Folder && ways.way.is_whole && self.entered.insert(first) {
            self.open.push(self.tree.nodes.len());
        }
        self.tree.nodes.push(node(name, folder, kind, (is_ours, places, ways)));
        Ok(())
    }

    fn begins_as_folder(&self, first: u32) -> io::Result<bool> {
        Ok(folder::is_one(&content(self.volume, self.geometry, &[first])?, first))
    }
}

fn node(
    name: Name,
    folder: usize,
    kind: Kind,
    (is_ours, places, ways): (bool, Vec<u64>, Ways),
) -> Node {
    let Ways { way, otherwise } = ways;
    Node { folder, text: name.text, is_ours, kind, first: name.first, places, way, otherwise }
}

/// By the path of a folder with a slash behind it, which FAT takes in small and large letters.
fn is_ours(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    OURS.iter().any(|folder| path.starts_with(folder))
}

/// What the clusters hold that there are.
fn content(volume: &impl Volume, geometry: &Geometry, clusters: &[u32]) -> io::Result<Vec<u8>> {
    let length = usize::try_from(geometry.cluster).map_err(io::Error::other)?;
    let mut all = Vec::new();
    for at in clusters.iter().filter_map(|cluster| geometry.at(*cluster)) {
        let mut bytes = vec![0; length];
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
