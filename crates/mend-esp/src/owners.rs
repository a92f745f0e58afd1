//! Whose each cluster is.

use crate::table::Table;
use crate::tree::Tree;

const NOBODY: u32 = u32::MAX;
const MANY: u32 = u32::MAX - 1;

pub(crate) struct Owners {
    /// For each cluster the number of its node.
    owners: Vec<u32>,
    /// Whether another follows it in anybody's chain.
    goes_on: Vec<bool>,
    /// Whether any cluster is more than one's.
    pub(crate) is_shared: bool,
}

impl Owners {
    /// Of those nodes that are there. What is broken and ours has nothing, for nobody
    /// can read it.
    pub(crate) fn of(tree: &Tree, table: &Table, is_there: impl Fn(usize) -> bool) -> Self {
        let clusters = table.numbers().end as usize;
        let (owners, goes_on) = (vec![NOBODY; clusters], vec![false; clusters]);
        let mut all = Self { owners, goes_on, is_shared: false };
        for (number, node) in tree.nodes.iter().enumerate().filter(|(number, _)| is_there(*number))
        {
            if node.way.is_whole || !node.is_ours {
                all.add_chain(node.clusters(table), number);
            }
        }
        all
    }

    fn add_chain(&mut self, clusters: impl Iterator<Item = u32>, node: usize) {
        let mut before: Option<u32> = None;
        for cluster in clusters {
            before.into_iter().for_each(|before| self.goes_on[before as usize] = true);
            self.add(cluster, node);
            before = Some(cluster);
        }
    }

    fn add(&mut self, cluster: u32, node: usize) {
        let owner = &mut self.owners[cluster as usize];
        let is_new = *owner == NOBODY;
        *owner = if is_new { u32::try_from(node).unwrap_or(MANY) } else { MANY };
        self.is_shared |= !is_new;
    }

    /// Whether it is this node's, and no other's.
    pub(crate) fn is_only_of(&self, cluster: u32, node: usize) -> bool {
        self.owner(cluster) as usize == node
    }

    pub(crate) fn is_many(&self, cluster: u32) -> bool {
        self.owner(cluster) == MANY
    }

    pub(crate) fn is_nobodys(&self, cluster: u32) -> bool {
        self.owner(cluster) == NOBODY
    }

    /// Whether anybody needs what the table says behind it.
    pub(crate) fn goes_on(&self, cluster: u32) -> bool {
        self.goes_on.get(cluster as usize).is_some_and(|goes_on| *goes_on)
    }

    fn owner(&self, cluster: u32) -> u32 {
        self.owners.get(cluster as usize).copied().unwrap_or(MANY)
    }
}
