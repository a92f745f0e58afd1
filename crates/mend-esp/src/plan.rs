//! What is to be done about what was read. Pure.

use crate::Mended;
use crate::folder::GONE;
use crate::geometry::Geometry;
use crate::owners::Owners;
use crate::table::{Copy, Table};
use crate::tree::Tree;
use crate::way::Ending;

/// Where an entry has the two halves of the number of its first cluster.
const FIRST: [u64; 2] = [20, 26];

pub(crate) struct Plan {
    /// Bytes of folders, with where each lies.
    pub(crate) names: Vec<(u64, Vec<u8>)>,
    /// As it is to be.
    pub(crate) table: Table,
    pub(crate) mended: Mended,
}

impl Plan {
    /// Whether it writes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.table.is_changed()
    }
}

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It is broken, and is not Basalt's.
    Left,
    /// It lies where nobody may write, or below what does.
    Unsure,
    /// It is broken, and its entries are marked.
    Goes,
    /// What it lies in goes.
    GoesAlong,
}

impl Fate {
    fn is_there(self) -> bool {
        !matches!(self, Self::Goes | Self::GoesAlong)
    }
}

pub(crate) fn plan(geometry: &Geometry, mut tree: Tree, table: Table) -> Plan {
    give_way(&mut tree, &table);
    let Decided { fates, marks, left, is_shared } = Decided::of(geometry, &tree, &table);
    let gone = fates.iter().enumerate().filter(|(_, fate)| **fate == Fate::Goes);
    let gone = gone.map(|(node, _)| tree.path(node)).collect();
    let owners = Owners::of(&tree, &table, |node| fates[node].is_there());
    // Whose each cluster is. Not so where something lies in a folder that was left.
    let is_known = left.is_empty() && !is_shared;
    let planner = Planner { tree, fates, owners, is_known, names: marks, table };
    planner.finish(geometry.cluster, Mended { gone, left, ..Mended::default() })
}

/// What only the second table has whole counts where it is nobody else's.
fn give_way(tree: &mut Tree, table: &Table) {
    let owners = Owners::of(tree, table, |_| true);
    for (number, node) in tree.nodes.iter_mut().enumerate() {
        let is_own = node.clusters(table).all(|cluster| owners.is_only_of(cluster, number));
        if let Some(otherwise) = node.otherwise.take_if(|_| !is_own) {
            node.way = otherwise;
        }
    }
}

/// By whose each cluster is before anything goes.
struct Decided {
    fates: Vec<Fate>,
    marks: Vec<(u64, Vec<u8>)>,
    /// Names that stay broken.
    left: Vec<String>,
    /// Whether two have a cluster, or a folder: what lies in that was read by one name alone.
    is_shared: bool,
}

impl Decided {
    fn of(geometry: &Geometry, tree: &Tree, table: &Table) -> Self {
        let owners = Owners::of(tree, table, |_| true);
        let fates = fates(geometry, tree, &owners);
        let marks = marks(geometry, tree, &owners, &fates);
        let left = left(tree, table, &owners, &fates);
        Self { fates, marks, left, is_shared: owners.is_shared }
    }
}

/// A folder comes in front of what lies in it.
fn fates(geometry: &Geometry, tree: &Tree, owners: &Owners) -> Vec<Fate> {
    let mut fates: Vec<Fate> = Vec::new();
    for node in &tree.nodes {
        // The root lies in itself.
        let above = fates.get(node.folder).copied().unwrap_or(Fate::Stays);
        let is_writable = |place: &u64| {
            let cluster = geometry.cluster_at(*place);
            cluster.is_some_and(|cluster| owners.is_only_of(cluster, node.folder))
        };
        fates.push(match above {
            Fate::Goes | Fate::GoesAlong => Fate::GoesAlong,
            Fate::Left | Fate::Unsure => Fate::Unsure,
            Fate::Stays if !node.places.iter().all(is_writable) => Fate::Unsure,
            Fate::Stays if node.way.is_whole => Fate::Stays,
            Fate::Stays if node.is_ours => Fate::Goes,
            Fate::Stays => Fate::Left,
        });
    }
    fates
}

/// Names that stay broken. A folder that has a cluster with somebody else is one of them: what of
/// it are names, nobody knows.
fn left(tree: &Tree, table: &Table, owners: &Owners, fates: &[Fate]) -> Vec<String> {
    let is_left = |(number, fate): &(usize, &Fate)| {
        let node = &tree.nodes[*number];
        let mut clusters = node.clusters(table);
        let mut is_shared = || node.is_folder() && clusters.any(|cluster| owners.is_many(cluster));
        **fate == Fate::Left || **fate == Fate::Stays && is_shared()
    };
    let all = fates.iter().enumerate().filter(is_left);
    all.map(|(number, _)| if number == 0 { "/".to_owned() } else { tree.path(number) }).collect()
}

/// The marks of what goes from the folders.
fn marks(geometry: &Geometry, tree: &Tree, owners: &Owners, fates: &[Fate]) -> Vec<(u64, Vec<u8>)> {
    let gone = fates.iter().zip(&tree.nodes).filter(|(fate, _)| **fate == Fate::Goes);
    let of_names = gone.flat_map(|(_, node)| node.places.iter().copied());
    let orphans = tree.orphans.iter().filter(|orphan| {
        let cluster = geometry.cluster_at(orphan.place);
        let is_writable = |cluster| owners.is_only_of(cluster, orphan.folder);
        fates[orphan.folder] == Fate::Stays && cluster.is_some_and(is_writable)
    });
    of_names.chain(orphans.map(|orphan| orphan.place)).map(|at| (at, vec![GONE])).collect()
}

/// Changes the table.
struct Planner {
    tree: Tree,
    fates: Vec<Fate>,
    /// Of what is there afterwards.
    owners: Owners,
    is_known: bool,
    names: Vec<(u64, Vec<u8>)>,
    table: Table,
}

impl Planner {
    fn finish(mut self, cluster: u64, mut mended: Mended) -> Plan {
        self.table.take_head();
        for number in 0..self.tree.nodes.len() {
            if self.fates[number] == Fate::Stays && self.right(number) {
                mended.righted.push(self.tree.path(number));
            }
        }
        if self.is_known {
            mended.freed = self.release() * cluster;
        }
        // A name that was left may be whole in the second table alone, for who comes with a tool.
        if mended.left.is_empty() {
            self.table.mirror();
        }
        Plan { names: self.names, table: self.table, mended }
    }

    /// Sets right where a name that stays leads to; whether there was anything to set.
    fn right(&mut self, number: usize) -> bool {
        let node = &self.tree.nodes[number];
        match (node.way.copy, node.way.ending) {
            _ if node.is_empty_with_clusters() => {
                let halves = node.places.last().map(|at| FIRST.map(|half| (at + half, vec![0; 2])));
                self.names.extend(halves.into_iter().flatten());
                true
            }
            (Copy::Second, _) => self.take_over(number),
            (Copy::First, Ending::Missing) => self.end(number),
            // What it has no need of is free afterwards, so it has to be known to be nobody's.
            (Copy::First, Ending::GoesOn) if self.is_known => self.end(number),
            (Copy::First, Ending::GoesOn | Ending::Written) => false,
        }
    }

    /// Makes the first table say of a name what the second does.
    fn take_over(&mut self, number: usize) -> bool {
        let clusters: Vec<u32> = self.tree.nodes[number].clusters(&self.table).collect();
        for pair in clusters.windows(2) {
            self.table.lead(pair[0], pair[1]);
        }
        clusters.last().into_iter().for_each(|last| self.table.end(*last));
        true
    }

    /// Ends a name's chain with its last cluster, where nobody else goes on from there.
    fn end(&mut self, number: usize) -> bool {
        let last = self.tree.nodes[number].clusters(&self.table).last();
        let last = last.filter(|last| !self.owners.goes_on(*last));
        last.into_iter().for_each(|last| self.table.end(last));
        last.is_some()
    }

    /// Frees what nobody has; how many clusters those were.
    fn release(&mut self) -> u64 {
        let nobodys = self.table.numbers().filter(|cluster| self.owners.is_nobodys(*cluster));
        let (table, mut count) = (&mut self.table, 0);
        for cluster in nobodys {
            count += u64::from(table.release(cluster));
        }
        count
    }
}
