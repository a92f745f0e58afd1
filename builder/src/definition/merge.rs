//! Merges a definition with those it inherits from: values are replaced, lists grow without
//! doubles. What is merged remembers the file and place it came from.

use std::ops::Range;

use toml::Spanned;

use super::raw;

/// A value and where it stands: the index of its file in the chain, and its bytes there.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) file: usize,
    pub(super) span: Range<usize>,
}

impl<T> At<T> {
    fn new(spanned: Spanned<T>, file: usize) -> Self {
        Self { span: spanned.span(), value: spanned.into_inner(), file }
    }
}

pub(super) type Text = Option<At<String>>;
pub(super) type List = Vec<At<String>>;

/// Everything that a chain of definitions says.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) name: Text,
    pub(super) ostree_ref: Text,
    pub(super) formats: List,
    pub(super) packages: List,
    pub(super) suite: Text,
    pub(super) components: List,
    pub(super) mirror: Text,
    pub(super) extra_suites: List,
    pub(super) security_mirror: Text,
    pub(super) snapshot_mirror: Text,
    pub(super) keyring: Text,
    pub(super) exclude: List,
    pub(super) include: List,
    pub(super) arguments: List,
    pub(super) modules: List,
    pub(super) blacklist: List,
    pub(super) drivers: List,
    pub(super) remove: List,
    pub(super) initramfs_modules: List,
    pub(super) live_modules: List,
    pub(super) live_drivers: List,
    pub(super) live_programs: List,
    pub(super) live_root: List,
    pub(super) live_initramfs: List,
    pub(super) enable: List,
    pub(super) disable: List,
    pub(super) mask: List,
    pub(super) users: Vec<User>,
    pub(super) groups: Vec<Group>,
    pub(super) overlay_root: List,
    pub(super) overlay_initramfs: List,
    pub(super) size: Text,
    pub(super) esp: Text,
    pub(super) root: Text,
    pub(super) var_min: Text,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) name: At<String>,
    pub(super) uid: At<u32>,
    pub(super) gid: Option<At<u32>>,
    pub(super) comment: Text,
    pub(super) home: Text,
    pub(super) shell: Text,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: At<String>,
    pub(super) gid: At<u32>,
    pub(super) members: List,
}

impl Merged {
    /// Adds a file of the chain; the one that is inherited from comes first.
    pub(super) fn add(&mut self, index: usize, file: raw::File) {
        let text = |to: &mut Text, from: Option<Spanned<String>>| {
            if let Some(value) = from {
                *to = Some(At::new(value, index));
            }
        };
        let list = |to: &mut List, from: Option<Vec<Spanned<String>>>| {
            to.extend(from.into_iter().flatten().map(|value| At::new(value, index)));
        };
        text(&mut self.name, file.name);
        text(&mut self.ostree_ref, file.ostree_ref);
        list(&mut self.formats, file.formats);
        list(&mut self.packages, file.packages);
        text(&mut self.suite, file.debian.suite);
        list(&mut self.components, file.debian.components);
        text(&mut self.mirror, file.debian.mirror);
        list(&mut self.extra_suites, file.debian.extra_suites);
        text(&mut self.security_mirror, file.debian.security_mirror);
        text(&mut self.snapshot_mirror, file.debian.snapshot_mirror);
        text(&mut self.keyring, file.debian.keyring);
        list(&mut self.exclude, file.tree.exclude);
        list(&mut self.include, file.tree.include);
        list(&mut self.arguments, file.kernel.arguments);
        list(&mut self.modules, file.kernel.modules);
        list(&mut self.blacklist, file.kernel.blacklist);
        list(&mut self.drivers, file.kernel.drivers);
        list(&mut self.remove, file.kernel.remove);
        list(&mut self.initramfs_modules, file.initramfs.modules);
        list(&mut self.live_modules, file.live.modules);
        list(&mut self.live_drivers, file.live.drivers);
        list(&mut self.live_programs, file.live.programs);
        list(&mut self.live_root, file.live.root);
        list(&mut self.live_initramfs, file.live.initramfs);
        list(&mut self.enable, file.units.enable);
        list(&mut self.disable, file.units.disable);
        list(&mut self.mask, file.units.mask);
        list(&mut self.overlay_root, file.overlay.root);
        list(&mut self.overlay_initramfs, file.overlay.initramfs);
        text(&mut self.size, file.disk.size);
        text(&mut self.esp, file.disk.esp);
        text(&mut self.root, file.disk.root);
        text(&mut self.var_min, file.disk.var_min);
        self.users.extend(file.user.into_iter().map(|user| User::new(user, index)));
        self.groups.extend(file.group.into_iter().map(|group| Group::new(group, index)));
    }
}

impl User {
    fn new(raw: raw::User, file: usize) -> Self {
        let text = |value: Option<Spanned<String>>| value.map(|value| At::new(value, file));
        Self {
            name: At::new(raw.name, file),
            uid: At::new(raw.uid, file),
            gid: raw.gid.map(|gid| At::new(gid, file)),
            comment: text(raw.comment),
            home: text(raw.home),
            shell: text(raw.shell),
        }
    }
}

impl Group {
    fn new(raw: raw::Group, file: usize) -> Self {
        let members = raw.members.into_iter().flatten();
        Self {
            name: At::new(raw.name, file),
            gid: At::new(raw.gid, file),
            members: members.map(|member| At::new(member, file)).collect(),
        }
    }
}
