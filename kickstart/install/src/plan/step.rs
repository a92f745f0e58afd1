//! What is done, one thing at a time, and in which order: nothing on the disk boots before the last
//! step, and each may be cut off and all of it begun again.

use std::fmt;

use super::{Make, Plan, Role};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing finds what was on the disk any more, and nothing of it boots.
    Erase {
        /// Which disk, in the plan.
        disk: usize,
    },
    /// The beginnings and ends of what is new or goes are zeros; what stays is not touched.
    Clear {
        /// Which disk, in the plan.
        disk: usize,
    },
    /// The partition table is there, and the kernel knows it.
    Partition {
        /// Which disk, in the plan.
        disk: usize,
    },
    /// A file system is made.
    Format {
        /// Which disk, in the plan.
        disk: usize,
        /// The partition's number on it.
        number: u32,
    },
    /// An array is made of its members, and a file system in it.
    Array {
        /// Which one, in the plan.
        array: usize,
    },
    /// The file systems are mounted, for nobody but the installer.
    Mount,
    /// The commit is brought over.
    Pull,
    /// It is deployed into slot `a`.
    Deploy,
    /// The host is told what the kickstart says.
    Settings,
    /// What a first boot makes of a new `/var` is there, for scripts to find.
    Var,
    /// A script runs.
    Script {
        /// Its number, from 0.
        script: usize,
    },
    /// The root is unmounted, and all of the commit read back from the disk.
    CheckRoot,
    /// The EFI partition is made, but for the loader that firmware starts.
    Esp,
    /// It is read back.
    CheckEsp,
    /// From now on the disk boots.
    Loader,
}

/// The steps of a plan.
#[must_use]
pub fn steps(plan: &Plan) -> Vec<Step> {
    let mut steps = Vec::new();
    for (at, disk) in plan.disks.iter().enumerate() {
        steps.push(match disk.keeps_table {
            true => Step::Clear { disk: at },
            false => Step::Erase { disk: at },
        });
    }
    for (at, disk) in plan.disks.iter().enumerate() {
        steps.push(Step::Partition { disk: at });
        let made = disk.parts.iter().filter(|part| is_made(&part.make));
        steps.extend(made.map(|part| Step::Format { disk: at, number: part.number }));
    }
    steps.extend((0..plan.arrays.len()).map(|array| Step::Array { array }));
    steps.extend([Step::Mount, Step::Pull, Step::Deploy, Step::Settings]);
    if !plan.scripts.is_empty() && !plan.keeps_var() {
        steps.push(Step::Var);
    }
    steps.extend((0..plan.scripts.len()).map(|script| Step::Script { script }));
    steps.extend([Step::CheckRoot, Step::Esp, Step::CheckEsp, Step::Loader]);
    steps
}

/// Whether a step of its own makes it.
fn is_made(make: &Make) -> bool {
    !matches!(make, Make::Keep | Make::Fat | Make::Member)
}

impl Step {
    /// For a person.
    #[must_use]
    pub fn words(&self, plan: &Plan) -> String {
        let name = |disk: &usize| plan.disks.get(*disk).map_or("?", |disk| &disk.name);
        match self {
            Self::Erase { disk } => format!("erasing the partition table of {}", name(disk)),
            Self::Clear { disk } => format!("clearing what goes of {}", name(disk)),
            Self::Partition { disk } => format!("writing the partition table of {}", name(disk)),
            Self::Format { disk, number } => {
                let parts = plan.disks.get(*disk).map(|it| it.parts.iter());
                let part = parts.into_iter().flatten().find(|part| part.number == *number);
                let role = part.map_or("?", |part| part.role.name());
                format!("making the file system of `{role}` on {}, number {number}", name(disk))
            }
            Self::Array { array } => {
                let name = plan.arrays.get(*array).map_or("?", |array| &array.name);
                format!("making the array {name}")
            }
            Self::Mount => "mounting".to_owned(),
            Self::Pull => format!("bringing the commit {} over", plan.image.commit),
            Self::Deploy => "deploying it into slot a".to_owned(),
            Self::Settings => {
                format!("telling the host {} things", plan.settings.changes.len())
            }
            Self::Var => "making of /var what a first boot makes of it".to_owned(),
            Self::Script { script } => format!("running %post script {}", script + 1),
            Self::CheckRoot => "reading the system back from the disk".to_owned(),
            Self::Esp => "making the EFI partition".to_owned(),
            Self::CheckEsp => "reading the EFI partition back".to_owned(),
            Self::Loader => "writing the loader: from now on the disk boots".to_owned(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
