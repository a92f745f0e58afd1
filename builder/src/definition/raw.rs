//! The shape of a definition file. Every value keeps its place, for errors that come later.

use serde::Deserialize;
use toml::Spanned;

type Text = Option<Spanned<String>>;
type List = Option<Vec<Spanned<String>>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Text,
    pub(super) inherit: Text,
    #[serde(rename = "ref")]
    pub(super) ostree_ref: Text,
    pub(super) formats: List,
    pub(super) packages: List,
    #[serde(default)]
    pub(super) debian: Debian,
    #[serde(default)]
    pub(super) tree: Tree,
    #[serde(default)]
    pub(super) kernel: Kernel,
    #[serde(default)]
    pub(super) initramfs: Initramfs,
    #[serde(default)]
    pub(super) live: Live,
    #[serde(default)]
    pub(super) units: Units,
    #[serde(default)]
    pub(super) user: Vec<User>,
    #[serde(default)]
    pub(super) group: Vec<Group>,
    #[serde(default)]
    pub(super) overlay: Overlay,
    #[serde(default)]
    pub(super) disk: Disk,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Debian {
    pub(super) suite: Text,
    pub(super) components: List,
    pub(super) mirror: Text,
    pub(super) extra_suites: List,
    pub(super) security_mirror: Text,
    pub(super) snapshot_mirror: Text,
    pub(super) keyring: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tree {
    pub(super) exclude: List,
    pub(super) include: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kernel {
    pub(super) arguments: List,
    pub(super) modules: List,
    pub(super) blacklist: List,
    pub(super) drivers: List,
    pub(super) remove: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Initramfs {
    pub(super) modules: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Live {
    pub(super) modules: List,
    pub(super) drivers: List,
    pub(super) programs: List,
    pub(super) root: List,
    pub(super) initramfs: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Units {
    pub(super) enable: List,
    pub(super) disable: List,
    pub(super) mask: List,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) name: Spanned<String>,
    pub(super) uid: Spanned<u32>,
    pub(super) gid: Option<Spanned<u32>>,
    pub(super) comment: Text,
    pub(super) home: Text,
    pub(super) shell: Text,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) name: Spanned<String>,
    pub(super) gid: Spanned<u32>,
    pub(super) members: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Overlay {
    pub(super) root: List,
    pub(super) initramfs: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disk {
    pub(super) size: Text,
    pub(super) esp: Text,
    pub(super) root: Text,
    pub(super) var_min: Text,
}
