//! What a kickstart means on this machine: data that is printed by `--dry-run` and carried out as it
//! is. Pure, but for what it asks of the image and of its [`Edge`].

mod array;
mod disk;
mod disks;
mod layout;
mod place;
mod scripts;
mod show;
mod step;

use anyhow::Result;
use basalt_kickstart::model::{At, End, Kickstart, Script, ScriptKind};
use basalt_sysroot::kargs;
use basalt_sysroot::partition::Extent;
use serde::Serialize;
use uuid::Uuid;

use crate::edge::Edge;
use crate::facts::{Facts, PartFact, is_loop, part_device};
use crate::image::{About, Image, Origin};
use crate::problems::Problems;
use crate::settings::{self, Settings};

pub use array::ArrayPlan;
pub(crate) use scripts::check_here as check_scripts_here;
pub use step::{Step, steps};

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the machine is called where somebody is told of it: the name that the host gets, or the
    /// address of a network card.
    pub machine: String,
    /// What is installed.
    pub image: About,
    /// The disks, first the one that the machine boots from.
    pub disks: Vec<DiskPlan>,
    /// Arrays of their partitions.
    pub arrays: Vec<ArrayPlan>,
    /// What the host is told.
    pub settings: Settings,
    /// Kernel arguments of the host's own.
    pub arguments: Vec<String>,
    /// Scripts that run in the end, in their order.
    pub scripts: Vec<Script>,
    /// What becomes of the firmware's list of boots.
    pub boot_order: BootOrder,
    /// What the machine does in the end.
    pub end: Option<End>,
    /// Files that the kickstart includes and that are not there: with any, nothing is carried out.
    pub unread: Vec<String>,
}

/// What becomes of the firmware's list of boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BootOrder {
    /// The installed disk becomes the first.
    First,
    /// It stays as it is: the kickstart says so, or the disk is a file, which no firmware finds.
    Kept,
}

/// What becomes of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskPlan {
    /// The kernel's name for it.
    pub name: String,
    /// What it is, for a person.
    pub what: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of its sectors.
    pub sector: u64,
    /// The id of its table.
    pub id: Uuid,
    /// Whether the table stays, with all that is not removed.
    pub keeps_table: bool,
    /// Partitions that go.
    pub removed: Vec<PartFact>,
    /// Those that it has in the end, by their numbers.
    pub parts: Vec<PartPlan>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartPlan {
    /// Its number.
    pub number: u32,
    /// Where it lies.
    #[serde(serialize_with = "extent")]
    pub extent: Extent,
    /// Its type.
    pub kind: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub flags: u64,
    /// What it is for.
    pub role: Role,
    /// What is made of it.
    pub make: Make,
}

/// What a partition is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The EFI partition.
    Esp,
    /// The root.
    Root,
    /// `/var`.
    Var,
    /// Mounted there, below `/var`.
    Data(String),
    /// Swap.
    Swap,
    /// A member of an array, by the name that the kickstart gives it.
    Member(String),
    /// None of the host's: it stays as it is.
    Other,
}

/// What is made of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Make {
    /// Nothing: what is on it stays.
    Keep,
    /// A FAT32, once all else is there.
    Fat,
    /// Nothing yet: an array takes it.
    Member,
    /// An ext4.
    Ext4 {
        /// Its id.
        id: Uuid,
        /// Its label; may be empty.
        label: String,
        /// Further arguments of `mke2fs`.
        options: Vec<String>,
    },
    /// Swap.
    Swap {
        /// Its id.
        id: Uuid,
    },
}

/// What a plan is made from.
pub struct Ground<'a> {
    /// The kickstart; one without errors.
    pub asked: &'a Kickstart,
    /// What is installed.
    pub image: &'a dyn Image,
    /// What is known of that.
    pub about: &'a About,
    /// The machine.
    pub facts: &'a Facts,
    /// What else is asked of it.
    pub edge: &'a mut dyn Edge,
}

/// The plan, with warnings in `problems`; or errors there, all at once, and none.
///
/// # Errors
/// The image cannot be read.
pub fn plan(ground: &mut Ground<'_>, problems: &mut Problems) -> Result<Option<Plan>> {
    let Ground { asked, image, about, facts, .. } = *ground;
    check_arguments(asked, problems);
    check_source(asked, about, problems);
    scripts::check_here(asked, &*ground.edge, problems);
    scripts::check_there(asked, image, problems)?;
    let (disks, arrays) = {
        let chosen = disks::Disks::of(asked, facts, problems);
        let edge = &mut *ground.edge;
        let mut new_id = || edge.new_id();
        let mut ground = layout::Ground { asked, about, disks: chosen, new_id: &mut new_id };
        layout::layout(&mut ground, problems)
    };
    let mut ground = settings::Ground { asked, image, facts, edge: &mut *ground.edge };
    let settings = settings::settings(&mut ground, (&disks, &arrays), problems)?;
    let has_root = disks.iter().any(|disk| disk.part(&Role::Root).is_some());
    if !has_root {
        tell_of_unread(asked, problems);
    }
    if problems.has_errors() || !has_root {
        return Ok(None);
    }
    let post = |script: &&At<Script>| script.kind == ScriptKind::Post;
    Ok(Some(Plan {
        machine: machine(&settings, facts),
        image: about.clone(),
        boot_order: boot_order(asked, &disks),
        disks,
        arrays,
        settings,
        arguments: asked.bootloader.as_ref().map(|it| it.append.clone()).unwrap_or_default(),
        scripts: asked.scripts.iter().filter(post).map(|it| it.value.clone()).collect(),
        end: asked.end.as_ref().map(|end| end.value),
        unread: asked.unread.iter().map(|file| file.value.clone()).collect(),
    }))
}

fn boot_order(asked: &Kickstart, disks: &[DiskPlan]) -> BootOrder {
    let says_so = asked.bootloader.as_ref().is_some_and(|loader| loader.leavebootorder);
    match says_so || disks.first().is_none_or(|disk| is_loop(&disk.name)) {
        true => BootOrder::Kept,
        false => BootOrder::First,
    }
}

fn machine(settings: &Settings, facts: &Facts) -> String {
    let card = || facts.cards.iter().find(|card| card.has_cable).or(facts.cards.first());
    let address = || card().map(|card| card.mac.clone());
    settings.hostname().or_else(address).unwrap_or_else(|| "a machine".to_owned())
}

/// Where the layout may stand in a file that was not read, it is that which is missing.
fn tell_of_unread(asked: &Kickstart, problems: &mut Problems) {
    let Some(file) = asked.unread.first().filter(|_| !problems.has_errors()) else { return };
    let message =
        format!("`{}` was not read, and nothing else says where the system goes", file.value);
    let hint = "a `%pre` that writes it runs at the installation alone, not with `--dry-run`";
    problems.error(file.span, message, hint);
}

/// By the rules by which an image's own arguments are read.
fn check_arguments(asked: &Kickstart, problems: &mut Problems) {
    let Some(loader) = &asked.bootloader else { return };
    if let Err(error) = kargs::parse(&loader.append.join("\n")) {
        problems.error(loader.span, format!("`--append`: {error}"), "leave it away");
    }
}

fn check_source(asked: &Kickstart, about: &About, problems: &mut Problems) {
    let Some(setup) = &asked.ostreesetup else { return };
    if setup.branch != about.branch {
        let message = format!("the installer carries `{}`", about.branch);
        problems.error(setup.span, message, "name that in `--ref`, or leave `ostreesetup` away");
    }
    let Origin::Repository(carried) = &about.origin else { return };
    let named = std::path::Path::new(setup.url.strip_prefix("file://").unwrap_or_default());
    if carried != named {
        let message = format!(
            "of this machine's own repositories the system comes from what the installer carries, \
             `{}`, and not from `{}`",
            carried.display(),
            setup.url
        );
        let hint = "leave `ostreesetup` away, or name an archive of the network";
        problems.error(setup.span, message, hint);
    }
}

impl Plan {
    /// Whether what is in `/var` stays.
    #[must_use]
    pub fn keeps_var(&self) -> bool {
        let parts = self.disks.iter().flat_map(|disk| &disk.parts);
        parts.filter(|part| part.role == Role::Var).any(|part| part.make == Make::Keep)
    }
}

impl DiskPlan {
    /// Its partition of this role.
    #[must_use]
    pub fn part(&self, role: &Role) -> Option<&PartPlan> {
        self.parts.iter().find(|part| part.role == *role)
    }

    /// The kernel's name of one of its partitions.
    #[must_use]
    pub fn device(&self, part: &PartPlan) -> String {
        part_device(&self.name, part.number)
    }
}

impl Role {
    /// As the kickstart calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Esp => "/boot/efi",
            Self::Root => "/",
            Self::Var => "/var",
            Self::Data(path) => path,
            Self::Swap => "swap",
            Self::Member(name) => name,
            Self::Other => "",
        }
    }
}

fn extent<S: serde::Serializer>(extent: &Extent, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeStruct;
    let mut fields = serializer.serialize_struct("extent", 2)?;
    fields.serialize_field("start", &extent.start)?;
    fields.serialize_field("length", &extent.length)?;
    fields.end()
}

#[cfg(test)]
pub(crate) mod tests;
